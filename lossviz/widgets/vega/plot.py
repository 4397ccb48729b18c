"""A plot: the scales ``across`` and ``up``, their axes, and marks that are placed by them.

Marks name their places as Vega expressions, so that the same row can be drawn with its axes
exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .frame import mark, signal

GRID = {"tickCount": 5, "grid": True}


def axis(
    title: str | dict[str, str], domain: str, *, look: Mapping[str, Any] = GRID, **scale: Any
) -> dict[str, Any]:
    """An axis with its scale; `domain` is an expression for its two ends."""
    return {"axis": {"title": title, **look}, "scale": {"domain": {"signal": domain}, **scale}}


def plot(
    box: tuple[str, str, str, str],
    across: Mapping[str, Any],
    up: Mapping[str, Any],
    marks: Sequence[Mapping[str, Any]],
    *,
    above: Sequence[Mapping[str, Any]] = (),
    **background: Any,
) -> dict[str, Any]:
    """A plot in a box (left, top, width, height) of the figure.

    The `marks` are clipped to it, those `above` are not; `background` is the look of the box.
    """
    x, y, width, height = box
    size = {"width": width, "height": height}
    clipped = {"clip": True, "interactive": False, "marks": marks}
    return {
        **mark("group", x=x, y=y, **size),
        "signals": [signal(*side) for side in size.items()],
        "scales": [
            {"name": "across", "range": "width", **across["scale"]},
            {"name": "up", "range": "height", **up["scale"]},
        ],
        "axes": [
            {"orient": "bottom", "scale": "across", **across["axis"]},
            {"orient": "left", "scale": "up", **up["axis"]},
        ],
        "marks": [mark("group", **size, **background) | clipped, *above],
    }


def line(data: str, x: str, y: str, colour: str, width: float = 2.5, **look: Any) -> dict[str, Any]:
    """A line through the rows of a data set."""
    return mark("line", data, **_place(x, y), stroke=colour, strokeWidth=width, **look)


def rule(x: tuple[str, str], y: tuple[str, str], colour: str, width: float) -> dict[str, Any]:
    """A straight line from (x[0], y[0]) to (x[1], y[1])."""
    ends = {f"{channel}2": place for channel, place in _place(x[1], y[1]).items()}
    return mark("rule", **_place(x[0], y[0]), **ends, stroke=colour, strokeWidth=width)


def dot(x: str, y: str, colour: str) -> dict[str, Any]:
    """An open dot, which marks a place and cannot be dragged: what can is filled."""
    look = {"size": 60, "fill": "surface", "stroke": colour, "strokeWidth": 2.5}
    return mark("symbol", **_place(x, y), **look)


def symbols(data: str, x: str, y: str, **look: Any) -> dict[str, Any]:
    """A symbol for each row of a data set."""
    return mark("symbol", data, **_place(x, y), **look)


def _place(x: str, y: str) -> dict[str, Any]:
    return {"x": {"scale": "across", "signal": x}, "y": {"scale": "up", "signal": y}}
