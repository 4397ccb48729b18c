"""The two pictures of the landscape as Vega marks: the plane of logits and the simplex.

Both take the side of the plane's square from the signal ``side``; the simplex is as high, and
``depth`` wide. Places are Vega expressions for pixels within a picture.
"""

from __future__ import annotations

from typing import Any

from ..vega import palette
from ..vega.contours import LOWEST, click_area, contour_mark, ring, square
from .flow import RIGHT, SIDE, TIMES, project

EXTENT = 6
GRID = 80
SIMPLEX_GRID = (53, 61)  # columns and rows of near-square cells over the triangle's box


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
    rays = [
        ("0", "side / 2"),
        ("side * (1 + 1 / sqrt(3)) / 2", "0"),
        ("side * (1 + 1 / sqrt(3)) / 2", "side"),
    ]
    corners = [("side - 8", "14", "right"), ("8", "14", "left"), ("8", "side - 14", "left")]
    across = {"title": "u: towards class 1", "domain": [-EXTENT, EXTENT]}
    up = {"title": "v: class 2 against class 3", "domain": [-EXTENT, EXTENT]}
    marks = [
        *_picture("plane", f"side / {GRID - 1}", plane_x("datum.u"), plane_y("datum.v")),
        *(_boundary("side / 2", "side / 2", *end) for end in rays),
        *_class_names(corners),
    ]
    point = plane_x("u"), plane_y("v")
    return square("plane", (across, up), marks, point, above=[_times()])


def simplex() -> dict[str, Any]:
    triangle = "'M0 0L' + depth + ' ' + side / 2 + 'L0 ' + side + 'Z'"
    middle = ("depth / 3", "side / 2")
    corners = [
        ("depth", "side / 2 - 32", "right"),
        ("34", "8", "left"),
        ("34", "side - 8", "left"),
    ]
    ends = [("0", "side / 2"), ("depth / 2", "side / 4"), ("depth / 2", "side * 3 / 4")]
    size = {"width": {"signal": "depth"}, "height": {"signal": "side"}}
    place = {"x": {"signal": "simplex_x"}, "y": {"signal": "simplex_y"}}
    return {
        "type": "group",
        "encode": {"update": place | size},
        "marks": [
            {
                "type": "group",
                "interactive": False,
                "clip": {"path": {"signal": triangle}},
                "encode": {"update": size | LOWEST},
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
