"""What a reader of a chapter sees of code and pictures: on a laptop, in the dark, printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

CHAPTERS = ("cross-entropy", "fused")  # with the most figures, and with the most code
LAPTOP = {"width": 1280, "height": 800}
CLEAR = "rgba(0, 0, 0, 0)"
CUT = """() => {
    document.querySelectorAll("details.hide").forEach((fold) => { fold.open = true; });
    const code = [...document.querySelectorAll(".cell_input pre")];
    const cut = code.filter((pre) => pre.scrollWidth > pre.clientWidth);
    document.querySelectorAll("details.hide").forEach((fold) => { fold.open = false; });
    return cut.map((pre) => pre.textContent);
}"""
STYLES = "(all, name) => all.map((element) => getComputedStyle(element)[name])"


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request: Any, site: Path, visit: Callable[..., Any]) -> Iterator[Page]:
    """A chapter in the dark, opened once for all tests."""
    path = site / "book" / f"{request.param}.html"
    with visit(path, color_scheme="dark", viewport=LAPTOP) as seen:
        yield seen.page
        assert seen.problems == []


def styles(page: Page, selector: str, name: str) -> set[str]:
    """All values that a property has among the elements of a selector, of which there are some."""
    found = page.locator(selector).evaluate_all(STYLES, name)
    assert found, selector
    return set(found)


def test_no_block_of_code_is_cut_off_on_a_laptop(chapter: Page) -> None:
    assert chapter.evaluate(CUT) == []


def test_the_link_that_unfolds_code_is_smaller_than_a_caption_and_at_the_right(
    chapter: Page,
) -> None:
    link = chapter.locator("details.hide > summary").first
    assert link.inner_text().strip() == "Code"
    (size,) = styles(chapter, "details.hide > summary", "fontSize")
    (caption,) = styles(chapter, ".bd-article figcaption", "fontSize")
    assert float(size[:-2]) < float(caption[:-2])
    place, column = link.bounding_box(), chapter.locator("details.hide").first.bounding_box()
    assert place is not None
    assert column is not None
    assert place["width"] < 60
    assert abs(place["x"] + place["width"] - column["x"] - column["width"]) < 1


def test_in_the_dark_no_figure_lies_on_a_pale_ground(chapter: Page) -> None:
    assert styles(chapter, ".text_html:has(figure)", "backgroundColor") == {CLEAR}
    pictures = ".cell_output img:not(.lossviz-still)"
    assert styles(chapter, pictures, "backgroundColor") == {CLEAR}
    assert styles(chapter, pictures, "filter") == {"invert(1) hue-rotate(180deg)"}


def test_a_page_printed_from_the_dark_is_black_on_white_and_shows_its_code_as_it_was_folded(
    chapter: Page,
) -> None:
    chapter.emulate_media(media="print")
    black = {"rgb(0, 0, 0)"}
    assert styles(chapter, ".bd-article > section > p", "color") == black
    assert (
        styles(chapter, ".cell > .cell_input pre, .cell > .cell_input pre span", "color") == black
    )
    assert styles(chapter, ".cell_output img", "filter") == {"none"}
    assert styles(chapter, "details.hide", "display") == {"none"}
    assert styles(chapter, ".cell, .cell_input, .bd-article pre", "breakInside") == {"auto"}
    chapter.emulate_media(media="screen")
