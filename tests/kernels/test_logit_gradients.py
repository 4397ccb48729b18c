"""Every logit's gradient in float32 is as exact as plain torch's, the target's own apart as well.

The input is the identity, so that logits are the entries of the weight, without a rounding, and the
weight's gradient is that of the logits.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import mpmath
import pytest
import torch
import torch.nn.functional as F

from lossviz.kernels import linear_cross_entropy, row_statistics
from lossviz.kernels.tiles import Transform

from .test_row_statistics import definitions

ROWS = 3
LOGITS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "spread": lambda drawn: drawn,
    "wide": lambda drawn: 3 * drawn,
    "early in training": lambda drawn: 0.02 * drawn,
}
LOSSES = {
    "smoothing alone": {"label_smoothing": 1.0},
    "z-loss": {"z_loss": 1e-2},
    "z-loss beside a weak loss": {"z_loss": 1.0, "loss": "focal"},
    "z-loss, none": {"z_loss": 1.0, "reduction": "none", "loss": "mae"},
    "plain": {},
}
ULP = torch.finfo(torch.float32).eps


def draw(classes: int, shape: str, target: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (V, N) in float32, and labels that are ordinary, improbable or certain."""
    generator = torch.Generator().manual_seed(classes)
    logits = LOGITS[shape](torch.randn(classes, ROWS, generator=generator))
    labels = torch.randint(classes, (ROWS,), generator=generator)
    lead = {"ordinary": 0.0, "improbable": -20.0, "certain": 25.0}[target]
    logits[labels, torch.arange(ROWS)] += lead
    return logits, labels


def torch_loss(logits: torch.Tensor, labels: torch.Tensor, options: dict) -> torch.Tensor:
    """What a user writes, for logits (N, V)."""
    smoothing, loss = options.get("label_smoothing", 0.0), options.get("loss", "cross_entropy")
    values = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    values = {"cross_entropy": values, "mae": 1 - p, "focal": (1 - p) ** 2 * values}[loss]
    return (values + options.get("z_loss", 0.0) * logits.logsumexp(1) ** 2).sum()


