"""A penalty on the entropy of attention weights, within the heads of a network."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, number
from ...declaration.kinds import DISTRIBUTIONS, PROBABILITIES, VALUES

ATTENTION = replace(
    PROBABILITIES,
    noun="attention weights",
    draw=DISTRIBUTIONS.draw,
    rest=(0.6, 0.2, 0.15, 0.05),
    code=DISTRIBUTIONS.code,
)
SHARES = replace(
    VALUES,
    noun="shares of the entropy of even attention",
    draw=PROBABILITIES.draw,
    learnt=True,
    span=(0.0, 1.0),
    ends=("sharp rows", "even rows"),
    rest=(0.5,),
    code="torch.rand({shape})",
)
HEADS = Inputs(
    Argument("weights", ATTENTION, "... A Q M", "Of M keys, by each query of each head", least=2),
    Argument("thresholds", SHARES, "A", "Of each head, may be learnt"),
)
MARGIN = number(
    "margin", r"\gamma", "[0, inf)", (0.0, 1.0, 0.05),
    "how far, as a share of log M, a row may be from the target of its head for nothing",
    "every row pays",
    "no row does",
    label="free distance from the target", ends=("none", "any"),
)  # fmt: skip
COEFFICIENT = number(
    "coefficient", "c", "[0, inf)", (0.0, 0.01, 1e-5),
    "weight of the squared distance", "no penalty", "entropies are held within the margin",
    ends=("none", "strong"),
)  # fmt: skip
INSIDE = 1e-9  # added inside the logarithm, as published


def _off(
    weights: torch.Tensor, thresholds: torch.Tensor, margin: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the entropy of each row is from its target, and whether that is free."""
    full = math.log(weights.shape[-1])
    entropy = -(weights * (weights + INSIDE).log()).sum(-1)
    off = entropy - thresholds[:, None] * full
    return off, off.abs() <= margin * full


def _slope(
    weights: torch.Tensor, thresholds: torch.Tensor, *, margin: float, coefficient: float
) -> torch.Tensor:
    off, free = _off(weights, thresholds, margin)
    inner = weights + INSIDE
    by_weight = -(inner.log() + weights / inner)
    return 2 * coefficient / len(thresholds) * (off * ~free)[..., None] * by_weight


def _jump(weights: torch.Tensor, thresholds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    queries, keys = weights.shape[-2:]
    at_edge = torch.full_like(thresholds, 0.8 - 1e-6)
    even = torch.full_like(weights, 1 / keys)
    found = attention_entropy(even, at_edge, coefficient=1.0, reduction="none")
    return found, torch.full_like(found, queries * (0.2 * math.log(keys)) ** 2)


@declare(
    family="relatives",
    inputs=HEADS,
    latex=r"\ell(a, \theta) = \frac{c}{A} \sum_{h, i} \delta_{hi}^2 \big[\lvert \delta_{hi} \rvert "
    r"> \gamma \log M\big], \qquad \delta_{hi} = H(a_{hi}) - \theta_h \log M",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial a_{hij}} = -\frac{2 c}{A}\, \delta_{hi}\, (1 + \log "
        r"a_{hij}) \text{ outside the margin, else } 0",
        _slope,
    ),
    parameters=(MARGIN, COEFFICIENT),
    source=Source(
        "jha2025entropy",
        "the entropy regularisation",
        "the released code sums over the sequences of the batch and averages over layers: "
        "`reduction=\"none\"`, then .sum() over the one and .mean() over the other",
    ),
    facts=(
        Fact(
            "Nothing within the margin: even rows under thresholds of 1 (both sides plus 1)",
            lambda a, theta: (
                1 + attention_entropy(
                    torch.full_like(a, 1 / a.shape[-1]), torch.ones_like(theta), coefficient=1.0,
                    reduction="none",
                ),
                torch.ones(len(a)).double(),
            ),
        ),
        Fact(
            "At its edge it jumps, by the square of margin times log M for each row", _jump,
            rtol=1e-4,
        ),
        Fact(
            "Thresholds and margin of 0: the squared entropies, summed over queries",
            lambda a, theta: (
                attention_entropy(
                    a, 0 * theta, margin=0.0, coefficient=1.0, reduction="none"
                ),
                torch.special.entr(a).sum(-1).square().sum(-1).mean(-1),
            ),
            rtol=1e-6,
        ),
    ),
    stability="1e-9 is added inside the logarithm, as published: a weight of 0 has a finite slope.",
    notes="In causal attention row i sees i keys, and its entropy cannot exceed log i: under a "
    "high threshold the early rows always pay. Within the margin there is no gradient, and at its "
    "edge a finite cost at once.",
    related=("entropy_bonus", "z_loss"),
    view={
        "axes": {"thresholds": (0.0, 1.0)},
        "labels": ("threshold of head 1", "threshold of head 2"),
        "starts": {"coefficient": 0.01},
        "says": "Their entropy is 0.77 log M.",
    },
    also=("attention entropy regularisation", "entropic overload", "entropy collapse of attention"),
    use="Heads of a transformer become too sharp or too even, and each is to find a level of its "
    "own.",
    avoid="Logits grow because the learning rate is high: bound them, by normalised queries and "
    "keys, or lower the rate.",
)  # fmt: skip
def attention_entropy(
    weights: torch.Tensor,
    thresholds: torch.Tensor,
    *,
    margin: float = 0.2,
    coefficient: float = 1e-5,
) -> torch.Tensor:
    """Attention entropy: each row's squared distance from a target share of log M, if it is far.

    Summed over the queries and averaged over the heads of one sequence in one layer. Rows need not
    sum to 1, so that attention with dropout may be given; mostly it is taken before.
    """
    off, free = _off(weights, thresholds, margin)
    squares = torch.where(free, 0.0, off.square())
    return coefficient * squares.sum(-1).mean(-1)
