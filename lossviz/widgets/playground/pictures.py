"""The pictures of the playground as Vega specs without numbers, which the page fills in.

One shows curves of up to three losses over one axis, one the plane of a single loss, and one what
the colours of the planes mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..live import Handle, LiveFigure
from ..vega.contours import (
    LEFT,
    LEVELS,
    TOP,
    areas,
    colour_key,
    contour_data,
    level_scale,
    pointer,
    square,
)
from ..vega.frame import figure, formula, mark, signal
from ..vega.palette import CYCLE
from ..vega.plot import GRID, axis, line, plot, symbols
from .samples import SIDE

COLOURS = ("subject", "path", f"'{CYCLE[2]}'")
DASHES = ([1, 0], [7, 3], [2, 3])  # for whoever does not see colours apart
FORM_SIDE = 49  # of the plane of a loss that the page computes
HEIGHT, ABOVE, FOOT, RIGHT = 190, 22, 50, 14
WIDE = 290  # pixels of a plot in which the names of the examples stand apart
FIELDS: Mapping[str, Mapping[str, str]] = {
    "margin": {
        "value": "loss (nats)",
        "pull": "pull (minus the slope)",
        "weight": "weight beside cross-entropy",
    },
    "plane": {"value": "loss", "pull": "pull (minus the slope)"},
    "pull": {"pull": "pull"},
}  # the quantities of a curve, by what a loss has


def pictures() -> dict[str, dict[str, Any]]:
    """Every picture's payload by name: curves by their quantities, planes by their side."""
    found = {f"curves-{name}": curves(fields) for name, fields in FIELDS.items()}
    found |= {f"plane-{side}": plane(side) for side in (FORM_SIDE, SIDE)}
    return {name: made.payload for name, made in (found | {"key": key()}).items()}


def curves(fields: Mapping[str, str]) -> LiveFigure:
    """Plots beside or below each other, one for each quantity, with up to three losses in each.

    The page sets the signals ``across`` (title), ``span`` and one ``{field}_span`` for each field,
    and the data ``curve0`` to ``curve2`` and ``dots0`` to ``dots2`` with ``x`` and the fields, and
    ``examples`` with ``x``, ``name`` and ``align``.
    """
    columns = f"(container >= {WIDE * len(fields)} ? {len(fields)} : 1)"
    step = f"container / {columns}"
    return figure(
        (),
        layout=[
            signal("panel", f"{step} - {LEFT + RIGHT}"),
            {"name": "across", "value": ""},
            {"name": "span", "value": [0, 1]},
            *({"name": f"{field}_span", "value": [0, 1]} for field in fields),
            {"name": "said", "value": ""},
        ],
        height=f"{ABOVE + HEIGHT + FOOT} * {len(fields)} / {columns}",
        signals=[],
        readout="said",
        data=[
            {"name": name}
            for name in (
                "examples",
                *(f"{kind}{k}" for kind in ("curve", "dots") for k in range(3)),
            )
        ],
        marks=[
            plot(
                (
                    f"{LEFT} + {k} % {columns} * {step}",
                    f"{ABOVE} + floor({k} / {columns}) * {ABOVE + HEIGHT + FOOT}",
                    "panel",
                    f"{HEIGHT}",
                ),
                axis({"signal": "across"}, "span", look=GRID | {"labelOverlap": "greedy"}),
                axis(title, f"{field}_span"),
                [_example_rules(), *_lines(field)],
                above=[_example_names()],
            )
            for k, (field, title) in enumerate(fields.items())
        ],
        alt=f"Curves: {'; '.join(fields.values())}.",
        caption="",
    )


def _lines(field: str) -> list[dict[str, Any]]:
    y, width = f"datum.{field}", {"strokeWidth": 1.5, "stroke": "surface", "size": 70}
    return [
        each
        for k, (colour, dash) in enumerate(zip(COLOURS, DASHES, strict=True))
        for each in (
            line(f"curve{k}", "datum.x", y, colour, strokeDash={"value": dash}),
            symbols(f"dots{k}", "datum.x", y, fill=colour, **width),
        )
    ]


def _example_rules() -> dict[str, Any]:
    place = {"scale": "across", "signal": "datum.x"}
    look = {"stroke": "muted", "strokeDash": {"value": [3, 4]}}
    return mark("rule", "examples", x=place, y=0, y2="height", **look)


def _example_names() -> dict[str, Any]:
    place = {"scale": "across", "signal": "datum.x"}
    look = {"fontSize": 11, "fill": "muted", "y": -6}
    return mark("text", "examples", x=place, text="datum.name", align="datum.align", **look)


