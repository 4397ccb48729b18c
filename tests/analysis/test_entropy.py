"""Entropy under updates, budgets and samplers: derivatives, enumeration, limits, bad input."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.analysis import token_covariance
from lossviz.analysis.alignment import (
    best_of_n,
    best_of_n_estimate,
    kl_constrained_optimum,
    tilted_policy,
    win_rate,
)
from lossviz.analysis.attempts import pass_at_k
from lossviz.analysis.divergence import divergences, sampled_divergences
from lossviz.analysis.entropies import entropy
from lossviz.analysis.policy import (
    entropy_change,
    logit_update,
    steer_weights,
    token_entropy_change,
)
from lossviz.analysis.reward_law import reward_entropy_forecast, reward_entropy_law
from lossviz.analysis.sampling import (
    entropy_switch,
    mirostat_k,
    top_k_zipf_cross_entropy,
    zipf_exponent,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_covariance_misses_the_exact_change_by_the_square_of_the_step():
    z, direction = normal(20), normal(20, seed=1)
    sizes = torch.tensor([1e-1, 1e-2, 1e-3], dtype=torch.float64)
    changes = [entropy_change(z, size * direction) for size in sizes]
    misses = torch.stack([(change.exact - change.predicted).abs() for change in changes])
    slopes = misses.log().diff() / sizes.log().diff()
    assert ((slopes - 2).abs() < 0.1).all()


def test_at_the_uniform_policy_no_small_step_changes_the_entropy():
    change = entropy_change(torch.zeros(6), 1e-4 * normal(6))
    assert change.predicted.abs() < 1e-18
    assert change.exact.abs() < 1e-7


def test_ruled_out_tokens_add_nothing_to_the_entropy_and_leave_its_gradient_finite():
    z = torch.tensor([0.0, math.log(3), -math.inf], dtype=torch.float64, requires_grad=True)
    value = entropy(z)
    assert value.item() == pytest.approx(0.5623351, abs=1e-7)
    (slope,) = torch.autograd.grad(value, z)
    torch.testing.assert_close(slope[:2], torch.tensor([0.2059898, -0.2059898]).double())
    assert slope[2] == 0


@given(st.integers(0, 4), st.sampled_from([1.0, -2.0]), st.integers(0, 50))
def test_the_change_by_one_token_is_the_derivative_along_its_policy_gradient(
    token, advantage, seed
):
    z = (2 * normal(5, seed=seed)).requires_grad_()
    p = z.softmax(-1)
    (up,) = torch.autograd.grad(advantage * p[token] / p[token].detach(), z)
    (slope,) = torch.autograd.grad(entropy(z), z)
    found = token_entropy_change(z.detach(), token, advantage=advantage)
    torch.testing.assert_close(found.all_logits, slope @ up)
    torch.testing.assert_close(found.own_logit, slope[token] * up[token])


def test_raising_a_token_that_surprises_more_than_the_average_raises_the_entropy():
    z = torch.tensor([2.0, 0.0, -1.0, -2.0])
    assert token_entropy_change(z, 3).all_logits > 0
    assert token_entropy_change(z, 0).all_logits < 0


def test_a_logit_update_is_the_gradient_of_the_log_probability():
    z = normal(6).requires_grad_()
    (slope,) = torch.autograd.grad(z.log_softmax(-1)[2], z)
    torch.testing.assert_close(logit_update(z.detach(), 2), slope)
    torch.testing.assert_close(logit_update(z.detach(), 2, reward=-1.0), -slope)
    assert logit_update(z.detach(), 2).sum().abs() < 1e-12


def test_rewarding_and_punishing_move_a_tabular_policy_alike_on_average():
    """The expected update with rewards R and with R - 1 is the same: a baseline changes nothing."""
    z, reward = normal(5), torch.tensor([1.0, 0, 1, 0, 0]).double()
    p = z.softmax(-1)
    expected = [
        sum(p[a] * logit_update(z, a, reward=(reward[a] - base).item()) for a in range(5))
        for base in (0.0, 1.0)
    ]
    torch.testing.assert_close(*expected)


def test_the_law_is_found_where_it_holds_and_refused_where_nothing_varies():
    h = torch.linspace(0.1, 2, 30, dtype=torch.float64)
    law = reward_entropy_law(h, 0.9 - 0.1 * h.exp())
    torch.testing.assert_close(torch.stack(law), torch.tensor([0.1, 0.9]).double())
    assert law.ceiling.item() == pytest.approx(0.8)
    with pytest.raises(ValueError, match="must vary"):
        reward_entropy_law(torch.ones(5), h[:5])


def course(count=120, noise=0.004, seed=0):
    """Entropy and reward of a run that follows the law with a = 0.1, b = 0.9."""
    h = torch.linspace(1.6, 0.2, count, dtype=torch.float64)
    return h, 0.9 - 0.1 * h.exp() + noise * normal(count, seed=seed)


def test_intervals_of_the_law_hold_the_truth_about_as_often_as_they_say():
    held = [
        [i.low <= truth <= i.high for i, truth in ((f.a, 0.1), (f.b, 0.9), (f.ceiling, 0.8))]
        for seed in range(200)
        for f in [reward_entropy_forecast(*course(seed=seed), draws=200)]
    ]
    share = torch.tensor(held).double().mean(0)
    assert ((share > 0.85) & (share < 0.99)).all(), share


def test_the_law_is_tried_on_the_last_third_which_it_has_not_seen():
    h, r = course()
    found = reward_entropy_forecast(h, r)
    late = reward_entropy_forecast(h, torch.cat([r[:80], r[80:] + 0.05]))
    assert found.held_out == 40
    assert found.r_squared > 0.99
    assert found.missed < 0.01 < late.missed
    assert found.law == late.law


@pytest.mark.parametrize(
    ("h", "r", "said"),
    [
        (torch.full((20,), 0.5), torch.rand(20), "must vary"),
        (torch.full((20,), 0.5), torch.linspace(0, 1, 20), "must vary"),
        (torch.linspace(1, 0, 60), torch.linspace(-1, 1, 60).abs(), "fall with entropy"),
        (torch.linspace(1, -0.1, 60), torch.linspace(0, 1, 60), "negative"),
        (torch.linspace(1, 0, 60), torch.full((60,), math.nan), "finite"),
        (torch.linspace(1, 0, 6), torch.linspace(0, 1, 6), "T >= 12"),
    ],
)
def test_the_law_is_refused_where_it_cannot_hold(h, r, said):
    with pytest.raises(ValueError, match=said):
        reward_entropy_forecast(h, r)


def test_a_forecast_leaves_steps_to_fit_and_more_than_one_block():
    h = torch.linspace(2, 0.2, 12)
    with pytest.raises(ValueError, match="held_out must leave"):
        reward_entropy_forecast(h, 1 - h, held_out=0.9)
    with pytest.raises(ValueError, match="block must be less"):
        reward_entropy_forecast(h, 1 - h, held_out=0.0, block=12)  # all draws would be one


def test_masked_tokens_have_no_covariance_and_no_weight():
    a, logp, mask = normal(3, 4), -normal(3, 4, seed=1).abs(), torch.ones(3, 4)
    mask[1, 2:] = 0
    poisoned = torch.where(mask > 0, logp, math.nan)
    covariance = token_covariance(a, poisoned, mask)
    assert (covariance[mask == 0] == 0).all()
    kept = mask.bool()
    exact = torch.cov(torch.stack((a[kept], logp[kept])), correction=0)[0, 1]
    assert covariance.sum().item() == pytest.approx((exact * kept.sum()).item())
    weights, _ = steer_weights(a, poisoned, poisoned, torch.ones(3, 4), mask)
    assert (weights[mask == 0] == 0).all()
    assert ((weights[kept] >= 0.8 - 1e-12) & (weights[kept] <= 1)).all()
    assert weights[kept].min().item() == pytest.approx(0.8)


def answers(seed):
    p = normal(5, seed=seed).softmax(-1)
    reward = torch.tensor([0.0, 1.0, 1.0, 2.0, 5.0])[torch.randperm(5)]
    return p, reward.double()


@given(st.integers(1, 4), st.integers(0, 30))
def test_the_best_of_n_is_what_enumeration_of_all_draws_gives(n, seed):
    p, r = normal(4, seed=seed).softmax(-1), torch.tensor([0.0, 1.0, 1.0, 3.0]).double()
    policy = torch.zeros(4, dtype=torch.float64)
    for draw in itertools.product(range(4), repeat=n):
        best = [k for k in draw if r[k] == max(r[list(draw)])]
        for k in best:
            policy[k] += math.prod(p[list(draw)].tolist()) / len(best)
    found = best_of_n(p, r, samples=n)
    torch.testing.assert_close(found.policy, policy)
    assert found.kl <= math.log(n) - (n - 1) / n + 1e-12


def test_a_large_n_leaves_the_best_answers_alone_with_all_digits():
    p, r = torch.tensor([1 - 1e-9, 1e-9]).double(), torch.tensor([0.0, 1.0])
    found = best_of_n(p, r, samples=10**6)
    assert found.policy[1].item() == pytest.approx(1 - (1 - 1e-9) ** 10**6, rel=1e-6)


def test_a_level_so_rare_that_all_others_sum_to_1_keeps_its_share():
    count = torch.arange(161).double()
    ways = math.lgamma(161) - (count + 1).lgamma() - (161 - count).lgamma()
    law = (ways + count * math.log(0.3) + (160 - count) * math.log(0.7)).softmax(0)
    found = best_of_n(law, count, samples=round(math.exp(32)))
    assert found.policy.sum().item() == pytest.approx(1)
    assert 30 < found.kl < 32 - 1 + 1e-9


@given(st.floats(0.01, 3.0), st.integers(0, 30))
def test_no_policy_as_near_earns_more_than_the_tilted_one(beta, seed):
    p, r = normal(5, seed=seed).softmax(-1), normal(5, seed=seed + 100)
    best = tilted_policy(p, r, beta=beta)
    others = (best.policy.log() + 0.3 * normal(200, 5, seed=seed)).softmax(-1)
    kl = (others * (others / p).log()).sum(-1)
    near = kl <= best.kl
    assert (others[near] @ r <= best.reward + 1e-12).all()
    spent = kl_constrained_optimum(p, r, budget=best.kl.item())
    torch.testing.assert_close(spent.policy, best.policy, rtol=1e-6, atol=1e-9)


def test_a_budget_beyond_the_best_answers_buys_nothing_more():
    p, r = [0.5, 0.3, 0.2], [0.0, 1.0, 1.0]
    found = kl_constrained_optimum(p, r, budget=10.0)
    assert found.beta == math.inf
    torch.testing.assert_close(found.policy, torch.tensor([0.0, 0.6, 0.4]).double())
    same = kl_constrained_optimum(p, [1.0, 1.0, 1.0], budget=1.0)
    torch.testing.assert_close(same.policy, torch.tensor(p).double())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tilted_policy([0.5, 0.6], [0, 1], beta=1.0), "sum to 1"),
        (lambda: tilted_policy([0.5, 0.5], [0, 1], beta=-1.0), "beta"),
        (lambda: tilted_policy([0.5, 0.5], [0, math.nan], beta=1.0), "reward"),
        (lambda: best_of_n([0.5, 0.5], [0, 1], samples=0), "samples"),
        (lambda: kl_constrained_optimum([0.5, 0.5], [0, 1], budget=-1.0), "budget"),
        (lambda: entropy_change([0.0, 1.0], [1.0]), "step"),
        (lambda: token_entropy_change([0.0, 1.0], 2), "token"),
        (lambda: divergences([0.5, 0.5], [0.2, 0.3, 0.5]), "one length"),
        (lambda: sampled_divergences(torch.zeros(2), torch.zeros(2), alpha=1.0), "alpha"),
        (lambda: zipf_exponent([1.0, 0.0]), "fall"),
        (lambda: top_k_zipf_cross_entropy(0, vocabulary=5, exponent=1.0), "k must"),
        (lambda: mirostat_k(0.0, 3.0, vocabulary=10), "exponent"),
        (lambda: mirostat_k(math.inf, 3.0, vocabulary=10), "exponent"),
        (lambda: zipf_exponent([0.6, 0.4], most=-5), "most"),
        (lambda: top_k_zipf_cross_entropy(2, vocabulary=5, exponent=math.inf), "finite"),
        (lambda: top_k_zipf_cross_entropy(2.5, vocabulary=5, exponent=1.0), "whole number"),
        (lambda: entropy_switch([math.inf, 5.0, 5.0], threshold=1.0, window=1), "finite"),
        (lambda: entropy_switch([1.0], threshold=math.nan), "threshold"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_mean_of_the_terms_over_the_reference_is_the_divergence():
    p, q = normal(6).softmax(-1), normal(6, seed=1).softmax(-1)
    terms, exact = sampled_divergences(p.log(), q.log()), divergences(p, q)
    torch.testing.assert_close((q * terms.forward_kl).sum(), exact.forward_kl)
    torch.testing.assert_close((q * terms.jensen_shannon).sum(), 2 * exact.jensen_shannon)
    torch.testing.assert_close((q * terms.alpha).sum(), exact.alpha)


def test_a_lost_mode_costs_forward_kl_without_bound_and_jensen_shannon_at_most_log_2():
    found = divergences([1.0, 0.0], [0.0, 1.0])
    assert found.forward_kl == math.inf
    assert found.jensen_shannon.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.3])
def test_the_exponent_of_a_zipf_law_is_found(exponent):
    law = torch.arange(1, 400, dtype=torch.float64) ** -exponent
    assert zipf_exponent(law / law.sum()) == pytest.approx(exponent, abs=1e-9)


def test_the_equation_for_k_is_continuous_in_the_exponent_and_may_leave_the_vocabulary():
    assert mirostat_k(1.0, 2.0, vocabulary=50_000) == pytest.approx(4 / math.log(50_000))
    assert mirostat_k(1.2, 1e4, vocabulary=50_000) == math.inf
    assert mirostat_k(1.2, -1e4, vocabulary=50_000) == 0
    near = [mirostat_k(1 + d, 6.0, vocabulary=50_000) for d in (-1e-9, 0.0, 1e-9)]
    assert near[0] == pytest.approx(near[1], rel=1e-6) == pytest.approx(near[2], rel=1e-6)


@pytest.mark.parametrize("draws", [5, 7])
def test_the_estimate_is_the_mean_of_the_best_over_all_choices(draws):
    r = normal(2, draws)
    r[0, 1] = r[0, 3]
    for n in range(1, draws + 1):
        best = [r[:, list(c)].amax(1) for c in itertools.combinations(range(draws), n)]
        torch.testing.assert_close(best_of_n_estimate(r, n), torch.stack(best).mean(0))


def test_the_large_model_writes_where_the_mean_of_the_last_entropies_is_high():
    entropy = [0.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    assert entropy_switch(entropy, threshold=1.5, window=2).tolist() == [0, 0, 1, 1, 0, 0]
    assert entropy_switch(entropy, threshold=1.5, window=1).tolist() == [0, 0, 1, 0, 0, 0]
    assert entropy_switch([9.0], threshold=1.0).tolist() == [1]
    assert entropy_switch([], threshold=1.0).tolist() == []


def test_a_model_that_has_taken_over_stays_for_as_long_as_was_asked():
    entropy = [0.0, 4.0, 0.0, 4.0, 0.0, 0.0, 4.0, 0.0]
    chosen = entropy_switch(entropy, threshold=1.0, window=1, stay=3)
    assert chosen.tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="stay"):
        entropy_switch(entropy, threshold=1.0, stay=0)


def test_the_estimate_of_rewards_of_0_and_1_is_pass_at_k_also_for_many_draws():
    r = torch.zeros(10_000, dtype=torch.float64)
    r[:3] = 1
    for n in (1, 100, 5000):
        expected = pass_at_k(10_000, 3, n)
        assert best_of_n_estimate(r, n).item() == pytest.approx(expected, rel=1e-8)


def test_the_best_of_n_wins_n_times_of_n_plus_one_without_ties_and_less_with_them():
    p = torch.full((4000,), 1 / 4000, dtype=torch.float64)
    r = torch.arange(4000.0)
    for n in (1, 3, 10):
        policy = best_of_n(p, r, samples=n).policy
        assert win_rate(policy, p, r).item() == pytest.approx(n / (n + 1), abs=1e-3)
    assert win_rate([0.0, 1.0], [0.5, 0.5], [0.0, 0.0]).item() == 0.5
    assert win_rate([0.0, 1.0], [0.5, 0.5], [0.0, 1.0]).item() == 0.75


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: best_of_n_estimate([1.0, 2.0], 3), "at least 3 draws"),
        (lambda: best_of_n_estimate([1.0, math.nan], 1), "finite"),
        (lambda: best_of_n_estimate([1.0], 0), "samples"),
        (lambda: win_rate([1.0], [0.5, 0.5], [0, 1]), "policy"),
    ],
)
def test_estimates_that_cannot_be_are_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()
