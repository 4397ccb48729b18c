"""The type stub of `lossviz.losses`, written from the declarations (``make stubs``).

A declared function has its real signature at run time only, and module classes are made when they
are asked for; the stub tells both to editors and type checkers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from .loss import Loss
from .module import class_name

HEAD = '''\
"""Written by `make stubs` from the declarations; a test keeps it fresh. Do not edit."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
'''


def stub(package: ModuleType, losses: Mapping[str, Loss]) -> str:
    """The text of the stub of a package that exports `losses`, their modules and other names."""
    others = [name for name in package.__all__ if name not in losses]
    registry = "from ..declaration.registry import Registry as Registry"
    imports = sorted([registry, *_imports(package, others)])
    parts = [
        "\n".join([HEAD, *imports]),
        'Reduction: TypeAlias = Literal["none", "mean", "sum"]',
    ]
    parts += ["LOSSES: Registry[Loss]"]
    parts += [_function(loss) for loss in losses.values()]
    parts += [_module(loss) for loss in losses.values()]
    for name in others:
        value = getattr(package, name)
        if inspect.isfunction(value) and value.__module__ == package.__name__:
            parts.append(f"def {name}{inspect.signature(value)}: ...".replace("'", ""))
    return "\n\n".join(parts) + "\n"


def write(package: ModuleType, losses: Mapping[str, Loss]) -> Path:
    """Write the stub beside the package's own file and return its path."""
    assert package.__file__ is not None
    path = Path(package.__file__).with_suffix(".pyi")
    path.write_text(stub(package, losses), encoding="utf-8")
    return path


def _imports(package: ModuleType, names: Iterable[str]) -> Iterator[str]:
    """Re-exports of what is defined elsewhere, under the same name."""
    parent = package.__name__.rpartition(".")[0]
    for name in names:
        value = getattr(package, name)
        defined = inspect.isclass(value) or inspect.isfunction(value)
        home = value.__module__ if defined else package.__name__
        if home == package.__name__ or not home.startswith(parent):
            continue
        inside = home.startswith(package.__name__ + ".")
        place = home.removeprefix(package.__name__) if inside else "." + home.removeprefix(parent)
        yield f"from {place} import {name} as {name}"


def _arguments(parameters: Iterable[inspect.Parameter]) -> str:
    """Arguments as they are written, one line each, with the names of types bare."""
    lines, starred = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        kind = "Reduction" if p.name == "reduction" else p.annotation
        default = "" if p.default is p.empty else f" = {p.default!r}".replace("'", '"')
        lines.append(f"{p.name}: {kind}{default}")
    return "".join(f"    {line},\n" for line in lines)


def _function(loss: Loss) -> str:
    arguments = _arguments(loss.signature.parameters.values())
    return f"def {loss.key}(\n{arguments}) -> torch.Tensor: ..."


def _module(loss: Loss) -> str:
    parameters = loss.signature.parameters.values()
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    given = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    lines = [f"class {class_name(loss.key)}(torch.nn.Module):"]
    lines += [f"    {p.name}: {p.annotation}" for p in named]
    for name, arguments, result in (
        ("__init__", named, "None"),
        ("forward", given, "torch.Tensor"),
        ("__call__", given, "torch.Tensor"),
    ):
        inner = _arguments(arguments).replace("    ", "        ")
        lines.append(f"    def {name}(\n        {this.name},\n{inner}    ) -> {result}: ...")
    return "\n".join(lines)
