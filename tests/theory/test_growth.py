"""The square-root rate of smooth margin losses, and the linear one of the hinge loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lossviz.theory import (
    comp_sum_transform,
    comp_sum_transform_exact_inf,
    growth_exponent,
    margin_growth_coefficient,
    margin_transform,
)

SMALL = np.geomspace(1e-3, 1e-2, 6)
SMOOTH = {
    "logistic": lambda u: F.softplus(-u),
    "exponential": lambda u: torch.exp(-u),
    "squared": lambda u: (1 - u) ** 2,
    "squared hinge": lambda u: torch.relu(1 - u) ** 2,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_margin_losses_grow_like_beta_squared_with_the_derived_constant(name: str) -> None:
    phi = SMOOTH[name]
    values = margin_transform(phi, SMALL)
    np.testing.assert_allclose(growth_exponent(SMALL, values), 2, atol=1e-4)
    np.testing.assert_allclose(values / SMALL**2, margin_growth_coefficient(phi), rtol=1e-4)


@pytest.mark.parametrize(("name", "value"), [("logistic", 0.5), ("exponential", 0.5),
                                             ("squared", 1.0)])  # fmt: skip
def test_growth_coefficients_are_known(name: str, value: float) -> None:
    assert margin_growth_coefficient(SMOOTH[name]) == pytest.approx(value, rel=1e-12)


def test_hinge_loss_is_linear() -> None:
    values = margin_transform(lambda u: torch.relu(1 - u), SMALL)
    np.testing.assert_allclose(values, SMALL, rtol=1e-9)
    np.testing.assert_allclose(growth_exponent(SMALL, values), 1, atol=1e-9)


@pytest.mark.parametrize(("name", "tau"), [("logistic", 1), ("exponential", 0)])
def test_margin_transform_is_the_two_class_comp_sum_transform(name: str, tau: float) -> None:
    """exp(-margin) is the sum-exponential loss of two classes, softplus(-margin) the logistic."""
    beta = np.linspace(0.05, 0.95, 19)
    found = margin_transform(SMOOTH[name], beta)
    np.testing.assert_allclose(found, comp_sum_transform(beta, tau=tau, n=2), rtol=1e-9)


@pytest.mark.parametrize("n", [2, 10])
@pytest.mark.parametrize("tau", [0, 0.5, 1, 1.5])
def test_exact_comp_sum_transform_grows_like_beta_squared_below_tau_two(tau: float, n: int) -> None:
    values = comp_sum_transform_exact_inf(SMALL, tau=tau, n=n)
    np.testing.assert_allclose(growth_exponent(SMALL, values), 2, atol=1e-3)
    linear = comp_sum_transform_exact_inf(SMALL, tau=2, n=n)
    np.testing.assert_allclose(growth_exponent(SMALL, linear), 1, atol=1e-12)


def test_a_loss_without_curvature_at_zero_has_no_growth_coefficient() -> None:
    with pytest.raises(ValueError, match=r"positive second derivative at 0, got -?0"):
        margin_growth_coefficient(lambda u: torch.relu(1 - u))
