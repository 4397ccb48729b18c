"""The package has floors: imports lead down, or stay within a room, and never run in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# from the ground up; the rooms of one floor do not know each other
FLOORS = (
    ("declaration",),
    ("losses",),
    ("theory", "kernels"),
    ("analysis",),
    ("experiments",),
    ("reporting",),
    ("widgets",),
)
ROOMS_OF_WIDGETS = (
    ("runtime",),
    ("live",),
    ("vega",),
    ("loss",),
    ("chapters", "explorer", "playground"),
)

Imports = Mapping[str, set[str]]


def modules(folder: Path, package: str) -> dict[str, Path]:
    """Every module below the folder of a package, by its dotted name."""
    found = {}
    for path in folder.rglob("*.py"):
        inside = path.relative_to(folder).with_suffix("").parts
        found[".".join([package, *(part for part in inside if part != "__init__")])] = path
    return found


def imports(named: Mapping[str, Path]) -> Imports:
    """What each module imports, wherever it stands: in functions and for type checking too."""
    return {name: set(imported(name, path, named)) for name, path in named.items()}


def imported(name: str, path: Path, named: Mapping[str, Path]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"  # a module, or a name in one
                yield inner if inner in named else source


def against(order: Sequence[tuple[str, ...]], package: str, found: Imports) -> list[str]:
    """The imports from one room of a package to another that is not on a lower floor."""
    floor = {f"{package}.{room}": number for number, rooms in enumerate(order) for room in rooms}

    def room(module: str) -> str:
        return ".".join(module.split(".")[: package.count(".") + 2])

    return [
        f"{module} imports {target}"
        for module, targets in found.items()
        for target in sorted(targets)
        if room(module) in floor and room(target) in floor and room(module) != room(target)
        if floor[room(target)] >= floor[room(module)]
    ]


def circle(found: Imports) -> list[str]:
    """Modules that import one another in a circle, if there is one."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def house() -> Imports:
    return imports(
        modules(ROOT / "lossviz", "lossviz") | modules(ROOT / "kernels", "lossviz.kernels")
    )


def test_imports_lead_to_lower_floors(house: Imports) -> None:
    assert not against(FLOORS, "lossviz", house)


def test_imports_among_the_rooms_of_widgets_lead_to_lower_ones(house: Imports) -> None:
    assert not against(ROOMS_OF_WIDGETS, "lossviz.widgets", house)


def test_no_module_imports_from_the_book(house: Imports) -> None:
    extensions = {path.stem for path in (ROOT / "book" / "_ext").glob("*.py")}
    assert extensions
    assert not [module for module, targets in house.items() if targets & extensions]


def test_no_modules_import_one_another_in_a_circle(house: Imports) -> None:
    assert not circle(house)


def test_every_module_stands_on_a_floor(house: Imports) -> None:
    known = {room for rooms in FLOORS for room in rooms}
    assert {name.split(".")[1] for name in house if name != "lossviz"} <= known
    assert not set((ROOT / "lossviz").glob("*.py")) - {ROOT / "lossviz" / "__init__.py"}


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "lossviz").rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders} | {"lossviz.kernels"}
    assert set(settings["packages"]) == packages


def test_imports_are_read_wherever_they_stand(tmp_path: Path) -> None:
    """Relative ones, those inside functions, and those for type checkers; and circles are seen."""
    files = {
        "__init__.py": "",
        "low/__init__.py": "",
        "low/one.py": "def f():\n    from ..high import two",
        "low/two.py": "if TYPE_CHECKING:\n    import house.high.two",
        "low/three.py": "from . import one\nfrom .two import name",
        "high/__init__.py": "from ..low.one import f",
        "high/two.py": "from ..low import one",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = imports(modules(tmp_path, "house"))
    order = (("low",), ("high",))
    assert found["house.low.three"] == {"house.low.one", "house.low.two"}
    assert found["house.high"] == {"house.low.one"}
    assert sorted(against(order, "house", found)) == [
        "house.low.one imports house.high.two",
        "house.low.two imports house.high.two",
    ]
    assert against((("low", "high"),), "house", {"house.high": {"house.low.one"}})
    assert set(circle(found)) == {"house.low.one", "house.high.two"}


def test_every_floor_opens_when_it_is_asked_for() -> None:
    script = """
        import sys, lossviz
        floors = ["analysis", "experiments", "kernels", "losses", "theory", "widgets"]
        assert set(floors) <= set(dir(lossviz)), dir(lossviz)
        closed = [floor for floor in floors if f"lossviz.{floor}" not in sys.modules]
        assert closed == ["analysis", "experiments", "kernels", "theory", "widgets"], closed
        for floor in floors:
            assert getattr(lossviz, floor) is sys.modules[f"lossviz.{floor}"]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_wrong_name_is_an_attribute_error() -> None:
    import lossviz

    with pytest.raises(AttributeError, match="'lossviz' has no attribute 'loses'"):
        lossviz.loses  # noqa: B018
