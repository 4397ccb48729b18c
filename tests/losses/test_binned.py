"""Targets of regression as classification are distributions of the right mean and shape."""

from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.losses import cross_entropy, hl_gauss, two_hot
from lossviz.losses.logits.bins import (
    c51_projection,
    c51_target,
    decode,
    hl_gauss_target,
    two_hot_target,
)

from .test_bad_input import refuses

values = st.floats(-3, 7, allow_nan=False)
RANGE = {"v_min": -3.0, "v_max": 7.0}


def one(y):
    return torch.tensor([y], dtype=torch.float64)


@given(y=values, count=st.integers(2, 60))
def test_two_hot_is_a_distribution_on_two_neighbours_with_the_value_as_mean(y, count):
    target = two_hot_target(one(y), num_locations=count, **RANGE)[0]
    assert (target >= 0).all()
    torch.testing.assert_close(target.sum(), torch.tensor(1.0).double())
    places = torch.linspace(-3, 7, count, dtype=torch.float64)
    torch.testing.assert_close(
        target @ places, torch.tensor(y, dtype=torch.float64), rtol=0, atol=1e-12
    )
    held = target.nonzero().flatten()
    assert len(held) <= 2
    assert held[-1] - held[0] <= 1


@given(y=values, count=st.integers(1, 60), width=st.floats(0.05, 20))
def test_hl_gauss_is_a_distribution_whose_peak_holds_the_value(y, count, width):
    target = hl_gauss_target(one(y), num_bins=count, sigma_over_binwidth=width, **RANGE)[0]
    assert (target >= 0).all()
    torch.testing.assert_close(target.sum(), torch.tensor(1.0).double())
    place = (y + 3) / 10 * count
    nearest = min(int(place), count - 1)
    assert target[nearest] >= target.max() - 1e-12


@pytest.mark.parametrize("y", [-3.0, -2.9, 0.3, 2.0, 6.99, 7.0])
def test_hl_gauss_has_all_digits_even_in_its_tails(y):
    """Against 400 digits: the smallest masses are right in relative terms as well."""
    target = hl_gauss_target(one(y), num_bins=20, sigma=0.5, **RANGE)[0]
    with mpmath.workdps(400):
        cdf = [mpmath.ncdf((mpmath.mpf(i) / 2 - 3 - y) / 0.5) for i in range(21)]
        exact = [float((b - a) / (cdf[20] - cdf[0])) for a, b in itertools.pairwise(cdf)]
    torch.testing.assert_close(target, torch.tensor(exact, dtype=torch.float64), rtol=1e-11, atol=0)


def test_sigma_may_be_given_in_bins_or_in_the_units_of_the_values():
    y = torch.linspace(-3, 7, 9, dtype=torch.float64)
    in_bins = hl_gauss_target(y, num_bins=20, sigma_over_binwidth=1.2, **RANGE)
    in_units = hl_gauss_target(y, num_bins=20, sigma=0.6, **RANGE)
    torch.testing.assert_close(in_bins, in_units)
    logits = torch.zeros(9, 20, dtype=torch.float64)
    logits[:, 3] = 1.0
    assert hl_gauss(logits, y, sigma=0.6, **RANGE) == hl_gauss(
        logits, y, sigma_over_binwidth=1.2, **RANGE
    )


def test_the_decoded_mean_is_right_inside_and_drawn_inwards_at_the_ends():
    y = torch.tensor([2.0, 2.13, -3.0, 7.0], dtype=torch.float64)
    target = hl_gauss_target(y, num_bins=40, **RANGE)
    found = decode(target.clamp_min(1e-300).log(), **RANGE)
    torch.testing.assert_close(found[:2], y[:2], rtol=0, atol=1e-3)
    assert found[2] > -3 + 0.05
    assert found[3] < 7 - 0.05


@pytest.mark.parametrize(
    ("loss", "target"), [(two_hot, two_hot_target), (hl_gauss, hl_gauss_target)]
)
def test_the_losses_are_cross_entropy_with_their_targets(loss, target):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(7, 51, generator=generator, dtype=torch.float64)
    y = torch.linspace(-10, 10, 7, dtype=torch.float64)
    torch.testing.assert_close(loss(logits, y), cross_entropy(logits, target(y)))


def test_values_get_no_gradient():
    y = torch.zeros(3, requires_grad=True)
    loss = two_hot(torch.zeros(3, 5, requires_grad=True), y)
    loss.backward()
    assert y.grad is None