def plane(side: int) -> LiveFigure:
    """One square with contours and the path downhill from a point that can be dragged.

    The page sets the signals ``numbers`` (`side` times `side`, from the top left), ``levels``,
    ``titles`` and ``spans`` of the axes, ``bounded`` (whether predictions change at the dashed
    lines), ``start``, and the data ``path`` and ``times``. It hears of ``moved``, the place to
    which the point is dragged.
    """
    across, up = (
        axis({"signal": f"titles[{k}]"}, f"spans[{k}]", look={"tickCount": 5}, zero=False)
        for k in range(2)
    )
    x, y = (_pixel(f"datum.{name}", k) for k, name in enumerate("xy"))
    rays = [("0", "1 / 2"), ("(1 + 1 / sqrt(3)) / 2", "0"), ("(1 + 1 / sqrt(3)) / 2", "1")]
    marks = [
        areas("plane", f"side / {side - 1}", "datum.contour.value - lowest"),
        *(_boundary(*ray) for ray in rays),
        mark("line", "path", x=x, y=y, stroke="path", strokeWidth=2.5),
        mark("symbol", "times", x=x, y=y, stroke="path", fill="surface", size=46),
    ]
    number = formula("value", "numbers[datum.index]")
    drag = f"(drag[0] - {LEFT}) / side", f"1 - (drag[1] - {TOP}) / side"
    place = [f"spans[{k}][0] + (spans[{k}][1] - spans[{k}][0]) * clamp({drag[k]}, 0, 1)"
             for k in range(2)]  # fmt: skip
    return figure(
        (),
        layout=[
            signal("side", f"min(container - {LEFT + RIGHT}, 380)"),
            pointer("drag", "plane"),
            {"name": "numbers", "value": [0] * side * side},
            {"name": "levels", "value": [0]},
            {"name": "lowest", "value": 0},
            {"name": "titles", "value": ["", ""]},
            {"name": "spans", "value": [[0, 1], [0, 1]]},
            {"name": "start", "value": [0, 0]},
            {"name": "bounded", "value": False},
            {"name": "said", "value": ""},
        ],
        height=f"side + {TOP + 46}",
        signals=[
            signal("at", f"[{LEFT} + {_pixel('start[0]', 0)}, {TOP} + {_pixel('start[1]', 1)}]"),
            {
                "name": "moved",
                "value": None,
                "on": [{"events": {"signal": "drag"}, "update": f"[{', '.join(place)}]"}],
            },
        ],
        readout="said",
        data=[
            {"name": "path"},
            {"name": "times"},
            *contour_data("plane", (side, side), "side", [number]),
        ],
        scales=[level_scale((LEVELS[0], LEVELS[-1]), type="log")],
        marks=[
            square(
                "plane", across, up, marks, (_pixel("start[0]", 0), _pixel("start[1]", 1)),
                above=[_times(x, y)],
            )
        ],
        alt="The contours of a loss and the path downhill.",
        caption="",
        handles=(Handle("at", "drag", ()),),
        renderer="canvas",
    )  # fmt: skip


def _pixel(value: str, k: int) -> str:
    share = f"({value} - spans[{k}][0]) / (spans[{k}][1] - spans[{k}][0])"
    return f"side * (1 - {share})" if k else f"side * {share}"


def _boundary(x: str, y: str) -> dict[str, Any]:
    look = {"stroke": "ink", "strokeDash": {"value": [3, 4]}, "strokeOpacity": "bounded ? 0.5 : 0"}
    middle = "side / 2"
    return mark("rule", x=middle, y=middle, x2=f"side * {x}", y2=f"side * {y}", **look)


def _times(x: str, y: str) -> dict[str, Any]:
    """The times beside the dots, the last below so that close ones part."""
    late, right = "datum.last ? 16 : -7", "datum.right"
    return {
        **mark(
            "text", "times", x=x, y=y, dx=f"{right} ? -7 : 7", dy=late, fill="ink",
            align=f"{right} ? 'right' : 'left'", text="datum.text",
        ),
        "interactive": False,
    }  # fmt: skip


def key() -> LiveFigure:
    """What the colours of all planes mean."""
    return figure(
        (),
        layout=[],
        height="46",
        signals=[],
        readout="''",
        data=[],
        scales=[level_scale((LEVELS[0], LEVELS[-1]), type="log")],
        marks=[colour_key(left=14)],
        alt=f"Colours from light to dark: {', '.join(map(str, LEVELS))} above the lowest value.",
        caption="",
    )
