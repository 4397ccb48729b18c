r"""How fast the zero-one regret can shrink with the surrogate's: the square-root rate, in numbers.

For a convex margin loss phi of a binary score, falling at 0, the transform is

.. math:: T(\beta) = \phi(0) - \inf_\alpha \Big[\tfrac{1+\beta}2 \phi(\alpha)
          + \tfrac{1-\beta}2 \phi(-\alpha)\Big],

and a smooth phi with :math:`\phi''(0) > 0` has :math:`T(\beta) = \Theta(\beta^2)`, hence a bound of
square-root type (Mao, Mohri and Zhong, 2024). Curvature at the tie makes it so, not smoothness: the
hinge loss has none at 0, nor has the hinge with its corner rounded off, and both are linear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..declaration.arrays import Array, like
from .checks import check_beta, check_range

MarginFunction = Callable[[torch.Tensor], torch.Tensor]


def margin_transform(phi: MarginFunction, beta: Array, *, largest: float = 50.0) -> Any:
    """The transform of a convex margin loss, by search over the score.

    Parameters
    ----------
    phi : function of a float64 tensor of margins, entry by entry; convex.
    beta : array in [0, 1], any shape.
    largest : number > 0, scores are searched in [-largest, largest], default 50.

    Returns
    -------
    Array like `beta`, absolute accuracy about 1e-15 times phi(0). Raises ValueError for beta
    outside [0, 1] or largest <= 0.
    """
    b = check_beta(beta)
    if not largest > 0:
        raise ValueError(f"largest must be positive, got {largest!r}")

    def risk(score: torch.Tensor) -> torch.Tensor:
        return (1 + b) / 2 * phi(score) + (1 - b) / 2 * phi(-score)

    low, high = torch.full_like(b, -largest), torch.full_like(b, largest)
    for _ in range(150):  # a convex function: drop the outer third that lies higher
        left, right = low + (high - low) / 3, high - (high - low) / 3
        falling = risk(left) > risk(right)
        low, high = torch.where(falling, left, low), torch.where(falling, high, right)
    return like((phi(torch.zeros_like(b)) - risk((low + high) / 2)).clamp(min=0.0), beta)


def margin_growth_coefficient(phi: MarginFunction) -> float:
    r"""The limit of :math:`T(\beta)/\beta^2` for a smooth margin loss, by differentiation.

    .. math:: \frac{\phi'(0)^2}{2\,\phi''(0)}

    (our own expansion); 1/2 for the logistic and the exponential loss. Raises ValueError where the
    second derivative at 0 is not positive, as for the hinge loss.
    """
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(phi(zero), zero, create_graph=True)
    curvature = torch.zeros_like(slope)
    if slope.requires_grad:
        found = torch.autograd.grad(slope, zero, allow_unused=True)[0]
        curvature = curvature if found is None else found
    if not curvature > 0:
        raise ValueError(f"phi must have a positive second derivative at 0, got {curvature:g}")
    return (slope**2 / (2 * curvature)).item()


def growth_exponent(beta: Array, transform: Array) -> Any:
    """Slope of log transform against log beta between neighbouring points of the last axis.

    2 for a square-root bound, 1 for a linear one. `beta` and `transform` (..., m) must be positive;
    returns (..., m - 1). Raises ValueError otherwise.
    """
    smallest = torch.finfo(torch.float64).tiny
    x = check_range("beta", beta, smallest, 1.0, "(0, 1]").log()
    y = check_range("transform", transform, smallest, math.inf, "(0, inf]").log()
    return like(y.diff() / x.diff(), transform)
