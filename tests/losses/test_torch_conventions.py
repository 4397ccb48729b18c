"""Cross-entropy agrees with torch's, also in the conventions of torch that trap people."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lossviz.losses import LOSSES, cross_entropy

from .examples import make

TOLERANCE = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-13},
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
}


@given(
    rows=st.integers(0, 5),
    classes=st.integers(1, 6),
    soft=st.booleans(),
    weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    ignored=st.sampled_from([-100, 0, 1, 9]),
    reduction=st.sampled_from(["none", "mean", "sum"]),
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 2**32 - 1),
)
def test_value_and_gradient_agree_with_torch(
    rows, classes, soft, weighted, smoothing, ignored, reduction, dtype, seed
):
    generator = torch.Generator().manual_seed(seed)
    logits = (3 * torch.randn(rows, classes, generator=generator)).to(dtype)
    weight = torch.rand(classes, generator=generator).add(0.1).to(dtype) if weighted else None
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    if soft:
        target = torch.randn(rows, classes, generator=generator).softmax(-1).to(dtype)
    else:
        target = torch.randint(classes, (rows,), generator=generator)
        target[torch.rand(rows, generator=generator) < 0.3] = ignored
        target[(target >= classes) & (target != ignored)] = 0
        options["ignore_index"] = ignored
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    got, expected = (
        cross_entropy(ours, target, **options),
        F.cross_entropy(theirs, target, **options),
    )
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got, expected, equal_nan=True, **TOLERANCE[dtype])
    if expected.isfinite().all():
        got.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, **TOLERANCE[dtype])


def weighted_batch():
    logits, target = make(LOSSES["cross_entropy"], 6, K=4)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    return logits, target, weight


def test_trap_weighted_mean_divides_labels_by_their_weights_but_probabilities_by_the_rows():
    logits, target, weight = weighted_batch()
    one_hot = F.one_hot(target, 4).double()
    rows = cross_entropy(logits, target, weight=weight, reduction="none")
    torch.testing.assert_close(
        cross_entropy(logits, one_hot, weight=weight, reduction="none"), rows
    )
    by_label = cross_entropy(logits, target, weight=weight)
    by_probability = cross_entropy(logits, one_hot, weight=weight)
    torch.testing.assert_close(by_label, rows.sum() / weight[target].sum())
    torch.testing.assert_close(by_probability, rows.sum() / 6)
    assert by_probability > 1.5 * by_label  # the same targets, written in two ways
    torch.testing.assert_close(by_label, F.cross_entropy(logits, target, weight=weight))
    torch.testing.assert_close(by_probability, F.cross_entropy(logits, one_hot, weight=weight))


def test_trap_the_mean_over_nothing_is_nan():
    logits, target, weight = weighted_batch()
    nothing = torch.full_like(target, -100)
    for function in (cross_entropy, F.cross_entropy):
        assert function(logits, nothing).isnan()
        assert function(logits, nothing, weight=weight).isnan()
        assert function(logits[:0], target[:0]).isnan()
        assert function(logits, nothing, reduction="sum") == 0


def test_trap_ignored_rows_leave_the_denominator_of_the_mean():
    logits, target, _ = weighted_batch()
    half = torch.where(torch.arange(6) < 3, target, -100)
    rows = cross_entropy(logits, half, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, half), rows.sum() / 3)


@pytest.mark.parametrize("smoothing", [0.1, 0.5, 1.0])
def test_trap_smoothing_spreads_over_all_classes_the_true_one_included(smoothing):
    logits, target, _ = weighted_batch()
    over_all = (1 - smoothing) * F.one_hot(target, 4).double() + smoothing / 4
    other = F.one_hot(target, 4).double()
    over_others = (1 - smoothing) * other + smoothing / 3 * (1 - other)
    got = cross_entropy(logits, target, label_smoothing=smoothing)
    torch.testing.assert_close(got, cross_entropy(logits, over_all))
    torch.testing.assert_close(got, F.cross_entropy(logits, target, label_smoothing=smoothing))
    assert (got - cross_entropy(logits, over_others)).abs() > 1e-3


def test_trap_torch_has_the_classes_second_and_we_have_them_last():
    logits, target = make(LOSSES["cross_entropy"], batch=(2, 7))
    torch.testing.assert_close(
        cross_entropy(logits, target), F.cross_entropy(logits.movedim(-1, 1), target)
    )


def test_better_than_torch_a_zero_probability_times_an_infinite_surprisal_counts_as_zero():
    logits = torch.tensor([[0.0, 1.0, -torch.inf]], requires_grad=True)
    target = torch.tensor([[0.25, 0.75, 0.0]])
    assert F.cross_entropy(logits, target).isnan()
    ours = cross_entropy(logits, target)
    torch.testing.assert_close(ours, cross_entropy(logits[:, :2], target[:, :2]))
    ours.backward()
    assert logits.grad.isfinite().all()


def test_probability_targets_and_class_weights_have_gradients_too():
    logits, _, weight = weighted_batch()
    target = logits.flip(0).softmax(-1)
    target[0] = torch.tensor([0.0, 0.0, 1.0, 0.0])
    leaves = [x.clone().requires_grad_() for x in (logits, target, weight)]
    assert torch.autograd.gradcheck(
        lambda z, t, w: cross_entropy(z, t, weight=w, label_smoothing=0.1), leaves
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_hot_probabilities_equal_labels_at_40_nats(dtype):
    logits = torch.tensor([[40.0, 0.0, -1.0]], dtype=dtype, requires_grad=True)
    label = torch.tensor([0])
    found = []
    for target in (label, F.one_hot(label, 3).to(dtype)):
        value = cross_entropy(logits, target)
        found.append((value.detach(), *torch.autograd.grad(value, logits)))
    assert found[0][0] > 0
    torch.testing.assert_close(*found, rtol=1e-6, atol=0)
