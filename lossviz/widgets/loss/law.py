"""Live figure: a law over its axis, with a slider for each of its parameters, from its form."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from ...declaration import Law
from ..live import LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import figure, formula, mark, numeral, signal, table
from ..vega.plot import GRID, axis, dot, line, plot
from .subject import parameter_signal, slider, symbol_of, titled

POINTS = 241
LEFT, RIGHT, TOP, HEIGHT, FOOT = 84, 26, 46, 260, 52


def law_curve(law: Law) -> LiveFigure:
    """The law over its axis at the present parameters, with the defaults in grey and one example.

    Where the law is `logarithmic` both axes are. The vertical scale is the same for every value of
    the parameters, so that higher looks higher. Raises TypeError for what is not a `Law`.
    """
    if not isinstance(law, Law):
        raise TypeError(f"law must be a Law, got {type(law).__name__}")
    start, stop, step = law.axis.slider
    middle = math.sqrt(start * stop) if law.logarithmic else (start + stop) / 2
    example = Slider(
        "example",
        f"{symbol_of(law.axis)}: {law.axis.meaning}",
        start,
        stop,
        step,
        start + step * round((middle - start) / step),
        law.axis.at_low,
        law.axis.at_high,
    )
    controls = [*(slider(p, p.default) for p in law.parameters), example]
    names = {p.sympy: parameter_signal(p) for p in law.parameters}

    def at(place: str, *, by_default: bool = False) -> str:
        values = {p.sympy: repr(p.default) for p in law.parameters} if by_default else names
        return vega_expression(law.expression, {law.axis.sympy: place, **values})

    ratio = f"{start} * pow({stop / start if start else 0}, datum.index / {POINTS - 1})"
    even = f"{start} + {stop - start} * datum.index / {POINTS - 1}"
    scale = {"type": "log"} if law.logarithmic else {}
    box = (f"{LEFT}", f"{TOP}", f"container - {LEFT + RIGHT}", f"{HEIGHT}")
    low, high = _range(law)
    symbol = symbol_of(law.axis)
    # the slider below says it in full
    place = {"signal": f"wide ? {f'{symbol}: {law.axis.meaning}'!r} : '{symbol}'"}
    legend = [("title", "subject"), ("'at the defaults'", "muted")][: 1 + bool(law.parameters)]
    return figure(
        controls,
        layout=[],
        height=f"{TOP + HEIGHT + FOOT}",
        signals=[
            signal("title", titled(law.title, law.parameters)),
            signal("example_value", at("example")),
        ],
        readout=f"'At {symbol} = ' + {numeral('example', 4)} + ': {law.value} ' + "
        f"{numeral('example_value', 4)} + '.'",
        data=[
            table(
                "law",
                POINTS,
                formula("x", ratio if law.logarithmic else even),
                formula("value", at("datum.x")),
                formula("reference", at("datum.x", by_default=True)),
            )
        ],
        marks=[
            *(
                mark("text", x=f"wide ? {LEFT} : 2", y=14 + 17 * row, text=text, fill=colour,
                     fontWeight=600)
                for row, (text, colour) in enumerate(legend)
            ),
            plot(
                box,
                axis(place, f"[{start}, {stop}]", look=_look(law, start, stop), **scale),
                axis(law.value, f"[{low!r}, {high!r}]", look=_look(law, low, high), **scale),
                [
                    line("law", "datum.x", "datum.reference", "reference", 1.5),
                    line("law", "datum.x", "datum.value", "subject"),
                    dot("example", "example_value", "path"),
                ],
            ),
        ],
        alt=f"{law.title}: {law.value} over {law.axis.meaning}, from {start:g} to {stop:g}.",
        caption=f"{law.title}: {law.summary[:1].lower()}{law.summary[1:]}",
    )  # fmt: skip


def _look(law: Law, low: float, high: float) -> dict[str, Any]:
    """Grid lines at powers of ten where the law is logarithmic."""
    if not law.logarithmic:
        return GRID
    exponents = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return {"values": [10.0**e for e in exponents], "grid": True, "format": ",~g"}


def _range(law: Law) -> tuple[float, float]:
    """The least and the largest value over the axis and over the ends of all sliders."""
    ends = itertools.product(*[p.slider[:2] for p in law.parameters])
    names = [p.name for p in law.parameters]
    values = torch.stack([law(law.grid(), **dict(zip(names, end, strict=True))) for end in ends])
    finite = values[values.isfinite()]
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if law.logarithmic else (min(low, 0.0), max(high, 0.0))
