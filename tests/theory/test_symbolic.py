"""The sympy expressions mean what the numeric functions compute."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from lossviz.theory import (
    comp_sum_conditional_min,
    comp_sum_gamma,
    comp_sum_gamma_tilde,
    comp_sum_growth_coefficient,
    comp_sum_transform,
    symbolic,
)

TAUS = [0, sp.Rational(1, 2), 1, sp.Rational(3, 2), sp.Rational(19, 10), 2, 3]
POINTS = [sp.Rational(1, 100), sp.Rational(1, 2), sp.Rational(9, 10), sp.Integer(1)]


@pytest.mark.parametrize("n", [2, 10])
@pytest.mark.parametrize("tau", TAUS)
def test_symbolic_curves_equal_the_numeric_ones(tau: sp.Expr, n: int) -> None:
    values = {symbolic.TAU: tau, symbolic.N: n}
    curves = [
        (symbolic.comp_sum_transform_form(), symbolic.BETA, comp_sum_transform),
        (symbolic.comp_sum_gamma_tilde_form(), symbolic.T, comp_sum_gamma_tilde),
    ]
    for form, variable, function in curves:
        exact = [float(form.subs({**values, variable: at}).evalf(50)) for at in POINTS]
        found = function([float(at) for at in POINTS], tau=float(tau), n=n)
        np.testing.assert_allclose(found, exact, rtol=1e-13)
    growth = symbolic.comp_sum_growth_coefficient_form().subs(values)
    assert comp_sum_growth_coefficient(float(tau), n=n) == pytest.approx(float(growth), rel=1e-14)


@pytest.mark.parametrize("tau", [0, sp.Rational(3, 2), 2, 3])
def test_elementary_inverse_equals_the_numeric_one(tau: sp.Expr) -> None:
    form = symbolic.comp_sum_gamma_form(tau=tau, n=2)
    for t in (sp.Rational(1, 1000), sp.Rational(1, 10)):
        exact = float(form.subs(symbolic.T, t))
        assert comp_sum_gamma(float(t), tau=float(tau), n=2) == pytest.approx(exact, rel=1e-12)


def test_inverse_that_is_not_elementary_is_refused() -> None:
    with pytest.raises(ValueError, match="elementary inverse, got 1"):
        symbolic.comp_sum_gamma_form(tau=1)


@pytest.mark.parametrize("tau", TAUS)
def test_symbolic_conditional_minimum_equals_the_numeric_one(tau: sp.Expr) -> None:
    p = [sp.Rational(6, 10), sp.Rational(3, 10), sp.Rational(1, 10), sp.Integer(0)]
    exact = float(symbolic.comp_sum_conditional_min_form(p).subs(symbolic.TAU, tau).evalf(50))
    found = comp_sum_conditional_min([float(q) for q in p], tau=float(tau))
    assert found == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("tau", [0, sp.Rational(1, 2), 1, sp.Rational(3, 2), sp.Rational(19, 10)])
def test_two_class_regret_derives_the_transform(tau: sp.Expr) -> None:
    difference = symbolic.two_class_regret_form(tau=tau) - symbolic.comp_sum_transform_form(
        tau=tau, n=2
    )
    for beta in POINTS:
        assert abs(difference.subs(symbolic.BETA, beta).evalf(50)) < 1e-45


def test_conditional_minimum_of_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        symbolic.comp_sum_conditional_min_form([sp.Integer(1)])
