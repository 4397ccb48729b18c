"""Five numbers that are called "the entropy" of a language model, each under its own name, in nats.

`token_entropy` is that of the whole softmax, `sampled_nll` its estimate from the tokens drawn,
`sequence_nll` a sum of those over each answer, `truncated_entropy` that of a sampler that rules
tokens out, and `entropy_bounds` what a list of the likeliest tokens says of the first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count, row_dtype, slack_of_a_sum
from ..kernels import row_statistics
from .sequences import kept_tokens


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of the softmax over the last axis (...), in nats and the dtype of the logits.

    A token with logit -inf adds 0, to the gradient as well.
    """
    logp = logits.log_softmax(-1)
    # where p is 0, a finite log-probability keeps the gradient from 0 * inf
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(-1)


class TokenEntropy(NamedTuple):
    """Entropies of the softmax at each token, and their means over the tokens that carry loss.

    `tokens` (..., T) in nats, 0 where a token carries none; `number` how many do. `mean` is over
    tokens, so that long answers weigh more; `by_sequence` is the mean over sequences of their
    means. `temperature` is what the logits had been divided by.
    """

    tokens: torch.Tensor
    number: int
    mean: torch.Tensor
    by_sequence: torch.Tensor
    temperature: float

    @property
    def said(self) -> str:
        """What the mean is, in a sentence."""
        return (
            f"{self.mean.item():.4g} nats: mean entropy of the whole softmax at temperature "
            f"{self.temperature:g} over {self.number} tokens that carry loss"
        )


def token_entropy(
    logits: torch.Tensor,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    shift: bool = False,
) -> TokenEntropy:
    """Entropy of the softmax of `logits` / `temperature` at the tokens that carry loss.

    Parameters
    ----------
    logits : floating (..., T, V); half precision is widened to float32. -inf rules a token out.
    temperature : positive, of the sampler, default 1.
    mask : bool or 0/1 (..., T), true at tokens that carry loss; None (default) for all.
    shift : whether the logits at place t are about token t + 1, default False. Then `mask` is
        aligned with the tokens, and the entropies are of tokens 2 to T.

    Differentiable; a token of probability 0 adds 0 to value and gradient. NaN in a row that counts
    stays NaN. Means over no token are NaN.

    Raises
    ------
    ValueError for a temperature that is not positive, a mask of another shape, and a row in which
    every token is ruled out; TypeError for logits that are not floating.
    """
    _check_floating("logits", logits)
    if logits.ndim < 2 or not logits.shape[-1]:
        raise ValueError(f"logits must be (..., T, V) with V >= 1, got {tuple(logits.shape)}")
    kept = _mask(mask, logits.shape[:-1], logits.device)
    if shift:
        logits, kept = logits[..., :-1, :], kept[..., 1:]
    t = _temperature(temperature)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32)) / t
    if (kept & (wide == -torch.inf).all(-1)).any():
        raise ValueError("logits must leave a token in each row, got one with -inf throughout")
    # zeros in rows that do not count: neither their value nor their gradient is anybody's
    return _averaged(entropy(torch.where(kept.unsqueeze(-1), wide, 0.0)), kept, t)


def fused_token_entropy(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None = None,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    shift: bool = False,
) -> TokenEntropy:
    """`token_entropy` of the logits of a linear head, without ever storing them.

    `hidden` (..., T, D), `linear_weight` (V, D), `linear_bias` (V,) or None, as in
    `lossviz.kernels.row_statistics`, which computes it; the rest as in `token_entropy`.
    """
    kept = _mask(mask, hidden.shape[:-1], hidden.device)
    if shift:
        hidden, kept = hidden[..., :-1, :], kept[..., 1:]
    t = _temperature(temperature)
    found = row_statistics(
        hidden[kept], linear_weight, linear_bias=linear_bias, statistics=("entropy",), temperature=t
    ).entropy
    tokens = torch.zeros(kept.shape, dtype=found.dtype, device=found.device)
    return _averaged(tokens.masked_scatter(kept, found), kept, t)


class Undecided(NamedTuple):
    """The tokens (..., T) of highest entropy, bool, and the least entropy among them in nats."""

    tokens: torch.Tensor
    threshold: torch.Tensor


def undecided_tokens(
    entropies: torch.Tensor, *, share: float = 0.2, mask: torch.Tensor | None = None
) -> Undecided:
    """The `share` of the tokens (..., T) that carry loss with the highest entropy.

    The threshold is the (1 - share)-quantile, interpolated, over the tokens for which `mask` is
    true (default all); what is left out may hold anything. share in (0, 1], default 0.2: the 80/20
    rule. Raises ValueError for a share outside, a mask of another shape or without tokens, and NaN.
    Source: Wang et al. (2025).
    """
    _check_floating("entropies", entropies)
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share!r}")
    kept = _mask(mask, entropies.shape, entropies.device)
    counted = entropies[kept].double().sort().values
    if not len(counted) or counted.isnan().any():
        raise ValueError(f"entropies must be of a token at least and not NaN, got {counted!r}")
    place = (1 - share) * (len(counted) - 1)
    below = int(place)
    threshold = counted[below].lerp(counted[min(below + 1, len(counted) - 1)], place - below)
    return Undecided(kept & (entropies.double() >= threshold), threshold)


