r"""Conditional risk and regret of the comp-sum losses at one point x, in closed form and by search.

At a point with class probabilities p the conditional risk of scores with softmax s is
:math:`C_\tau(p, s) = \sum_i p_i\,(1 - s_i^{\tau-1})/(\tau-1)`. Its infimum over all scores, and
over the scores that predict a given class, have closed forms for every tau; their difference, the
conditional regret, is what predicting that class costs at least. The closed forms of the regret are
our own derivation; `brute_force_conditional_min` checks them without using them.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from ..declaration import box_cox
from ..declaration.arrays import Array, as_tensor, like
from ..losses.logits.compsum import TAU
from .checks import check_conditional, check_predicted, check_range


def comp_sum_conditional_risk(p: Array, logits: Array, *, tau: float) -> Any:
    """Expected comp-sum loss of given scores at a point with class probabilities p.

    Parameters
    ----------
    p : array (..., n), distributions over n >= 2 classes.
    logits : array (..., n) of scores, broadcast against `p`.
    tau : number in [0, inf).

    Returns
    -------
    Risk (...), in nats for tau = 1; inf where the loss exceeds float64. Raises ValueError if `p` is
    not a distribution, the shapes do not fit or tau < 0.
    """
    q, scores = check_conditional("p", p), as_tensor("logits", logits)
    if scores.ndim == 0 or scores.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"logits must have {q.shape[-1]} classes as p has, got shape {tuple(scores.shape)}"
        )
    return like(conditional_risk(q, scores, TAU.check(tau)), p)


def comp_sum_conditional_min(p: Array, *, tau: float) -> Any:
    r"""Least conditional risk over all scores: a generalised entropy of p.

    .. math:: C^*_\tau(p) = \frac{1 - \lVert p\rVert_a}{\tau - 1},\ a = \tfrac1{2-\tau}\ (\tau < 2),
              \qquad C^*_\tau(p) = \frac{1 - \max_i p_i}{\tau - 1}\ (\tau \ge 2);

    tau = 1 is the Shannon entropy in nats. For tau < 2 the minimising softmax is proportional to
    :math:`p^a`.

    Parameters
    ----------
    p : array (..., n), distributions over n >= 2 classes.
    tau : number in [0, inf).

    Returns
    -------
    Array (...). Raises ValueError if `p` is not a distribution or tau < 0.
    """
    return like(conditional_min(check_conditional("p", p), TAU.check(tau)), p)


def comp_sum_conditional_regret(p: Array, predicted: Array, *, tau: float) -> Any:
    r"""Least excess conditional risk over all scores that predict a given class.

    For tau < 2 by pooling: the predicted class k shares the mass of the classes above it until none
    exceeds the pool's mean mu, so the regret is :math:`C^*_\tau(\bar p) - C^*_\tau(p)` with
    :math:`\bar p_i = \min(p_i, \mu)`, :math:`\bar p_k = \mu`: the risk is convex in the softmax s,
    and at its minimum under :math:`s_i \le s_k` the classes that press against k share one value.
    For tau >= 2 the risk is concave in the softmax, so the best one is a corner of that set,
    uniform on k and its m - 1 most probable rivals, for some m. Ties count as predicting k. Our own
    derivation.

    Parameters
    ----------
    p : array (..., n), distributions over n >= 2 classes.
    predicted : integer array broadcastable to (...), the forced prediction k.
    tau : number in [0, inf).

    Returns
    -------
    Array (...), >= 0 and 0 where k is a most probable class; absolute accuracy about 1e-14 times
    1 + C*, the risks that are subtracted (up to n^(1 - tau) for tau < 1).
    Raises TypeError for a `predicted` without integers; ValueError if `p` is not a distribution,
    `predicted` is out of range or tau < 0.
    """
    tau, q = TAU.check(tau), check_conditional("p", p)
    return like(conditional_regret(q, check_predicted(predicted, q), tau), p)


def comp_sum_conditional_min_bounded(p: Array, reach: Array, *, tau: float) -> Any:
    r"""Least conditional risk over scores confined to the box :math:`[-\Lambda, \Lambda]^n`.

    For tau < 2 the optimal scores are :math:`\log p_i/(2-\tau) + c` clipped to the box, with one
    unknown c found by bisection; for tau >= 2 they sit in a corner. Our own derivation. For
    deterministic labels the value is :math:`\Phi^\tau((n-1)e^{-2\Lambda})`.

    Parameters
    ----------
    p : array (..., n), distributions over n >= 2 classes.
    reach : array broadcastable to (...), the half-widths Lambda >= 0; inf for unbounded scores.
    tau : number in [0, inf).

    Returns
    -------
    Array (...). Raises ValueError if `p` is not a distribution, a reach is negative or tau < 0.
    """
    tau, q = TAU.check(tau), check_conditional("p", p)
    half = check_range("reach", reach, 0.0, math.inf, "[0, inf]").to(q.device)
    half = half.expand(q.shape[:-1])
    boxed = conditional_risk(q, bounded_scores(q, half.clamp(max=300.0), tau), tau)
    return like(torch.where(torch.isinf(half), conditional_min(q, tau), boxed), p)


def brute_force_conditional_min(p: Array, predicted: Array, *, tau: float, rounds: int = 80) -> Any:
    """Least conditional risk over scores that predict a class, by search alone.

    Knows the loss and nothing else: a grid over the ratios of the other softmax entries to the
    predicted one, each in [0, 1], which is narrowed around its best point again and again. Exact
    to about 1e-12; meant for checking, and for n <= 5 (the grid has 3^(n - 1) points).

    Parameters
    ----------
    p, predicted, tau : as in `comp_sum_conditional_regret`.
    rounds : integer, how often the grid shrinks (by 0.7), default 80.

    Returns
    -------
    Array (...): the risk itself. The least over all predictions is the unconstrained minimum.
    """
    tau, q = TAU.check(tau), check_conditional("p", p)
    k = check_predicted(predicted, q).unsqueeze(-1)
    others = torch.arange(q.shape[-1] - 1, device=q.device)
    others = others + (others >= k)
    ordered = torch.cat([q.gather(-1, k), q.gather(-1, others)], -1).unsqueeze(-2)
    steps = torch.tensor(
        list(itertools.product((-1, 0, 1), repeat=q.shape[-1] - 1)), dtype=q.dtype
    ).to(q.device)
    centre, width = torch.full_like(others, 0.5, dtype=q.dtype), 0.5
    best = torch.full(q.shape[:-1], math.inf, dtype=q.dtype, device=q.device)
    for _ in range(rounds):
        ratio = (centre.unsqueeze(-2) + width * steps).clamp(0, 1)
        softmax = torch.cat([torch.ones_like(ratio[..., :1]), ratio], -1)
        nll = -(softmax / softmax.sum(-1, keepdim=True)).log()
        losses = torch.where(ordered > 0, ordered * box_cox(nll, tau - 1), 0.0).sum(-1)
        value, at = losses.min(-1)
        centre = ratio.gather(-2, at[..., None, None].expand(*at.shape, 1, ratio.shape[-1]))
        centre, best, width = centre.squeeze(-2), torch.minimum(best, value), 0.7 * width
    return like(best, p)


def bounded_scores_counterexample(
    Lambda: float = 0.3, epsilon: float = 1e-6
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Three classes with scores in a box: no surrogate regret, yet a positive zero-one regret.

    With :math:`p = (0.5, 0.4, 0.1)` and Lambda = 0.3 the cross-entropy optimum on the box is
    :math:`h = (\Lambda, \Lambda, -\Lambda)`, a tie of classes 0 and 1. Lowering the first score by
    `epsilon` predicts class 1: zero-one regret 0.1 for a surrogate regret of order `epsilon`. So
    the two-piece bounded transform cannot hold beyond two classes on this hypothesis set. Our own
    example.

    Returns
    -------
    p (3,) and the scores (3,), float64. Raises ValueError for an epsilon that is not positive, or a
    Lambda so large that the optimum is not a tie (above log(4)/2).
    """
    p = torch.tensor([0.5, 0.4, 0.1], dtype=torch.float64)
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, got {epsilon!r}")
    scores = bounded_scores(p, torch.tensor(float(Lambda), dtype=torch.float64), 1.0)
    if not (Lambda > 0 and scores[0] == scores[1]):
        raise ValueError(f"Lambda must lie in (0, log(4)/2] for a tie, got {Lambda!r}")
    return p, scores - epsilon * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)


