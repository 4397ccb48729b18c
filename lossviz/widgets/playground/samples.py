"""A loss without a symbolic form as numbers of its torch function: a curve and a plane.

There is one frame for all stops of the parameters that the picture of the loss runs over; all other
parameters keep their defaults. Values and pulls are kept to eleven digits, the directions that the
path follows, which is interpolated between them, to five.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

from ...losses import Loss
from ..live import Slider
from ..loss.axes import Plane, plane
from ..loss.plane import EXAMPLES, at_margins
from ..loss.subject import framed, frames

POINTS = 161  # along a curve
SIDE = 25  # of the plane
MOST, MOST_EACH = 7, 5  # frames of one parameter, and of each where there are two
DIGITS, COARSE = 11, 5
MARGIN = 8.0


def by_margin(drawn: Plane) -> bool:
    """Whether the plane is of three logits, with the label that is at the right of it."""
    loss = drawn.scene.loss
    logits, *others = (loss.inputs[name] for name in drawn.moved)
    letter = logits.letters[-1:]
    labels = [
        drawn.scene.rest[a.name]
        for a in loss.inputs.required
        if (a.kind.counts,) == letter and a.letters == logits.letters[:-1]
    ]
    return not others and bool(labels) and not labels[0].any()


def stops(loss: Loss) -> dict[str, Slider]:
    """The sliders of the parameters over which the frames run, by name."""
    parameters = framed(loss)
    most = MOST if len(parameters) == 1 else MOST_EACH
    return {p.name: frames(p, loss.defaults, most) for p in parameters}


def samples(loss: Loss) -> dict[str, Any]:
    """The frames of a loss: each the ``value`` and ``pull`` of its curve and ``plane`` values.

    The curve runs over the margin from -8 to 8 where the plane is that of class logits, with the
    EXAMPLES at its end, else over the first axis at the place where the point of the picture
    starts. ``slopes`` are the derivatives along both axes of the plane, whose rows run from the
    lowest up. Where the picture of the loss is that of a pull, the plane holds it, and there are
    neither values nor slopes.
    """
    drawn = plane(loss)
    over = stops(loss)
    settings = itertools.product(*(slider.stops for slider in over.values()))
    return {
        "frames": [
            _frame(drawn, loss.defaults | dict(zip(over, each, strict=True))) for each in settings
        ]
    }


def curve_places(drawn: Plane) -> torch.Tensor:
    """Where the curve is computed, in the units of its axis; over the margin the examples too."""
    low, high = (-MARGIN, MARGIN) if by_margin(drawn) else drawn.axes[0].span
    places = torch.linspace(low, high, POINTS, dtype=torch.float64)
    examples = torch.tensor([*EXAMPLES.values()], dtype=torch.float64).logit()
    return torch.cat([places, examples]) if by_margin(drawn) else places


def on_the_plane(drawn: Plane, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates of the curve's places."""
    if by_margin(drawn):
        u, v = at_margins(places).unbind(-1)
        return u, v
    return places, torch.full_like(places, cut_height(drawn))


def cut_height(drawn: Plane) -> float:
    """The place on the second axis where a curve over the first is drawn."""
    point = drawn.scene.loss.view.point
    return point[1] if point else drawn.axes[1].at(0.7)


def _frame(drawn: Plane, settings: dict[str, float]) -> dict[str, Any]:
    places = curve_places(drawn).requires_grad_()
    across, up = (
        torch.linspace(*axis.span, SIDE, dtype=torch.float64).requires_grad_()
        for axis in drawn.axes
    )
    y, x = (grid.flatten() for grid in torch.meshgrid(up, across, indexing="ij"))
    with torch.enable_grad():
        line = drawn.numbers(*on_the_plane(drawn, places), settings)
        values = drawn.numbers(x, y, settings)
        if drawn.scene.loss.view.pull:
            return {"pull": _written(line), "plane": _written(values)}
        (along,) = torch.autograd.grad(line.sum(), places)
        slopes = torch.autograd.grad(values.sum(), (x, y), materialize_grads=True)
    return {
        "value": _written(line),
        "pull": _written(-along),
        "plane": _written(values),
        "slopes": [_written(slope, COARSE) for slope in slopes],
    }


def _written(numbers: torch.Tensor, digits: int = DIGITS) -> list[float]:
    """Numbers to so many digits, 0 without a sign."""
    return [float(f"{number:.{digits}g}") + 0.0 for number in numbers.tolist()]
