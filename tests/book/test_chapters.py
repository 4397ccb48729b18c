"""Every chapter runs outside the book, and every claim it makes is asserted here as well."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import matplotlib
import pytest
from matplotlib import pyplot

from lossviz.experiments import claims

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted(
    path for path in BOOK.glob("*.md") if "{code-cell}" in path.read_text(encoding="utf-8")
)
CLAIM = re.compile(r'^@claim\(\s*"([^"]+)"', re.MULTILINE)


def execute(chapter: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(jupytext.read(chapter).cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{chapter.name}, cell {number}", "exec"), namespace)
            pyplot.close("all")  # as a notebook does after each cell


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs_and_each_of_its_claims_holds_when_checked_again(chapter, monkeypatch):
    matplotlib.use("Agg")
    made: list[claims.Claim] = []
    monkeypatch.setattr(claims, "_show", made.append)

    execute(chapter)

    assert [record.id for record in made] == CLAIM.findall(chapter.read_text(encoding="utf-8"))
    for record in made:
        assert record.verify().holds


def test_claim_ids_are_unique_over_the_book():
    found = [name for path in CHAPTERS for name in CLAIM.findall(path.read_text(encoding="utf-8"))]
    assert found
    assert len(found) == len(set(found))
