"""What an update does to the entropy of a softmax policy, and weights that hold it up.

Logits and log-probabilities are of tokens; entropies are in nats. Masks are true where a token
counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from .entropies import entropy


class EntropyChange(NamedTuple):
    """The change of entropy that the covariance predicts, and the exact one, in nats."""

    predicted: torch.Tensor
    exact: torch.Tensor


def _row(name: str, values: Array, like: torch.Tensor | None = None) -> torch.Tensor:
    row = as_tensor(name, values)
    if row.ndim != 1 or len(row) < 2 or (like is not None and row.shape != like.shape):
        wanted = f"({len(like)},)" if like is not None else "(V,) with V >= 2"
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(row.shape)}")
    if row.isnan().any():
        raise ValueError(f"{name} must not hold NaN")
    return row


def entropy_change(logits: Array, step: Array) -> EntropyChange:
    """The change of entropy when `step` is added to the logits (V,), to first order and exactly.

    The first order is minus the covariance, under the policy, of log-probabilities and step: 0 at
    the uniform policy. A step of policy gradient is eta * policy * advantage, one of natural policy
    gradient eta * advantage. Source: Cui et al. (2025), lemma 1.
    """
    z = _row("logits", logits)
    move = _row("step", step, z)
    logp = z.log_softmax(-1)
    p = logp.exp()
    covariance = (p * logp * move).sum() - (p * logp).sum() * (p * move).sum()
    return EntropyChange(-covariance, entropy(z + move) - entropy(z))


class TokenEntropyChange(NamedTuple):
    """First-order change of entropy per unit of learning rate, from one sampled token.

    `all_logits` is exact to first order; `own_logit` keeps only the token's own logit and may be
    far off for rare tokens; `omega` is STEER's measure, of which only the size is used.
    """

    omega: torch.Tensor
    all_logits: torch.Tensor
    own_logit: torch.Tensor


def token_entropy_change(
    logits: Array, token: int, *, advantage: float = 1.0, old_probability: float | None = None
) -> TokenEntropyChange:
    """What a policy-gradient step on one token does to the entropy of its softmax.

    `old_probability` is that of the token when it was drawn, by default its present one. Raising a
    token that is more surprising than average raises the entropy. Raises ValueError for a token
    that is none and a probability outside (0, 1].
    """
    z = _row("logits", logits)
    if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < len(z):
        raise ValueError(f"token must lie in [0, {len(z)}), got {token!r}")
    logp = z.log_softmax(-1)
    p = logp.exp()
    old = p[token] if old_probability is None else p.new_tensor(old_probability)
    if not 0 < old <= 1:
        raise ValueError(f"old_probability must lie in (0, 1], got {old.item()!r}")
    # the ratio is differentiated: its gradient by the logits is ratio * (one-hot - p)
    weight = advantage * p[token] / old
    surplus = torch.where(p > 0, logp + entropy(z), 0.0)
    own = surplus[token]
    return TokenEntropyChange(
        advantage / old * p[token] * (1 - p[token]) * own,
        -weight * (p[token] * own - (p.square() * surplus).sum()),
        -weight * p[token] * (1 - p[token]) * own,
    )


def steer_weights(
    advantage: torch.Tensor,
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    token_entropy: torch.Tensor,
    mask: torch.Tensor,
    *,
    least: float = 0.8,
    most: float = 1.0,
    linear: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """STEER's weights of tokens, small where an update would change the entropy much; and omega.

    All tensors share one shape; `token_entropy` in nats. omega is the size of a token's first-order
    part in that change, and the weight exp(-kappa omega), with kappa such that the largest omega
    (at least 0.02) gets `least`; `linear` maps the range of omega to [`least`, `most`] instead, its
    middle where all are alike. Both are 0 where masked out.
    """
    if not 0 < least <= most:
        raise ValueError(f"least must lie in (0, most], got {least!r} and {most!r}")
    kept = mask.bool()
    p = logp.double().exp()
    change = advantage.double() / old_logp.double().exp() * p * (1 - p)
    omega = torch.where(kept, (change * (logp.double() + token_entropy.double())).abs(), 0.0)
    if not kept.any():
        return omega, omega
    seen = omega[kept]
    if linear:
        spread = seen.max() - seen.min()
        share = torch.where(spread > 0, (omega - seen.min()) / spread, 0.5)
        weight = most - (most - least) * share
    else:
        kappa = -math.log(least) / seen.max().clamp_min(0.02)
        weight = (-kappa * omega).exp().clamp(least, 1.0)
    return torch.where(kept, weight, 0.0), omega


def logit_update(logits: Array, token: int, *, reward: float = 1.0) -> torch.Tensor:
    """The direction of REINFORCE on the logits (V,) for one drawn token: reward * (one-hot - p).

    A positive reward raises the token at the cost of all others, a negative one spreads its mass in
    proportion to what they have. Source: Zhu et al. (2025), section 3.
    """
    z = _row("logits", logits)
    p = z.softmax(-1)
    if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < len(z):
        raise ValueError(f"token must lie in [0, {len(z)}), got {token!r}")
    hot = torch.zeros_like(p)
    hot[token] = 1.0
    return reward * (hot - p)
