"""The label-distributionally robust loss: the maximum that it is, its limits, its minimisers."""

from __future__ import annotations

import pytest
import torch

from lossviz.losses import ldr_kl, normalise_scores

from .test_bad_input import refuses


def deltas(logits, target, margin):
    own = torch.nn.functional.one_hot(target, logits.shape[-1]).bool()
    return (logits - logits.gather(-1, target[:, None]) + margin).masked_fill(own, 0.0)


def example(classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(6, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (6,), generator=generator)


@pytest.mark.parametrize("lam", [0.1, 1.0, 7.0])
def test_ldr_kl_is_the_largest_over_all_weights(lam):
    """No random weights exceed it, and those of the gradient attain it."""
    logits, target = example()
    delta = deltas(logits, target, 0.4)
    value = ldr_kl(logits, target, lam=lam, margin=0.4, reduction="none")

    def objective(p):
        return (p * delta).sum(-1) - lam * (torch.special.xlogy(p, 5 * p)).sum(-1)

    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        p = (3 * torch.randn(6, 5, generator=generator, dtype=torch.float64)).softmax(-1)
        assert (objective(p) <= value + 1e-12).all()
    torch.testing.assert_close(objective((delta / lam).softmax(-1)), value)


@pytest.mark.parametrize("lam", [0.3, 1.0, 4.0])
def test_the_expected_loss_is_least_at_lam_times_log_probability(lam):
    q = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)

    def risk(scores):
        return q @ ldr_kl(scores.expand(4, 4), torch.arange(4), lam=lam, reduction="none")

    best = (lam * q.log()).requires_grad_()
    (slope,) = torch.autograd.grad(risk(best), best)
    torch.testing.assert_close(slope, torch.zeros(4).double(), rtol=0, atol=1e-14)


def test_the_hinge_limit_ties_classes_that_the_loss_keeps_apart():
    """At label probabilities (.4, .35, .25) with margin 1, all scores 0 are best in the limit."""
    q = torch.tensor([0.4, 0.35, 0.25], dtype=torch.float64)

    def risk(scores, lam):
        return q @ ldr_kl(
            scores.expand(3, 3), torch.arange(3), lam=lam, margin=1.0, reduction="none"
        )

    tied = torch.zeros(3, dtype=torch.float64)
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        other = torch.randn(3, generator=generator, dtype=torch.float64)
        assert risk(other, 1e-6) > risk(tied, 1e-6)
    assert risk(torch.tensor([0.044, 0.004, -0.048], dtype=torch.float64), 0.1) < risk(tied, 0.1)


def test_normalised_scores_forget_their_scale():
    scores, _ = example()
    for how in ("softplus", "absolute"):
        assert normalise_scores(scores, how).shape == scores.shape
    absolute = normalise_scores(scores, "absolute")
    torch.testing.assert_close(normalise_scores(7 * scores, "absolute"), absolute)
    torch.testing.assert_close(absolute.abs().mean(-1), torch.ones(6).double())
    positive = normalise_scores(scores, "softplus")
    assert (positive > 0).all()
    torch.testing.assert_close(positive.mean(-1), torch.ones(6).double())
    assert (normalise_scores(torch.zeros(2, 3), "absolute") == 0).all()


def test_bad_input_is_refused_by_name():
    scores, target = example()
    with refuses(ValueError, "how", "'max'"):
        normalise_scores(scores, "max")
    with refuses(TypeError, "scores", "list"):
        normalise_scores([1.0])
    with refuses(ValueError, "lam", "(0, ∞)", "0.0"):
        ldr_kl(scores, target, lam=0)
