"""Live figure: the consistency transform, its inverse, and how far the theorem is from the truth.

The theorem's curve is printed from its sympy form. The exact one has such a form for tau <= 3/2;
beyond, where it is the least of many, the page carries a table of `comp_sum_transform_exact_inf`.
"""

from __future__ import annotations

from typing import Any

import torch

from ...losses.logits.compsum import TAU
from ...theory import comp_sum_transform_exact_inf
from ...theory.checks import check_classes
from ...theory.symbolic import BETA, N, comp_sum_transform_form
from ...theory.symbolic import TAU as TAU_SYMBOL
from ..live import LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import formula, mark, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, dot, line, rule

FINEST = 100  # steps of the theorem's curve
STEPS = 25  # steps of the slider of beta, and of the exact curve
MAX_CLASSES = 12
MAX_TAU = 3.0
TABLE_FROM = 1.6  # the first slider value above 3/2
LEGEND = (
    ("'theorem, τ = ' + format(tau, '.1f') + ', n = ' + n", "subject"),
    (
        "'exact, at one input' + "
        "(searched ? ' (least found)' : ratio > 1.0005 ? '' : ': the same at this β')",
        "path",
    ),
    ("'cross-entropy (τ = 1)'", "muted"),
)
READOUT = (
    "'Surrogate regret up to ' + format(theorem_at, '.3~g') + ' leaves a zero-one "
    "regret of at most ' + format(beta, '.2~f') + ' by the theorem' + (ratio > 1.0005 "
    "? '; at one input' + (searched ? ', as far as search has found,' : '') + "
    "' even ' + format(exact_at, '.3~g') + ' leaves no more, ' + "
    "format(ratio, '.3~r') + ' times as much.' : ', and this is tight.')"
)


def transforms(*, tau: float = 1.0, n: int = 10, beta: float = 0.2) -> LiveFigure:
    """The comp-sum transform over the zero-one regret, and its inverse over the surrogate's.

    Blue is the theorem's curve, orange the exact transform at one input, grey cross-entropy's.
    The first state has the comp-sum parameter `tau` (0 to 3, in steps of 0.1), `n` classes (2 to
    12) and the zero-one regret `beta` (0 to 1, in steps of 0.04) marked.

    Raises TypeError or ValueError for arguments of a wrong kind or outside these ranges.
    """
    tau, n = TAU.check(tau), check_classes(n)
    if n > MAX_CLASSES:
        raise ValueError(f"n must lie in 2..{MAX_CLASSES}, got {n!r}")
    for name, value, top, steps in (("tau", tau, MAX_TAU, 10), ("beta", beta, 1.0, STEPS)):
        if not 0 <= value <= top or abs(value * steps - round(value * steps)) > 1e-9:
            raise ValueError(f"{name} must be a multiple of {1 / steps} in [0, {top}], got {value}")
    controls = (
        Slider("tau", "τ of the loss", 0, MAX_TAU, 0.1, tau, "sum-exponential (0)", "bounded (3)"),
        Slider(
            "n",
            "n: number of classes",
            2,
            MAX_CLASSES,
            1,
            n,
            "tight below τ = 2 (2)",
            f"{MAX_CLASSES}",
        ),
        Slider(
            "beta", "β: zero-one regret", 0, 1, 1 / STEPS, beta, "best decision (0)", "worst (1)"
        ),
    )
    return two_plots(
        controls,
        LEGEND,
        (_transform(), _bound()),
        panes=("transform", "bound"),
        signals=_signals(),
        readout=READOUT,
        data=_data(),
        alt=(
            f"Left, surrogate regret over zero-one regret: the theorem's transform and the exact "
            f"one for tau = {tau:g} and {n} classes, with the cross-entropy curve for comparison "
            f"and dots at zero-one regret {beta:g}. Right, the same curves with axes exchanged: "
            "the largest zero-one regret that a surrogate regret leaves possible."
        ),
        caption=(
            "First, what a zero-one regret β must cost in surrogate regret; then the same curves "
            "read backwards: the bound. The shaded part is what the theorem gives away."
        ),
    )


