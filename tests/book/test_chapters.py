"""Every chapter runs when the site is built, and keeps a record of every claim that it makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from lossviz.experiments.claims import RECORD, Evidence

from .extensions import extension

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted(
    path for path in BOOK.glob("*.md") if "{code-cell}" in path.read_text(encoding="utf-8")
)
CLAIM = re.compile(r'^@claim\(\s*"([^"]+)"', re.MULTILINE)
FOLDED = {"hide-input", "hide-cell", "remove-input"}
MOST_SHOWN = 100  # lines of code that a chapter shows unasked
ASCII_MATHS = re.compile(r"[<>=]=|->|\d[eE]-\d|\b(tau|nu|lam|rho|gamma|beta)\b")
IMAGE = re.compile(r"<img\s[^>]*>")

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def executed(site: Path, chapter: Path) -> Any:
    """The notebook that the site was made from."""
    path = site.parent / "jupyter_execute" / "book" / f"{chapter.stem}.ipynb"
    return nbformat.read(path, as_version=4)


@each_chapter
def test_chapter_was_executed_as_it_and_the_package_read_now(executed: Any, chapter: Path) -> None:
    cells = code(jupytext.read(chapter))
    assert [cell.source for cell in code(executed)] == [cell.source for cell in cells]
    imports = extension("lossviz_execution").imports_of(cells)
    assert executed.metadata.kernelspec["lossviz_imports"] == imports
    # a cell that shows nothing may come from the cache without its number
    shown = [(k, cell) for k, cell in enumerate(code(executed), 1) if cell.outputs]
    assert [cell.execution_count for _, cell in shown] == [k for k, _ in shown]
    kinds = {output.output_type for cell in code(executed) for output in cell.outputs}
    assert "error" not in kinds


@each_chapter
def test_every_claim_of_a_chapter_is_recorded_and_holds(executed: Any, chapter: Path) -> None:
    outputs = [output.get("data", {}) for cell in code(executed) for output in cell.outputs]
    records = [data[RECORD] for data in outputs if RECORD in data]
    assert [record["id"] for record in records] == CLAIM.findall(chapter.read_text("utf-8"))
    for record in records:
        assert Evidence(**record["evidence"]).holds, record
        assert not ASCII_MATHS.search(record["evidence"]["quantity"])
        assert record["sensitivity"] or record["status"] != "measured", record["id"]


def test_claim_ids_are_unique_over_the_book() -> None:
    found = [name for path in CHAPTERS for name in CLAIM.findall(path.read_text(encoding="utf-8"))]
    assert found
    assert len(found) == len(set(found))


@each_chapter
def test_a_chapter_shows_the_lines_that_teach_and_folds_the_rest(chapter: Path) -> None:
    cells = code(jupytext.read(chapter))
    shown = [cell for cell in cells if not FOLDED & set(cell.metadata.get("tags", []))]
    assert sum(len(cell.source.splitlines()) for cell in shown) <= MOST_SHOWN


@each_chapter
def test_every_picture_of_a_chapter_has_a_caption_and_is_described_in_prose(
    site: Path, chapter: Path
) -> None:
    page = (site / "book" / f"{chapter.stem}.html").read_text(encoding="utf-8")
    (article,) = re.findall(r"<article.*?</article>", page, re.DOTALL)
    figures = "".join(re.findall(r"<figure.*?</figcaption>", article, re.DOTALL))
    images = IMAGE.findall(article)
    assert IMAGE.findall(figures) == images
    for image in images:
        (alt,) = re.findall(r'\balt="([^"]*)"', image)
        assert len(alt) > 20
        assert " " in alt
        assert "_images/" not in alt
