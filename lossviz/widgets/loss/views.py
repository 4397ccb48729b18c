"""The two pictures of the landscape as Vega marks: the plane of logits and the simplex.

Both take the side of the plane's square from the signal ``side``; the simplex is as high, and
``depth`` wide. Places are Vega expressions for pixels within a picture.
"""

from __future__ import annotations

from typing import Any

from ..vega.contours import LOWEST, areas, click_area, ring, square
from ..vega.frame import formula, mark
from ..vega.plot import axis
from .flow import RIGHT, SIDE, TIMES, project

EXTENT = 6
GRID = 80
SIMPLEX_GRID = (53, 61)  # columns and rows of near-square cells over the triangle's box
# of the plane: where its class names begin or end
CORNERS = [("side - 8", "14", "right"), ("8", "14", "left"), ("8", "side - 14", "left")]
NAME = (25, 9)  # half the width and height of a class name in pixels, with room around it
HANDLE, DOT = (19, 19), (6, 6)


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
    across, up = (
        axis(title, f"[{-EXTENT}, {EXTENT}]", look={"tickCount": 7})
        for title in ("u: towards class 1 (nats)", "v: class 2 against class 3 (nats)")
    )
    marks = [
        *_picture("plane", f"side / {GRID - 1}", plane_x("datum.u"), plane_y("datum.v")),
        *(_boundary("side / 2", "side / 2", *end) for end in rays),
        *_class_names(CORNERS),
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


def times_data() -> dict[str, Any]:
    """The dots of the plane whose time can be written beside them, with the text's middle.

    It stands at its own dot, on the inner side of the path, and is left out where it would meet the
    edge, a class name, the handle, another dot or the text of an earlier one.
    """
    names = [(f"{x} {'-' if align == 'right' else '+'} 22", y, NAME) for x, y, align in CORNERS]
    fixed = [*names, (plane_x("u"), plane_y("v"), HANDLE)]
    others = range(len(TIMES))
    free = [
        "datum.half < datum.x && datum.x < side - datum.half && 8 < datum.y && datum.y < side - 8",
        *(_apart(*place) for place in fixed),
        *(
            f"(length(datum.all) <= {k} || datum.all[{k}].mark === datum.mark"
            f" || {_apart(f'datum.all[{k}].px', f'datum.all[{k}].py', DOT)}"
            f" && (datum.all[{k}].mark > datum.mark"
            f" || {_apart(f'datum.all[{k}].x', f'datum.all[{k}].y', (22, 8))}))"
            for k in others
        ),
    ]
    return {
        "name": "times",
        "source": "dots",
        "transform": [
            formula("px", plane_x("datum.u")),
            formula("py", plane_y("datum.v")),
            formula("text", "'t = ' + datum.mark"),
            formula("half", "3.1 * length(datum.text)"),
            formula("slope", "atan2(datum.next_u - datum.u, datum.next_v - datum.v)"),
            # the normal of the path towards the middle of the picture
            formula("side", "(datum.px - side / 2) * cos(datum.slope)"
                    " + (datum.py - side / 2) * sin(datum.slope) > 0 ? -1 : 1"),
            formula("away", "8 + abs(cos(datum.slope)) * datum.half + abs(sin(datum.slope)) * 7"),
            formula("x", "datum.px + datum.side * datum.away * cos(datum.slope)"),
            formula("y", "datum.py + datum.side * datum.away * sin(datum.slope)"),
            {"type": "joinaggregate", "ops": ["values"], "fields": ["mark"], "as": ["all"]},
            {"type": "filter", "expr": " && ".join(free)},
        ],
    }  # fmt: skip


def _apart(x: str, y: str, size: tuple[int, int]) -> str:
    """Whether the text stays away from something of this half width and height."""
    across, down = size
    return f"(abs(datum.x - ({x})) > datum.half + {across} || abs(datum.y - ({y})) > 7 + {down})"


def _times() -> dict[str, Any]:
    """The times beside the dots of the plane."""
    middle = {"align": "'center'", "baseline": "'middle'", "fill": "ink"}
    text = mark("text", "times", x="datum.x", y="datum.y", text="datum.text", **middle)
    return text | {"interactive": False}


def _boundary(x: str, y: str, x2: str, y2: str) -> dict[str, Any]:
    look = {"stroke": "ink", "strokeDash": [3, 4], "strokeOpacity": 0.5}
    return mark("rule", x=x, y=y, x2=x2, y2=y2, **look)


def _class_names(places: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    look = {"baseline": "'middle'", "fill": "ink"}
    return [
        mark("text", x=x, y=y, align=f"'{align}'", text=f"'class {k}'", **look)
        for k, (x, y, align) in enumerate(places, 1)
    ]
