"""The key of a chapter: what its code may import, found without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import jupytext
import pytest

from .extensions import ROOT, extension

imports = extension("lossviz_imports")
CHAPTERS = [path for path in (ROOT / "book").glob("*.md") if "{code-cell}" in path.read_text()]
FILES = {
    "constraints.txt": "torch==2",
    "lossviz/__init__.py": """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from . import figures, training
import importlib
def __getattr__(name):
    return importlib.import_module(f"lossviz.{name}")
""",
    "lossviz/words.py": "",
    "lossviz/training.py": '''"""Training."""
def train():
    """Train."""
    from .words import say  # only here
    return 1
''',
    "lossviz/figures/__init__.py": "from .curve import curve",
    "lossviz/figures/curve.py": "import lossviz.words\ndef curve(): ...",
    "lossviz/figures/front.js": "draw()",
    "lossviz/rooms/__init__.py": """
from importlib import import_module
def __getattr__(name):
    return getattr(import_module(f".{HOMES[name]}", __name__), name)
""",
    "lossviz/rooms/hall.py": "",
    "lossviz/rooms/attic/__init__.py": "",
    "kernels/__init__.py": "from . import tiles",
    "kernels/tiles.py": "",
    "kernels/results/cpu.json": "[1]",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def found(tree: Path, code: str) -> set[str]:
    names = imports.imported_names(imports.parse(code))
    modules = imports.Sources(tree).modules(names)
    assert "lossviz" in modules or not modules
    return {name.removeprefix("lossviz.") for name in modules} - {"lossviz"}


FIGURES, KERNELS = {"figures", "figures.curve", "words"}, {"kernels", "kernels.tiles"}


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import torch, math", set()),
        ("import lossviz", set()),
        ("import lossviz.words", {"words"}),
        ("from lossviz import words", {"words"}),
        ("from lossviz.words import say", {"words"}),
        ("def f():\n    import lossviz.words as w", {"words"}),
        ("import lossviz\nlossviz.words.say()", {"words"}),
        ("import lossviz as lv\nlv.words", {"words"}),
        ("from lossviz.training import train", {"training", "words"}),
        ("from lossviz import training as t", {"training", "words"}),
        ("from lossviz.figures import curve", FIGURES),
        ("from lossviz import figures\nfigures.curve.curve()", FIGURES),
        ("import lossviz.kernels", KERNELS),
        ("from lossviz.kernels.tiles import x", KERNELS),
        ("from lossviz.rooms.hall import x", {"rooms", "rooms.hall"}),
        ("from lossviz.rooms import stairs", {"rooms", "rooms.hall", "rooms.attic"}),
        ("import lossviz.rooms as r\nr.stairs", {"rooms", "rooms.hall", "rooms.attic"}),
    ],
)
def test_modules_that_code_may_import(tree: Path, code: str, modules: set[str]) -> None:
    assert found(tree, code) == modules


def test_what_a_package_imports_can_be_left_out(tree: Path) -> None:
    sources = imports.Sources(tree)
    names = {"lossviz.rooms.hall", "lossviz.kernels"}
    modules = sources.modules(names, without={"lossviz.rooms", "lossviz.kernels"})
    assert set(modules) == {"lossviz", "lossviz.rooms.hall"}


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(tree: Path) -> None:
        text = (tree / name).read_text()
        assert old in text
        (tree / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    "change",
    [
        edit("lossviz/training.py", '"""Training."""', '"""How to train."""\n'),
        edit("lossviz/training.py", '    """Train."""\n', ""),
        edit("lossviz/training.py", "  # only here", ""),
        edit("lossviz/__init__.py", "import figures, training", "import figures"),
        edit("lossviz/figures/curve.py", "...", "return 2"),
        edit("lossviz/figures/front.js", "draw", "paint"),
        edit("kernels/results/cpu.json", "1", "2"),
    ],
    ids=["docstrings", "only docstring", "comment", "types", "other module", "script", "data"],
)
def test_what_training_does_not_depend_on_leaves_its_key(
    tree: Path, change: Callable[[Path], object]
) -> None:
    names = {"lossviz.training"}
    before = imports.Sources(tree).key(names)
    change(tree)
    assert imports.Sources(tree).key(names) == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lossviz.training", edit("lossviz/training.py", "return 1", "return 2")),
        ("lossviz.training", edit("lossviz/words.py", "", "x = 1")),
        ("lossviz.training", edit("lossviz/__init__.py", "name}", "name.lower()}")),
        ("lossviz.training", edit("constraints.txt", "2", "3")),
        ("lossviz.training", lambda tree: (tree / "lossviz" / "words.py").unlink()),
        ("lossviz.figures", edit("lossviz/figures/front.js", "draw", "paint")),
        ("lossviz.kernels.tiles", edit("kernels/results/cpu.json", "1", "2")),
    ],
    ids=["body", "imported", "package", "versions", "gone", "script", "data"],
)
def test_what_is_imported_changes_the_key(
    tree: Path, name: str, change: Callable[[Path], object]
) -> None:
    before = imports.Sources(tree).key({name})
    change(tree)
    assert imports.Sources(tree).key({name}) != before


def loaded() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] == "lossviz"}


def imported_by(statements: list[str]) -> tuple[set[str], set[str]]:
    """Modules of the package that this process had before and after it ran the statements."""
    before = loaded()
    for statement in statements:
        exec(statement, {})
    return before, loaded()


def modules_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules that an absolute import names."""
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]


def test_no_chapter_imports_more_than_is_found() -> None:
    statements, found, outside = {}, {}, {__name__}
    for chapter in CHAPTERS:
        cells = [c.source for c in jupytext.read(chapter).cells if c.cell_type == "code"]
        tree = imports.parse("\n".join(cells))
        if names := imports.imported_names(tree):
            nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
            statements[chapter.stem] = [ast.unparse(node) for node in nodes]
            modules = {name for node in nodes for name in modules_of(node)}
            outside |= {name for name in modules if name.partition(".")[0] != "lossviz"}
            found[chapter.stem] = set(imports.HERE.modules(names))
    assert len(found) > 5
    common = set.intersection(*found.values())  # imported once for all, in front of the fork
    forks = get_context("forkserver")
    forks.set_forkserver_preload(sorted(outside | common))
    for chapter, known in found.items():
        with ProcessPoolExecutor(1, forks) as fresh:
            before, after = fresh.submit(imported_by, statements[chapter]).result()
        assert common & before, "nothing was imported in front"
        assert before <= common
        assert after <= known, chapter
