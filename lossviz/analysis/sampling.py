"""Decoding by surprise: Mirostat holds it, a switch of models obeys it, a Zipf law prices it.

Surprise is in bits here, as published; multiply by ln 2 for nats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count
from .alignment import distribution


def zipf_exponent(probabilities: Array, *, most: int = 100) -> float:
    """The exponent of the Zipf law that fits the `most` likely of sorted probabilities.

    Least squares of log p_i / p_(i+1) on log (i + 1)/i; exact on a Zipf law. `probabilities` (V,),
    falling; ValueError for fewer than two that are positive. Source: Basu et al. (2021), section 4.
    """
    p = distribution("probabilities", probabilities)
    p = p[: min(most, int((p > 0).sum()) - 1) + 1]
    if len(p) < 2 or (p.diff() > 0).any():
        raise ValueError("probabilities must fall, with at least two of them positive")
    rank = torch.arange(1, len(p), dtype=torch.float64)
    steps = ((rank + 1) / rank).log()
    return ((steps * (p[:-1] / p[1:]).log()).sum() / steps.square().sum()).item()


def mirostat_k(exponent: float, surprise: float, *, vocabulary: int) -> float:
    """How many tokens of a Zipf law to keep, so that the worst one kept has `surprise` bits.

    Between 1 and the vocabulary, not rounded; at an exponent of 1 it is 2^surprise / ln V. Raises
    ValueError for an exponent that is not positive or a vocabulary below 2. Source: Basu et al.
    (2021), eq. 1.
    """
    if not exponent > 0 or vocabulary < 2:
        raise ValueError(
            f"exponent must be positive and vocabulary at least 2, got {exponent!r}, {vocabulary!r}"
        )
    excess, size = exponent - 1, math.log(vocabulary)
    # epsilon / (1 - N^-epsilon), which is 1 / log N where the exponent is 1
    scale = -math.log(size) if excess == 0 else math.log(excess / -math.expm1(-excess * size))
    log_k = (scale + surprise * math.log(2)) / exponent
    return math.exp(min(max(log_k, 0.0), size))


class Step(NamedTuple):
    """What one step kept, drew and learnt: tokens kept, the token, its surprise, the next mu."""

    kept: int
    token: int
    surprise: float
    mu: float


class Mirostat:
    """Keeps the surprise of what is drawn near `target` bits, by moving a threshold mu.

    `version` 1 fits a Zipf law and keeps the k likeliest tokens (k rounded, plus one with
    `one_more`, as the authors' script has it); 2 keeps the tokens whose surprise is at most mu, at
    least one. `rate` is the step of mu, which starts at twice the target. Raises ValueError for a
    target or a rate that is not positive. Source: Basu et al. (2021), algorithms 1 and 2.
    """

    def __init__(
        self,
        target: float,
        *,
        rate: float = 1.0,
        version: int = 2,
        most: int = 100,
        vocabulary: int | None = None,
        one_more: bool = False,
    ) -> None:
        if not target > 0 or not rate > 0:
            raise ValueError(f"target and rate must be positive, got {target!r} and {rate!r}")
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {version!r}")
        self.target, self.rate, self.version = target, rate, version
        self.most, self.vocabulary, self.one_more = most, vocabulary, one_more
        self.mu = 2.0 * target

    def step(self, probabilities: Array, uniform: float) -> Step:
        """Draw one token of probabilities (V,) with a number in [0, 1), and move mu.

        The draw is by inversion over the kept tokens, likeliest first. The surprise is that of the
        probabilities before anything was left out.
        """
        p = distribution("probabilities", probabilities)
        if not 0 <= uniform < 1:
            raise ValueError(f"uniform must lie in [0, 1), got {uniform!r}")
        ordered = p.sort(descending=True, stable=True)
        if self.version == 1:
            exponent = zipf_exponent(ordered.values, most=self.most)
            size = self.vocabulary or len(p)
            kept = round(mirostat_k(exponent, self.mu, vocabulary=size)) + self.one_more
            kept = min(max(kept, 1), len(p))
        else:
            kept = max(1, int((-ordered.values.log2() <= self.mu).sum()))
        share = ordered.values[:kept] / ordered.values[:kept].sum()
        place = int(torch.searchsorted(share.cumsum(0), uniform, right=True).clamp_max(kept - 1))
        token = int(ordered.indices[place])
        surprise = -p[token].log2().item()
        self.mu = self.mu - self.rate * (surprise - self.target)
        return Step(kept, token, surprise, self.mu)


def top_k_zipf_cross_entropy(k: int, *, vocabulary: int, exponent: float) -> float:
    """Mean surprise in bits, under a whole Zipf law, of what top-k sampling of it draws.

    Raises ValueError for k outside [1, vocabulary] or an exponent that is not positive. Source:
    Basu et al. (2021), section 3.
    """
    if not 1 <= k <= vocabulary or not exponent > 0:
        raise ValueError(
            f"k must lie in [1, {vocabulary}] and exponent be positive, got {k!r}, {exponent!r}"
        )
    log_p = (-exponent * torch.arange(1, vocabulary + 1, dtype=torch.float64).log()).log_softmax(0)
    return (-(log_p[:k].softmax(0) * log_p[:k]).sum() / math.log(2)).item()


def entropy_switch(
    entropy: Array, *, threshold: float, window: int = 5, stay: int = 1
) -> torch.Tensor:
    """Which tokens (T,) the large one of two models writes, bool: where the small one is unsure.

    `entropy` (T,) are those of the small model's next-token distributions, as a rule in bits and
    before any temperature. The large model is used while their mean over the last `window` tokens,
    the current one included and fewer at the start, is above `threshold`; a model that has just
    taken over stays for at least `stay` tokens. Raises ValueError for NaN, another shape, or counts
    below 1. Source: Simonds (2025), without official code: the rule of staying is our reading.
    """
    given = as_tensor("entropy", entropy)
    if given.ndim != 1 or given.isnan().any():
        raise ValueError(f"entropy must have shape (T,) without NaN, got {tuple(given.shape)}")
    width, least = check_count("window", window), check_count("stay", stay)
    sums = torch.cat((given.new_zeros(1), given.cumsum(0)))
    ends = torch.arange(1, len(given) + 1)
    starts = (ends - width).clamp_min(0)
    unsure = ((sums[ends] - sums[starts]) / (ends - starts) > threshold).tolist()
    large, since, chosen = False, least, []
    for wanted in unsure:
        if wanted != large and since >= least:
            large, since = wanted, 0
        since += 1
        chosen.append(large)
    return torch.tensor(chosen, dtype=torch.bool)
