"""Models beside others: flips, answers by subtraction, and the shape of weights."""

from __future__ import annotations

import pytest
import torch

from lossviz import analysis, losses


def test_flips_are_shares_of_all_examples_and_do_not_follow_from_accuracy():
    right = torch.tensor([0, 1, 0, 1])
    old, new = torch.tensor([0, 1, 1, 0]), torch.tensor([1, 0, 0, 1])
    rates = analysis.flip_rates(old, new, right)
    assert (old == right).double().mean() == (new == right).double().mean()
    assert (rates.negative, rates.positive, rates.changed) == (0.5, 0.5, 0.5)
    same = analysis.flip_rates(old, old, right)
    assert (same.negative, same.positive, same.changed) == (0, 0, 0)


def test_smooth_flips_average_over_those_that_moved_and_are_0_without_any():
    flips = analysis.smooth_flips([0.5, 0.2, 0.9, 0.4], [0.7, 0.1, 0.9, 0.8])
    assert [x.item() for x in flips] == pytest.approx([0.25, 0.5, 0.1, 0.3])
    still = analysis.smooth_flips([0.5, 0.2], [0.5, 0.2])
    assert [x.item() for x in still] == [0, 0, 0, 0]


@pytest.mark.parametrize("new", [[0, 1], []], ids=["longer", "empty"])
def test_flips_want_the_same_examples(new):
    with pytest.raises(ValueError, match="must have one shape"):
        analysis.flip_rates(new[:1], new, new)


def test_an_assistant_without_opinion_changes_no_probability():
    generator = torch.Generator().manual_seed(0)
    base = 3 * torch.randn(4, 50, generator=generator, dtype=torch.float64)
    flat = torch.full_like(base, 7.0)
    left = losses.logit_difference(base, flat, relative_top=None)
    torch.testing.assert_close(left.logits.softmax(-1), base.softmax(-1), rtol=1e-12, atol=0)
    assert not left.masked.any()


def test_an_assistant_is_not_heard_where_the_base_finds_a_token_unlikely():
    base = torch.tensor([5.0, 4.5, -3.0, -4.0])
    assistant = torch.tensor([2.0, -1.0, 9.0, 9.0])
    left = losses.logit_difference(base, assistant, weight=-1.0, relative_top=0.5)
    assert left.masked.tolist() == [False, False, True, True]
    assert left.logits.tolist() == [3.0, 5.5, -3.0, -4.0]


@pytest.mark.parametrize("part", [0.0, 1.5])
def test_the_part_that_is_heard_is_a_part(part):
    with pytest.raises(ValueError, match="relative_top"):
        losses.logit_difference(torch.zeros(4), torch.zeros(4), relative_top=part)


def test_a_uniform_distribution_has_kurtosis_1_8_and_no_skewness():
    values = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    assert analysis.kurtosis(values).item() == pytest.approx(1.8, abs=1e-6)
    assert analysis.skewness(values).item() == pytest.approx(0, abs=1e-12)
    assert analysis.skewness(values**2) > 0.5
    assert analysis.kurtosis(torch.ones(4)).isnan()
    with pytest.raises(ValueError, match="values must have more"):
        analysis.kurtosis([1.0], ddof=1)
