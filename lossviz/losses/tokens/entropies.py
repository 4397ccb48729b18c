"""Entropies that a policy is paid for: without the tail of its tokens, at a price that adapts.

They are subtracted from a surrogate, times their coefficient. The bonus of the whole entropy beside
cross-entropy is `lossviz.losses.entropy_bonus`.
"""

from __future__ import annotations

import torch

from ...declaration import Argument, Inputs
from ...declaration.kinds import LOGITS
from ...declaration.numbers import DTYPES

TOKENS = Inputs(Argument("logits", LOGITS, "... V"))


def likely(p: torch.Tensor, left_out: float) -> torch.Tensor:
    """Which of p (..., V) remain without the least likely ones, which hold at most `left_out`."""
    ordered, places = p.sort(-1)
    kept = ordered.cumsum(-1) > left_out
    return torch.zeros_like(kept).scatter(-1, places, kept)


def clamped_entropy(logits: torch.Tensor, *, left_out: float = 0.3) -> torch.Tensor:
    """The entropy (...) of the softmax of (..., V) without its least likely tokens, in nats.

    Those left out hold a mass of at most `left_out`, in [0, 1), default 0.3; what remains is
    renormalised, so that a bonus for it lifts no token that nobody would draw. 0 is the whole
    entropy. Half precision is widened to float32. A token of logit -inf adds 0 to value and
    gradient; NaN stays NaN.

    Raises TypeError for logits that are not a floating tensor, ValueError for a row without tokens
    and a mass outside [0, 1). Source: AEnt (2025), the clamped entropy, from a description.
    """
    if not 0 <= left_out < 1:
        raise ValueError(f"left_out must lie in [0, 1), got {left_out!r}")
    z = TOKENS.check({"logits": logits})["logits"]
    kept = likely(z.softmax(-1), left_out) | z.isnan()
    logp = z.masked_fill(~kept, -torch.inf).log_softmax(-1)
    # where p is 0, a finite log-probability keeps the gradient from 0 * inf
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(-1)


def adapted_coefficient(
    coefficient: float | torch.Tensor,
    entropy: float | torch.Tensor,
    *,
    target: float,
    change: float = 0.005,
    most: float = 1.0,
) -> torch.Tensor:
    """The coefficient of an entropy bonus after a step: higher while the entropy is below a target.

    It grows by `change` where `entropy` (...) is at most `target` nats, else falls by it, and stays
    in [0, `most`]. Start at 0, and pay the bonus only while the entropy is at most the target, as
    TRL does. Raises ValueError for a target or change that is negative, or a most that is not
    positive. NaN stays NaN.
    """
    for name, value in (("target", target), ("change", change)):
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")
    if not most > 0:
        raise ValueError(f"most must be positive, got {most!r}")
    level = torch.as_tensor(entropy)
    level = level.detach().to(level.dtype if level.dtype in DTYPES else torch.float64)
    step = torch.where(level <= target, change, -change).to(level)
    return (coefficient + step + 0 * level).clamp(0.0, most)
