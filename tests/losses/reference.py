"""What every declared loss means, evaluated with many digits and no torch.

The meaning is the symbolic form of the declaration or, where it has none, the independent function
of `meanings.MEANINGS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import mpmath
import sympy as sp
import torch

from lossviz.losses import LOSSES, Loss

from .examples import Setting, Tensors, arguments, learnt, row_axis
from .meanings import MEANINGS
from .meanings.dual import Dual, held, partials

# 50 digits for the result; up to 40 more cancel in -log p at an easy margin of 90 nats, and 9 more
# in the quotient of comp-sum next to tau = 1.
DIGITS = 100

Numbers = Any  # a number, or nested tuples of numbers as the axes of a tensor
Result = tuple[tuple[float, ...], tuple[float, ...]]


def exact(loss: Loss, inputs: Tensors, parameters: Setting) -> tuple[torch.Tensor, Tensors]:
    """The losses of the rows and the gradients of their sum, rounded to float64 once.

    `inputs` have one leading axis, that of the rows, where the loss has any.
    """
    ordered = tuple(float(parameters[name]) for name in loss.defaults)
    columns = tuple(_frozen(x) for x in inputs)
    if loss.inputs.coupled or not loss.inputs.rows:
        values, slopes = _exact(loss.key, columns, ordered)
        value = torch.tensor(values if loss.inputs.rows else values[0], dtype=torch.float64)
        return value, _shaped(loss, inputs, [slopes], [False] * len(inputs))
    apart = [row_axis(loss, argument) is not None for argument in arguments(loss)]
    count = next(len(x) for x, one in zip(inputs, apart, strict=True) if one)
    rows = [
        _exact(
            loss.key, tuple(x[i] if one else x for x, one in zip(columns, apart, strict=True)),
            ordered,
        )
        for i in range(count)
    ]  # fmt: skip
    values = torch.tensor([value for (value,), _ in rows], dtype=torch.float64)
    return values, _shaped(loss, inputs, [slopes for _, slopes in rows], apart)


def _shaped(
    loss: Loss, inputs: Tensors, rows: Sequence[tuple[float, ...]], apart: Sequence[bool]
) -> Tensors:
    """Gradients of the shapes of the learnt inputs from the numbers of each row.

    `apart` says which inputs hold the rows; the gradients of what rows share are added up.
    """
    places = learnt(loss)
    sizes = [inputs[i].numel() // (len(rows) if apart[i] else 1) for i in places]
    parts = torch.tensor(rows, dtype=torch.float64).split(sizes, dim=-1)
    return tuple(
        (part if apart[i] else part.sum(0)).reshape(inputs[i].shape)
        for i, part in zip(places, parts, strict=True)
    )


def _frozen(tensor: torch.Tensor) -> Numbers:
    def tuples(x: Any) -> Any:
        return tuple(map(tuples, x)) if isinstance(x, list) else x

    return tuples(tensor.double().tolist() if tensor.is_floating_point() else tensor.tolist())


@cache
def _exact(key: str, inputs: tuple[Numbers, ...], parameters: tuple[float, ...]) -> Result:
    """The losses of the rows in `inputs`, and the gradient of their sum entry by entry."""
    loss = LOSSES[key]
    with mpmath.workdps(DIGITS):
        if loss.form is not None:
            logits, label = inputs
            values, slopes = _of_form(key, logits, label, parameters)
        else:
            values, slopes = _of_meaning(loss, inputs, parameters)
        return tuple(map(float, values)), tuple(map(float, slopes))


def _of_form(
    key: str, logits: tuple[float, ...], label: int, parameters: tuple[float, ...]
) -> tuple[list[mpmath.mpf], list[mpmath.mpf]]:
    z = [mpmath.mpf(number) for number in logits]
    numbers = [mpmath.mpf(number) for number in parameters]
    form = LOSSES[key].form
    if form.over == "logits":
        value, *slopes = _compiled(key, len(z), label, False)(*z, *numbers)
        return [value], slopes
    largest = max(z)
    weights = [mpmath.exp(one - largest) for one in z]
    total = sum(weights)
    p = [weight / total for weight in weights]
    value, *slopes = _compiled(key, len(z), label, z[label] == largest)(*p, *numbers)
    mean = sum(a * b for a, b in zip(p, slopes, strict=True))
    return [value], [a * (b - mean) for a, b in zip(p, slopes, strict=True)]


@cache
def _compiled(key: str, classes: int, label: int, easy: bool) -> Callable[..., list[mpmath.mpf]]:
    """The form and its derivatives as a function of probabilities or logits, and the parameters.

    For an easy example the target probability is one minus the others, so that 1 - p is their sum:
    no number of digits holds the 1 - p of a margin of ten thousand nats otherwise.
    """
    loss = LOSSES[key]
    over_logits = loss.form.over == "logits"
    symbols = sp.symbols(f"a:{classes}", real=True, positive=None if over_logits else True)
    given = list(symbols)
    if easy:
        given[label] = 1 - sp.Add(*symbols[:label], *symbols[label + 1 :])
    expression = loss.form.value(given, label)
    wanted = [expression, *(sp.diff(expression, symbol) for symbol in symbols)]
    # Shared terms are taken out before a case is chosen, and may divide by 0 in the other case.
    shared = not expression.has(sp.Piecewise)
    numbers = [parameter.sympy for parameter in loss.parameters]
    wanted = [each.subs(sp.zoo, sp.oo) for each in wanted]  # of one class: -log 0 without a sign
    return sp.lambdify([*symbols, *numbers], wanted, modules="mpmath", cse=shared)


def _of_meaning(
    loss: Loss, inputs: tuple[Numbers, ...], parameters: tuple[float, ...]
) -> tuple[Sequence[Any], list[Any]]:
    """NaN stands for an undetermined gradient: at a kink where two sides are equal."""
    numbers = {n: mpmath.mpf(v) for n, v in zip(loss.defaults, parameters, strict=True)}
    count = itertools.count()
    tensors = [_precise(x, count if i in learnt(loss) else None) for i, x in enumerate(inputs)]
    ties = Dual.ties
    found = MEANINGS[loss.key](*tensors, **numbers)
    values = found if isinstance(found, list) else [found]
    slopes = partials(sum(values))
    undetermined = mpmath.nan if Dual.ties > ties else mpmath.mpf(0)
    return list(map(held, values)), [slopes.get(i, 0) + undetermined for i in range(next(count))]


def _precise(numbers: Numbers, count: Iterator[int] | None) -> Numbers:
    """Floating entries with many digits, numbered if they are learnt; integers as they are."""
    if isinstance(numbers, tuple):
        return [_precise(part, count) for part in numbers]
    if not isinstance(numbers, float):
        return numbers
    precise = mpmath.mpf(numbers)
    return precise if count is None else Dual(precise, {next(count): mpmath.mpf(1)})
