"""Masked classes, weights of 0 and other values at the edge leave no trace in the numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lossviz.kernels import (
    filtered_linear_cross_entropy,
    linear_cross_entropy,
    row_statistics,
)

from .cases import PATHS, each_path, make, naive

every_path = pytest.mark.parametrize("impl", ["chunked", "reference", "triton"])


@pytest.fixture
def default_dtype(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@every_path
@pytest.mark.parametrize("default_dtype", [torch.bfloat16, torch.float64], indirect=True)
def test_the_default_dtype_decides_nothing(default_dtype, impl):
    head = make(9, 30, 6, torch.float32)
    true = naive(head.to(torch.float64))
    for options in ({}, {"loss": "brier"}, {"loss": "entropy_bonus"}):
        found = linear_cross_entropy(
            *head[:2], head.target, linear_bias=head.bias, impl=impl, **options
        )
        assert found.dtype == torch.float32
        if not options:
            torch.testing.assert_close(found.double(), true, rtol=1e-6, atol=0)


@each_path
def test_a_probability_of_0_has_the_gradient_of_any_other(impl):
    head = make(6, 5, 3)
    target = F.one_hot(head.target, 5).double().requires_grad_()
    ours = linear_cross_entropy(*head[:2], target, linear_bias=head.bias, impl=impl)
    theirs = F.cross_entropy(F.linear(*head.leaves), target)
    found, true = (torch.autograd.grad(loss, target)[0] for loss in (ours, theirs))
    torch.testing.assert_close(found, true)


@each_path
def test_a_class_weight_of_0_can_learn_under_label_smoothing(impl):
    head = make(6, 5, 3)
    weight = torch.tensor([0.0, 1.0, 0.5, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    ours = linear_cross_entropy(
        *head[:2], head.target, linear_bias=head.bias, weight=weight, label_smoothing=0.2,
        impl=impl, reduction="sum",
    )  # fmt: skip
    nll = -F.linear(*head.leaves).log_softmax(1)
    theirs = 0.8 * (weight[head.target] * nll.gather(1, head.target[:, None])[:, 0]).sum()
    theirs = theirs + 0.2 * (weight * nll).sum() / 5
    found, true = (torch.autograd.grad(loss, weight)[0] for loss in (ours, theirs))
    torch.testing.assert_close(found, true)


def test_class_weights_learn_beside_a_class_that_is_masked_and_weighs_0():
    head = make(6, 5, 3)
    bias = head.bias.detach().clone()
    bias[4] = -torch.inf
    weight = torch.tensor([1.0, 1.0, 0.5, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    found = []
    for impl in ("chunked", "reference"):
        loss = linear_cross_entropy(
            *head[:2], head.target % 4, linear_bias=bias, weight=weight, label_smoothing=0.2,
            impl=impl,
        )  # fmt: skip
        found.append(torch.autograd.grad(loss, weight)[0])
    assert found[1].isfinite().all()
    torch.testing.assert_close(*found)


@every_path
@pytest.mark.parametrize("mask", [torch.finfo(torch.float32).min, -1e38, -1e9, -torch.inf])
def test_masked_classes_leave_the_entropy_of_the_others(mask, impl):
    head = make(3, 700, 4, torch.float32)
    bias = head.bias.detach().clone()
    bias[5:] = mask
    target = torch.tensor([0, 1, 4])
    row = row_statistics(
        head.input, head.weight, target, linear_bias=bias, statistics=("entropy",), impl=impl,
        memory_budget=2048,
    )  # fmt: skip
    few = F.linear(head.input, head.weight[:5], bias[:5]).double()
    true = torch.distributions.Categorical(logits=few).entropy()
    torch.testing.assert_close(row.entropy.double(), true, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(row.entropy.sum(), head.weight)
    assert gradient[:5].isfinite().all()
    assert not gradient[5:].any()


@each_path
@pytest.mark.parametrize("budget", [None, 5 * 8 * 8])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"z_loss": 0.1}], ids=str)
def test_where_no_weight_is_left_the_mean_is_nan_and_its_gradient_is_not(options, budget, impl):
    head = make(40, 5, 3)
    weight = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    loss = linear_cross_entropy(
        *head[:2], head.target % 3, weight=weight, impl=impl, memory_budget=budget, **options
    )
    assert loss.isnan()
    for gradient in torch.autograd.grad(loss, head[:2]):
        assert gradient.isfinite().all()
        assert options or not gradient.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_empty_batch_passes_the_filter(dtype):
    head = make(0, 11, 3, dtype)
    found = filtered_linear_cross_entropy(
        *head[:2], head.target, filter_eps=2**-12, reduction="sum"
    )
    found.loss.backward()
    assert not head.weight.grad.any()


@pytest.mark.parametrize("impl", PATHS)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_class_weights_that_sum_to_0_are_smoothed_as_in_torch(impl, reduction):
    head = make(9, 6, 4)
    weight = torch.tensor([1.0, -1.0, 0.0, 0.5, -0.5, 0.0], dtype=torch.float64)
    options = {"weight": weight, "label_smoothing": 0.5, "reduction": reduction}
    ours = linear_cross_entropy(*head[:2], head.target, impl=impl, **options)
    theirs = F.cross_entropy(F.linear(*head[:2]), head.target, **options)
    torch.testing.assert_close(ours, theirs)
