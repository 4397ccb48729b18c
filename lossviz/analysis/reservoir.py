"""A seeded sample of the rows of a stream, for measures that need the rows themselves."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration.numbers import check_count
from .collapse import labelled_rows


class Sample(NamedTuple):
    """The rows of the smallest ranks, by rising rank, at most `size` (1,); how many were `seen`."""

    size: torch.Tensor
    seen: torch.Tensor
    features: torch.Tensor
    target: torch.Tensor
    ranks: torch.Tensor

    def merge(self, other: Sample) -> Sample:
        """The sample of the rows of both; ValueError for features of another width."""
        widths = self.features.shape[1], other.features.shape[1]
        if widths[0] != widths[1]:
            raise ValueError(f"features must have {widths[0]} columns, got {widths[1]}")
        pairs = zip(self[2:], other[2:], strict=True)
        features, target, ranks = (torch.cat(pair) for pair in pairs)
        best = ranks.argsort(stable=True)[: int(self.size)]
        return Sample(
            self.size, self.seen + other.seen, features[best], target[best], ranks[best]
        )  # fmt: skip


def sample_of(features: torch.Tensor, target: torch.Tensor, *, size: int, seed: int) -> Sample:
    """The sample of one batch of features (N, D) with labels (N,), drawn by what the rows hold.

    A row's rank is a hash of its numbers, its label and the seed: which rows are kept depends
    neither on their order nor on batches or processes, and equal rows are kept or left together.
    """
    count = torch.tensor([size], device=features.device)
    seen = torch.tensor([len(features)], device=features.device)
    none = features[:0], target[:0], target[:0]
    return Sample(count, 0 * seen, *none).merge(
        Sample(count, seen, features, target, _ranks(features, target, seed))
    )


def _ranks(features: torch.Tensor, target: torch.Tensor, seed: int) -> torch.Tensor:
    """A whole number (N,) for each row, spread evenly over 63 bits."""
    source = torch.Generator().manual_seed(seed)
    odd = torch.randint(2**62, (features.shape[1] + 1,), generator=source) * 2 + 1
    odd = odd.to(features.device)
    bits = (features.double() + 0.0).contiguous().view(torch.int64)
    # multiplication drops what is above 64 bits, and low bits never see high ones: mix both ways
    mixed = (bits ^ (bits >> 32)) * odd[1:]
    ranks = (mixed ^ (mixed >> 29)).sum(-1) + (target + 1) * odd[0]
    for shift, factor in ((31, -0x40A7B892E31B1A47), (29, -0x6B2FB644ECCEEE15)):
        ranks = (ranks ^ (ranks >> shift)) * factor
    return (ranks ^ (ranks >> 32)) & (2**63 - 1)


class Reservoir:
    """A uniform sample of at most `size` of all rows that were added, with their labels.

    For what needs the rows themselves: `diffusion_entropy`, `diffusion_information` and
    `icnn_score` of `features` (M, D) and `target` (M,). Which rows are kept depends on `seed` and
    on the rows, not on their order, batches or processes, which may `merge`; equal rows are kept or
    left together. Up to `size` rows, all are. `seen` says of how many.

    Raises TypeError and ValueError for a size that is not whole and positive, and rows or labels
    that `class_statistics` would refuse.
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        self.size, self.seed = check_count("size", size), seed
        self._kept: Sample | None = None

    @property
    def seen(self) -> int:
        """How many rows were added."""
        return 0 if self._kept is None else int(self._kept.seen)

    @property
    def features(self) -> torch.Tensor:
        """Those that were kept (M, D)."""
        return torch.empty(0, 0) if self._kept is None else self._kept.features

    @property
    def target(self) -> torch.Tensor:
        """Their labels (M,)."""
        return torch.empty(0).long() if self._kept is None else self._kept.target

    def add(self, features: torch.Tensor, target: torch.Tensor) -> Reservoir:
        """Look at a batch of features (N, D) with labels (N,)."""
        x, y = labelled_rows(features, target)
        self._join(sample_of(x.detach().cpu(), y.cpu(), size=self.size, seed=self.seed))
        return self

    def merge(self, other: Reservoir) -> Reservoir:
        """Sample from what both have seen; ValueError for another size or seed."""
        if (self.size, self.seed) != (other.size, other.seed):
            raise ValueError(
                f"other must have size {self.size} and seed {self.seed}, got size {other.size} and "
                f"seed {other.seed}"
            )
        if other._kept is not None:
            self._join(other._kept)
        return self

    def _join(self, new: Sample) -> None:
        self._kept = new if self._kept is None else self._kept.merge(new)
