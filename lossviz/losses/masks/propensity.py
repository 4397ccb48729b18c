"""Labels that are missing not at random: each one seen stands for those that were not."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ...declaration import Argument, Fact, Inputs, RowLosses, Source, declare, row_dtype
from ...declaration.arrays import Array, as_tensor
from ...declaration.kinds import WEIGHTS
from ...declaration.numbers import check_count
from . import PIXELS

MOST = 100.0  # nats of a label, as in torch: a probability of 0 would cost without end
INVERSE = replace(
    WEIGHTS,
    noun="inverse propensities",
    outside=lambda tensor, _: (tensor <= 0) | tensor.isinf(),
    range=lambda _: "be positive and finite",
)
OBSERVED = Inputs(
    *PIXELS.arguments,
    Argument("weight", INVERSE, "...", "One over the chance that this label is observed"),
)


def naive_bayes_propensities(observed: Array, uniform: Array, *, num_pairs: int) -> torch.Tensor:
    """The chance of each observed label to be observed, by Bayes' rule, float64.

    `observed` (N,) are the labels that were seen, 0 and 1, `uniform` (M,) those of pairs drawn at
    random, and `num_pairs` (>= 1) is how many pairs of a user and an item there are.

    The share of the label among those seen, times the share of pairs that are seen, over the share
    of the label among all; no step keeps that below 1. A label that the random
    pairs never have gets inf. Raises TypeError for what is not numbers, ValueError for other
    values, other shapes, nothing at all or a wrong `num_pairs`. Source: Schnabel et al. (2016),
    section 5.
    """
    shares = []
    seen, drawn = as_tensor("observed", observed), as_tensor("uniform", uniform)
    for name, labels in (("observed", seen), ("uniform", drawn)):
        if labels.ndim != 1 or not len(labels):
            raise ValueError(f"{name} must have shape (N,) with N >= 1, got {tuple(labels.shape)}")
        if not ((labels == 0) | (labels == 1)).all():
            raise ValueError(f"{name} must hold 0 and 1, got {labels.unique().tolist()}")
        positive = labels.mean()
        shares.append(torch.where(seen == 1, positive, 1 - positive))
    among_seen, among_all = shares
    return among_seen / among_all * len(seen) / check_count("num_pairs", num_pairs)


def gaussian_kernel(x: Array, y: Array, *, gamma: float = 0.1) -> torch.Tensor:
    """Gaussian kernel of features `x` (N, D) and `y` (M, D), as a matrix (N, M), float64.

    The exponential of minus gamma times the squared distance. Kernel balancing asks that inversely
    weighted observations have the same means of these functions as all pairs. Raises TypeError for
    what is not numbers, ValueError for other shapes or a gamma that is not positive. Source: Li et
    al. (2024).
    """
    one, other = as_tensor("x", x), as_tensor("y", y)
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ValueError(
            f"x and y must have shapes (N, D) and (M, D), got {tuple(one.shape)} and "
            f"{tuple(other.shape)}"
        )
    if not gamma > 0:
        raise ValueError(f"gamma must be positive, got {gamma!r}")
    return (-gamma * (one[:, None] - other).square().sum(-1)).exp()


@declare(
    family="imbalance",
    inputs=OBSERVED,
    latex=r"\ell(p, t, w) = -w \big( t \log p + (1 - t) \log(1 - p) \big)",
    source=Source("schnabel2016recommendations", "eq. 4 and section 3"),
    facts=(
        Fact(
            "Equal weights of 1: binary cross-entropy",
            lambda p, t, w: (
                ips_weighted_bce(p, t, torch.ones_like(w)),
                torch.nn.functional.binary_cross_entropy(p, t.double()),
            ),
        ),
        Fact(
            "Self-normalised, the scale of the weights does not count",
            lambda p, t, w: (
                ips_weighted_bce(p, t, 7 * w, self_normalised=True),
                ips_weighted_bce(p, t, w, self_normalised=True),
            ),
        ),
        Fact(
            "Divided by the number of all pairs: the sum over that number",
            lambda p, t, w: (
                ips_weighted_bce(p, t, w, num_pairs=40),
                ips_weighted_bce(p, t, w, reduction="sum") / 40,
            ),
        ),
    ),
    stability="A label costs at most 100 nats before it is weighed, as in torch, and has no "
    "gradient there: a probability that is exactly wrong costs a finite amount.",
    notes="The mean over all pairs, seen or not, is what is estimated without bias: give "
    "`num_pairs`. Without it the mean is over what was seen, as in published code; self-normalised "
    "has a little bias and less variance. Small propensities make large weights: clip them first.",
    related=("cross_entropy",),
    view={"labels": ("probability, target 1", "probability, target 0")},
    also=("IPS", "inverse propensity scoring", "missing not at random", "recommendation", "SNIPS"),
    in_torch="F.binary_cross_entropy(probability, target.to(probability), weight)",
    use="Labels are missing not at random, as ratings are, and the chance of being seen is "
    "known or estimated.",
    avoid="All labels are seen, or propensities are guesses: large weights then carry the guess.",
)
def ips_weighted_bce(
    probability: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    num_pairs: int | None = None,
    self_normalised: bool = False,
) -> RowLosses:
    """Inverse-propensity cross-entropy: each observed label counts for those that were not seen.

    num_pairs : what "mean" divides by, the number of all pairs; None (default) for the observed.
    self_normalised : whether "mean" divides by the sum of the weights instead, default no.

    Raises ValueError for both, or fewer pairs than one.
    """
    if num_pairs is not None and self_normalised:
        raise ValueError("num_pairs and self_normalised exclude each other, got both")
    p = probability.to(row_dtype(probability))
    lost = torch.where(target, p, 1 - p) < math.exp(-MOST)
    # both logarithms see 1 or 0 where they are not meant, so that no infinite slope meets a 0
    found, other = torch.where(target & ~lost, p, 1.0), torch.where(target | lost, 0.0, p)
    rows = weight * torch.where(lost, MOST, -(found.log() + torch.log1p(-other)))
    if num_pairs is not None:
        pairs = rows.new_tensor(check_count("num_pairs", num_pairs))
        return RowLosses(rows, denominator=pairs)
    return RowLosses(rows, denominator=weight.to(p.dtype).sum() if self_normalised else None)
