"""What must not change a loss: tiles, orders, layouts, paths, runs; and a gradient sums to 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossviz.kernels import ROW_LOSSES, linear_cross_entropy

from .cases import HALF, Head, each_path, make, with_gradients

OPTIONS = {
    "plain": {},
    "none": {"reduction": "none"},
    "smoothing": {"label_smoothing": 0.1, "z_loss": 0.01},
    "softcap": {"softcap": 3.0, "temperature": 0.7},
    "brier": {"loss": "brier"},
    "entropy": {"loss": "entropy_bonus"},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def ours(head: Head, **options) -> list[torch.Tensor]:
    loss = linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, **options)
    return with_gradients(loss, head)


@each_option
def test_the_memory_budget_changes_no_more_than_rounding(options):
    head = make(17, 23, 6)
    whole = ours(head, **options)
    for budget in (1, 100, 1500, 10**9):
        torch.testing.assert_close(ours(head, memory_budget=budget, **options), whole)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("options", [{}, {"reduction": "sum"}, {"loss": "focal"}])
def test_half_precision_does_not_drift_with_the_number_of_chunks(options, dtype):
    # sums over 500 chunks in half precision would be off by percents
    head = make(2000, 24, 8, dtype)
    whole = ours(head, memory_budget=10**9, **options)
    pieces = ours(head, memory_budget=400, **options)
    assert pieces[0].item() == pytest.approx(whole[0].item(), rel=1e-6)
    for few, many in zip(whole[1:], pieces[1:], strict=True):
        assert ((few - many).norm() / few.norm()).item() < torch.finfo(dtype).eps / 4


@each_path
@each_option
def test_rows_may_come_in_any_order(options, impl):
    head = make(23, 31, 5)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    moved = Head(head.input[order], head.weight, head.bias, head.target[order])
    loss = linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, impl=impl, **options)
    other = linear_cross_entropy(
        *moved[:2], moved.target, linear_bias=moved.bias, impl=impl, **options
    )
    torch.testing.assert_close(other, loss[order] if loss.ndim else loss)
    found = torch.autograd.grad(other.sum(), head.leaves)
    torch.testing.assert_close(found, torch.autograd.grad(loss.sum(), head.leaves))


@each_path
@each_option
def test_classes_may_come_in_any_order(options, impl):
    head = make(23, 31, 5)
    order = torch.randperm(31, generator=torch.Generator().manual_seed(1))
    target = order.argsort()[head.target]
    bias = head.bias[order]
    loss = linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, impl=impl, **options)
    other = linear_cross_entropy(
        head.input, head.weight[order], target, linear_bias=bias, impl=impl, **options
    )
    torch.testing.assert_close(other, loss)
    found = torch.autograd.grad(other.sum(), head.leaves)
    torch.testing.assert_close(found, torch.autograd.grad(loss.sum(), head.leaves))


@each_option
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_a_second_run_gives_the_same_bits(options, dtype):
    head = make(60, 41, 7, dtype)
    for budget in (None, 2000):
        first = ours(head, memory_budget=budget, **options)
        second = ours(head, memory_budget=budget, **options)
        assert all(map(torch.equal, first, second))


@each_path
def test_the_sum_is_the_mean_times_the_rows_that_count(impl):
    head = make(20, 11, 5)
    head.target[::3] = -100
    options = {"linear_bias": head.bias, "impl": impl, "z_loss": 0.1, "label_smoothing": 0.2}
    mean = linear_cross_entropy(*head[:2], head.target, **options)
    total = linear_cross_entropy(*head[:2], head.target, reduction="sum", **options)
    rows = linear_cross_entropy(*head[:2], head.target, reduction="none", **options)
    torch.testing.assert_close(total, mean * (head.target != -100).sum())
    torch.testing.assert_close(rows.sum(), total)
    assert (rows[::3] == 0).all()


@each_path
@pytest.mark.parametrize("margin", [0.0, 10.0, 17.0, 30.0])
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1}, {"loss": "brier"}, {"loss": "entropy_bonus"}]
)
def test_the_gradient_of_a_row_of_logits_sums_to_0(options, margin, impl):
    # with a bias and one row, the gradient of the bias is that of the logits
    for budget in (None, 12):
        bias = torch.tensor([margin, 0.0, 0.3, -1.0], requires_grad=True)
        loss = linear_cross_entropy(
            torch.zeros(1, 2), torch.zeros(4, 2), torch.tensor([0]),
            linear_bias=bias, impl=impl, memory_budget=budget, **options,
        )  # fmt: skip
        (gradient,) = torch.autograd.grad(loss, bias)
        assert gradient[0] != 0
        assert abs(gradient.sum()) <= 4 * torch.finfo(torch.float32).eps * gradient.abs().sum()


@each_path
def test_the_layout_of_the_tensors_does_not_matter(impl):
    head = make(12, 9, 6)
    plain = ours(head, impl=impl)
    strided = Head(
        head.input.detach().T.contiguous().T.requires_grad_(),
        head.weight.detach().T.contiguous().T.requires_grad_(),
        head.bias.detach().repeat_interleave(2)[::2].requires_grad_(),
        head.target.repeat_interleave(3)[::3],
    )
    for options in ({}, {"memory_budget": 200}):
        torch.testing.assert_close(ours(strided, impl=impl, **options), plain)
    wide = torch.randn(12, 7, dtype=torch.float64)
    wide[:, :6] = head.input.detach()
    torch.testing.assert_close(
        ours(head._replace(input=wide[:, :6].requires_grad_()), impl=impl), plain
    )


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 5)),
    budget=st.integers(1, 1000),
    loss=st.sampled_from(sorted(set(ROW_LOSSES) - {"unlikelihood"})),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    z_loss=st.sampled_from([0.0, 0.3]),
    smoothing=st.sampled_from([0.0, 0.2]),
    softcap=st.sampled_from([None, 2.0]),
    scale=st.floats(-3, 3),
    ignored=st.booleans(),
)
def test_both_paths_agree_whatever_is_asked(
    shape, budget, loss, reduction, z_loss, smoothing, softcap, scale, ignored
):
    head = make(*shape, seed=budget)
    if ignored:
        head.target[::2] = -100
    options = {
        "loss": loss, "reduction": reduction, "z_loss": z_loss, "softcap": softcap,
        "logit_scale": scale,
        "label_smoothing": smoothing if loss == "cross_entropy" else 0.0,
    }  # fmt: skip
    found = ours(head, impl="chunked", memory_budget=budget, **options)
    right = ours(head, impl="reference", **options)
    torch.testing.assert_close(found, right, equal_nan=True)
