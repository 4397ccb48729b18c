"""Confidence in a sequence of tokens: how likely an answer is, and whether a text was seen before.

All arguments are log-probabilities in nats, of tokens as a model gave them; minus infinity is a
token that it ruled out. Which are padding is said by `kept`, never by a value.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import LOG_PROBABILITIES, MASK, labels

TOKENS = Inputs(
    Argument("log_probability", LOG_PROBABILITIES, "... T"),
    Argument("kept", MASK, "... T", optional=True),
)
STEPS = Inputs(Argument("log_probabilities", LOG_PROBABILITIES, "... T V"))


def kept_tokens(
    log_probability: torch.Tensor, kept: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (..., T) in float64, 0 where left out, and which are kept, bool.

    What is left out may hold anything, such as the sentinel of a pad.
    """
    if (
        isinstance(kept, torch.Tensor)
        and isinstance(log_probability, torch.Tensor)
        and kept.shape == log_probability.shape
    ):
        log_probability = torch.where(kept == 0, 0.0, log_probability)
    checked = TOKENS.check({"log_probability": log_probability, "kept": kept})
    token, mask = checked["log_probability"].double(), checked.tensors["kept"]
    _no_nan(token)
    return token, torch.ones_like(token, dtype=torch.bool) if mask is None else mask


class SequenceConfidence(NamedTuple):
    """The log-probability of each sequence (...): summed, per token, and of its least likely."""

    total: torch.Tensor
    mean: torch.Tensor
    least: torch.Tensor


def sequence_confidence(
    log_probability: torch.Tensor, kept: torch.Tensor | None = None
) -> SequenceConfidence:
    """Three confidences of sequences (..., T), float64, nats: of the whole, per token, the worst.

    `kept` (..., T), bool or 0/1, says which tokens are part of a sequence; the others may hold
    anything. The sum is the log-probability of the answer and falls with its length; the mean does
    not. A sequence without tokens has sum 0, mean NaN and a least of inf. Raises TypeError and
    ValueError for wrong dtypes, shapes, NaN, and values above 0.
    """
    token, mask = kept_tokens(log_probability, kept)
    total = token.sum(-1)
    least = torch.where(mask, token, torch.inf).amin(-1)
    return SequenceConfidence(total, total / mask.sum(-1), least)


def greedy_nll(log_probabilities: torch.Tensor) -> torch.Tensor:
    """G-NLL: minus the log-probability of the greedy answer, float64, nats.

    `log_probabilities` (..., T, V) are those of every step of greedy decoding; the answer's length
    is not divided out. exp(-G-NLL) is a lower bound of the chance of the most likely answer, whose
    complement is the uncertainty under the zero-one score. Source: Aichberger, Schweighofer and
    Hochreiter (2024).
    """
    steps = STEPS.check({"log_probabilities": log_probabilities})["log_probabilities"].double()
    _no_nan(steps)
    return -steps.amax(-1).sum(-1)


def likelihood_ratio(
    before: torch.Tensor, after: torch.Tensor, kept: torch.Tensor | None = None
) -> SequenceConfidence:
    """Log-probability under the model before fine-tuning minus that after it, as three numbers.

    `before` and `after` (..., T) are of the same tokens. Larger: further from what the model was
    tuned on. `least` is the difference of the least likely tokens. Source: Zhang et al. (2024).
    """
    one, other = sequence_confidence(before, kept), sequence_confidence(after, kept)
    if one.total.shape != other.total.shape or before.shape != after.shape:
        raise ValueError(
            f"before and after must have one shape, got {tuple(before.shape)} and "
            f"{tuple(after.shape)}"
        )
    return SequenceConfidence(*(a - b for a, b in zip(one, other, strict=True)))


def dc_pdd(
    tokens: torch.Tensor,
    log_probability: torch.Tensor,
    reference_counts: torch.Tensor,
    *,
    clip: float = 0.01,
) -> torch.Tensor:
    """DC-PDD: how much a text looks as if the model had been trained on it; larger is likelier.

    The mean over the first occurrence of each token of min(p log(1 / f), `clip`), where f is the
    token's frequency in a reference corpus with one added to each of the V `reference_counts` (V,).
    `tokens` (T,) integers in [0, V), `log_probability` (T,) of them; float64. `clip` must be tuned:
    the published 0.01 is for large vocabularies. Raises ValueError for shapes that differ, a token
    outside the vocabulary and negative counts. Source: Zhang et al. (2024), whose code returns
    minus this number.
    """
    token = TOKENS.check({"log_probability": log_probability})["log_probability"].double()
    _no_nan(token)
    counts = torch.as_tensor(reference_counts).double()
    labels("V").check(tokens, "tokens")
    if token.ndim != 1 or tokens.shape != token.shape or not len(token):
        raise ValueError(
            f"tokens and log_probability must have one shape (T,) with T >= 1, got "
            f"{tuple(tokens.shape)} and {tuple(token.shape)}"
        )
    if (counts < 0).any() or counts.ndim != 1:
        raise ValueError("reference_counts must be (V,) and not negative")
    if ((tokens < 0) | (tokens >= len(counts))).any():
        raise ValueError(f"tokens must lie in [0, {len(counts)}), the reference's vocabulary")
    frequency = (counts + 1) / (counts.sum() + len(counts))
    seen, first = set[int](), []
    for place, name in enumerate(tokens.tolist()):
        if name not in seen:
            seen.add(name)
            first.append(place)
    rarity = -frequency[tokens[first]].log()
    return (token[first].exp() * rarity).clamp_max(clip).mean()


def _no_nan(values: torch.Tensor) -> None:
    if values.isnan().any():
        raise ValueError("log-probabilities must not hold NaN")
