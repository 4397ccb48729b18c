"""The adaptive robust loss: the maximum over temperatures that it is, and where it lies."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.experiments.remembered import RememberedTemperature
from lossviz.losses import adapted_temperature, aldr_kl, ldr_kl, normalise_scores

from .test_bad_input import refuses
from .test_robust import example


@pytest.mark.parametrize("classes", [2, 10, 400])
@pytest.mark.parametrize("alpha", [1.05, 2.0, 6.0])
def test_aldr_kl_is_the_largest_over_all_temperatures(classes, alpha):
    """Also with many classes behind one leader, where there are two maxima in lam."""
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(40, classes, generator=generator, dtype=torch.float64)
    logits[:, 0] += torch.linspace(0, 14, 40, dtype=torch.float64)
    target = torch.arange(40) % 2
    value = aldr_kl(logits, target, lam0=1.0, alpha=alpha, margin=0.2, reduction="none")
    price = alpha * math.log(classes) / 2
    tried = [
        ldr_kl(logits, target, lam=lam, margin=0.2, reduction="none") - price * (lam - 1.0) ** 2
        for lam in torch.linspace(1 - 1 / alpha + 1e-9, 1, 2001, dtype=torch.float64).tolist()
    ]
    tried = torch.stack(tried).amax(0)
    assert (value >= tried - 1e-12).all()
    torch.testing.assert_close(value, tried, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lead", [6.221, 6.532])
def test_of_two_maxima_in_the_temperature_the_higher_is_taken(lead):
    """4000 classes, one of them ahead: the slope in lam changes sign three times."""
    logits = torch.zeros(1, 4000, dtype=torch.float64)
    logits[0, 0] = lead
    target = torch.ones(1, dtype=torch.long)
    lams = torch.linspace(0.501, 1, 300, dtype=torch.float64).tolist()
    heights = torch.stack(
        [ldr_kl(logits, target, lam=lam) - math.log(4000) * (lam - 1.0) ** 2 for lam in lams]
    )
    turns = (heights.diff().sign().diff() != 0).sum()
    assert turns == 3
    torch.testing.assert_close(aldr_kl(logits, target), heights.max(), rtol=1e-4, atol=0)


def test_temperatures_are_low_for_certain_and_high_for_uncertain_examples():
    logits = torch.tensor([[0.0] * 5, [20.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0]]).double()
    lam = adapted_temperature(logits, torch.zeros(3, dtype=torch.long), lam0=2.0, alpha=4.0)
    assert lam[0] == 2.0
    torch.testing.assert_close(lam[1], torch.tensor(1.5).double(), rtol=0, atol=1e-4)
    assert 1.5 < lam[2] < 2.0


def test_remembered_temperatures_reach_the_fixed_point_of_their_own_equation():
    """Kept at the same scores they settle; without margin and smoothing at the adapted ones."""
    scores, target = example()
    remembered = RememberedTemperature(10, lam0=1.0, alpha=3.0, margin=0.0)
    examples = torch.tensor([9, 2, 4, 0, 7, 5])
    for _ in range(200):
        loss = remembered(scores, target, examples)
    wanted = adapted_temperature(normalise_scores(scores, "absolute"), target, lam0=1.0, alpha=3.0)
    torch.testing.assert_close(remembered.temperatures[examples], wanted, rtol=1e-3, atol=0)
    assert (remembered.temperatures[[1, 3, 6, 8]] == 1.0).all()
    assert loss.isfinite()


def test_bad_input_is_refused_by_name():
    scores, target = example()
    with refuses(ValueError, "num_examples", "0"):
        RememberedTemperature(0)
    with refuses(ValueError, "alpha", "(1, ∞)", "1.0"):
        aldr_kl(scores, target, alpha=1)