def gradient(
    logits: torch.Tensor, dtype: torch.dtype, of: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The gradient of a function of logits (V, N)."""
    leaf = logits.to(dtype).requires_grad_()
    return torch.autograd.grad(of(leaf).sum(), leaf)[0].double()


def assert_accepted(
    mine: torch.Tensor,
    theirs: torch.Tensor,
    true: torch.Tensor,
    labels: torch.Tensor,
    ulps: float,
    near_uniform: bool,
) -> None:
    """error(ours) <= max(error(plain torch), a few ulp) in every row, and at every target.

    Near the uniform distribution all entries are alike in what rounding does to them, and one is
    smaller than most only where its two halves happen to cancel: it is held to a usual entry.
    """
    usual = true.norm(dim=0) / math.sqrt(len(true)) if near_uniform else 1e-30

    def errors(found: torch.Tensor) -> list[torch.Tensor]:
        here = labels, torch.arange(ROWS)
        size = true.norm(dim=0)
        whole = (found - true).norm(dim=0) / size.clamp(min=1e-30)
        own = (found[here] - true[here]).abs() / true[here].abs().clamp(min=usual)
        # a target that the loss does not move may get what rounding leaves of the others
        return [whole, torch.where(true[here] == 0, found[here].abs() / size, own)]

    for found, plain in zip(errors(mine), errors(theirs), strict=True):
        assert (found <= plain.amax().clamp(min=ulps * ULP)).all(), (found, plain)


def paths(classes: int) -> list[tuple[str, int | None]]:
    """Paths and budgets: whole rows, tiles, and the interpreter where it is not too slow."""
    chunked = [("chunked", None), ("chunked", 4 * ROWS * -(-classes // 3))]
    return [*chunked, ("reference", None), *([("triton", None)] if classes == 300 else [])]


each_case = pytest.mark.parametrize(
    ("classes", "shape", "target"),
    [
        *itertools.product((2,), LOGITS, ("ordinary", "improbable")),
        *itertools.product((300,), LOGITS, ("ordinary", "improbable", "certain")),
        (250_000, "spread", "ordinary"),
        (250_000, "wide", "improbable"),
        (250_000, "early in training", "ordinary"),
    ],
)


def compare(
    logits: torch.Tensor,
    labels: torch.Tensor,
    shape: str,
    plain: Callable[[torch.Tensor], torch.Tensor],
    ours: Callable[..., torch.Tensor],
) -> None:
    true = gradient(logits, torch.float64, plain)
    theirs = gradient(logits, torch.float32, plain)
    # p = exp(z - lse) has the digits of lse, about log V, and near the uniform distribution what is
    # left of p - 1/V is smaller by the spread of the logits
    near_uniform = shape == "early in training"
    ulps = 8 * (1 + math.log(len(logits))) * (50 if near_uniform else 1)
    for impl, budget in paths(len(logits)):
        mine = gradient(
            logits, torch.float32, functools.partial(ours, impl=impl, memory_budget=budget)
        )
        assert_accepted(mine, theirs, true, labels, ulps, near_uniform)


@each_case
@pytest.mark.parametrize("name", ["lse", "entropy", "uniform_nll", "log_sum_square"])
def test_statistics_have_gradients_as_exact_as_those_of_plain_torch(name, classes, shape, target):
    logits, labels = draw(classes, shape, target)

    def ours(leaf: torch.Tensor, **how) -> torch.Tensor:
        row = row_statistics(torch.eye(ROWS), leaf, labels, statistics=(name,), **how)
        return getattr(row, name)

    compare(logits, labels, shape, lambda leaf: definitions(leaf.T, labels)[name], ours)


@each_case
@pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)
def test_losses_have_gradients_as_exact_as_those_of_plain_torch(options, classes, shape, target):
    logits, labels = draw(classes, shape, target)

    def ours(leaf: torch.Tensor, **how) -> torch.Tensor:
        how = {"reduction": "sum", **options, **how}
        return linear_cross_entropy(torch.eye(ROWS), leaf, labels, **how)

    compare(logits, labels, shape, lambda leaf: torch_loss(leaf.T, labels, options), ours)


@pytest.mark.parametrize("impl", ["chunked", "reference", "triton"])
@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize(("cap", "heights"), [(30.0, 4.0), (30.0, 1.0), (5.0, 8.0)])
def test_the_slope_of_a_saturated_cap_keeps_its_digits(cap, heights, reduction, impl):
    generator = torch.Generator().manual_seed(0)
    signs = torch.randn(2, 64, generator=generator).sign()
    logits = signs * cap * heights * (0.8 + 0.2 * torch.rand(2, 64, generator=generator))
    labels = torch.randint(2, (64,), generator=generator)

    def ours(z):
        eye = torch.eye(len(labels), dtype=z.dtype)
        options = {"softcap": cap, "reduction": reduction, "impl": impl}
        return linear_cross_entropy(eye, z, labels, **options).sum()

    def eager(z):
        return F.cross_entropy(cap * torch.tanh(z.T / cap), labels, reduction="sum")

    def error(found):
        return ((found - true).norm() / true.norm()).item()

    true = gradient(logits, torch.float64, eager)
    mine, theirs = (error(gradient(logits, torch.float32, of)) for of in (ours, eager))
    assert mine <= max(theirs, 5 * ULP)
    assert heights == 1.0 or mine < theirs / 10


@pytest.mark.parametrize("heights", [0.0, 0.5, 8.0, 60.0])
def test_derivatives_of_the_reference_cap_keep_their_digits_at_second_order(heights):
    cap, logit = 3.0, torch.tensor(3.0 * heights)

    found = torch.func.grad(torch.func.grad(Transform(softcap=cap).apply))(logit).item()
    with mpmath.workdps(60):
        slope = mpmath.sech(heights) ** 2
        true = float(-2 * mpmath.tanh(heights) * slope / cap)
    assert found == pytest.approx(true, rel=1e-6, abs=1e-45)
