"""What keeps readers out is found on any page, in either scheme, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .axe import barriers

PAGE = """<!doctype html><html lang="en"><title>Page</title>
<style>
    body {{ color: #222; background: #fff; }}
    .faint {{ color: #ccc; }}
    @media (prefers-color-scheme: dark) {{
        body {{ color: #eee; background: #111; }}
        .faint {{ color: #ccc; }}
        .pale {{ background: #ddd; }}
    }}
</style>
<main><h1>Page</h1><p>Many words.</p><p>More words.</p>{}</main></html>"""


@pytest.fixture
def found(tmp_path: Path, visit: Callable[..., Any]) -> Callable[..., list[list[str]]]:
    """The rules that pages with the given parts break, in their order."""

    def judge(*parts: str) -> list[list[str]]:
        known: dict[str, list[int]] = {}
        verdicts = []
        for part in parts:
            (tmp_path / "page.html").write_text(PAGE.format(part))
            with visit(tmp_path / "page.html") as seen:
                verdicts.append([v.partition(": <")[0] for v in barriers(seen, known)])
        return verdicts

    return judge


def test_a_page_in_order_has_no_barrier(found: Callable[..., Any]) -> None:
    assert found("", "<p>Others.</p>") == [[], []]


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ("<p class='faint'>Hardly there.</p>", "light: color-contrast"),
        ("<p style='font-size: 9px; color: #888'>Small.</p>", "light: color-contrast"),
        ("<div class='pale'><p>On a pale ground.</p></div>", "dark: color-contrast"),
        ("<img src='data:,'>", "light: image-alt"),
        ("<select><option>nameless</option></select>", "light: select-name"),
    ],
)
def test_a_barrier_is_found_on_a_page_after_others(
    found: Callable[..., Any], part: str, rule: str
) -> None:
    assert found("", part) == [[], [rule]]


def test_colours_are_judged_once_and_everything_else_on_each_page(
    found: Callable[..., Any],
) -> None:
    colour, name = "<p class='faint'>Hardly there.</p>", "<img src='data:,'>"
    assert found(colour + name, colour + name) == [
        ["light: color-contrast", "light: image-alt"],
        ["light: image-alt"],
    ]
