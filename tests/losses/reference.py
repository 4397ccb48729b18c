"""The meaning of every declared loss, evaluated with many digits and no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

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


# Losses whose declaration has no symbolic form are written out here.
WRITTEN_OUT: dict[str, Callable[..., sp.Expr]] = {"symmetric_ce": _symmetric_ce}


@cache
def _compiled(
    key: str, classes: int, label: int | None, easy: bool
) -> Callable[..., list[mpmath.mpf]]:
    """mpmath function of all logits, then all parameters: the value, then its gradient.

    For an easy example the target probability is one minus the others, so that 1 - p is their sum:
    no number of digits holds the 1 - p of a margin of ten thousand nats otherwise.
    """
    loss = LOSSES[key]
    if loss.form is not None:
        symbols = sp.symbols(f"z:{classes}", real=True)
        weights = [sp.exp(symbol) for symbol in symbols]
        probabilities = [weight / sp.Add(*weights) for weight in weights]
        if easy:
            probabilities[label] = 1 - sp.Add(*probabilities[:label], *probabilities[label + 1 :])
        expression = loss.form.of_probabilities(probabilities, label)
    else:
        symbols = sp.symbols(f"z:{2 * classes}", real=True)
        expression = WRITTEN_OUT[key](symbols[:classes], symbols[classes:])
    wanted = [expression, *(sp.diff(expression, symbol) for symbol in symbols)]
    arguments = [*symbols, *(parameter.sympy for parameter in loss.parameters)]
    return sp.lambdify(arguments, wanted, modules="mpmath", cse=True)


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
    logits = torch.cat([x for x in inputs if x.is_floating_point()], dim=-1).tolist()
    labels = next((x.tolist() for x in inputs if not x.is_floating_point()), [None] * len(logits))
    ordered = tuple(float(parameters[name]) for name in loss.defaults)
    rows = [
        _exact_row(loss.key, inputs[0].shape[-1], label, (*row, *ordered))
        for row, label in zip(logits, labels, strict=True)
    ]
    values, *slopes = torch.tensor(rows, dtype=torch.float64).unbind(-1)
    return values, torch.stack(slopes, dim=-1)
