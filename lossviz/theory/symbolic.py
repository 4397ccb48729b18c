"""The consistency transform as sympy expressions, for live figures and derivations.

Parameters may be numbers or symbols; by default they are the symbols `BETA`, `T`, `TAU`, `N`.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ..losses.logits.compsum import TAU as DECLARED_TAU

BETA = sp.Symbol("beta", real=True)
T = sp.Symbol("t", nonnegative=True)
TAU = DECLARED_TAU.sympy
N = sp.Symbol("n", integer=True, positive=True)


def comp_sum_transform_form(beta: sp.Expr = BETA, tau: sp.Expr = TAU, n: sp.Expr = N) -> sp.Expr:
    """The theorem's transform of a zero-one regret `beta` in [0, 1], in all regimes of tau."""
    beta, tau, n = map(sp.sympify, (beta, tau, n))
    order = 1 / (2 - tau)
    mean = (((1 + beta) ** order + (1 - beta) ** order) / 2) ** (2 - tau)
    entropy = ((1 + beta) * sp.log(1 + beta) + (1 - beta) * _log_or_limit(1 - beta)) / 2
    return sp.Piecewise(
        (2 ** (1 - tau) * (1 - mean) / (1 - tau), tau < 1),
        (entropy, sp.Eq(tau, 1)),
        ((mean - 1) / ((tau - 1) * n ** (tau - 1)), tau < 2),
        (beta / ((tau - 1) * n ** (tau - 1)), True),
    )


def comp_sum_gamma_form(t: sp.Expr = T, *, tau: sp.Expr, n: sp.Expr = N) -> sp.Expr:
    """The inverse transform where it is elementary: tau = 0, tau = 3/2 and tau >= 2; not capped.

    Raises ValueError for any other tau: use `lossviz.theory.comp_sum_gamma`.
    """
    t, tau, n = map(sp.sympify, (t, tau, n))
    if tau == 0:
        return sp.sqrt(t * (2 - t))
    if tau == sp.Rational(3, 2):
        return sp.sqrt((1 + t * sp.sqrt(n) / 2) ** 2 - 1)
    if tau.is_number and tau >= 2:
        return (tau - 1) * n ** (tau - 1) * t
    raise ValueError(f"tau must be 0, 3/2 or at least 2 for an elementary inverse, got {tau}")


def comp_sum_gamma_tilde_form(t: sp.Expr = T, tau: sp.Expr = TAU, n: sp.Expr = N) -> sp.Expr:
    """The closed-form majorant of the inverse transform, in all regimes of tau."""
    t, tau, n = map(sp.sympify, (t, tau, n))
    return sp.Piecewise(
        (sp.sqrt(2**tau * (2 - tau) * t), tau < 1),
        (sp.sqrt(2 * n ** (tau - 1) * t), tau < 2),
        ((tau - 1) * n ** (tau - 1) * t, True),
    )


def comp_sum_growth_coefficient_form(tau: sp.Expr = TAU, n: sp.Expr = N) -> sp.Expr:
    """The limit of transform / beta^2 at beta = 0; infinite for tau >= 2. Our own expansion."""
    tau, n = map(sp.sympify, (tau, n))
    return sp.Piecewise(
        (2 ** (1 - tau) / (2 * (2 - tau)), tau <= 1),
        (n ** (1 - tau) / (2 * (2 - tau)), tau < 2),
        (sp.oo, True),
    )


def comp_sum_conditional_min_form(p: Sequence[sp.Expr], tau: sp.Expr = TAU) -> sp.Expr:
    """Least conditional comp-sum risk at class probabilities `p`, in all regimes of tau.

    Raises ValueError for fewer than two classes.
    """
    tau = sp.sympify(tau)
    probabilities = [sp.sympify(q) for q in p]
    if len(probabilities) < 2:
        raise ValueError(f"p must have at least 2 classes, got {len(probabilities)}")
    order = 1 / (2 - tau)
    norm = sp.Add(*[q**order for q in probabilities]) ** (2 - tau)
    return sp.Piecewise(
        (-sp.Add(*[q * _log_or_limit(q) for q in probabilities]), sp.Eq(tau, 1)),
        ((1 - norm) / (tau - 1), tau < 2),
        ((1 - sp.Max(*probabilities)) / (tau - 1), True),
    )


def two_class_regret_form(beta: sp.Expr = BETA, tau: sp.Expr = TAU) -> sp.Expr:
    """Regret of predicting the less likely of two classes whose probabilities differ by `beta`.

    The best such scores tie, which is the minimum at (1/2, 1/2) for tau < 2. This is the theorem's
    transform for tau <= 1, and for n = 2 with tau < 2. Meant for tau < 2.
    """
    beta, half = sp.sympify(beta), sp.Rational(1, 2)
    tied = comp_sum_conditional_min_form([half, half], tau)
    return tied - comp_sum_conditional_min_form([(1 + beta) / 2, (1 - beta) / 2], tau)


def _log_or_limit(x: sp.Expr) -> sp.Expr:
    """log x where it multiplies x, so that x = 0 gives 0 and not NaN."""
    return sp.Piecewise((0, sp.Eq(x, 0)), (sp.log(x), True))
