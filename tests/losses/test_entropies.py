"""Entropies that a policy is paid for, and the coefficient of the payment."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.losses import adapted_coefficient, clamped_entropy

THREE = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()


def test_the_tail_is_left_out_and_the_rest_renormalised():
    for left_out, masses in (
        (0.0, [0.6, 0.3, 0.1]),
        (0.05, [0.6, 0.3, 0.1]),
        (0.2, [2 / 3, 1 / 3]),
    ):
        wanted = -sum(p * math.log(p) for p in masses)
        assert clamped_entropy(THREE, left_out=left_out).item() == pytest.approx(wanted, rel=1e-12)
    assert clamped_entropy(THREE, left_out=0.5) == 0


def test_a_token_of_the_tail_has_no_gradient_and_one_ruled_out_a_finite_one():
    z = torch.cat([THREE, torch.tensor([-math.inf]).double()]).requires_grad_()
    (slope,) = torch.autograd.grad(clamped_entropy(z, left_out=0.2), z)
    assert slope[2] == slope[3] == 0
    assert slope.isfinite().all() and (slope[:2] != 0).all()
    (slope,) = torch.autograd.grad(clamped_entropy(z, left_out=0.0), z)
    assert slope.isfinite().all() and slope[3] == 0


def test_half_precision_is_widened_and_nan_stays_in_its_row():
    z = torch.stack([THREE, THREE * math.nan]).bfloat16()
    found = clamped_entropy(z)
    assert found.dtype == torch.float32
    assert found[0].isfinite() and found[1].isnan()


def test_the_coefficient_rises_below_the_target_falls_above_it_and_stays_in_its_range():
    assert adapted_coefficient(0.0, 0.1, target=0.2).item() == pytest.approx(0.005)
    assert adapted_coefficient(0.02, 0.3, target=0.2).item() == pytest.approx(0.015)
    assert adapted_coefficient(0.001, 0.3, target=0.2) == 0
    assert adapted_coefficient(1.0, 0.1, target=0.2) == 1
    each = adapted_coefficient(0.5, torch.tensor([0.1, 0.3, math.nan]), target=0.2)
    assert each[0] > 0.5 > each[1] and each[2].isnan()


def test_what_cannot_be_is_refused_by_name():
    for wrong in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="left_out"):
            clamped_entropy(THREE, left_out=wrong)
    with pytest.raises(ValueError, match="logits"):
        clamped_entropy(torch.zeros(3, 0))
    with pytest.raises(TypeError, match="logits"):
        clamped_entropy([1.0, 2.0])
    with pytest.raises(ValueError, match="target"):
        adapted_coefficient(0.1, 0.1, target=-1.0)
    with pytest.raises(ValueError, match="most"):
        adapted_coefficient(0.1, 0.1, target=1.0, most=0.0)
