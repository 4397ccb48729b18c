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


def exact_rows(
    loss: Loss, inputs: Inputs, parameters: dict[str, float]
) -> tuple[list[mpmath.mpf], list[list[mpmath.mpf]]]:
    """Per row of (N, K) inputs: the value, and the gradient for all logits one after another."""
    logits = torch.cat([x for x in inputs if x.is_floating_point()], dim=-1)
    labels = [x for x in inputs if not x.is_floating_point()]
    values, slopes = [], []
    with mpmath.workdps(DIGITS):
        for row in range(len(logits)):
            label = int(labels[0][row]) if labels else None
            easy = labels != [] and int(logits[row].argmax()) == label
            function = _compiled(loss.key, inputs[0].shape[-1], label, easy)
            numbers = [*logits[row].tolist(), *(float(parameters[p]) for p in loss.defaults)]
            value, *slope = function(*map(mpmath.mpf, numbers))
            values.append(value)
            slopes.append(slope)
    return values, slopes


def exact(
    loss: Loss, inputs: Inputs, parameters: dict[str, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`exact_rows` rounded to float64: values (N,), gradients (N, number of logits)."""
    values, slopes = exact_rows(loss, inputs, parameters)
    return (
        torch.tensor([float(v) for v in values], dtype=torch.float64),
        torch.tensor([[float(g) for g in row] for row in slopes], dtype=torch.float64),
    )
