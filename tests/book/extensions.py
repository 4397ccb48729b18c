"""The book's own extensions of Sphinx, as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def extension(name: str) -> ModuleType:
    """The extension of that name, which finds the others as it does in Sphinx."""
    folder = str(ROOT / "book" / "_ext")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)
