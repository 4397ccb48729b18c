"""Live figure: both sides of the consistency bound along training runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ...theory import ConsistencyBound
from ...theory.symbolic import BETA, comp_sum_transform_form
from ...theory.symbolic import TAU as TAU_SYMBOL
from ..live import Choice, LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import formula, signal, table
from ..vega.panels import two_plots
from ..vega.plot import axis, dot, line, rule

FINEST = 100
SIDES = ("left", "right", "inside")
LEGEND = (
    ("'zero-one excess'", "subject"),
    ("'bound by the theorem, τ = ' + tau", "path"),
)
READOUT = (
    "'Step ' + at_text + ' of training with τ = ' + tau + ': the surrogate excess is ' + "
    "format(inside, '.3~g') + ', so the zero-one excess is at most ' + "
    "format(right, '.3~f') + '; it is ' + format(left, '.3~f') + '.'"
)
OVER_STEPS = (
    axis("step", "extent(steps)", type="sqrt"),
    axis("zero-one excess", "[0, 1.02]"),
    [
        rule(("step", "step"), ("0", "1.02"), "muted", 1),
        line("run", "datum.step", "datum.right", "path"),
        line("run", "datum.step", "datum.left", "subject"),
        dot("step", "right", "path"),
        dot("step", "left", "subject"),
    ],
)
OVER_SURROGATE = (
    axis("surrogate excess (square-root scale)", "[0, farthest]", type="sqrt"),
    axis("zero-one excess", "[0, 1.02]"),
    [
        rule(("inside", "inside"), ("0", "1.02"), "muted", 1),
        line("theorem", "datum.t", "datum.beta", "path"),
        line("run", "datum.inside", "datum.left", "subject"),
        dot("inside", "right", "path"),
        dot("inside", "left", "subject"),
    ],
)


def training_bound(
    steps: Sequence[int], runs: Sequence[Sequence[ConsistencyBound]], *, title: str
) -> LiveFigure:
    """The zero-one side and its bound over the steps of training, and in the plane of the two.

    Parameters
    ----------
    steps : increasing step numbers, at least two.
    runs : for each value of tau one sequence of `ConsistencyBound`, one bound per step. The
        figure starts with the run of cross-entropy if there is one.
    title : what is trained on what, for the caption.

    Raises
    ------
    ValueError if steps do not increase, a run has another length than `steps`, holds bounds of
    more than one tau or number of classes, two runs share a tau, or a number is not finite.
    """
    if len(steps) < 2 or any(a >= b for a, b in pairwise(steps)):
        raise ValueError(f"steps must be at least two increasing numbers, got {list(steps)!r}")
    names = [_name(len(steps), run) for run in runs]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"runs must have one run for each tau, got those of tau = {names}")
    classes = {bound.num_classes for run in runs for bound in run}
    if len(classes) > 1:
        raise ValueError(f"runs must share a number of classes, got {sorted(classes)}")
    first = "1" if "1" in names else names[0]
    last = len(steps) - 1
    controls = (
        Slider(
            "at",
            "step of training",
            0,
            last,
            1,
            last // 2,
            "start",
            f"{steps[-1]:,}",
            shows="format(step, ',')",
            plays=True,
        ),
        Choice("tau", "τ of the loss", tuple(names), first),
    )
    numbers = {
        name: {side: [_digits(getattr(bound, side)) for bound in run] for side in SIDES}
        for name, run in zip(names, runs, strict=True)
    }
    return two_plots(
        controls,
        LEGEND,
        (OVER_STEPS, OVER_SURROGATE),
        panes=("over the steps", "over the surrogate"),
        signals=[
            {"name": "steps", "value": list(steps)},
            {"name": "table", "value": numbers},
            signal("power", "toNumber(tau)"),
            signal("step", "steps[at]"),
            *(signal(side, f"table[tau].{side}[at]") for side in SIDES),
            signal("farthest", "max(extent(table[tau].inside)[1], 1e-6)"),
        ],
        readout=READOUT,
        data=[_run(len(steps)), _theorem(classes.pop())],
        alt=(
            f"{title}. Left, over the steps of training with tau = {first}: the zero-one side of "
            "the bound below, and the bound above it. Right, the same run as a path of zero-one "
            "side over surrogate side, under the curve of the theorem."
        ),
        caption=(
            f"{title}: the zero-one side (blue) and what the theorem allows (orange), over the "
            "steps, and over the surrogate side. Each τ is trained with its own loss."
        ),
    )


def _name(length: int, run: Sequence[ConsistencyBound]) -> str:
    if len(run) != length:
        raise ValueError(f"a run must have one bound for each of {length} steps, got {len(run)}")
    taus = {bound.tau for bound in run}
    if len(taus) > 1:
        raise ValueError(f"a run must have one tau, got {sorted(taus)}")
    return f"{taus.pop():g}"


def _digits(value: float) -> float:
    """Six significant digits, which no eye and no readout tells from more."""
    if not abs(value) < math.inf:
        raise ValueError(f"bounds must be finite, got {value!r}")
    return float(f"{value:.6g}")


def _run(count: int) -> dict[str, Any]:
    sides = (formula(side, f"table[tau].{side}[datum.index]") for side in SIDES)
    return table("run", count, formula("step", "steps[datum.index]"), *sides)


def _theorem(n: int) -> dict[str, Any]:
    names = {BETA: "datum.beta", TAU_SYMBOL: "power"}
    return table(
        "theorem",
        # the last row is where the bound, which is 1 from T(1) on, leaves the plot
        FINEST + 2,
        # closer together near zero, where the inverse is steep
        formula("beta", f"pow(min(1, datum.index / {FINEST}), 1.5)"),
        formula("reached", vega_expression(comp_sum_transform_form(n=n), names)),
        formula("t", f"datum.index > {FINEST} ? max(datum.reached, farthest) : datum.reached"),
    )
