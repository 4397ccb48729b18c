"""What must hold for any loss of logits, whatever its formula: symmetries, shapes, reductions."""

from __future__ import annotations

import pytest
import torch

from lossviz.losses import LOSSES

from .examples import (
    are_logits,
    each_class_setting,
    each_labelled_loss,
    each_labelled_setting,
    each_loss,
    each_setting,
    each_softmax_loss,
    each_softmax_setting,
    gradients,
    make,
    on_logits,
    with_gradients,
)

IGNORED = -100


@pytest.mark.parametrize(
    ("loss", "limit"),
    [
        pytest.param(loss, limit, id=f"{key}: {limit.statement}")
        for key, loss in LOSSES.items()
        for limit in loss.limits
    ],
)
def test_declared_limit_holds(loss, limit):
    got, expected = limit.check()
    torch.testing.assert_close(got, expected, rtol=limit.rtol, atol=0.0)


@each_setting
def test_derivatives_of_both_orders_are_those_of_the_value(loss, parameters):
    inputs = with_gradients(make(loss, (3,), classes=4, scale=1.5))

    def f(*inputs):
        return loss(*inputs, **parameters, reduction="none")

    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


@each_softmax_setting
def test_adding_a_constant_to_the_logits_changes_nothing(loss, parameters):
    inputs = make(loss)
    offset = torch.linspace(-50, 50, 6, dtype=torch.float64).unsqueeze(-1)
    moved = on_logits(lambda logits: logits + offset, inputs)
    options = {**parameters, "reduction": "none"}
    torch.testing.assert_close(
        loss(*moved, **options), loss(*inputs, **options), rtol=1e-12, atol=1e-13
    )
    for gradient in gradients(loss, inputs, **parameters):
        torch.testing.assert_close(
            gradient.sum(-1), torch.zeros(6).double(), rtol=0, atol=1e-12 * gradient.abs().max()
        )


@each_class_setting
def test_naming_the_classes_differently_changes_nothing(loss, parameters):
    inputs = make(loss)
    order = torch.tensor([3, 0, 4, 2, 1])
    moved = on_logits(lambda logits: logits[..., order], inputs)
    renamed = tuple(x if x.is_floating_point() else order.argsort()[x] for x in moved)
    options = {**parameters, "reduction": "none"}
    torch.testing.assert_close(
        loss(*renamed, **options), loss(*inputs, **options), rtol=1e-12, atol=1e-14
    )


@each_loss
def test_rows_do_not_see_each_other(loss):
    inputs = make(loss)
    rows = loss(*inputs, reduction="none")
    reversed_rows = loss(*(x.flip(0) for x in inputs), reduction="none")
    assert torch.equal(reversed_rows, rows.flip(0))
    one_by_one = [loss(*(x[i] for x in inputs), reduction="none") for i in range(6)]
    torch.testing.assert_close(torch.stack(one_by_one), rows, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 3), (0,), (2, 0)])
@each_loss
def test_leading_axes_are_kept_by_none_and_flattened_by_the_others(loss, shape):
    inputs = make(loss, shape)
    rows = loss(*inputs, reduction="none")
    assert rows.shape == shape
    flat = tuple(x.reshape(-1, 5) if x.ndim > len(shape) else x.reshape(-1) for x in inputs)
    torch.testing.assert_close(loss(*flat, reduction="none"), rows.reshape(-1))
    for reduction in ("mean", "sum"):
        torch.testing.assert_close(
            loss(*inputs, reduction=reduction),
            getattr(rows, reduction)(),
            equal_nan=True,  # the mean of no rows
        )


@each_loss
def test_mean_is_the_default_reduction(loss):
    inputs = make(loss)
    assert torch.equal(loss(*inputs), loss(*inputs, reduction="mean"))


@each_softmax_loss
def test_one_class_is_certain(loss):
    inputs = make(loss, classes=1)
    assert (loss(*inputs, reduction="none") == 0).all()
    assert all((gradient == 0).all() for gradient in gradients(loss, inputs))


@each_loss
def test_any_layout_in_memory_will_do(loss):
    inputs = make(loss, (4, 3))
    strided = on_logits(lambda logits: logits.movedim(-1, 0).contiguous().movedim(0, -1), inputs)
    assert not strided[0].is_contiguous()
    options = {"reduction": "none"}
    torch.testing.assert_close(loss(*strided, **options), loss(*inputs, **options))
    for got, expected in zip(gradients(loss, strided), gradients(loss, inputs), strict=True):
        torch.testing.assert_close(got, expected)


