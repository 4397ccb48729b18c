"""Logistic regression at every step size, the batch perceptron, and the bounds of both."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossviz.experiments.perceptron import (
    batch_perceptron,
    first_separation,
    lr_gd_perceptron,
    normalized_lr_gd,
)

DATA = torch.tensor([[1.0, -1.0], [-1.0, -4.0]]), torch.tensor([1, -1])
seeds = st.integers(0, 10**6)


def separable(seed: int, n: int = 12, d: int = 3) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Points at least 0.1 from a random boundary through 0, and R^2 / mu^2 for that boundary."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(
        torch.randn(d, generator=generator, dtype=torch.float64), dim=0
    )
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    signs = torch.where(features @ direction > 0, 1.0, -1.0).double()
    features = features + 0.1 * signs[:, None] * direction
    margin = (signs * (features @ direction)).min()  # at most the best one: a weaker bound
    return features, signs, (features.norm(dim=1).max() / margin).square().item()


def one_against_many(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.tensor([[0.5, -1.0]] + [[-0.5, -1.0]] * (n - 1))
    return features, torch.tensor([1] + [-1] * (n - 1))


def gradient(weights: torch.Tensor, features: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """Of the mean logistic loss, by automatic differentiation."""
    weights = weights.clone().requires_grad_()
    loss = torch.nn.functional.softplus(-signs * (features @ weights)).mean()
    return torch.autograd.grad(loss, weights)[0]


@given(seeds, st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_a_step_is_a_gradient_step_and_a_normalised_one_divides_by_the_mean_weight(seed, size):
    features, signs, _ = separable(seed)
    plain = lr_gd_perceptron(features, signs, step_size=size, steps=3)
    other = normalized_lr_gd(features, signs, step_size=size, steps=3)
    for t in range(3):
        expected = plain[t] - size * gradient(plain[t], features, signs)
        torch.testing.assert_close(plain[t + 1], expected)
        mean_weight = (-signs * (features @ other[t])).sigmoid().mean()
        if mean_weight > 1e-290:  # below, the quotient itself is lost, though not the step
            expected = other[t] - size * gradient(other[t], features, signs) / mean_weight
            torch.testing.assert_close(other[t + 1], expected)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_scaled_paths_tend_to_those_of_the_perceptrons(seed):
    features, signs, _ = separable(seed)
    rival = batch_perceptron(features, signs, steps=8)
    normal = batch_perceptron(features, signs, steps=8, normalized=True)
    end = first_separation(normal, features, signs) or 8
    size = 1e9
    scaled = lr_gd_perceptron(features, signs, step_size=size, steps=8) / size
    torch.testing.assert_close(scaled, rival, rtol=0, atol=1e-6)
    # normalised logistic regression walks on when all is right, the perceptron stops
    scaled = normalized_lr_gd(features, signs, step_size=size, steps=8) / size
    torch.testing.assert_close(scaled[: end + 1], normal[: end + 1], rtol=0, atol=1e-6)


@given(seeds, st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_separation_comes_within_the_bounds(seed, size):
    features, signs, ratio = separable(seed)
    n, largest = len(features), features.norm(dim=1).max().item()
    steps = math.ceil(min(n * ratio, 1000))
    reached = first_separation(batch_perceptron(features, signs, steps=steps), features, signs)
    assert reached is not None or n * ratio > steps
    steps = math.floor(ratio)
    path = batch_perceptron(features, signs, steps=steps, normalized=True)
    assert first_separation(path, features, signs) is not None
    steps = math.floor(ratio + 2 * math.log(2 * n - 1) * ratio / largest**2 / size)
    if steps < 1000:
        path = normalized_lr_gd(features, signs, step_size=size, steps=steps)
        assert first_separation(path, features, signs) is not None


def test_the_counts_of_the_published_table():
    """Tyurin (2025), table 1: 308 steps, and 2, 2, 16, 157 normalised; n = 1000 reproduces it."""
    data = one_against_many(1000)
    path = lr_gd_perceptron(*data, step_size=100.0, steps=320)
    assert first_separation(path, *data) == 308
    for size, count in ((100.0, 2), (10.0, 2), (1.0, 16), (0.1, 157)):
        path = normalized_lr_gd(*data, step_size=size, steps=160)
        assert first_separation(path, *data) == count


def test_the_loss_explodes_in_one_step_and_vanishes_in_the_next():
    path = lr_gd_perceptron(*DATA, step_size=1e4, steps=2)
    margins = (path @ DATA[0].double().T) * DATA[1]
    losses = torch.nn.functional.softplus(-margins).mean(1)
    assert losses[1] > 1e3 and losses[2] == 0
    expected = torch.tensor([[0.5, 0.75], [1.0, 0.25]], dtype=torch.float64)
    torch.testing.assert_close(path[1:] / 1e4, expected)


def test_the_perceptron_rests_once_all_is_right_and_the_normalised_regression_does_not():
    for normalized in (False, True):
        path = batch_perceptron(*DATA, steps=9, normalized=normalized)
        end = first_separation(path, *DATA)
        assert (path[end:] == path[end]).all()
    path = normalized_lr_gd(*DATA, step_size=1e4, steps=9)
    assert ((path.diff(dim=0).norm(dim=1)) > 1e4).all()


def test_no_separation_is_none():
    features, signs = torch.ones(2, 1), torch.tensor([1, -1])
    assert first_separation(batch_perceptron(features, signs, steps=5), features, signs) is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": [[1.0]]}, TypeError, "features must be a torch.Tensor, got list"),
        ({"features": torch.ones(2, 2).long()}, TypeError, "floating dtype, got torch.int64"),
        ({"features": torch.ones(2)}, ValueError, r"shape \(N, d\), got \(2,\)"),
        ({"features": torch.ones(0, 2)}, ValueError, r"shape \(N, d\), got \(0, 2\)"),
        ({"features": torch.full((2, 2), torch.nan)}, ValueError, "finite"),
        ({"signs": torch.tensor([0, 1])}, ValueError, "signs must hold -1 and 1, got 0"),
        ({"signs": torch.ones(3)}, ValueError, r"signs must have shape \(2,\), .* got \(3,\)"),
        ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
        ({"steps": 2.0}, TypeError, "steps must be an int, got float"),
        ({"step_size": 0.0}, ValueError, r"step_size must lie in \(0, ∞\), got 0.0"),
        ({"step_size": "1"}, TypeError, "step_size must be a number, got str"),
    ],
)
def test_bad_input_is_named(change, error, message):
    options = {"features": DATA[0], "signs": DATA[1], "steps": 2, "step_size": 1.0} | change
    for algorithm in (lr_gd_perceptron, normalized_lr_gd):
        with pytest.raises(error, match=message):
            algorithm(**options)
    if "step_size" not in change:
        del options["step_size"]
        with pytest.raises(error, match=message):
            batch_perceptron(**options)


def test_weights_of_another_width_are_named():
    with pytest.raises(ValueError, match=r"weights must have shape \(T, 2\), got \(3, 4\)"):
        first_separation(torch.zeros(3, 4), *DATA)
