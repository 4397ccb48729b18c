r"""Linear regression from bags of examples: bias and variance when sizes grow together.

With :math:`n` examples in random bags of :math:`k`, :math:`d` Gaussian features,
:math:`\psi = n / d` and noise of variance :math:`\sigma^2`, the minimiser of the bag loss with
spread cost :math:`\rho` has a limiting risk in closed form. This is our own derivation, checked by
simulation, of what Javanmard et al. (2024) treat; it is exact as n and d grow with fixed ratio.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..declaration.arrays import Array, like
from ..declaration.numbers import check_count
from .checks import check_range


class AggregateRisk(NamedTuple):
    """Squared bias and variance, in units of the squared response; their sum is the excess risk."""

    bias2: Any
    variance: Any


def aggregate_asymptotic_risk(
    rho: Array, *, psi: float, k: int, sigma2: float, theta_norm2: float = 1.0
) -> AggregateRisk:
    r"""Squared bias and variance of linear regression by the interpolating bag loss.

    Parameters
    ----------
    rho : array >= 0, what spread within a bag costs: 0 is the bag loss, 1 that of instances.
    psi : examples per feature, > 1; above k where rho is 0.
    k : size of the bags, >= 1.
    sigma2 : variance of the noise of a response, >= 0.
    theta_norm2 : squared length of the true weights, >= 0, default 1.

    Returns
    -------
    `AggregateRisk` of arrays like `rho`. With :math:`\alpha = 1 - 1/k` the resolvent :math:`s` is
    the positive root of

    .. math:: \psi \Big( \frac{(1 - \alpha) s}{1 + s} + \frac{\alpha \rho s}{1 + \rho s} \Big) = 1.

    Raises ValueError for numbers out of range.
    """
    r = check_range("rho", rho, 0.0, float("inf"), "[0, inf]")
    size = check_count("k", k)
    for name, value in (("sigma2", sigma2), ("theta_norm2", theta_norm2)):
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")
    if not psi > 1:
        raise ValueError(f"psi must be above 1, more examples than features, got {psi!r}")
    if psi <= size and bool((r == 0).any()):
        raise ValueError(f"psi must be above k = {size} where rho is 0, got {psi!r}")
    alpha = 1 - 1 / size
    linear = 1 - alpha + alpha * r - (1 + r) / psi
    root = (linear.square() + 4 * r * (1 - 1 / psi) / psi).sqrt()
    # the positive root, without a difference where the linear term is negative
    rising = 2 / psi / (linear + root)
    falling = (root - linear) / (2 * r * (1 - 1 / psi))
    s = torch.where(linear > 0, rising, falling)
    c = alpha * r * psi * s / (1 + r * s)
    a, b = (1 - alpha) / (1 + s).square(), alpha * (r / (1 + r * s)).square()
    q = psi * s.square()
    rest = 1 - q * (a + b)
    bias2 = theta_norm2 * (c.square() + q * (a * c.square() + b * (1 - c).square()) / rest)
    return AggregateRisk(like(bias2, rho), like(q * a * sigma2 / rest, rho))