# --- on checked tensors ---------------------------------------------------------------------------


def conditional_risk(p: torch.Tensor, scores: torch.Tensor, tau: float) -> torch.Tensor:
    """`comp_sum_conditional_risk` of checked arguments; differentiable in the scores."""
    losses = box_cox(-scores.log_softmax(-1), tau - 1)
    return torch.where(p > 0, p * losses, 0.0).sum(-1)


def conditional_min(p: torch.Tensor, tau: float) -> torch.Tensor:
    """`comp_sum_conditional_min` of checked arguments."""
    if tau >= 2:
        return (1 - p.amax(-1)) / (tau - 1)
    return box_cox(-_scaled_log_norm(p, tau), tau - 1)


def conditional_regret(p: torch.Tensor, predicted: torch.Tensor, tau: float) -> torch.Tensor:
    """`comp_sum_conditional_regret` of checked arguments."""
    k = predicted.unsqueeze(-1)
    ranked = p.scatter(-1, k, math.inf).sort(-1, descending=True).values
    ranked[..., :1] = p.gather(-1, k)
    size = torch.arange(1, p.shape[-1] + 1, dtype=p.dtype, device=p.device)
    if tau >= 2:
        captured = (ranked.cumsum(-1) / size ** (tau - 1)).amax(-1)
        return ((p.amax(-1) - captured) / (tau - 1)).clamp(min=0.0)
    # The running mean rises while classes above it join and falls afterwards.
    mean = (ranked.cumsum(-1) / size).amax(-1, keepdim=True)
    pooled = torch.minimum(p, mean).scatter(-1, k, mean)
    return (conditional_min(pooled, tau) - conditional_min(p, tau)).clamp(min=0.0)


