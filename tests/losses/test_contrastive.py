"""NT-Xent against a double loop, and where embeddings coincide, vanish or are far from unit."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.losses import nt_xent

Z1, Z2 = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).double()


def loop(z1: torch.Tensor, z2: torch.Tensor, temperature: float) -> list[float]:
    """One anchor after the other, one view after the other, in plain numbers."""
    views = [row.tolist() for row in (*z1, *z2)]

    def similarity(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / (math.hypot(*a) * math.hypot(*b) * temperature)

    losses = []
    for i, anchor in enumerate(views):
        partner = (i + len(z1)) % len(views)
        others = [math.exp(similarity(anchor, v)) for k, v in enumerate(views) if k != i]
        losses.append(math.log(sum(others)) - similarity(anchor, views[partner]))
    return losses


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_anchors_come_view_after_view_and_equal_a_double_loop(temperature: float) -> None:
    got = nt_xent(Z1, Z2, temperature=temperature, reduction="none")
    assert got.tolist() == pytest.approx(loop(Z1, Z2, temperature), rel=1e-12)


def test_a_batch_is_not_the_mean_of_its_pairs() -> None:
    halves = torch.stack([nt_xent(Z1[:2], Z2[:2]), nt_xent(Z1[2:4], Z2[2:4])])
    assert nt_xent(Z1[:4], Z2[:4]) > halves.mean() + 0.01


def test_no_pairs_have_no_mean() -> None:
    assert nt_xent(Z1[:0], Z2[:0], reduction="none").shape == (0,)
    assert nt_xent(Z1[:0], Z2[:0]).isnan()


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_lengths_far_from_one_change_nothing(factor: float) -> None:
    z1, z2 = Z1.float(), Z2.float()
    torch.testing.assert_close(nt_xent(factor * z1, z2), nt_xent(z1, z2))


def test_a_zero_embedding_is_at_right_angles_to_all_and_stays_where_it_is() -> None:
    z1, z2 = (z.clone().requires_grad_() for z in (Z1, Z2))
    with torch.no_grad():
        z1[0] = 0.0
    rows = nt_xent(z1, z2, reduction="none")
    assert rows[0].item() == pytest.approx(math.log(2 * len(Z1) - 1), rel=1e-12)
    slopes = torch.autograd.grad(rows.sum(), (z1, z2))
    assert torch.equal(slopes[0][0], torch.zeros(3).double())
    assert all(slope.isfinite().all() for slope in slopes)


def test_a_loss_below_the_rounding_of_one_keeps_its_digits_in_float32() -> None:
    z1 = torch.eye(3)
    exact = math.log1p(4 * math.exp(-1 / 0.02))
    assert nt_xent(z1, z1, temperature=0.02).item() == pytest.approx(exact, rel=1e-5)
