"""How a classifier fares under `lossviz.losses.attacks.pgd`: what to attack, what survives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..losses.attacks import Gain, pgd


def losing(labels: torch.Tensor) -> Gain:
    """Cross-entropy of each row of logits (N, K) under its label."""
    return lambda logits: F.cross_entropy(logits, labels, reduction="none")


def overtaking(labels: torch.Tensor) -> Gain:
    """Lead of the best wrong class in each row: unlike cross-entropy it never flattens."""

    def gain(logits: torch.Tensor) -> torch.Tensor:
        right = F.one_hot(labels, logits.shape[-1]).bool()
        return logits.masked_fill(right, -torch.inf).amax(-1) - logits[right]

    return gain


def survivors(
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    radius: float,
    seed: int = 0,
    **attack: Any,
) -> torch.Tensor:
    """Which inputs (N,) stay right under attacks on cross-entropy and on the lead alike.

    x : inputs (N, ...); labels : (N,); radius and attack : as in `pgd`, whose random starts come
    from the seed for each of the two attacks.
    """
    right = torch.ones(len(labels), dtype=torch.bool)
    for gain in (losing(labels), overtaking(labels)):
        generator = torch.Generator().manual_seed(seed)
        found = pgd(model, x, gain, radius=radius, generator=generator, **attack)
        with torch.no_grad():
            right &= model(found).argmax(-1) == labels
    return right
