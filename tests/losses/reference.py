"""What every declared loss means, evaluated with many digits and no torch.

The meaning is the symbolic form of the declaration or, where it has none, the independent function
of `meanings.MEANINGS`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import mpmath
import sympy as sp
import torch

from lossviz.losses import LOSSES, Loss

from .examples import Setting, Tensors, arguments, learnt, row_axis
from .meanings import MEANINGS
from .meanings.dual import Dual, exp, held, log, partials, softmax, sqrt

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
    """The losses of the rows in `inputs`, and the gradient of their sum entry by entry.

    NaN stands for an undetermined gradient: at a kink where two sides are equal.
    """
    loss = LOSSES[key]
    with mpmath.workdps(DIGITS):
        numbers = {n: mpmath.mpf(v) for n, v in zip(loss.defaults, parameters, strict=True)}
        count = itertools.count()
        tensors = [_precise(x, count if i in learnt(loss) else None) for i, x in enumerate(inputs)]
        ties = Dual.ties
        if loss.form is None:
            found = MEANINGS[loss.key](*tensors, **numbers)
        else:
            found = _of_form(loss, *tensors, list(numbers.values()))
        values = found if isinstance(found, list) else [found]
        slopes = partials(sum(values))
        undetermined = math.nan if Dual.ties > ties else 0.0
        gradient = [float(slopes.get(i, 0)) + undetermined for i in range(next(count))]
        return tuple(float(held(value)) for value in values), tuple(gradient)


def _of_form(loss: Loss, logits: list[Dual], label: int, numbers: Sequence[Any]) -> Any:
    if loss.form.over == "logits":
        return _compiled(loss.key, len(logits), label, False)(*logits, *numbers)
    easy = max(map(held, logits)) == held(logits[label])
    return _compiled(loss.key, len(logits), label, easy)(*softmax(logits), *numbers)


@cache
def _compiled(key: str, classes: int, label: int, easy: bool) -> Callable[..., Any]:
    """The form as a function of probabilities or logits, and the parameters.

    For an easy example the target probability is one minus the others, so that 1 - p is their sum:
    no number of digits holds the 1 - p of a margin of ten thousand nats otherwise.
    """
    loss = LOSSES[key]
    over_logits = loss.form.over == "logits"
    symbols = sp.symbols(f"a:{classes}", real=True, positive=None if over_logits else True)
    given = list(symbols)
    if easy:
        given[label] = 1 - sp.Add(*symbols[:label], *symbols[label + 1 :])
    expression = loss.form.value(given, label).subs(sp.zoo, sp.oo)  # -log 0, without a sign
    numbers = [parameter.sympy for parameter in loss.parameters]
    functions = {"exp": exp, "log": log, "sqrt": sqrt}
    return sp.lambdify([*symbols, *numbers], expression, modules=[functions, "mpmath"])


def _precise(numbers: Numbers, count: Iterator[int] | None) -> Numbers:
    """Floating entries with many digits, numbered if they are learnt; integers as they are."""
    if isinstance(numbers, tuple):
        return [_precise(part, count) for part in numbers]
    if not isinstance(numbers, float):
        return numbers
    precise = mpmath.mpf(numbers)
    return precise if count is None else Dual(precise, {next(count): mpmath.mpf(1)})
