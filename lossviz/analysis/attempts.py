"""What several attempts at a problem are worth, and what an imperfect judge of them leaves."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor, like
from ..declaration.numbers import check_count, slack_of_a_sum


def pass_at_n(probability: Array, attempts: int) -> Array:
    """The chance that one of `attempts` independent attempts is right: 1 - (1 - p)^n, float64.

    `probability` (...) in [0, 1]; `attempts` from 1 on. Average it over problems. Raises ValueError
    outside the ranges.
    """
    p = as_tensor("probability", probability)
    if ((p < 0) | (p > 1)).any():
        raise ValueError("probability must lie in [0, 1]")
    n = check_count("attempts", attempts, 1)
    return like(-torch.expm1(n * torch.log1p(-p)), probability)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The unbiased estimate of pass@k from `correct` right ones among `samples`: a share.

    It is the chance that k of the samples, drawn without putting back, hold a right one. Raises
    ValueError for k > samples: nothing unbiased can be said about more attempts than were made.
    Source: Chen et al. (2021), eq. 1.
    """
    n, k = check_count("samples", samples, 1), check_count("k", k, 1)
    c = check_count("correct", correct, 0)
    if c > n:
        raise ValueError(f"correct must be at most samples = {n}, got {c}")
    if k > n:
        raise ValueError(
            f"k must be at most samples = {n}, got {k}: no unbiased estimate exists; draw more"
        )
    if n - c < k:
        return 1.0
    logs = (math.log1p(-k / i) for i in range(n - c + 1, n + 1))
    return -math.expm1(math.fsum(logs))


class Resampling(NamedTuple):
    """Expected reward of up to 1, ..., K attempts (K,), and the best number of them."""

    reward: torch.Tensor
    best: int


def resampling_reward(
    right: Array,
    prior: Array,
    *,
    attempts: int,
    completeness: float = 1.0,
    soundness: float = 0.75,
    value_correct: float = 1.0,
    value_fluke: float = -1.0,
) -> Resampling:
    """Expected reward when attempts stop at the first one that a judge accepts.

    Problems are of types j with chance `prior` (J,), on which an attempt is right with chance
    `right` (J,). A right one is accepted with chance `completeness`, a wrong one rejected with
    `soundness`; what is accepted is worth `value_correct` or `value_fluke`, nothing accepted 0.
    float64. Raises ValueError outside [0, 1], for shapes that differ and a prior that does not sum
    to 1. Source: Stroebl, Kapoor and Narayanan (2024), section 4.
    """
    r, share = as_tensor("right", right).flatten(), as_tensor("prior", prior).flatten()
    chances = (r, share, torch.tensor([completeness, soundness], dtype=torch.float64))
    if any(((x < 0) | (x > 1) | x.isnan()).any() for x in chances):
        raise ValueError("right, prior, completeness and soundness must lie in [0, 1]")
    if r.shape != share.shape or abs(share.sum() - 1) > slack_of_a_sum(prior, len(share)):
        raise ValueError(f"prior must have {len(r)} entries that sum to 1, got {share.tolist()}")
    steps = torch.arange(check_count("attempts", attempts, 1), dtype=torch.float64)
    refused = (1 - completeness) * r + soundness * (1 - r)
    gain = completeness * r * value_correct + (1 - soundness) * (1 - r) * value_fluke
    each = refused ** steps[:, None] * (share * gain)
    reward = each.sum(-1).cumsum(0)
    return Resampling(reward, int(reward.argmax()) + 1)
