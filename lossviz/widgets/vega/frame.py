"""The frame of every live figure, and the small parts that Vega specs are made of.

Expressions are Vega's, as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..live import WIDTH, Choice, Handle, LiveFigure, Slider
from . import palette


def figure(
    controls: Sequence[Slider | Choice],
    *,
    height: str,
    layout: Sequence[Mapping[str, Any]] = (),
    signals: Sequence[Mapping[str, Any]],
    readout: str,
    data: Sequence[Mapping[str, Any]],
    marks: Sequence[Mapping[str, Any]],
    alt: str,
    caption: str,
    scales: Sequence[Mapping[str, Any]] = (),
    moves: Mapping[str, Mapping[str, str]] | None = None,
    handles: tuple[Handle, ...] = (),
    panes: tuple[str, ...] = (),
    renderer: str = "svg",
) -> LiveFigure:
    """A figure as wide as the page offers, and as high as the expression `height` says.

    Its signals are ``container``, the width offered; the colours; ``wide``, whether two pictures
    fit side by side; ``pane``, the number of the one of the `panes` that is shown where they do not
    (see `in_pane`); those of the `layout`, sizes and pointers; one per control; further `signals`;
    the text of each slider; and ``readout``, a sentence about the present state. For the signal of
    a control `moves` names other signals that set it, each with the expression for its value then.

    A signal must stand after those that it needs: Vega accepts any order, but then ranks again
    whatever follows, along every path, which takes minutes for a long chain.
    """
    follow = {
        name: [{"events": {"signal": source}, "update": value} for source, value in by.items()]
        for name, by in (moves or {}).items()
    }
    spec = {
        "autosize": "none",
        "padding": 0,
        "signals": [
            {"name": "container", "value": WIDTH},
            *palette.colour_signals(),
            signal("wide", "container >= 560"),
            {"name": "pane", "value": 0},
            *layout,
            signal("width", "container"),
            signal("height", height),
            *(
                {"name": c.signal, "value": c.value, "on": follow.get(c.signal, [])}
                for c in controls
            ),
            *signals,
            *(signal(f"{c.signal}_text", c.text) for c in controls if isinstance(c, Slider)),
            signal("readout", readout),
        ],
        "data": [*map(_pane, range(len(panes))), *data],
        "scales": scales,
        "marks": marks,
        "config": palette.vega_config(),
    }
    return LiveFigure(
        spec,
        tuple(controls),
        alt=alt,
        caption=caption,
        handles=handles,
        panes=panes,
        renderer=renderer,
    )


def in_pane(number: int, part: Mapping[str, Any]) -> dict[str, Any]:
    """A single mark that a narrow screen shows only in this pane of its figure."""
    return {**part, "from": {"data": f"pane_{number}"}}


def _pane(number: int) -> dict[str, Any]:
    """One row where the pane is shown, none where it is not."""
    shown = {"type": "filter", "expr": f"wide || pane === {number}"}
    return {"name": f"pane_{number}", "values": [{}], "transform": [shown]}


def numeral(number: str, digits: int = 3) -> str:
    """The text of an expression for a number, to so many digits."""
    tiny = f"abs({number}) < 5e-5 && {number} !== 0"
    return f"({tiny} ? 'nearly 0' : format({number}, ',.{digits}~r'))"


def hundredths(number: str) -> str:
    """The text for a number to two decimals, in powers of ten from a million on."""
    return f"format({number}, abs({number}) < 1e6 ? ',.2f' : '.1e')"


def signal(name: str, expression: str) -> dict[str, str]:
    """A signal that follows an expression."""
    return {"name": name, "update": expression}


def formula(name: str, expression: str) -> dict[str, str]:
    """A transform that adds a field."""
    return {"type": "formula", "as": name, "expr": expression}


def table(name: str, count: int, *transforms: Mapping[str, Any]) -> dict[str, Any]:
    """A data set of `count` rows, numbered from 0 in the field ``index``, after `transforms`."""
    numbers = {"type": "sequence", "start": 0, "stop": count, "as": "index"}
    return {"name": name, "transform": [numbers, *transforms]}


def mark(kind: str, data: str | None = None, /, **channels: Any) -> dict[str, Any]:
    """A mark, one for each row of `data` or a single one.

    A channel is an expression if it is text (a colour is the name of its signal), a reference of
    Vega's own if it is a dictionary, else a constant.
    """
    return {
        "type": kind,
        **({"from": {"data": data}} if data else {}),
        "encode": {"update": {name: _reference(value) for name, value in channels.items()}},
    }


def _reference(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    return {"signal": value} if isinstance(value, str) else {"value": value}
