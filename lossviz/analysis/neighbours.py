"""Do classes keep together: a score of each point's nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .collapse import labelled_rows


class NeighbourScore(NamedTuple):
    """The ICNN score and its parts, all from 0 to 1 and better when larger; float64.

    `near` says how near neighbours of the same class are, `far` how far those of other classes,
    `share` how many are of the same class; `score` is the mean of `share` and of the mean of the
    other two.
    """

    score: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor
    share: torch.Tensor


def _mean_of_means(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean over the rows that count anything of the mean of what counts; 0 where none does."""
    number = counted.sum(-1)
    sums = torch.where(counted, values, 0.0).sum(-1)
    return (sums / number.clamp_min(1)).sum() / (number > 0).sum().clamp_min(1)


def icnn_score(
    features: torch.Tensor, target: torch.Tensor, *, k: int = 4, rivals: int | None = None
) -> NeighbourScore:
    """ICNN: inter and intra class nearest neighbours, of features (N, D) with labels (N,).

    For each point its `k` nearest others. `near` is 1 minus the mean distance to those of its
    class, over that to the nearest of another class among the `rivals` nearest (default k + 1, at
    least k), and over the largest of these ratios if above 1; `far` the mean distance to those of
    other classes over the largest such distance, 1 where there are none. Distances have 1e-6 under
    their root, as published. Gradients flow through distances alone; minus the logarithm of the
    score is the published loss. With fewer than k + 3 points k is N - 2, and `share` is 1.

    Raises TypeError and ValueError for bad rows or labels, fewer than three points, and numbers of
    neighbours that are not whole and positive. Source: Mendez-Ruiz et al. (2023).
    """
    x, y = labelled_rows(features, target)
    count = len(x)
    if count < 3:
        raise ValueError(f"features must have at least 3 rows, got {count}")
    for name, value in (("k", k), ("rivals", k + 1 if rivals is None else rivals)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1 on, got {value!r}")
    few = k + 2 >= count
    k = count - 2 if few else k
    rivals = min(k + 1 if rivals is None else max(rivals, k), count - 1)
    distance = ((x.unsqueeze(1) - x).square().sum(-1) + 1e-6).sqrt()
    itself = torch.eye(count, dtype=torch.bool, device=x.device)
    nearest = distance.masked_fill(itself, torch.inf).topk(rivals, largest=False)
    same = y[nearest.indices] == y[:, None]
    rival = nearest.values.masked_fill(same, torch.inf).amin(-1, keepdim=True)
    distance, same = nearest.values[:, :k], same[:, :k]
    ratio = distance / rival
    near = 1 - _mean_of_means(ratio / ratio.amax(-1, keepdim=True).clamp_min(1.0), same)
    largest = torch.where(same, 0.0, distance).max()
    far = _mean_of_means(distance / largest.clamp_min(1e-12), ~same)
    far = torch.where(same.all(), 1.0, far)
    share = torch.ones_like(near) if few else same.double().mean()
    return NeighbourScore(((near + far) / 2 + share) / 2, near, far, share)
