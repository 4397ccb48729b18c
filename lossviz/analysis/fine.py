"""What needs sorting, streamed: sums in fixed fine cells of confidence in the place of all rows.

There are 65,536 cells of equal width. The first and the last are cut further, each cell being 1 %
nearer to the end than the one before, with one more for exactly 0 and exactly 1: what is nearly
certain keeps its order. Memory does not grow with the rows, and streams merge. Within a cell the
order of rows is forgotten, so each number is off from that of the whole arrays by at most
`error_bound`; sums of confidences and counts stay exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch

from ..declaration import Argument, Fact, Inputs, Measure, Parameter, Source, measure, number
from ..declaration.kinds import PROBABILITIES, TRUTH
from ..declaration.measure import Stream
from .binned import BINS, Bins, Pair, sums_in_bins
from .selective import area_under_risk_coverage, auroc
from .smooth import ece_equal_mass, own_width

CELLS = 2**16
TAIL = 64 * 36  # down to the last digit below 1
PAIRS = Inputs(
    Argument("confidence", PROBABILITIES, "...", "what the model said"),
    Argument("correct", TRUTH, "...", "whether it happened"),
)
BANDWIDTH = number(
    "bandwidth", "h", "(0, inf)", (0.01, 0.5, 0.01), "width of the kernel",
    "the mean distance of confidence and outcome", "the distance of the averages",
)  # fmt: skip
KIN = ("fine_auroc", "fine_aurc", "fine_ece_equal_mass", "fine_smooth_ece", "fine_kde_ece")


def _edges(like: torch.Tensor) -> torch.Tensor:
    """Inner edges in the dtype of `like`; more fall together where that is single precision."""
    tail = 2.0 ** -(16 + torch.arange(1, TAIL + 1, dtype=torch.float64) / 64)
    even = torch.arange(1, CELLS, dtype=torch.float64) / CELLS
    edges = torch.cat((tail.new_zeros(1), tail.flip(0), even, 1 - tail)).to(like)
    last = like.new_ones(()).nextafter(like.new_zeros(()))
    return torch.cat((edges.clamp_max(last), last[None]))


def fine_sums(confidence: torch.Tensor, correct: torch.Tensor) -> Bins:
    """Sums in the cells, each closed on the right."""
    return sums_in_bins(confidence, correct, _edges(confidence))


def _even(fine: torch.Tensor) -> torch.Tensor:
    """Sums in the 65,536 cells of equal width, float64."""
    ends = TAIL + 2
    return torch.cat((fine[:ends].sum()[None], fine[ends:-ends], fine[-ends:].sum()[None])).double()


def _fine(
    name: str,
    finish: Callable[..., torch.Tensor],
    latex: str,
    source: Source,
    facts: tuple[Fact, ...],
    parameters: tuple[Parameter, ...] = (),
    better: Literal["lower", "higher"] = "lower",
    reading: bool = False,
) -> Callable[[Callable[..., Bins]], Measure[Bins]]:
    return measure(
        family="streamed", latex=latex, inputs=PAIRS, finish=finish, better=better,
        units="probability", source=source, parameters=parameters, facts=facts, reading=reading,
        related=tuple(other for other in KIN if other != name),
    )  # fmt: skip


def _ranks(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return fine_auroc(c, a), auroc(c, a)


def _risks(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return fine_aurc(c, a), area_under_risk_coverage(c, a)


def _masses(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return fine_ece_equal_mass(c, a, bins=4), ece_equal_mass(c, a, bins=4)


def _certain(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return fine_smooth_ece(torch.ones_like(c), a), 1 - a.double().mean()


def _wide(c: torch.Tensor, a: torch.Tensor) -> Pair:
    return fine_kde_ece(c, a, bandwidth=1e3), (c.mean() - a.double().mean()).abs()


def _unknown(sums: Bins) -> torch.Tensor:
    """NaN if a confidence was, which counts alone would not show; else 0."""
    return sums.confidence.sum() * 0


def _auroc(sums: Bins) -> torch.Tensor:
    right, wrong = sums.correct, sums.rows - sums.correct
    below = wrong.cumsum(0) - wrong / 2
    return (right * below).sum() / (right.sum() * wrong.sum()) + _unknown(sums)


@_fine(
    "fine_auroc",
    _auroc,
    r"\frac{1}{N_+ N_-} \sum_{i, j} \big[c_i > c_j\big] + \tfrac12 \big[\text{one cell}\big]",
    Source("fawcett2006introduction", "section 7"),
    (Fact("Rows in different cells: the number of the sorted rows",
          _ranks),),
    better="higher",
)  # fmt: skip
def fine_auroc(confidence: torch.Tensor, correct: torch.Tensor) -> Bins:
    """AUROC (streamed): the chance that a right row is surer than a wrong one; one cell is a tie.

    NaN where all rows are right or all wrong.
    """
    return fine_sums(confidence, correct)


def _aurc(sums: Bins) -> torch.Tensor:
    held, wrong, before, errors = _surest_first(sums)
    # the sum of (e + w k / m) / (n + k) over k = 1..m
    harmonic = torch.digamma(before + held + 1) - torch.digamma(before + 1)
    area = (wrong + (errors - wrong * before / held) * harmonic).sum() / held.sum()
    return area + _unknown(sums)


def _surest_first(sums: Bins) -> tuple[torch.Tensor, ...]:
    """Of cells that hold rows: rows, wrong ones, and both of the surer cells together, float64."""
    rows, wrong = sums.rows.double().flip(0), (sums.rows - sums.correct).flip(0)
    held, wrong = rows[rows > 0], wrong[rows > 0]
    return held, wrong, held.cumsum(0) - held, wrong.cumsum(0) - wrong


@_fine(
    "fine_aurc",
    _aurc,
    r"\frac1N \sum_{k = 1}^N \frac{\text{errors among the } k \text{ surest}}{k}",
    Source("geifman2019bias", "section 2"),
    (Fact("Rows in different cells: the number of the sorted rows",
          _risks),),
)  # fmt: skip
def fine_aurc(confidence: torch.Tensor, correct: torch.Tensor) -> Bins:
    """Area under risk and coverage (streamed): the mean error rate of the k surest rows.

    Rows of one cell count as equally sure.
    """
    return fine_sums(confidence, correct)


def _parts(sums: Bins, bins: float) -> torch.Tensor:
    """The bin of each cell: the one that its first row is in."""
    done = sums.rows.cumsum(0)
    count = int(done[-1])
    sizes = torch.full((int(bins),), count // int(bins), device=done.device)
    sizes[: count % int(bins)] += 1
    before = done - sums.rows
    return torch.bucketize(before, sizes.cumsum(0)[:-1], right=True)


def _equal_mass(sums: Bins, *, bins: float = 15) -> torch.Tensor:
    part = _parts(sums, bins)
    gaps = torch.bincount(part, sums.confidence - sums.correct, int(bins))
    return gaps.abs().sum() / sums.rows.sum()


@_fine(
    "fine_ece_equal_mass",
    _equal_mass,
    r"\sum_b \frac{n_b}{N} \big| \bar a_b - \bar c_b \big|, \quad n_b \approx \frac NB",
    Source("kumar2019verified", "section 2"),
    (Fact("Rows in different cells: the number of the sorted rows",
          _masses),),
    (BINS,),
)  # fmt: skip
def fine_ece_equal_mass(confidence: torch.Tensor, correct: torch.Tensor) -> Bins:
    """Equal-mass calibration error (streamed): the mean gap over bins of as many rows each.

    A cell is not parted: it belongs to the bin that its first row is in.
    """
    return fine_sums(confidence, correct)


def _smear(values: torch.Tensor) -> Callable[[float], torch.Tensor]:
    """Sums in cells (65536,), smeared by a Gaussian of a width that 0 and 1 reflect."""
    waves = torch.fft.rfft(torch.cat((values, values.flip(0))))  # a period of 2
    turns = math.pi * torch.arange(len(waves), dtype=torch.float64, device=values.device)

    def smeared(width: float) -> torch.Tensor:
        if width * CELLS < 1:
            return values
        return torch.fft.irfft(waves * (-(turns * width).square() / 2).exp(), 2 * CELLS)[:CELLS]

    return smeared


def _smooth(sums: Bins) -> torch.Tensor:
    residual = _even(sums.correct - sums.confidence) / sums.rows.sum()
    if residual.isnan().any():
        return residual.sum()
    smeared = _smear(residual)
    return smeared(own_width(lambda width: smeared(width).abs().sum())).abs().sum()


@_fine(
    "fine_smooth_ece",
    _smooth,
    r"\int_0^1 \Big|\frac1N\sum_i (a_i - c_i)\,K_h(t, c_i)\Big|\,dt = h",
    Source("blasiok2024smooth", "section 4"),
    (Fact("Always certain: the error rate",
          _certain),),
)  # fmt: skip
def fine_smooth_ece(confidence: torch.Tensor, correct: torch.Tensor) -> Bins:
    """Smooth calibration error (streamed): the smoothed residual where its width equals it.

    All rows of a cell are moved to its middle.
    """
    return fine_sums(confidence, correct)


def _kde(sums: Bins, *, bandwidth: float = 0.05) -> torch.Tensor:
    rows, residual = _even(sums.rows), _even(sums.correct - sums.confidence)
    held = rows > 0
    mean = _smear(residual)(bandwidth)[held] / _smear(rows)(bandwidth)[held]
    return (rows[held] * mean.abs()).sum() / rows.sum()


@_fine(
    "fine_kde_ece",
    _kde,
    r"\frac1N \sum_i \Big| \frac{\sum_j K_h(c_i, c_j)(a_j - c_j)}{\sum_j K_h(c_i, c_j)} \Big|",
    Source("nadaraya1964estimating"),
    (Fact("A kernel far wider than 1: the distance of the averages",
          _wide),),
    (BANDWIDTH,),
    reading=True,
)  # fmt: skip
def fine_kde_ece(confidence: torch.Tensor, correct: torch.Tensor) -> Bins:
    """Kernel calibration error (streamed): the mean distance of confidence and nearby accuracy.

    All rows of a cell are moved to its middle. The kernel is Gaussian and reflected at 0 and 1.
    """
    return fine_sums(confidence, correct)


def error_bound(stream: Stream[Bins]) -> torch.Tensor:
    """How far the number of a stream in fine cells may be from that of all its rows, float64.

    AUROC, AURC and the equal-mass error: what other orders within the cells could make of it, from
    the counts that were seen. Smooth error s: 0.8 / (65536 s), at most 1. Kernel error:
    2 / (65536 h^2), far from sharp. NaN before the first batch. Raises TypeError for the stream of
    another measure, and for what is not a stream.
    """
    if not isinstance(stream, Stream) or stream.measure.key not in KIN:
        got = stream.measure.key if isinstance(stream, Stream) else type(stream).__name__
        raise TypeError(f"stream must be that of one of {KIN}, got {got}")
    sums = stream.sums
    if sums is None:
        return torch.tensor(torch.nan, dtype=torch.float64)
    if stream.measure.key == "fine_smooth_ece":
        return (0.8 / CELLS / stream.compute()).clamp_max(1)
    if stream.measure.key == "fine_kde_ece":
        return torch.tensor(2 / CELLS / stream.numbers["bandwidth"] ** 2, dtype=torch.float64)
    wrong = sums.rows - sums.correct
    mixed = torch.ones_like(wrong)  # rows of exactly 0 or 1 are ties indeed
    mixed[0] = mixed[-1] = 0
    if stream.measure.key == "fine_auroc":
        pairs = sums.correct.sum() * wrong.sum()
        return (mixed * sums.correct * wrong).sum() / 2 / pairs
    if stream.measure.key == "fine_aurc":
        held, missed, before, _ = _surest_first(sums)
        moved = missed * (held - missed) / held * mixed.flip(0)[sums.rows.flip(0) > 0]
        most = torch.where(before > 0, ((before + held) / before).log(), 1 + held.log())
        return (moved * most).sum() / held.sum()
    part = _parts(sums, stream.numbers["bins"])
    edges = _edges(mixed)
    low, high = torch.nn.functional.pad(edges, (1, 0)), torch.cat((edges, mixed.new_ones(1)))
    strayed = mixed * (wrong * high + sums.correct * (1 - low))  # the most that rows are off
    parted = part != torch.nn.functional.pad(part[1:], (0, 1), value=int(part[-1]))
    return 2 * strayed[parted].sum() / sums.rows.sum()
