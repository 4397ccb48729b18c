"""Small real data, and label noise whose rate is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Split:
    """Features (N, d) float32 and labels (N,) int64 for training and for testing."""

    train_features: torch.Tensor
    train_labels: torch.Tensor
    test_features: torch.Tensor
    test_labels: torch.Tensor


def digits(test_size: int = 597, seed: int = 0) -> Split:
    """The 8 x 8 handwritten digits of scikit-learn, pixels scaled to [0, 1], split at random.

    1,797 images of 10 classes; `test_size` of them, 1 to 1,796, are held out. Needs scikit-learn.
    """
    if not 0 < test_size < 1797:
        raise ValueError(f"test_size must lie in 1..1796, got {test_size!r}")
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(seed))
    features, labels = (part[order] for part in _all_digits())
    return Split(features[test_size:], labels[test_size:], features[:test_size], labels[:test_size])


@cache
def _all_digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    raw = load_digits()
    features = torch.tensor(raw.data / 16, dtype=torch.float32)
    return features, torch.tensor(raw.target, dtype=torch.int64)


def two_digits(split: Split, one: int, other: int) -> Split:
    """Only the images of two digits, with labels 1 for the first of them and 0 for the other."""

    def only(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        of_two = (labels == one) | (labels == other)
        return features[of_two], (labels[of_two] == one).long()

    train = only(split.train_features, split.train_labels)
    return Split(*train, *only(split.test_features, split.test_labels))


def stacked(splits: Sequence[Split]) -> Split:
    """Splits of equal sizes as one, with an axis in front for the runs of `network`."""
    return Split(*map(torch.stack, zip(*(vars(split).values() for split in splits), strict=True)))


def uniform_label_noise(
    labels: torch.Tensor, rate: float, num_classes: int, seed: int = 0
) -> torch.Tensor:
    """Replace each label with probability `rate` by a class drawn uniformly from all K.

    labels : int64 (N,). rate : in [0, 1]. The true class is drawn too, so a share
    rate (1 - 1/K) of the labels becomes wrong on average.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in [0, 1], got {rate!r}")
    generator = torch.Generator().manual_seed(seed)
    replaced = torch.rand(labels.shape, generator=generator) < rate
    drawn = torch.randint(num_classes, labels.shape, generator=generator)
    return torch.where(replaced, drawn, labels)
