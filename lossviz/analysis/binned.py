"""Calibration errors over bins of confidence, each with its convention in its name.

A bin closed on the right is (lo, hi], with 0 in the first; one closed on the left is [lo, hi), with
1 in the last. Edges are k/B in the dtype of the confidences, so that 0.6 lies on the edge 3/5 in
float32 as well as in float64. Counts are integers and sums float64, in any split into batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch

from ..declaration import Argument, Fact, Inputs, Measure, Source, measure, number
from ..declaration.kinds import DISTRIBUTIONS, PROBABILITIES, ROW_WEIGHTS, SCORES, TRUTH, labels
from ..declaration.numbers import check_count

Closed = Literal["right", "left"]
Place = Callable[[torch.Tensor], torch.Tensor]
PIECE = 2**16
"""Rows at a time: their places and wide copies stay in the cache."""
GUO = Source("guo2017calibration", "section 2")
WEIGHT = Argument("weight", ROW_WEIGHTS, "...", "of the rows", optional=True, positional=False)
CONFIDENCES = Inputs(
    Argument("confidence", PROBABILITIES, "...", "what the model said"),
    Argument("correct", TRUTH, "...", "whether it happened"),
    WEIGHT,
)
FORECASTS = Inputs(
    Argument("probabilities", DISTRIBUTIONS, "... K", "of every class"),
    Argument("target", labels("K", ignorable=True), "..."),
    WEIGHT,
)
RANKED = Inputs(Argument("score", SCORES, "..."), Argument("truth", TRUTH, "..."), WEIGHT)
BINS = number(
    "bins", "B", "[1, 65536]", (1, 50, 1), "how many bins of equal width",
    "one: only the averages are compared", "many: each bin is noise", whole=True,
)  # fmt: skip


def checked_rows(
    first: torch.Tensor,
    second: torch.Tensor,
    weight: torch.Tensor | None,
    inputs: Inputs = CONFIDENCES,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two arguments of `inputs` and weights (1 unless given), flat and in float64.

    Rows of weight 0 are left out. Raises ValueError without rows or for NaN.
    """
    names = [argument.name for argument in inputs.required]
    given = dict(zip(names, (first, second), strict=True))
    checked = inputs.check({**given, "weight": weight})
    flat, truth = (checked[name].flatten().double() for name in names)
    if not len(flat):
        raise ValueError(f"{names[0]} must have at least one row, got an empty tensor")
    if flat.isnan().any():
        raise ValueError(f"{names[0]} must not hold NaN")
    if weight is None:
        return flat, truth, torch.ones_like(flat)
    heavy = checked["weight"].flatten().double()
    counted = heavy > 0
    return flat[counted], truth[counted], heavy[counted]


