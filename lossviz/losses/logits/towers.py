"""Two networks that are averaged, each pulled along where it is worse than both together."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...declaration import Argument, Fact, Inputs, Loss, Source, declare, row_dtype, softplus
from ...declaration.kinds import LOGITS, TRUTH

BINARY = replace(LOGITS, noun="logits of the positive class", shifts=False, rest=(0.0,))
TOWERS = Inputs(
    Argument("deep", BINARY, "N", "Of the one network"),
    Argument("shallow", BINARY, "N", "Of the other"),
    Argument("target", TRUTH, "N"),
    rows="",
    exchange=(("deep", "shallow"),),
)


def _bce(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(z, t.double())


def _alone(d: torch.Tensor, s: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    far = torch.where(t, -50.0, 50.0) + s  # so wrong that the other one is left alone
    both, worse = _bce((far + s) / 2, t), _bce(far, t)
    return tri_bce(far, s, t), both + (worse - both) * worse


def _at_least_together(loss: Loss) -> None:
    for seed in range(20):
        d, s, t = loss.inputs.example(N=12, seed=seed)
        both = _bce((d + s) / 2, t)
        assert loss(d, s, t) >= both
        assert both <= (_bce(d, t) + _bce(s, t)) / 2


@declare(
    family="imbalance",
    inputs=TOWERS,
    latex=r"\ell = L + \max(0, L_1 - L)\, L_1 + \max(0, L_2 - L)\, L_2, \qquad "
    r"L_j = \frac1N \sum_i \log\big(1 + e^{\mp z_{ji}}\big), \quad "
    r"L = L_j \text{ at } \tfrac12 (z_1 + z_2)",
    source=Source(
        "li2024dcnv3",
        "the Tri-BCE loss",
        "the paper speaks of weights; its code differentiates them",
    ),
    facts=(
        Fact(
            "Equal networks: binary cross-entropy",
            lambda d, s, t: (tri_bce(d, d, t), _bce(d, t)),
        ),
        Fact("A network that is far worse is the only one that is pulled along", _alone),
        Fact(
            "Detached weights change the gradient, not the value",
            lambda d, s, t: (tri_bce(d, s, t, detach_weights=True), tri_bce(d, s, t)),
        ),
        Fact(
            "Never below the loss of both together, which is at most the mean of the two",
            holds=_at_least_together,
        ),
    ),
    stability="From logits: a probability that is sure and wrong does not saturate.",
    notes="The better network usually has weight 0, because the average of both is better still. "
    "The logits that are used to predict are the averages.",
    related=("cross_entropy",),
    also=("Tri-BCE", "click-through rate", "CTR prediction", "deep and shallow", "two towers"),
    use="Two networks are averaged and neither shall live on the other's work.",
    avoid="There is one network: it is binary cross-entropy then.",
)
def tri_bce(
    deep: torch.Tensor,
    shallow: torch.Tensor,
    target: torch.Tensor,
    *,
    detach_weights: bool = False,
) -> torch.Tensor:
    """Tri-BCE: cross-entropy of two averaged networks, and of each with weight its excess.

    detach_weights : whether to hold the weights fixed in the gradient, default no, as published.
    """
    dtype = row_dtype(deep)
    sign = torch.where(target, -1.0, 1.0)
    one, other = deep.to(dtype), shallow.to(dtype)
    both, *each = (softplus(sign * z).mean() for z in ((one + other) / 2, one, other))
    loss = both
    for mean in each:
        excess = (mean - both).clamp_min(0.0)
        loss = loss + (excess.detach() if detach_weights else excess) * mean
    return loss
