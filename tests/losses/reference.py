"""The meaning of every declared loss, evaluated with many digits and no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import mpmath
import sympy as sp
import torch

from lossviz.losses import LOSSES, Loss

from .examples import Inputs

# Digits of the result that is compared: 50. Up to 35 more go in 1 - p at a margin of 80 nats, and
# 9 more in the difference quotient of comp-sum next to tau = 1.
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
def _compiled(key: str, classes: int, label: int | None) -> Callable[..., list[mpmath.mpf]]:
    """mpmath function of all logits, then all parameters: the value, then its gradient."""
    loss = LOSSES[key]
    if loss.form is not None:
        symbols = sp.symbols(f"z:{classes}", real=True)
        expression = loss.form.of_logits(symbols, label)
    else:
        symbols = sp.symbols(f"z:{2 * classes}", real=True)
        expression = WRITTEN_OUT[key](symbols[:classes], symbols[classes:])
    wanted = [expression, *(sp.diff(expression, symbol) for symbol in symbols)]
    arguments = [*symbols, *(parameter.sympy for parameter in loss.parameters)]
    return sp.lambdify(arguments, wanted, modules="mpmath", cse=True)


def exact_rows(
    loss: Loss, inputs: Inputs, parameters: dict[str, float], digits: int = DIGITS
) -> tuple[list[mpmath.mpf], list[list[mpmath.mpf]]]:
    """Per row of (N, K) inputs: the value, and the gradient for all logits one after another."""
    logits = torch.cat([x for x in inputs if x.is_floating_point()], dim=-1)
    labels = [x for x in inputs if not x.is_floating_point()]
    values, slopes = [], []
    with mpmath.workdps(digits):
        for row in range(len(logits)):
            label = int(labels[0][row]) if labels else None
            function = _compiled(loss.key, inputs[0].shape[-1], label)
            numbers = [*logits[row].tolist(), *(float(parameters[p]) for p in loss.defaults)]
            value, *slope = function(*map(mpmath.mpf, numbers))
            values.append(value)
            slopes.append(slope)
    return values, slopes


def exact(
    loss: Loss, inputs: Inputs, parameters: dict[str, float], digits: int = DIGITS
) -> tuple[torch.Tensor, torch.Tensor]:
    """`exact_rows` rounded to float64: values (N,), gradients (N, number of logits)."""
    values, slopes = exact_rows(loss, inputs, parameters, digits)
    return (
        torch.tensor([float(v) for v in values], dtype=torch.float64),
        torch.tensor([[float(g) for g in row] for row in slopes], dtype=torch.float64),
    )
