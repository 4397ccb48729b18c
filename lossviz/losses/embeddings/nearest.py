"""A score of the nearest neighbours of each point: how near those of its class are, how many."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...declaration.numbers import check_count


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


def neighbour_score(
    x: torch.Tensor, y: torch.Tensor, *, k: int, rivals: int | None
) -> NeighbourScore:
    """The score of checked embeddings (N, D) with labels (N,), as `icnn` describes it.

    Raises TypeError and ValueError for numbers of neighbours that are not whole and positive, and
    ValueError for fewer than three points.
    """
    count, k = len(x), check_count("k", k)
    if count < 3:
        raise ValueError(f"there must be at least 3 rows, got {count}")
    if rivals is not None:
        rivals = check_count("rivals", rivals)
    few = k + 2 >= count
    k = count - 2 if few else k
    rivals = min(k + 1 if rivals is None else max(rivals, k), count - 1)
    fixed, itself = x.detach(), torch.eye(count, dtype=torch.bool, device=x.device)
    between = torch.cdist(fixed, fixed, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = between.masked_fill(itself, torch.inf).topk(rivals, largest=False).indices
    distance = ((x.unsqueeze(1) - x[nearest]).square().sum(-1) + 1e-6).sqrt()
    same = y[nearest] == y[:, None]
    rival = distance.masked_fill(same, torch.inf).amin(-1, keepdim=True)
    distance, same = distance[:, :k], same[:, :k]
    ratio = distance / rival
    near = 1 - _mean_of_means(ratio / ratio.amax(-1, keepdim=True).clamp_min(1.0), same)
    largest = torch.where(same, 0.0, distance).max()
    far = _mean_of_means(distance / largest.clamp_min(1e-12), ~same)
    far = torch.where(same.all(), 1.0, far)
    share = torch.ones_like(near) if few else same.double().mean()
    return NeighbourScore(((near + far) / 2 + share) / 2, near, far, share)
