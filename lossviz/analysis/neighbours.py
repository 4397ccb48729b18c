"""Do classes keep together: a score of each point's nearest neighbours."""

from __future__ import annotations

import torch

from ..losses.embeddings.nearest import NeighbourScore, neighbour_score
from .collapse import labelled_rows


def icnn_score(
    features: torch.Tensor, target: torch.Tensor, *, k: int = 4, rivals: int | None = None
) -> NeighbourScore:
    """ICNN: inter and intra class nearest neighbours, of features (N, D) with labels (N,).

    For each point its `k` nearest others. `near` is 1 minus the mean distance to those of its
    class, over that to the nearest of another class among the `rivals` nearest (default k + 1, at
    least k), and over the largest of these ratios if above 1; `far` the mean distance to those of
    other classes over the largest such distance, 1 where there are none. Distances have 1e-6 under
    their root, as published. Gradients flow through distances alone; minus the logarithm of the
    score is the loss `lossviz.losses.icnn`. With fewer than k + 3 points k is N - 2, and `share`
    is 1.

    Raises TypeError and ValueError for bad rows or labels, fewer than three points, and numbers of
    neighbours that are not whole and positive. Source: Mendez-Ruiz et al. (2023).
    """
    x, y = labelled_rows(features, target)
    return neighbour_score(x, y, k=k, rivals=rivals)
