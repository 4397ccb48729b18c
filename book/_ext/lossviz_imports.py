"""What a piece of code imports of this package, and a key that changes when any of it does.

Imports are read off the code, never run: those inside functions count, and so does a submodule that
is reached by its name alone (``lossviz.theory``). Comments, docstrings and what only type checkers
read do not count, as nothing computed depends on them; data files beside a module do.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOP = "lossviz"
FOLDERS = {"lossviz.kernels": "kernels", TOP: "lossviz"}  # the inner one first
VERSIONS = "constraints.txt"
IMPORTS = "lossviz_imports"  # where a notebook's kernel tells what its cells import


def parse(code: str) -> ast.Module:
    """The syntax tree without docstrings and without the imports of type checkers."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and _dotted(node.test).endswith("TYPE_CHECKING"):
            node.body = []
        elif isinstance(statements := getattr(node, "body", None), list):
            node.body = [each for each in statements if not _is_constant(each)]
    return tree


def _is_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` where the code says so, else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def imported_names(tree: ast.Module, package: str = "") -> set[str]:
    """Dotted names, of modules or of what is in them, that code in `package` may import."""
    found, bound = set[str](), dict[str, str]()
    parts = package.split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.add(alias.name)
                first = alias.name.partition(".")[0]
                bound[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f"{base}.{alias.name}")
                bound[alias.asname or alias.name] = f"{base}.{alias.name}"
    for node in ast.walk(tree):
        name, _, rest = _dotted(node).partition(".")
        if rest and name in bound:
            found.add(f"{bound[name]}.{rest}")
    return {name for name in found if name.partition(".")[0] == TOP}


class Module:
    """What is read of one module's file."""

    def __init__(self, name: str, path: Path) -> None:
        tree = parse(path.read_text(encoding="utf-8"))
        self.folder = path.parent if path.name == "__init__.py" else None
        self.names = imported_names(tree, name if self.folder else name.rpartition(".")[0])
        self.serves_unwritten_names = self.folder is not None and any(
            _dotted(node).endswith("import_module") for node in ast.walk(tree)
        )
        self.digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
        # the data of the top package belong to the packages in it
        self.data = {
            path
            for path in (self.folder.rglob("*") if self.folder and name != TOP else ())
            if path.is_file() and not path.suffix.startswith(".py")
        }


@dataclass
class Sources:
    """The modules of the repository at `root`, each read once."""

    root: Path
    _read: dict[str, Module | None] = field(default_factory=dict)

    def module(self, name: str) -> Module | None:
        """The module of that name, if there is one."""
        if name not in self._read:
            path = self._path(name)
            self._read[name] = Module(name, path) if path else None
        return self._read[name]

    def _path(self, name: str) -> Path | None:
        for package, folder in FOLDERS.items():
            if name == package or name.startswith(f"{package}."):
                place = self.root.joinpath(folder, *name[len(package) :].split(".")[1:])
                choices = (place / "__init__.py", place.with_suffix(".py"))
                return next((path for path in choices if path.is_file()), None)
        return None

    def modules(self, names: Iterable[str], without: Collection[str] = ()) -> dict[str, Module]:
        """The modules that code with these imports may run; what `without` imports is left out."""
        found: dict[str, Module] = {}
        waiting = list(names)
        while waiting:
            owner, parts = None, waiting.pop().split(".")
            for end in range(1, len(parts) + 1):
                name = ".".join(parts[:end])
                if name in without:
                    owner = None
                    continue
                module = self.module(name)
                if module is None:
                    if owner and owner.serves_unwritten_names:
                        waiting += self._below(".".join(parts[: end - 1]))
                    break
                if name not in found:
                    found[name] = module
                    waiting += module.names
                owner = module
        return found

    def _below(self, package: str) -> Iterator[str]:
        path = self._path(package)
        assert path is not None
        for file in path.parent.rglob("*.py"):
            parts = file.relative_to(path.parent).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")])

    def key(self, names: Iterable[str], without: Collection[str] = ()) -> str:
        """Sixteen hexadecimal digits of these modules, their data and the exact versions."""
        modules = self.modules(names, without)
        beside = [*modules.values(), *filter(None, map(self.module, without))]
        files = {self.root / VERSIONS}.union(*(module.data for module in beside))
        parts = [f"{name} {module.digest}" for name, module in modules.items()]
        for path in files:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            parts.append(f"{path.relative_to(self.root).as_posix()} {content}")
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


HERE = Sources(Path(__file__).parents[2])
