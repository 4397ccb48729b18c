"""How pages are laid out: cells formatted as the package is, in lines of 88 columns, which a page
shows without breaking them, and prose in lines of 100.

`make format` calls this to rewrite the pages; `test_style.py` asks that nothing is left to do. What
a page says is not touched: lines break at spaces only, and never where Markdown would read the next
word as the start of something else.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 100
CELL_COLUMNS = 88
CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n(?P<options>(?:---\n.*?^---\n|(?::[^\n]*\n)*\n*))"
    r"(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What no line may break: maths, code with its role, and the address of a link.
ATOM = re.compile(r"(?:\{[\w:-]+\})?(`+)(?!`).+?(?<!`)\1(?!`)|\$[^$\n]+\$|\]\([^)\s]*\)", re.DOTALL)
# What Markdown reads as the start of a block.
OPENS_BLOCK = re.compile(r"([-+*>|%#=:]|\d+[.)]$|\$\$|```|~~~|<|\[[^\]]*\]:|\([\w-]+\)=)")
# Lines that stand as they are: headings, tables, options, targets, comments, raw HTML, definitions.
FIXED = re.compile(r"\s*(#|\||:[\w-]+:|\([\w-]+\)=$|%|<|\[[^\]]+\]:|---|\+\+\+|\*\*\*$|===)")
ITEM = re.compile(r"(\s*)((?:[-*+:>]|\d+[.)])\s+)")


def pages() -> list[Path]:
    """Every page and text in Markdown that is written by hand."""
    return [*sorted((ROOT / "book").glob("*.md")), *sorted(ROOT.glob("*.md"))]


def formatted(text: str) -> str:
    """The page with its code cells formatted by ruff, by the package's settings but the width."""
    cells = list(CELL.finditer(text))
    if not cells:
        return text
    made = json.loads(_ruff("format", text).stdout)["cells"]
    for cell, new in zip(reversed(cells), reversed(made), strict=True):
        text = text[: cell.start("code")] + "".join(new["source"]) + "\n" + text[cell.end("code") :]
    return text


def complaints(text: str) -> str:
    """What ruff says of imports, unknown and unused names, and long lines in the cells of a page.

    An unused import of one cell is one that no cell of the page uses.
    """
    return _ruff(
        "check", text, "--select", "F,I,E501", "--output-format", "concise", "--quiet"
    ).stdout


def _ruff(command: str, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ruff on the cells of a page as one notebook."""
    notebook = {
        "cells": [
            {
                "cell_type": "code",
                "id": str(number),
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                "source": cell["code"].rstrip("\n").splitlines(keepends=True),
            }
            for number, cell in enumerate(CELL.finditer(text))
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    program = str(Path(sys.executable).with_name("ruff"))
    width = "--line-length", str(CELL_COLUMNS)
    run = subprocess.run(
        [program, command, *options, *width, "--stdin-filename", "cells.ipynb", "-"],
        input=json.dumps(notebook),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if run.returncode > 1 or "error" in run.stderr.lower():
        raise RuntimeError(run.stderr)
    return run


def wrapped(text: str) -> str:
    """The page with every paragraph, item, caption and description in lines of 100 columns.

    Only what has a longer line is filled anew.
    """
    out: list[str] = []
    paragraph: list[str] = []
    inner = 0

    def flush() -> None:
        if any(len(line) > COLUMNS for line in paragraph):
            out.extend(_filled(paragraph))
        else:
            out.extend(paragraph)
        paragraph.clear()

    for kind, line in _kinds(text.splitlines()):
        if kind == "fixed" or ITEM.match(line) or (paragraph and _indent(line) != inner):
            flush()
        if kind == "fixed":
            out.append(line)
        else:
            paragraph.append(line)
            inner = _indent(line)
    flush()
    return "\n".join(out) + "\n"


def _kinds(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each line with "prose" or "fixed"."""
    verbatim = ""  # the fence that ends a block of code or maths
    in_header = description = False
    for number, line in enumerate(lines):
        bare = line.strip()
        if in_header:
            in_header = bare != "---"
            description = in_header and (description and line.startswith(" " * 6))
            yield ("prose" if description else "fixed"), line
            description = description or bare in ("alt: >-", "caption: >-")
        elif verbatim:
            if bare.startswith("$$") if verbatim == "$$" else _closes(bare, verbatim):
                verbatim = ""
            in_header = bare == "---" and lines[number - 1].startswith("```{code-cell}")
            yield "fixed", line
        elif number == 0 and bare == "---":
            in_header = True
            yield "fixed", line
        elif bare.startswith("$$"):
            verbatim = "" if bare.count("$$") > 1 else "$$"
            yield "fixed", line
        elif fence := re.match(r"(`{3,}|~{3,})(.*)", bare):
            holds_prose = re.match(r"\{(?!code|math|bibliography|glue|raw|eval)", fence[2])
            if fence[2] and not holds_prose:
                verbatim = fence[1]
            yield "fixed", line
        elif not bare or bare.startswith(":::") or FIXED.match(line):
            yield "fixed", line
        else:
            yield "prose", line


def _closes(bare: str, fence: str) -> bool:
    return len(bare) >= len(fence) and set(bare) == {fence[0]}


def _indent(line: str) -> int:
    """Where the text of a line starts, behind the mark of an item."""
    item = ITEM.match(line)
    return len(item[0]) if item else len(line) - len(line.lstrip())


def _filled(lines: list[str]) -> Iterator[str]:
    first = lines[0][: _indent(lines[0])]
    rest = " " * len(first)
    body = " ".join([lines[0][len(first) :].strip(), *(line.strip() for line in lines[1:])])
    line = first
    for word in _words(body):
        joined = line + word if line in (first, rest) else f"{line} {word}"
        if len(joined) > COLUMNS and line.strip() and line not in (first, rest):
            yield line
            joined = rest + word
        line = joined
    yield line


def _words(body: str) -> list[str]:
    """Pieces between which a line may break."""
    held = ATOM.sub(lambda atom: atom[0].replace(" ", "\0"), body)
    words: list[str] = []
    for word in held.split():
        if words and OPENS_BLOCK.match(word):
            words[-1] += " " + word
        else:
            words.append(word)
    return [word.replace("\0", " ") for word in words]


def main() -> None:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        styled = wrapped(formatted(text))
        if styled != text:
            page.write_text(styled, encoding="utf-8")
            print(f"formatted {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
