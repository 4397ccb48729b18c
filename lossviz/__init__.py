"""Loss functions to understand, then use: cross-entropy and its relatives."""

from __future__ import annotations

import importlib
from types import ModuleType

from . import losses

__version__ = "0.1.0"
__all__ = ["losses", "widgets"]


def __getattr__(name: str) -> ModuleType:
    if (
        name == "widgets"
    ):  # figures bring in sympy and a notebook's tools: only when asked for
        return importlib.import_module("lossviz.widgets")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
