"""Loss functions to understand, then use: cross-entropy and its relatives."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import losses

if TYPE_CHECKING:
    from . import analysis, experiments, kernels, theory, widgets
    from .reporting import report

__version__ = "0.1.0"
__all__ = ["analysis", "experiments", "kernels", "losses", "report", "theory", "widgets"]


def __getattr__(name: str) -> Any:
    if name == "report":
        return importlib.import_module("lossviz.reporting").report
    if name in __all__:  # what a training loop does not need is imported when it is asked for
        return importlib.import_module(f"lossviz.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
