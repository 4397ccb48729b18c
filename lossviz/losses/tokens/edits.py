"""Losses of sequences that forgive edits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, number, row_dtype
from ...declaration.kinds import LOGITS, TRUTH, labels
from ...declaration.margin import log_probabilities
from ...declaration.numbers import at_least

ALIGNED_TOKENS = Inputs(
    Argument("logits", LOGITS, "B T V", "Of T places of the output"),
    Argument("tokens", labels("V", ignorable=True, noun="tokens"), "B S", "The target"),
    rows="B",
).with_optional(Argument("places", TRUTH, "B T", "Which places of the output there are"))

TEMPERATURE = number(
    "temperature", r"\tau", "(0, inf)", (0.1, 5.0, 0.1),
    "how soft the choice is of the place where an n-gram stands in the output",
    "the best place alone counts",
    "all places count alike",
    label="how soft the choice of a place is", ends=("the best alone", "all alike"),
)  # fmt: skip
FLOOR = number(
    "log_prob_floor", "f", "(-inf, 0)", (-40.0, -1.0, 1.0),
    "least log-probability of a token; below it there is no gradient",
    "log-probabilities as they are",
    "only tokens that are nearly certain are told apart",
    label="least log-probability of a token", ends=("as they are", "cut short"),
)  # fmt: skip


def _shares(
    ngrams: Any, weights: Sequence[float] | None, places: int, tokens: int
) -> dict[int, float]:
    """The weight of each n that fits into the output and the target."""
    if not isinstance(ngrams, Sequence) or not all(type(n) is int for n in ngrams):
        raise TypeError(f"ngrams must be a sequence of ints, got {ngrams!r}")
    shares = [1.0] * len(ngrams) if weights is None else list(weights)
    if len(shares) != len(ngrams) or min(shares, default=1.0) <= 0:
        raise ValueError(f"weights must hold a positive number for each n, got {weights!r}")
    lengths = [n if n > 0 else places + n for n in ngrams]
    longest = min(places, tokens)
    fitting = {n: w for n, w in zip(lengths, shares, strict=True) if 0 < n <= longest}
    if not fitting:
        raise ValueError(f"ngrams must hold an n of at most {longest} tokens, got {ngrams!r}")
    return fitting


def _diagonal_means(scores: torch.Tensor, longest: int) -> Iterator[torch.Tensor]:
    """For n = 1, 2, ... the means of n entries down each diagonal: (..., T - n + 1, S - n + 1)."""
    sums = scores
    yield sums
    for n in range(2, longest + 1):
        sums = sums[..., :-1, :-1] + scores[..., n - 1 :, n - 1 :]
        yield sums / n


def _found(
    means: torch.Tensor, stands: torch.Tensor, counts: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cost (...) of the n-grams that count, and whether there are any, from (..., A, I)."""
    stands = stands.unsqueeze(-1)
    # the smallest finite number, not -inf: a softmax over no place at all is then no 0/0
    least = torch.finfo(means.dtype).min
    best = means.masked_fill(~stands, least).amax(-2, keepdim=True).detach()
    choice = ((means - best) / temperature).masked_fill(~stands, least).softmax(-2)
    counts = counts & stands.any(-2)
    number = counts.sum(-1)
    costs = -(choice * means).sum(-2).masked_fill(~counts, 0.0)
    return costs.sum(-1) / number.clamp_min(1), (number > 0).to(means.dtype)


def _gradient(
    logits: torch.Tensor, tokens: torch.Tensor, *, temperature: float, log_prob_floor: float
) -> torch.Tensor:
    (places, classes), count = logits.shape[-2:], tokens.shape[-1]
    index = tokens.unsqueeze(-2).expand(-1, places, -1)
    bare = logits.log_softmax(-1).gather(-1, index)
    lengths = range(1, min(4, places, count) + 1)
    slopes = torch.zeros_like(bare)
    for n, means in zip(lengths, _diagonal_means(bare.clamp_min(log_prob_floor), 4), strict=False):
        choice = (means / temperature).softmax(-2)
        away = means - (choice * means).sum(-2, keepdim=True)
        slope = choice * (1 + away / temperature) / (n * len(lengths) * means.shape[-1])
        for k in range(n):
            rows, columns = (size - n + 1 + k for size in (places, count))
            slopes[..., k:rows, k:columns] -= slope
    slopes = slopes * (bare > log_prob_floor)
    return slopes @ F.one_hot(tokens, classes).double() - slopes.sum(-1, True) * logits.softmax(-1)


