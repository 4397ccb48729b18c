"""What is left out or ruled out: rows without a label, classes at -inf, wrong labels and values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossviz.losses import LOSSES, c51_target, cross_entropy, focal, hl_gauss, l2_svm, two_hot

from .examples import (
    ALL,
    OF_LOGITS,
    arguments,
    corners,
    each_corner_that_ignores,
    gradients,
    learnt,
    make,
    parametrize,
    row_axis,
    row_losses,
)

INFINITY = math.inf


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, -math.inf, 1e30])
@each_corner_that_ignores
def test_a_row_that_is_left_out_gets_a_gradient_of_zero_whatever_it_holds(loss, parameters, spoilt):
    if loss.inputs.coupled:
        return
    inputs = list(make(loss))
    clean = list(inputs)
    for i, argument in enumerate(arguments(loss)):
        axis = row_axis(loss, argument)
        if axis is None:
            continue
        if argument.kind.ignorable:
            inputs[i] = clean[i] = inputs[i].index_fill(axis, torch.tensor([1]), -100)
        elif argument.kind.learnt:
            inputs[i] = inputs[i].index_fill(axis, torch.tensor([1]), spoilt)
    found = gradients(loss, tuple(inputs), **parameters)
    wanted = gradients(loss, tuple(clean), **parameters)
    for place, gradient, expected in zip(learnt(loss), found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected)
        axis = row_axis(loss, arguments(loss)[place])
        if axis is not None:
            assert not gradient.select(axis, 1).any()


def with_a_class_ruled_out(loss, own):
    """Three rows, in each of which one class is at -inf: the target's own or another."""
    inputs = list(make(loss, 3))
    place = learnt(loss)[0]
    labels = next(x for x, a in zip(inputs, arguments(loss), strict=True) if a.kind.counts)
    out = labels if own else (labels + 1) % inputs[place].shape[-1]
    inputs[place] = inputs[place].scatter(-1, out.unsqueeze(-1), -INFINITY)
    return tuple(inputs), out


# a class at -inf is as good as absent, but for a factor of K
MASKED = [
    loss
    for loss in OF_LOGITS
    if any(a.kind.counts for a in arguments(loss))
    and loss.inputs[
        "logits" if "logits" in loss.signature.parameters else arguments(loss)[0].name
    ].kind.shifts
    and "shift of K" not in loss.breaks
    and row_losses(loss, with_a_class_ruled_out(loss, own=False)[0]).isfinite().all()
]


def test_most_losses_of_logits_take_classes_that_are_ruled_out():
    assert len(MASKED) >= 15
    assert LOSSES["aldr_kl"] in MASKED


@parametrize(MASKED, corners)
def test_a_class_that_is_ruled_out_gets_no_gradient_and_spoils_no_other(loss, parameters):
    inputs, out = with_a_class_ruled_out(loss, own=False)
    if not row_losses(loss, inputs, parameters).isfinite().all():
        return
    found = gradients(loss, inputs, **parameters)[0]
    assert found.isfinite().all()
    assert not found.gather(-1, out.unsqueeze(-1)).any()
    near = list(inputs)
    near[learnt(loss)[0]] = inputs[learnt(loss)[0]].clamp_min(-1e4)
    torch.testing.assert_close(found, gradients(loss, tuple(near), **parameters)[0])


@parametrize(MASKED, corners)
def test_a_row_has_the_gradient_that_it_has_without_rows_whose_target_is_ruled_out(
    loss, parameters
):
    if loss.inputs.coupled:
        return
    ruled_out = [with_a_class_ruled_out(loss, own)[0] for own in (False, True)]
    axes = [row_axis(loss, argument) for argument in arguments(loss)]
    both = tuple(
        one if axis is None else torch.cat((one, other), axis)
        for one, other, axis in zip(*ruled_out, axes, strict=True)
    )
    alone, together = (gradients(loss, x, **parameters)[0] for x in (ruled_out[0], both))
    torch.testing.assert_close(together[: len(alone)], alone)


def test_aldr_kl_with_a_class_that_is_ruled_out():
    logits = torch.tensor([[0.0, -INFINITY, 1.0]], dtype=torch.float64)
    (slope,) = gradients(LOSSES["aldr_kl"], (logits, torch.tensor([0])))
    wanted = [[-0.797582555095513, 0.0, 0.797582555095513]]
    torch.testing.assert_close(slope, torch.tensor(wanted).to(slope))


