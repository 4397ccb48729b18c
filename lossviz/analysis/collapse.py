"""Neural collapse: class means, what varies around them, and the frame they settle into.

Everything is float64. A centre is named wherever there is a choice: ``"classes"`` is the mean of
the class means, ``"samples"`` that of all rows; for unequal classes they differ, and so do NC1 to
NC3. A matrix of norm 0, as after total collapse, has no shape, and what is asked of its shape is
NaN.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import CLASS_WEIGHTS, EMBEDDINGS, labels
from ..declaration.numbers import check_count

Centre = Literal["classes", "samples"]
Frame = Literal["simplex", "orthogonal"]
Flavour = Literal["pinv", "svd", "quotient"]
FEATURES = Inputs(Argument("features", EMBEDDINGS, "N D"))
LABELLED = labels("K")
HEAD = Inputs(Argument("weight", CLASS_WEIGHTS, "K D"))
TILE = 2048
"""So many rows are in float64 at a time."""
EPS = torch.finfo(torch.float64).eps


class ClassStatistics(NamedTuple):
    """Rows (K,), means (K, D) and what varies around them; float64.

    `within` (D, D) is the scatter within classes, summed over all rows, `squares` (K,) the squared
    distances to the class mean, summed over those of each class.

    `merge` joins those of two batches, in any order, to those of the whole; `present` leaves out
    classes without rows.
    """

    rows: torch.Tensor
    means: torch.Tensor
    within: torch.Tensor
    squares: torch.Tensor

    def merge(self, other: ClassStatistics) -> ClassStatistics:
        """The statistics of both batches; ValueError for other numbers of classes or features."""
        if self.means.shape != other.means.shape:
            raise ValueError(
                f"other must have means of shape {tuple(self.means.shape)}, got "
                f"{tuple(other.means.shape)}"
            )
        rows = self.rows + other.rows
        new = other.rows > 0
        share = (other.rows[new].double() / rows[new])[:, None]
        apart = other.means[new] - self.means[new]
        weighed = apart * share * self.rows[new, None]
        means, squares = self.means.clone(), self.squares + other.squares
        means[new] += share * apart
        squares[new] += (weighed * apart).sum(-1)
        return ClassStatistics(
            rows, means, self.within + other.within + weighed.mT @ apart, squares
        )

    def present(self) -> ClassStatistics:
        """The statistics of the classes that have rows, in their order."""
        there = self.rows > 0
        return ClassStatistics(
            self.rows[there], self.means[there], self.within, self.squares[there]
        )

    def centre(self, centre: Centre) -> torch.Tensor:
        """The mean of the class means, or of all rows (D,)."""
        if centre == "classes":
            return self.means.mean(0)
        if centre == "samples":
            return self.rows.double() @ self.means / self.rows.sum()
        raise ValueError(f"centre must be 'classes' or 'samples', got {centre!r}")

    def centred(self, centre: Centre | None) -> torch.Tensor:
        """Class means (K, D) minus the centre; as they are for None.

        Raises ValueError where a class has no rows: it has no mean.
        """
        absent = (self.rows == 0).nonzero().flatten().tolist()
        if absent:
            raise ValueError(
                f"every class needs rows, got none of the classes {absent}: give `classes` that "
                "are there, number them anew, or take the statistics' `present()`"
            )
        return self.means if centre is None else self.means - self.centre(centre)


def labelled_pair(
    features: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (N, D) and labels (N,) in int64; raises for other dtypes and shapes."""
    x = FEATURES.check({"features": features})["features"]
    y = LABELLED.check(target, "target").long()
    if y.shape != x.shape[:1]:
        raise ValueError(f"target must have shape ({len(x)},), got {tuple(y.shape)}")
    return x, y


def _check_finite(x: torch.Tensor) -> None:
    if not x.isfinite().all():
        raise ValueError("features must be finite, got NaN or infinity")


