"""Naive Bayes and logistic regression against references, and the closed-form errors."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.experiments.generative import (
    LinearClassifier,
    TwoGaussians,
    easy_gaussians,
    gaussian_naive_bayes,
    logistic_path,
    logistic_regression,
    nb_vs_lr,
)


def sample(num_classes: int = 3, size: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % num_classes
    labels[: size // 4] = 0  # priors that differ
    means = 2 * torch.randn(num_classes, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    return means[labels] + noise, labels


def test_naive_bayes_logits_are_the_log_joint_densities_up_to_a_constant():
    x, y = sample()
    model = gaussian_naive_bayes(x, y, 3, floor=0.0)
    within = torch.stack([x[y == k].var(0, correction=0) for k in range(3)])
    share = torch.bincount(y) / len(y)
    spread = (share[:, None] * within).sum(0).sqrt()
    joint = torch.stack(
        [
            torch.distributions.Normal(x[y == k].mean(0), spread).log_prob(x).sum(1)
            + share[k].log()
            for k in range(3)
        ],
        1,
    )
    torch.testing.assert_close(model(x).softmax(1), joint.softmax(1))


def test_logistic_regression_is_stationary_and_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x, y = sample()
    model = logistic_regression(x, y, 3, C=0.5)
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(x.numpy(), y.numpy())
    expected = torch.as_tensor(reference.predict_proba(x.numpy()))
    torch.testing.assert_close(model(x).softmax(1), expected, rtol=0, atol=1e-4)
    weight = model.weight.clone().requires_grad_()
    data = torch.nn.functional.cross_entropy(x @ weight.T + model.bias, y, reduction="sum")
    (slope,) = torch.autograd.grad(weight.square().sum() / 2 + 0.5 * data, weight)
    assert slope.abs().max() < 1e-3


@pytest.mark.parametrize(
    ("width", "error"), [(2, 0.11034), (4, 0.05692), (10, 0.0095082), (20, 0.00059687)]
)
def test_bayes_error_of_the_easy_design(width, error):
    design = easy_gaussians(width)
    assert math.isclose(design.bayes_error, error, rel_tol=1e-4)
    best = 0.5 * math.erfc(math.sqrt(width / 2 + 1 / 2) / math.sqrt(2))
    assert math.isclose(design.bayes_error, best, rel_tol=1e-12)


def correlated() -> TwoGaussians:
    covariance = torch.eye(3, dtype=torch.float64) + 0.8
    means = torch.tensor([[-0.5, -1.0, 0.2], [0.7, 0.3, 0.1]], dtype=torch.float64)
    return TwoGaussians(means, covariance)


def test_the_best_linear_classifier_has_the_bayes_error_and_no_other_less():
    design = correlated()
    across = torch.linalg.solve(design.covariance, design.means[1] - design.means[0])
    offset = -(design.means.mean(0) @ across)
    best = LinearClassifier(
        torch.stack([torch.zeros_like(across), across]), torch.stack([0 * offset, offset])
    )
    assert math.isclose(design.error(best), design.bayes_error, rel_tol=1e-12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        weight = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        bias = torch.randn(2, generator=generator, dtype=torch.float64)
        assert design.error(LinearClassifier(weight, bias)) >= design.bayes_error


def test_closed_form_error_is_the_frequency_of_mistakes():
    design = correlated()
    model = LinearClassifier(
        torch.tensor([[0.1, 0.2, -0.3], [0.5, -0.1, 0.3]]).double(),
        torch.tensor([0.0, 0.2]).double(),
    )
    x, y = design.sample(200_000, torch.Generator().manual_seed(1))
    frequency = (model(x).argmax(1) != y).double().mean().item()
    assert abs(frequency - design.error(model)) < 0.005


@pytest.mark.parametrize("size", [6, 40])  # fewer examples than features, and more
def test_logistic_path_is_logistic_regression_for_each_draw_and_penalty(size):
    drawn = [easy_gaussians(10).sample(size, torch.Generator().manual_seed(k)) for k in range(3)]
    features, labels = torch.stack([x for x, _ in drawn]), drawn[0][1]
    penalties = [1e-3, 0.1, 10.0]
    across, offset = logistic_path(features, labels, penalties)
    for i, C in enumerate(penalties):
        for draw, x in enumerate(features):
            model = logistic_regression(x, labels, 2, C=C)
            logits = model(x)
            expected = logits[:, 1] - logits[:, 0]
            got = x @ across[i, draw] + offset[i, draw]
            torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_errors_of_many_rules_are_those_of_the_classifiers():
    design = correlated()
    generator = torch.Generator().manual_seed(2)
    across = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    offset = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    errors = design.error_of(across, offset)
    rule = LinearClassifier(
        torch.stack([torch.zeros(3).double(), across[2, 1]]),
        torch.stack([torch.zeros(()).double(), offset[2, 1]]),
    )
    assert errors.shape == (4, 2)
    assert math.isclose(errors[2, 1].item(), design.error(rule), rel_tol=1e-12)


def test_scaled_features_take_away_what_naive_bayes_is_ahead():
    bayes, scaled = nb_vs_lr(easy_gaussians(100), [8], repeats=5)
    _, unscaled = nb_vs_lr(easy_gaussians(100), [8], standardise=False, repeats=5)
    assert bayes.shape == (1, 5) and scaled.shape == unscaled.shape == (1, 1, 5)
    assert scaled.max() < bayes.max() + 0.01
    assert unscaled.min() > bayes.max() + 0.1


def test_learning_curves_repeat_and_end_near_the_bayes_error():
    design = easy_gaussians(4)
    first, second = (nb_vs_lr(design, [2000], repeats=2, seed=3) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert (a == b).all()
        assert (a >= design.bayes_error).all() and (a < design.bayes_error + 0.005).all()


X, Y = sample()


@pytest.mark.parametrize("learn", [gaussian_naive_bayes, logistic_regression])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1.0]], Y, 3), TypeError, "features must be a torch.Tensor, got list"),
        ((X.long(), Y, 3), TypeError, "features must have a floating dtype, got torch.int64"),
        ((X[0], Y, 3), ValueError, r"features must have shape \(N, d\), got \(5,\)"),
        ((X, Y.double(), 3), TypeError, "labels must be an int64 tensor"),
        ((X, Y[1:], 3), ValueError, r"labels must have shape \(40,\), got \(39,\)"),
        ((X, Y, 2), ValueError, r"labels must lie in \[0, 2\), got 0 to 2"),
        ((X, Y, 1), ValueError, "num_classes must be at least 2, got 1"),
        ((X, Y, 4), ValueError, "every class needs examples, got none of 3"),
    ],
)
def test_bad_training_set_is_named(learn, arguments, error, message):
    with pytest.raises(error, match=message):
        learn(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logistic_regression(X, Y, 3, C=0.0), r"C must lie in \(0, ∞\), got 0.0"),
        (lambda: logistic_regression(X, Y, 3, iterations=0), "iterations must be at least 1"),
        (lambda: gaussian_naive_bayes(X, Y, 3, floor=-1.0), "floor must be at least 0, got -1.0"),
        (lambda: easy_gaussians(0), "num_features must be at least 1, got 0"),
        (lambda: easy_gaussians(2).sample(1), "size must be at least 2"),
        (lambda: TwoGaussians(torch.ones(3, 2), torch.eye(2)), r"means must have shape \(2, d\)"),
        (lambda: TwoGaussians(torch.ones(2, 2), torch.eye(3)), r"covariance must have shape"),
        (lambda: TwoGaussians(torch.ones(2, 2), -torch.eye(2)), "positive definite"),
        (
            lambda: TwoGaussians(torch.ones(2, 2), torch.eye(2).triu() + torch.ones(2, 2).triu(1)),
            "symmetric",
        ),
        (lambda: nb_vs_lr(easy_gaussians(2), []), "sizes must be numbers of at least 2"),
        (lambda: nb_vs_lr(easy_gaussians(2), [4], repeats=0), "repeats must be at least 1, got 0"),
        (lambda: logistic_path(X, Y, [1.0]), r"features must have shape \(R, N, d\)"),
        (lambda: logistic_path(X[None], Y, [1.0]), "labels must be 0 and 1, both present"),
        (
            lambda: logistic_path(X[None], (Y > 0).long(), [1.0, 0.1]),
            r"penalties must increase from above 0, got \[1.0, 0.1\]",
        ),
    ],
)
def test_argument_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
