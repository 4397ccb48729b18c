"""Inter and intra class nearest neighbours: how near those of the same class are, and how many."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...declaration import Fact, Source, declare
from ...declaration.numbers import check_count
from . import GROUPED


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


def _two_clouds(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight embeddings in two classes, a billion times farther apart than they are wide."""
    y = torch.arange(8) // 4
    return x[:1] + torch.eye(8, x.shape[1]).double() + 1e9 * y[:, None], y


@declare(
    family="few-shot",
    inputs=GROUPED,
    latex=r"\ell = -\log \tfrac12 \Big( \tfrac12 (\lambda_= + \lambda_{\ne}) + \gamma \Big), "
    r"\qquad \lambda_= = 1 - \operatorname{mean}_{y_j = y_i} \frac{d_{ij}}{r_i}, \quad "
    r"\lambda_{\ne} = \operatorname{mean}_{y_j \ne y_i} \frac{d_{ij}}{d_{\max}}",
    source=Source(
        "mendezruiz2023susana",
        "the ICNN loss",
        "the authors' code drops the first neighbour as the point itself, which is wrong where two "
        "coincide: here a point is never its own neighbour",
    ),
    facts=(
        Fact(
            "Two classes far apart cost nothing (both sides plus 1)",
            lambda x, y: (1 + icnn(*_two_clouds(x), k=3), torch.ones(()).double()),
            rtol=1e-6,
        ),
        Fact(
            "Embeddings of one class cost nothing (both sides plus 1)",
            lambda x, y: (1 + icnn(x, 0 * y), torch.ones(()).double()),
        ),
        Fact(
            "Only which labels are equal counts",
            lambda x, y: (icnn(x, 7 - 3 * y, k=3), icnn(x, y, k=3)),
        ),
    ),
    breaks=("length of D",),
    stability="Distances are of differences, with 1e-6 under their root, which keeps the slope "
    "finite where two points meet. Computed in float64.",
    notes="Over the k nearest others of each point: r is the distance to the nearest of another "
    "class, and the ratios of a point are divided by their largest if it is above 1; the largest "
    "of the distances to other classes divides them; gamma is the share of the own class. Which "
    "points are neighbours, and so gamma, has no slope: gradients flow through distances alone. "
    "`lossviz.analysis.icnn_score` gives the parts.",
    related=("proto_triplet", "opl"),
    also=("ICNN", "nearest neighbours", "SuSana Distancia", "metric learning", "few-shot learning"),
    use="Embeddings are to be sorted by their nearest neighbours, and batches hold several of each "
    "class.",
    avoid="Batches are small or hold one example of a class: hardly any neighbour has a slope.",
)
def icnn(
    embeddings: torch.Tensor, target: torch.Tensor, *, k: int = 4, rivals: int | None = None
) -> torch.Tensor:
    """ICNN: neighbours of the own class are to be near and many, those of others far.

    With fewer than k + 3 points, of at least three, k is N - 2 and the share counts as 1.

    k : how many nearest neighbours count, a whole number from 1 on.
    rivals : among how many nearest the nearest of another class is looked for, at least k; None
        (default) for k + 1. Where there is none among them, its distance counts as infinite.
    """
    score = neighbour_score(embeddings.double(), target, k=k, rivals=rivals).score
    return -score.log()