def labelled_rows(
    features: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Finite features (N, D) in float64, labels (N,) from 0 on in int64; raises for all else."""
    x, y = labelled_pair(features, target)
    _check_finite(x)
    if (y < 0).any():
        raise ValueError(
            f"target must be 0 or above, got {y.min().item()}: leave out rows without a label"
        )
    return x.double(), y


def class_statistics(
    features: torch.Tensor, target: torch.Tensor, *, classes: int
) -> ClassStatistics:
    """The statistics of one batch of features (N, D) with labels (N,) in [0, `classes`).

    Means are subtracted before anything is squared, in float64, so that an offset costs no digits.
    Raises TypeError and ValueError for wrong dtypes, shapes, labels outside the classes, NaN or
    infinity.
    """
    classes = check_count("classes", classes)
    x, y = labelled_pair(features, target)
    y = LABELLED.check_range(y, "target", {"K": classes})
    tiles = list(zip(x.split(TILE), y.split(TILE), strict=True))
    rows = torch.bincount(y, minlength=classes)
    means = torch.zeros(classes, x.shape[1], dtype=torch.float64, device=x.device)
    for part, labels_ in tiles:
        means.index_add_(0, labels_, part.double())
    _check_finite(means)  # what is not in a row is not in its class's sum
    means /= rows.clamp_min(1)[:, None]
    within, squares = means.new_zeros(x.shape[1], x.shape[1]), means.new_zeros(classes)
    for part, labels_ in tiles:
        around = part - means[labels_]
        within.addmm_(around.mT, around)
        squares.index_add_(0, labels_, torch.linalg.vecdot(around, around))
    return ClassStatistics(rows, means, within, squares)


def simplex_frame(classes: int) -> torch.Tensor:
    """The Gram matrix (K, K) of a simplex equiangular tight frame, of norm 1; NaN for one class."""
    eye = torch.eye(check_count("classes", classes), dtype=torch.float64)
    return (eye - 1 / classes) / (classes - 1) ** 0.5


def _frame(frame: Frame | torch.Tensor, classes: int) -> torch.Tensor:
    """The Gram matrix to compare with: of a named frame, or diagonal with given squares."""
    if isinstance(frame, torch.Tensor):
        if frame.shape != (classes,):
            raise ValueError(f"frame must hold squares ({classes},), got {tuple(frame.shape)}")
        return frame.double().diag()
    if frame == "simplex":
        return simplex_frame(classes)
    if frame == "orthogonal":
        return torch.eye(classes, dtype=torch.float64) / classes**0.5
    raise ValueError(f"frame must be 'simplex', 'orthogonal' or squares (K,), got {frame!r}")


def checked_head(weight: torch.Tensor, means: torch.Tensor | None = None) -> torch.Tensor:
    """A classifier's rows (K, D) in float64, of the shape of the class means, if given."""
    rows = HEAD.check({"weight": weight})["weight"].double()
    if means is not None and rows.shape != means.shape:
        raise ValueError(
            f"weight must have the shape of the class means, {tuple(means.shape)}, got "
            f"{tuple(rows.shape)}"
        )
    return rows


def shape_distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The distance of two matrices after each is divided by its norm; NaN for a norm below 1e-12.

    Between 0 (one is a positive multiple of the other) and 2.
    """
    norms = one.norm(), other.norm()
    apart = (one / norms[0] - other / norms[1]).norm()
    return torch.where(torch.stack(norms).min() < 1e-12, torch.nan, apart)


def nc1(
    stats: ClassStatistics, *, centre: Centre = "classes", flavour: Flavour = "pinv"
) -> torch.Tensor:
    """NC1: variation within classes against that between them, tr(W B^+) / K.

    W is the covariance within classes over all rows, B that of the class means around `centre`,
    each class alike. The pseudo-inverse keeps singular values above the rounding of the means,
    max(D, K) eps times their norm; the flavour "svd" keeps the K - 1 largest of these, "quotient"
    is tr(W) / tr(B), which needs no inverse. 0 after collapse; NaN where all class means are one
    point, up to rounding.
    Source: Papyan, Han and Donoho (2020).
    """
    if flavour not in ("pinv", "svd", "quotient"):
        raise ValueError(f"flavour must be 'pinv', 'svd' or 'quotient', got {flavour!r}")
    means = stats.centred(centre)
    classes = len(means)
    within = stats.within / stats.rows.sum()
    _, singular, directions = torch.linalg.svd(means / classes**0.5, full_matrices=False)
    kept = singular > _rounding(stats) / classes**0.5
    if flavour == "svd":
        kept[classes - 1 :] = False
    if flavour == "quotient":
        ratio = within.trace() / singular.square().sum()
    else:
        seen = ((directions @ within) * directions).sum(-1)
        ratio = torch.where(kept, seen / singular.square(), 0.0).sum() / classes
    return torch.where(kept.any(), ratio, torch.nan)


def _rounding(stats: ClassStatistics) -> torch.Tensor:
    """Singular values of centred means that are no larger may be rounding of the means."""
    return max(stats.means.shape) * EPS * stats.means.norm()


def vci(stats: ClassStatistics) -> torch.Tensor:
    """VCI, the variability collapse index: 1 - tr(T^+ B) / rank(B), between 0 and 1.

    T = W + B is the covariance of all rows and B that of their class means, each class weighed by
    its rows. 0 after collapse; no invertible linear map of the features changes it. NaN where all
    class means are one point. Raises ValueError where a class has no rows. Source: Xu and Liu
    (2023), for equal classes.
    """
    means = stats.centred("samples")
    total = stats.rows.sum()
    between = (stats.rows.double() / total).sqrt()[:, None] * means
    values, vectors = torch.linalg.eigh(stats.within / total + between.mT @ between)
    kept = values > len(values) * EPS * values.max()
    seen = (between @ vectors).square().sum(0)
    rank = (torch.linalg.svdvals(between) > _rounding(stats)).sum()
    index = 1 - torch.where(kept, seen / values, 0.0).sum() / rank
    return torch.where(rank > 0, index, torch.nan)


def nc2(
    stats: ClassStatistics, frame: Frame | torch.Tensor = "simplex", *, centre: Centre = "classes"
) -> torch.Tensor:
    """NC2 of class means: how far their Gram matrix is from a frame's, both of norm 1.

    `frame` is "simplex" (means around `centre`), "orthogonal" (means as they are), or squared
    lengths (K,) of a general orthogonal frame. In D < K - 1 dimensions there is no simplex frame,
    and the distance to it is at least (2 - 2 (D / (K - 1))^(1/2))^(1/2). Source: Papyan, Han and
    Donoho (2020).
    """
    means = stats.centred(centre if isinstance(frame, str) and frame == "simplex" else None)
    return nc2_of_weight(means, frame)


def nc2_of_weight(weight: torch.Tensor, frame: Frame | torch.Tensor = "simplex") -> torch.Tensor:
    """NC2 of a classifier's rows (K, D), as `nc2` of class means."""
    rows = checked_head(weight)
    return shape_distance(rows @ rows.mT, _frame(frame, len(rows)))


def nc3(
    weight: torch.Tensor,
    stats: ClassStatistics,
    frame: Frame | torch.Tensor = "simplex",
    *,
    centre: Centre = "classes",
) -> torch.Tensor:
    """NC3 by logits: how far the products of rows and class means are from a frame's Gram matrix.

    `weight` (K, D); `frame` and `centre` as of `nc2`, where squares are those of the products.
    """
    means = stats.centred(centre if isinstance(frame, str) and frame == "simplex" else None)
    return shape_distance(checked_head(weight, means) @ means.mT, _frame(frame, len(means)))


def nc3_distance(
    weight: torch.Tensor,
    stats: ClassStatistics,
    *,
    centre: Centre | None = "classes",
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """NC3 by direction: the distance of a classifier (K, D) to its class means, both of norm 1.

    `centre` None takes the means as they are; `scale` (K,) multiplies them (what an imbalanced
    theorem asks for).
    """
    means = stats.centred(centre)
    if scale is not None:
        if scale.shape != stats.rows.shape:
            raise ValueError(f"scale must have shape ({len(means)},), got {tuple(scale.shape)}")
        means = scale.double()[:, None] * means
    return shape_distance(checked_head(weight, means), means)


def nearest_mean(features: torch.Tensor, stats: ClassStatistics) -> torch.Tensor:
    """The class (N,) of the mean nearest to each row of finite features (N, D); first of equals."""
    means = stats.centred(None)
    x = FEATURES.check({"features": features})["features"]
    if x.shape[1] != means.shape[1]:
        raise ValueError(f"features must have {means.shape[1]} columns, got {x.shape[1]}")
    _check_finite(x)
    middle = means.mean(0)
    means = means - middle
    half = means.square().sum(-1) / 2
    nearest = [((part.double() - middle) @ means.mT - half).argmax(-1) for part in x.split(TILE)]
    return torch.cat(nearest)


def disagreements(
    logits: torch.Tensor, stats: ClassStatistics, features: torch.Tensor
) -> torch.Tensor:
    """1 (N,) where the largest logit and the nearest mean differ, else 0; NaN for NaN, float64."""
    nearest = nearest_mean(features, stats)
    if logits.shape != (len(nearest), len(stats.rows)):
        raise ValueError(
            f"logits must have shape {(len(nearest), len(stats.rows))}, got {tuple(logits.shape)}"
        )
    apart = (logits.argmax(-1) != nearest).double()
    return apart.masked_fill(logits.isnan().any(-1), torch.nan)


def nc4_of_logits(
    logits: torch.Tensor, stats: ClassStatistics, features: torch.Tensor
) -> torch.Tensor:
    """NC4 of any classifier: the share of rows where its logits (N, K) and the nearest mean differ.

    The class means are those of `stats`, usually of a first pass over the training data. float64;
    of equal logits the first counts, as of equal distances. NaN where a logit is NaN.
    """
    return disagreements(logits, stats, features).mean()


def nc4(weight: torch.Tensor, bias: torch.Tensor | None, stats: ClassStatistics,
        features: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """NC4: the share of rows on which the classifier and the nearest class mean disagree, float64.

    `weight` (K, D) and `bias` (K,) or None are the head, `features` (N, D) the rows. Of equal
    classes the first counts. Raises ValueError for other shapes and for features that are not
    finite; NaN where a logit is NaN.
    """
    rows = checked_head(weight, stats.centred(None))
    x = FEATURES.check({"features": features})["features"].double()
    if x.shape[1] != rows.shape[1]:
        raise ValueError(f"features must have {rows.shape[1]} columns, got {x.shape[1]}")
    if bias is not None and bias.shape != stats.rows.shape:
        raise ValueError(f"bias must have shape ({len(rows)},), got {tuple(bias.shape)}")
    scores = x @ rows.mT + (0.0 if bias is None else bias.double())
    return nc4_of_logits(scores, stats, x)


def nc5(stats: ClassStatistics, outside: torch.Tensor) -> torch.Tensor:
    """NC5: the mean absolute cosine of the class means, as they are, with the mean of other data.

    `outside` (M, D) are features of inputs that belong to none of the classes. 0 where they are at
    right angles to all classes, at most 1; NaN where a mean is 0. Raises ValueError for another
    width, or no rows. Source: Ammar et al. (2024), who call it NC5.
    """
    means = stats.centred(None)
    x = FEATURES.check({"features": outside})["features"].double()
    if not len(x) or x.shape[1] != means.shape[1]:
        raise ValueError(
            f"outside must have rows with {means.shape[1]} features, got {tuple(outside.shape)}"
        )
    mean = x.mean(0)
    return ((means @ mean).abs() / (means.norm(dim=-1) * mean.norm())).mean()
