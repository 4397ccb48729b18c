"""Derivatives by torch.func inside torch.compile: what works for F.cross_entropy works here."""

from __future__ import annotations

import pytest
import torch

from lossviz.declaration.inputs import BATCH
from lossviz.losses import LOSSES

from .examples import (
    ALL,
    ROWS_APART,
    arguments,
    learnt,
    make,
    parametrize,
    reduced,
    row_axis,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def same_when_compiled(function, *inputs):
    """Dynamo alone: it is what has to trace the transforms, and the cheapest to run."""
    torch._dynamo.reset()
    found = torch.compile(function, fullgraph=True, backend="eager")(*inputs)
    torch.testing.assert_close(found, function(*inputs))


def of_one_row(loss, **parameters):
    axes = [row_axis(loss, argument) for argument in arguments(loss)]
    as_a_batch = loss.inputs.rows[0] != BATCH

    def f(*inputs):
        if as_a_batch:  # a letter must stay, as an axis of one row
            rows = zip(inputs, axes, strict=True)
            inputs = [x if axis is None else x.unsqueeze(axis) for x, axis in rows]
        return loss(*inputs, **parameters, **reduced(loss, "sum"))

    return f


@parametrize(ROWS_APART)
def test_gradients_example_by_example_may_be_compiled(loss):
    axes = tuple(row_axis(loss, argument) for argument in arguments(loss))
    one = torch.func.grad(of_one_row(loss), argnums=tuple(learnt(loss)))
    same_when_compiled(torch.func.vmap(one, in_dims=axes), *make(loss, K=3))


@parametrize([loss for loss in ALL if loss not in ROWS_APART])
def test_a_gradient_by_torch_func_may_be_compiled(loss):
    same_when_compiled(torch.func.grad(loss, argnums=tuple(learnt(loss))), *make(loss, K=3))


@pytest.mark.parametrize(
    ("key", "parameters"),
    [
        ("cross_entropy", {"label_smoothing": 0.1}),
        ("comp_sum", {"tau": 0.3}),
        ("sum_exponential", {}),
        ("generalized_cross_entropy", {}),
        ("brier", {}),
    ],
)
def test_a_hessian_may_be_compiled(key, parameters):
    loss = LOSSES[key]
    logits, target = make(loss, 2, K=3)

    def hessian(x):
        return torch.func.hessian(lambda x: loss(x, target, **parameters))(x)

    same_when_compiled(hessian, logits)
