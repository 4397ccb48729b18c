"""The two pictures of the landscape as Vega marks: the plane of logits and the simplex.

Both take the side of the plane's square from the signal ``side``; the simplex is as high, and
``depth`` wide. Places are Vega expressions for pixels within a picture.
"""

from __future__ import annotations

from typing import Any

from ..vega.contours import LOWEST, areas, click_area, ring, square
from ..vega.frame import mark
from ..vega.plot import axis
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
    across, up = (
        axis(title, f"[{-EXTENT}, {EXTENT}]", look={"tickCount": 7})
        for title in ("u: towards class 1", "v: class 2 against class 3")
    )
    marks = [
        *_picture("plane", f"side / {GRID - 1}", plane_x("datum.u"), plane_y("datum.v")),
        *(_boundary("side / 2", "side / 2", *end) for end in rays),
        *_class_names(corners),
    ]
    return square("plane", across, up, marks, (plane_x("u"), plane_y("v")), above=[_times()])


def simplex() -> dict[str, Any]:
    triangle = "'M0 0L' + depth + ' ' + side / 2 + 'L0 ' + side + 'Z'"
    middle = ("depth / 3", "side / 2")
    corners = [
        ("depth", "side / 2 - 32", "right"),
        ("34", "8", "left"),
        ("34", "side - 8", "left"),
    ]
    ends = [("0", "side / 2"), ("depth / 2", "side / 4"), ("depth / 2", "side * 3 / 4")]
    size = {"width": "depth", "height": "side"}
    clipped = {
        "interactive": False,
        "clip": {"path": {"signal": triangle}},
        "marks": [
            *_picture("simplex", f"depth / {SIMPLEX_GRID[0] - 1}", *on_simplex("datum.p")),
            *(_boundary(*middle, *end) for end in ends),
        ],
    }
    return {
        **mark("group", x="simplex_x", y="simplex_y", **size),
        "marks": [
            mark("group", fill=LOWEST, **size) | clipped,
            *_class_names(corners),
            click_area("simplex", triangle),
            ring(*on_simplex("p0")),
        ],
    }


def _picture(name: str, cell: str, x: str, y: str) -> list[dict[str, Any]]:
    """Contours, path and the dots of its times, where (x, y) places a row."""
    dots = {"size": 50, "fill": "surface", "strokeWidth": 2}
    return [
        areas(name, cell, "datum.contour.value - lowest"),
        mark("line", "path", x=x, y=y, stroke="path", strokeWidth=2.5),
        mark("symbol", "dots", x=x, y=y, stroke="path", **dots),
    ]


def _times() -> dict[str, Any]:
    """The times beside the dots of the plane, the last below so that close ones part."""
    at_the_edge = f"datum.u > {EXTENT - 2}"
    return {
        **mark(
            "text",
            "dots",
            x=plane_x("datum.u"),
            y=plane_y("datum.v"),
            dx=f"{at_the_edge} ? -7 : 7",
            dy=f"datum.mark === {TIMES[-1]} ? 16 : -7",
            align=f"{at_the_edge} ? 'right' : 'left'",
            text="'t = ' + datum.mark",
            fill="ink",
        ),
        "interactive": False,
    }


def _boundary(x: str, y: str, x2: str, y2: str) -> dict[str, Any]:
    look = {"stroke": "ink", "strokeDash": [3, 4], "strokeOpacity": 0.5}
    return mark("rule", x=x, y=y, x2=x2, y2=y2, **look)


def _class_names(places: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    look = {"baseline": "'middle'", "fill": "ink"}
    return [
        mark("text", x=x, y=y, align=f"'{align}'", text=f"'class {k}'", **look)
        for k, (x, y, align) in enumerate(places, 1)
    ]
