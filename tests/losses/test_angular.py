"""ArcFace against arccos, on the class weight and opposite to it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import arcface
from lossviz.losses.embeddings.directions import cosine_and_sine

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(6, 5, generator=GENERATOR, dtype=torch.float64)
W = torch.randn(4, 5, generator=GENERATOR, dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.2, math.pi])
def test_the_target_stands_at_its_angle_plus_the_margin(margin: float) -> None:
    cosine = F.normalize(X, dim=-1) @ F.normalize(W, dim=-1).mT
    chosen = F.one_hot(Y, 4).bool()
    logits = 16 * torch.where(chosen, (cosine.acos() + margin).cos(), cosine)
    got = arcface(X, W, Y, scale=16.0, margin=margin, reduction="none")
    torch.testing.assert_close(got, F.cross_entropy(logits, Y, reduction="none"))


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_on_the_class_weight_and_opposite(
    side: float, dtype: torch.dtype
) -> None:
    weights = W.to(dtype).requires_grad_()
    x = (side * 3 * W[:4]).to(dtype).requires_grad_()
    loss = arcface(x, weights, torch.arange(4), scale=16.0)
    slopes = torch.autograd.grad(loss, (x, weights), create_graph=True)
    second = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), (x, weights))
    assert all(slope.isfinite().all() for slope in (*slopes, *second))


def test_the_sine_of_a_small_angle_keeps_its_digits() -> None:
    angle = torch.tensor([1e-3, 1e-5, 1e-7])
    turned = torch.stack([angle.cos(), angle.sin()], -1)
    sine = cosine_and_sine(turned, torch.tensor([1.0, 0.0]).expand(3, 2))[1]
    torch.testing.assert_close(sine, angle.sin(), rtol=1e-6, atol=0.0)


def test_the_rule_beyond_pi_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="beyond_pi must be 'none' or 'linear', got 'easy'"):
        arcface(X, W, Y, beyond_pi="easy")


def test_ignored_rows_leave_the_mean_to_the_others() -> None:
    some = Y.clone()
    some[2:] = -100
    torch.testing.assert_close(arcface(X, W, some), arcface(X[:2], W, Y[:2]))
