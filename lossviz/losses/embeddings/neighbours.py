"""Inter and intra class nearest neighbours: how near those of the same class are, and how many."""

from __future__ import annotations

import torch

from ...declaration import Fact, Source, declare
from . import GROUPED
from .nearest import neighbour_score


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
