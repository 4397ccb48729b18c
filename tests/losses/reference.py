"""The meaning of every declared loss, evaluated with many digits and no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import mpmath
import sympy as sp
import torch

from lossviz.losses import LOSSES, Loss

from .examples import Inputs

# 50 digits for the result; up to 40 more cancel in -log p at an easy margin of 90 nats, and 9 more
# in the quotient of comp-sum next to tau = 1.
DIGITS = 100


def _symmetric_ce(student: Sequence[sp.Expr], teacher: Sequence[sp.Expr]) -> sp.Expr:
    alpha = LOSSES["symmetric_ce"].parameters[0].sympy
    p, q = (
        [sp.exp(z) / sp.Add(*map(sp.exp, logits)) for z in logits] for logits in (student, teacher)
    )
    forward = -sp.Add(*(b * sp.log(a) for a, b in zip(p, q, strict=True)))
    reverse = -sp.Add(*(a * sp.log(b) for a, b in zip(p, q, strict=True)))
    return (1 - alpha) * forward + alpha * reverse


def _adv_comp_sum(clean: Sequence[sp.Expr], adversarial: Sequence[sp.Expr], label: int) -> sp.Expr:
    tau, rho, nu = (p.sympy for p in LOSSES["adv_comp_sum"].parameters)
    others = [k for k in range(len(clean)) if k != label]
    u = sp.Add(*(sp.exp((clean[k] - clean[label]) / rho) for k in others))
    phi = sp.Piecewise(
        (sp.log(1 + u), sp.Eq(tau, 1)), (((1 + u) ** (1 - tau) - 1) / (1 - tau), True)
    )
    moves = [(adversarial[label] - adversarial[k]) - (clean[label] - clean[k]) for k in others]
    squared = sp.Add(*(move**2 for move in moves))
    # where nothing moves the length has a corner; its slope there is 0 by convention
    return phi + nu * sp.Piecewise((sp.sqrt(squared), squared > 0), (0, True))


def _two_hot(logits: Sequence[sp.Expr], y: sp.Expr) -> sp.Expr:
    low, high = (p.sympy for p in LOSSES["two_hot"].parameters)
    step = (high - low) / (len(logits) - 1)
    target = [sp.Max(0, 1 - sp.Abs(y - low - i * step) / step) for i in range(len(logits))]
    return _soft_cross_entropy(logits, target)


def _hl_gauss(logits: Sequence[sp.Expr], y: sp.Expr) -> sp.Expr:
    low, high, relative = (p.sympy for p in LOSSES["hl_gauss"].parameters)
    width = (high - low) / len(logits)
    edges = [low + i * width for i in range(len(logits) + 1)]
    cdf = [sp.erf((edge - y) / (sp.sqrt(2) * relative * width)) for edge in edges]
    target = [(b - a) / (cdf[-1] - cdf[0]) for a, b in itertools.pairwise(cdf)]
    return _soft_cross_entropy(logits, target)


def _soft_cross_entropy(logits: Sequence[sp.Expr], target: Sequence[sp.Expr]) -> sp.Expr:
    total = sp.log(sp.Add(*map(sp.exp, logits)))
    return sp.Add(*(t * (total - z) for t, z in zip(target, logits, strict=True)))


def _aldr_kl(logits: Sequence[sp.Expr], label: int) -> sp.Expr:
    """With the temperature left open; `_worst_temperature` fills it in."""
    lam0, alpha, margin = (p.sympy for p in LOSSES["aldr_kl"].parameters)
    others = [k for k in range(len(logits)) if k != label]
    leads = sp.Add(*(sp.exp((logits[k] - logits[label] + margin) / LAM) for k in others))
    psi = LAM * sp.log((1 + leads) / len(logits))
    return psi - alpha * sp.log(len(logits)) / (2 * lam0) * (LAM - lam0) ** 2


LAM = sp.Symbol("lam", positive=True)


def _worst_temperature(
    expression: sp.Expr, wanted: list[sp.Expr], arguments: list[sp.Symbol]
) -> Callable[..., list[mpmath.mpf]]:
    """`wanted` where the expression is largest in LAM, between lam0 (1 - 1/alpha) and lam0.

    At a maximum the gradient is that at a fixed temperature.
    """
    slopes = [sp.diff(expression, LAM, order) for order in (0, 1, 2)]
    height, slope, bend = (
        sp.lambdify([LAM, *arguments], s, modules="mpmath", cse=True) for s in slopes
    )
    result = sp.lambdify([LAM, *arguments], wanted, modules="mpmath", cse=True)

    def function(*numbers: mpmath.mpf) -> list[mpmath.mpf]:
        lam0, alpha, _ = numbers[-3:]
        grid = [lam0 * (1 - i / (60 * alpha)) for i in range(60)]
        best = max(grid, key=lambda lam: height(lam, *numbers))
        root = mpmath.findroot(
            lambda lam: slope(lam, *numbers),
            best,
            solver="newton",
            df=lambda lam: bend(lam, *numbers),
        )
        return result(root, *numbers)

    return function


# Losses whose declaration has no symbolic form are written out here.
WRITTEN_OUT: dict[str, Callable[..., Any]] = {
    "symmetric_ce": _symmetric_ce,
    "adv_comp_sum": _adv_comp_sum,
    "two_hot": _two_hot,
    "hl_gauss": _hl_gauss,
    "aldr_kl": _aldr_kl,
}


@cache
def _compiled(
    key: str, classes: int, label: int | None, easy: bool
) -> Callable[..., list[mpmath.mpf]]:
    """mpmath function of all logits, then all parameters: the value, then its gradient.

    For an easy example the target probability is one minus the others, so that 1 - p is their sum:
    no number of digits holds the 1 - p of a margin of ten thousand nats otherwise.
    """
    loss = LOSSES[key]
    value: tuple[sp.Symbol, ...] = ()
    if loss.form is not None and loss.form.over == "logits":
        symbols = sp.symbols(f"z:{classes}", real=True)
        expression = loss.form.of_logits(symbols, label)
    elif loss.form is not None:
        symbols = sp.symbols(f"z:{classes}", real=True)
        weights = [sp.exp(symbol) for symbol in symbols]
        probabilities = [weight / sp.Add(*weights) for weight in weights]
        if easy:
            probabilities[label] = 1 - sp.Add(*probabilities[:label], *probabilities[label + 1 :])
        expression = loss.form.of_probabilities(probabilities, label)
    elif loss.inputs == "bin logits and values":
        symbols = sp.symbols(f"z:{classes}", real=True)
        value = (sp.Symbol("y", real=True),)
        expression = WRITTEN_OUT[key](symbols, *value)
    elif loss.inputs == "class logits":
        symbols = sp.symbols(f"z:{classes}", real=True)
        expression = WRITTEN_OUT[key](symbols, label)
    else:
        symbols = sp.symbols(f"z:{2 * classes}", real=True)
        labels = () if label is None else (label,)
        expression = WRITTEN_OUT[key](symbols[:classes], symbols[classes:], *labels)
    wanted = [expression, *(sp.diff(expression, symbol) for symbol in symbols)]
    arguments = [*symbols, *value, *(parameter.sympy for parameter in loss.parameters)]
    if expression.has(LAM) and LAM not in arguments:
        return _worst_temperature(expression, wanted, arguments)
    # Shared terms are taken out before a case is chosen, and may divide by 0 in the other case.
    cornered = expression.has(sp.Piecewise) and not (
        loss.form and loss.form.over == "probabilities"
    )
    return sp.lambdify(arguments, wanted, modules="mpmath", cse=not cornered)


@cache
def _exact_row(
    key: str, classes: int, label: int | None, numbers: tuple[float, ...]
) -> tuple[float, ...]:
    easy = label is not None and max(numbers[:classes]) == numbers[label]
    with mpmath.workdps(DIGITS):
        return tuple(map(float, _compiled(key, classes, label, easy)(*map(mpmath.mpf, numbers))))


def exact(
    loss: Loss, inputs: Inputs, parameters: dict[str, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (N,) and gradients (N, number of logits) for (N, K) inputs, rounded to float64 once.

    With two sets of logits the gradient for the second follows that for the first.
    """
    columns = [x.reshape(len(x), -1).double() for x in inputs if x.is_floating_point()]
    logits = torch.cat(columns, dim=-1).tolist()
    labels = next((x.tolist() for x in inputs if not x.is_floating_point()), [None] * len(logits))
    ordered = tuple(float(parameters[name]) for name in loss.defaults)
    rows = [
        _exact_row(loss.key, inputs[0].shape[-1], label, (*row, *ordered))
        for row, label in zip(logits, labels, strict=True)
    ]
    values, *slopes = torch.tensor(rows, dtype=torch.float64).unbind(-1)
    return values, torch.stack(slopes, dim=-1)
