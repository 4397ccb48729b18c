"""Bad input is refused by an error that names the argument and what was got."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lossviz import theory
from lossviz.theory import DiscreteDistribution, Finite, Linear, OneHiddenLayer

HALF = [0.5, 0.5]
OF_BETA: list[Callable[..., Any]] = [
    theory.comp_sum_transform,
    theory.comp_sum_transform_exact_inf,
    theory.comp_sum_extremal_distribution,
]
OF_T: list[Callable[..., Any]] = [theory.comp_sum_gamma, theory.comp_sum_gamma_tilde]
OF_P: list[Callable[..., Any]] = [
    theory.comp_sum_conditional_min,
    lambda p, tau: theory.comp_sum_conditional_regret(p, 0, tau=tau),
    lambda p, tau: theory.brute_force_conditional_min(p, 0, tau=tau),
    lambda p, tau: theory.comp_sum_conditional_min_bounded(p, 1.0, tau=tau),
    lambda p, tau: theory.comp_sum_conditional_risk(p, [0.0, 0.0], tau=tau),
]


@pytest.mark.parametrize("function", OF_BETA)
@pytest.mark.parametrize("beta", [-0.1, 1.5, math.nan, [0.5, 2.0]])
def test_beta_outside_the_unit_interval(function: Callable[..., Any], beta: Any) -> None:
    got = beta[1] if isinstance(beta, list) else beta
    with pytest.raises(ValueError, match=rf"beta must lie in \[0, 1\], got {got}"):
        function(beta, tau=1, n=3)


@pytest.mark.parametrize("function", OF_BETA + OF_T)
def test_fewer_than_two_classes_or_a_wrong_tau(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="n must be at least 2 classes, got 1"):
        function(0.5, tau=1, n=1)
    with pytest.raises(TypeError, match=r"n must be an integer, got float: 2.5"):
        function(0.5, tau=1, n=2.5)
    with pytest.raises(ValueError, match=r"tau must lie in \[0, ∞\), got -1.0"):
        function(0.5, tau=-1, n=2)
    with pytest.raises(TypeError, match="must be an array of real numbers"):
        function("a half", tau=1, n=2)


@pytest.mark.parametrize("function", OF_T)
def test_negative_surrogate_regret(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"t must lie in \[0, inf\], got -0.1"):
        function(-0.1, tau=1, n=2)


@pytest.mark.parametrize("function", OF_P)
def test_what_is_not_a_distribution(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"p must sum to one, got a sum of 0.75"):
        function([0.5, 0.25], tau=1)
    with pytest.raises(ValueError, match=r"p must not be negative, got -0.5"):
        function([1.5, -0.5], tau=1)
    with pytest.raises(ValueError, match=r"p must have at least 2 classes, got shape \(1,\)"):
        function([1.0], tau=1)
    with pytest.raises(ValueError, match=r"p must have entries on its last axis"):
        function([], tau=1)
    with pytest.raises(ValueError, match="tau must lie in"):
        function(HALF, tau=-2.0)


def test_predictions_that_are_not_classes() -> None:
    with pytest.raises(ValueError, match=r"predicted must lie in \[0, 2\), got 2"):
        theory.comp_sum_conditional_regret(HALF, 2, tau=1)
    with pytest.raises(TypeError, match=r"predicted must hold integers, got dtype torch.float"):
        theory.comp_sum_conditional_regret(HALF, 1.0, tau=1)


def test_bounded_scores() -> None:
    with pytest.raises(ValueError, match=r"n must be 2: .* got 3"):
        theory.hcons_bounded_ce_binary(0.5, Lambda=0.3, n=3)
    with pytest.raises(ValueError, match="Lambda must be positive, got 0"):
        theory.hcons_bounded_ce_binary(0.5, Lambda=0)
    with pytest.raises(ValueError, match=r"t must lie in \[0, 1\], got 1.2"):
        theory.hcons_bounded_ce_binary(1.2, Lambda=1)
    with pytest.raises(ValueError, match=r"reach must lie in \[0, inf\], got -1.0"):
        theory.comp_sum_conditional_min_bounded(HALF, -1.0, tau=1)
    with pytest.raises(ValueError, match=r"Lambda must lie in .* for a tie, got 2.0"):
        theory.bounded_scores_counterexample(2.0)
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        theory.bounded_scores_counterexample(0.3, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: theory.Constant(-1.0), "Lambda must be a number >= 0 .*empty.*, got -1.0"),
        (lambda: theory.Constant(math.nan), "Lambda must be a number >= 0 .*, got nan"),
        (lambda: Linear(-1.0, 1.0), "weight must be a finite number >= 0 .*empty.*, got -1.0"),
        (lambda: Linear(1.0, math.inf), "bias must be a finite number >= 0 .*, got inf"),
        (lambda: OneHiddenLayer(0, 1.0, 1.0, 1.0), "width must be an integer >= 1 .*, got 0"),
        (lambda: OneHiddenLayer(3, -1.0, 1.0, 1.0), "outer must be a finite number >= 0"),
        (lambda: Finite(torch.zeros(0, 4, 3)), r"at least one hypothesis, got shape \(0, 4, 3\)"),
        (lambda: Finite([]), r"at least one hypothesis, got shape \(0,\)"),
    ],
)
def test_empty_hypothesis_sets(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiscreteDistribution([[0.5, 0.4]]), "conditional must sum to one, got .* 0.9"),
        (lambda: DiscreteDistribution([HALF], weights=[0.5]), "weights must sum to one, got"),
        (lambda: DiscreteDistribution([HALF], weights=HALF), r"weights must have shape \(1,\)"),
        (lambda: DiscreteDistribution(HALF), r"conditional must have shape \(N, n\).*got \(2,\)"),
        (lambda: DiscreteDistribution([HALF], inputs=[[1.0], [2.0]]), "inputs must have shape"),
        (lambda: DiscreteDistribution.of_labels([0, 3], 3), r"\[0, 3\), got 3"),
        (lambda: DiscreteDistribution.of_labels([], 3), r"labels must have shape \(N,\), N > 0"),
        (lambda: DiscreteDistribution([HALF]).inputs, "needs the distribution's inputs, got none"),
    ],
)  # fmt: skip
def test_distributions_that_are_none(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_bound_with_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"target must have shape \(2,\), got \(3,\)"):
        theory.consistency_bound([[0.0, 1.0]] * 2, [0, 1, 1])
    with pytest.raises(ValueError, match=r"logits must have shape \(1, 2\) .* got \(2, 2\)"):
        theory.consistency_bound([[0.0, 1.0]] * 2, [HALF])
    with pytest.raises(ValueError, match=r"logits must have shape \(N, n\), n >= 2, got \(2,\)"):
        theory.consistency_bound([0.0, 1.0], [0])
    with pytest.raises(ValueError, match="logits must be given"):
        theory.consistency_bound(None, [0, 1])
    with pytest.raises(ValueError, match=r"scores must have shape \(H, 1, 2\), got \(1, 2, 2\)"):
        theory.consistency_bound(
            None, torch.tensor([HALF]), hypotheses=Finite(torch.zeros(1, 2, 2))
        )


def test_gaps_and_growth() -> None:
    with pytest.raises(ValueError, match=r"pi must sum to one, got a sum of 2.0"):
        theory.minimizability_gap_constant_h([1.0, 1.0], tau=1)
    with pytest.raises(ValueError, match=r"pointwise must not exceed best, got 2.0 and 1.0"):
        theory.minimizability_gap_constant_margin(1.0, 2.0, tau=1)
    with pytest.raises(ValueError, match="tau must lie in"):
        theory.minimizability_gap(DiscreteDistribution([HALF]), theory.Complete(), tau=-1)
    with pytest.raises(ValueError, match=r"beta must lie in \(0, 1\], got 0.0"):
        theory.growth_exponent([0.0, 0.1], [0.1, 0.2])
    with pytest.raises(ValueError, match="largest must be positive, got 0"):
        theory.margin_transform(torch.relu, 0.5, largest=0)


def test_a_hypothesis_set_must_say_what_it_can_reach():
    from lossviz.theory import HypothesisSet

    with pytest.raises(TypeError, match="abstract"):
        HypothesisSet()


def test_a_finite_set_says_that_it_has_no_reach():
    distribution = DiscreteDistribution([[0.5, 0.5]])
    with pytest.raises(TypeError, match="Finite set has no reach"):
        Finite([[[0.0, 1.0]]]).reach(distribution)
