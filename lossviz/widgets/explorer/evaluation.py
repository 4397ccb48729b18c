"""What is computed of a function before it is drawn, and how coarsely where it is slow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from ..loss.plane import (
    EXAMPLES,
    FlowPath,
    FunctionMistake,
    Landscape,
    LossFunction,
    PlaneLoss,
    at_margins,
)

SIDE, COARSE, COARSEST = 49, 25, 9  # points along a side of the plane
SLOW = 0.03  # seconds of a call beyond which the picture is coarse
PATIENCE = 4.0  # seconds that a landscape may take whose points are taken one by one
MARGIN, POINTS = 8, 81
PROBES = ((-2.0, 1.0), (1.0, -3.0), (3.0, 2.0))


@dataclass(frozen=True)
class Evaluation:
    """A landscape and a path, and where asked for a curve over the target's margin.

    `curve` has the rows margin, loss and pull, `examples` loss and pull of EXAMPLES; `notes` are
    sentences about what a reader would not see, and `slow` says whether a call takes long.
    """

    title: str
    settings: str
    landscape: Landscape
    path: FlowPath
    curve: torch.Tensor
    examples: torch.Tensor
    notes: tuple[str, ...]
    slow: bool

    @property
    def name(self) -> str:
        """The title with the values of the parameters."""
        return f"{self.title} ({self.settings})" if self.settings else self.title


def evaluate(
    title: str,
    function: LossFunction,
    target: int,
    start: tuple[float, float],
    *,
    settings: str = "",
    curve: bool = False,
    clock: Callable[[], float] = perf_counter,
) -> Evaluation:
    """Everything that is drawn of one function. Raises what it raises, and FunctionMistake."""
    loss = PlaneLoss(function, target)
    loss.alone, seconds = _probe(loss, clock)
    side = _side(loss, seconds)
    slow = side < SIDE
    notes = []
    if loss.alone:
        notes.append(
            "This loss looks at the other examples of the batch, or is random: the picture is for "
            "batches of one."
        )
    try:
        landscape = loss.landscape(side)
    except FunctionMistake as mistake:
        raise FunctionMistake(" ".join([str(mistake), *notes])) from None
    if slow:
        notes.append(
            f"A call takes {seconds:.2g} s, so the picture has {side} by {side} points, the path "
            "is interpolated, and all is drawn anew only when a control is let go."
        )
    notes += _not_finite(landscape.values)
    path = landscape.flow(start) if slow else loss.flow(start)
    if not path.values.isfinite().all():
        notes.append("The path ends where the loss is not finite.")
    rows, examples = torch.empty(3, 0), torch.empty(2, 0)
    if curve:
        margins = torch.linspace(-MARGIN, MARGIN, 17 if slow else POINTS)
        rows = torch.stack([margins, *_along(loss, margins)])
        examples = torch.stack(_along(loss, torch.tensor([*EXAMPLES.values()]).logit()))
    return Evaluation(title, settings, landscape, path, rows, examples, tuple(notes), slow)


def _probe(loss: PlaneLoss, clock: Callable[[], float]) -> tuple[bool, float]:
    """Whether examples influence one another, and how many seconds a call takes."""
    points = torch.tensor(PROBES)
    alone, times = [], []
    for point in points:
        before = clock()
        alone.append(loss.at(point[None])[0])
        times.append(clock() - before)
    one, together = torch.cat(alone), loss.raw(points)
    expected = (one,) if together.ndim else (one.mean(), one.sum())
    coupled = not any(torch.allclose(together, e, 1e-4, 1e-6, equal_nan=True) for e in expected)
    return coupled, min(times)


def _side(loss: PlaneLoss, seconds: float) -> int:
    """How many points a side of the plane can have, if it is not to take too long."""
    loss.at(torch.tensor(PROBES[:2]))  # which tells whether points are taken one by one
    most = COARSE if seconds > SLOW else SIDE
    if not loss.looped:
        return most
    return min(max(math.isqrt(int(PATIENCE / max(seconds, 1e-9))), COARSEST), most)


def _not_finite(values: torch.Tensor) -> list[str]:
    """How much of the plane has no number."""
    shares = {"not a number": values.isnan(), "infinite": values.isinf()}
    return [
        f"It is {what} on {found.double().mean():.0%} of the plane, which is hatched."
        for what, found in shares.items()
        if found.any()
    ]


def _along(loss: PlaneLoss, margins: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and minus its derivative in the margin, where the other two classes are alike."""
    values, gradients = loss.at(at_margins(margins, loss.target))
    direction = at_margins(torch.tensor([1.0]), loss.target) - at_margins(
        torch.tensor([0.0]), loss.target
    )
    return values, -(gradients * direction).sum(-1)
