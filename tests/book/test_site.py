"""How the book is built, on books of a page or two with the real book's settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from .extensions import ROOT, extension

PACKAGE = {
    "constraints.txt": "",
    "lossviz/__init__.py": "",
    "lossviz/first.py": '"""One."""\nvalue = 1\n',
    "lossviz/second.py": "value = 2\n",
    "lossviz/third.py": "value = 3\n",
}
PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
---

# Page

```{code-cell}
CODE
```
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book without pages beside a small package; the atlas stays at home."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    settings["sphinx"]["config"]["extensions"].remove("lossviz_atlas")
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(settings))
    for name in ("book/_ext", "book/_static"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    for name, text in PACKAGE.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def write(book: Path, **pages: str) -> None:
    """Pages by name, with the code of their cells."""
    for name, code in pages.items():
        (book / "book" / f"{name}.md").write_text(PAGE.replace("CODE", code))
    root, *others = pages
    contents: dict[str, object] = {"format": "jb-book", "root": f"book/{root}"}
    if others:
        contents["chapters"] = [{"file": f"book/{name}"} for name in others]
    (book / "_toc.yml").write_text(yaml.safe_dump(contents))


def build(book: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", ".", "-W", "-n", "--keep-going"]
    return subprocess.run(command, cwd=book, capture_output=True, text=True, check=False)


def built(book: Path) -> dict[str, str]:
    """What the pages show of the runs counted, after a build without complaint."""
    done = build(book)
    assert done.returncode == 0, done.stderr
    pages = {page: page.read_text() for page in (book / "_build/html/book").glob("*.html")}
    return {page.stem: ",".join(re.findall(r"run \d", text)) for page, text in pages.items()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_page_is_run_again_when_what_it_imports_changes_and_not_otherwise(book: Path) -> None:
    count = """
from pathlib import Path
from types import SimpleNamespace
from typing import Any
runs = Path("../NAME")
with runs.open("a") as file:
    file.write("I")
if not runs.exists():
    from lossviz import NAME
