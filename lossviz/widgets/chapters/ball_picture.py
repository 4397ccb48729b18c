"""The picture of the ball figure as Vega marks: the plane with its ball, and the bars beside it.

Both take the side of the plane's square from the signal ``side``. Places are Vega expressions.
"""

from __future__ import annotations

from typing import Any

from ..vega import palette
from ..vega.contours import FOOT, LEFT, TOP, contour_mark, square
from ..vega.frame import signal

EXTENT = 3  # the picture shows both features from -EXTENT to EXTENT
GRID = 49
BARS = 150
NORMS = {"linf": "l∞: a square", "l2": "l2: a disc"}


def layout_signals() -> list[dict[str, Any]]:
    """Bars beside the picture where there is room, else below it."""
    return [
        signal("wide", "container >= 560"),
        signal("side", f"wide ? container * 0.53 : min(container - {LEFT + 10}, 420)"),
        signal("bars_x", f"{LEFT} + (wide ? side + 36 : 0)"),
        signal("bars_y", f"{TOP} + (wide ? (side - {BARS}) / 2 : side + 52)"),
        signal("bars_width", "wide ? container - bars_x - 12 : side"),
        signal("width", "container"),
        signal("height", f"{TOP + FOOT} + side + (wide ? 0 : {BARS + 20})"),
    ]


def plane_x(x: str) -> str:
    return f"side * (({x}) / {2 * EXTENT} + 0.5)"


def plane_y(y: str) -> str:
    return f"side * (0.5 - ({y}) / {2 * EXTENT})"


def plane(target: int) -> dict[str, Any]:
    domain = [-EXTENT, EXTENT]
    axes = (
        {"title": "first feature", "domain": domain},
        {"title": "second feature", "domain": domain},
    )
    cell = f"side / {GRID - 1}"
    marks = [
        contour_mark("plane", cell, "datum.contour.value"),
        _boundary(cell),
        _dots(target),
        _outline(),
        _cross(),
    ]
    return square("plane", axes, marks, (plane_x("x"), plane_y("y")))


def _boundary(cell: str) -> dict[str, Any]:
    """Where the network changes its mind about the target."""
    return {
        "type": "shape",
        "from": {"data": "wrong_contours"},
        "encode": {
            "update": {
                **{axis: {"signal": f"-{cell} / 2"} for axis in "xy"},
                "stroke": palette.colour("ink"),
                "strokeWidth": {"value": 1.5},
                "strokeDash": {"value": [4, 4]},
            }
        },
        "transform": [{"type": "geoshape", "field": "datum.contour"}],
    }


def _dots(target: int) -> dict[str, Any]:
    return {
        "type": "symbol",
        "from": {"data": "dots"},
        "encode": {
            "update": {
                "x": {"signal": plane_x("datum.x")},
                "y": {"signal": plane_y("datum.y")},
                "shape": {"scale": "shape", "field": "class"},
                "size": {"value": 28},
                "fill": {"signal": f"datum['class'] === {target} ? ink : surface"},
                "stroke": {"signal": f"datum['class'] === {target} ? surface : ink"},
                "strokeWidth": {"value": 0.8},
            }
        },
    }


def _outline() -> dict[str, Any]:
    """The rim of the ball: a rectangle whose corners are round as far as the norm says."""
    pixels = f"side * radius / {2 * EXTENT}"
    return {
        "type": "rect",
        "encode": {
            "update": {
                "x": {"signal": f"{plane_x('x')} - {pixels}"},
                "y": {"signal": f"{plane_y('y')} - {pixels}"},
                "width": {"signal": f"2 * {pixels}"},
                "height": {"signal": f"2 * {pixels}"},
                "cornerRadius": {"signal": f"norm === '{NORMS['l2']}' ? {pixels} : 0"},
                "stroke": palette.colour("path"),
                "strokeWidth": {"value": 2.5},
                "fill": palette.colour("path"),
                "fillOpacity": {"value": 0.12},
            }
        },
    }


def _cross() -> dict[str, Any]:
    return {
        "type": "symbol",
        "encode": {
            "update": {
                "x": {"signal": plane_x("worst_at.x")},
                "y": {"signal": plane_y("worst_at.y")},
                "shape": {"value": "cross"},
                "angle": {"value": 45},
                "size": {"value": 190},
                "fill": palette.colour("path"),
                "stroke": palette.colour("surface"),
                "strokeWidth": {"value": 1.5},
            }
        },
    }


def bars() -> list[dict[str, Any]]:
    """Three losses; the last in its two parts."""
    rows = [
        ("at the point", "clean", [("0", "clean", "subject")]),
        ("worst in the ball", "worst", [("0", "worst", "path")]),
        (
            "smooth adversarial loss",
            "smooth",
            [("0", "clean", "subject"), ("clean", "smooth", "reference")],
        ),
    ]
    # short losses stay comparable from state to state, long ones still fit
    room = "max(4, worst, smooth)"
    marks = []
    for k, (text, value, parts) in enumerate(rows):
        top = k * BARS / 3
        place = {"x": {"signal": "bars_x"}, "y": {"signal": f"bars_y + {top + 12}"}}
        words = f"'{text}: ' + format({value}, '.2f')"
        look = {"text": {"signal": words}, "fill": palette.colour("ink")}
        marks.append({"type": "text", "encode": {"update": place | look}})
        marks += [
            {
                "type": "rect",
                "encode": {
                    "update": {
                        "x": {"signal": f"bars_x + bars_width * {low} / {room}"},
                        "x2": {"signal": f"bars_x + bars_width * {high} / {room}"},
                        "y": {"signal": f"bars_y + {top + 19}"},
                        "height": {"value": 14},
                        "fill": palette.colour(colour),
                    }
                },
            }
            for low, high, colour in parts
        ]
    return marks
