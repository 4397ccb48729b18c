"""Being among the k best, made soft: a threshold that lets k candidates through."""

from __future__ import annotations

import math

import torch

from ...declaration import (
    Fact,
    Gradient,
    RowLosses,
    Source,
    declare,
    number,
    row_dtype,
    softplus,
    unbounded,
)
from ...declaration.numbers import check_count
from . import RANKED

ALPHA = number(
    "alpha", r"\alpha", "(0, inf)", (0.5, 8.0, 0.5),
    "how sharply the threshold cuts",
    "every candidate is let through in the same part", "the hard k best",
    label="how sharply the threshold cuts", ends=("not at all", "the hard k best"),
)  # fmt: skip


def _balance(
    scores: torch.Tensor, inside: torch.Tensor, threshold: torch.Tensor, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is let through of the others over what is missing of the k best, in logarithms.

    It is 0 at the threshold, rises with it, and comes with its slope; neither loses its digits
    where all candidates are far from the threshold.
    """
    x = alpha * (scores + threshold)
    least = torch.finfo(x.dtype).min
    through = (-softplus(-x)).masked_fill(inside, least)
    missing = (-softplus(x)).masked_fill(~inside, least)
    slope = (through.softmax(-1) * (-x).sigmoid()).sum(-1, keepdim=True) + (
        missing.softmax(-1) * x.sigmoid()
    ).sum(-1, keepdim=True)
    height = through.logsumexp(-1, keepdim=True) - missing.logsumexp(-1, keepdim=True)
    return height, alpha * slope


def _threshold(scores: torch.Tensor, inside: torch.Tensor, alpha: float) -> torch.Tensor:
    """The threshold (..., 1) at which sigmoids of the scores sum to the number `inside`.

    Found by bisection, then by Newton's steps, of which the last two are differentiated: they carry
    the derivatives of the implicit function up to the third.
    """
    fixed = scores.detach()
    # at these ends the last of the k best is not let through, or the next one is
    room = (10 + fixed.new_tensor(float(scores.shape[-1])).log()) / alpha
    low = -fixed.masked_fill(~inside, math.inf).amin(-1, keepdim=True) - room
    high = -fixed.masked_fill(inside, -math.inf).amax(-1, keepdim=True) + room
    for _ in range(36):
        middle = (low + high) / 2
        below = _balance(fixed, inside, middle, alpha)[0] < 0
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    threshold = (low + high) / 2
    for each in (fixed, fixed, scores, scores):
        height, slope = _balance(each, inside, threshold, alpha)
        threshold = threshold - height / slope
    return threshold


def _best(scores: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Which are the `count` (..., 1) largest of each row."""
    return scores.argsort(dim=-1, descending=True, stable=True).argsort(-1) < count


def _gradient(scores: torch.Tensor, relevance: torch.Tensor, *, alpha: float) -> torch.Tensor:
    count = relevance.sum(-1, keepdim=True)
    some = (count > 0) & (count < scores.shape[-1])
    inside = _best(scores, count.clamp(1, scores.shape[-1] - 1))
    x = alpha * (scores + _threshold(scores, inside, alpha))
    pull = torch.where(relevance, alpha * (-x).sigmoid() / count.clamp_min(1), 0.0)
    shares = (-softplus(x) - softplus(-x)).softmax(-1)
    return torch.where(some, shares * pull.sum(-1, keepdim=True) - pull, 0.0)


def _sums(scores: torch.Tensor, relevance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    each = torch.eye(scores.shape[-1], dtype=torch.bool)
    rows = scores.repeat_interleave(len(each), 0)
    costs = soft_topk(rows, each.repeat(len(scores), 1), k=2, reduction="none")
    through = (-costs).exp().reshape(len(scores), -1).sum(-1)
    return through, torch.full_like(through, 2.0)


def _hard(scores: torch.Tensor, relevance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    first = scores.argsort(-1, descending=True)
    best = torch.zeros_like(relevance).scatter(-1, first[:, :2], True)
    return 1 + soft_topk(scores, best, k=2, alpha=1e4), scores.new_ones(())


@declare(
    family="ranking",
    inputs=RANKED,
    latex=r"\ell(s, P) = \frac{1}{|P|} \sum_{p \in P} \log\big(1 + e^{-\alpha (s_p + t)}\big), "
    r"\qquad \sum_j \frac{1}{1 + e^{-\alpha (s_j + t)}} = k",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s_j} = -\frac{[j \in P]\, \alpha (1 - \sigma_j)}{|P|} + "
        r"\frac{v_j}{\sum_i v_i} \sum_{p \in P} \frac{\alpha (1 - \sigma_p)}{|P|}, \qquad "
        r"v_j = \sigma_j (1 - \sigma_j), \quad \sigma_j = \frac{1}{1 + e^{-\alpha (s_j + t)}}",
        _gradient,
    ),
    parameters=(ALPHA,),
    source=Source("gupta2024dual", "the SoftTop-k loss"),
    facts=(
        Fact("What is let through of all candidates sums to k", _sums),
        Fact("The hard k best cost nothing as alpha grows (at 1e4; both sides plus 1)", _hard),
        Fact(
            "Where all candidates are relevant all are let through (both sides plus 1)",
            lambda s, r: (
                1 + soft_topk(s, torch.ones_like(r), reduction="none"),
                s.new_ones(len(s)),
            ),
        ),
        unbounded(how="linearly in how far a relevant candidate is below the threshold"),
    ),
    stability="The threshold balances two log-sum-exps, so no digit is lost where the sigmoids are "
    "0 or 1; its derivatives are those of the implicit function.",
    notes="The k is either the number of relevant candidates of each query, for precision and "
    "recall that meet, or one number for all. One relevant candidate is not cross-entropy here.",
    related=("decoupled_softmax",),
    also=("precision at k", "recall at k", "top-k loss", "extreme classification"),
    use="What counts is whether right candidates are among the k that are shown.",
    avoid="The order among the k best matters, or k is not known before.",
)
def soft_topk(
    scores: torch.Tensor, relevance: torch.Tensor, *, alpha: float = 2.0, k: int | None = None
) -> RowLosses:
    """Soft top-k: each relevant candidate has to pass the threshold that lets k through.

    k : how many pass, at least 1 and less than M; None (default) for as many as are relevant.

    A query without relevant candidates has loss 0 and does not count in the mean.

    Raises ValueError for k outside [1, M).
    """
    every = scores.shape[-1]
    exact = scores.to(row_dtype(scores))
    relevant = relevance.sum(-1, keepdim=True)
    count = relevant
    if k is not None:
        if check_count("k", k) >= every:
            raise ValueError(f"k must be less than the number of candidates, {every}, got {k}")
        count = torch.full_like(relevant, k)
    inside = _best(exact.detach(), count)
    others = exact.masked_fill(inside, -math.inf).amax(-1, keepdim=True)
    # without a rival all are let through; elsewhere scores that make no threshold are not used
    rivals = (count > 0) & ~(others == -math.inf)
    inside = torch.where(rivals, inside, torch.arange(every, device=inside.device) == 0)
    safe = torch.where(rivals, exact, torch.where(exact.isnan(), exact, 0.0))
    threshold = _threshold(safe, inside, alpha)
    terms = softplus(-alpha * (safe + threshold)).masked_fill(~relevance, 0.0)
    rows = torch.where(rivals | safe.isnan().any(-1, keepdim=True), terms, 0.0).sum(-1)
    return RowLosses(rows / relevant.squeeze(-1).clamp_min(1), (relevant.squeeze(-1) > 0).sum())
