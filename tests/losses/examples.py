"""What the tests of every declared loss start from: it all follows from the loss's inputs.

A test is written for the arguments that a loss declares, by their kinds and letters; a further loss
is tested by its declaration alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch

from lossviz.declaration.inputs import BATCH, EXAMPLE_SIZES, Argument
from lossviz.losses import LOSSES, Loss

Tensors = tuple[torch.Tensor, ...]
Setting = dict[str, float]

# Small enough for many digits and for difference quotients.
SMALL = {letter: min(size, 3) for letter, size in EXAMPLE_SIZES.items()}


def arguments(loss: Loss) -> tuple[Argument, ...]:
    """The arguments that an example has."""
    return loss.inputs.required


def make(loss: Loss, count: int | None = None, *, scale: float = 3.0, **drawn: Any) -> Tensors:
    """Random inputs, with `count` rows where a number of rows can be chosen."""
    if count is not None:
        drawn |= {"batch": (count,)}
        drawn |= {row.removeprefix("2"): count for row in loss.inputs.rows if row != BATCH}
    return loss.inputs.example(scale=scale, **drawn)


def exact_in_every_dtype(tensors: Tensors) -> Tensors:
    """Floating tensors rounded to what bfloat16 holds, in their own dtype."""
    return tuple(x.bfloat16().to(x) if x.is_floating_point() else x for x in tensors)


def cast(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    """Floating tensors in `dtype`."""
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in tensors)


def named(loss: Loss, tensors: Tensors) -> dict[str, torch.Tensor]:
    """The tensors by the names of the arguments."""
    return {a.name: x for a, x in zip(arguments(loss), tensors, strict=True)}


def reduced(loss: Loss, reduction: str) -> dict[str, str]:
    """The keyword of the reduction, where the loss has rows."""
    return {"reduction": reduction} if loss.inputs.rows else {}


def row_losses(loss: Loss, tensors: Tensors, parameters: Setting | None = None) -> torch.Tensor:
    """The losses of the rows, or the one loss of a batch without rows."""
    return loss(*tensors, **(parameters or {}), **reduced(loss, "none"))


def learnt(loss: Loss) -> list[int]:
    """The places of the arguments that gradients reach."""
    return [i for i, a in enumerate(arguments(loss)) if a.kind.learnt]


def with_gradients(loss: Loss, tensors: Tensors) -> Tensors:
    """The tensors with every learnt one a fresh leaf that asks for its gradient."""
    places = learnt(loss)
    return tuple(
        x.detach().clone().requires_grad_() if i in places else x for i, x in enumerate(tensors)
    )


def gradients(loss: Loss, tensors: Tensors, **options: Any) -> Tensors:
    """The gradient of the sum of the losses in every learnt argument; `options` go to the loss."""
    leaves = with_gradients(loss, tensors)
    options = {**reduced(loss, "sum"), **options}
    value = loss(*leaves, **options).sum()
    return torch.autograd.grad(value, [leaves[i] for i in learnt(loss)])


def row_axis(loss: Loss, argument: Argument) -> int | None:
    """The axis along which an argument holds the rows, None where all rows share it."""
    letter = loss.inputs.rows[0].removeprefix("2") if loss.inputs.rows else None
    return argument.axis(letter) if letter in argument.letters else None


def take(loss: Loss, tensors: Tensors, rows: torch.Tensor) -> Tensors:
    """The inputs of these rows alone."""
    axes = [row_axis(loss, argument) for argument in arguments(loss)]
    return tuple(
        x if axis is None else x.index_select(axis, rows)
        for x, axis in zip(tensors, axes, strict=True)
    )


def class_letters(loss: Loss) -> set[str]:
    """The letters along which an argument has one entry per class."""
    found = {a.letters[-1] for a in arguments(loss) if a.kind.shifts}
    found |= {a.kind.counts for a in arguments(loss) if a.kind.counts}
    return found - {BATCH, *loss.inputs.rows}


def widths(loss: Loss) -> Iterator[dict[str, int]]:
    """Small sizes of all letters; two, three and seven classes where there are any."""
    letters = class_letters(loss)
    for size in (2, 3, 7) if letters else (3,):
        yield {**SMALL, **dict.fromkeys(letters, size)}


def settings(loss: Loss) -> list[Setting]:
    """Where a loss is looked at: defaults, all low and all high ends, next to these, each end.

    "Next to" is 1e-9 away: what removes a 0/0 exactly at a point must hold beside it as well.
    """
    low, high = ({p.name: p.slider[end] for p in loss.parameters} for end in (0, 1))
    found = [loss.defaults, low, high]
    for point in (loss.defaults, low, high):
        for step in (-1e-9, 1e-9):
            found.append({n: min(max(x + step, low[n]), high[n]) for n, x in point.items()})
    for name in loss.defaults:
        found += [{**loss.defaults, name: end[name]} for end in (low, high)]
    return [dict(pairs) for pairs in dict.fromkeys(tuple(s.items()) for s in found)]


def corners(loss: Loss) -> list[Setting]:
    """Defaults, and every parameter at the low or at the high end."""
    return settings(loss)[: 3 if loss.parameters else 1]


def parametrize(
    losses: Iterable[Loss], where: Callable[[Loss], list[Setting]] | None = None
) -> pytest.MarkDecorator:
    """One case per loss, or per loss and setting; a selection of losses may not be empty."""
    if where is None:
        return pytest.mark.parametrize("loss", losses, ids=lambda loss: loss.key)
    return pytest.mark.parametrize(
        ("loss", "parameters"),
        [
            pytest.param(loss, s, id="-".join([loss.key, *(f"{k}={v!r}" for k, v in s.items())]))
            for loss in losses
            for s in where(loss)
        ],
    )


ALL = list(LOSSES.values())
WITH_ROWS = [loss for loss in ALL if loss.inputs.rows]
ROWS_APART = [loss for loss in WITH_ROWS if not loss.inputs.coupled]
IGNORING = [loss for loss in ALL if loss.inputs.ignorable]
# A row learns one number per class, which may be shifted: tails are computed exactly in float64.
OF_LOGITS = [
    loss
    for loss in ROWS_APART
    if all(
        a.kind.shifts and a.letters[:-1] == loss.inputs.rows
        for a in map(arguments(loss).__getitem__, learnt(loss))
    )
]

each_loss = parametrize(ALL)
each_setting = parametrize(ALL, settings)
each_corner = parametrize(ALL, corners)
each_loss_with_rows = parametrize(WITH_ROWS)
each_loss_with_rows_apart = parametrize(ROWS_APART)
each_corner_with_rows_apart = parametrize(ROWS_APART, corners)
each_loss_that_ignores = parametrize(IGNORING)
each_corner_that_ignores = parametrize(IGNORING, corners)
