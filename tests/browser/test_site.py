"""The built book as a reader opens it: from its files, with the network off."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urlsplit

import pytest

from ..labels import faults
from ..rest import rest
from .axe import barriers
from .conftest import VIEWPORT

CHAPTER = "book/cross-entropy.html"
PHONE = {"width": 390, "height": 844}
WEIGHT, PASSPORT = 1_500_000, 60_000  # bytes, compressed
PICTURE = """stage => {
    const canvas = stage.querySelector('canvas');
    return canvas ? canvas.toDataURL() : stage.querySelector('svg').outerHTML;
}"""
# Moves one control after the other, each two steps or to another choice.
DEAD = f"""async (stage) => {{
    const picture = {PICTURE};
    const dead = [];
    const controls = [...stage.querySelectorAll("input[type=range], select")];
    for (const control of controls) {{
        const before = picture(stage);
        if (control.options) {{
            control.value = [...control.options].find((option) => !option.selected).value;
        }} else if (control.value === control.max) control.stepDown(2);
        else control.stepUp(2);
        control.dispatchEvent(new Event(control.options ? "change" : "input"));
        await new Promise(requestAnimationFrame);
        await stage.lossviz.view.runAsync();
        if (picture(stage) === before) dead.push(control.dataset.signal);
    }}
    return [controls.length, dead];
}}"""
FACTS = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    return {
        formulas: all("div.math, span.math").length,
        typeset: all("mjx-container").length,
        misspelt: all("mjx-merror").map((error) => error.textContent),
        unlabelled: all(".lossviz-live :is(input, select)").filter((c) => !c.labels.length).length,
        silent: all(".lossviz-live [role=img]").filter((p) => !p.ariaLabel).length,
        iconless: all("svg.svg-inline--fa").filter((i) => !i.querySelector("path[d]")).length,
    };
}"""


@dataclass
class Facts:
    """What one page showed when it was opened."""

    problems: list[str]
    weight: int
    phone_width: int
    formulas: int
    typeset: int
    misspelt: list[str]
    unlabelled: int
    silent: int
    iconless: int
    controls: int
    dead: list[str]
    labels: list[str]
    barriers: list[str]


@cache
def weight(file: str) -> int:
    """Bytes of a file, compressed."""
    return len(gzip.compress(Path(file).read_bytes()))


@pytest.fixture(scope="module")
def pages(site: Path, visit: Callable[..., Any]) -> dict[str, Facts]:
    """The facts of every page, each opened once."""
    facts = {}
    known: dict[str, list[int]] = {}
    for path in [*site.glob("book/**/*.html"), site / "genindex.html", site / "search.html"]:
        with visit(path) as seen:
            files = {unquote(urlsplit(url).path) for url in seen.files if url.startswith("file:")}
            found = seen.page.evaluate(FACTS)
            stages = seen.page.locator(".lossviz-stage").all()
            moved = [stage.evaluate(DEAD) for stage in stages]
            # passports, whose figures stand nowhere else, are measured in tests/widgets
            measured = stages if path.parent.name == "book" else []
            labels = [fault for stage in measured for fault in faults(stage, widths=(), states=6)]
            seen.page.set_viewport_size(PHONE)
            rest(seen.page)
            labels += [fault for stage in measured for fault in faults(stage, widths=(), states=6)]
            width = seen.page.evaluate("document.documentElement.scrollWidth")
            seen.page.set_viewport_size(VIEWPORT)
            facts[path.relative_to(site).as_posix()] = Facts(
                seen.problems, sum(map(weight, files)), width, **found,
                controls=sum(count for count, _ in moved),
                dead=[name for _, names in moved for name in names],
                labels=labels, barriers=barriers(seen, known),
            )  # fmt: skip
    assert CHAPTER in facts
    return facts


def test_pages_open_without_network_message_or_missing_file(pages: dict[str, Facts]) -> None:
    assert {name: facts.problems for name, facts in pages.items() if facts.problems} == {}


