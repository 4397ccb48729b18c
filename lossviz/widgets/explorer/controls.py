"""The control of each parameter of a function: a slider that starts at the default, or a list."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import ipywidgets as widgets
import numpy as np

from .functions import Explored

NOT_SLIDERS = ("reduction", "ignore_index", "weight")
WIDE = {"description_width": "9em"}
STEPS, MOST_STEPS = 50, 100_000  # of a slider whose step is not given

Range = tuple[float, float] | tuple[float, float, float]


def controls_of(
    explored: Explored, ranges: Mapping[str, Range], choices: Mapping[str, Sequence[Any]]
) -> dict[str, widgets.ValueWidget]:
    """The controls by parameter; a parameter that can have none keeps its default."""
    given = {**explored.ranges, **ranges}
    return {
        name: control
        for name, (default, annotation) in explored.parameters.items()
        if (control := _control(name, default, annotation, given.get(name), choices.get(name)))
    }


def left_alone(explored: Explored, controls: Mapping[str, widgets.ValueWidget]) -> list[str]:
    """Sentences about the parameters without a control that may deserve one."""
    return [
        f"{name} stays {default!r}: give choices={{{name!r}: [...]}} for a control."
        for name, (default, _) in explored.parameters.items()
        if name not in controls and name not in NOT_SLIDERS and default is not None
    ]


def _control(
    name: str, default: Any, annotation: Any, bounds: Range | None, choices: Sequence[Any] | None
) -> widgets.ValueWidget | None:
    """The control of one parameter; None for what keeps its default."""
    if name in NOT_SLIDERS:
        return None
    label = {"description": name, "style": WIDE}
    default = default.item() if isinstance(default, np.generic) else default
    if choices is None and get_origin(annotation) is Literal:
        choices = get_args(annotation)
    if choices is not None:
        if default not in choices:
            raise ValueError(f"choices[{name!r}] must hold the default {default!r}, got {choices}")
        return widgets.Dropdown(options=list(choices), value=default, **label)
    if isinstance(default, bool):
        return widgets.Checkbox(value=default, **label)
    if not isinstance(default, (int, float)) or not math.isfinite(default):
        return None
    if bounds is None:
        annotated = [a for a in getattr(annotation, "__metadata__", ()) if isinstance(a, tuple)]
        around = (min(0, 2 * default), max(0, 2 * default)) if default else (-1, 1)
        bounds = annotated[0] if annotated else around
    low, high, *steps = _bounds(name, bounds)
    value = min(max(default, low), high)
    if isinstance(default, int) and all(isinstance(bound, int) for bound in (low, high, *steps)):
        return widgets.IntSlider(
            value=value, min=low, max=high, step=steps[0] if steps else 1, **label
        )
    low, step = _grid(float(low), float(high), value, steps[0] if steps else None)
    shown = f".{max(0, -math.floor(math.log10(step) + 1e-9))}f"
    return widgets.FloatSlider(
        value=value, min=low, max=high, step=step, readout_format=shown, **label
    )


def _grid(low: float, high: float, value: float, step: float | None) -> tuple[float, float]:
    """Where a slider begins, and its step, such that `value` is one of its stops.

    A step that is not given is 1, 2 or 5 times a power of ten: the largest with at least STEPS
    stops that leads from `low` to `value`. Where none does, the slider begins a little above `low`.
    """

    def leads(step: float) -> bool:
        return math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-9)

    if step is None:
        power = math.floor(math.log10((high - low) / STEPS))
        round_steps = [
            float(f"{digit}e{p}") for p in range(power, power - 4, -1) for digit in (5, 2, 1)
        ]
        fitting = [s for s in round_steps if STEPS <= (high - low) / s * (1 + 1e-9) < MOST_STEPS]
        step = next(filter(leads, fitting), fitting[0])
    if leads(step):
        return low, step
    return value - step * math.floor((value - low) / step), step


def _bounds(name: str, bounds: Any) -> Sequence[float]:
    numbers = isinstance(bounds, Sequence) and all(
        isinstance(b, (int, float, np.number)) for b in bounds
    )
    if not numbers or len(bounds) not in (2, 3):
        raise TypeError(
            f"the range of {name!r} must be (low, high) or (low, high, step), got {bounds!r}"
        )
    low, high, *step = bounds
    if not (np.isfinite(bounds).all() and low < high and all(s > 0 for s in step)):
        raise ValueError(
            f"the range of {name!r} must have finite low < high, step > 0, got {bounds}"
        )
    return bounds
