"""The spherical family sees three numbers of a row of scores; each member has its symmetries."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.losses import LOSSES, spherical_softmax, spherical_z_loss, taylor_softmax

from .examples import gradients, make

members = pytest.mark.parametrize(
    "loss", [LOSSES[key] for key in ("spherical_z_loss", "taylor_softmax", "spherical_softmax")]
)


@members
def test_only_sum_squares_and_target_score_matter(loss):
    """A rotation of the other scores that keeps their sum changes nothing."""
    scores = torch.tensor([1.3, -0.4, 2.2, 0.7], dtype=torch.float64)
    axis = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3, dtype=torch.float64), dim=1).T
    turn = torch.linalg.matrix_exp(1.1 * cross)
    turned = torch.cat([scores[:1], turn @ scores[1:]])
    assert not torch.allclose(turned, scores)
    target = torch.tensor(0)
    torch.testing.assert_close(loss(turned, target), loss(scores, target))


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
def test_z_loss_survives_offsets_that_ruin_a_one_pass_variance(offset):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-64, 64, (6, 5), generator=generator) / 16  # exact beside the offset
    target = torch.randint(5, (6,), generator=generator)
    got = spherical_z_loss(scores.float() + offset, target, reduction="none")
    expected = spherical_z_loss(scores.double(), target, reduction="none")
    torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_z_loss_does_not_see_scale_however_extreme(size):
    logits, target = make(LOSSES["spherical_z_loss"])
    got = spherical_z_loss(size * logits, target, reduction="none")
    torch.testing.assert_close(got, spherical_z_loss(logits, target, reduction="none"))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4, 3e300])
def test_equal_scores_have_the_value_at_zero_and_no_slope(value):
    inputs = torch.full((2, 7), value, dtype=torch.float64), torch.tensor([0, 3])
    a, b = 2.0, 0.3
    expected = torch.full((2,), math.log1p(math.exp(a * b)) / a, dtype=torch.float64)
    got = spherical_z_loss(*inputs, a=a, b=b, reduction="none")
    torch.testing.assert_close(got, expected)
    (slope,) = gradients(LOSSES["spherical_z_loss"], inputs)
    assert (slope == 0).all()


def test_z_loss_gradient_sums_to_zero_and_is_orthogonal_to_the_scores():
    logits, target = make(LOSSES["spherical_z_loss"])
    (slope,) = gradients(LOSSES["spherical_z_loss"], (logits, target), a=2.0, b=1.0)
    zero = torch.zeros(6, dtype=torch.float64)
    torch.testing.assert_close(slope.sum(-1), zero, rtol=0, atol=1e-15)
    torch.testing.assert_close((slope * logits).sum(-1), zero, rtol=0, atol=1e-15)


def test_two_scores_say_right_or_wrong_only():
    scores = torch.tensor([[0.1, 5.0], [-3.0, 2.9], [7.0, 6.9]], dtype=torch.float64)
    rows = spherical_z_loss(scores, torch.zeros(3, dtype=torch.long), reduction="none")
    wrong, right = math.log1p(math.e), math.log1p(1 / math.e)
    torch.testing.assert_close(rows, torch.tensor([wrong, wrong, right], dtype=torch.float64))


@pytest.mark.parametrize("size", [1.0, 1e150, 1e300])
def test_softmax_alternatives_do_not_overflow(size):
    logits = size * torch.tensor([[3.0, -1.0, 2.0]], dtype=torch.float64)
    inputs = logits, torch.tensor([1])
    for loss, eps in ((taylor_softmax, None), (spherical_softmax, 1e-4)):
        assert loss(*inputs).isfinite()
        if size > 1:
            torch.testing.assert_close(
                loss(*inputs), torch.tensor(math.log(14.0), dtype=torch.float64)
            )
        assert eps is None or loss(*inputs, eps=eps) == loss(*inputs)


def test_a_very_negative_score_is_likely_again_under_the_taylor_softmax():
    target = torch.tensor([1, 1, 1])
    scores = torch.tensor([[0.0, 0.0], [0.0, -1.0], [0.0, -9.0]], dtype=torch.float64)
    near, least, far = taylor_softmax(scores, target, reduction="none")
    assert far < near < least


@pytest.mark.parametrize("key", ["taylor_softmax", "spherical_softmax"])
def test_the_expected_loss_is_least_at_the_label_probabilities(key):
    q = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    scores = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [scores], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def risk():
        return q @ LOSSES[key](scores.expand(3, 3), torch.arange(3), reduction="none")

    def closure():
        optimiser.zero_grad()
        value = risk()
        value.backward()
        return value

    optimiser.step(closure)
    entropy = -(q * q.log()).sum()
    torch.testing.assert_close(risk().detach(), entropy)
