"""Decoupled softmax against a loop over the relevant candidates of each query."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.losses import decoupled_softmax

SCORES = 3 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
RELEVANCE = torch.tensor(
    [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1]]
)


def test_equals_a_loop_over_relevant_candidates() -> None:
    expected = []
    for scores, relevance in zip(SCORES.tolist(), RELEVANCE.tolist(), strict=True):
        rivals = sum(math.exp(s) for s, r in zip(scores, relevance, strict=True) if not r)
        terms = [
            math.log((math.exp(s) + rivals) / math.exp(s))
            for s, r in zip(scores, relevance, strict=True)
            if r
        ]
        expected.append(sum(terms) / len(terms))
    got = decoupled_softmax(SCORES, RELEVANCE, reduction="none")
    assert got.tolist() == pytest.approx(expected, rel=1e-12)


def test_queries_without_relevant_candidates_leave_the_mean_to_the_others() -> None:
    relevance = RELEVANCE.clone()
    relevance[1:3] = 0
    scores = SCORES.clone().requires_grad_()
    mean = decoupled_softmax(scores, relevance)
    rows = decoupled_softmax(SCORES, relevance, reduction="none")
    torch.testing.assert_close(mean, decoupled_softmax(SCORES[[0, 3]], RELEVANCE[[0, 3]]))
    assert torch.equal(rows[1:3], torch.zeros(2).double())
    mean.backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad[1:3], torch.zeros(2, 6).double())


def test_the_mean_over_no_query_is_undefined() -> None:
    assert decoupled_softmax(SCORES, torch.zeros_like(RELEVANCE)).isnan()


@pytest.mark.parametrize("factor", [1e3, 1e30])
def test_large_scores_give_the_lead_of_the_best_rival(factor: float) -> None:
    got = decoupled_softmax(factor * SCORES, RELEVANCE, reduction="none") / factor
    best = SCORES.masked_fill(RELEVANCE == 1, -math.inf).amax(1, keepdim=True)
    leads = (best - SCORES).clamp_min(0) * RELEVANCE
    torch.testing.assert_close(got, leads.sum(1) / RELEVANCE.sum(1))


def test_an_impossible_rival_does_not_count() -> None:
    scores = SCORES.clone()
    scores[0, 1] = -math.inf
    leaf = scores.requires_grad_()
    loss = decoupled_softmax(leaf[:1], RELEVANCE[:1])
    without = [0, 2, 3, 4, 5]
    torch.testing.assert_close(loss, decoupled_softmax(SCORES[:1, without], RELEVANCE[:1, without]))
    (slope,) = torch.autograd.grad(loss, leaf)
    assert slope.isfinite().all()