def by_loops(support, probs, reward, gamma):
    """Each atom moved on its own and shared between its neighbours."""
    found = [0.0] * len(support)
    step = support[1] - support[0]
    for z, p in zip(support, probs, strict=True):
        moved = min(max(reward + gamma * z, support[0]), support[-1])
        place = (moved - support[0]) / step
        low = min(math.floor(place), len(support) - 2)
        found[low] += p * (low + 1 - place)
        found[low + 1] += p * (place - low)
    return torch.tensor(found, dtype=torch.float64)


@given(
    reward=st.floats(-30, 30),
    gamma=st.floats(0, 1),
    weights=st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
)
def test_c51_shares_every_moved_atom_between_its_neighbours(reward, gamma, weights):
    support = torch.linspace(-10, 10, 5, dtype=torch.float64)
    probs = torch.tensor(weights, dtype=torch.float64)
    probs = probs / probs.sum()
    target = c51_target(support, probs, reward=reward, gamma=gamma)
    expected = by_loops(support.tolist(), probs.tolist(), reward, gamma)
    torch.testing.assert_close(target, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(target.sum(), torch.tensor(1.0).double())


def test_c51_batches_rewards_and_ends():
    support = torch.linspace(-1, 1, 5, dtype=torch.float64)
    probs = torch.full((3, 5), 0.2, dtype=torch.float64)
    reward = torch.tensor([0.0, 0.5, -0.75], dtype=torch.float64)
    terminal = torch.tensor([False, True, True])
    target = c51_target(support, probs, reward=reward, gamma=1.0, terminal=terminal)
    expected = torch.tensor([[0.2] * 5, [0, 0, 0, 1, 0], [0.5, 0.5, 0, 0, 0]]).double()
    torch.testing.assert_close(target, expected, rtol=1e-6, atol=1e-12)


def test_a_projection_onto_its_own_support_changes_nothing():
    support = torch.linspace(0, 3, 7, dtype=torch.float64)
    probs = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probs = probs / probs.sum()
    torch.testing.assert_close(c51_projection(support, probs, support), probs)


def test_bad_input_is_refused_by_name():
    y = torch.tensor([0.5, 12.0])
    for target in (two_hot_target, hl_gauss_target):
        with refuses(ValueError, "y", "[-10, 10]", "12.0", "clamp"):
            target(y)
        with refuses(ValueError, "y", "[-10, 10]", "nan"):
            target(torch.tensor([math.nan]))
        with refuses(ValueError, "v_min", "v_max", "2.0", "1.0"):
            target(y, v_min=2.0, v_max=1.0)
        with refuses(TypeError, "y", "torch.int64"):
            target(torch.tensor([1]))
        with refuses(TypeError, "y", "list"):
            target([1.0])
    for loss in (two_hot, hl_gauss):
        with refuses(ValueError, "y", "[-10, 10]", "12.0"):
            loss(torch.zeros(2, 5), y)
        with refuses(ValueError, "y", "(2,)", "(3,)", "(2, 5)"):
            loss(torch.zeros(2, 5), torch.zeros(3))
    with refuses(ValueError, "num_locations", "2", "1"):
        two_hot_target(y, num_locations=1)
    with refuses(ValueError, "num_bins", "1", "0"):
        hl_gauss_target(y, num_bins=0)
    with refuses(ValueError, "sigma", "(0, ∞)", "0"):
        hl_gauss_target(y, sigma=0)
    with refuses(TypeError, "sigma", "str"):
        hl_gauss_target(y, sigma="wide")
    support, probs = torch.linspace(-1, 1, 5), torch.full((5,), 0.2)
    with refuses(ValueError, "next_probs", "one", "0.8"):
        c51_target(support, probs * torch.tensor([1, 1, 1, 1, 0]), reward=0.0)
    with refuses(ValueError, "next_probs", "negative", "-0.2"):
        c51_target(support, probs * torch.tensor([1, 1, 1, 1, -1]), reward=0.0)
    with refuses(ValueError, "support", "equal steps"):
        c51_target(support**3, probs, reward=0.0)
    with refuses(ValueError, "gamma", "[0, 1]", "1.5"):
        c51_target(support, probs, reward=0.0, gamma=1.5)
    with refuses(ValueError, "next_probs", "(..., 5)", "(4,)"):
        c51_target(support, torch.full((4,), 0.25), reward=0.0)