def bounded_scores(p: torch.Tensor, reach: torch.Tensor, tau: float) -> torch.Tensor:
    """Scores in [-reach, reach]^n of least conditional risk; p (..., n), reach (...) finite."""
    reach = reach.unsqueeze(-1)
    if tau >= 2:
        order = p.argsort(-1, descending=True)
        rank = torch.arange(p.shape[-1], device=p.device)
        corners = reach.unsqueeze(-1) * torch.where(rank > rank[:, None], -1.0, 1.0).to(p)
        best = conditional_risk(p.gather(-1, order).unsqueeze(-2), corners, tau).argmin(-1)
        lifted = rank <= best.unsqueeze(-1)
        return torch.empty_like(p).scatter(-1, order, torch.where(lifted, reach, -reach))
    a = 1 / (2 - tau)
    free = a * (p / p.amax(-1, keepdim=True)).log()
    low = -reach
    high = reach - torch.where(p > 0, free, math.inf).amin(-1, keepdim=True)
    for _ in range(100):
        shift = (low + high) / 2
        scores = (free + shift).clamp(-reach, reach)
        total = scores.logsumexp(-1, keepdim=True)
        log_s = scores - total
        # The slope of the risk in the shift has the sign of log K - log kappa, where K is the mean
        # of s^(tau - 1) under p and kappa = p s^(tau - 2) on every score inside the box.
        mean_power = (p.log() + (tau - 1) * log_s).logsumexp(-1, keepdim=True)
        kappa = p.amax(-1, keepdim=True).log() + (total - shift) / a
        rising = mean_power > kappa
        low, high = torch.where(rising, low, shift), torch.where(rising, shift, high)
    return (free + high).clamp(-reach, reach)


def _scaled_log_norm(p: torch.Tensor, tau: float) -> torch.Tensor:
    """log of the a-norm of p, a = 1/(2 - tau), divided by tau - 1; minus the entropy at tau = 1."""
    log_p, a = p.log(), 1 / (2 - tau)
    if tau == 1:
        return torch.special.xlogy(p, p).sum(-1)
    if abs(tau - 1) > 0.25:
        return (a * log_p).logsumexp(-1) / (a * (tau - 1))
    # The a-norm is near one here: sum what it adds to the plain sum of p.
    added = torch.where(p > 0, p * torch.expm1((tau - 1) * a * log_p), 0.0).sum(-1)
    return torch.log1p(added) / (a * (tau - 1))
