"""Losses of one row as functions of its statistics: O(N) arithmetic on top of the O(NVD) pass.

The formulas are those of `lossviz.losses`, of every loss there that reads a row and nothing else:
ask for one as ``loss="focal"`` (its defaults) or ``loss=Focal(gamma=3.0)``, of a frozen dataclass
that is made here from each declaration. Any function of a `RowStatistics` that returns (N,) losses
serves as well; a tuple `needs` on it names the statistics that it reads, without it all are made.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar

import torch

from lossviz.declaration import Loss
from lossviz.declaration.module import class_name
from lossviz.declaration.rows import Reading, reading
from lossviz.losses import LOSSES

from .statistics import STATISTICS, RowStatistics, parts_of

RowFunction = Callable[[RowStatistics], torch.Tensor]


@dataclass(frozen=True)
class RowLoss:
    """A declared loss with its parameters, as a function of a `RowStatistics` that returns (N,).

    Raises as the loss does for parameters out of range, when it is made.
    """

    declaration: ClassVar[Loss]
    reading: Reading = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for parameter in self.declaration.parameters:
            parameter.check(getattr(self, parameter.name))
        found = reading(self.declaration.formula, **self.parameters)
        object.__setattr__(self, "reading", found)

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return {p.name: getattr(self, p.name) for p in self.declaration.parameters}

    @property
    def needs(self) -> tuple[str, ...]:
        """The statistics that the formula reads."""
        return parts_of(self.reading.statistics)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return self.declaration.formula(row, **self.parameters)


def _class_of(loss: Loss) -> type[RowLoss]:
    ranges = "".join(
        f"\n`{p.name}` in {p.interval}, default {p.default:g}: {p.meaning}."
        for p in loss.parameters
    )
    return make_dataclass(
        class_name(loss.key),
        [(p.name, float, p.default) for p in loss.parameters],
        bases=(RowLoss,),
        frozen=True,
        namespace={
            "declaration": loss,
            "__module__": __name__,
            "__doc__": f"{loss.title}: {loss.summary}\n{ranges}".rstrip(),
        },
    )


_CLASSES = {key: _class_of(loss) for key, loss in LOSSES.items() if loss.of_a_row}
# Of a label alone cross-entropy is the logistic loss; what more it takes are arguments of the door.
ROW_LOSSES: dict[str, type[RowLoss]] = {"cross_entropy": _CLASSES["logistic"], **_CLASSES}
_AT_DEFAULTS = {key: made() for key, made in ROW_LOSSES.items()}
_BY_NAME = {made.__name__: made for made in _CLASSES.values()}


def __getattr__(name: str) -> Any:
    """The classes by name."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_BY_NAME])


def row_loss(loss: str | RowFunction) -> RowFunction:
    """The loss of a name, or the function itself.

    Raises ValueError for an unknown name, TypeError for what is neither name nor function.
    """
    if isinstance(loss, str):
        if loss not in ROW_LOSSES:
            close = difflib.get_close_matches(loss, ROW_LOSSES, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"loss must be one of {tuple(ROW_LOSSES)}, got {loss!r}{hint}")
        return _AT_DEFAULTS[loss]
    if not callable(loss):
        raise TypeError(f"loss must be a name or a function of row statistics, got {loss!r}")
    if isinstance(loss, type):
        raise TypeError(f"loss must be an instance, as {loss.__name__}(), got the class itself")
    if isinstance(loss, torch.nn.Module) and type(loss).__module__ == "lossviz.losses":
        raise TypeError(
            f"loss must be a function of row statistics, got {loss!r}, which takes logits: give "
            "the name, or a class of lossviz.kernels.row_losses with its parameters"
        )
    unknown = set(getattr(loss, "needs", ())) - set(STATISTICS)
    if unknown:
        raise ValueError(f"loss.needs must be among {STATISTICS}, got {sorted(unknown)}")
    return loss
