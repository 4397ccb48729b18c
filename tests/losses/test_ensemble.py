"""EnsLoss: in every draw the derivatives are those of one convex, calibrated margin loss."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.losses import LOSSES, draw_lam, ensloss, loss_derivatives

from .test_bad_input import refuses

finite = st.floats(-20, 20, allow_nan=False)
draws = st.lists(st.tuples(finite, st.floats(-6, 6)), min_size=1, max_size=12)
powers = st.floats(-1, 1)


def columns(pairs):
    margins, normal = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    return margins, normal


def by_loops(margins, normal, lam, clip, eps):
    """The steps of the method, one number at a time."""
    magnitudes = []
    for g in normal.tolist():
        if lam == 0:
            magnitudes.append(math.exp(g))
            continue
        base = max(1 + lam * g, 0.0)
        power = math.inf if lam < 0 else 0.0
        magnitudes.append(base ** (1 / lam) if base > 0 else power)
    slopes = sorted(max(-m, clip) for m in magnitudes)
    found = [0.0] * len(slopes)
    for slope, i in zip(slopes, sorted(range(len(slopes)), key=margins.__getitem__), strict=True):
        found[i] = slope / max(1.0, float(margins[i])) - eps
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("lam", [0.0, 0.4, -0.7, 1.0, -1.0, 2.5])
def test_the_draw_follows_the_steps_of_the_method(lam):
    generator = torch.Generator().manual_seed(0)
    margins, normal = 2 * torch.randn(2, 50, generator=generator, dtype=torch.float64)
    got = loss_derivatives(margins, normal, lam=lam, clip=-1.5, eps=1e-3)
    torch.testing.assert_close(got, by_loops(margins, normal, lam, -1.5, 1e-3))


@given(pairs=draws, lam=powers)
def test_every_draw_is_convex(pairs, lam):
    """A larger margin never has a smaller derivative."""
    margins, normal = columns(pairs)
    g = loss_derivatives(margins, normal, lam=lam)
    order = margins.argsort(stable=True)
    assert (g[order].diff() >= 0).all()
    for i, j in itertools.combinations(range(len(g)), 2):
        assert (g[i] - g[j]) * (margins[i] - margins[j]) >= 0


apart = st.lists(
    st.tuples(st.integers(-40, 40).map(lambda i: i / 4), st.floats(-6, 6)),
    min_size=1,
    max_size=12,
    unique_by=lambda pair: pair[0],
)


@given(pairs=apart, lam=powers)
def test_every_draw_is_calibrated(pairs, lam):
    """The convex loss whose slope runs straight from knot to knot prefers the likelier sign.

    `right` is that loss at scores >= 0 of the right sign, `left` at the same scores of the wrong
    one: their risk falls below that of score 0 for the likelier sign and for no other.
    """
    margins, normal = columns(pairs)
    g = loss_derivatives(margins, normal, lam=lam)
    assert (g < 0).all()
    knots, order = margins.sort()
    # as fine around 0 as the best score may be near it; between these places slopes are straight
    fine = torch.logspace(-12, 1.6, 300, dtype=torch.float64)
    grid = torch.cat([fine, knots, torch.zeros(1)]).unique()
    grid = torch.cat([-grid, grid]).unique()
    slopes = torch.from_numpy(np.interp(grid.numpy(), knots.numpy(), g[order].numpy()))
    rise = (slopes[1:] + slopes[:-1]) / 2 * grid.diff()
    middle = len(grid) // 2  # the place of margin 0, from which both sides are summed
    right = torch.cat([rise.new_zeros(1), rise[middle:].cumsum(0)])
    left = -torch.cat([rise.new_zeros(1), rise[:middle].flip(0).cumsum(0)])
    for eta in (0.55, 0.7, 0.95):
        assert (eta * right + (1 - eta) * left).min() < 0
        assert (eta * left + (1 - eta) * right).min() == 0


def test_trap_equal_margins_at_zero_make_a_kink_that_ends_calibration():
    """Two slopes at margin 0: at label probability .55 the best score is 0: no decision."""
    g = loss_derivatives(torch.zeros(2).double(), torch.tensor([0.0, -1.0]).double())
    assert g[0] < g[1] < 0
    rising_right = 0.55 * g[1] - 0.45 * g[0]
    falling_left = 0.55 * g[0] - 0.45 * g[1]
    assert rising_right > 0 > falling_left


@given(pairs=draws, lam=powers)
def test_beyond_margin_one_the_magnitude_falls_like_its_inverse(pairs, lam):
    margins, normal = columns(pairs)
    g = loss_derivatives(margins, normal, lam=lam, eps=1e-6) + 1e-6
    assert (g * margins.clamp_min(1.0) >= -1 - 1e-12).all()


def test_the_gradient_of_the_mean_is_the_draw_over_the_batch():
    output = torch.tensor([0.7, -1.5, 2.5], requires_grad=True, dtype=torch.float64)
    target, normal = torch.tensor([1, 0, 1]), torch.tensor([0.3, -1.2, 0.8]).double()
    ensloss(output, target, normal).backward()
    sign = torch.tensor([1.0, -1.0, 1.0]).double()
    torch.testing.assert_close(
        output.grad, sign * loss_derivatives(sign * output.detach(), normal) / 3
    )


def test_reductions_agree_and_labels_may_be_of_any_kind():
    output, target = torch.tensor([0.5, -2.0, 1.0]), torch.tensor([1, 0, 0])
    normal = torch.tensor([0.1, 0.2, -0.5])
    rows = ensloss(output, target, normal, reduction="none")
    assert rows.shape == (3,)
    torch.testing.assert_close(ensloss(output, target, normal), rows.mean())
    torch.testing.assert_close(ensloss(output, target, normal, reduction="sum"), rows.sum())
    for other in (target.bool(), target.float(), target.to(torch.uint8)):
        assert torch.equal(ensloss(output, other, normal, reduction="none"), rows)
    module = LOSSES["ensloss"].module(reduction="sum")
    torch.testing.assert_close(module(output, target, normal), rows.sum())


def test_without_draws_it_draws_from_the_global_generator():
    output, target = torch.linspace(-2, 2, 9), torch.arange(9) % 2
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = ensloss(output, target)
        second = ensloss(output, target)
        torch.manual_seed(3)
        assert ensloss(output, target) == first
    assert first != second


def test_a_drawn_power_lies_between_minus_one_and_one():
    generator = torch.Generator().manual_seed(0)
    found = torch.tensor([draw_lam(generator) for _ in range(2000)])
    assert found.abs().max() <= 1
    torch.testing.assert_close(found.mean(), torch.tensor(0.0), rtol=0, atol=0.05)
    torch.testing.assert_close(found.var(), torch.tensor(1 / 3), rtol=0.05, atol=0)


def test_half_precision_comes_back_as_half_precision():
    output = torch.tensor([0.5, -1.0], dtype=torch.float16)
    assert ensloss(output, torch.tensor([1, 0])).dtype == torch.float16


def test_bad_input_is_refused_by_name():
    output, target = torch.zeros(3), torch.tensor([1, 0, 1])
    with refuses(ValueError, "target01", "0 and 1", "2"):
        ensloss(output, torch.tensor([1, 0, 2]))
    with refuses(ValueError, "target01", "0 and 1", "-1"):
        ensloss(output, torch.tensor([1, -1, 1]))
    with refuses(ValueError, "target01", "(3,)", "(2,)"):
        ensloss(output, target[:2])
    with refuses(TypeError, "target01", "list"):
        ensloss(output, [1, 0, 1])
    with refuses(ValueError, "output", "(B,)", "(3, 2)"):
        ensloss(torch.zeros(3, 2), target)
    with refuses(TypeError, "output", "torch.int64"):
        ensloss(target, target)
    with refuses(ValueError, "z_normal", "(3,)", "(4,)"):
        ensloss(output, target, torch.zeros(4))
    with refuses(ValueError, "clip", "(-∞, 0)", "0.5"):
        ensloss(output, target, clip=0.5)
    with refuses(ValueError, "eps", "(0, ∞)", "0.0"):
        ensloss(output, target, eps=0.0)
    with refuses(TypeError, "lam", "str"):
        ensloss(output, target, lam="0")
    with refuses(ValueError, "reduction", "'max'"):
        ensloss(output, target, reduction="max")
