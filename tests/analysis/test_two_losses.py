"""Whether two losses agree, and whether classes keep together: conflict and neighbours."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis import gradient_conflict, icnn_score, without_conflict
from lossviz.losses import binary_kl_norm, cross_entropy


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_conflict_is_the_cosine_of_the_gradients_that_autograd_finds():
    weight, features = normal(3, 5).requires_grad_(), normal(7, 5, seed=1).requires_grad_()
    teacher, y = normal(7, 3, seed=2), torch.arange(7) % 3
    logits = features @ weight.mT
    found, slopes = [], []
    for value in (cross_entropy(logits, y), binary_kl_norm(logits, teacher)):
        *leaves, slope = torch.autograd.grad(value, (weight, features, logits), retain_graph=True)
        found.append(leaves)
        slopes.append(slope)
    got = gradient_conflict(weight.detach(), features.detach(), *slopes)
    for one, other, cosine in zip(*found, got, strict=True):
        expected = torch.cosine_similarity(one.flatten(), other.flatten(), 0)
        torch.testing.assert_close(cosine, expected)


def test_a_collapsed_head_does_not_pass_on_what_all_logits_have_in_common():
    frame = torch.eye(3, dtype=torch.float64) - 1 / 3
    one = torch.tensor([[-1.0, 0.5, 0.5]]).double()
    got = gradient_conflict(frame, frame[:1], one, one - 3)
    assert got.backbone.item() == pytest.approx(1)
    assert got.head < 0.5
    assert gradient_conflict(frame, frame[:1], one, 0 * one).head.isnan()
    with pytest.raises(ValueError, match="other must have shape"):
        gradient_conflict(frame, frame[:1], one, one[:, :2])


def test_surgery_takes_off_what_works_against_the_leading_gradient_and_nothing_else():
    leading, gradient = normal(4, 5), normal(4, 5, seed=1)
    against = gradient - 3 * leading
    mended = without_conflict(against, leading)
    assert abs((mended * leading).sum()) < 1e-12
    torch.testing.assert_close(mended, without_conflict(mended, leading))
    assert torch.equal(without_conflict(gradient + 3 * leading, leading), gradient + 3 * leading)
    assert torch.equal(without_conflict(gradient, 0 * leading), gradient)
    with pytest.raises(ValueError, match="one shape"):
        without_conflict(gradient, leading[0])


def test_the_score_rises_as_two_clouds_move_apart():
    """The sheet measured 0.37, 0.41, 0.54, 0.86 and 1.00 at these distances."""
    x, y = normal(80, 2), torch.arange(80) // 40
    away = y[:, None] * torch.tensor([1.0, 0.0])
    scores = [icnn_score(x + d * away, y).score.item() for d in (0, 1, 2, 4, 8)]
    assert scores == sorted(scores)
    assert 0.3 < scores[0] < 0.45
    assert scores[-1] > 0.99


def test_parts_of_the_score_for_points_on_a_line():
    """Nearest of 0, 1 | 3, 7 with k = 1: 1, 0, 1 (other class, at 2) and 3 (at 4)."""
    x, y = torch.tensor([[0.0], [1.0], [3.0], [7.0]]).double(), torch.tensor([0, 0, 1, 1])
    got = icnn_score(x, y, k=1, rivals=3)
    assert got.share.item() == pytest.approx(3 / 4)
    assert got.far.item() == pytest.approx(1, abs=1e-5)
    assert got.near.item() == pytest.approx(1 - (1 / 3 + 1 / 2 + 4 / 6) / 3, abs=1e-5)
    assert got.score.item() == pytest.approx(((got.near + got.far) / 2 + got.share).item() / 2)


def test_points_that_coincide_are_neighbours_of_each_other_and_never_of_themselves():
    y = torch.arange(12) % 2
    got = icnn_score(torch.zeros(12, 3), y, k=11 - 2)
    assert 0 < got.share < 1
    assert icnn_score(normal(9, 2), torch.zeros(9).long(), k=3)[1:] == (1, 1, 1)


def test_gradients_of_the_score_are_those_of_finite_differences():
    x, y = normal(9, 2).requires_grad_(), torch.arange(9) % 3
    assert torch.autograd.gradcheck(lambda x: -icnn_score(x, y, k=3).score.log(), x)


def test_bad_input_is_told():
    x, y = normal(9, 2), torch.arange(9) % 3
    for features, target, options, said in (
        (x, y, {"k": 0}, "k must be"),
        (x, y, {"rivals": 1.5}, "rivals must be"),
        (x[:2], y[:2], {}, "at least 3 rows"),
        (x, y[:4], {}, "shape"),
        (x * math.nan, y, {}, "finite"),
        (x, y - 100, {}, "0 or above, got -100"),
    ):
        with pytest.raises(ValueError, match=said):
            icnn_score(features, target, **options)
