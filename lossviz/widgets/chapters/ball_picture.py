"""The picture of the ball figure as Vega marks: the plane with its ball, and the bars beside it.

Both take the side of the plane's square from the signal ``side``. Places are Vega expressions.
"""

from __future__ import annotations

from typing import Any

from ..vega.contours import FOOT, LEFT, TOP, areas, contour_mark, square
from ..vega.frame import hundredths, mark, signal
from ..vega.plot import axis

EXTENT = 3  # the picture shows both features from -EXTENT to EXTENT
GRID = 49
BARS = 150
HEIGHT = f"{TOP + FOOT} + side"
NORMS = {"linf": "l∞: a square", "l2": "l2: a disc"}


def layout_signals() -> list[dict[str, Any]]:
    """Bars beside the picture where there is room."""
    return [
        signal("side", f"wide ? container * 0.53 : min(container - {LEFT + 10}, 420)"),
        signal("bars_x", f"{LEFT} + (wide ? side + 36 : 0)"),
        signal("bars_y", f"{TOP} + (side - {BARS}) / 2"),
        signal("bars_width", "wide ? container - bars_x - 12 : side"),
    ]


def plane_x(x: str) -> str:
    return f"side * (({x}) / {2 * EXTENT} + 0.5)"


def plane_y(y: str) -> str:
    return f"side * (0.5 - ({y}) / {2 * EXTENT})"


def plane(target: int) -> dict[str, Any]:
    across, up = (
        axis(title, f"[{-EXTENT}, {EXTENT}]", look={"tickCount": 7})
        for title in ("first feature", "second feature")
    )
    cell = f"side / {GRID - 1}"
    # where the network changes its mind about the target
    boundary = contour_mark("wrong", cell, stroke="ink", strokeWidth=1.5, strokeDash=[4, 4])
    contours = areas("plane", cell, "datum.contour.value")
    marks = [contours, boundary, _dots(target), _outline(), _cross()]
    return square("plane", across, up, marks, (plane_x("x"), plane_y("y")))


def _dots(target: int) -> dict[str, Any]:
    return mark(
        "symbol",
        "dots",
        x=plane_x("datum.x"),
        y=plane_y("datum.y"),
        shape={"scale": "shape", "field": "class"},
        size=28,
        fill=f"datum['class'] === {target} ? ink : surface",
        stroke=f"datum['class'] === {target} ? surface : ink",
        strokeWidth=0.8,
    )


def _outline() -> dict[str, Any]:
    """The rim of the ball: a rectangle whose corners are round as far as the norm says."""
    pixels = f"side * radius / {2 * EXTENT}"
    return mark(
        "rect",
        x=f"{plane_x('x')} - {pixels}",
        y=f"{plane_y('y')} - {pixels}",
        width=f"2 * {pixels}",
        height=f"2 * {pixels}",
        cornerRadius=f"norm === '{NORMS['l2']}' ? {pixels} : 0",
        stroke="path",
        strokeWidth=2.5,
        fill="path",
        fillOpacity=0.12,
    )


def _cross() -> dict[str, Any]:
    place = {"x": plane_x("worst_at.x"), "y": plane_y("worst_at.y")}
    look = {"size": 190, "fill": "path", "stroke": "surface", "strokeWidth": 1.5}
    return mark("symbol", **place, shape="'cross'", angle=45, **look)


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
        words = f"'{text}: ' + {hundredths(value)}"
        marks.append(mark("text", x="bars_x", y=f"bars_y + {top + 12}", text=words, fill="ink"))
        marks += [
            mark(
                "rect",
                x=f"bars_x + bars_width * {low} / {room}",
                x2=f"bars_x + bars_width * {high} / {room}",
                y=f"bars_y + {top + 19}",
                height=14,
                fill=colour,
            )
            for low, high, colour in parts
        ]
    return marks