@each_loss
def test_inputs_are_left_as_they_were(loss):
    inputs = make(loss)
    before = [x.clone() for x in inputs]
    gradients(loss, inputs)
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


def some_ignored(loss, label=IGNORED):
    logits, target = make(loss)
    keep = torch.tensor([True, False, True, True, False, True])
    return logits, torch.where(keep, target, label), keep


@pytest.mark.parametrize("label", [IGNORED, 0, 255])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@each_labelled_loss
def test_ignoring_rows_is_leaving_them_out(loss, reduction, label):
    logits, target, _ = some_ignored(loss, label)
    keep = target != label
    options = {"ignore_index": label, "reduction": reduction}
    torch.testing.assert_close(
        loss(logits, target, **options), loss(logits[keep], target[keep], **options)
    )
    (gradient,) = gradients(loss, (logits, target), **options)
    (kept,) = gradients(loss, (logits[keep], target[keep]), **options)
    torch.testing.assert_close(gradient[keep], kept)
    assert (gradient[~keep] == 0).all()


@each_labelled_loss
def test_ignored_rows_are_zero_without_reduction(loss):
    logits, target, keep = some_ignored(loss)
    assert (loss(logits, target, reduction="none")[~keep] == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@each_labelled_setting
def test_an_ignored_row_leaves_no_trace_however_extreme(loss, parameters, reduction):
    logits, target, keep = some_ignored(loss)
    extreme = torch.where(keep[:, None], logits, logits.sign() * 1e4).float()
    (gradient,) = gradients(loss, (extreme, target), **parameters, reduction=reduction)
    assert (gradient[~keep] == 0).all()
    assert gradient.isfinite().all()


@each_labelled_loss
def test_all_rows_ignored_give_mean_nan_sum_zero_and_no_gradient(loss):
    logits, target = make(loss)
    target = torch.full_like(target, IGNORED)
    assert loss(logits, target).isnan()
    assert loss(logits, target, reduction="sum") == 0
    for reduction in ("mean", "sum", "none"):
        (gradient,) = gradients(loss, (logits, target), reduction=reduction)
        assert (gradient == 0).all()


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
@each_labelled_loss
def test_labels_may_have_any_integer_dtype(loss, dtype):
    logits, target = make(loss)
    assert torch.equal(loss(logits, target.to(dtype)), loss(logits, target))


@each_softmax_setting
def test_a_class_that_is_ruled_out_counts_as_absent(loss, parameters):
    """A logit of -inf away from the label (and on both sides of a pair) is a class less."""
    inputs = make(loss, classes=4)
    excluded = on_logits(
        lambda logits: torch.cat([logits, torch.full((6, 1), -torch.inf).double()], -1), inputs
    )
    if parameters.get("label_smoothing"):
        assert loss(*excluded, **parameters).isinf()  # the smoothed target asks for the class
        return
    options = {**parameters, "reduction": "none"}
    torch.testing.assert_close(loss(*excluded, **options), loss(*inputs, **options))
    found = gradients(loss, excluded, **options)
    for got, expected in zip(found, gradients(loss, inputs, **options), strict=True):
        torch.testing.assert_close(got[:, :4], expected)
        assert (got[:, 4] == 0).all()


@pytest.mark.parametrize("where", [0, 1, 4])
@each_setting
def test_nan_gives_nan_in_its_row_and_nowhere_else(loss, parameters, where):
    inputs = make(loss)
    for which in [i for i, yes in enumerate(are_logits(inputs)) if yes]:
        spoilt = [x.clone() for x in inputs]
        spoilt[which][2, where] = torch.nan
        rows = loss(*spoilt, **parameters, reduction="none")
        assert rows.isnan().tolist() == [False, False, True, False, False, False]
        assert loss(*spoilt, **parameters, reduction="mean").isnan()
        assert loss(*spoilt, **parameters, reduction="sum").isnan()
        for gradient in gradients(loss, tuple(spoilt), **parameters):
            assert gradient[2].isnan().any()
            assert gradient[[0, 1, 3, 4, 5]].isfinite().all()