def checked_weight(weight: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Weights of rows of this shape, where they come without the rest of some `Inputs`."""
    ROW_WEIGHTS.check_range(ROW_WEIGHTS.check(weight, "weight"), "weight", {})
    if weight.shape != shape:
        raise ValueError(f"weight must have shape {shape}, got {tuple(weight.shape)}")
    return weight


class Bins(NamedTuple):
    """Sums in each bin (B,): of rows or their weights, of confidences, of successes."""

    rows: torch.Tensor
    confidence: torch.Tensor
    correct: torch.Tensor

    @property
    def gap(self) -> torch.Tensor:
        """Mean confidence minus accuracy (B,), positive for too much; NaN without rows."""
        return (self.confidence - self.correct) / self.rows

    @property
    def share(self) -> torch.Tensor:
        """The share of the rows that fell into each bin (B,)."""
        return self.rows.double() / self.rows.sum()

    @property
    def held_gap(self) -> torch.Tensor:
        """The gap (B,), but 0 without rows; a confidence of NaN stays NaN."""
        return torch.where(self.rows == 0, 0.0, self.gap)


def sums_in_bins(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    edges: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    closed: Closed = "right",
) -> Bins:
    """Sums in the bins between inner `edges` (B - 1,), closed on the right or on the left.

    Edges are compared in the dtype of the confidences. Raises ValueError for another `closed`, and
    for weights of another shape or that are negative, not finite or all 0.
    """
    if closed not in ("right", "left"):
        raise ValueError(f"closed must be 'right' or 'left', got {closed!r}")
    PROBABILITIES.check(confidence, "confidence")
    TRUTH.check(correct, "correct")
    SCORES.check(edges, "edges")
    if weight is not None:
        checked_weight(weight, tuple(confidence.shape))
    # torch calls the side on which an equal value is put what the literature calls the other
    return _sums(
        confidence, correct, weight, len(edges) + 1,
        lambda said: torch.bucketize(said, edges.to(said), right=closed == "left"),
    )  # fmt: skip


def sums_in_even_bins(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    bins: float,
    *,
    weight: torch.Tensor | None = None,
    closed: Closed = "right",
) -> Bins:
    """`sums_in_bins` between the edges of `equal_width`, for confidences that lie in [0, 1]."""
    place = even_places(int(bins), confidence, closed)
    return _sums(confidence, correct, weight, int(bins), place)


def even_places(bins: int, like: torch.Tensor, closed: Closed = "right") -> Place:
    """A function to the bin of equal width of confidences in the dtype of `like`."""
    edges = equal_width(bins, like)
    if like.dtype not in (torch.float32, torch.float64):  # edges are rounded too far to reckon
        return lambda said: torch.bucketize(said, edges, out_int32=True, right=closed == "left")
    upper = torch.cat((edges, edges.new_tensor([torch.inf])))
    below = bins * (1 - 4 * torch.finfo(like.dtype).eps)  # never beyond the right bin

    def place(said: torch.Tensor) -> torch.Tensor:
        found = (said * below).int().clamp_(0, bins - 1)  # of NaN any
        above = upper[found]
        return found.add_(said > above if closed == "right" else said >= above)

    return place


def _sums(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    weight: torch.Tensor | None,
    bins: int,
    place: Place,
) -> Bins:
    """Sums in the bins that `place` finds, by pieces that stay in the cache."""
    device = confidence.device
    rows = torch.zeros(bins, dtype=torch.float64 if weight is not None else torch.int64).to(device)
    held, right = torch.zeros(2, bins, dtype=torch.float64, device=device)
    pieces = [t.flatten().split(PIECE) for t in (confidence, correct, weight) if t is not None]
    for said, hit, *each in zip(*pieces, strict=True):
        at, true, sure = place(said.contiguous()), hit.double(), said.double()
        if each:
            counts = each[0].double()
            true, sure = true * counts, sure * counts
        rows += torch.bincount(at, counts if each else None, bins)
        held += torch.bincount(at, sure, bins)
        right += torch.bincount(at, true, bins)
    return Bins(rows, held, right)


def equal_width(bins: float, like: torch.Tensor) -> torch.Tensor:
    """The inner edges k/B of `bins` bins, rounded once to the dtype of `like`."""
    steps = torch.arange(1, int(bins), dtype=torch.float64, device=like.device)
    return (steps / int(bins)).to(like.dtype)


def equal_mass(
    confidence: torch.Tensor, bins: int, *, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Inner edges that give each bin the same number of rows, as far as equal values allow.

    An edge lies in the middle between the two neighbouring values; equal values share a bin, so
    there may be fewer than `bins`. What does not divide evenly gives the first bins a row more.
    With a `weight` (...) of each row the bins have equal weight instead, and a row that lies across
    an edge belongs to the lower bin. Raises ValueError for fewer rows than bins, and for weights
    that are negative, not finite or all 0.
    """
    ordered, order = PROBABILITIES.check(confidence, "confidence").flatten().sort()
    rows = len(ordered)
    if check_count("bins", bins) > rows:
        raise ValueError(f"bins must lie in [1, {rows}], the number of rows, got {bins}")
    if weight is None:
        sizes = [len(part) for part in torch.arange(rows).tensor_split(bins)]
        last = torch.tensor(sizes).cumsum(0)[:-1]
    else:
        heavy = checked_weight(weight, tuple(confidence.shape)).flatten().double()
        done = heavy[order].cumsum(0)
        share = torch.arange(1, bins, dtype=done.dtype, device=done.device) / bins
        # a row that ends on the edge, but for rounding, does not reach beyond it
        last = torch.searchsorted(done, done[-1] * share * (1 - 1e-12)) + 1
        last = last[last < rows]
    return ((ordered[last - 1] + ordered[last]) / 2).unique()


def _mean_gap(sums: Bins) -> torch.Tensor:
    return (sums.confidence - sums.correct).abs().sum() / sums.rows.sum()


def _largest_gap(sums: Bins) -> torch.Tensor:
    if not sums.rows.sum():
        return sums.confidence.sum() * torch.nan
    return sums.held_gap.abs().max()


def _root_mean_square_gap(sums: Bins) -> torch.Tensor:
    return (sums.rows * sums.held_gap.square()).sum().div(sums.rows.sum()).sqrt()


Pair = tuple[torch.Tensor, torch.Tensor]
KIN = ("ece", "ece_left_closed", "rmsce", "mce", "classwise_ece")


def _binned(
    name: str, finish: Callable[[Bins], torch.Tensor], latex: str, *facts: Fact
) -> Callable[[Callable[..., Bins]], Measure[Bins]]:
    return measure(
        family="calibration", latex=latex, inputs=CONFIDENCES, finish=finish, better="lower",
        units="probability", source=GUO, parameters=(BINS,), facts=facts,
        related=tuple(other for other in KIN if other != name),
    )  # fmt: skip


def _one_bin(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return ece(c, a, bins=1), (c.mean() - a.double().mean()).abs()


def _certain(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return ece(torch.ones_like(c), a), 1 - a.double().mean()


@_binned(
    "ece",
    _mean_gap,
    r"\sum_b \frac{n_b}{N} \big| \bar a_b - \bar c_b \big|, \quad b = (\tfrac{k - 1}B, \tfrac kB]",
    Fact("One bin: the distance between mean confidence and accuracy", _one_bin),
    Fact("A model that is always certain: its error rate", _certain),
)
def ece(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    bins: float = 15,
) -> Bins:
    """Expected calibration error: the mean gap over bins of equal width, closed on the right.

    It depends on the bins, and is above 0 for a perfectly calibrated model with few rows: compare
    it with what `calibrated_null` gives. `top_label` makes confidences of logits.
    """
    return sums_in_even_bins(confidence, correct, bins, weight=weight)


def _no_edges(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return ece_left_closed(c, a), ece(c, a)


@_binned(
    "ece_left_closed",
    _mean_gap,
    r"\sum_b \frac{n_b}{N} \big| \bar a_b - \bar c_b \big|, \quad b = [\tfrac{k - 1}B, \tfrac kB)",
    Fact("Where no confidence lies on an edge: the right-closed error", _no_edges),
)
def ece_left_closed(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    bins: float = 15,
) -> Bins:
    """Expected calibration error (left-closed): the mean gap over bins closed on the left.

    A confidence of 1 is in the last bin.
    """
    return sums_in_even_bins(confidence, correct, bins, weight=weight, closed="left")


def _between(c: torch.Tensor, a: torch.Tensor) -> Pair:
    errors = torch.stack([ece(c, a), rmsce(c, a), mce(c, a)])
    return errors, errors.sort().values


@_binned(
    "rmsce",
    _root_mean_square_gap,
    r"\Big(\sum_b \frac{n_b}{N} (\bar a_b - \bar c_b)^2\Big)^{1/2}",
    Fact("Between the mean gap and the largest one", _between),
)
def rmsce(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    bins: float = 15,
) -> Bins:
    """Root mean square calibration error: the gaps of bins of equal width in quadratic mean."""
    return sums_in_even_bins(confidence, correct, bins, weight=weight)


@_binned(
    "mce",
    _largest_gap,
    r"\max_b \big| \bar a_b - \bar c_b \big|",
    Fact("Between the mean gap and the largest one", _between),
)
def mce(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    bins: float = 15,
) -> Bins:
    """Maximum calibration error: the largest gap of a bin that holds any row.

    One row in a bin of its own decides it.
    """
    return sums_in_even_bins(confidence, correct, bins, weight=weight)


def _classes(sums: Bins) -> torch.Tensor:
    gaps = (sums.confidence - sums.correct).abs().sum(-1) / sums.rows.sum(-1)
    return gaps.mean() if gaps.numel() else gaps.sum() * torch.nan


def _two_classes(p: torch.Tensor, y: torch.Tensor) -> Pair:
    two = torch.stack((p[:, 0], 1 - p[:, 0]), -1)
    return classwise_ece(two, y % 2, bins=2), ece(two[:, 0], y % 2 == 0, bins=2)


@measure(
    family="calibration",
    latex=r"\frac1K \sum_k \sum_b \frac{n_{kb}}{N} \big| \bar y_{kb} - \bar p_{kb} \big|",
    inputs=FORECASTS,
    finish=_classes,
    better="lower",
    units="probability",
    source=Source("kull2019beyond", "section 2"),
    parameters=(BINS,),
    facts=(Fact("Two classes, two bins: the error of either class", _two_classes),),
    related=tuple(other for other in KIN if other != "classwise_ece"),
)
def classwise_ece(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    *,
    kept: torch.Tensor | None,
    bins: float = 15,
) -> Bins:
    """Classwise calibration error: the mean over classes of the gap of each class's probability.

    Many classes make it small, because most probabilities of a class are near 0. Bins are closed on
    the right; `class_probabilities` makes probabilities of logits.
    """
    classes, count = probabilities.shape[-1], int(bins)
    rows = [probabilities.reshape(-1, classes), target.reshape(-1)]
    if weight is not None:
        rows.append(weight.reshape(-1))
    if kept is not None:
        rows = [each[kept.reshape(-1)] for each in rows]
    place = even_places(count, probabilities)
    first = count * torch.arange(classes, device=probabilities.device)
    size = max(1, 2**20 // max(1, classes))
    each = []
    for p, y, *heavy in zip(*(one.split(size) for one in rows), strict=True):
        at = place(p) + first
        hit = at.gather(-1, y[:, None])
        w = heavy[0].double() if heavy else None
        sure = p.double() if w is None else p.double() * w[:, None]
        every = None if w is None else w.repeat_interleave(classes)
        number = torch.bincount(at.flatten(), every, classes * count)
        held = torch.bincount(at.flatten(), sure.flatten(), classes * count).double()
        right = torch.bincount(hit.flatten(), w, classes * count).double()
        each.append([one.reshape(classes, count) for one in (number, held, right)])
    return Bins(*(torch.stack(parts).sum(0) for parts in zip(*each, strict=True)))
