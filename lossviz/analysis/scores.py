"""Proper scores of probabilities and their parts: how wrong, how sharp, how hard the problem."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration import Fact, Source, measure
from .binned import FORECASTS, equal_width, sums_in_bins
from .confidence import Kind, class_probabilities
from .measures import Total

Pair = tuple[torch.Tensor, torch.Tensor]


def _mean(sums: Total) -> torch.Tensor:
    return sums.total / sums.rows


def _total(rows: torch.Tensor, weight: torch.Tensor | None, kept: torch.Tensor | None) -> Total:
    counted = torch.ones_like(rows, dtype=torch.bool) if kept is None else kept
    if weight is not None:
        counted = counted * weight
    # what does not count may be infinite
    return Total(torch.where(counted != 0, rows * counted, 0.0).sum(), counted.sum())


def _even(p: torch.Tensor, y: torch.Tensor) -> Pair:
    classes = p.shape[-1]
    return brier_score(torch.full_like(p, 1 / classes), y), p.new_tensor(1 - 1 / classes)


def _squares(p: torch.Tensor, y: torch.Tensor) -> Pair:
    one_hot = torch.nn.functional.one_hot(y, p.shape[-1])
    return brier_score(p, y), (p - one_hot).square().sum(-1).mean()


@measure(
    family="proper scores",
    latex=r"\frac1N \sum_i \sum_k \big(p_{ik} - [k = y_i]\big)^2",
    inputs=FORECASTS,
    finish=_mean,
    better="lower",
    units="squared probability, between 0 and 2",
    source=Source("brier1950verification", "eq. 2"),
    facts=(
        Fact("Equal probabilities: 1 - 1/K", _even),
        Fact("The squared distance to the one-hot label, averaged", _squares),
    ),
    related=("log_score", "ece"),
)
def brier_score(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    kept: torch.Tensor | None,
) -> Total:
    """Brier score (sum over classes): the squared distance between forecast and label.

    This is Brier's own form, summed over classes. Half of it is the form for P(positive) of two
    classes; divided by K it is a mean over classes.
    """
    p = probabilities.double()
    at_label = p.gather(-1, target[..., None])[..., 0]
    return _total(p.square().sum(-1) - 2 * at_label + 1, weight, kept)


def _log_even(p: torch.Tensor, y: torch.Tensor) -> Pair:
    classes = p.shape[-1]
    return log_score(torch.full_like(p, 1 / classes), y), p.new_tensor(classes).log()


@measure(
    family="proper scores",
    latex=r"-\frac1N \sum_i \log p_{i y_i}",
    inputs=FORECASTS,
    finish=_mean,
    better="lower",
    units="nats",
    source=Source("good1952rational", "section 8"),
    facts=(Fact("Equal probabilities: log K", _log_even),),
    related=("brier_score", "ece"),
)
def log_score(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    kept: torch.Tensor | None,
) -> Total:
    """Log score: the mean negative log-likelihood of the labels, in nats.

    A label of probability 0 makes it infinite, and nothing is clamped. From logits
    `lossviz.losses.cross_entropy` is more exact.
    """
    at_label = probabilities.double().gather(-1, target[..., None])[..., 0]
    return _total(-at_label.log(), weight, kept)


class BrierParts(NamedTuple):
    """reliability - resolution + uncertainty + within = brier, all summed over classes.

    `within` is what binning leaves over: 0 where a bin holds one forecast only.
    """

    reliability: torch.Tensor
    resolution: torch.Tensor
    uncertainty: torch.Tensor
    within: torch.Tensor
    brier: torch.Tensor


def brier_decomposition(
    predictions: torch.Tensor,
    target: torch.Tensor,
    *,
    kind: Kind,
    bins: int | None = None,
    weight: torch.Tensor | None = None,
) -> BrierParts:
    """Murphy's parts of the Brier score, summed over classes, float64.

    `predictions` (..., K) of `kind` "logits", "probabilities" or "log-probabilities", `target`
    (...) integer labels. Without `bins` rows with identical forecasts form a group, which makes
    the three parts exact (and resolution useless where all forecasts differ). With `bins` each
    class is cut into so many bins of equal width, closed on the right; what varies within them is
    the fourth part. `weight` (...) are weights of the rows, on any scale.

    Raises as `class_probabilities` does, and ValueError for an empty batch and for weights that are
    negative, not finite or all 0. Sources: Murphy (1973);
    Stephenson, Coelho and Jolliffe (2008) for the part within bins.
    """
    p = class_probabilities(predictions, kind=kind)
    checked = FORECASTS.check({"probabilities": p, "target": target, "weight": weight})
    classes = p.shape[-1]
    p, y = p.reshape(-1, classes), checked["target"].reshape(-1)
    if not len(p):
        raise ValueError("predictions must have at least one row, got an empty tensor")
    heavy = p.new_ones(len(p)) if weight is None else checked["weight"].flatten().double()
    p, y, heavy = (each[heavy > 0] for each in (p, y, heavy))
    hit, part = torch.nn.functional.one_hot(y, classes).double(), heavy / heavy.sum()
    brier = part @ (p - hit).square().sum(-1)
    base = part @ hit
    uncertainty = (base * (1 - base)).sum()
    if bins is None:
        _, group = p.unique(dim=0, return_inverse=True)
        share = torch.bincount(group, part)[:, None]
        said, seen = (
            share.new_zeros(len(share), classes).index_add(0, group, part[:, None] * x) / share
            for x in (p, hit)
        )
    else:
        edges = equal_width(bins, p)
        each = [sums_in_bins(p[:, k], hit[:, k], edges, weight=part) for k in range(classes)]
        share, said, seen = (torch.stack(sums, -1) for sums in zip(*each, strict=True))
        said, seen = ((x / share).nan_to_num(0.0) for x in (said, seen))
    reliability = (share * (said - seen).square()).sum()
    resolution = (share * (seen - base).square()).sum()
    within = brier - (reliability - resolution + uncertainty)
    return BrierParts(reliability, resolution, uncertainty, within, brier)
