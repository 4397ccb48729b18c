"""Samplers that cut the tail of a next-token distribution, each with the entropy that is left.

Each takes logits (..., V) and returns a `Truncated`: minus infinity rules a token out, and a
`Truncated` can be cut again through its `log_probabilities`. Those of n tokens or of some mass keep
no token more than they need: among equals the one of lower index counts as the likelier. All work
in float64 and in nats. Divide the logits by a temperature first (`at_temperature`), as is usual.

ValueError for logits without two tokens, with NaN or +inf, or that rule every token out, and for
parameters outside their range.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count

ROUNDING = 1e-12
"""Relative room for rounding where a sum is compared with a bound that it may meet exactly."""


class Truncated(NamedTuple):
    """What a sampler draws from: log-probabilities (..., V), and their entropy (...) in nats."""

    log_probabilities: torch.Tensor
    entropy: torch.Tensor

    @property
    def probabilities(self) -> torch.Tensor:
        """The probabilities (..., V), which sum to 1."""
        return self.log_probabilities.exp()

    @property
    def kept(self) -> torch.Tensor:
        """Which tokens are left (..., V), bool."""
        return self.log_probabilities > -torch.inf


def at_temperature(logits: Array, temperature: float) -> Truncated:
    """softmax(logits / temperature), temperature in [0, inf].

    0 is the limit: all on the likeliest token, in equal shares where several are; inf is uniform
    over the tokens that are not ruled out.
    """
    z = checked_logits(logits)
    if not temperature >= 0:
        raise ValueError(f"temperature must lie in [0, inf], got {temperature!r}")
    below = z - z.amax(-1, keepdim=True)
    if temperature in (0, math.inf):
        left = below == 0 if temperature == 0 else below > -torch.inf
        return cut(torch.zeros_like(z), left)
    return cut(below / temperature)


def top_k(logits: Array, k: int) -> Truncated:
    """The k likeliest tokens; all of them where k is larger. k >= 1. Source: Fan et al. (2018)."""
    z = checked_logits(logits)
    return cut(z, _rank(z) < check_count("k", k, 1))


def top_p(logits: Array, mass: float) -> Truncated:
    """Nucleus sampling: the fewest likeliest tokens whose probability is at least `mass`.

    mass in (0, 1]; 1 cuts nothing. Source: Holtzman et al. (2020).
    """
    z = checked_logits(logits)
    return cut(z, _fewest(z, z, _checked("mass", mass)))


def min_p(logits: Array, share: float) -> Truncated:
    """The tokens at least `share` times as likely as the likeliest.

    share in [0, 1]; 0 cuts nothing, 1 leaves the likeliest and its equals. Source: Nguyen et al.
    (2025).
    """
    z = checked_logits(logits)
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share!r}")
    least = math.log(share) if share else -math.inf
    return cut(z, z - z.amax(-1, keepdim=True) >= least - ROUNDING)


def typical(logits: Array, mass: float) -> Truncated:
    """Locally typical sampling: the fewest tokens of surprise nearest the entropy, of that `mass`.

    Among equally near ones the likelier comes first. mass in (0, 1]; 1 cuts nothing. The likeliest
    token may be left out. Source: Meister et al. (2023).
    """
    whole = cut(checked_logits(logits))
    surprise = -whole.log_probabilities
    near = -(surprise - whole.entropy[..., None]).abs()
    return cut(-surprise, _fewest(-surprise, near, _checked("mass", mass)))


def eta(logits: Array, epsilon: float) -> Truncated:
    """Eta sampling: the tokens of probability above min(epsilon, sqrt(epsilon) e^-H).

    H is the entropy of the whole distribution: the flatter it is, the rarer a token may be.
    epsilon in [0, 1); 0 cuts nothing. The likeliest token always stays, since it has at least e^-H.
    Source: Hewitt, Manning and Liang (2022).
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon must lie in [0, 1), got {epsilon!r}")
    whole = cut(checked_logits(logits))
    log_epsilon = math.log(epsilon) if epsilon else -math.inf
    least = (log_epsilon / 2 - whole.entropy).clamp_max(log_epsilon)[..., None]
    return cut(whole.log_probabilities, whole.log_probabilities > least)


