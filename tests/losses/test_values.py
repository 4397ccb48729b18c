"""The torch functions are what the declarations say, to the last digits and at every size."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import LOSSES, Loss

from .examples import each_loss, each_setting, gradients, make, on_logits
from .reference import WRITTEN_OUT, exact


def assert_close(got, expected, rtol, atol=0.0):
    error = (got.double() - expected).abs()
    worst = (error - (atol + rtol * expected.abs())).max()
    assert worst <= 0, f"off by {error.max():.3g}\ngot      {got}\nexpected {expected}"


def spread_margins(loss: Loss, classes: int, dtype=torch.float64):
    """Inputs whose first class leads or trails by up to 60 nats, with labels at both ends."""
    inputs = make(loss, (8,), classes, dtype=dtype)
    lead = torch.tensor([0.0, 1.0, -1.0, 20.0, -20.0, 60.0, -60.0, 0.0], dtype=dtype)

    def leading(logits):
        return logits + lead[:, None] * torch.eye(classes, dtype=dtype)[0]

    logits, other = inputs
    if not other.is_floating_point():
        other = torch.tensor([0, classes - 1] * 4).roll(classes)
        return leading(logits), other
    return leading(logits), leading(other.flip(0)) / 2


@each_loss
def test_every_loss_has_a_meaning(loss):
    assert (loss.form is None) == (loss.key in WRITTEN_OUT)


@pytest.mark.parametrize("classes", [2, 3, 7])
@each_setting
def test_value_and_gradient_equal_the_symbolic_form(loss, parameters, classes):
    inputs = spread_margins(loss, classes)
    values, slopes = exact(loss, inputs, parameters)
    # What may cancel: terms of the size of the surprisal (poly-1 at epsilon = -1, easy examples),
    # and whole log-probabilities where a sum runs over all classes of two models.
    size = exact(LOSSES["logistic"], inputs, {})[0] if loss.form else torch.ones(8).double()
    got = loss(*inputs, **parameters, reduction="none")
    assert_close(got, values, rtol=1e-12, atol=1e-15 * size)
    got = torch.cat(gradients(loss, inputs, **parameters, reduction="sum"), dim=-1)
    assert_close(got, slopes, rtol=1e-12, atol=1e-15 * size[:, None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@each_setting
def test_lower_precision_is_rounded_only_once(loss, parameters, dtype):
    """Value and gradient are the exact ones, rounded to the dtype of the logits."""
    inputs = make(loss, (64,), dtype=dtype)
    values, slopes = exact(loss, inputs, parameters)
    got = loss(*inputs, **parameters, reduction="none")
    assert got.dtype == dtype
    info = torch.finfo(dtype)
    ulp = info.eps if dtype != torch.float32 else 4 * info.eps
    assert_close(got, values, rtol=ulp, atol=info.tiny * info.eps)
    got = torch.cat(gradients(loss, inputs, **parameters, reduction="sum"), dim=-1)
    assert got.dtype == dtype
    atol = info.tiny * info.eps + 1e-6 * ulp  # differences of probabilities, p_j - q_j, cancel
    assert_close(got, slopes, rtol=2 * ulp, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@each_setting
def test_huge_logits_give_no_nan_and_inf_only_beyond_the_dtype(loss, parameters, dtype):
    sizes = torch.tensor([-1e4, -30.0, 0.0, 1e4], dtype=dtype)
    grid = torch.cartesian_prod(sizes, sizes, sizes)
    other = torch.arange(len(grid)) % 3
    if loss.inputs == "pair of class logits":
        other = grid.roll(7, 0).flip(1)
    values, slopes = exact(loss, (grid, other), parameters)
    for got, true in [
        (loss(grid, other, **parameters, reduction="none"), values),
        (
            torch.cat(gradients(loss, (grid, other), **parameters, reduction="sum"), dim=-1),
            slopes,
        ),
    ]:
        rounded = true.to(dtype)
        assert not got.isnan().any()
        assert torch.equal(got.isinf(), rounded.isinf())
        finite = rounded.isfinite()
        eps = torch.finfo(dtype).eps
        assert_close(got[finite], true[finite], rtol=8 * eps, atol=1e-6 * eps)
