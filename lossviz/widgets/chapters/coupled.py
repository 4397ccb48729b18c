"""Live figure: two marginals, a bottleneck between them, and the greedy coupling of what is left.

Masses and bottlenecks are tables on the stops of the sliders; the coupling is a chain of signals
with the same arithmetic, so that ties fall as they do in `lossviz.analysis.information`.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ...analysis.information import entropy_bits, greedy_bottleneck, greedy_coupling
from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

SYMBOLS, STOPS, RATES = 6, 10, 26
"""Symbols of each side, steps of a slider of a marginal, and tenths of a bit of the rate."""
PAIRINGS = ("greedily", "independently")
LEGEND = (
    ("'area: probability of a pair; right: H(T)'", "subject"),
    ("'bits that T tells about Y'", "path"),
)
READOUT = (
    "'X has ' + format(known.entropy, '.2f') + ' bits, Y has ' + format(other.entropy, '.2f')"
    " + '. At a rate of ' + rate_text + ' bits T keeps ' + format(kept.entropy, '.2f')"
    " + '; paired ' + pairing + ', T and Y have a joint entropy of ' + format(joint, '.2f')"
    " + ' bits, and one tells ' + format(told, '.2f') + ' bits about the other.'"
)


def masses(slope: float) -> torch.Tensor:
    """Six masses in proportion to exp(-slope k), from equal ones at a slope of 0."""
    return (-slope * torch.arange(SYMBOLS, dtype=torch.float64)).softmax(-1)


def coupled(
    *, first: float = 0.3, second: float = 0.5, rate: float = 1.6, pairing: str = "greedily"
) -> LiveFigure:
    """The greedy coupling of a bottleneck T of X with Y, and what T tells about Y at each rate.

    X and Y have six symbols with masses in proportion to exp(-first k) and exp(-second k), slopes
    in [0, 1] in steps of 0.1; T is a function of X with an entropy of at most `rate` (0 to 2.6
    bits, in steps of 0.1); `pairing` is "greedily" or "independently". Its numbers are those of
    `lossviz.analysis.information`.

    Raises ValueError for arguments outside their ranges.
    """
    if not (0 <= first <= 1 and 0 <= second <= 1 and 0 <= rate <= RATES / 10):
        raise ValueError(
            f"first and second must lie in [0, 1] and rate in [0, {RATES / 10}], got {first!r}, "
            f"{second!r} and {rate!r}"
        )
    if pairing not in PAIRINGS:
        raise ValueError(f"pairing must be one of {[*PAIRINGS]}, got {pairing!r}")
    controls = (
        Slider("first", "slope of X", 0, 1, 0.1, first, "equal masses", "steep"),
        Slider("second", "slope of Y", 0, 1, 0.1, second, "equal masses", "steep"),
        Slider("rate", "rate R (bits)", 0, RATES / 10, 0.1, rate, "nothing passes", "all of X"),
        Choice("pairing", "T and Y paired", PAIRINGS, pairing),
    )
    steps = 2 * SYMBOLS - 1
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("coupling", "rate"),
        signals=[
            {"name": "marginals", "value": _marginals()},
            {"name": "bottlenecks", "value": _bottlenecks()},
            signal("known", f"marginals[round({STOPS} * first)]"),
            signal("other", f"marginals[round({STOPS} * second)]"),
            signal("ways", f"bottlenecks[round({STOPS} * first)]"),
            signal("kept", "ways.kept[ways.level[round(10 * rate)]]"),
            signal("left0", "kept.masses"),
            signal("right0", "other.masses"),
            *(each for t in range(steps) for each in _step(t)),
            signal("moves", f"[{', '.join(f'[i{t}, j{t}, mass{t}]' for t in range(steps))}]"),
            signal("greedy", "pairing === 'greedily'"),
            signal("told", f"greedy ? kept.told[round({STOPS} * second)] : 0"),
            signal("joint", "kept.entropy + other.entropy - told"),
        ],
        readout=READOUT,
        data=[
            table(
                "cells",
                SYMBOLS * SYMBOLS,
                formula("row", f"floor(datum.index / {SYMBOLS})"),
                formula("column", f"datum.index % {SYMBOLS}"),
                formula("coupled", _coupled(steps)),
                formula(
                    "mass",
                    "greedy ? datum.coupled : kept.masses[datum.row] * other.masses[datum.column]",
                ),
            ),
            table(
                "rates",
                RATES + 1,
                formula("rate", "datum.index / 10"),
                formula("way", "ways.kept[ways.level[datum.index]]"),
                formula("entropy", "datum.way.entropy"),
                formula("told", f"greedy ? datum.way.told[round({STOPS} * second)] : 0"),
            ),
        ],
        alt=(
            "Left, a grid of the symbols of T against those of Y: most of the probability lies in "
            "a few cells, whose areas show it. Right, against the rate, the entropy of T climbs in "
            "steps below the diagonal, and what T tells about Y stays a little below it."
        ),
        caption=(
            "Left: the coupling of T, a function of X within the rate, with Y; the area of a disc "
            "is the probability of the pair. Right, in bits over the rate: the dots are H(T), the "
            "bits that T keeps; the diagonal is what the rate allows, the dashed line the entropy "
            "of Y, more than which no T can tell."
        ),
    )


def _marginals() -> list[dict[str, Any]]:
    found = (masses(stop / STOPS) for stop in range(STOPS + 1))
    return [{"masses": p.tolist(), "entropy": entropy_bits(p).item()} for p in found]


def _bottlenecks() -> list[dict[str, Any]]:
    """For each slope of X the bottlenecks that occur, and which of them each rate takes."""
    every = [masses(stop / STOPS) for stop in range(STOPS + 1)]
    found = []
    for p in every:
        kept: dict[tuple[float, ...], dict[str, Any]] = {}
        levels = []
        for tenth in range(RATES + 1):
            t = greedy_bottleneck(p, rate_bits=tenth / 10)
            key = tuple(t.tolist())
            if key not in kept:
                kept[key] = {
                    "place": len(kept),
                    "masses": [*key, *[0.0] * (SYMBOLS - len(key))],
                    "entropy": entropy_bits(t).item(),
                    "told": [greedy_coupling(t, q).information_bits.item() for q in every],
                }
            levels.append(kept[key]["place"])
        found.append({"kept": list(kept.values()), "level": levels})
    return found


def _step(t: int) -> list[dict[str, str]]:
    """The largest masses that are left on both sides, and what is left after pairing them."""

    def largest(side: str) -> str:
        return f"max({', '.join(f'{side}{t}[{k}]' for k in range(SYMBOLS))})"

    def rest(side: str, place: str) -> str:
        entries = (f"{side}{t}[{k}] - ({place}{t} === {k} ? mass{t} : 0)" for k in range(SYMBOLS))
        return f"[{', '.join(entries)}]"

    return [
        signal(f"i{t}", f"indexof(left{t}, {largest('left')})"),
        signal(f"j{t}", f"indexof(right{t}, {largest('right')})"),
        signal(f"least{t}", f"min(left{t}[i{t}], right{t}[j{t}])"),
        signal(f"mass{t}", f"least{t} <= 1e-15 ? 0 : least{t}"),
        signal(f"left{t + 1}", rest("left", "i")),
        signal(f"right{t + 1}", rest("right", "j")),
    ]


def _coupled(steps: int) -> str:
    """The mass of a cell: that of every move that ends there."""
    here = (
        f"(moves[{t}][0] === datum.row && moves[{t}][1] === datum.column ? moves[{t}][2] : 0)"
        for t in range(steps)
    )
    return " + ".join(here)


def _plots() -> tuple[Plot, Plot]:
    size = f"datum.mass * 1.8 * pow(min(panel, 220) / {SYMBOLS}, 2)"
    ticks = {"values": list(range(1, SYMBOLS + 1)), "format": "d", "grid": True}
    ends = f"[0.4, {SYMBOLS + 0.6}]"
    most = f"[0, {math.ceil(RATES / 10 * 10) / 10 + 0.1:g}]"
    now = {"size": 90, "stroke": "surface", "strokeWidth": 1}
    return (
        (
            axis("symbol of Y", ends, look=ticks),
            axis("symbol of T", ends, look=ticks, reverse=True),
            [
                symbols(
                    "cells", "datum.column + 1", "datum.row + 1", size=size, fill="subject",
                    fillOpacity=0.85,
                )
            ],
        ),
        (
            axis("rate R (bits)", most),
            axis("bits", most),
            [
                rule(("0", "3"), ("0", "3"), "muted", 1.5),
                _dashed(rule(("0", "3"), ("other.entropy", "other.entropy"), "muted", 1)),
                rule(("rate", "rate"), ("0", "3"), "muted", 1),
                line("rates", "datum.rate", "datum.told", "path",
                     interpolate={"value": "step-after"}),
                symbols("rates", "datum.rate", "datum.entropy", size=24, fill="subject"),
                symbols(
                    "pane_1", "rate", "told", fill="path", **now
                ),
                symbols("pane_1", "rate", "kept.entropy", fill="subject", **now),
            ],
        ),
    )  # fmt: skip


def _dashed(part: dict[str, Any]) -> dict[str, Any]:
    part["encode"]["update"]["strokeDash"] = {"value": [4, 3]}
    return part
