"""Softmax losses for queries with several right answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...declaration import (
    Fact,
    Gradient,
    Loss,
    RowLosses,
    Source,
    convex,
    declare,
    row_dtype,
    softplus,
    unbounded,
)
from . import RANKED


def _gradient(scores: torch.Tensor, relevance: torch.Tensor) -> torch.Tensor:
    weights = scores.exp()
    rivals = weights.masked_fill(relevance, 0.0).sum(-1, keepdim=True)
    # of each positive: one minus its share, over the sum that it is compared with
    missing = relevance * rivals / (weights + rivals)
    push = weights * (relevance / (weights + rivals)).sum(-1, keepdim=True)
    return torch.where(relevance, -missing, push) / relevance.sum(-1, keepdim=True)


def _at_most_softmax(loss: Loss) -> None:
    scores, relevance = loss.inputs.example(B=200, scale=3.0)
    even = relevance / relevance.sum(-1, keepdim=True)
    softmax = F.cross_entropy(scores, even, reduction="none")
    assert (loss(scores, relevance, reduction="none") <= softmax + 1e-12).all()


@declare(
    family="ranking",
    inputs=RANKED,
    latex=r"\ell(s, P) = \frac{1}{|P|} \sum_{p \in P} -\log "
    r"\frac{e^{s_p}}{e^{s_p} + \sum_{n \notin P} e^{s_n}}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s_p} = -\frac{1 - \pi_{pp}}{|P|}, \qquad "
        r"\frac{\partial \ell}{\partial s_n} = \frac{1}{|P|} \sum_{p \in P} \pi_{pn}, \qquad "
        r"\pi_{pj} = \frac{e^{s_j}}{e^{s_p} + \sum_{k \notin P} e^{s_k}}",
        _gradient,
    ),
    source=Source("gupta2024dual", "the decoupled softmax loss"),
    facts=(
        Fact(
            "One relevant candidate: cross-entropy",
            lambda scores, relevance: (
                decoupled_softmax(scores, F.one_hot(scores.argmin(-1), scores.shape[-1])),
                F.cross_entropy(scores, scores.argmin(-1)),
            ),
        ),
        Fact(
            "Only relevant candidates cost nothing, in whatever order (both sides plus 1)",
            lambda scores, relevance: (
                1 + decoupled_softmax(scores, torch.ones_like(relevance)),
                torch.ones(()).double(),
            ),
        ),
        Fact(
            "Never above cross-entropy with the label spread evenly over the relevant candidates: "
            "there they compete with each other.",
            holds=_at_most_softmax,
        ),
        convex(why="a sum of log-sum-exps minus linear functions"),
        unbounded(how="linearly in the lead of an irrelevant candidate"),
    ),
    stability="Candidates are masked by the smallest finite number, not by -100 as in the paper's "
    "code, which is right only while scores stay small.",
    notes="Scores arrive as they are: the paper divides cosines by a temperature of 0.05 before.",
    related=("cross_entropy", "nt_xent"),
    also=(
        "multi-label retrieval",
        "dual encoder",
        "extreme classification",
        "several positives",
        "ranking",
    ),
    use="A query has several right candidates, and they should not compete with each other.",
    avoid="There is one right candidate: it is cross-entropy then.",
)
def decoupled_softmax(scores: torch.Tensor, relevance: torch.Tensor) -> RowLosses:
    """Decoupled softmax: each relevant candidate competes with the irrelevant ones alone.

    A query without relevant candidates has loss 0 and does not count in the mean.
    """
    scores = scores.to(row_dtype(scores))
    least = torch.finfo(scores.dtype).min
    rivals = scores.masked_fill(relevance, least).logsumexp(-1, keepdim=True)
    terms = softplus(rivals - scores).masked_fill(~relevance, 0.0)
    count = relevance.sum(-1)
    return RowLosses(terms.sum(-1) / count.clamp_min(1), denominator=(count > 0).sum())
