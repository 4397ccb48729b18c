"""What NC1 to NC3 average away: variances, lengths and angles class by class, and pair by pair."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .collapse import TILE, Centre, ClassStatistics, checked_head


def class_variances(stats: ClassStatistics) -> torch.Tensor:
    """The mean squared distance (K,) of the rows of each class to their mean, float64.

    NaN for a class without rows.
    """
    return stats.squares / stats.rows


def cdnv(stats: ClassStatistics) -> torch.Tensor:
    """CDNV (K, K): the variances of two classes over twice the squared distance of their means.

    0 after collapse, infinite for classes that share a mean, NaN on the diagonal; the published
    number is the mean over pairs, `cdnv(stats).nanmean()`. Raises ValueError where a class has no
    rows. Source: Galanti, Gyorgy and Hutter (2022).
    """
    means = stats.centred("classes")
    variance = class_variances(stats)
    ratio = (variance[:, None] + variance) / (2 * _distances(means, means).square())
    return ratio.masked_fill(torch.eye(len(means), dtype=torch.bool), torch.nan)


def mean_cdnv(stats: ClassStatistics) -> torch.Tensor:
    """The mean of `cdnv` over pairs of classes, without a matrix (K, K); NaN for one class."""
    means, variance = stats.centred("classes"), class_variances(stats)
    total, classes = means.new_zeros(()), len(means)
    for start in range(0, classes, TILE):
        place = torch.arange(start, min(start + TILE, classes), device=means.device)
        apart = _distances(means[place], means).square()
        apart[place - start, place] = torch.inf
        total += ((variance[place, None] + variance) / (2 * apart)).sum()
    return total / (classes * (classes - 1)) if classes > 1 else total / 0


def _distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Distances of all rows to all others, from differences: squares would cancel."""
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")


class ClassRows(NamedTuple):
    """One number for each class (K,), float64: where imbalance shows.

    `rows` counts; `variance` is the mean squared distance to the class mean; `length` that of the
    centred class mean; `angle` that to the nearest other centred mean, in radians; `own_weight` the
    cosine of the centred mean with the class's row of the classifier, None without one.
    """

    rows: torch.Tensor
    variance: torch.Tensor
    length: torch.Tensor
    angle: torch.Tensor
    own_weight: torch.Tensor | None


def class_rows(
    stats: ClassStatistics, weight: torch.Tensor | None = None, *, centre: Centre = "classes"
) -> ClassRows:
    """What NC1 to NC3 average away, class by class.

    `weight` (K, D) is the classifier, whose rows are centred on their mean. After collapse to a
    simplex variances are 0, lengths alike, angles arccos(-1 / (K - 1)) and cosines 1. A class mean
    at the centre has no angle: NaN. Raises ValueError where a class has no rows, and for a weight
    of another shape.
    """
    means = stats.centred(centre)
    length = means.norm(dim=-1)
    direction = means / length.where(length > 1e-12, torch.nan)[:, None]
    cosine = (direction @ direction.mT).fill_diagonal_(-torch.inf)
    angle = cosine.amax(-1).clamp(-1, 1).arccos() if len(means) > 1 else length * torch.nan
    own = None
    if weight is not None:
        rows = checked_head(weight, means)
        rows = rows - rows.mean(0)
        own = (direction * rows).sum(-1) / rows.norm(dim=-1)
    return ClassRows(stats.rows.double(), class_variances(stats), length, angle, own)
