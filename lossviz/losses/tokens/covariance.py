"""What each drawn token adds to the covariance of its advantage and its log-probability."""

from __future__ import annotations

import torch


def token_covariance(
    advantage: torch.Tensor, logp: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Each token's part of the covariance of advantage and log-probability, float64.

    (A - mean A)(log p - mean log p), the means over the tokens that count; 0 where masked out.
    """
    kept = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.bool()
    count = kept.sum().clamp_min(1)

    def centred(x: torch.Tensor) -> torch.Tensor:
        x = x.double()
        return torch.where(kept, x - torch.where(kept, x, 0.0).sum() / count, 0.0)

    return centred(advantage) * centred(logp)
