"""The data sets are what they say."""

from __future__ import annotations

import pytest
import torch

from lossviz.experiments.datasets import digits, stacked, two_digits, uniform_label_noise


def test_digits_split_is_a_partition_that_the_seed_fixes():
    first, again, other = digits(seed=1), digits(seed=1), digits(seed=2)
    assert len(first.train_labels) + len(first.test_labels) == 1797
    assert torch.equal(first.train_features, again.train_features)
    assert not torch.equal(first.train_labels, other.train_labels)
    assert 0 <= first.train_features.min() and first.train_features.max() <= 1


@pytest.mark.parametrize("size", [0, -1, 1797])
def test_digits_refuses_a_test_size_that_leaves_nothing(size):
    with pytest.raises(ValueError, match=f"test_size must lie in 1..1796, got {size}"):
        digits(test_size=size)


def test_two_digits_are_all_their_images_in_order_with_label_one_for_the_first():
    split = digits()
    pair = two_digits(split, 3, 8)
    chosen = (split.test_labels == 3) | (split.test_labels == 8)
    assert torch.equal(pair.test_features, split.test_features[chosen])
    assert torch.equal(pair.test_labels, (split.test_labels[chosen] == 3).long())
    assert len(pair.train_labels) == ((split.train_labels == 3) | (split.train_labels == 8)).sum()
    assert torch.equal(two_digits(split, 8, 3).train_labels, 1 - pair.train_labels)


def test_stacked_splits_have_the_runs_in_front():
    first, second = digits(seed=0), digits(seed=1)
    both = stacked([first, second])
    assert both.train_features.shape == (2, 1200, 64)
    assert torch.equal(both.train_features[1], second.train_features)
    assert torch.equal(both.test_labels[0], first.test_labels)


def test_label_noise_changes_the_stated_share_of_labels():
    labels = torch.arange(10).repeat(10_000)
    noisy = uniform_label_noise(labels, 0.6, num_classes=10)
    assert (noisy != labels).float().mean().item() == pytest.approx(0.6 * 0.9, abs=0.005)
    assert torch.equal(uniform_label_noise(labels, 0.0, num_classes=10), labels)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_label_noise_refuses_a_rate_that_is_not_a_probability(rate):
    with pytest.raises(ValueError, match="rate must lie in"):
        uniform_label_noise(torch.zeros(3, dtype=torch.long), rate, num_classes=2)
