"""Labels that are missing: propensities, the kernel of their balance, and what the mean is over."""

from __future__ import annotations

import pytest
import torch

from lossviz import losses


def test_propensities_follow_from_the_shares_of_labels():
    found = losses.naive_bayes_propensities([1, 0, 1, 1], [1, 0, 0, 0, 1], num_pairs=20)
    wanted = torch.tensor([0.375, 1 / 12, 0.375, 0.375], dtype=torch.float64)
    torch.testing.assert_close(found, wanted)


def test_the_estimate_is_that_of_all_labels_where_the_naive_one_is_off():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(40_000, generator=generator) < 0.3
    chance = torch.where(truth, 0.4, 0.07)
    seen = torch.rand(40_000, generator=generator) < chance
    rate = torch.full((40_000,), 0.3).double()
    true = losses.ips_weighted_bce(rate, truth, torch.ones_like(rate))
    naive = losses.ips_weighted_bce(rate[seen], truth[seen], torch.ones_like(rate[seen]))
    weight = 1 / chance[seen].double()
    ips = losses.ips_weighted_bce(rate[seen], truth[seen], weight, num_pairs=40_000)
    normalised = losses.ips_weighted_bce(rate[seen], truth[seen], weight, self_normalised=True)
    assert naive - true > 0.25
    assert abs(ips - true) < 0.02 and abs(normalised - true) < 0.02


def test_the_kernel_is_1_at_the_point_itself_and_falls_with_distance():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    kernel = losses.gaussian_kernel(x, x, gamma=0.5)
    assert torch.equal(kernel.diagonal(), torch.ones(4).double())
    apart = torch.cdist(x.double(), x.double())
    torch.testing.assert_close(kernel, (-0.5 * apart**2).exp())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: losses.naive_bayes_propensities([2], [1], num_pairs=3), "observed must hold 0"),
        (lambda: losses.naive_bayes_propensities([1], [], num_pairs=3), "uniform must have shape"),
        (lambda: losses.naive_bayes_propensities([1], [1], num_pairs=0), "num_pairs"),
        (lambda: losses.gaussian_kernel([[1.0]], [[1.0, 2.0]]), "x and y must have shapes"),
        (lambda: losses.gaussian_kernel([[1.0]], [[1.0]], gamma=0.0), "gamma must be positive"),
    ],
    ids=["label", "empty", "pairs", "width", "gamma"],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_mean_is_over_one_thing():
    p, t, w = losses.LOSSES["ips_weighted_bce"].inputs.example()
    with pytest.raises(ValueError, match="num_pairs and self_normalised"):
        losses.ips_weighted_bce(p, t, w, num_pairs=9, self_normalised=True)
    with pytest.raises(ValueError, match="num_pairs"):
        losses.ips_weighted_bce(p, t, w, num_pairs=0)


def test_corn_probabilities_are_a_distribution_in_both_tails():
    logits = torch.tensor([[900.0, -30.0, 4.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    p = losses.corn_probabilities(logits)
    torch.testing.assert_close(p.sum(-1), torch.ones(2))
    assert (p >= 0).all()
    (slope,) = torch.autograd.grad(p[0, 2], logits)
    assert slope.isfinite().all()
    with pytest.raises(ValueError, match="logits must have shape"):
        losses.corn_probabilities(torch.zeros(2, 0))


@pytest.mark.parametrize(("k", "said"), [(0, "k must be"), (6, "less than"), (2.5, "k must be")])
def test_a_threshold_lets_some_through_and_not_all(k, said):
    scores, relevance = losses.LOSSES["soft_topk"].inputs.example()
    with pytest.raises(ValueError, match=said):
        losses.soft_topk(scores, relevance, k=k)


def test_soft_counts_of_a_batch_with_one_class_are_defined():
    p = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)
    for score in ("accuracy", "fbeta", "gmean", "balanced_accuracy"):
        for truth in (torch.zeros(2), torch.ones(2)):
            loss = losses.anyloss(p, truth, score=score)
            assert loss.isfinite()
            assert torch.autograd.grad(loss, p)[0].isfinite().all()
    with pytest.raises(ValueError, match="score must be one of"):
        losses.anyloss(p, torch.ones(2), score="f1")


@pytest.mark.parametrize("old", [0, 5])
def test_earlier_classes_are_some_and_not_all(old):
    z, y, seen = losses.LOSSES["bacs_weighted_ce"].inputs.example()
    with pytest.raises(ValueError, match="old_classes"):
        losses.bacs_weighted_ce(z, y, seen, old_classes=old)
