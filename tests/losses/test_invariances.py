"""What must hold for any loss, whatever its formula: symmetries, rows, shapes, reductions, NaN."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from lossviz.declaration.inputs import BATCH
from lossviz.declaration.symmetries import symmetries
from lossviz.losses import LOSSES

from .examples import (
    ALL,
    ROWS_APART,
    SMALL,
    arguments,
    cast,
    corners,
    each_corner_that_ignores,
    each_loss,
    each_loss_that_ignores,
    each_loss_with_rows,
    each_loss_with_rows_apart,
    each_setting,
    gradients,
    learnt,
    make,
    parametrize,
    reduced,
    row_axis,
    row_losses,
    settings,
    take,
    with_gradients,
)

IGNORED = -100

TRIED = [
    pytest.param(loss, symmetry, id=f"{loss.key}: {symmetry.name}")
    for loss in ALL
    for symmetry in symmetries(loss.inputs, make(loss))
]


def error(loss, symmetry, parameters):
    """How far the losses of changed inputs are from what the symmetry asks, in units of rounding.

    1 is a relative error of 1e-12, or the last digits of the largest input.
    """
    tensors = make(loss)
    changed = symmetry.apply(tensors)
    got = row_losses(loss, changed, parameters)
    expected = symmetry.rows(row_losses(loss, tensors, parameters))
    largest = max(x[x.isfinite()].abs().max() for x in changed if x.is_floating_point())
    allowed = 1e-12 * expected.abs() + 1e-15 * largest
    return ((got - expected).abs() / allowed).nan_to_num(math.inf).max()


@pytest.mark.parametrize(("loss", "symmetry"), TRIED)
def test_symmetries_hold_but_for_those_that_a_loss_is_declared_to_break(loss, symmetry):
    broken = []
    for parameters in settings(loss):
        if loss.has(symmetry.name, parameters):
            assert error(loss, symmetry, parameters) <= 1, parameters
        else:
            broken.append(error(loss, symmetry, parameters))
    assert not broken or max(broken) > 1e6


@each_loss
def test_what_a_loss_is_declared_to_break_is_tried(loss):
    tried = {symmetry.name for symmetry in symmetries(loss.inputs, make(loss))} | {"derivative"}
    assert {entry.partition(" for ")[0] for entry in loss.breaks} <= tried


@pytest.mark.parametrize(("loss", "symmetry"), TRIED)
def test_gradients_have_the_symmetries_of_the_loss(loss, symmetry):
    """The gradient through a change is that without it, and 0 for what is not there (-inf)."""
    for parameters in [s for s in corners(loss) if loss.has(symmetry.name, s)]:
        tensors = with_gradients(loss, make(loss))
        changed = symmetry.apply(tensors)
        leaves, moved = ([x[i] for i in learnt(loss)] for x in (tensors, changed))
        value = loss(*changed, **parameters, **reduced(loss, "sum"))
        found = torch.autograd.grad(value, [*leaves, *moved])
        expected = gradients(loss, tensors, **parameters)
        for got, want in zip(found[: len(leaves)], expected, strict=True):
            size = float(want.abs().max())
            torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-12 * size)
        for x, got in zip(moved, found[len(leaves) :], strict=True):
            assert (got[x.isinf()] == 0).all()


SHIFTING = [
    (loss, i)
    for loss in ALL
    for i in learnt(loss)
    if arguments(loss)[i].kind.shifts
    and loss.has(f"shift of {arguments(loss)[i].letters[-1]}", loss.defaults)
]


@pytest.mark.parametrize(
    ("loss", "i"),
    [pytest.param(loss, i, id=f"{loss.key}-{arguments(loss)[i].name}") for loss, i in SHIFTING],
)
def test_the_gradient_of_a_loss_blind_to_a_constant_sums_to_zero(loss, i):
    for tensors in (make(loss), make(loss, scale=30.0)):
        for parameters in settings(loss):
            gradient = gradients(loss, tensors, **parameters)[learnt(loss).index(i)]
            total = gradient.sum(-1)
            size = float(gradient.abs().max())
            torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12 * size)


@each_setting
def test_derivatives_of_both_orders_are_those_of_the_value(loss, parameters):
    inputs = with_gradients(loss, make(loss, scale=1.5, batch=(2,), **SMALL))

    def f(*inputs):
        return row_losses(loss, inputs, parameters)

    if not loss.has("derivative", parameters):
        inputs = with_gradients(loss, make(loss))
        assert not torch.autograd.gradcheck(f, inputs, raise_exception=False, fast_mode=True)
        return
    assert torch.autograd.gradcheck(f, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(f, inputs, fast_mode=True)


@each_loss_with_rows_apart
def test_rows_do_not_see_each_other(loss):
    inputs = make(loss)
    rows = row_losses(loss, inputs)
    backwards = torch.arange(len(rows)).flip(0)
    assert torch.equal(row_losses(loss, take(loss, inputs, backwards)), rows.flip(0))
    one_by_one = [row_losses(loss, take(loss, inputs, torch.tensor([i]))) for i in range(len(rows))]
    torch.testing.assert_close(torch.cat(one_by_one), rows, rtol=1e-14, atol=0.0)


@parametrize([loss for loss in ALL if loss.inputs.rows and loss.inputs.coupled])
def test_coupled_rows_see_each_other(loss):
    inputs = make(loss, 20)
    alone = [row_losses(loss, take(loss, inputs, torch.tensor([i]))) for i in range(20)]
    assert not torch.allclose(torch.cat(alone).sort()[0], row_losses(loss, inputs).sort()[0])


@parametrize([loss for loss in ROWS_APART if loss.inputs.rows == (BATCH,)])
def test_a_single_row_needs_no_axis(loss):
    inputs = make(loss, batch=(1,))
    axes = [row_axis(loss, argument) for argument in arguments(loss)]
    single = tuple(x if axis is None else x[0] for x, axis in zip(inputs, axes, strict=True))
    got = row_losses(loss, single)
    assert got.shape == ()
    torch.testing.assert_close(got, row_losses(loss, inputs)[0], rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 3), (0,), (2, 0)])
@parametrize([loss for loss in ALL if BATCH in loss.inputs.letters and loss.inputs.rows])
def test_leading_axes_are_kept_by_none_and_flattened_by_the_others(loss, shape):
    inputs = make(loss, batch=shape)
    rows = row_losses(loss, inputs)
    assert rows.shape == shape
    flat = tuple(
        x.flatten(0, len(shape) - 1) if shape and BATCH in a.letters
        else x[None] if BATCH in a.letters
        else x
        for a, x in zip(arguments(loss), inputs, strict=True)
    )  # fmt: skip
    torch.testing.assert_close(row_losses(loss, flat), rows.reshape(-1))


@each_loss_with_rows
def test_rows_have_the_declared_shape_and_the_reductions_are_of_them(loss):
    inputs = make(loss)
    rows = row_losses(loss, inputs)
    sizes = {}
    for argument, x in zip(arguments(loss), inputs, strict=True):
        sizes |= {letter: x.shape[argument.axis(letter)] for letter in argument.letters}
    sizes |= {f"2{letter}": 2 * size for letter, size in sizes.items()}
    assert rows.shape == tuple(sizes[letter] for letter in loss.inputs.rows)
    assert torch.equal(loss(*inputs), loss(*inputs, reduction="mean"))
    for reduction in ("mean", "sum"):
        got = loss(*inputs, reduction=reduction)
        torch.testing.assert_close(got, getattr(rows, reduction)())


@each_loss
def test_a_loss_is_one_number_unless_rows_are_asked_for(loss):
    assert loss(*make(loss)).shape == ()


@each_loss_with_rows
def test_of_no_rows_the_sum_is_zero_and_the_mean_is_nan(loss):
    inputs = make(loss, 0)
    assert row_losses(loss, inputs).numel() == 0
    assert loss(*inputs, reduction="sum") == 0
    assert loss(*inputs, reduction="mean").isnan()
    for gradient in gradients(loss, inputs):
        assert (gradient == 0).all()


@each_loss_with_rows
def test_one_row_has_a_finite_loss_and_gradient(loss):
    inputs = make(loss, 1)
    assert row_losses(loss, inputs).isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(loss, inputs))


def in_other_layout(x):
    """The same values with the axes in reverse order in memory, and with gaps."""
    backwards = tuple(reversed(range(x.ndim)))
    return torch.stack([x.permute(backwards)] * 2, dim=-1)[..., 0].permute(backwards)


@each_loss
def test_any_layout_in_memory_will_do(loss):
    inputs = make(loss, batch=(4, 3))
    strided = tuple(map(in_other_layout, inputs))
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(row_losses(loss, strided), row_losses(loss, inputs))
    for got, expected in zip(gradients(loss, strided), gradients(loss, inputs), strict=True):
        torch.testing.assert_close(got, expected)


@each_loss
def test_inputs_are_left_as_they_were(loss):
    inputs = make(loss, optional=True)
    by_name = dict(zip((a.name for a in loss.inputs.arguments), inputs, strict=True))
    before = [x.clone() for x in inputs]
    loss(**by_name, **reduced(loss, "mean"))
    gradients(loss, make(loss))
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


def labels_of(loss):
    """The place and the argument of the labels that may be ignored."""
    return next((i, a) for i, a in enumerate(arguments(loss)) if a.kind.ignorable)


def ignoring(loss, keep, label=IGNORED):
    """Inputs whose labels are `label` outside the mask, which has their shape or that of rows."""
    inputs = make(loss)
    i, _ = labels_of(loss)
    keep = keep.reshape(*keep.shape, *[1] * (inputs[i].ndim - keep.ndim))
    labels = torch.where(keep, inputs[i], label)
    return (*inputs[:i], labels, *inputs[i + 1 :])


def some_rows(loss):
    count = make(loss)[labels_of(loss)[0]].shape[0]
    return torch.arange(count) % 3 != 1


@pytest.mark.parametrize("label", [IGNORED, 0, 255])
@each_loss_that_ignores
def test_ignoring_rows_is_leaving_them_out(loss, label):
    i, _ = labels_of(loss)
    inputs = ignoring(loss, some_rows(loss), label)
    keep = (inputs[i] != label).flatten(1).any(1) if inputs[i].ndim > 1 else inputs[i] != label
    rest = take(loss, inputs, keep.nonzero().squeeze(1))
    for reduction in ("mean", "sum"):
        options = {"ignore_index": label, **reduced(loss, reduction)}
        torch.testing.assert_close(loss(*inputs, **options), loss(*rest, **options))
        found, kept = (gradients(loss, x, **options) for x in (inputs, rest))
        for place, got, expected in zip(learnt(loss), found, kept, strict=True):
            if row_axis(loss, arguments(loss)[place]) is None:
                torch.testing.assert_close(got, expected)
                continue
            torch.testing.assert_close(got[keep], expected)
            assert (got[~keep] == 0).all()


@each_loss_that_ignores
def test_ignored_rows_are_zero_without_reduction(loss):
    keep = some_rows(loss)
    assert (row_losses(loss, ignoring(loss, keep))[~keep] == 0).all()


@each_corner_that_ignores
def test_an_ignored_place_leaves_no_trace_however_extreme(loss, parameters):
    """Places that a label stands for: each of them, or whole rows where they are not told apart."""
    i, argument = labels_of(loss)
    letters = argument.letters
    held = [
        a for a in (arguments(loss)[place] for place in learnt(loss)) if a.letters[0] in letters
    ]
    whole = all(a.letters[: len(letters)] == letters for a in held)
    shape = make(loss)[i].shape if whole else make(loss)[i].shape[:1]
    keep = torch.arange(math.prod(shape)).reshape(shape) % 3 != 1
    inputs = list(cast(ignoring(loss, keep), torch.float32))
    touched = [place for place in learnt(loss) if arguments(loss)[place] in held]
    for place in touched:
        x, kind = inputs[place], arguments(loss)[place].kind
        extremes = torch.tensor(kind.extremes)
        at = torch.arange(x.numel()).reshape(x.shape) % len(extremes)
        apart = keep.reshape(*keep.shape, *[1] * (x.ndim - keep.ndim))
        inputs[place] = torch.where(apart, x, extremes[at])
    for reduction in ("mean", "sum", "none"):
        options = {**parameters, **reduced(loss, reduction)}
        found = dict(zip(learnt(loss), gradients(loss, tuple(inputs), **options), strict=True))
        for place in touched:
            assert (found[place][~keep] == 0).all()
        assert all(gradient.isfinite().all() for gradient in found.values())


@each_loss_that_ignores
def test_all_rows_ignored_give_mean_nan_sum_zero_and_no_gradient(loss):
    inputs = ignoring(loss, torch.zeros_like(some_rows(loss)))
    assert loss(*inputs, reduction="mean").isnan()
    assert loss(*inputs, reduction="sum") == 0
    for reduction in ("mean", "sum", "none"):
        for gradient in gradients(loss, inputs, reduction=reduction):
            assert (gradient == 0).all()


INNER = [
    (loss, letter)
    for loss in LOSSES.values()
    if loss.inputs.ignorable
    for letter in labels_of(loss)[1].letters
    if letter not in loss.inputs.rows
]


@pytest.mark.parametrize(
    ("loss", "letter"), [pytest.param(*case, id=case[0].key) for case in INNER]
)
def test_adding_ignored_places_changes_nothing(loss, letter):
    inputs = make(loss)
    longer = []
    for argument, x in zip(arguments(loss), inputs, strict=True):
        if letter in argument.letters:
            axis = argument.axis(letter)
            more = x.narrow(axis, 0, 2)
            more = torch.full_like(more, IGNORED) if argument.kind.ignorable else more
            x = torch.cat([x, more], axis)
        longer.append(x)
    torch.testing.assert_close(row_losses(loss, tuple(longer)), row_losses(loss, inputs))


def integers_of(kind):
    """The dtypes that labels and truth values may have, beside their own."""
    whole = [torch.int8, torch.uint8, torch.int16, torch.int32]
    more = {"truth": [torch.float32], "real": [torch.int64]}
    return [] if kind.holds == "floating" else whole + more.get(kind.holds, [])


@each_loss
def test_labels_and_truth_values_may_have_any_fitting_dtype(loss):
    inputs = make(loss)
    for i, argument in enumerate(arguments(loss)):
        for dtype in integers_of(argument.kind):
            changed = (*inputs[:i], inputs[i].to(dtype), *inputs[i + 1 :])
            assert torch.equal(loss(*changed), loss(*inputs))


def spoilt(loss, inputs, place, index, value):
    """The inputs with one entry of a learnt argument, in its row 2 if it has rows, replaced."""
    axis = row_axis(loss, arguments(loss)[place])
    x = inputs[place].clone()
    part = x if axis is None else x.select(axis, 2)
    at = part.numel() - 1 if index < 0 else min(index, part.numel() - 1)
    where = tuple(int(i) for i in torch.unravel_index(torch.tensor(at), part.shape))
    part[where] = value[place].reshape(-1)[at] if isinstance(value, tuple) else value
    return (*inputs[:place], x, *inputs[place + 1 :])


@each_setting
def test_nan_gives_nan_in_the_rows_that_see_it_and_nowhere_else(loss, parameters):
    """A row sees an entry if another value there changes its loss; apart, it is its own row.

    NaN in what rows share may spoil those too that do not see it: a prototype too far to matter.
    """
    inputs = make(loss)
    before = row_losses(loss, inputs, parameters)
    for (nth, place), index in itertools.product(enumerate(learnt(loss)), (0, 1, -1)):
        shared = row_axis(loss, arguments(loss)[place]) is None
        if loss in ROWS_APART and not shared:
            sees = torch.arange(len(before)) == 2
        else:
            moved = [
                row_losses(loss, spoilt(loss, inputs, place, index, other), parameters)
                for other in (make(loss, seed=seed) for seed in (1, 2, 3))
            ]
            sees = torch.stack([rows != before for rows in moved]).any(0)
        broken = spoilt(loss, inputs, place, index, torch.nan)
        rows = row_losses(loss, broken, parameters)
        assert rows[sees].isnan().all()
        assert ((rows == before) | (rows.isnan() & (loss.inputs.coupled or shared)))[~sees].all()
        assert sees.any() or not before.any()  # at a weight of 0 nothing is seen
        assert loss(*broken, **parameters, **reduced(loss, "mean")).isnan()
        found = gradients(loss, broken, **parameters)
        assert found[nth].isnan().any()

        def reaches(other: int, place: int = place, index: int = index) -> bool:
            """Whether another value here changes the gradient of another argument."""
            moved = spoilt(loss, inputs, place, index, make(loss, seed=1))
            values = (gradients(loss, x, **parameters)[other] for x in (inputs, moved))
            return not torch.equal(*values)

        if loss in ROWS_APART and not shared:
            for other, (which, gradient) in enumerate(zip(learnt(loss), found, strict=True)):
                if row_axis(loss, arguments(loss)[which]) is not None:
                    assert gradient[2].isnan().any() or not reaches(other)
                    assert gradient[torch.arange(len(before)) != 2].isfinite().all()
