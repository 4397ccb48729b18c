"""Minimisability gaps: closed forms, ends, and what tau and the bounds of a set do to them."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from lossviz.theory import (
    Complete,
    Constant,
    DiscreteDistribution,
    Finite,
    Linear,
    OneHiddenLayer,
    comp_sum_conditional_min,
    minimizability_gap,
    minimizability_gap_constant_h,
    minimizability_gap_constant_margin,
    zero_one_minimizability_gap,
)

TAUS = (0.0, 0.5, 1.0, 1.5, 1.9, 2.0, 3.0)
PI = torch.tensor([0.42, 0.35, 0.15, 0.08], dtype=torch.float64)
SURE = DiscreteDistribution(torch.eye(4), weights=PI)


def noisy(points: int = 8, classes: int = 3) -> DiscreteDistribution:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(points, 2, generator=generator).double()
    scores = 2 * torch.randn(points, classes, generator=generator).double()
    return DiscreteDistribution(scores.softmax(1), inputs=inputs)


def line(classes: int = 2) -> DiscreteDistribution:
    """Inputs -1 and 1 with opposite, sure labels: margins are all that is left to choose."""
    return DiscreteDistribution(torch.eye(classes)[:2], inputs=[[-1.0], [1.0]])


@pytest.mark.parametrize("tau", TAUS)
def test_complete_sets_have_no_gap(tau: float) -> None:
    assert minimizability_gap(noisy(), Complete(), tau=tau) == 0
    assert zero_one_minimizability_gap(noisy(), Complete()) == 0


@pytest.mark.parametrize("tau", TAUS)
def test_gap_of_constant_scores_is_the_minimum_at_the_label_marginal(tau: float) -> None:
    closed = minimizability_gap_constant_h(PI, tau=tau).item()
    assert closed == pytest.approx(comp_sum_conditional_min(PI, tau=tau).item(), rel=1e-15)
    assert minimizability_gap(SURE, Constant(), tau=tau) == pytest.approx(closed, rel=1e-12)
    if tau == 1:
        entropy = minimizability_gap_constant_h([0.5, 0.3, 0.2], tau=1)
        assert entropy == pytest.approx(1.0297, abs=5e-5)


@pytest.mark.parametrize("tau", TAUS)
def test_gap_of_bounded_constant_scores_grows_with_the_bound_to_the_unbounded_one(
    tau: float,
) -> None:
    bounds = [0.0, 0.3, 1.0, 2.0, 40.0, math.inf]
    closed = [minimizability_gap_constant_h(PI, tau=tau, Lambda=b).item() for b in bounds]
    found = [minimizability_gap(SURE, Constant(b), tau=tau) for b in bounds]
    np.testing.assert_allclose(found, closed, rtol=1e-9, atol=1e-14)
    assert closed[0] == pytest.approx(0, abs=1e-15)
    assert (np.diff(closed) > -1e-12).all()


@pytest.mark.parametrize("tau", TAUS)
def test_linear_scores_on_two_opposite_points_have_no_gap(tau: float) -> None:
    """The best margin at each point, weight + bias against -(weight + bias), is out of reach only
    through the biases; with bias 0 one hypothesis serves both points."""
    assert minimizability_gap(line(), Linear(1.5, 0.0), tau=tau) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("tau", TAUS)
def test_gap_of_linear_scores_with_biases_has_its_closed_form(tau: float) -> None:
    """A bias helps at one point and harms at the other: the best margin stays 2 weight, while
    pointwise it is 2 (weight + bias). The margin is constant, so the closed form applies."""
    found = minimizability_gap(line(), Linear(1.0, 0.5), tau=tau)
    closed = minimizability_gap_constant_margin(math.exp(-2), math.exp(-3), tau=tau)
    if tau <= 1:
        assert found == pytest.approx(closed, rel=1e-7)
    else:  # where the loss is not convex other margins may do better
        assert 0 <= found <= closed + 1e-9


@pytest.mark.parametrize("tau", TAUS)
def test_gap_is_nonnegative_and_at_most_that_of_a_smaller_set_plus_what_its_reach_adds(
    tau: float,
) -> None:
    """Best-in-class risks fall as sets grow: constants are the linear scores of weight 0."""
    distribution = noisy()
    sets = [Constant(1.0), Linear(0.5, 1.0), Linear(2.0, 1.0)]
    risks = [h.best_comp_sum_risk(distribution, tau=tau) for h in sets]
    assert (np.diff(risks) <= 1e-9).all()
    for hypotheses, risk in zip(sets, risks, strict=True):
        pointwise = hypotheses.pointwise_comp_sum_risk(distribution, tau=tau)
        assert pointwise <= risk + 1e-12
        assert minimizability_gap(distribution, hypotheses, tau=tau) == pytest.approx(
            risk - pointwise
        )


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5, 2.0])
def test_linear_scores_of_weight_zero_are_the_constant_ones(tau: float) -> None:
    linear = minimizability_gap(noisy(), Linear(0.0, 0.8), tau=tau)
    assert linear == pytest.approx(minimizability_gap(noisy(), Constant(0.8), tau=tau), rel=1e-7)


def test_a_hidden_layer_solves_what_linear_scores_cannot() -> None:
    """Exclusive or: the best linear scores are all zero, a hidden layer separates the classes."""
    inputs = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    distribution = DiscreteDistribution.of_labels(labels, 2, inputs=inputs)
    linear, network = Linear(2.0, 1.0), OneHiddenLayer(4, 2.0, 1.0, 1.0, starts=2)
    assert linear.best_comp_sum_risk(distribution, tau=1) == pytest.approx(math.log(2), rel=1e-9)
    assert network.best_comp_sum_risk(distribution, tau=1) < 0.5
    assert network.best_zero_one_risk(distribution) == 0
    assert minimizability_gap(distribution, network, tau=1) > 0


@pytest.mark.parametrize("starts", [1, 4])
def test_least_zero_one_risk_is_found_where_every_surrogate_misses_it(starts: int) -> None:
    """Scores +-wx: a far input pulls every surrogate to w < 0, which is wrong on 60 %."""
    distribution = DiscreteDistribution.of_labels(
        [0, 1], 2, weights=[0.6, 0.4], inputs=[[1.0], [10.0]]
    )
    line = Linear(1.0, 0.0, starts=starts)
    assert distribution.zero_one_risk(line.best_scores(distribution, tau=1.0)) == pytest.approx(0.6)
    assert line.best_zero_one_risk(distribution) == pytest.approx(0.4)
    assert zero_one_minimizability_gap(distribution, line) == pytest.approx(0.4)


@pytest.mark.parametrize("hypotheses", [Linear(1.3, 0.4), OneHiddenLayer(3, 1.5, 0.8, 0.4, 2)])
def test_trained_scores_stay_within_reach(hypotheses: Linear | OneHiddenLayer) -> None:
    distribution = noisy()
    scores = hypotheses.best_scores(distribution, tau=1)
    assert (scores.abs().amax(1) <= hypotheses.reach(distribution) + 1e-12).all()


def test_gap_of_finitely_many_hypotheses_by_hand() -> None:
    """Two inputs, two hypotheses, each right where the other is wrong."""
    scores = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    distribution = DiscreteDistribution(torch.eye(2), weights=[0.75, 0.25])
    wrong, right = math.log1p(math.e), math.log1p(math.exp(-1))
    gap = minimizability_gap(distribution, Finite(scores), tau=1)
    assert gap == pytest.approx(0.25 * (wrong - right), rel=1e-12)
    assert zero_one_minimizability_gap(distribution, Finite(scores)) == pytest.approx(0.25)


@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0, 1.5, 2.0, 4.0])
def test_constant_margin_gap_is_its_integral(tau: float) -> None:
    closed = minimizability_gap_constant_margin(0.9, 0.2, tau=tau)
    integral = mpmath.quad(lambda u: (1 + u) ** -tau, [0.2, 0.9])
    assert closed == pytest.approx(float(integral), rel=1e-12)


def test_constant_margin_gap_does_not_increase_with_tau() -> None:
    gaps = [minimizability_gap_constant_margin(2.0, 0.1, tau=t) for t in np.linspace(0, 4, 30)]
    assert (np.diff(gaps) < 0).all()
