"""Both sides of the bound: terms that add up, a bound that holds, and where it may not."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import comp_sum
from lossviz.theory import (
    Constant,
    DiscreteDistribution,
    Finite,
    Linear,
    bounded_scores_counterexample,
    comp_sum_extremal_distribution,
    comp_sum_gamma,
    consistency_bound,
    hcons_bounded_ce_binary_gamma,
)

TAUS = (0.0, 0.5, 1.0, 1.5, 1.9, 2.0, 3.0)


@pytest.mark.parametrize("tau", TAUS)
def test_on_labels_the_bound_is_error_against_gamma_of_loss(tau: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(300, 5, generator=generator), torch.arange(300) % 5
    logits = logits + 2 * F.one_hot(labels, 5)
    bound = consistency_bound(logits, labels, tau=tau)
    loss = comp_sum(logits.double(), labels, tau=tau).item()
    error = (logits.argmax(1) != labels).double().mean().item()
    assert bound.left == pytest.approx(error, abs=1e-12)
    assert bound.inside == pytest.approx(loss, rel=1e-12)
    assert bound.right == pytest.approx(comp_sum_gamma(loss, tau=tau, n=5), rel=1e-12)
    assert bound.guaranteed
    assert bound.holds


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("n", [2, 3, 10])
def test_bound_holds_for_random_models_and_distributions(tau: float, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    for spread in (0.01, 0.1, 1.0, 5.0):
        p = torch.randn(20, n, generator=generator).double().softmax(1)
        noise = spread * torch.randn(20, n, generator=generator).double()
        bound = consistency_bound(p.log() + noise, p, tau=tau)
        assert bound.guaranteed
        assert bound.holds
        assert 0 <= bound.left <= 1


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_bound_is_an_equality_at_the_extremal_distribution(tau: float) -> None:
    """Both classes tied, the wrong one ahead by a hair."""
    p = comp_sum_extremal_distribution([0.4], tau=tau, n=4)
    bound = consistency_bound([[0.0, 1e-9, -60.0, -60.0]], p, tau=tau)
    assert bound.left == pytest.approx(0.4, rel=1e-12)
    assert bound.right == pytest.approx(0.4, rel=1e-8)


@pytest.mark.parametrize("tau", TAUS)
def test_the_hypothesis_set_splits_the_sides_and_keeps_their_totals(tau: float) -> None:
    """Constant scores are a complete set with a gap: what the risk loses, the gap gains."""
    p = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]], dtype=torch.float64)
    free = consistency_bound([[0.1, 0.0, 0.2]] * 2, p, tau=tau)
    constant = consistency_bound([[0.1, 0.0, 0.2]] * 2, p, tau=tau, hypotheses=Constant())
    assert constant.guaranteed
    assert constant.surrogate_gap > 0.01
    assert constant.zero_one_gap > 0.01
    assert constant.left == pytest.approx(free.left, abs=1e-12)
    assert constant.inside == pytest.approx(free.inside, rel=1e-9)


def test_without_logits_the_best_hypothesis_of_the_set_is_taken() -> None:
    inputs = torch.tensor([[-1.0], [0.2], [1.0]])
    distribution = DiscreteDistribution([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], inputs=inputs)
    bound = consistency_bound(None, distribution, hypotheses=Linear(2.0, 0.5))
    assert bound.surrogate_risk == pytest.approx(bound.best_surrogate_risk, rel=1e-9)
    assert bound.guaranteed  # two classes, bounded scores, cross-entropy
    assert bound.right == pytest.approx(
        hcons_bounded_ce_binary_gamma(bound.inside, Lambda=0.9), abs=1e-9
    )
    assert bound.holds


@pytest.mark.parametrize("reach", [0.1, 0.5, 2.0])
def test_bounded_binary_bound_holds_over_the_box(reach: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for prior in (0.5, 0.6, 1.0):
        scores = reach * (2 * torch.rand(8, 1, 2, generator=generator, dtype=torch.float64) - 1)
        for model in (*scores, torch.tensor([[-reach, -reach + 1e-6]], dtype=torch.float64)):
            bound = consistency_bound(model, [[prior, 1 - prior]], hypotheses=Constant(reach))
            assert bound.guaranteed
            assert bound.holds


def test_three_bounded_classes_break_the_bound_and_are_not_called_guaranteed() -> None:
    p, scores = bounded_scores_counterexample(0.3, 1e-8)
    bound = consistency_bound(scores[None], p[None], hypotheses=Constant(0.3))
    assert not bound.guaranteed
    assert not bound.holds
    assert bound.left == pytest.approx(0.1, rel=1e-9)


def test_finitely_many_hypotheses_are_not_called_guaranteed() -> None:
    scores = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    bound = consistency_bound(None, torch.tensor([[0.7, 0.3]]), hypotheses=Finite(scores))
    assert not bound.guaranteed
    assert bound.zero_one_risk == pytest.approx(0.3, rel=1e-6)


def test_terms_name_every_number() -> None:
    terms = consistency_bound([[2.0, 0.0], [0.0, 1.0]], [0, 1]).terms()
    expected = {
        "tau", "num_classes", "zero_one_risk", "best_zero_one_risk", "zero_one_gap",
        "surrogate_risk", "best_surrogate_risk", "surrogate_gap", "right", "guaranteed",
        "left", "inside", "slack",
    }  # fmt: skip
    assert set(terms) == expected
    assert all(math.isfinite(value) for value in terms.values())


def test_bound_can_be_followed_along_a_training_run() -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(200, 2, generator=generator)
    labels = (inputs @ torch.tensor([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])).argmax(1)
    weights = torch.zeros(2, 3, requires_grad=True)
    sides = []
    for _ in range(60):
        logits = inputs @ weights
        bound = consistency_bound(logits, labels)
        sides.append((bound.left, bound.right))
        assert bound.holds
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels), weights)
        weights = (weights - 3 * slope).detach().requires_grad_()
    assert sides[-1][1] < 0.75 < sides[0][1]
    assert sides[-1][0] < 0.1
