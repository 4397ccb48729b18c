"""A surface drawn as contours, and a point dragged over it.

The pointer's place is the signal ``drag``, in pixels of the figure. It sets the controls that are
the point's coordinates; from these the figure gives the point's own place, the signal ``at``. So
sliders and hand move the same point. The surface is the first pane of its figure.

A `square` picture takes its side from the signal ``side``. Places are Vega expressions for pixels
within a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..live import Handle
from . import palette
from .frame import formula, mark, signal, table
from .plot import plot

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LEFT, TOP, FOOT = 46, 10, 96
LOWEST = "ramp[0]"  # the colour below the first contour
# where the point can be dragged: nowhere while a narrow screen shows another panel
HELD = signal("held", "wide || pane === 0 ? at : null")


def contour_data(
    name: str,
    size: tuple[int, int],
    width: str,
    transforms: list[dict[str, Any]],
    *,
    thresholds: str = "levels",
) -> list[dict[str, Any]]:
    """Data sets ``{name}_grid``, ``{name}_cells`` and ``{name}_contours`` of a sampled surface.

    The grid has `size` = (columns, rows) rows numbered by ``index``, from the top left and along
    the rows; `transforms` give each a field ``value``. The cells are one row that holds them all
    and the ``lowest``; the contours, at the levels of the signal `thresholds`, are for a picture
    that is `width` (an expression) pixels wide and has square cells.
    """
    columns, rows = size
    gather = {
        "type": "aggregate",
        "ops": ["values", "min"],
        "fields": ["value", "value"],
        "as": ["cells", "lowest"],
    }
    grid = f"{{width: {columns}, height: {rows}, values: pluck(datum.cells, 'value')}}"
    return [
        table(f"{name}_grid", columns * rows, *transforms),
        {"name": f"{name}_cells", "source": f"{name}_grid", "transform": [gather]},
        {
            "name": f"{name}_contours",
            "source": f"{name}_cells",
            "transform": [
                formula("grid", grid),
                {
                    "type": "isocontour",
                    "field": "grid",
                    "thresholds": {"signal": thresholds},
                    "scale": {"signal": f"{width} / {columns - 1}"},
                    "as": "contour",
                },
            ],
        },
    ]


def contour_mark(name: str, cell: str, **look: Any) -> dict[str, Any]:
    """The contours of `contour_data`, whose cells are `cell` wide; to stand in a clipped group."""
    corner = f"-{cell} / 2"  # isocontour puts the first sample half a cell inside
    shape = mark("shape", f"{name}_contours", x=corner, y=corner, **look)
    return shape | {"transform": [{"type": "geoshape", "field": "datum.contour"}]}


def areas(name: str, cell: str, height: str) -> dict[str, Any]:
    """The areas between the contours, coloured by `level_scale` at their `height`.

    To stand in a clipped group that is filled with LOWEST.
    """
    fill = {"scale": "level", "signal": height}
    return contour_mark(name, cell, fill=fill, stroke="muted", strokeWidth=0.4)


def level_scale(domain: Sequence[float], **scale: Any) -> dict[str, Any]:
    """The scale ``level``, which gives contours the colours of the ramp."""
    ramp = {"range": palette.colour("ramp"), "interpolate": "lab", "clamp": True}
    return {"name": "level", "domain": domain, **scale, **ramp}


def square(
    name: str,
    across: dict[str, Any],
    up: dict[str, Any],
    marks: Sequence[Mapping[str, Any]],
    point: tuple[str, str],
    *,
    left: int = LEFT,
    above: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A square `plot` with a ring at `point`; clicks go to ``{name}_surface``."""
    frame = click_area(name, "'M0 0H' + side + 'V' + side + 'H0Z'")
    box = (f"{left}", f"{TOP}", "side", "side")
    return plot(box, across, up, marks, above=[*above, frame, ring(*point)], fill=LOWEST)


def click_area(name: str, outline: str) -> dict[str, Any]:
    """Lies over a picture, frames it, and takes the clicks."""
    area = mark("path", path=outline, fill="'transparent'", stroke="muted")
    return {"name": f"{name}_surface", **area}


def pointer(signal: str, name: str) -> dict[str, Any]:
    """The signal of the pointer's place, which a `Handle` sets, and a click on a `click_area`."""
    click = {"events": f"@{name}_surface:click", "update": "[x(), y()]"}
    return {"name": signal, "value": [0, 0], "on": [click]}


def handle(*moves: str) -> Handle:
    """The handle of the point, which moves these sliders; it needs the signal HELD."""
    return Handle("held", "drag", moves)


def ring(x: str, y: str) -> dict[str, Any]:
    look = {"size": 220, "fill": "path", "stroke": "surface", "strokeWidth": 3}
    return mark("symbol", x=x, y=y, **look) | {"interactive": False}


def colour_key(
    levels: Sequence[float] = LEVELS,
    title: str = "loss above its lowest value",
    left: int = LEFT,
) -> dict[str, Any]:
    """What the colours mean: one box per contour level, `left` pixels in, in the last 40."""
    box = f"((min(container, 620) - {left + 20}) / {len(levels)})"
    names = [f"{level:.10g}".replace("-", "\u2212") for level in levels]
    # where boxes are narrow every second or third has its number
    every = f"ceil({6.5 * max(map(len, names)) + 4} / {box})"
    marks = []
    for k, (level, name) in enumerate(zip(levels, names, strict=True)):
        fill = {"scale": "level", "value": level}
        marks.append(mark("rect", x=f"{k} * {box}", width=box, height=10, fill=fill))
        look = {"y": 21, "fontSize": 10, "align": "'center'", "fill": "muted"}
        marks.append(mark("text", x=f"{k} * {box}", text=f"{k} % {every} ? '' : '{name}'", **look))
    marks.append(mark("text", y=36, fontSize=11, text={"value": title}, fill="ink"))
    key = mark("group", x=left, y="height - 40")
    return key | {"interactive": False, "marks": marks}