def top_n_sigma(logits: Array, n: float) -> Truncated:
    """The tokens whose logit is at most `n` standard deviations of the logits below the largest.

    The deviation is over the tokens that are not ruled out, with Bessel's correction as in the
    authors' code. Temperature does not move the cut. n >= 0; 0 leaves the likeliest and its equals,
    inf cuts nothing. Source: Tang et al. (2025).
    """
    z = checked_logits(logits)
    if not n >= 0:
        raise ValueError(f"n must not be negative, got {n!r}")
    left = z > -torch.inf
    count = left.sum(-1, keepdim=True)
    mean = torch.where(left, z, 0.0).sum(-1, keepdim=True) / count
    square = torch.where(left, z - mean, 0.0).square().sum(-1, keepdim=True)
    sigma = (square / (count - 1).clamp_min(1)).sqrt()
    reach = n * sigma if n < math.inf else math.inf
    return cut(z, z >= z.amax(-1, keepdim=True) - reach)


def top_h(logits: Array, share: float = 0.4) -> Truncated:
    """Top-H: as many of the likeliest tokens as keep the entropy at most `share` of the whole.

    The entropy is that of the tokens kept, renormalised, and grows with each more. At least one
    stays. share in (0, 1], default 0.4 as in the paper; 1 cuts nothing. Source: Potraghloo et al.
    (2025), algorithm 1.
    """
    whole = cut(checked_logits(logits))
    _checked("share", share)
    ordered = whole.log_probabilities.sort(dim=-1, descending=True, stable=True).values
    p = ordered.exp()
    mass = p.cumsum(-1)
    grown = mass.log() - torch.where(p > 0, p * ordered, 0.0).cumsum(-1) / mass
    room = ROUNDING * math.log(ordered.shape[-1])
    within = grown <= share * whole.entropy[..., None] + room
    kept = within.sum(-1, keepdim=True).clamp_min(1)
    return cut(whole.log_probabilities, _rank(whole.log_probabilities) < kept)


def cut(logits: torch.Tensor, kept: torch.Tensor | None = None) -> Truncated:
    """The softmax over the tokens `kept` (all by default), whose entropy loses no zero."""
    logp = (logits if kept is None else logits.masked_fill(~kept, -torch.inf)).log_softmax(-1)
    entropy = -torch.where(logp > -torch.inf, logp.exp() * logp, 0.0).sum(-1)
    return Truncated(logp, entropy)


def checked_logits(logits: Array) -> torch.Tensor:
    """Logits (..., V) in float64, with a distribution in every row."""
    z = as_tensor("logits", logits)
    if z.ndim < 1 or z.shape[-1] < 2 or not z.numel():
        raise ValueError(f"logits must have shape (..., V) with V >= 2, got {tuple(z.shape)}")
    if z.isnan().any() or (z == torch.inf).any():
        raise ValueError("logits must not hold NaN or +inf")
    if (z == -torch.inf).all(-1).any():
        raise ValueError("logits must leave a token in every row, got a row of -inf")
    return z


def _checked(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"{name} must lie in (0, 1], got {value!r}")
    return value


def _rank(scores: torch.Tensor) -> torch.Tensor:
    """The place of each token (..., V), 0 for the highest score; equals in order of index."""
    return scores.argsort(dim=-1, descending=True, stable=True).argsort(-1)


def _fewest(logits: torch.Tensor, score: torch.Tensor, mass: float) -> torch.Tensor:
    """Which tokens to keep, highest score first and then likeliest, until they have `mass`."""
    likely = logits.argsort(dim=-1, descending=True, stable=True)
    order = likely.gather(
        -1, score.gather(-1, likely).argsort(dim=-1, descending=True, stable=True)
    )
    p = logits.softmax(-1).gather(-1, order)
    # what is left from a token on, and not what was before it: small numbers keep their digits
    left = p.flip(-1).cumsum(-1).flip(-1)
    needed = left >= (1 - mass) * (1 + ROUNDING)
    return torch.zeros_like(needed).scatter(-1, order, needed)
