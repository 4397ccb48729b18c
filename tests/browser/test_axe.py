"""No page has a serious barrier that axe-core finds, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
VIOLATIONS = """async (options) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...options });
    return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((n) => n.html).join(" | ")}`);
}"""
# The dark changes colours and nothing else.
RULES = {
    "light": {},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
}


@pytest.mark.parametrize("scheme", RULES)
def test_axe_finds_nothing_serious_on_any_page(
    site: Path, visit: Callable[..., Any], scheme: str
) -> None:
    found = {}
    for path in [
        *site.glob("book/**/*.html"),
        *map(site.joinpath, ("genindex.html", "search.html")),
    ]:
        with visit(path, color_scheme=scheme) as seen:
            seen.page.add_script_tag(path=AXE)
            if violations := seen.page.evaluate(VIOLATIONS, RULES[scheme]):
                found[path.relative_to(site).as_posix()] = violations
    assert found == {}
