"""The exact transform beside the theorem's: never below, equal where tight, attained everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lossviz.theory import (
    brute_force_conditional_min,
    comp_sum_conditional_min,
    comp_sum_conditional_regret,
    comp_sum_extremal_distribution,
    comp_sum_transform,
    comp_sum_transform_exact_inf,
)

from .distributions import BETAS, TAUS, search_infimum, with_lead

MORE_TAUS = (*TAUS, 1.2, 1.6, 1.75, 1.99, 2.5)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 100])
@pytest.mark.parametrize("tau", MORE_TAUS)
def test_exact_transform_is_never_below_the_theorem(tau: float, n: int) -> None:
    exact = comp_sum_transform_exact_inf(BETAS, tau=tau, n=n)
    theorem = comp_sum_transform(BETAS, tau=tau, n=n)
    assert (exact >= theorem * (1 - 1e-12)).all()
    tight = torch.full_like(BETAS, tau <= 1 or (n == 2 and tau < 2), dtype=torch.bool)
    tight |= torch.tensor(tau == 2) & (1 / (n - 1) >= BETAS)
    torch.testing.assert_close(exact[tight], theorem[tight], rtol=1e-9, atol=0)
    assert (exact[~tight] > 1.0001 * theorem[~tight]).all()


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 100])
@pytest.mark.parametrize("tau", MORE_TAUS)
def test_exact_transform_is_attained_by_the_distribution_it_names(tau: float, n: int) -> None:
    p = comp_sum_extremal_distribution(BETAS, tau=tau, n=n)
    assert (p >= 0).all()
    torch.testing.assert_close(p.sum(-1), torch.ones_like(BETAS), rtol=0, atol=1e-14)
    torch.testing.assert_close(p.amax(-1) - p[:, 1], BETAS, rtol=0, atol=1e-15)
    regret = comp_sum_conditional_regret(p, 1, tau=tau)
    exact = comp_sum_transform_exact_inf(BETAS, tau=tau, n=n)
    torch.testing.assert_close(regret, exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("tau", [*TAUS, 1.2, 1.6, 1.75, 2.5])
def test_exact_transform_is_the_infimum_that_a_search_finds(tau: float, n: int) -> None:
    beta = BETAS[::3] if n == 5 else BETAS
    found = search_infimum(lambda p: comp_sum_conditional_regret(p, 1, tau=tau), beta, n)
    exact = comp_sum_transform_exact_inf(beta, tau=tau, n=n)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize("tau", MORE_TAUS)
def test_no_random_distribution_falls_below_the_exact_transform(tau: float, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    unit = torch.rand(300, len(BETAS), n - 2, generator=generator).double()
    ends = torch.rand(300, 1, 1, generator=generator)
    unit = torch.where(ends < 0.5, (4 * unit - 1.5).clamp(0, 1), unit)
    regret = comp_sum_conditional_regret(with_lead(BETAS, n, unit), 1, tau=tau).amin(0)
    exact = comp_sum_transform_exact_inf(BETAS, tau=tau, n=n)
    assert (regret >= exact * (1 - 1e-9)).all()


@pytest.mark.parametrize("n", [3, 10, 100])
@pytest.mark.parametrize("tau", [1.2, 1.5])
def test_theorem_is_loose_by_a_power_of_half_the_classes(tau: float, n: int) -> None:
    ratio = comp_sum_transform_exact_inf(BETAS, tau=tau, n=n) / comp_sum_transform(
        BETAS, tau=tau, n=n
    )
    np.testing.assert_allclose(ratio, (n / 2) ** (tau - 1), rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_mean_absolute_error_has_its_closed_form(n: int) -> None:
    for beta in BETAS.tolist():
        k = min(n, int(1 + 1 / beta + 1e-12))
        value = min(beta / k, beta - 1 / (k + 1)) if k + 1 <= n else beta / k
        found = comp_sum_transform_exact_inf(beta, tau=2, n=n)
        assert found == pytest.approx(value, rel=1e-12)


def test_ten_classes_near_tau_two_by_brute_force() -> None:
    """The value at tau = 1.9, beta = 0.1 does not lean on the pooling rule either."""
    p = comp_sum_extremal_distribution(0.1, tau=1.9, n=10)
    forced = brute_force_conditional_min(p, 1, tau=1.9)
    exact = comp_sum_transform_exact_inf(0.1, tau=1.9, n=10)
    assert forced - comp_sum_conditional_min(p, tau=1.9) == pytest.approx(exact, rel=1e-9)
    assert exact / comp_sum_transform(0.1, tau=1.9, n=10) == pytest.approx(2.14375, abs=1e-5)


def test_exact_transform_keeps_its_digits_for_tiny_beta() -> None:
    for tau in (0.5, 1.0, 1.7, 1.95, 2.0, 3.0):
        power = 2 if tau < 2 else 1
        small, smaller = comp_sum_transform_exact_inf([1e-6, 1e-9], tau=tau, n=7)
        assert small / smaller == pytest.approx(1e3**power, rel=1e-9)


def test_exact_transform_is_zero_at_zero() -> None:
    for tau in MORE_TAUS:
        for n in (2, 3, 10):
            assert comp_sum_transform_exact_inf(0.0, tau=tau, n=n) == 0


@pytest.mark.parametrize(("tau", "n"), [(1.5, 3), (1.5, 100), (1.66, 10), (1.99, 2), (2.0, 2)])
def test_exact_transform_is_convex_up_to_here(tau: float, n: int) -> None:
    curve = comp_sum_transform_exact_inf(np.linspace(0, 1, 401), tau=tau, n=n)
    assert np.diff(curve, 2).min() > -1e-12


@pytest.mark.parametrize(("tau", "n"), [(1.67, 3), (1.7, 10), (2.0, 3), (2.4, 4), (2.4, 2)])
def test_exact_transform_is_not_convex_from_here(tau: float, n: int) -> None:
    curve = comp_sum_transform_exact_inf(np.linspace(0, 1, 401), tau=tau, n=n)
    assert np.diff(curve, 2).min() < -1e-6
