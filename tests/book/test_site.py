"""How the book is built, on a book of one page with the real book's settings."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[2]
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


def extension(name: str) -> ModuleType:
    """One of the book's own extensions, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book of one page; the atlas stays at home."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    settings["sphinx"]["config"]["extensions"].remove("lossviz_atlas")
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(settings))
    (tmp_path / "_toc.yml").write_text("{format: jb-book, root: book/page}")
    for name in ("book/_ext", "book/_static"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    (tmp_path / "lossviz").mkdir()
    (tmp_path / "lossviz" / "number.txt").write_text("1")
    write(tmp_path, "open('../lossviz/number.txt').read()")
    return tmp_path


def write(book: Path, code: str) -> None:
    (book / "book" / "page.md").write_text(PAGE.replace("CODE", code))


def build(book: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", ".", "-W", "-n", "--keep-going"]
    return subprocess.run(command, cwd=book, capture_output=True, text=True, check=False)


def test_page_is_run_again_when_the_package_changes_and_not_otherwise(book: Path) -> None:
    page = book / "_build" / "html" / "book" / "page.html"
    first = build(book)
    assert first.returncode == 0, first.stderr
    assert "'1'" in page.read_text() or "&#39;1&#39;" in page.read_text()

    with (book / "book" / "page.md").open("a") as text:
        text.write("\nOne more sentence.\n")
    second = build(book)
    assert second.returncode == 0
    assert "Using cached notebook" in second.stdout + second.stderr

    (book / "lossviz" / "number.txt").write_text("2")
    third = build(book)
    assert third.returncode == 0
    assert "'2'" in page.read_text() or "&#39;2&#39;" in page.read_text()
    assert len(list((book / "_build" / ".jupyter_cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('careful')", "stderr"),
        ("1\n```\n\nSee {ref}`nowhere`.\n\n```{code-cell}\n2", "nowhere"),
    ],
    ids=["an error", "a warning", "a broken reference"],
)
def test_what_is_wrong_on_a_page_fails_the_build(book: Path, code: str, message: str) -> None:
    write(book, code)
    failed = build(book)
    assert failed.returncode != 0
    assert message in failed.stderr


def test_content_key_follows_every_file_but_bytecode(tmp_path: Path) -> None:
    content_key = extension("lossviz_execution").content_key
    package = tmp_path / "lossviz" / "inner"
    package.mkdir(parents=True)
    (package / "one.py").write_text("1")
    keys = [content_key(tmp_path)]
    (package / "one.py").write_text("2")
    keys.append(content_key(tmp_path))
    (package / "one.py").rename(package / "two.py")
    keys.append(content_key(tmp_path))
    (tmp_path / "constraints.txt").write_text("torch")
    keys.append(content_key(tmp_path))
    assert len(set(keys)) == 4
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "two.pyc").write_text("2")
    assert content_key(tmp_path) == keys[-1]


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
