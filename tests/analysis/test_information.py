"""Information where the answer is known, couplings, and attention without a softmax."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.analysis.attention import (
    crrelu,
    learning_rate_sensitivity,
    qk_layernorm_logits,
    recurrent_attention,
    reweighted_attention,
    softmax_regression,
    softplus_attention,
)
from lossviz.analysis.information import (
    canonical_information,
    cauchy_schwarz_divergence,
    cauchy_schwarz_information_bits,
    conditional_cauchy_schwarz,
    entropy_bits,
    gaussian_information,
    greedy_bottleneck,
    greedy_coupling,
    neighbour_information,
    pinball,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(correlation, rows=2000):
    x, noise = normal(rows, seed=1), normal(rows, seed=2)
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_normal_variables_have_the_information_of_their_correlation(correlation):
    x, y = pair(correlation)
    exact = gaussian_information(correlation)
    assert canonical_information(x, y).item() == pytest.approx(exact, abs=0.03)
    assert neighbour_information(x, y).item() == pytest.approx(exact, abs=0.06)


def test_what_is_not_linear_is_missed_by_correlations_and_seen_by_neighbours():
    x = normal(1000)
    y = x.square() + 0.1 * normal(1000, seed=3)
    assert canonical_information(x, y) < 0.02
    assert neighbour_information(x, y) > 1.0
    assert cauchy_schwarz_information_bits(x, y, sigma=1.0) > 0.02


def test_canonical_information_is_free_of_linear_maps():
    x, y = normal(200, 3), normal(200, 2, seed=1)
    y = y + x[:, :2]
    moved = canonical_information(x @ normal(3, 3, seed=5) + 4, -3 * y)
    torch.testing.assert_close(moved, canonical_information(x, y))
    with pytest.raises(ValueError, match="independent columns"):
        canonical_information(torch.cat([x, x[:, :1]], 1), y)


def test_the_divergence_of_a_sample_from_itself_is_zero_and_grows_with_distance():
    x = normal(50, 2)
    values = [cauchy_schwarz_divergence(x, x + shift, sigma=1.0) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert abs(values[0]) < 1e-12
    assert values[1] < values[2] < values[3]
    torch.testing.assert_close(
        cauchy_schwarz_divergence(x + 1, x, sigma=1.0), values[2], rtol=1e-12, atol=0
    )
    assert cauchy_schwarz_divergence(x, x + 1e4, sigma=1.0) == math.inf


def test_independent_rows_have_no_quadratic_information_and_a_variable_all_of_its_own():
    grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(5.0)).double()
    assert abs(cauchy_schwarz_information_bits(grid[:, 0], grid[:, 1], sigma=1.0)) < 1e-12
    x = normal(30)
    same = cauchy_schwarz_information_bits(x, x, sigma=1.0, normalised=True)
    assert same.item() == pytest.approx(1.0)


def test_perfect_predictions_have_no_conditional_divergence_and_worse_ones_more():
    x, y = pair(0.8, rows=60)
    values = [conditional_cauchy_schwarz(x, y, y + off, sigma=1.0) for off in (0.0, 0.3, 1.0)]
    assert abs(values[0]) < 1e-12
    assert 0 < values[1] < values[2]


def best_entropy(p, q):
    """The least entropy of any coupling: at a corner of the polytope, found by all orders."""
    least = math.inf
    for rows in itertools.permutations(range(len(p))):
        for columns in itertools.permutations(range(len(q))):
            left, right = [p[i] for i in rows], [q[j] for j in columns]
            masses, i, j = [], 0, 0
            while i < len(left) and j < len(right):
                mass = min(left[i], right[j])
                masses.append(mass)
                left[i] -= mass
                right[j] -= mass
                i, j = (i + 1, j) if left[i] <= 1e-15 else (i, j + 1)
            least = min(least, entropy_bits(torch.tensor(masses, dtype=torch.float64)).item())
    return least


@given(st.integers(0, 40))
def test_the_greedy_coupling_keeps_its_marginals_and_is_near_the_least_entropy(seed):
    p, q = normal(3, seed=seed).softmax(-1), normal(4, seed=seed + 99).softmax(-1)
    found = greedy_coupling(p, q)
    torch.testing.assert_close(found.joint.sum(1), p)
    torch.testing.assert_close(found.joint.sum(0), q)
    assert (found.joint >= 0).all()
    assert found.entropy_bits <= best_entropy(p.tolist(), q.tolist()) + 0.53
    assert found.entropy_bits >= max(entropy_bits(p), entropy_bits(q)) - 1e-9


@given(st.integers(0, 40), st.floats(0.0, 2.5))
def test_a_bottleneck_stays_within_its_rate_and_keeps_all_mass(seed, rate):
    p = normal(6, seed=seed).softmax(-1)
    masses = greedy_bottleneck(p, rate_bits=rate)
    assert entropy_bits(masses) <= rate + 1e-9
    assert masses.sum().item() == pytest.approx(1)
    assert (masses.diff() <= 0).all()


def test_the_quantile_loss_is_least_at_the_quantile():
    y = normal(1001)
    at = torch.linspace(-3, 3, 601, dtype=torch.float64)
    losses = torch.stack([pinball(guess.expand(1001), y, 0.8) for guess in at])
    assert at[losses.argmin()].item() == pytest.approx(y.quantile(0.8).item(), abs=0.011)


def attended(q, k, v):
    scores = q @ k.mT / math.sqrt(q.shape[1])
    hidden = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ v


@pytest.mark.parametrize("width", [1, 2, 3])
def test_enough_powers_of_the_score_are_softmax_attention(width):
    q, k, v = (normal(6, width, seed=s) for s in (0, 1, 2))
    assert (recurrent_attention(q, k, v, order=12) - attended(q, k, v)).abs().max() < 1e-4
    if width < 3:
        exact = recurrent_attention(q / 2, k / 2, v, order=14)
        torch.testing.assert_close(exact, attended(q / 2, k / 2, v), rtol=0, atol=1e-10)


def test_a_recurrent_step_sees_nothing_of_what_comes_later():
    q, k, v = (normal(6, 2, seed=s) for s in (0, 1, 2))
    late = v.clone()
    late[4:] = 9.0
    for whole in (
        lambda v: recurrent_attention(q, k, v, order=3),
        lambda v: softplus_attention(q, k, v).output,
    ):
        torch.testing.assert_close(whole(v)[:4], whole(late)[:4])


def test_attention_rows_sum_to_one_and_the_sharpened_ones_are_sharper():
    q, k, v = (normal(40, 8, seed=s) for s in (0, 1, 2))
    plain = softplus_attention(q, k, v)
    torch.testing.assert_close(plain.weights.sum(-1), torch.ones(40).double())
    sharp = reweighted_attention(plain.weights, v)
    assert (sharp.weights.triu(1) == 0).all()
    assert sharp.weights[-1].max() > 2 * plain.weights[-1].max()


def test_normalised_queries_and_keys_bound_the_logits_however_long_they_are():
    logits = qk_layernorm_logits(1e3 * normal(20, 9), 1e6 * normal(30, 9, seed=1))
    assert logits.abs().max() <= 3 + 1e-9


def test_the_corrected_unit_keeps_a_gradient_where_relu_is_shut_and_is_relu_at_zero_epsilon():
    x = torch.tensor([-0.5, -0.1], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(crrelu(x).sum(), x)
    assert (slope > 0).all()
    assert torch.equal(crrelu(x.detach(), epsilon=0.0), x.detach().clamp_min(0))
    at = torch.linspace(-3, 3, 101, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(crrelu, at[at.abs() > 0.01].detach().requires_grad_())


def test_the_gradient_of_softmax_regression_is_that_of_autograd():
    a, x, b = normal(5, 3), normal(3, seed=1).requires_grad_(), normal(5, seed=2).softmax(-1)
    loss = ((a @ x).softmax(-1) - b).square().sum() / 2
    (slope,) = torch.autograd.grad(loss, x)
    found = softmax_regression(a, x.detach(), b)
    torch.testing.assert_close(found.gradient, slope)
    torch.testing.assert_close(found.loss, loss.detach())


def test_runs_that_diverge_count_as_no_training():
    losses = [1.0, 2.0, 9.0, math.nan, math.inf]
    assert learning_rate_sensitivity(losses, initial=3.0, best=1.0).item() == pytest.approx(7 / 5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gaussian_information(1.5), "correlation"),
        (lambda: neighbour_information(normal(5), normal(4)), "5 rows"),
        (lambda: neighbour_information(normal(5), normal(5), neighbours=5), "neighbours"),
        (lambda: cauchy_schwarz_divergence(normal(5, 2), normal(5, 3), sigma=1.0), "one width"),
        (lambda: cauchy_schwarz_divergence(normal(5), normal(5), sigma=0.0), "sigma"),
        (lambda: canonical_information(normal(5) * math.nan, normal(5)), "finite"),
        (lambda: greedy_coupling([0.5, 0.6], [1.0]), "sum to 1"),
        (lambda: greedy_bottleneck([0.5, 0.5], rate_bits=-1.0), "rate_bits"),
        (lambda: pinball([1.0], [1.0], [1.5]), "quantile"),
        (lambda: recurrent_attention(normal(3, 2), normal(3, 2), normal(3, 1), order=-1), "order"),
        (lambda: softplus_attention(normal(3, 2), normal(4, 2), normal(4, 1)), "one shape"),
        (lambda: softmax_regression(normal(3, 2), normal(3), normal(3)), "a, x and b"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_normal_pair_has_no_information_without_and_all_with_perfect_correlation():
    assert gaussian_information(0.0) == 0
    assert gaussian_information(-1.0) == math.inf