def test_axe_finds_nothing_serious_in_light_or_dark(pages: dict[str, Facts]) -> None:
    assert {name: facts.barriers for name, facts in pages.items() if facts.barriers} == {}


def test_mathematics_is_typeset(pages: dict[str, Facts]) -> None:
    assert pages[CHAPTER].typeset > 50
    assert [name for name, facts in pages.items() if facts.typeset < facts.formulas] == []
    assert {name: facts.misspelt for name, facts in pages.items() if facts.misspelt} == {}


def test_controls_have_labels_and_pictures_have_texts(pages: dict[str, Facts]) -> None:
    assert [name for name, facts in pages.items() if facts.unlabelled or facts.silent] == []


def test_every_icon_that_a_page_names_is_drawn(pages: dict[str, Facts]) -> None:
    assert [name for name, facts in pages.items() if facts.iconless] == []


def test_no_page_scrolls_sideways_on_a_phone(pages: dict[str, Facts]) -> None:
    widths = {name: facts.phone_width for name, facts in pages.items()}
    assert {name: width for name, width in widths.items() if width > PHONE["width"]} == {}


def test_a_page_with_all_that_it_loads_is_light(pages: dict[str, Facts]) -> None:
    weights = {name: facts.weight for name, facts in pages.items()}
    assert {name: weight for name, weight in weights.items() if weight > WEIGHT} == {}


def test_a_passport_is_at_most_60_kilobytes(site: Path) -> None:
    passports = {path.name: path.read_bytes() for path in (site / "book" / "atlas").glob("*.html")}
    weights = {name: len(gzip.compress(page)) for name, page in passports.items()}
    assert len(weights) > 40
    assert {name: weight for name, weight in weights.items() if weight > PASSPORT} == {}


def test_first_page_leads_to_the_book(site: Path) -> None:
    assert "url=book/intro.html" in (site / "index.html").read_text()


FOUND_FIRST = {
    "label smoothing": "atlas/cross_entropy.html",
    "focal loss gamma": "atlas/focal.html",
    "temperature": "glossary.html#term-temperature",
    "calibration": "glossary.html#term-calibration",
    "log-sum-exp": "glossary.html#term-log-sum-exp",
    "label noise": "glossary.html#term-label-noise",
    "hinge": "atlas/l2_svm.html",
    "KL divergence": "glossary.html#term-KL-divergence",
    "gce": "atlas/generalized_cross_entropy.html",
    "NLL": "atlas/cross_entropy.html",
    "InfoNCE": "atlas/nt_xent.html",
    "class imbalance": "atlas/balanced_softmax_ce.html",
    "perplexity": "glossary.html#term-perplexity",
    "knowledge distillation": "glossary.html#term-knowledge-distillation",
    "which loss should I use": "which-loss.html",
}


@pytest.mark.parametrize(("words", "page"), FOUND_FIRST.items())
def test_search_finds_the_right_page_first(
    site: Path, visit: Callable[..., Any], words: str, page: str
) -> None:
    with visit(site / "search.html", query=f"?q={quote(words)}") as seen:
        first = seen.page.locator("#search-results li a").first
        first.wait_for()
        found = urlsplit(first.evaluate("link => link.href"))
        assert f"{found.path}#{found.fragment}".partition("/book/")[2].startswith(page)
        assert seen.problems == []


def test_filters_of_the_atlas_leave_the_losses_that_fit(
    site: Path, visit: Callable[..., Any]
) -> None:
    with visit(site / "book" / "atlas.html", query="?has=robust", viewport=PHONE) as seen:
        page, count = seen.page, seen.page.locator(".lossviz-filters output")
        cards = page.locator(".lossviz-card[data-family]")
        left = page.locator(".lossviz-card[data-family]:visible")
        robust = left.evaluate_all("all => all.map(card => card.dataset.has)")
        assert robust and all("robust" in has for has in robust)
        assert count.text_content() == f"{len(robust)} of {cards.count()} losses"
        page.get_by_label("bounded").press("Space")
        assert 0 < left.count() < len(robust)
        assert "has=bounded" in page.url
        page.get_by_role("button", name="Show all").press("Enter")
        page.wait_for_function("!location.search.includes('has')")
        assert left.count() == cards.count() > 30
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert seen.problems == []


