"""The data sets are what they say."""

from __future__ import annotations

import pytest
import torch

from lossviz.experiments.datasets import digits, uniform_label_noise


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


def test_label_noise_changes_the_stated_share_of_labels():
    labels = torch.arange(10).repeat(10_000)
    noisy = uniform_label_noise(labels, 0.6, num_classes=10)
    assert (noisy != labels).float().mean().item() == pytest.approx(0.6 * 0.9, abs=0.005)
    assert torch.equal(uniform_label_noise(labels, 0.0, num_classes=10), labels)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_label_noise_refuses_a_rate_that_is_no_probability(rate):
    with pytest.raises(ValueError, match="rate must lie in"):
        uniform_label_noise(torch.zeros(3, dtype=torch.long), rate, num_classes=2)
