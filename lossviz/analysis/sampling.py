"""Decoding by surprise: Mirostat holds it, a switch of models obeys it, a Zipf law prices it.

Surprise is in bits here, as published, where nothing else is said.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count
from .alignment import distribution
from .truncation import ROUNDING, Truncated, checked_logits, cut

FLATTEST = 1e-9
"""The least exponent that Mirostat reckons with: on equal tokens the fit is 0."""


def zipf_exponent(probabilities: Array, *, most: int = 100) -> float:
    """The exponent of the Zipf law that fits the `most` likely of sorted probabilities.

    Least squares of log p_i / p_(i+1) on log (i + 1)/i; exact on a Zipf law. `probabilities` (V,),
    falling; ValueError for fewer than two that are positive. Source: Basu et al. (2021), section 4.
    """
    p = distribution("probabilities", probabilities)
    if (p > 0).sum() < 2 or (p.diff() > 0).any():
        raise ValueError("probabilities must fall, with at least two of them positive")
    return _exponent(p.log(), check_count("most", most)).item()


def _exponent(logp: torch.Tensor, most: int) -> torch.Tensor:
    """Of falling log-probabilities (..., V); NaN where only one is left."""
    logp = logp[..., : most + 1]
    rank = torch.arange(1, logp.shape[-1], dtype=torch.float64)
    left = logp[..., 1:] > -torch.inf
    steps = torch.where(left, ((rank + 1) / rank).log(), 0.0)
    falls = torch.where(left, logp[..., :-1] - logp[..., 1:], 0.0)
    return (steps * falls).sum(-1) / steps.square().sum(-1)


def mirostat_k(exponent: float, surprise: float, *, vocabulary: int) -> float:
    """How many tokens of a Zipf law to keep, so that the worst one kept has `surprise` bits.

    As the equation has it, not rounded: it may lie below 1 or above the vocabulary, between which
    `Mirostat` keeps it. At an exponent of 1 it is 2^surprise / ln V. Raises ValueError for an
    exponent that is not positive and finite or a vocabulary below 2. Source: Basu et al. (2021),
    eq. 1.
    """
    vocabulary = check_count("vocabulary", vocabulary, 2)
    if not 0 < exponent < math.inf:
        raise ValueError(f"exponent must be positive and finite, got {exponent!r}")
    s, nats = torch.tensor([exponent, surprise * math.log(2)], dtype=torch.float64)
    return _log_k(s, nats, vocabulary).exp().item()


def _log_k(exponent: torch.Tensor, nats: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """log k (...) of a Zipf law of positive `exponent` (...)."""
    excess, size = exponent - 1, math.log(vocabulary)
    # epsilon / (1 - N^-epsilon), which is 1 / log N where the exponent is 1
    scale = torch.where(excess == 0, 1 / size, excess / -torch.expm1(-excess * size)).log()
    return (scale + nats) / exponent


class Step(NamedTuple):
    """What one step kept, drew and learnt: tokens kept, the token, its surprise, the next mu."""

    kept: torch.Tensor
    token: torch.Tensor
    surprise: torch.Tensor
    mu: torch.Tensor


class Mirostat:
    """Keeps the surprise of what is drawn near a target, by moving a threshold mu.

    Version 2 keeps the tokens whose surprise is at most mu, at least one; version 1 fits a Zipf law
    to the `most` likeliest, of a vocabulary as large as the logits unless it is given, and keeps
    the k likeliest tokens (k rounded, plus one with `one_more`, as the authors' script has it).

    target : surprise to hold, positive. unit : of target, mu and surprise, "bits" as published (the
    default) or "nats", as in llama.cpp. rate : the step of mu, positive, default 1. mu, the state,
    starts at twice the target: a number, or one for each row once logits have rows. Raises
    ValueError outside these ranges. Source: Basu et al. (2021), algorithms 1 and 2.
    """

    def __init__(
        self,
        target: float,
        *,
        unit: Literal["bits", "nats"] = "bits",
        rate: float = 1.0,
        version: int = 2,
        most: int = 100,
        vocabulary: int | None = None,
        one_more: bool = False,
    ) -> None:
        if not 0 < target < math.inf or not 0 < rate < math.inf:
            raise ValueError(
                f"target and rate must be positive and finite, got {target!r} and {rate!r}"
            )
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {version!r}")
        if unit not in ("bits", "nats"):
            raise ValueError(f'unit must be "bits" or "nats", got {unit!r}')
        self.target, self.rate, self.version, self.unit = target, rate, version, unit
        self.most, self.one_more = check_count("most", most), one_more
        self.vocabulary = None if vocabulary is None else check_count("vocabulary", vocabulary, 2)
        self.nats = math.log(2) if unit == "bits" else 1.0  # in one unit
        self.mu = torch.tensor(2.0 * target, dtype=torch.float64)

    def truncated(self, logits: Array) -> Truncated:
        """What the next token of logits (..., V) is drawn from, at the present mu."""
        z = checked_logits(logits)
        logp = z.log_softmax(-1)
        ordered = logp.sort(dim=-1, descending=True, stable=True)
        kept = torch.arange(z.shape[-1]) < self._kept(ordered.values)[..., None]
        return cut(logp, torch.zeros_like(kept).scatter(-1, ordered.indices, kept))

    def step(self, logits: Array, uniform: Array) -> Step:
        """Draw a token from each row of logits (..., V), and move mu (...).

        `uniform` (...) are numbers in [0, 1): the draw is by inversion over the kept tokens,
        likeliest first. The surprise is that of the softmax before anything was left out. Raises
        ValueError as the samplers of `truncation` do.
        """
        logp = checked_logits(logits).log_softmax(-1)
        u = as_tensor("uniform", uniform)
        if u.shape != logp.shape[:-1] or not ((u >= 0) & (u < 1)).all():
            raise ValueError(
                f"uniform must have shape {tuple(logp.shape[:-1])} and lie in [0, 1), got "
                f"{uniform!r}"
            )
        ordered = logp.sort(dim=-1, descending=True, stable=True)
        kept = self._kept(ordered.values)
        mass = ordered.values.exp().cumsum(-1)
        level = u * mass.gather(-1, kept[..., None] - 1)[..., 0]
        place = torch.minimum((mass <= level[..., None]).sum(-1), kept - 1)[..., None]
        surprise = -ordered.values.gather(-1, place)[..., 0] / self.nats
        self.mu = self.mu - self.rate * (surprise - self.target)
        return Step(kept, ordered.indices.gather(-1, place)[..., 0], surprise, self.mu)

    def _kept(self, logp: torch.Tensor) -> torch.Tensor:
        """How many of falling log-probabilities (..., V) are kept, between 1 and V."""
        if self.mu.ndim and self.mu.shape != logp.shape[:-1]:
            raise ValueError(
                f"logits must keep their rows, {tuple(self.mu.shape)}, got {tuple(logp.shape[:-1])}"
            )
        mu = self.mu * self.nats
        if self.version == 2:
            return (-logp <= mu[..., None] + ROUNDING).sum(-1).clamp_min(1)
        size = logp.shape[-1]
        # where a single token is left nothing can be fitted, and it is kept
        exponent = _exponent(logp, self.most).nan_to_num(math.inf).clamp_min(FLATTEST)
        # in logarithms, since a large mu would overflow
        log_k = _log_k(exponent, mu, self.vocabulary or size).clamp_max(math.log(size))
        return (log_k.exp().round().long() + self.one_more).clamp(1, size)


def top_k_zipf_cross_entropy(k: int, *, vocabulary: int, exponent: float) -> float:
    """Mean surprise in bits, under a whole Zipf law, of what top-k sampling of it draws.

    ValueError for k outside [1, vocabulary] or an exponent not positive and finite. Source:
    Basu et al. (2021), section 3.
    """
    k, vocabulary = check_count("k", k), check_count("vocabulary", vocabulary)
    if k > vocabulary or not 0 < exponent < math.inf:
        raise ValueError(
            f"k must lie in [1, {vocabulary}] and exponent be positive and finite, got {k!r}, "
            f"{exponent!r}"
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
    taken over stays for at least `stay` tokens. Raises ValueError for NaN or infinity, another
    shape, or counts below 1. Source: Simonds (2025), without official code: the rule of staying is
    our reading.
    """
    given = as_tensor("entropy", entropy)
    if given.ndim != 1 or not given.isfinite().all():
        raise ValueError(f"entropy must have shape (T,) and be finite, got {tuple(given.shape)}")
    if math.isnan(threshold):
        raise ValueError("threshold must be a number, got NaN")
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
