"""The page of `lossviz report`, opened from disk: it asks for nothing and works by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lossviz.analysis import ece_equal_mass, top_label
from lossviz.reporting import main, summary
from lossviz.reporting.demo import DEMO
from lossviz.reporting.drawing import LEFT, SIZE

from ..rest import rest
from .axe import AXE

OPTIONS = '{ resultTypes: ["violations"], preload: false }'
VIOLATIONS = f"""async () => (await axe.run(document, {OPTIONS})).violations
    .map(({{ id, nodes }}) => `${{id}}: ${{nodes.map((node) => node.html).join(" | ")}}`)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the demo, made once for all tests, with few resamples: no test is of those."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DRAWS", "FEW_DRAWS"):
            patch.setattr(summary, name, 20)
        assert main(["report", "--demo", "--against", str(DEMO), "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_fits_reads_and_asks_for_nothing(
    visit: Callable[..., Any], report: Path, width: int
) -> None:
    with visit(report, viewport={"width": width, "height": 900}, bypass_csp=True) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        assert seen.files == {report.as_uri()}
        seen.page.add_script_tag(path=AXE)
        for scheme in ("light", "dark"):
            seen.page.emulate_media(color_scheme=scheme)
            rest(seen.page)
            assert seen.page.evaluate(VIOLATIONS) == [], scheme
        assert not seen.problems


def by_mass() -> float:
    held = np.load(DEMO)
    logits, labels = (torch.tensor(held[key]) for key in ("logits", "labels"))
    return float(ece_equal_mass(*top_label(logits, labels, kind="logits")))


def test_the_keyboard_moves_temperature_bins_and_operating_point(
    visit: Callable[..., Any], report: Path
) -> None:
    with visit(report, viewport={"width": 900, "height": 900}) as seen:
        page = seen.page

        def says(figure: str) -> str:
            return page.locator(f"#{figure} output").inner_text()

        assert "T = 1.00: calibration error 0.0960 in 15 bins" in says("reliability")
        drawn = page.locator("g.bins").inner_html()
        page.locator("#temperature").focus()
        for _ in range(12):
            page.keyboard.press("ArrowRight")
        found = re.search(r"T = 2.30: calibration error ([.\d]+)", says("reliability"))
        assert found and float(found[1]) < 0.04
        assert page.locator("g.bins").inner_html() != drawn
        assert page.locator("g.bands").is_hidden()
        for _ in range(12):
            page.keyboard.press("ArrowLeft")
        assert page.locator("g.bins").inner_html() == drawn
        page.locator("#bins").select_option("5")
        assert "in 5 bins" in says("reliability")
        page.locator("#bins").select_option("mass")
        assert f"calibration error {by_mass():.4f} in 15 bins" in says("reliability")
        page.locator("#point").focus()
        page.keyboard.press("Home")
        assert "0.1 % of the rows, 0.00 % of them wrong" in says("coverage")
        assert not seen.problems


def test_the_operating_point_is_dragged_with_the_pointer(
    visit: Callable[..., Any], report: Path
) -> None:
    with visit(report) as seen:
        page = seen.page
        plot = page.locator("#coverage svg")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        scale = box["width"] / (LEFT + SIZE + 14)

        def at(share: float) -> tuple[float, float]:
            return box["x"] + scale * (LEFT + SIZE * share), box["y"] + box["height"] / 2

        page.mouse.move(*at(0.9))
        page.mouse.down()
        page.mouse.move(*at(0.25))
        page.mouse.up()
        page.mouse.move(*at(0.75))
        found = re.search(r"([\d.]+) % of the rows", page.locator("#coverage output").inner_text())
        assert found and abs(float(found[1]) - 25) < 1
        assert not seen.problems


def test_a_heading_sorts_the_classes_both_ways(visit: Callable[..., Any], report: Path) -> None:
    with visit(report) as seen:
        table = seen.page.locator("table.sortable")
        rows = table.get_by_role("button", name="rows")

        def column() -> list[int]:
            return [int(text) for text in table.locator("td:nth-child(2)").all_inner_texts()]

        rows.press("Enter")
        assert column() == sorted(column())
        rows.press("Enter")
        assert column() == sorted(column(), reverse=True)
        assert table.locator("th[aria-sort=descending]").inner_text() == "rows"
        table.get_by_role("button", name="class", exact=True).press("Enter")
        assert table.locator("tbody th").all_inner_texts() == [str(digit) for digit in range(10)]


def test_the_report_reads_without_scripts(visit: Callable[..., Any], report: Path) -> None:
    with visit(report, java_script_enabled=False) as seen:
        assert seen.page.locator("#reliability svg .bar").count() >= 8
        assert "of 1,200 rows are right" in seen.page.locator(".lead").inner_text()
