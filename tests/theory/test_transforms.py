"""The theorem's curves: known values, regimes, ends, accuracy where formulas cancel, inverses."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from lossviz.theory import (
    comp_sum_gamma,
    comp_sum_gamma_tilde,
    comp_sum_growth_coefficient,
    comp_sum_transform,
    hcons_bounded_ce_binary,
    hcons_bounded_ce_binary_gamma,
)

TAUS = (0.0, 0.3, 0.5, 0.99, 1.0, 1.001, 1.5, 1.9, 1.999, 2.0, 3.0)
BETA = np.linspace(0, 1, 41)


def reference(beta: float, tau: float, n: int) -> mpmath.mpf:
    """The formula of the paper, at 60 digits."""
    with mpmath.workdps(60):
        b, t = mpmath.mpf(beta), mpmath.mpf(tau)
        if tau >= 2:
            return b / ((t - 1) * mpmath.mpf(n) ** (t - 1))
        if tau == 1:
            upper = (1 + b) / 2 * mpmath.log(1 + b)
            return upper + ((1 - b) / 2 * mpmath.log(1 - b) if b < 1 else 0)
        mean = (((1 + b) ** (1 / (2 - t)) + (1 - b) ** (1 / (2 - t))) / 2) ** (2 - t)
        if tau < 1:
            return 2 ** (1 - t) / (1 - t) * (1 - mean)
        return (mean - 1) / ((t - 1) * mpmath.mpf(n) ** (t - 1))


@pytest.mark.parametrize("n", [2, 3, 10, 100])
@pytest.mark.parametrize(
    "tau", [0, 0.5, 1 - 1e-3, 1 - 1e-7, 1, 1 + 1e-12, 1 + 1e-4, 1.011, 1.5, 1.9, 2 - 1e-9, 2, 3, 7]
)
def test_transform_keeps_twelve_digits_from_tiny_beta_to_one(tau: float, n: int) -> None:
    beta = [1e-12, 1e-8, 1e-4, 0.01, 0.1, 0.5, 0.9, 0.999999, 1.0]
    exact = [float(reference(b, tau, n)) for b in beta]
    np.testing.assert_allclose(comp_sum_transform(beta, tau=tau, n=n), exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("tau", "n", "expected"),
    [
        (0, 7, [5.000125e-5, 0.00501256, 0.13397460, 0.56411011]),
        (0.5, 7, [4.714154e-5, 0.00472501, 0.12562776, 0.51442627]),
        (1, 7, [5.000083e-5, 0.00500837, 0.13081204, 0.49463194]),
        (1.5, 2, [7.070891e-5, 0.00705348, 0.16692527, 0.48841620]),
        (1.5, 100, [9.999750e-6, 0.00099751, 0.02360680, 0.06907248]),
        (1.9, 10, [6.284843e-5, 0.00550620, 0.05588955, 0.10809451]),
        (3, 10, [0.005e-2, 0.05e-2, 0.25e-2, 0.45e-2]),
    ],
)
def test_transform_has_the_tabulated_values(tau: float, n: int, expected: list[float]) -> None:
    found = comp_sum_transform([0.01, 0.1, 0.5, 0.9], tau=tau, n=n)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("tau", TAUS)
def test_transform_is_zero_at_zero_increasing_and_convex(tau: float) -> None:
    values = comp_sum_transform(BETA, tau=tau, n=5)
    assert values[0] == 0
    assert (np.diff(values) > 0).all()
    assert (np.diff(values, 2) > -1e-15).all()


@pytest.mark.parametrize(("at", "step"), [(1.0, 1e-9), (2.0, -1e-9)])
def test_transform_is_continuous_in_tau(at: float, step: float) -> None:
    """At tau = 1 the constants of the two sides meet: both powers of the base are 1."""
    for side in (step, -step):
        near = comp_sum_transform(BETA, tau=at + side, n=6)
        np.testing.assert_allclose(near, comp_sum_transform(BETA, tau=at, n=6), rtol=3e-8)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_transform_does_not_depend_on_n_up_to_tau_one(tau: float) -> None:
    assert (comp_sum_transform(BETA, tau=tau, n=2) == comp_sum_transform(BETA, tau=tau, n=50)).all()


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("n", [2, 10])
def test_gamma_inverts_the_transform(tau: float, n: int) -> None:
    beta = np.concatenate([np.geomspace(1e-9, 0.05, 12), np.linspace(0.1, 1, 10)])
    found = comp_sum_gamma(comp_sum_transform(beta, tau=tau, n=n), tau=tau, n=n)
    # For tau < 1 the transform is steep at 1 and flat nowhere: the inverse keeps its digits.
    np.testing.assert_allclose(found, beta, rtol=1e-10)


def test_gamma_is_the_closed_form_at_tau_zero_and_capped_at_one() -> None:
    t = np.linspace(0, 1, 30)
    np.testing.assert_allclose(comp_sum_gamma(t, tau=0, n=3), np.sqrt(2 * t - t**2), rtol=1e-7)
    for tau in TAUS:
        assert (comp_sum_gamma([5.0, 1e9, float("inf")], tau=tau, n=3) == 1).all()


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("n", [2, 10, 100])
def test_gamma_tilde_is_a_majorant(tau: float, n: int) -> None:
    t = np.geomspace(1e-8, 1.0, 40)
    slack = comp_sum_gamma_tilde(t, tau=tau, n=n) - comp_sum_gamma(t, tau=tau, n=n)
    assert (slack >= -1e-12).all()


def test_a_cross_entropy_regret_of_two_hundredths_of_a_nat_guarantees_an_error_of_two_tenths() -> (
    None
):
    assert comp_sum_gamma_tilde(0.02, tau=1, n=10) == pytest.approx(0.2, rel=1e-15)


@pytest.mark.parametrize("n", [2, 10])
@pytest.mark.parametrize("tau", [0, 0.5, 1, 1.2, 1.5, 1.9])
def test_growth_coefficient_is_the_limit_of_transform_over_beta_squared(tau: float, n: int) -> None:
    limit = comp_sum_transform(1e-6, tau=tau, n=n) / 1e-12
    assert comp_sum_growth_coefficient(tau, n=n) == pytest.approx(limit, rel=1e-9)


def test_growth_coefficient_takes_arrays_and_is_infinite_where_the_transform_is_linear() -> None:
    found = comp_sum_growth_coefficient([0, 1, 1.5, 2, 3], n=10)
    np.testing.assert_allclose(found, [0.5, 0.5, 10**-0.5, math.inf, math.inf])


def test_bounded_binary_transform_is_the_complete_one_continued_by_its_tangent() -> None:
    t = np.linspace(0, 1, 501)
    found = hcons_bounded_ce_binary(t, Lambda=0.3)
    s_max, s_min = (1 / (1 + math.exp(-x)) for x in (0.6, -0.6))
    line = t / 2 * math.log(s_max / s_min) + math.log(2 * math.sqrt(s_max * s_min))
    inner = t <= s_max - s_min
    np.testing.assert_allclose(found[inner], comp_sum_transform(t[inner], tau=1, n=2), rtol=1e-12)
    np.testing.assert_allclose(found[~inner], line[~inner], rtol=1e-12)
    assert np.abs(np.diff(found, 2)).max() < 1e-5  # no kink at the join


def test_bounded_binary_transform_approaches_the_complete_one() -> None:
    np.testing.assert_allclose(
        hcons_bounded_ce_binary(BETA, Lambda=30), comp_sum_transform(BETA, tau=1, n=2), rtol=1e-12
    )


@pytest.mark.parametrize("bound", [0.05, 0.3, 2.0])
def test_bounded_binary_gamma_inverts(bound: float) -> None:
    beta = np.linspace(0.01, 1, 60)
    back = hcons_bounded_ce_binary_gamma(hcons_bounded_ce_binary(beta, Lambda=bound), Lambda=bound)
    np.testing.assert_allclose(back, beta, rtol=1e-9)
    assert hcons_bounded_ce_binary_gamma(1e3, Lambda=bound) == 1


def test_arrays_come_back_as_they_went_in() -> None:
    single = torch.linspace(0, 1, 7, dtype=torch.float32).reshape(7, 1)
    found = comp_sum_transform(single, tau=1.5, n=4)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float32
    assert found.shape == (7, 1)
    assert isinstance(comp_sum_transform(0.3, tau=1, n=2), float)
    assert comp_sum_gamma([[0.1, 0.2]], tau=1, n=2).shape == (1, 2)


def test_transform_is_differentiable_in_beta() -> None:
    beta = torch.linspace(0.05, 0.95, 9, dtype=torch.float64, requires_grad=True)
    for tau in (0.0, 0.7, 1.0, 1.5, 2.0):
        assert torch.autograd.gradcheck(lambda b, t=tau: comp_sum_transform(b, tau=t, n=3), beta)
