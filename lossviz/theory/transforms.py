r"""The consistency transform of the comp-sum losses, its inverse, and their behaviour near zero.

The theorem (Mao, Mohri and Zhong, 2023): for a symmetric and complete hypothesis set, every
hypothesis h and every distribution,

.. math:: R_{0-1}(h) - R^*_{0-1} + M_{0-1} \le \Gamma_\tau(R_\tau(h) - R^*_\tau + M_\tau),
          \qquad \Gamma_\tau = T_\tau^{-1}.

All functions take a float, a list, a numpy array or a torch tensor, work entry by entry in float64,
and return numpy for numpy and a tensor (same dtype) for a tensor.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from ..declaration import box_cox
from ..declaration.arrays import Array, like
from ..losses.logits.compsum import TAU
from .checks import check_beta, check_classes, check_range


def comp_sum_transform(beta: Array, *, tau: float, n: int) -> Any:
    r"""The theorem's transform: the least surrogate regret it grants to a zero-one regret beta.

    With :math:`P_a(\beta) = \big(\tfrac12(1+\beta)^a + \tfrac12(1-\beta)^a\big)^{1/a}`,
    :math:`a = 1/(2-\tau)`,

    .. math:: T_\tau(\beta) = \kappa^{1-\tau}\,\frac{P_a(\beta) - 1}{\tau - 1}\ (\tau < 2), \qquad
              T_\tau(\beta) = \frac{\beta}{(\tau-1)\,n^{\tau-1}}\ (\tau \ge 2),

    where :math:`\kappa = 2` for tau < 1 and n for tau > 1; tau = 1 is the limit.

    Parameters
    ----------
    beta : array in [0, 1], any shape.
    tau : number in [0, inf), the comp-sum parameter.
    n : integer >= 2, number of classes; matters only for tau > 1.

    Returns
    -------
    The transform, in nats for tau = 1, same shape. Relative accuracy about 1e-13 also for beta near
    0 and tau near 1 or 2. Differentiable in a tensor `beta` below 1.

    Raises
    ------
    TypeError for arguments of a wrong kind; ValueError for beta outside [0, 1], tau < 0 or n < 2.
    """
    tau, n, b = TAU.check(tau), check_classes(n), check_beta(beta)
    return like(transform(b, tau, n), beta)


def comp_sum_gamma(t: Array, *, tau: float, n: int) -> Any:
    r"""The bound :math:`\Gamma_\tau(t) = T_\tau^{-1}(t)`, capped at 1: largest zero-one regret.

    Parameters
    ----------
    t : array of surrogate regrets (plus minimisability gap), >= 0; inf is allowed.
    tau, n : as in `comp_sum_transform`.

    Returns
    -------
    The bound in [0, 1], same shape. By bisection for tau < 2; no gradient flows through it.

    Raises
    ------
    TypeError for arguments of a wrong kind; ValueError for t < 0, tau < 0 or n < 2.
    """
    tau, n = TAU.check(tau), check_classes(n)
    surrogate = check_range("t", t, 0.0, math.inf, "[0, inf]").detach()
    return like(inverse(surrogate, tau, n), t)


def comp_sum_gamma_tilde(t: Array, *, tau: float, n: int) -> Any:
    r"""The closed-form majorant of the bound: at least :math:`\Gamma_\tau`, and not capped.

    .. math:: \tilde\Gamma_\tau(t) = \sqrt{2^\tau(2-\tau)\,t}\ (\tau < 1), \quad
              \sqrt{2 n^{\tau-1} t}\ (1 \le \tau < 2), \quad (\tau-1)\,n^{\tau-1}\,t\ (\tau \ge 2).

    Arguments, returned kind and errors are those of `comp_sum_gamma`.
    """
    tau, n = TAU.check(tau), check_classes(n)
    return like(majorant(check_range("t", t, 0.0, math.inf, "[0, inf]"), tau, n), t)


def comp_sum_growth_coefficient(tau: Array, *, n: int) -> Any:
    r"""The limit of :math:`T_\tau(\beta)/\beta^2` at beta = 0; inf for tau >= 2, where T is linear.

    .. math:: \frac{\kappa^{1-\tau}}{2\,(2-\tau)},
              \qquad \kappa = 2\ (\tau < 1), \quad n\ (\tau > 1).

    Our own expansion of the theorem's transform. `tau` may be an array, >= 0. Raises ValueError for
    tau < 0 or n < 2.
    """
    n, power = check_classes(n), check_range("tau", tau, 0.0, math.inf, "[0, inf)")
    base = torch.where(power < 1, power.new_tensor(2.0), power.new_tensor(float(n)))
    below = base ** (1 - power) / (2 * (2 - power).clamp(min=torch.finfo(power.dtype).tiny))
    return like(torch.where(power < 2, below, math.inf), tau)


def hcons_bounded_ce_binary(t: Array, *, Lambda: float, n: int = 2) -> Any:
    r"""Cross-entropy transform for two classes whose scores are confined to [-Lambda, Lambda].

    .. math:: T(t) = T_1(t)\ (t \le \tanh\Lambda), \qquad \Lambda t - \log\cosh\Lambda\ \text{else}:

    the curve of complete sets, continued by its tangent. Exact for n = 2.

    Parameters
    ----------
    t : array of zero-one regrets in [0, 1].
    Lambda : number > 0, the bound on the scores.
    n : must be 2. For three classes the corresponding claim fails on this hypothesis set; see
        `lossviz.theory.regret.bounded_scores_counterexample`.

    Raises
    ------
    ValueError for t outside [0, 1], Lambda <= 0 or n other than 2.
    """
    bound = check_score_bound(Lambda, n)
    beta = check_range("t", t, 0.0, 1.0, "[0, 1]")
    line = bound * beta - _log_cosh(beta.new_tensor(bound))
    return like(torch.where(beta <= math.tanh(bound), transform(beta, 1.0, 2), line), t)


def hcons_bounded_ce_binary_gamma(t: Array, *, Lambda: float, n: int = 2) -> Any:
    """The inverse of `hcons_bounded_ce_binary`, capped at 1: the bound for bounded binary scores.

    `t` is a surrogate regret in nats, >= 0. Errors as there.
    """
    bound = check_score_bound(Lambda, n)
    surrogate = check_range("t", t, 0.0, math.inf, "[0, inf]").detach()
    line = (surrogate + _log_cosh(surrogate.new_tensor(bound))) / bound
    curve = inverse(surrogate, 1.0, 2)
    return like(torch.where(curve <= math.tanh(bound), curve, line.clamp(max=1.0)), t)


def check_score_bound(Lambda: float, n: int) -> float:
    """A positive bound on two-class scores."""
    if check_classes(n) != 2:
        raise ValueError(f"n must be 2: the bounded transform fails for more classes, got {n!r}")
    if not Lambda > 0:
        raise ValueError(f"Lambda must be positive, got {Lambda!r}")
    return float(Lambda)


# --- on checked tensors ---------------------------------------------------------------------------


def transform(beta: torch.Tensor, tau: float, n: int) -> torch.Tensor:
    """`comp_sum_transform` of checked arguments."""
    if tau >= 2:
        return beta * float(n) ** (1 - tau) / (tau - 1)
    base = 2.0 if tau < 1 else float(n)
    return -(base ** (1 - tau)) * box_cox(-_scaled_log_mean(beta, tau), tau - 1)


def inverse(t: torch.Tensor, tau: float, n: int) -> torch.Tensor:
    """`comp_sum_gamma` of checked arguments."""
    high = majorant(t, tau, n).clamp(max=1.0)
    if tau >= 2:
        return high
    low = torch.zeros_like(high)
    for _ in range(100):  # halves the bracket down to neighbouring floats
        middle = (low + high) / 2
        above = transform(middle, tau, n) > t
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return torch.where(t >= transform(torch.ones_like(t), tau, n), 1.0, high)


def majorant(t: torch.Tensor, tau: float, n: int) -> torch.Tensor:
    """`comp_sum_gamma_tilde` of checked arguments."""
    if tau < 1:
        return (2**tau * (2 - tau) * t).sqrt()
    if tau < 2:
        return float(n) ** ((tau - 1) / 2) * math.sqrt(2) * t.sqrt()  # n^(tau - 1) may overflow
    log_slope = (tau - 1) * math.log(n)
    if log_slope < 700:
        return (tau - 1) * float(n) ** (tau - 1) * t
    steep = (t.log() + math.log(tau - 1) + log_slope).exp()  # the slope alone may overflow
    return torch.where(t == 0, 0.0, steep)


def log_power_mean(beta: torch.Tensor, order: float) -> torch.Tensor:
    r"""log of the power mean of 1 + beta and 1 - beta, without cancellation near beta = 0.

    Both are :math:`\sqrt{1-\beta^2}\,e^{\pm\theta}` with beta = tanh(theta), so the mean is a
    hyperbolic cosine.
    """
    # Beyond 40 the cosine is an exponential to the last bit, and beta = 1 stays finite.
    angle = torch.atanh(beta).clamp(max=40.0)
    return _log_cosh(order * angle) / order - _log_cosh(angle)


def _scaled_log_mean(beta: torch.Tensor, tau: float) -> torch.Tensor:
    """log_power_mean of order 1/(2 - tau), divided by tau - 1, through its limit at tau = 1."""
    order = 1 / (2 - tau)
    if abs(tau - 1) > 0.01:
        return log_power_mean(beta, order) / (tau - 1)
    # Near tau = 1 the quotient is 0/0: integrate the derivative in the order from 1 (three Gauss
    # nodes leave an error below 1e-15 here).
    angle = torch.atanh(beta).clamp(max=40.0)
    nodes = ((0.5 - math.sqrt(0.15), 5 / 18), (0.5, 4 / 9), (0.5 + math.sqrt(0.15), 5 / 18))
    slope = torch.zeros_like(beta)
    for node, weight in nodes:
        at = 1 + (order - 1) * node
        x = at * angle
        slope = slope + weight * (x * torch.tanh(x) - _log_cosh(x)) / at**2
    return order * slope


def _log_cosh(x: torch.Tensor) -> torch.Tensor:
    """log cosh of x >= 0, to full relative accuracy at both ends."""
    small = torch.log1p(2 * torch.sinh(x.clamp(max=1.0) / 2) ** 2)
    return torch.where(x < 1, small, x + F.softplus(-2 * x) - math.log(2))
