"""Direct preference optimisation against hand computations."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.losses import dpo

CHOSEN = torch.tensor([-10.2, -33.0, -5.5], dtype=torch.float64)
REJECTED = torch.tensor([-12.0, -30.1, -5.5], dtype=torch.float64)
REF_CHOSEN = torch.tensor([-11.0, -32.0, -6.0], dtype=torch.float64)
REF_REJECTED = torch.tensor([-11.5, -31.5, -5.0], dtype=torch.float64)
LEAD = [1.3, -2.4, 1.0]


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_equals_the_hand_computation_from_the_leads(beta: float, smoothing: float) -> None:
    got = dpo(
        CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED,
        beta=beta, label_smoothing=smoothing, reduction="none",
    )  # fmt: skip
    expected = [
        (1 - smoothing) * math.log(1 + math.exp(-beta * h))
        + smoothing * math.log(1 + math.exp(beta * h))
        for h in LEAD
    ]
    assert got.tolist() == pytest.approx(expected, rel=1e-12)


def test_zeros_stand_for_no_reference() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    expected = [math.log1p(math.exp(-0.1 * h)) for h in (1.8, -2.9, 0.0)]
    got = dpo(CHOSEN, REJECTED, zero, zero, reduction="none")
    assert got.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("epsilon", [0.05, 0.2, 0.45])
def test_with_smoothing_the_best_lead_is_finite(epsilon: float) -> None:
    """At beta h = log((1 - epsilon)/epsilon) the loss is the entropy of epsilon, and flat."""
    chosen = torch.tensor([-5.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-5.0 - math.log((1 - epsilon) / epsilon) / 0.1]).double()
    zero = torch.zeros(1, dtype=torch.float64)
    loss = dpo(chosen, rejected, zero, zero, label_smoothing=epsilon)
    entropy = -epsilon * math.log(epsilon) - (1 - epsilon) * math.log(1 - epsilon)
    assert loss.item() == pytest.approx(entropy, rel=1e-9)
    loss.backward()
    assert chosen.grad is not None
    assert abs(chosen.grad.item()) < 1e-8


def test_far_leads_are_exact_on_both_sides() -> None:
    chosen = torch.tensor([-1.0, -9001.0])
    rejected = torch.tensor([-9001.0, -1.0])
    zero = torch.zeros(2)
    got = dpo(chosen, rejected, zero, zero, beta=0.01, reduction="none")
    assert got.tolist() == pytest.approx([math.exp(-90), 90.0], rel=1e-6)


def test_log_probabilities_above_0_are_refused() -> None:
    with pytest.raises(ValueError, match="ref_chosen_logp must be at most 0"):
        dpo(CHOSEN, REJECTED, -REF_CHOSEN, REF_REJECTED)
