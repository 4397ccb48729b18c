"""Regression when only the mean response of each bag of examples is known."""

from __future__ import annotations

import torch

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, monotone, number
from ...declaration.kinds import PREDICTIONS, VALUES

BAGS = Inputs(
    Argument("predictions", PREDICTIONS, "... P", "Of the members of a bag"),
    Argument("response", VALUES, "...", "Mean response of the bag"),
)
RHO = number(
    "rho", r"\rho", "[0, inf)", (0.0, 2.0, 0.1),
    "what the spread of the predictions within a bag costs",
    "only the mean of the bag counts", "all members are predicted alike",
    label="cost of spread within a bag", ends=("none", "members alike"),
)  # fmt: skip


def _gradient(predictions: torch.Tensor, response: torch.Tensor, *, rho: float) -> torch.Tensor:
    mean = predictions.mean(-1, keepdim=True)
    off = mean - response.unsqueeze(-1)
    return 2 * (off + rho * (predictions - mean)) / predictions.shape[-1]


def _pairs(f: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    apart = (f.unsqueeze(-1) - f.unsqueeze(-2)).square().sum((-2, -1))
    spread = interpolating_bag_loss(f, y, rho=1.0, reduction="none") - interpolating_bag_loss(
        f, y, rho=0.0, reduction="none"
    )
    return spread, apart / (2 * f.shape[-1] ** 2)


@declare(
    family="regression",
    inputs=BAGS,
    latex=r"\ell(f, \bar y) = (\bar y - \bar f)^2 + \frac{\rho}{k} \sum_{i=1}^k (f_i - \bar f)^2",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial f_i} = \frac2k \big(\bar f - \bar y + "
        r"\rho\, (f_i - \bar f)\big)",
        _gradient,
    ),
    parameters=(RHO,),
    source=Source("javanmard2024aggregate", "the interpolating estimator"),
    facts=(
        Fact(
            "rho = 1 is the loss of instances: each member is given the mean response",
            lambda f, y: (
                interpolating_bag_loss(f, y, rho=1.0, reduction="none"),
                (f - y.unsqueeze(-1)).square().mean(-1),
            ),
        ),
        Fact(
            "rho = 0 is the squared error of the mean",
            lambda f, y: (
                interpolating_bag_loss(f, y, rho=0.0, reduction="none"),
                (f.mean(-1) - y).square(),
            ),
        ),
        Fact("The spread is that of all pairs in the bag", _pairs),
        Fact(
            "The order of the members does not count",
            lambda f, y: (interpolating_bag_loss(f.flip(-1), y), interpolating_bag_loss(f, y)),
        ),
        monotone("rho", "up"),
    ),
    notes="Bags of one size. The best rho grows with the noise of the responses and may be above "
    "1; `lossviz.theory.aggregate_asymptotic_risk` says where it is for linear models.",
    related=("gaussian_nll",),
    also=("aggregate responses", "bag loss", "instance loss", "label privacy", "MIL"),
    use="Responses are known for groups only, for privacy or because they are measured so.",
    avoid="Each example has its own response.",
)
def interpolating_bag_loss(
    predictions: torch.Tensor, response: torch.Tensor, *, rho: float = 0.5
) -> torch.Tensor:
    """Bag loss: the squared error of a bag's mean, and the spread of its predictions."""
    mean = predictions.mean(-1)
    spread = (predictions - mean.unsqueeze(-1)).square().mean(-1)
    return (response - mean).square() + rho * spread
