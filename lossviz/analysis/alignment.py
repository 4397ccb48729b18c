"""How far a policy may leave its reference: the tilted optimum, and the best of N samples.

Distributions are over a finite set of answers with rewards; everything is float64 and in nats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count, slack_of_a_sum


class Aligned(NamedTuple):
    """A policy (K,), its KL divergence from the reference in nats, and its expected reward."""

    policy: torch.Tensor
    kl: torch.Tensor
    reward: torch.Tensor


def distribution(name: str, values: Array) -> torch.Tensor:
    """`values` (K,) in float64; ValueError unless they are probabilities that sum to 1.

    Their sum may be off by what rounding in their dtype takes, and is divided out.
    """
    p = as_tensor(name, values)
    off = p.ndim != 1 or not len(p) or not (p >= 0).all()
    if off or abs(p.sum() - 1) > slack_of_a_sum(values, len(p)):
        raise ValueError(f"{name} must be probabilities (K,) that sum to 1, got {p.tolist()}")
    return p / p.sum()


def kl_divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) in nats over the last axis; inf where q rules out what p does not."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def _checked(reference: Array, reward: Array) -> tuple[torch.Tensor, torch.Tensor]:
    p, r = distribution("reference", reference), as_tensor("reward", reward)
    if r.shape != p.shape or not r.isfinite().all():
        raise ValueError(f"reward must be {len(p)} finite numbers, got {r.tolist()}")
    return p, r


def _aligned(policy: torch.Tensor, p: torch.Tensor, r: torch.Tensor) -> Aligned:
    kl = kl_divergence(policy, p).clamp_min(0.0)  # rounding may take it below
    return Aligned(policy, kl, (policy * r).sum())


def tilted_policy(reference: Array, reward: Array, *, beta: float) -> Aligned:
    """The policy p exp(beta r) / Z: most reward among all as far from the reference.

    `reference` (K,) probabilities, `reward` (K,), `beta` >= 0 in nats per unit of reward; 0 is the
    reference, inf its best answers. Raises ValueError outside these ranges.
    """
    p, r = _checked(reference, reward)
    if not beta >= 0:
        raise ValueError(f"beta must not be negative, got {beta!r}")
    if beta == math.inf:
        best = torch.where(r == r[p > 0].max(), p, 0.0)
        return _aligned(best / best.sum(), p, r)
    return _aligned((p.log() + beta * r).softmax(-1), p, r)


class Constrained(NamedTuple):
    """The tilted policy that spends a budget, and its beta (inf where more cannot be spent)."""

    beta: float
    policy: torch.Tensor
    kl: torch.Tensor
    reward: torch.Tensor


def kl_constrained_optimum(reference: Array, reward: Array, *, budget: float) -> Constrained:
    """The policy of most expected reward within a KL `budget` from the reference, in nats.

    The best answers alone cost -log of their probability; a larger budget changes nothing. Raises
    ValueError for a negative budget, and as `tilted_policy` does.
    """
    p, r = _checked(reference, reward)
    if not budget >= 0:
        raise ValueError(f"budget must not be negative, got {budget!r}")
    best = tilted_policy(p, r, beta=math.inf)
    if budget >= best.kl or best.kl == 0:
        return Constrained(math.inf if best.kl > 0 else 0.0, *best)
    low, high = 0.0, 1.0
    while tilted_policy(p, r, beta=high).kl < budget:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        within = tilted_policy(p, r, beta=middle).kl < budget
        low, high = (middle, high) if within else (low, middle)
    return Constrained(low, *tilted_policy(p, r, beta=low))


def best_of_n(reference: Array, reward: Array, *, samples: int) -> Aligned:
    """The policy that answers with the best of `samples` draws; ties go by their probability.

    Its KL divergence is exact: it lies below log N - (N - 1)/N, strictly for a finite set. A level
    of reward gets F(v)^N - F(v-)^N, in logarithms, so that a large N keeps its digits. Raises
    ValueError for samples below 1, and as `tilted_policy` does.
    """
    p, r = _checked(reference, reward)
    check_count("samples", samples, 1)
    _, place = r.unique(return_inverse=True)
    mass = torch.zeros(int(place.max()) + 1, dtype=torch.float64).index_add(0, place, p)
    # better than the level; a sum may round to more than 1
    above = (mass.flip(0).cumsum(0).flip(0) - mass).clamp(0, 1)
    below = (samples * torch.log1p(-(above + mass).clamp_max(1))).exp()
    level = (samples * torch.log1p(-above)).exp() - below
    share = torch.where(mass > 0, level / mass, 0.0)
    return _aligned(share[place] * p, p, r)


def win_rate(policy: Array, reference: Array, reward: Array) -> torch.Tensor:
    """The chance that an answer of `policy` earns more than one of `reference`; ties count half.

    All (K,). The best of N distinct answers has N / (N + 1) where no two rewards are alike and none
    has much probability. Raises ValueError as `tilted_policy` does.
    """
    p, r = _checked(reference, reward)
    q = distribution("policy", policy)
    if q.shape != p.shape:
        raise ValueError(f"policy must hold {len(p)} probabilities, got {len(q)}")
    better = (r[:, None] > r).double() + 0.5 * (r[:, None] == r).double()
    return q @ better @ p


def best_of_n_estimate(rewards: Array, samples: int) -> torch.Tensor:
    """The unbiased estimate of the mean reward of the best of `samples` from M >= samples draws.

    `rewards` (..., M) of independent draws of the reference; the result (...) is the mean of the
    best over all choices of so many of them. With rewards of 0 and 1 it is pass@k. Raises
    ValueError for more samples than draws, about which nothing unbiased can be said, and for
    rewards that are not finite.
    """
    r = as_tensor("rewards", rewards)
    n = check_count("samples", samples, 1)
    if r.ndim < 1 or r.shape[-1] < n:
        raise ValueError(f"rewards must hold at least {n} draws, got shape {tuple(r.shape)}")
    if not r.isfinite().all():
        raise ValueError("rewards must be finite")
    rank = torch.arange(1, r.shape[-1] + 1, dtype=torch.float64)

    def ways(k: torch.Tensor, of: int) -> torch.Tensor:
        """log of the number of choices."""
        left = (k - of + 1).clamp_min(0.5).lgamma()
        choices = (k + 1).lgamma() - left - math.lgamma(of + 1)
        return torch.where(k < of, -torch.inf, choices)

    weight = (ways(rank - 1, n - 1) - ways(rank[-1], n)).exp()
    return (r.sort(-1).values * weight).sum(-1)
