r"""Minimisability gaps: what a hypothesis set loses because one h must serve all inputs at once.

.. math:: M_\ell(H) = \inf_{h \in H} R_\ell(h) - E_x\big[\inf_{h \in H} C_\ell(h, x)\big] \ge 0,

zero for the set of all functions, and at most the approximation error.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ..declaration import box_cox
from ..declaration.arrays import Array, like
from ..losses.logits.compsum import TAU
from .checks import check_conditional, check_range
from .hypotheses import DiscreteDistribution, HypothesisSet
from .regret import comp_sum_conditional_min_bounded, conditional_min


def minimizability_gap(
    distribution: DiscreteDistribution, hypotheses: HypothesisSet, *, tau: float
) -> float:
    """Minimisability gap of the comp-sum loss for a discrete distribution and a hypothesis set.

    Exact for `Complete`, `Constant` and `Finite` sets, and up to the optimiser for `Linear` sets
    with tau <= 1; otherwise an upper estimate, as the best hypothesis is searched.

    Parameters
    ----------
    distribution : DiscreteDistribution.
    hypotheses : HypothesisSet.
    tau : number in [0, inf).

    Returns
    -------
    A number >= 0, in nats for tau = 1. Raises ValueError for tau < 0.
    """
    tau = TAU.check(tau)
    best = hypotheses.best_comp_sum_risk(distribution, tau=tau)
    return max(best - hypotheses.pointwise_comp_sum_risk(distribution, tau=tau), 0.0)


def zero_one_minimizability_gap(
    distribution: DiscreteDistribution, hypotheses: HypothesisSet
) -> float:
    """Minimisability gap of the zero-one loss; an upper estimate for `Linear`, `OneHiddenLayer`."""
    best = hypotheses.best_zero_one_risk(distribution)
    return max(best - hypotheses.pointwise_zero_one_risk(distribution), 0.0)


def minimizability_gap_constant_h(pi: Array, *, tau: float, Lambda: float = math.inf) -> Any:
    r"""Closed form for deterministic labels and scores that do not depend on the input.

    The best constant scores pay :math:`C^*_\tau(\pi)`, the best scores at each input nothing, so
    the gap of unbounded scores is :math:`C^*_\tau(\pi)`, for tau = 1 the entropy of the labels.
    With scores in [-Lambda, Lambda] the best pay :math:`\Phi^\tau((n-1)e^{-2\Lambda})` at each
    input, which is subtracted.

    Parameters
    ----------
    pi : array (..., n), label probabilities.
    tau : number in [0, inf).
    Lambda : number >= 0, default inf.

    Returns
    -------
    Array (...). Raises ValueError if `pi` is not a distribution, tau < 0 or Lambda < 0.
    """
    tau, prior = TAU.check(tau), check_conditional("pi", pi)
    if Lambda == math.inf:
        return like(conditional_min(prior, tau), pi)
    best = comp_sum_conditional_min_bounded(prior, Lambda, tau=tau)
    certain = torch.eye(prior.shape[-1], dtype=prior.dtype, device=prior.device)[0]
    return like(best - comp_sum_conditional_min_bounded(certain, Lambda, tau=tau), pi)


def minimizability_gap_constant_margin(best: Array, pointwise: Array, *, tau: float) -> Any:
    r"""Closed form for deterministic labels when the best hypotheses have one margin everywhere.

    .. math:: M_\tau = \Phi^\tau(R_0) - \Phi^\tau(C_0) = \int_{C_0}^{R_0} (1 + u)^{-\tau}\,du,

    with :math:`R_0` the best risk and :math:`C_0` the pointwise risk of the sum-exponential loss
    (tau = 0). It does not increase with tau. The integral form is our own derivation.

    Parameters
    ----------
    best, pointwise : arrays with 0 <= pointwise <= best.
    tau : number in [0, inf).

    Raises
    ------
    ValueError for negative risks, a pointwise risk above the best one, or tau < 0.
    """
    tau = TAU.check(tau)
    upper = check_range("best", best, 0.0, math.inf, "[0, inf]")
    lower = check_range("pointwise", pointwise, 0.0, math.inf, "[0, inf]")
    if (lower > upper).any():
        raise ValueError(f"pointwise must not exceed best, got {pointwise!r} and {best!r}")
    phi = [box_cox(torch.log1p(u), tau - 1) for u in (upper, lower)]
    return like(phi[0] - phi[1], best)
