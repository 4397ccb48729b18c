"""Neural collapse as measures: they stream over batches, and processes merge exactly.

Sums are `ClassStatistics`, memory K D + D^2 where K is one more than the largest label, and
``class_rows(stream.sums.present())``, as any function of `collapse`, works on what a stream has
seen. Classes without rows do not count: K is then the number of those that have rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from ..declaration import Argument, Fact, Inputs, Source, measure
from ..declaration.kinds import CLASS_WEIGHTS, EMBEDDINGS, LOGITS, Kind, labels
from .class_by_class import class_rows, mean_cdnv
from .collapse import (
    ClassStatistics,
    class_statistics,
    disagreements,
    nc1,
    nc2,
    nc3,
    simplex_frame,
    vci,
)
from .measures import Total

Pair = tuple[torch.Tensor, torch.Tensor]


def _groups(generator: torch.Generator, shape: tuple[int, ...], _: object) -> torch.Tensor:
    return torch.randint(3, shape, generator=generator)


FROM_ZERO = Kind(
    "class labels",
    _groups,
    "integer",
    outside=lambda tensor, _: tensor < 0,
    range=lambda _: "be 0 or above",
    ignorable=True,
    rest=(0, 1, 2),
    code="torch.randint(3, ({shape},))",
)
FEATURES = Argument("features", EMBEDDINGS, "N D")
LABELLED = Inputs(FEATURES, Argument("target", FROM_ZERO, "N"))
HEADED = Inputs(
    FEATURES,
    Argument("target", labels("K", ignorable=True), "N"),
    Argument("weight", CLASS_WEIGHTS, "K D", "The classifier, the same for each batch"),
)
AGAINST_MEANS = Inputs(
    FEATURES,
    Argument("logits", LOGITS, "N K"),
    Argument("means", CLASS_WEIGHTS, "K D", "Those of the classes, of a first pass over the data"),
)
PAPYAN = Source("papyan2020prevalence", "section 2")


def _of_batch(
    features: torch.Tensor, target: torch.Tensor, kept: torch.Tensor | None
) -> ClassStatistics:
    if kept is not None:
        features, target = features[kept], target[kept]
    classes = int(target.max()) + 1 if len(target) else 1
    return class_statistics(features, target, classes=classes)


def _wider(stats: ClassStatistics, classes: int) -> ClassStatistics:
    more = classes - len(stats.rows)
    rows, means, within, squares = stats
    if not more:
        return stats
    return ClassStatistics(
        torch.cat([rows, rows.new_zeros(more)]),
        torch.cat([means, means.new_zeros(more, means.shape[1])]),
        within,
        torch.cat([squares, squares.new_zeros(more)]),
    )


def _merged(one: ClassStatistics, other: ClassStatistics) -> ClassStatistics:
    classes = max(len(one.rows), len(other.rows))
    return _wider(one, classes).merge(_wider(other, classes))


def _finish(
    function: Callable[[ClassStatistics], torch.Tensor],
) -> Callable[[ClassStatistics], torch.Tensor]:
    """The function of the classes that are there; NaN for fewer than two."""

    def finish(sums: ClassStatistics) -> torch.Tensor:
        stats = sums.present()
        return function(stats) if len(stats.rows) > 1 else sums.within.new_tensor(torch.nan)

    return finish


def _collapsed(x: torch.Tensor) -> Pair:
    """Rows on the corners of a simplex, moved and of unequal classes, and their labels."""
    y = torch.tensor([0, 1, 2, 1, 2, 2])
    return simplex_frame(3)[y] + x[0, 0], y


def _one() -> torch.Tensor:
    return torch.ones((), dtype=torch.float64)


def _zero_after_collapse(value: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Fact:
    return Fact(
        "Collapse to a simplex, of any class sizes: 0 (both sides plus 1)",
        lambda x, y: (1 + value(*_collapsed(x)), _one()),
    )


_labelled = partial(measure, family="collapse", inputs=LABELLED, merge=_merged, better="neither")


@_labelled(
    units="ratio",
    latex=r"\frac1K \operatorname{tr}\big(\Sigma_W \Sigma_B^+\big)",
    finish=_finish(nc1),
    source=PAPYAN,
    facts=(
        _zero_after_collapse(lambda x, y: variability_collapse(x, y)),
        Fact(
            "Invertible maps change nothing while the means span all dimensions",
            lambda x, y: (
                variability_collapse(x[:, :2], y),
                variability_collapse(x[:, :2] @ x[:2, 2:], y),
            ),
        ),
    ),
    related=("variability_index", "simplex_distance"),
)
def variability_collapse(
    features: torch.Tensor, target: torch.Tensor, *, kept: torch.Tensor | None
) -> ClassStatistics:
    """Variability collapse (NC1): variation within classes against that between their means.

    Around the mean of the class means. NaN for fewer than two classes. Defined on training data:
    say so where it is fed others.
    """
    return _of_batch(features, target, kept)


@_labelled(
    units="ratio",
    latex=r"1 - \frac{\operatorname{tr}(\Sigma_T^+ \Sigma_B)}{\operatorname{rank} \Sigma_B}",
    finish=_finish(vci),
    source=Source("xu2023quantifying", "the variability collapse index"),
    facts=(
        _zero_after_collapse(lambda x, y: variability_index(x, y)),
        Fact(
            "No invertible linear map changes it",
            lambda x, y: (
                variability_index(x, y),
                variability_index(x @ (x[:4] + 3 * torch.eye(4)), y),
            ),
        ),
    ),
    related=("variability_collapse",),
)
def variability_index(
    features: torch.Tensor, target: torch.Tensor, *, kept: torch.Tensor | None
) -> ClassStatistics:
    """Variability collapse index: the share of the variance along the means that is within classes.

    Between 0 (collapsed) and 1; classes count by their rows. NaN for fewer than two classes.
    """
    return _of_batch(features, target, kept)


@_labelled(
    units="ratio",
    latex=r"\Big\lVert \frac{M M^\top}{\lVert M M^\top \rVert} "
    r"- \frac{1}{\sqrt{K - 1}} \Big(I - \frac1K 1 1^\top\Big) \Big\rVert",
    finish=_finish(nc2),
    source=PAPYAN,
    facts=(
        _zero_after_collapse(lambda x, y: simplex_distance(x, y)),
        Fact(
            "Turning, stretching and moving the features changes nothing",
            lambda x, y: (
                simplex_distance(x, y),
                simplex_distance(3 * x @ torch.linalg.qr(x[:4]).Q + x[0], y),
            ),
        ),
    ),
    related=("variability_collapse", "self_duality"),
)
def simplex_distance(
    features: torch.Tensor, target: torch.Tensor, *, kept: torch.Tensor | None
) -> ClassStatistics:
    """Distance to a simplex (NC2): of the class means' Gram matrix, both of norm 1.

    Around the mean of the class means, so that class sizes do not count. NaN for fewer than two
    classes.
    """
    return _of_batch(features, target, kept)


@_labelled(
    units="ratio",
    latex=r"\frac{1}{K(K-1)} \sum_{k \ne j} "
    r"\frac{\sigma_k^2 + \sigma_j^2}{2 \lVert \mu_k - \mu_j \rVert^2}",
    finish=_finish(mean_cdnv),
    source=Source("galanti2022role", "the class-distance normalized variance"),
    facts=(
        _zero_after_collapse(lambda x, y: class_distance_variance(x, y)),
        Fact(
            "Turning, stretching and moving the features changes nothing",
            lambda x, y: (
                class_distance_variance(x, y),
                class_distance_variance(3 * x @ torch.linalg.qr(x[:4]).Q + x[0], y),
            ),
        ),
    ),
    related=("variability_collapse",),
)
def class_distance_variance(
    features: torch.Tensor, target: torch.Tensor, *, kept: torch.Tensor | None
) -> ClassStatistics:
    """Class-distance normalized variance (CDNV): the mean over pairs of classes.

    Infinite where two classes share a mean; NaN for fewer than two classes.
    """
    return _of_batch(features, target, kept)


def _lengths_and_angles(stats: ClassStatistics) -> torch.Tensor:
    rows = class_rows(stats)
    return torch.stack([rows.rows, rows.variance, rows.length, rows.angle])


@_labelled(
    units="rows, squares, lengths, radians",
    latex=r"\Big(n_k,\ \sigma_k^2,\ \lVert \mu_k - \mu \rVert,\ "
    r"\min_{j \ne k} \angle(\mu_k - \mu,\, \mu_j - \mu)\Big)_k",
    finish=_finish(_lengths_and_angles),
    source=PAPYAN,
    facts=(
        Fact(
            "After collapse to a simplex of three classes all angles are 2 pi / 3",
            lambda x, y: (
                class_geometry(*_collapsed(x))[3],
                (2 * torch.pi / 3 * _one()).expand(3),
            ),
        ),
        Fact(
            "Rows, variance and length are those of each class alone",
            lambda x, y: (
                class_geometry(x, y)[:2, 1],
                torch.stack(
                    [(y == 1).sum(), (x[y == 1] - x[y == 1].mean(0)).square().sum(-1).mean()]
                ),
            ),
        ),
    ),
    related=("simplex_distance",),
)
def class_geometry(
    features: torch.Tensor, target: torch.Tensor, *, kept: torch.Tensor | None
) -> ClassStatistics:
    """Class by class: rows, variance, length of the mean, angle to the nearest other mean.

    Four rows, a column for each class that is there; see `class_rows`. Imbalance shows here, in the
    minority, and not in a mean over classes.
    """
    return _of_batch(features, target, kept)


class HeadStatistics(NamedTuple):
    """`ClassStatistics`, and the classifier (K, D) that they are compared with."""

    rows: torch.Tensor
    means: torch.Tensor
    within: torch.Tensor
    squares: torch.Tensor
    weight: torch.Tensor


def _merged_with_head(one: HeadStatistics, other: HeadStatistics) -> HeadStatistics:
    if not torch.equal(one.weight, other.weight):
        raise ValueError("weight must be the same for all batches: start a new stream after a step")
    return HeadStatistics(*ClassStatistics(*one[:4]).merge(ClassStatistics(*other[:4])), one.weight)


def _duality(sums: HeadStatistics) -> torch.Tensor:
    weight = sums.weight[sums.rows > 0]
    return _finish(lambda stats: nc3(weight, stats))(ClassStatistics(*sums[:4]))


@measure(
    family="collapse",
    inputs=HEADED,
    latex=r"\Big\lVert \frac{W M^\top}{\lVert W M^\top \rVert} "
    r"- \frac{1}{\sqrt{K - 1}} \Big(I - \frac1K 1 1^\top\Big) \Big\rVert",
    finish=_duality,
    merge=_merged_with_head,
    better="neither",
    units="ratio",
    source=PAPYAN,
    facts=(
        Fact(
            "A classifier that is a multiple of the collapsed means: 0 (both sides plus 1)",
            lambda x, y, w: (1 + self_duality(*_collapsed(x), 7 * simplex_frame(3)), _one()),
        ),
        Fact(
            "The length of the classifier does not count",
            lambda x, y, w: (self_duality(x, y, w), self_duality(x, y, 9 * w)),
        ),
    ),
    related=("simplex_distance",),
)
def self_duality(
    features: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    kept: torch.Tensor | None,
) -> HeadStatistics:
    """Self-duality (NC3): how far classifier times class means is from a simplex's products.

    Around the mean of the class means; classes without rows are left out of both. NaN for fewer
    than two classes. All batches of a stream need one `weight`.
    """
    if kept is not None:
        features, target = features[kept], target[kept]
    stats = class_statistics(features, target, classes=len(weight))
    return HeadStatistics(*stats, weight.double())


def _share(sums: Total) -> torch.Tensor:
    return sums.total / sums.rows


@measure(
    family="collapse",
    inputs=AGAINST_MEANS,
    latex=r"\frac1N \sum_i \big[\arg\max_k z_{ik} \ne \arg\min_k \lVert h_i - \mu_k \rVert\big]",
    finish=_share,
    better="neither",
    units="share",
    source=PAPYAN,
    facts=(
        Fact(
            "Logits that fall with the distance to the means: 0 (both sides plus 1)",
            lambda x, z, m: (1 + nearest_mean_disagreement(x, -torch.cdist(x, m), m), _one()),
        ),
        Fact(
            "A bias in the logits counts: one that always wins disagrees wherever another is near",
            lambda x, z, m: (
                nearest_mean_disagreement(x, z + 1e6 * torch.eye(5).double()[0], m),
                (torch.cdist(x, m).argmin(-1) != 0).double().mean(),
            ),
        ),
    ),
    related=("self_duality",),
)
def nearest_mean_disagreement(
    features: torch.Tensor, logits: torch.Tensor, means: torch.Tensor
) -> Total:
    """Nearest-mean disagreement (NC4): rows whose largest logit is not the class of nearest mean.

    By the model's own logits, so that a bias counts. A second pass: `means` are the class means, of
    a first pass over the training data. Of equal logits or distances the first counts. NaN without
    rows, and where a logit is NaN.
    """
    rows = torch.ones(len(means), device=means.device).long()
    known = means.double()
    stats = ClassStatistics(rows, known, known.new_zeros(()), known.new_zeros(()))
    apart = disagreements(logits, stats, features)
    return Total(apart.sum(), torch.tensor(len(apart), device=apart.device))