def test_a_target_that_is_ruled_out_costs_inf_with_a_slope_that_is_no_nan():
    logits = torch.tensor([[-INFINITY, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0])
    (wanted,) = torch.autograd.grad(cross_entropy(logits, target), logits)
    for gamma in (0.0, 0.5, 2.0):
        value = focal(logits, target, gamma=gamma)
        assert value == INFINITY
        torch.testing.assert_close(torch.autograd.grad(value, logits)[0], wanted)
    for tau in (0.0, 0.5, 0.999):
        value = LOSSES["comp_sum"](logits, target, tau=tau)
        assert value == INFINITY
        (slope,) = torch.autograd.grad(value, logits)
        assert slope.tolist() == [[-INFINITY, INFINITY, INFINITY]]


@pytest.mark.parametrize("parameters", [{}, {"margin": 0.3}])
@pytest.mark.parametrize("key", ["ldr_kl", "aldr_kl"])
def test_a_robust_loss_of_a_target_that_is_ruled_out_is_that_of_one_far_below(key, parameters):
    loss, target = LOSSES[key], torch.tensor([0, 1])
    logits = torch.tensor([[-INFINITY, 0.0, 1.0, 0.5], [0.0, 2.0, 1.0, 0.5]], dtype=torch.float64)
    (slope,) = gradients(loss, (logits, target), **parameters)
    rows = loss(logits, target, reduction="none", **parameters)
    assert rows.isinf().tolist() == [True, False]
    near = logits.clamp_min(-1e9)
    assert rows[1] == loss(near, target, reduction="none", **parameters)[1]
    torch.testing.assert_close(slope, gradients(loss, (near, target), **parameters)[0])
    by_func = torch.func.grad(lambda x: loss(x, target, reduction="sum", **parameters))(logits)
    torch.testing.assert_close(slope, by_func)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("label", [0, 1])
def test_a_class_that_one_side_alone_rules_out_is_an_endless_shift(label, place):
    """The value is inf, and the gradient that of a class far below on that side."""
    loss, target = LOSSES["adv_comp_sum"], torch.tensor([label])
    clean = torch.tensor([[1.0, 0.0, 0.5, 2.0]], dtype=torch.float64)
    sides = [clean, clean + 0.1 * clean.flip(-1)]
    sides[place] = sides[place].index_fill(-1, torch.tensor([1]), -INFINITY)
    near = [side.clamp_min(-1e9) for side in sides]
    assert loss(*sides, target) == INFINITY
    found = gradients(loss, (*sides, target))
    for slope, wanted in zip(found, gradients(loss, (*near, target)), strict=True):
        torch.testing.assert_close(slope, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tau", [0.0, 0.5, 0.999])
def test_where_target_and_another_class_are_ruled_out_the_other_gets_no_gradient(tau):
    logits = torch.tensor([[-INFINITY, -INFINITY, 0.0, 1.0]], dtype=torch.float64)
    (slope,) = gradients(LOSSES["comp_sum"], (logits, torch.tensor([0])), tau=tau)
    assert slope.tolist() == [[-INFINITY, 0.0, INFINITY, INFINITY]]


LABELLED = [loss for loss in ALL if any(a.kind.classes for a in arguments(loss))]


@pytest.mark.parametrize("dims", [0, -1])
@pytest.mark.parametrize("label", [-1, 100])
@parametrize(LABELLED)
def test_a_label_that_is_no_class_is_refused_under_vmap(loss, label, dims):
    one, two = (make(loss, batch=(3, 4), seed=seed) for seed in (0, 1))
    batch = [torch.stack(pair, dim=dims) for pair in zip(one, two, strict=True)]
    for i, argument in enumerate(arguments(loss)):
        if argument.kind.classes:
            batch[i].view(-1)[-1] = label
    with pytest.raises(ValueError, match=rf"must lie in .* got {label} at index \(1, "):
        torch.func.vmap(loss, in_dims=dims)(*batch)


@pytest.mark.parametrize("label", [-1, 7])
def test_a_label_that_is_no_class_is_refused_under_vmap_of_grad_and_when_compiled(label):
    scores, target = torch.zeros(2, 4), torch.tensor([0, label])
    with pytest.raises(ValueError, match=rf"target must lie in \[0, 4\).* got {label}"):
        torch.func.vmap(torch.func.grad(l2_svm))(scores, target)
    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match="out of bounds"):
        torch.compile(l2_svm, backend="aot_eager")(scores, target)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-1e4, 1e4, allow_subnormal=False),
    st.floats(1e-3, 1e4),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_a_value_at_the_rounded_end_of_its_range_is_the_end(low, width, dtype):
    high = low + width
    ends = {"v_min": low, "v_max": high}
    y = torch.tensor([low, high], dtype=torch.float64).to(dtype)
    logits = torch.arange(10.0, dtype=torch.float64).reshape(2, 5)
    assert torch.isfinite(hl_gauss(logits, y, **ends))
    clipped = y.double().clamp(low, high)
    torch.testing.assert_close(two_hot(logits, y, **ends), two_hot(logits, clipped, **ends))


def test_a_value_beyond_the_rounded_end_is_refused():
    for y in (0.11, math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match=r"must lie in \[v_min, v_max\]"):
            two_hot(torch.zeros(1, 5), torch.tensor([y]), v_min=-0.1, v_max=0.1)
    with pytest.raises(ValueError, match="got 7"):
        torch.func.vmap(two_hot)(torch.zeros(2, 5), torch.tensor([0.0, 70.0]))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    st.integers(2, 600),
    st.integers(0, 99),
)
def test_a_softmax_of_any_dtype_is_a_distribution(dtype, count, seed):
    generator = torch.Generator().manual_seed(seed)
    p = (3 * torch.randn(4, count, generator=generator)).to(dtype).softmax(-1)
    support = torch.linspace(-1, 1, count)
    target = c51_target(support, p, reward=0.0, gamma=1.0)
    torch.testing.assert_close(target.float(), p.float(), rtol=1e-2, atol=1e-3)


def test_what_is_no_distribution_is_refused_in_every_dtype():
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        with pytest.raises(ValueError, match="sum to one over the last axis"):
            c51_target(torch.linspace(-1, 1, 3), torch.full((3,), 0.4).to(dtype), reward=0.0)
