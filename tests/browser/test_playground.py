"""The playground as the built book holds it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HEAVIEST = "#losses=aldr_kl,eisl,symmetric_ce"


def test_the_page_opens_with_a_link_and_loads_little_beside_the_runtime(
    site: Path, visit: Callable[..., Any]
) -> None:
    with visit(site / "book" / "playground.html", query=HEAVIEST) as seen:
        assert seen.problems == []
        assert seen.page.evaluate("location.hash") == HEAVIEST
        assert seen.page.locator("[data-lossviz=ready]").count() > 3
        paths = {Path(unquote(urlsplit(url).path)) for url in seen.files}
        own = [path for path in paths if path.parent.name == "playground"]
        assert len(own) == 5  # its script, its style and three losses
        assert sum(len(gzip.compress(path.read_bytes())) for path in own) < 1_000_000


def test_without_scripts_the_page_says_what_it_is(site: Path, visit: Callable[..., Any]) -> None:
    with visit(site / "book" / "playground.html", java_script_enabled=False) as seen:
        assert "draws with JavaScript" in seen.page.locator("#lossviz-playground").inner_text()


def test_on_paper_the_pictures_are_there(site: Path, visit: Callable[..., Any]) -> None:
    with visit(site / "book" / "playground.html") as seen:
        seen.page.emulate_media(media="print")
        stages = seen.page.locator("#lossviz-playground .lossviz-stage")
        assert all(stage.is_visible() for stage in stages.all())