def test_without_scripts_the_atlas_shows_all_its_cards_and_no_filter(
    site: Path, visit: Callable[..., Any]
) -> None:
    with visit(site / "book" / "atlas.html", java_script_enabled=False) as seen:
        assert seen.page.locator(".lossviz-card:visible").count() > 30
        assert not seen.page.locator(".lossviz-filters").is_visible()


def test_every_control_changes_its_figure(pages: dict[str, Facts]) -> None:
    assert sum(facts.controls for facts in pages.values()) > 100
    assert {name: facts.dead for name, facts in pages.items() if facts.dead} == {}


def test_labels_of_figures_keep_clear_of_each_other(pages: dict[str, Facts]) -> None:
    assert {name: facts.labels for name, facts in pages.items() if facts.labels} == {}


def test_dark_mode_darkens_page_and_figures(site: Path, visit: Callable[..., Any]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    with visit(site / CHAPTER, color_scheme="light") as seen:
        page, stage = seen.page, seen.page.locator(".lossviz-stage").first
        assert min(page.evaluate(ground)[:3]) > 240
        light, switch = stage.evaluate(PICTURE), page.locator(".theme-switch-button:visible").first
        for _ in range(3):  # light, dark, automatic
            if page.locator("html").get_attribute("data-theme") != "dark":
                switch.click()
        rest(seen.page)
        assert max(page.evaluate(ground)[:3]) < 60
        assert stage.evaluate(PICTURE) != light
        framed = page.locator(".text_html:has(.lossviz-live, .lossviz-claim)")
        grounds = framed.evaluate_all("all => all.map(f => getComputedStyle(f).backgroundColor)")
        assert set(grounds) == {"rgba(0, 0, 0, 0)"}  # the theme would lay them on a light ground


def test_print_shows_the_still_picture_in_place_of_the_live_one(
    site: Path, visit: Callable[..., Any]
) -> None:
    with visit(site / CHAPTER) as seen:
        still = seen.page.locator(".lossviz-still").first
        stage = seen.page.locator(".lossviz-stage").first
        assert (stage.is_visible(), still.is_visible()) == (True, False)
        seen.page.emulate_media(media="print")
        assert (stage.is_visible(), still.is_visible()) == (False, True)


def test_without_scripts_the_still_picture_shows(site: Path, visit: Callable[..., Any]) -> None:
    with visit(site / CHAPTER, java_script_enabled=False) as seen:
        assert seen.page.locator(".lossviz-still").first.is_visible()


class Anchors(HTMLParser):
    """The targets that a page offers and the links that it makes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.targets.update(value for name in ("id", "name") if (value := found.get(name)))
        name = {"a": "href", "link": "href", "script": "src", "img": "src"}.get(tag)
        if name and (link := found.get(name)):
            self.links.append(link)


def test_links_inside_the_book_lead_somewhere(site: Path) -> None:
    written = [*site.glob("*.html"), *site.glob("book/**/*.html"), *site.glob("_modules/**/*.html")]
    read = {page: Anchors(page.read_text()) for page in written}
    broken = []
    for page, anchors in read.items():
        for link in anchors.links:
            address, anchor = urldefrag(link)
            if urlsplit(link).scheme or link == "#":
                continue
            target = (page.parent / unquote(urlsplit(address).path)).resolve() if address else page
            known = read.get(target)
            place = anchor if "=" not in anchor else ""  # what the playground is to show
            if not target.exists() or (place and known and unquote(place) not in known.targets):
                broken.append((page.name, link))
    assert broken == []


def test_no_page_and_no_notebook_carries_widget_state(site: Path) -> None:
    notebooks = list(site.glob("_sources/book/*.ipynb"))
    assert notebooks
    files = [*site.glob("book/**/*.html"), *notebooks]
    for file in files:
        assert "application/vnd.jupyter.widget" not in file.read_text(), file.name