class NegativeLogLikelihood(NamedTuple):
    """Over the tokens that count: sums over sequences (...), their lengths, the mean per token."""

    total: torch.Tensor
    length: torch.Tensor
    mean: torch.Tensor


def sequence_nll(
    log_probability: torch.Tensor, mask: torch.Tensor | None = None
) -> NegativeLogLikelihood:
    """Minus the log-probability of each sequence of tokens (..., T): no entropy of a token.

    Drawn from the model itself its mean is the entropy over whole answers, which grows with their
    length. What `mask` leaves out may hold anything. Raises as
    `lossviz.analysis.sequence_confidence`: pads are said by the mask, never by a value above 0.
    """
    logp, kept = kept_tokens(log_probability, mask)
    total = -logp.sum(-1)
    length = kept.sum(-1)
    return NegativeLogLikelihood(total, length, total.sum() / length.sum())


def sampled_nll(log_probability: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The mean of -log p over the tokens drawn, which estimates their mean entropy.

    It is unbiased if each token was drawn from the very softmax whose log-probability is given:
    the same temperature, nothing truncated. Shapes and errors as of `sequence_nll`.
    """
    return sequence_nll(log_probability, mask).mean


def truncated_entropy(logits: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Entropy (...) of a sampler that draws from the softmax of (..., V) among the `kept` alone.

    `kept` is a mask (..., V) with a true entry in each row. It may lie below or above that of the
    whole softmax. Raises ValueError for a row in which nothing is kept.
    """
    _check_floating("logits", logits)
    mask = kept.bool()
    if mask.shape != logits.shape:
        raise ValueError(
            f"kept must have the shape of logits, {tuple(logits.shape)}, got {tuple(mask.shape)}"
        )
    if not (mask & (logits != -torch.inf)).any(-1).all():
        raise ValueError("kept must leave a token in each row, and not one of logit -inf alone")
    return entropy(logits.to(row_dtype(logits)).masked_fill(~mask, -torch.inf))


class EntropyBounds(NamedTuple):
    """The least and the greatest entropy (...) that what is known allows, in nats."""

    least: torch.Tensor
    greatest: torch.Tensor


def entropy_bounds(log_probabilities: Array, *, vocabulary: int) -> EntropyBounds:
    """Sharp bounds of the token entropy from the log-probabilities (..., k) of the k likeliest.

    The mass that is left is on `vocabulary` - k tokens of which none is likelier than the last one
    known: the entropy is least where as few of them as possible share it, greatest where all do.
    float64. Raises ValueError for NaN, values above 0, masses that sum to more than 1 and a
    vocabulary that cannot hold what is left.
    """
    logp = as_tensor("log_probabilities", log_probabilities)
    vocabulary = check_count("vocabulary", vocabulary)
    k = logp.shape[-1] if logp.ndim else 0
    if not 0 < k <= vocabulary:
        raise ValueError(
            f"log_probabilities must be (..., k) with 1 <= k <= vocabulary = {vocabulary}, got "
            f"{tuple(logp.shape)}"
        )
    if logp.isnan().any() or (logp > 0).any():
        raise ValueError("log_probabilities must be at most 0 and not NaN; leave pads out")
    p = logp.exp()
    known = -torch.special.xlogy(p, p).sum(-1)
    left = 1 - p.sum(-1)
    slack = slack_of_a_sum(log_probabilities, k)
    if (left < -slack).any():
        raise ValueError(f"log_probabilities must sum to at most 1, got {p.sum(-1).max().item()!r}")
    left = left.clamp_min(0.0)
    last, others = p.amin(-1), vocabulary - k
    if (left > others * last + slack).any():
        raise ValueError(
            f"log_probabilities must be those of the likeliest tokens: {others} others, none "
            f"likelier than the last, cannot hold a mass of {left.max().item():.6g}"
        )
    full = torch.where(last > 0, (left / last).floor(), 0.0)
    rest = (left - full * last).clamp_min(0.0)
    fewest = -full * torch.special.xlogy(last, last) - torch.special.xlogy(rest, rest)
    most = -torch.special.xlogy(left, left / max(others, 1))
    return EntropyBounds(known + fewest, known + most)


def _averaged(tokens: torch.Tensor, kept: torch.Tensor, temperature: float) -> TokenEntropy:
    tokens = torch.where(kept, tokens, 0.0)
    counts = kept.sum(-1)
    means = (tokens.sum(-1) / counts)[counts > 0]
    return TokenEntropy(
        tokens, int(counts.sum()), tokens.sum() / counts.sum(), means.mean(), temperature
    )


def _check_floating(name: str, tensor: torch.Tensor) -> None:
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        got = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a floating tensor, got {got}")


def _temperature(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"temperature must be positive and finite, got {value!r}")
    return float(value)


def _mask(mask: torch.Tensor | None, shape: torch.Size, device: torch.device) -> torch.Tensor:
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=device)
    if mask.shape != shape:
        raise ValueError(
            f"mask must have the shape of the tokens, {tuple(shape)}, got {tuple(mask.shape)}"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("mask must hold 0 and 1")
    return mask.bool()