def exact_table() -> list[list[list[float]]]:
    """The exact transform for tau > 3/2, by classes, tau and beta as the sliders step."""
    betas = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    taus = [k / 10 for k in range(round(10 * TABLE_FROM), round(10 * MAX_TAU) + 1)]
    return [
        [
            [float(f"{t:.6g}") for t in comp_sum_transform_exact_inf(betas, tau=tau, n=n).tolist()]
            for tau in taus
        ]
        for n in range(2, MAX_CLASSES + 1)
    ]


def _theorem(beta: str, *, tau: str = "tau", n: str = "n") -> str:
    """The theorem's transform as a Vega expression of the three expressions."""
    return vega_expression(comp_sum_transform_form(), {BETA: beta, TAU_SYMBOL: tau, N: n})


def _exact(index: str, beta: str) -> str:
    """The exact transform at `beta`, the grid's value number `index`."""
    row = f"table[n - 2][round(10 * (tau - {TABLE_FROM}))]"
    return f"tau <= 1.5 ? {_theorem(beta, n='2')} : {row}[{index}]"


def _signals() -> list[dict[str, Any]]:
    return [
        {"name": "table", "value": exact_table()},
        signal("theorem_at", _theorem("beta")),
        signal("exact_at", _exact(f"round({STEPS} * beta)", "beta")),
        # where one step of the derivation is not proved, see `lossviz.theory.exact`
        signal("searched", "tau > 1.5 && tau < 2 && n > 2"),
        signal("ratio", "theorem_at > 0 ? exact_at / theorem_at : 1"),
        signal("theorem_end", _theorem("1")),
        signal("exact_end", _exact(str(STEPS), "1")),
    ]


def _data() -> list[dict[str, Any]]:
    return [
        table(
            "theorem",
            FINEST + 1,
            formula("beta", f"datum.index / {FINEST}"),
            formula("t", _theorem("datum.beta")),
            formula("reference", _theorem("datum.beta", tau="1")),
        ),
        table(
            "exact",
            STEPS + 1,
            formula("beta", f"datum.index / {STEPS}"),
            formula("t", _exact("datum.index", "datum.beta")),
            formula("theorem", _theorem("datum.beta")),
        ),
    ]


def _transform() -> Plot:
    """What a zero-one regret costs in surrogate regret."""
    return (
        axis("zero-one regret β", "[0, 1]"),
        axis("surrogate regret, at least", "[0, 1]"),
        [
            _gap("vertical"),
            line("theorem", "datum.beta", "datum.reference", "reference", 1.5),
            line("exact", "datum.beta", "datum.t", "path"),
            line("theorem", "datum.beta", "datum.t", "subject"),
            dot("beta", "exact_at", "path"),
            dot("beta", "theorem_at", "subject"),
        ],
    )


def _bound() -> Plot:
    """The same curves with their axes exchanged."""
    return (
        axis("surrogate regret", "[0, 1]"),
        axis("zero-one regret, at most", "[0, 1.02]"),
        [
            _gap("horizontal"),
            line("theorem", "datum.reference", "datum.beta", "reference", 1.5),
            line("exact", "datum.t", "datum.beta", "path"),
            rule(("exact_end", "1"), ("1", "1"), "path", 2.5),
            line("theorem", "datum.t", "datum.beta", "subject"),
            rule(("theorem_end", "1"), ("1", "1"), "subject", 2.5),
            dot("exact_at", "beta", "path"),
            dot("theorem_at", "beta", "subject"),
        ],
    )


def _gap(orient: str) -> dict[str, Any]:
    """The region between the two curves, over the zero-one regret or beside it."""
    along, between = ("x", "y") if orient == "vertical" else ("y", "x")
    scales = {"x": "across", "y": "up"}
    ends = {
        along: {"scale": scales[along], "field": "beta"},
        between: {"scale": scales[between], "field": "t"},
        f"{between}2": {"scale": scales[between], "field": "theorem"},
    }
    return mark("area", "exact", **ends, orient=f"'{orient}'", fill="path", fillOpacity=0.15)
