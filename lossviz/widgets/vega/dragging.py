"""A point dragged over one picture of contours: what is the same in every figure that has one.

The pointer's place in the picture is the signal ``drag``, in pixels. It sets the controls that are
the point's coordinates; from these the figure gives the point's own place, the signal ``at``. So
sliders and hand move the same point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..live import WIDTH, Choice, Handle, Slider
from . import palette

HANDLE = Handle("at", "drag")


def drag_signals(
    name: str, controls: Sequence[Slider | Choice], moves: Mapping[str, str]
) -> list[dict[str, Any]]:
    """``drag``, from the `click_area` of this name, and the signals of the controls.

    `moves` has an expression in ``drag`` for the signal of each coordinate.
    """
    click = {"events": f"@{name}_surface:click", "update": "[x(), y()]"}
    moved = {
        coordinate: [{"events": {"signal": "drag"}, "update": place}]
        for coordinate, place in moves.items()
    }
    return [
        {"name": "drag", "value": [0, 0], "on": [click]},
        *({"name": c.signal, "value": c.value, "on": moved.get(c.signal, [])} for c in controls),
    ]


def contour_spec(
    *,
    signals: list[dict[str, Any]],
    data: list[dict[str, Any]],
    level: dict[str, Any],
    scales: Sequence[dict[str, Any]] = (),
    marks: list[dict[str, Any]],
) -> dict[str, Any]:
    """A Vega spec whose scale ``level`` gives contours the colours of the ramp.

    `level` says what is particular to that scale: the domain, and the type unless linear. `scales`
    are further ones. The width offered, ``container``, and the colours come before the `signals`.
    """
    ramp = {"range": palette.colour("ramp"), "interpolate": "lab", "clamp": True}
    return {
        "autosize": "none",
        "padding": 0,
        "signals": [{"name": "container", "value": WIDTH}, *palette.colour_signals(), *signals],
        "data": data,
        "scales": [{"name": "level", **level, **ramp}, *scales],
        "marks": marks,
        "config": palette.vega_config(),
    }
