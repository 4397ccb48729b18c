"""The torch functions are what the declarations say, to the last digits and at every size."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import LOSSES, Loss, comp_sum, cross_entropy, logistic

from .examples import (
    ALL,
    OF_LOGITS,
    ROWS_APART,
    SMALL,
    Tensors,
    arguments,
    cast,
    class_letters,
    each_setting,
    exact_in_every_dtype,
    gradients,
    learnt,
    make,
    parametrize,
    row_axis,
    row_losses,
    settings,
    widths,
)
from .meanings import MEANINGS
from .reference import exact

each_setting_of_logits = parametrize(OF_LOGITS, settings)
REFERENCE = 1e-90  # its own last digits
LOWER = (torch.float32, torch.float16, torch.bfloat16)


def assert_close(got, expected, rtol, atol=0.0):
    """Each element within rtol of the expected one, give or take atol and the least subnormal.

    Infinite exactly where the expected value is when rounded to the dtype, and never NaN.
    """
    info = torch.finfo(got.dtype)
    rounded = expected.to(got.dtype)
    assert not got.isnan().any()
    assert torch.equal(got.isinf(), rounded.isinf())
    allowed = atol + rtol * expected.abs() + info.tiny * info.eps + REFERENCE
    excess = torch.where(rounded.isinf(), 0.0, (got.double() - expected).abs() / allowed)
    at = tuple(int(i) for i in torch.unravel_index(excess.argmax(), excess.shape))
    assert excess[at] <= 1, f"at {at}: got {got[at]:.9g}, expected {expected[at]:.9g}"


def cancelling(loss: Loss, inputs: Tensors) -> torch.Tensor:
    """Size (rows,) of the float64 terms that may cancel in a row of logits.

    The surprisal (poly-1 at epsilon = -1 on easy examples); whole log-probabilities where a sum
    runs over the classes of two models; the logits where it is not a function of their softmax.
    """
    if loss.form and loss.form.over == "probabilities":
        return exact(LOSSES["logistic"], inputs, {})[0]
    apart = [row_axis(loss, argument) is not None for argument in arguments(loss)]
    columns = [x.double().reshape(len(x), -1) for x, one in zip(inputs, apart, strict=True) if one]
    return torch.cat(columns, -1).abs().amax(-1).clamp_min(1.0)


def largest(loss: Loss, place: int, slope: torch.Tensor) -> torch.Tensor:
    """The largest entry of a gradient, in each row where rows are apart."""
    sizes = torch.where(slope.isfinite(), slope, 0.0).abs()
    if loss in ROWS_APART and row_axis(loss, arguments(loss)[place]) is not None:
        return sizes.reshape(len(sizes), -1).amax(-1).reshape(-1, *[1] * (sizes.ndim - 1))
    return sizes.max()


def assert_exact(loss, inputs, parameters, *, rtol, slopes_rtol=None, slack=0.0):
    """Value and gradient equal the meaning: relatively, and up to the rounding of what cancels.

    Losses of logits are computed in float64 row by row, so that little else may be lost; others
    in float32 at least, with the rounding that their arguments' own last digits bring and that of
    terms of size 1 which cancel in a gradient. `slack` is allowed on top of it to every entry of a
    gradient.
    """
    values, slopes = exact(loss, inputs, parameters)
    dtype = inputs[0].dtype
    if loss in OF_LOGITS:
        size = 1e-15 * cancelling(loss, inputs)
        sizes = [size.reshape(-1, *[1] * (slope.ndim - 1)) for slope in slopes]
    else:
        eps = min(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
        moving = zip(learnt(loss), slopes, strict=True)
        moved = (inputs[i].double() * slope for i, slope in moving)
        size = 32 * eps * sum(move[move.isfinite()].abs().sum() for move in moved)
        sizes = [
            eps * (4 + 64 * largest(loss, i, slope))
            for i, slope in zip(learnt(loss), slopes, strict=True)
        ]
    got = row_losses(loss, inputs, parameters)
    assert got.dtype == dtype
    assert_close(got, values, rtol=rtol, atol=size)
    for got, slope, size in zip(gradients(loss, inputs, **parameters), slopes, sizes, strict=True):
        assert got.dtype == inputs[0].dtype
        assert got.isfinite()[slope.isnan()].all()
        slope = torch.where(slope.isnan(), got.double(), slope)  # a kink: any finite slope
        assert_close(got, slope, rtol=slopes_rtol or rtol, atol=size + slack)


def test_every_loss_has_a_meaning():
    """A symbolic form in its declaration, or else an independent function in `meanings`."""
    without_form = {key for key, loss in LOSSES.items() if loss.form is None}
    assert without_form == set(MEANINGS)


def led(loss: Loss, inputs: Tensors, leads: torch.Tensor) -> Tensors:
    """The inputs with these leads (rows,) on the first entry of every row of logits.

    In a second set of logits half of it; labels are the first class and the last in turn.
    """
    changed = []
    share = 1.0
    for argument, x in zip(arguments(loss), inputs, strict=True):
        if argument.kind.shifts:
            lead = (share * leads).reshape(-1, *[1] * (x.ndim - 1))
            first = torch.arange(x.shape[-1]) == 0
            x, share = torch.where(first, x + lead, x), share / 2
        elif argument.kind.counts:
            last = x.max()
            x = (torch.arange(x.numel()).reshape(x.shape) % 2) * last
        changed.append(x)
    return tuple(changed)


def usual(loss: Loss, sizes: dict[str, int]) -> Tensors:
    """Inputs exact in every dtype, with margins of up to 60 nats where they are logits."""
    leads = torch.tensor([-60.0, 20.0, 60.0, -20.0, 0.0, 1.0, -1.0, 0.0]).double()
    leads = leads[: 4 if max(sizes.values()) > 3 else 8]
    inputs = exact_in_every_dtype(make(loss, len(leads), **sizes))
    return led(loss, inputs, leads) if loss in OF_LOGITS else inputs


@each_setting
def test_value_and_gradient_equal_the_meaning(loss, parameters):
    for sizes in widths(loss):
        assert_exact(loss, usual(loss, sizes), parameters, rtol=1e-12)


@each_setting
def test_lower_precision_is_rounded_only_once(loss, parameters):
    """Value and gradient are the exact ones, rounded to the dtype of the first argument."""
    inputs = usual(loss, SMALL)
    for dtype in LOWER:
        ulp = torch.finfo(dtype).eps * (8 if dtype == torch.float32 else 1)
        # In float32 p - t of about 1 cancels for smoothed labels and for two models.
        slack = torch.finfo(torch.float32).eps
        lower = cast(inputs, dtype)
        assert_exact(loss, lower, parameters, rtol=ulp, slopes_rtol=2 * ulp, slack=slack)


def at_extremes(loss: Loss, count: int) -> Tensors:
    """Inputs whose entries are the extremes of their kinds, at random."""
    generator = torch.Generator().manual_seed(2)
    changed = []
    inputs = exact_in_every_dtype(make(loss, count, **SMALL))
    for argument, x in zip(arguments(loss), inputs, strict=True):
        if argument.kind.extremes:
            values = torch.tensor(argument.kind.extremes, dtype=torch.float64)
            x = values[torch.randint(len(values), x.shape, generator=generator)]
        changed.append(x)
    return tuple(changed)


@each_setting
def test_extreme_inputs_give_no_nan_and_inf_only_beyond_the_dtype(loss, parameters):
    inputs = at_extremes(loss, 12)
    for dtype in LOWER:
        rtol = 8 * torch.finfo(dtype).eps
        assert_exact(loss, cast(inputs, dtype), parameters, rtol=rtol)


def beyond_17_nats(loss: Loss, offset: float = 0.0, classes: int = 4) -> Tensors:
    """Margins of 17 to 40 nats of either sign, in integers: float32 holds them without rounding."""
    leads = torch.tensor([17, 18, 23, 28, 34, 40, -40, -34, -28, -23, -18, -17]).float()
    sizes = dict.fromkeys(class_letters(loss), classes)
    inputs = cast(make(loss, len(leads), **sizes), torch.float32)
    logits = torch.tensor([0.0, 0.0, -1.0, -5.0])[:classes].repeat(len(leads), 1)
    logits[:, 0] = leads
    changed = []
    for argument, x in zip(arguments(loss), inputs, strict=True):
        if argument.kind.shifts:
            x, logits = logits + offset, logits.roll(1, -1)
        changed.append(torch.zeros_like(x) if argument.kind.counts else x)
    return tuple(changed)


@each_setting_of_logits
def test_gradient_in_float32_is_right_at_margins_of_40_nats(loss, parameters):
    for offset in (0.0, 1e4):
        assert_exact(loss, beyond_17_nats(loss, offset), parameters, rtol=1e-6)


@each_setting_of_logits
def test_torch_func_and_compilers_have_the_gradient_at_margins_of_40_nats(loss, parameters):
    """They differentiate the function; the gradients of eager torch are written out."""
    inputs = cast(beyond_17_nats(loss, classes=2), torch.float64)
    places = learnt(loss)

    def value(*moved):
        changed = dict(zip(places, moved, strict=True))
        return row_losses(
            loss, tuple(changed.get(i, x) for i, x in enumerate(inputs)), parameters
        ).sum()

    found = torch.func.grad(value, tuple(range(len(places))))(*(inputs[i] for i in places))
    for slope, wanted in zip(found, gradients(loss, inputs, **parameters), strict=True):
        torch.testing.assert_close(slope, wanted, rtol=1e-6, atol=1e-30)


@parametrize([loss for loss in ALL if class_letters(loss)], settings)
def test_one_class_has_the_value_of_the_meaning_or_is_refused(loss, parameters):
    inputs = make(loss, 4, **{**SMALL, **dict.fromkeys(class_letters(loss), 1)})
    try:
        row_losses(loss, inputs, parameters)
    except ValueError as refused:
        assert re.search(r"\b1\b", str(refused))  # says how many there were
        return
    inputs = exact_in_every_dtype(inputs)
    if exact(loss, inputs, parameters)[0].isinf().all():  # as large as the arithmetic allows
        assert (row_losses(loss, inputs, parameters) > 1e300).all()
    else:
        assert_exact(loss, inputs, parameters, rtol=1e-12)


@pytest.mark.parametrize("loss", [cross_entropy, comp_sum, logistic])
def test_trap_torch_returns_no_loss_and_no_gradient_beyond_17_nats_in_float32(loss):
    logits = torch.tensor([0.0, 0.0, -1.0, -5.0]).repeat(24, 1)
    logits[:, 0] = torch.arange(17, 41)
    target = torch.zeros(24, dtype=torch.long)
    leaf = logits.clone().requires_grad_()
    theirs = F.cross_entropy(leaf, target, reduction="none")
    theirs.sum().backward()
    assert (theirs == 0).all()
    assert (leaf.grad[:, 0] == 0).all()
    leaf = logits.clone().requires_grad_()
    loss(leaf, target, reduction="sum").backward()
    others = 1 + math.exp(-1) + math.exp(-5)
    true = torch.tensor([-others * math.exp(-lead) for lead in range(17, 41)])
    assert_close(leaf.grad[:, 0], true.double(), rtol=1e-6)
