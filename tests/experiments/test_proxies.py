"""Reward models that are wrong in known ways: exact sums over a grid."""

from __future__ import annotations

import pytest
import torch

from lossviz.experiments.proxies import exact, exploitable, heavy_tailed, noisy

KINDS = {"exact": exact(), "noisy": noisy(), "loophole": exploitable(), "heavy": heavy_tailed()}


@pytest.mark.parametrize("name", KINDS)
def test_the_truth_is_standard_normal_under_the_reference(name):
    kind = KINDS[name]
    assert kind.probability.sum().item() == pytest.approx(1)
    assert (kind.value.diff() > 0).all()
    assert (kind.probability @ kind.truth).item() == pytest.approx(0, abs=1e-12)


def test_the_exact_proxy_is_the_truth():
    kind = exact()
    torch.testing.assert_close(kind.value, kind.truth)
    assert (kind.probability @ kind.value.square()).item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_normal_errors_shrink_the_truth_by_the_share_of_its_variance(deviation):
    kind = noisy(deviation)
    slope = (kind.probability * kind.value * kind.truth).sum() / (
        kind.probability * kind.value.square()
    ).sum()
    assert slope.item() == pytest.approx(1 / (1 + deviation**2), abs=3e-3)


def test_a_loophole_adds_its_bonus_to_its_share_and_takes_its_cost():
    kind = exploitable(share=0.1, bonus=5.0, cost=2.0)
    assert (kind.probability @ kind.value).item() == pytest.approx(0.5)
    assert (kind.probability @ kind.truth).item() == pytest.approx(-0.2)
    assert kind.truth[-1].item() == pytest.approx(4.0 - 2.0)  # only the loophole goes so high
    assert kind.value[-1].item() == pytest.approx(9.0)


def test_a_heavy_tail_reaches_as_far_as_it_is_told():
    kind = heavy_tailed(reach=24)
    assert kind.value[-1].item() == pytest.approx(28)
    assert kind.probability[kind.value > 15].sum() > 1e-3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: noisy(0.0), "deviation"),
        (lambda: exploitable(share=1.0), "share"),
        (lambda: heavy_tailed(0.0), "degrees"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()
