"""A loss over a plane of two of its numbers, from its torch function: contours and cuts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch

from ...losses import Loss
from ..live import LiveFigure, Slider
from ..vega.surface import surface
from .axes import Plane, plane
from .subject import declaration, framed, frames, settings

MOST, MOST_LOG = 11, 7  # frames; on a log scale each number keeps more digits
MOST_EACH = 4  # where they run over several


def sampled(
    loss: Loss | str,
    *,
    point: Sequence[float] = (),
    values: Mapping[str, float] | None = None,
) -> LiveFigure:
    """The surface of a loss over its plane (`axes`), through `point`.

    Without a point it is that of the view, or lies where the first number is low and the second
    high. The frames run over the first parameter unless the view says otherwise; `values` overrides
    defaults. Raises ValueError as `plane` and `settings` do, and for a point outside the plane.
    """
    loss = declaration(loss)
    drawn = plane(loss)
    chosen = settings(loss, values)
    parameters = framed(loss)
    log = loss.view.scale == "log"
    most = MOST_EACH if len(parameters) > 1 else MOST_LOG if log else MOST
    over = tuple(frames(parameter, chosen, most) for parameter in parameters)
    x, y = _sliders(drawn, point or loss.view.point)
    axes = (torch.tensor(axis.stops, dtype=torch.float64) for axis in (y, x))
    up, across = torch.meshgrid(*axes, indexing="ij")

    def frame(setting: dict[str, float]) -> torch.Tensor:
        found = drawn.numbers(across.flatten(), up.flatten(), chosen | setting)
        return found.detach().reshape(across.shape)

    named = [parameter.name for parameter in parameters]
    first = frame({name: control.value for name, control in zip(named, over, strict=True)})
    all_stops = itertools.product(*(control.stops for control in over))
    numbers = torch.stack([frame(dict(zip(named, stops, strict=True))) for stops in all_stops])
    shown = loss.view.pull or "loss"
    rest = drawn.at_rest(named)
    sentences = (
        f"{loss.title}: the {shown} over {drawn.over}{rest}.",
        loss.view.says,
        "The curves are the cuts through the large dot.",
    )
    return surface(
        numbers.reshape(*(len(control.stops) for control in over), *first.shape).numpy(),
        x,
        y,
        title=loss.title,
        value=shown,
        frames=over,
        log=log,
        bent=loss.view.scale == "" and _mostly_small(first, numbers),
        caption=" ".join(filter(None, sentences)),
    )


def _mostly_small(first: torch.Tensor, numbers: torch.Tensor) -> bool:
    """Whether equal steps up to the largest number would leave the first frame empty."""
    reach = numbers.max() - numbers.min()
    return bool(first.quantile(0.75) - numbers.min() < 0.25 * reach)


def _sliders(drawn: Plane, point: Sequence[float]) -> tuple[Slider, Slider]:
    first, second = drawn.axes
    start = tuple(point) or (first.at(0.3), second.at(0.7))
    ends = first.span, second.span
    if len(start) != 2 or not all(
        low <= place <= high for place, (low, high) in zip(start, ends, strict=True)
    ):
        raise ValueError(f"point must be two numbers, in {ends[0]} and {ends[1]}, got {start!r}")
    return first.slider("x", start[0]), second.slider("y", start[1])
