"""Pages are laid out like the package: tidy cells of 88 columns, and prose of 100."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    place = Path(__file__).with_name("style.py")
    spec = importlib.util.spec_from_file_location("lossviz_style", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


style = _load()
every_page = pytest.mark.parametrize("page", style.pages(), ids=lambda page: page.name)

WORDS = "word " * 30
TIDY = f"""---
title: {WORDS}
---

(target)=
# A heading has one line: {WORDS}

| a table | has its rows |
|---|---|
| {WORDS} | {WORDS} |

$$
{"a + " * 30} b
$$ (eq-long)

```{{code-cell}}
:tags: [hide-input]

text = "{"code " * 30}"
```

[definition]: https://example.org/{"address/" * 20}
"""


@every_page
def test_the_cells_of_a_page_are_formatted(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert style.formatted(text) == text, "make format"


@every_page
def test_the_prose_of_a_page_is_wrapped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert style.wrapped(text) == text, "make format"


@every_page
def test_no_measured_number_runs_into_another_or_leaves_its_percent_sign(page: Path) -> None:
    prose = style.CELL.sub("", page.read_text(encoding="utf-8"))
    assert not re.findall(r"\d\$?\s+\{glue:text\}.*", prose)
    assert not re.findall(r".*\{glue:text\}`[^`]*`\s+%", prose)


@every_page
def test_the_cells_of_a_page_use_what_they_import_in_order_and_have_no_long_line(
    page: Path,
) -> None:
    assert not style.complaints(page.read_text(encoding="utf-8"))


def test_what_cannot_be_wrapped_stays_as_it_is() -> None:
    assert style.wrapped(TIDY) == TIDY
    assert style.formatted(TIDY) == TIDY


@pytest.mark.parametrize(
    ("page", "first", "others"),
    [
        (f"{WORDS}\n", "word", "word"),
        (f"- {WORDS}\n- short\n", "- word", "  word"),
        (f":::{{note}}\n{WORDS}\n:::\n", "word", "word"),
        *((f"```{{code-cell}}\n---\nmystnb:\n  {key}: >-\n      {WORDS}\n---\nx\n```\n",
           "      word", "      word") for key in ("image:\n    alt", "figure:\n    caption")),
    ],
    ids=["a paragraph", "an item", "a paragraph of a directive", "the description of a picture",
         "the caption of a picture"],
)  # fmt: skip
def test_long_prose_is_wrapped_at_spaces_with_its_indent(
    page: str, first: str, others: str
) -> None:
    lines = style.wrapped(page).splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(" ".join(lines).split()) == " ".join(page.split())
    broken = [line for line in lines if "word word" in line]
    assert len(broken) == 2
    assert broken[0].startswith(first)
    assert broken[1].startswith(others)
    assert style.wrapped("\n".join(lines) + "\n") == "\n".join(lines) + "\n"


def places(piece: str) -> Iterator[list[str]]:
    """The lines of a paragraph in which a piece stands near the edge."""
    for width in range(80, 100):
        yield style.wrapped(f"{'x' * width} {piece} {'y' * 30}\n").splitlines()


@pytest.mark.parametrize("piece", ["$a + b$", "`code with spaces`", "{doc}`a page <b>`"])
def test_no_line_breaks_within_maths_or_code(piece: str) -> None:
    assert all(any(piece in line for line in lines) for lines in places(piece))


@pytest.mark.parametrize("mark", ["-", "+", "#", ">", "=", "1.", "23)", ":::", "$$"])
def test_no_line_starts_with_what_would_start_a_block(mark: str) -> None:
    assert not any(line.startswith(mark) for lines in places(f"{mark} a") for line in lines)


def test_a_cell_is_judged_like_the_package() -> None:
    cell = "```{code-cell}\nimport torch\nimport math\nx = {  'a':math.pi }\n```\n"
    assert 'x = {"a": math.pi}' in style.formatted(cell)
    assert {"I001", "F401"} == {
        word for word in style.complaints(cell).split() if word[1:].isdigit()
    }