print("run", len(runs.read_text()))
"""
    write(book, **{name: count.replace("NAME", name) for name in ("first", "second")})
    assert built(book) == {"first": "run 1", "second": "run 1"}

    edit(book / "lossviz" / "first.py", '"""One."""', '"""Two."""  # words')
    edit(book / "lossviz" / "third.py", "3", "4")
    edit(book / "lossviz" / "second.py", "2", "3")
    with (book / "book" / "first.md").open("a") as text:
        text.write("\nOne more sentence.\n")
    assert built(book) == {"first": "run 1", "second": "run 2"}
    assert "One more sentence" in (book / "_build/html/book/first.html").read_text()

    edit(book / "lossviz" / "first.py", "1", "2")
    edit(book / "lossviz" / "second.py", "3", "2")  # and what was known is not run again
    assert built(book) == {"first": "run 2", "second": "run 1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"error": ("1 / 0", "ZeroDivisionError")},
        {
            "warning": ("import warnings; warnings.warn('careful')", "stderr"),
            "reference": ("1\n```\n\nSee {ref}`nowhere`.\n\n```{code-cell}\n2", "nowhere"),
        },
    ],
    ids=["an error", "a warning and a broken reference"],
)
def test_what_is_wrong_on_a_page_fails_the_build(
    book: Path, wrong: dict[str, tuple[str, str]]
) -> None:
    write(book, right="1", **{name: code for name, (code, _) in wrong.items()})
    failed = build(book)
    assert failed.returncode != 0
    complaints = [line for line in failed.stderr.splitlines() if ": WARNING: " in line]
    assert {Path(line.partition(".md:")[0]).name for line in complaints} == {*wrong}
    assert all(message in failed.stderr for _, message in wrong.values())


def test_icons_are_kept_by_name_and_by_alias_and_others_go() -> None:
    keep = extension("lossviz_icons").keep_icons
    moon, sun = 'moon:[1,2,[],"f1","M0"],', '"far-sun":[1,2,[7,"sol"],"f2",["M0","M1"]],'
    dog = 'dog:[1,2,[],"f3","M"]'
    assert keep(f"x={{{moon}{sun}{dog}}}", {"sol"}) == f"x={{{sun}}}"
    assert keep(f"x={{{moon}{sun}{dog}}}", {"moon", "dog"}) == f"x={{{moon}{dog}}}"


def test_docstring_sections_become_rubrics_and_parameters_definitions() -> None:
    lines = [
        "Sum.",
        "",
        "Parameters",
        "----------",
        "q : number",
        "    in nats.",
        "",
        "Notes",
        "-----",
    ]
    extension("lossviz_docstrings").show_sections(None, "", "", None, None, lines)
    assert lines[2:6] == [".. rubric:: Parameters", "", "``q``", "    number"]
    assert lines[-2:] == [".. rubric:: Notes", ""]


def test_every_declared_loss_has_a_passport_in_the_contents() -> None:
    from lossviz.losses import LOSSES

    atlas = extension("lossviz_atlas")
    assert all(f"#loss-{key}" in atlas.index() for key in LOSSES)
    assert all(f"lossviz.losses.{key}\n" in atlas.api() for key in LOSSES)
    for loss in LOSSES.values():
        text = atlas.passport(loss)
        assert loss.latex in text
        assert loss.gradient in text
        assert ("## Gradient" in text) == bool(loss.gradient)
        assert all(source.key in text for source in loss.sources)
        assert all(atlas._plain(fact.statement.rstrip(".")) in text for fact in loss.facts)
        assert text.count("tested)") >= sum(fact.checked for fact in loss.facts)
        assert all(parameter.at_high in text for parameter in loss.parameters)
        assert all(f"| `{argument.name}`" in text for argument in loss.inputs.arguments)
        assert (atlas.READING in text) == loss.reading
        assert "lossviz-live" in text


def test_a_picture_is_drawn_again_only_when_its_key_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossviz.losses import LOSSES

    pictures, times = extension("lossviz_pictures"), []

    def draw(loss: Any) -> Any:
        times.append(loss.key)
        return SimpleNamespace(html=lambda: f"drawn {len(times)}")

    draw.__module__ = pictures.picture.__module__
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(pictures, "picture", draw)
    drawn = [pictures.figure_html(LOSSES["focal"]) for _ in range(3)]
    assert drawn == ["drawn 1"] * 3
    monkeypatch.setattr(pictures, "HERE", SimpleNamespace(key=lambda *_, **__: "another"))
    assert pictures.figure_html(LOSSES["focal"]) == "drawn 2"
    assert len([*tmp_path.rglob("*.html")]) == 1


def test_a_picture_depends_on_what_draws_it_and_on_its_own_loss_alone() -> None:
    from lossviz.losses import LOSSES

    pictures = extension("lossviz_pictures")
    names = [pictures.picture.__module__, LOSSES["focal"].formula.__module__]
    modules = set(pictures.HERE.modules(names, without=pictures.LISTS))
    assert {*names, "lossviz.declaration.rows", "lossviz.widgets.vega.frame"} <= modules
    assert LOSSES["gaussian_nll"].formula.__module__ not in modules
    assert "lossviz.widgets.explorer.explore" not in modules


def test_the_index_groups_losses_by_what_a_reader_has_and_then_by_family() -> None:
    from lossviz.losses import LOSSES

    atlas = extension("lossviz_atlas")
    sections = [part for part in atlas.index().split("## ") if "#loss-" in part]
    assert len(sections) == len({atlas.in_hand(loss) for loss in LOSSES.values()})
    for section in sections:
        given, *_ = section.partition("\n")
        keys = [key for key in LOSSES if f"#loss-{key})" in section]
        assert {atlas.in_hand(LOSSES[key]) for key in keys} == {given}
        order = [line.split(" | ")[2] for line in section.splitlines()[4:] if line]
        assert [f for k, f in enumerate(order) if f not in order[:k]] == [
            f for k, f in enumerate(order) if k == 0 or order[k - 1] != f
        ]


def test_our_own_reading_has_its_banner_and_no_gradient_without_a_formula() -> None:
    from dataclasses import replace

    from lossviz.losses import LOSSES

    atlas = extension("lossviz_atlas")
    loss = replace(LOSSES["focal"], form=None, derivative=None, reading=True)
    atlas.figure_html = lambda _: ""
    text = atlas.passport(loss)
    assert atlas.READING in text
    assert "## Gradient" not in text
