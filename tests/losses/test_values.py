"""The torch functions are what the declarations say, to the last digits and at every size."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import LOSSES, Loss

from .examples import each_loss, each_setting, fill, gradients, make
from .reference import WRITTEN_OUT, exact


def assert_close(got, expected, rtol, atol=0.0):
    """Each element within rtol of the expected one, give or take atol and the least subnormal.

    Infinite exactly where the expected value is when rounded to the dtype, and never NaN.
    """
    info = torch.finfo(got.dtype)
    rounded = expected.to(got.dtype)
    assert not got.isnan().any()
    assert torch.equal(got.isinf(), rounded.isinf())
    allowed = atol + rtol * expected.abs() + info.tiny * info.eps
    excess = torch.where(rounded.isinf(), 0.0, (got.double() - expected).abs() / allowed)
    at = tuple(int(i) for i in torch.unravel_index(excess.argmax(), excess.shape))
    assert excess[at] <= 1, f"at {at}: got {got[at]:.9g}, expected {expected[at]:.9g}"


def cancelling(loss, inputs):
    """Size (N,) of the float64 terms that may cancel in a row.

    The surprisal (poly-1 at epsilon = -1 on easy examples); whole log-probabilities where a sum
    runs over the classes of two models; the logits where the loss is no function of their softmax.
    """
    if loss.form and loss.form.over == "probabilities":
        return exact(LOSSES["logistic"], inputs, {})[0]
    floating = [x.double().reshape(len(x), -1) for x in inputs if x.is_floating_point()]
    return torch.cat(floating, -1).abs().amax(-1).clamp_min(1.0)


def spread_margins(loss: Loss, classes: int, dtype=torch.float64):
    """Inputs whose first class leads or trails by up to 60 nats, with labels at both ends."""
    inputs = make(loss, (8,), classes, dtype=dtype)
    lead = torch.tensor([0.0, 1.0, -1.0, 20.0, -20.0, 60.0, -60.0, 0.0], dtype=dtype)

    def leading(logits):
        return logits + lead[:, None] * torch.eye(classes, dtype=dtype)[0]

    labels = torch.tensor([0, classes - 1] * 4).roll(classes)
    partner = inputs[1] if inputs[1].shape == inputs[0].shape else inputs[0]
    return fill(loss, leading(inputs[0]), labels, leading(partner.flip(0)) / 2)


@each_loss
def test_every_loss_has_a_meaning(loss):
    assert (loss.form is None) == (loss.key in WRITTEN_OUT)


@pytest.mark.parametrize("classes", [2, 3, 7])
@each_setting
def test_value_and_gradient_equal_the_symbolic_form(loss, parameters, classes):
    inputs = spread_margins(loss, classes)
    values, slopes = exact(loss, inputs, parameters)
    rounding = 1e-15 * cancelling(loss, inputs)
    got = loss(*inputs, **parameters, reduction="none")
    assert_close(got, values, rtol=1e-12, atol=rounding)
    got = torch.cat(gradients(loss, inputs, **parameters, reduction="sum"), dim=-1)
    assert_close(got, slopes, rtol=1e-12, atol=rounding[:, None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@each_setting
def test_lower_precision_is_rounded_only_once(loss, parameters, dtype):
    """Value and gradient are the exact ones, rounded to the dtype of the logits."""
    inputs = make(loss, (16,), dtype=dtype)
    values, slopes = exact(loss, inputs, parameters)
    ulp = torch.finfo(dtype).eps * (8 if dtype == torch.float32 else 1)
    got = loss(*inputs, **parameters, reduction="none")
    assert got.dtype == dtype
    assert_close(got, values, rtol=ulp)
    got = torch.cat(gradients(loss, inputs, **parameters, reduction="sum"), dim=-1)
    assert got.dtype == dtype
    # In float32 p - t of about 1 cancels for smoothed labels and for two models.
    assert_close(got, slopes, rtol=2 * ulp, atol=torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@each_setting
def test_huge_logits_give_no_nan_and_inf_only_beyond_the_dtype(loss, parameters, dtype):
    sizes = torch.tensor([-10240.0, 0.0, 30.0, 10240.0], dtype=dtype)  # exact in every dtype
    grid = torch.cartesian_prod(sizes, sizes, sizes)
    inputs = fill(loss, grid, torch.arange(len(grid)) % 3, grid.roll(7, 0).flip(1))
    values, slopes = exact(loss, inputs, parameters)
    rtol = 8 * torch.finfo(dtype).eps
    rounding = 1e-15 * cancelling(loss, inputs)
    got = loss(*inputs, **parameters, reduction="none")
    assert_close(got, values, rtol, atol=rounding)
    got = torch.cat(gradients(loss, inputs, **parameters, reduction="sum"), dim=-1)
    assert_close(got, slopes, rtol, atol=rounding[:, None])


def beyond_17_nats(offset=0.0):
    """Margins of 17 to 40 nats of either sign, in integers: float32 holds them without rounding."""
    leads = torch.tensor([*range(17, 41), *range(-40, -16)], dtype=torch.float32)
    logits = torch.tensor([0.0, 0.0, -1.0, -5.0]).repeat(len(leads), 1)
    logits[:, 0] = leads
    return logits + offset, torch.zeros(len(leads), dtype=torch.long)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@each_setting
def test_gradient_in_float32_is_right_at_margins_of_40_nats(loss, parameters, offset):
    logits, target = beyond_17_nats(offset)
    inputs = fill(loss, logits, target, logits.roll(1, -1))
    _, slopes = exact(loss, inputs, parameters)
    got = torch.cat(gradients(loss, inputs, **parameters, reduction="sum"), dim=-1)
    rounding = 1e-15 * cancelling(loss, inputs)
    assert_close(got, slopes, rtol=1e-6, atol=rounding[:, None])


def test_trap_torch_returns_no_loss_and_no_gradient_beyond_17_nats_in_float32():
    logits, target = (x[:24] for x in beyond_17_nats())
    leaf = logits.requires_grad_()
    theirs = F.cross_entropy(leaf, target, reduction="none")
    theirs.sum().backward()
    assert (theirs == 0).all()
    assert (leaf.grad[:, 0] == 0).all()
    for key in ("cross_entropy", "comp_sum", "logistic"):
        (ours,) = gradients(LOSSES[key], (logits, target), reduction="sum")
        others = 1 + math.exp(-1) + math.exp(-5)
        true = torch.tensor([-others * math.exp(-lead) for lead in range(17, 41)])
        assert_close(ours[:, 0], true.double(), rtol=1e-6)
