"""Regression that says how unsure it is."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, number
from ...declaration.kinds import PREDICTIONS, VALUES, VARIANCES

MEAN_AND_VARIANCE = Inputs(
    Argument("mean", PREDICTIONS, "..."),
    Argument("y", VALUES, "...", "The values to be predicted"),
    Argument("var", VARIANCES, "...", "A variance below `eps` counts as `eps`"),
)

EPS = number(
    "eps", r"\epsilon", "(0, inf)", (1e-6, 1.0, 1e-6),
    "floor of the variance",
    "a prediction that is sure and wrong costs without end",
    "half the squared error over eps",
    ends=("none", "squared error"),
)  # fmt: skip


def _best_variance(
    mean: torch.Tensor, y: torch.Tensor, _var: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    var = (y - mean).square().requires_grad_()
    (slope,) = torch.autograd.grad(gaussian_nll(mean, y, var, reduction="sum"), var)
    return 1 + slope, torch.ones_like(y)


@declare(
    family="regression",
    inputs=MEAN_AND_VARIANCE,
    latex=r"\ell(\mu, v, y) = \tfrac12 \Big( \log v + \frac{(y - \mu)^2}{v} \Big) \quad "
    r"\big(+ \tfrac12 \log 2\pi\big), \qquad v = \max(\mathrm{var}, \epsilon)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \mu} = \frac{\mu - y}{v}, \qquad "
        r"\frac{\partial \ell}{\partial v} = \frac{1}{2 v} - \frac{(y - \mu)^2}{2 v^2}",
        lambda mean, y, var, eps: (mean - y) / var.clamp_min(eps),
    ),
    parameters=(EPS,),
    source=Source("nix1994estimating", "the error function for mean and variance"),
    facts=(
        Fact(
            "torch's gaussian_nll_loss",
            lambda mean, y, var: (
                gaussian_nll(mean, y, var, full=True, reduction="none"),
                F.gaussian_nll_loss(mean, y, var, full=True, reduction="none"),
            ),
        ),
        Fact(
            "Variance 1 is half the squared error",
            lambda mean, y, var: (
                gaussian_nll(mean, y, torch.ones_like(var), reduction="none"),
                (y - mean).square() / 2,
            ),
        ),
        Fact(
            "At a fixed error the best variance is its square: the slope is 0 there (plus 1)",
            _best_variance,
        ),
        Fact(
            "The same number added to mean and value changes nothing",
            lambda mean, y, var: (gaussian_nll(mean + 3, y + 3, var), gaussian_nll(mean, y, var)),
        ),
    ),
    notes="The gradient in the mean is divided by the variance, so examples that the model calls "
    "noisy hardly move it: a mean that starts badly can be explained away by variance. Below the "
    "floor the gradient is that at the floor, as in torch, so that a variance can leave it.",
    related=("hl_gauss", "two_hot"),
    breaks=("derivative for eps in [1e-3, inf)",),
    view={"axes": {"mean": (-2.0, 2.0), "var": (0.1, 4.1)}},
)
def gaussian_nll(
    mean: torch.Tensor,
    y: torch.Tensor,
    var: torch.Tensor,
    *,
    eps: float = 1e-6,
    full: bool = False,
) -> torch.Tensor:
    """Gaussian negative log-likelihood: squared error weighed by a variance that is predicted too.

    full : whether to add the constant log(2 pi) / 2, default no.

    May be negative. In nats.
    """
    v = var + (var.clamp_min(eps) - var).detach()
    rows = (v.log() + (y - mean).square() / v) / 2
    return rows + math.log(2 * math.pi) / 2 if full else rows
