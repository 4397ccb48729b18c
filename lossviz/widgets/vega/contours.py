"""A surface drawn as contours: its cells, the areas between levels, what their colours mean.

A `square` picture takes its side from the signal ``side``. Places are Vega expressions for pixels
within a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import palette
from .frame import formula, signal

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LEFT, TOP, FOOT = 46, 10, 96
LOWEST = {"fill": {"signal": "ramp[0]"}}  # below the first contour


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
    count = {"type": "sequence", "start": 0, "stop": columns * rows, "as": "index"}
    gather = {
        "type": "aggregate",
        "ops": ["values", "min"],
        "fields": ["value", "value"],
        "as": ["cells", "lowest"],
    }
    grid = f"{{width: {columns}, height: {rows}, values: pluck(datum.cells, 'value')}}"
    return [
        {"name": f"{name}_grid", "transform": [count, *transforms]},
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


def contour_mark(name: str, cell: str, height: str) -> dict[str, Any]:
    """The areas of `contour_data`: cells `cell` wide, coloured by the scale ``level`` at `height`.

    Belongs into a clipped group that is filled with LOWEST.
    """
    return {
        "type": "shape",
        "from": {"data": f"{name}_contours"},
        "encode": {
            "update": {
                # isocontour puts the first sample half a cell inside
                **{axis: {"signal": f"-{cell} / 2"} for axis in "xy"},
                "fill": {"scale": "level", "signal": height},
                "stroke": palette.colour("muted"),
                "strokeWidth": {"value": 0.4},
            }
        },
        "transform": [{"type": "geoshape", "field": "datum.contour"}],
    }


def square(
    name: str,
    axes: tuple[dict[str, Any], dict[str, Any]],
    marks: list[dict[str, Any]],
    point: tuple[str, str],
    *,
    left: int = LEFT,
    ticks: int = 7,
    above: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A square picture between two axes, with a ring at `point`; clicks go to ``{name}_surface``.

    Each of `axes`, across and up, has a ``title`` and the ``domain`` of its scale. The `marks` are
    clipped to the square, those `above` are not.
    """
    size = {"width": {"signal": "side"}, "height": {"signal": "side"}}
    named = list(zip("xy", ("width", "height"), ("bottom", "left"), axes, strict=True))
    return {
        "type": "group",
        "encode": {"update": {"x": {"value": left}, "y": {"value": TOP}, **size}},
        "signals": [signal("width", "side"), signal("height", "side")],
        "scales": [
            {"name": scale, "range": extent, "domain": given["domain"], "zero": False}
            for scale, extent, _, given in named
        ],
        "axes": [
            {"orient": side, "scale": scale, "title": given["title"], "tickCount": ticks}
            for scale, _, side, given in named
        ],
        "marks": [
            {
                "type": "group",
                "interactive": False,
                "clip": True,
                "encode": {"update": size | LOWEST},
                "marks": marks,
            },
            *above,
            click_area(name, "'M0 0H' + side + 'V' + side + 'H0Z'"),
            ring(*point),
        ],
    }


def click_area(name: str, outline: str) -> dict[str, Any]:
    """Lies over a picture, frames it, and takes the clicks."""
    return {
        "name": f"{name}_surface",
        "type": "path",
        "encode": {
            "update": {
                "path": {"signal": outline},
                "fill": {"value": "transparent"},
                "stroke": palette.colour("muted"),
            }
        },
    }


def ring(x: str, y: str) -> dict[str, Any]:
    return {
        "type": "symbol",
        "interactive": False,
        "encode": {
            "update": {
                "x": {"signal": x},
                "y": {"signal": y},
                "size": {"value": 220},
                "fill": palette.colour("path"),
                "stroke": palette.colour("surface"),
                "strokeWidth": {"value": 3},
            }
        },
    }


def colour_key(
    levels: Sequence[float] = LEVELS,
    title: str = "loss above its lowest value",
    left: int = LEFT,
) -> dict[str, Any]:
    """What the colours mean: one box per contour level, `left` pixels in, in the last 40."""
    count = len(levels)
    box = f"(min(container, 620) - {left + 20}) / {count}"
    return {
        "type": "group",
        "interactive": False,
        "encode": {"update": {"x": {"value": left}, "y": {"signal": "height - 40"}}},
        "marks": [
            *(
                {
                    "type": "rect",
                    "encode": {
                        "update": {
                            "x": {"signal": f"{k} * {box}"},
                            "width": {"signal": box},
                            "height": {"value": 10},
                            "fill": {"scale": "level", "value": level},
                        }
                    },
                }
                for k, level in enumerate(levels)
            ),
            *(
                {
                    "type": "text",
                    "encode": {
                        "update": {
                            "x": {"signal": f"{k} * {box}"},
                            "y": {"value": 21},
                            "fontSize": {"value": 10},
                            "align": {"value": "center"},
                            "text": {"value": f"{level:.10g}"},
                            "fill": palette.colour("muted"),
                        }
                    },
                }
                for k, level in enumerate(levels)
            ),
            {
                "type": "text",
                "encode": {
                    "update": {
                        "y": {"value": 36},
                        "fontSize": {"value": 11},
                        "text": {"value": title},
                        "fill": palette.colour("ink"),
                    }
                },
            },
        ],
    }