def _inserted(logits: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    said = torch.cat([tokens[:, :1], tokens], 1)
    sure = 1e3 * F.one_hot(said, logits.shape[-1]).double()
    return 1 + eisl(sure, tokens, temperature=0.01), torch.ones(()).double()


@declare(
    family="sequences",
    inputs=ALIGNED_TOKENS,
    latex=r"\ell = -\sum_n \frac{w_n}{S - n + 1} \sum_i \sum_a q^{(n)}_{ai}\, G^{(n)}_{ai}, \quad "
    r"G^{(n)}_{ai} = \frac1n \sum_{k < n} \max\big(\log p_{a + k}(y_{i + k}), f\big), \quad "
    r"q^{(n)}_{\cdot i} = \mathrm{softmax}_a\big(G^{(n)}_{ai} / \tau\big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_t} = \sum_j D_{tj}\, (e_{y_j} - p_t), \qquad D_{tj} = "
        r"-\sum_n \frac{w_n}{n\, (S - n + 1)} \sum_{k < n} \Big[ q \Big( 1 + \frac{G - \sum_a q_a "
        r"G_a}{\tau} \Big) \Big]^{(n)}_{t - k,\, j - k} \big[ \log p_t(y_j) > f \big]",
        _gradient,
    ),
    parameters=(TEMPERATURE, FLOOR),
    source=Source(
        "liu2022eisl",
        "eq. 1 to 8",
        "the paper scores an n-gram by the sum of its log-probabilities, the authors' code and we "
        "by their mean; both add Gumbel noise to the choice of the place, which is left out here",
    ),
    facts=(
        Fact(
            "The whole target as the only n-gram: cross-entropy, mean over the tokens",
            lambda logits, tokens: (
                eisl(logits[:, : tokens.shape[1]], tokens, ngrams=(0,), reduction="none"),
                F.cross_entropy(logits[:, : tokens.shape[1]].mT, tokens, reduction="none").mean(1),
            ),
        ),
        Fact(
            "Single tokens (n = 1) do not see the order of the target",
            lambda logits, tokens: (
                eisl(logits, tokens.flip(1), ngrams=(1,)),
                eisl(logits, tokens, ngrams=(1,)),
            ),
        ),
        Fact(
            "A token inserted into a certain output costs nothing at a low temperature (0.01; both "
            "sides plus 1)",
            _inserted,
        ),
    ),
    stability="Log-probabilities never pass through probabilities. The choice of the place is a "
    "softmax of differences to the best place, so that no temperature overflows.",
    notes="Nothing is shifted: logits at a place are about the token of that place. The authors' "
    "code does not mask padding; here n-grams with an ignored token are left out, and none may "
    "stand on a place of the output that `places` denies.",
    related=("cross_entropy",),
    also=("n-gram matching", "non-autoregressive translation", "noisy targets of sequences"),
    use="Target sequences are noisy or may be shifted: the words matter more than their places.",
    avoid="The order and place of each token is right: cross-entropy of the tokens is "
    "sharper and cheaper.",
)
def eisl(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    places: torch.Tensor | None,
    *,
    temperature: float = 1.0,
    log_prob_floor: float = -20.0,
    ngrams: Sequence[int] = (1, 2, 3, 4),
    weights: Sequence[float] | None = None,
    kept: torch.Tensor,
) -> torch.Tensor:
    """Edit-invariant sequence loss: each n-gram of the target has to stand somewhere in the output.

    ngrams : the n; 0 stands for T, -1 for T - 1 and so on. Default 1, 2, 3, 4.
    weights : of the n in their weighted mean, positive; or None (default) for equal ones.

    An n longer than the output or the target is skipped, as it is for a sequence that has no such
    n-gram left (the loss is 0 if it has none at all).
    """
    outputs, targets = logits.shape[-2], tokens.shape[-1]
    shares = _shares(ngrams, weights, outputs, targets)
    index = tokens.unsqueeze(-2).expand(*tokens.shape[:-1], outputs, targets)
    exact = log_probabilities(logits.to(row_dtype(logits)))
    scores = at_least(exact.gather(-1, index), log_prob_floor)
    stands = torch.ones_like(logits[..., 0], dtype=torch.bool) if places is None else places
    total = weight = torch.zeros_like(scores[..., 0, 0])
    for n, means in enumerate(_diagonal_means(scores, max(shares)), 1):
        if n in shares:
            standing, counting = (mask.unfold(-1, n, 1).all(-1) for mask in (stands, kept))
            cost, there = _found(means, standing, counting, temperature)
            total, weight = total + shares[n] * there * cost, weight + shares[n] * there
    return total / weight.masked_fill(weight == 0, 1.0)
