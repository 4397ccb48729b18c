"""The page of a run, opened from disk: it fits, reads in both schemes, and asks for nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossviz.reporting import main

from .test_report import AXE, VIOLATIONS


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rows = []
    for t in range(60):
        h = 0.1 + math.exp(-t / 20)
        row = {"step": t, "entropy": h, "reward": 1 - 0.2 * math.exp(h) + 0.01 * (t % 3)}
        row |= {"kl": t / 99, "completion_length": 300 + t % 7, "clip_ratio": 0.01}
        rows.append(row | {"entropy_by_position": [h, h / 2]})
    log, page = folder / "run.json", folder / "run.html"
    log.write_text(json.dumps([*rows, {"step": 60, "eval_reward": 0.5}]))
    assert main(["report", str(log), "--out", str(page)]) == 0
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_a_run_fits_reads_and_asks_for_nothing(
    visit: Callable[..., Any], report: Path, width: int, scheme: str
) -> None:
    settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with visit(report, **settings, bypass_csp=True) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        assert seen.files == {report.as_uri()}
        assert seen.page.locator("svg").count() == 5
        seen.page.add_script_tag(path=AXE)
        assert seen.page.evaluate(VIOLATIONS) == []
        assert not seen.problems
