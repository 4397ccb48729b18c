"""The two pictures of the landscape as Vega marks: the plane of logits and the simplex.

Both take the side of the plane's square from the signal ``side``; the simplex is as high, and
``depth`` wide. Places are Vega expressions for pixels within a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import palette
from .flow import RIGHT, SIDE, TIMES, formula, project, signal

EXTENT = 6
GRID = 80
SIMPLEX_GRID = (53, 61)  # columns and rows of near-square cells over the triangle's box
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LEFT, TOP, FOOT = 46, 10, 96
LOWEST = {"fill": {"signal": "ramp[0]"}}  # below the first contour


def plane_x(u: str) -> str:
    return f"side * ({u} / {2 * EXTENT} + 0.5)"


def plane_y(v: str) -> str:
    return f"side * (0.5 - {v} / {2 * EXTENT})"


def on_simplex(p: str) -> tuple[str, str]:
    """Pixel place in the simplex of the probabilities in `p`."""
    x, y = project(*(f"{p}[{k}]" for k in range(3)))
    return f"side * ({x} + 1 / sqrt(6)) / sqrt(2)", f"side * (0.5 - {y} / sqrt(2))"


def barycentric(x: str, y: str) -> tuple[str, str, str]:
    """Probabilities at a place of the simplex: the inverse of `project`."""
    return (
        f"1/3 + {RIGHT} * ({x})",
        f"1/3 - {RIGHT / 2} * ({x}) + {SIDE} * ({y})",
        f"1/3 - {RIGHT / 2} * ({x}) - {SIDE} * ({y})",
    )


def plane() -> dict[str, Any]:
    place = {"x": {"value": LEFT}, "y": {"value": TOP}}
    rays = [
        ("0", "side / 2"),
        ("side * (1 + 1 / sqrt(3)) / 2", "0"),
        ("side * (1 + 1 / sqrt(3)) / 2", "side"),
    ]
    corners = [("side - 8", "14", "right"), ("8", "14", "left"), ("8", "side - 14", "left")]
    scale = {"type": "linear", "domain": [-EXTENT, EXTENT]}
    return {
        "type": "group",
        "encode": {"update": place | _size("side", "side")},
        "signals": [signal("width", "side"), signal("height", "side")],
        "scales": [
            {"name": "x", "range": "width", **scale},
            {"name": "y", "range": "height", **scale},
        ],
        "axes": [
            {"orient": "bottom", "scale": "x", "title": "u: towards class 1", "tickCount": 7},
            {"orient": "left", "scale": "y", "title": "v: class 2 against class 3", "tickCount": 7},
        ],
        "marks": [
            {
                "type": "group",
                "interactive": False,
                "clip": True,
                "encode": {"update": _size("side", "side") | LOWEST},
                "marks": [
                    *_picture(
                        "plane", f"side / {GRID - 1}", plane_x("datum.u"), plane_y("datum.v")
                    ),
                    *(_boundary("side / 2", "side / 2", *end) for end in rays),
                    *_class_names(corners),
                ],
            },
            _times(),
            click_area("plane", "'M0 0H' + side + 'V' + side + 'H0Z'"),
            ring(plane_x("u"), plane_y("v")),
        ],
    }


def simplex() -> dict[str, Any]:
    triangle = "'M0 0L' + depth + ' ' + side / 2 + 'L0 ' + side + 'Z'"
    middle = ("depth / 3", "side / 2")
    corners = [
        ("depth", "side / 2 - 32", "right"),
        ("34", "8", "left"),
        ("34", "side - 8", "left"),
    ]
    ends = [("0", "side / 2"), ("depth / 2", "side / 4"), ("depth / 2", "side * 3 / 4")]
    place = {"x": {"signal": "simplex_x"}, "y": {"signal": "simplex_y"}}
    return {
        "type": "group",
        "encode": {"update": place | _size("depth", "side")},
        "marks": [
            {
                "type": "group",
                "interactive": False,
                "clip": {"path": {"signal": triangle}},
                "encode": {"update": _size("depth", "side") | LOWEST},
                "marks": [
                    *_picture("simplex", f"depth / {SIMPLEX_GRID[0] - 1}", *on_simplex("datum.p")),
                    *(_boundary(*middle, *end) for end in ends),
                ],
            },
            *_class_names(corners),
            click_area("simplex", triangle),
            ring(*on_simplex("p0")),
        ],
    }


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


def _size(width: str, height: str) -> dict[str, Any]:
    return {"width": {"signal": width}, "height": {"signal": height}}


def _picture(name: str, cell: str, x: str, y: str) -> list[dict[str, Any]]:
    """Contours, path and the dots of its times, where (x, y) places a row."""
    place = {"x": {"signal": x}, "y": {"signal": y}}
    return [
        contour_mark(name, cell, "datum.contour.value - lowest"),
        {
            "type": "line",
            "from": {"data": "path"},
            "encode": {
                "update": place | {"stroke": palette.colour("path"), "strokeWidth": {"value": 2.5}}
            },
        },
        {
            "type": "symbol",
            "from": {"data": "dots"},
            "encode": {
                "update": place
                | {
                    "size": {"value": 50},
                    "fill": palette.colour("surface"),
                    "stroke": palette.colour("path"),
                    "strokeWidth": {"value": 2},
                }
            },
        },
    ]


def _times() -> dict[str, Any]:
    """The times beside the dots of the plane, the last below so that close ones part."""
    return {
        "type": "text",
        "from": {"data": "dots"},
        "interactive": False,
        "encode": {
            "update": {
                "x": {"signal": plane_x("datum.u")},
                "y": {"signal": plane_y("datum.v")},
                "dx": {"signal": f"datum.u > {EXTENT - 2} ? -7 : 7"},
                "dy": {"signal": f"datum.mark === {TIMES[-1]} ? 16 : -7"},
                "align": {"signal": f"datum.u > {EXTENT - 2} ? 'right' : 'left'"},
                "text": {"signal": "'t = ' + datum.mark"},
                "fill": palette.colour("ink"),
            }
        },
    }


def _boundary(x: str, y: str, x2: str, y2: str) -> dict[str, Any]:
    places = zip(("x", "y", "x2", "y2"), (x, y, x2, y2), strict=True)
    return {
        "type": "rule",
        "encode": {
            "update": {
                **{name: {"signal": place} for name, place in places},
                "stroke": palette.colour("ink"),
                "strokeDash": {"value": [3, 4]},
                "strokeOpacity": {"value": 0.5},
            }
        },
    }


def _class_names(places: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "type": "text",
            "encode": {
                "update": {
                    "x": {"signal": x},
                    "y": {"signal": y},
                    "align": {"value": align},
                    "baseline": {"value": "middle"},
                    "text": {"value": f"class {k}"},
                    "fill": palette.colour("ink"),
                }
            },
        }
        for k, (x, y, align) in enumerate(places, 1)
    ]


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
