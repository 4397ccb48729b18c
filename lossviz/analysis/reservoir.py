"""A seeded sample of the rows of a stream, for measures that need the rows themselves."""

from __future__ import annotations

import torch

from ..declaration.numbers import check_count
from .collapse_measures import LABELLED


class Reservoir:
    """A uniform sample of at most `size` of all rows that were added, with their labels.

    For what needs the rows themselves: `diffusion_entropy`, `diffusion_information` and
    `icnn_score` of `features` (M, D) and `target` (M,). Which rows are kept depends on `seed` and
    their order, and not on how they were cut into batches; up to `size` rows, all are. Processes
    need different seeds before they `merge`.

    Raises TypeError and ValueError for a size that is not whole and positive, and rows or labels
    that `class_statistics` would refuse.
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        self.size, self.seed = check_count("size", size), seed
        self.seen = 0
        self.features = torch.empty(0)
        self.target = torch.empty(0, dtype=torch.long)
        self._ranks = torch.empty(0, dtype=torch.float64)
        self._source = torch.Generator().manual_seed(seed)
        self._seeds = {seed}

    def add(self, features: torch.Tensor, target: torch.Tensor) -> Reservoir:
        """Look at a batch of features (N, D) with labels (N,)."""
        checked = LABELLED.check({"features": features, "target": target})
        ranks = torch.rand(len(features), generator=self._source, dtype=torch.float64)
        self._keep(checked["features"].detach().cpu(), checked["target"].cpu(), ranks)
        self.seen += len(features)
        return self

    def merge(self, other: Reservoir) -> Reservoir:
        """Sample from what both have seen; ValueError for another size or a seed in common."""
        if self.size != other.size or self._seeds & other._seeds:
            raise ValueError(
                f"other must have size {self.size} and seeds other than {sorted(self._seeds)}, got "
                f"size {other.size} and seeds {sorted(other._seeds)}"
            )
        if other.seen:
            self._keep(other.features, other.target, other._ranks)
        self.seen += other.seen
        self._seeds |= other._seeds
        return self

    def _keep(self, features: torch.Tensor, target: torch.Tensor, ranks: torch.Tensor) -> None:
        if self.seen and features.shape[1:] != self.features.shape[1:]:
            raise ValueError(
                f"features must have {self.features.shape[1]} columns, got {features.shape[1]}"
            )
        parts = ((self.features, features), (self.target, target), (self._ranks, ranks))
        joined = [torch.cat(pair) if self.seen else pair[1] for pair in parts]
        best = joined[2].argsort()[: self.size].sort().values
        self.features, self.target, self._ranks = (part[best] for part in joined)
