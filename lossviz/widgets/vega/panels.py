"""Two plots side by side, one above the other on a narrow screen, as Vega signals and marks.

Each plot is a group with the scales ``across`` and ``up``; marks name their fields as Vega
expressions, so that the same row can be drawn with its axes exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..live import WIDTH
from . import palette
from .frame import signal

LEFT, RIGHT, HEIGHT, FOOT, ROW = 50, 14, 220, 52, 17


def layout_signals(legend_rows: int) -> list[dict[str, Any]]:
    """``container``, the colours, and the sizes of the picture and its two panels."""
    return [
        {"name": "container", "value": WIDTH},
        *palette.colour_signals(),
        signal("wide", "container >= 560"),
        signal("panel", f"(wide ? container / 2 : container) - {LEFT + RIGHT}"),
        signal("width", "container"),
        signal("height", f"{_top(legend_rows)} + (wide ? 1 : 2) * {HEIGHT + FOOT}"),
    ]


def panels(
    legend: Sequence[tuple[str, str]],
    plots: Sequence[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]],
) -> list[dict[str, Any]]:
    """The marks of a whole picture.

    `legend` has a Vega expression for a text and the colour it explains; `plots` the scale and
    title across, those upwards, and the marks of each of the two plots.
    """
    place = [
        (str(LEFT), str(_top(len(legend)))),
        (
            f"wide ? container / 2 + {LEFT} : {LEFT}",
            f"{_top(len(legend))} + (wide ? 0 : {HEIGHT + FOOT})",
        ),
    ]
    rows = [
        {
            "type": "text",
            "encode": {
                "update": {
                    "x": {"value": LEFT},
                    "y": {"value": ROW * (row + 0.8)},
                    "text": {"signal": text},
                    "fill": palette.colour(colour),
                    "fontWeight": {"value": 600},
                }
            },
        }
        for row, (text, colour) in enumerate(legend)
    ]
    marks = [
        _plot(x, y, across, up, inner)
        for (x, y), (across, up, inner) in zip(place, plots, strict=True)
    ]
    return [*rows, *marks]


def axis(title: str, domain: str, **scale: Any) -> dict[str, Any]:
    """A scale with its title; `domain` is a Vega expression for its two ends."""
    return {"title": title, "scale": {"domain": {"signal": domain}, **scale}}


def line(data: str, x: str, y: str, colour: str, width: float = 2.5) -> dict[str, Any]:
    """A line through the rows of a data set."""
    return {
        "type": "line",
        "from": {"data": data},
        "encode": {
            "update": _place(x, y)
            | {"stroke": palette.colour(colour), "strokeWidth": {"value": width}}
        },
    }


def rule(x: tuple[str, str], y: tuple[str, str], colour: str, width: float) -> dict[str, Any]:
    """A straight line from (x[0], y[0]) to (x[1], y[1])."""
    ends = {"x2": {"scale": "across", "signal": x[1]}, "y2": {"scale": "up", "signal": y[1]}}
    look = {"stroke": palette.colour(colour), "strokeWidth": {"value": width}}
    return {"type": "rule", "encode": {"update": _place(x[0], y[0]) | ends | look}}


def dot(x: str, y: str, colour: str) -> dict[str, Any]:
    """A ringed dot."""
    return {
        "type": "symbol",
        "encode": {
            "update": _place(x, y)
            | {
                "size": {"value": 110},
                "fill": palette.colour(colour),
                "stroke": palette.colour("surface"),
                "strokeWidth": {"value": 1.5},
            }
        },
    }


def _place(x: str, y: str) -> dict[str, Any]:
    return {"x": {"scale": "across", "signal": x}, "y": {"scale": "up", "signal": y}}


def _top(legend_rows: int) -> int:
    return ROW * legend_rows + 12


def _plot(
    x: str, y: str, across: dict[str, Any], up: dict[str, Any], marks: list[dict[str, Any]]
) -> dict[str, Any]:
    size = {"width": {"signal": "panel"}, "height": {"value": HEIGHT}}
    axes = [("bottom", "across", across), ("left", "up", up)]
    return {
        "type": "group",
        "encode": {"update": {"x": {"signal": x}, "y": {"signal": y}, **size}},
        "signals": [signal("width", "panel"), {"name": "height", "value": HEIGHT}],
        "scales": [
            {"name": "across", "range": "width", **across["scale"]},
            {"name": "up", "range": "height", **up["scale"]},
        ],
        "axes": [
            {
                "orient": side,
                "scale": scale,
                "title": axis["title"],
                "tickCount": 5,
                "grid": True,
            }
            for side, scale, axis in axes
        ],
        "marks": [
            {
                "type": "group",
                "clip": True,
                "interactive": False,
                "encode": {"update": size},
                "marks": marks,
            }
        ],
    }
