"""Calibration errors without bins of equal width: equal mass, debiased, kernels, smooth."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from .binned import checked_rows, equal_mass, sums_in_bins

CELLS = 4096
"""Above so many distinct confidences `smooth_ece` moves each to the mean of its cell of 1/4096."""
REACH = 9
"""A kernel is 0 so many widths from its middle, but for 1e-18."""
WIDE = 1 / 256
"""Above this width a sum of cosines has fewer terms than there are rows near a point."""
Curve = Callable[[torch.Tensor], torch.Tensor]


def _check_bandwidth(bandwidth: float) -> None:
    if not isinstance(bandwidth, (int, float)) or not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth must be a number above 0, got {bandwidth!r}")


def ece_equal_mass(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    *,
    bins: int = 15,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Expected calibration error over bins with the same number of rows each, float64.

    `confidence` (...) in [0, 1], `correct` (...) bool. Edges lie between neighbouring values, and
    equal confidences share a bin (`equal_mass`), so that the order of rows changes nothing. With a
    `weight` (...) of each row, on any scale, the bins have equal weight. Raises ValueError for
    fewer rows than `bins`, and for weights that are negative, not finite or all 0.
    """
    c, a, w = checked_rows(confidence, correct, weight)
    edges = equal_mass(c, bins, weight=None if weight is None else w)
    sums = sums_in_bins(c, a, edges, weight=w)
    return (sums.confidence - sums.correct).abs().sum() / sums.rows.sum()


class SquaredError(NamedTuple):
    """A squared calibration error as it is, and with the bias of the bins' noise taken off."""

    plugin: torch.Tensor
    debiased: torch.Tensor


def squared_calibration_error(
    confidence: torch.Tensor, correct: torch.Tensor, *, bins: int = 15
) -> SquaredError:
    """The mean square gap over bins of equal mass, as it is and debiased, float64.

    The debiased one takes a(1 - a)/(n - 1) off each bin of n rows with accuracy a, which is what
    chance alone adds; a bin with one row adds nothing. It may be negative; its root, cut at 0, is
    the debiased l2 error. Arguments and errors as of `ece_equal_mass`, without weights: the bias
    is that of counts. Source: Kumar, Liang and Ma (2019), section 4.
    """
    c, a, _ = checked_rows(confidence, correct, None)
    sums = sums_in_bins(c, a, equal_mass(c, bins))
    hit, squares = sums.correct / sums.rows, sums.gap.square()
    noise = hit * (1 - hit) / (sums.rows - 1)
    cleaned = torch.where(sums.rows > 1, squares - noise, 0.0)
    return SquaredError((sums.share * squares).sum(), (sums.share * cleaned).sum())


def kde_ece(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    *,
    bandwidth: float = 0.05,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean distance between a confidence and the accuracy around it, float64.

    The kernel is a Gaussian of width `bandwidth`, reflected at 0 and 1, and each row counts itself.
    Wide kernels give the distance of the averages, narrow ones the mean distance of confidence
    and outcome. `weight` (...) are weights of the rows, on any scale. Memory grows with the rows,
    time with their square. The definition is ours.
    """
    c, a, w = checked_rows(confidence, correct, weight)
    _check_bandwidth(bandwidth)
    total = c.new_zeros(())
    size = max(1, 2**22 // len(c))
    for rows, counts in zip(c.split(size), w.split(size), strict=True):
        away = torch.stack([rows[:, None] - image for image in (c, -c, 2 - c)])
        kernel = torch.exp(-(away / bandwidth).square() / 2).sum(0)
        total = total + counts @ ((kernel @ (w * (a - c))) / (kernel @ w)).abs()
    return total / w.sum()


def smooth_ece(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    *,
    bandwidth: float | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Smooth calibration error: the integral of the smoothed residual's absolute value, float64.

    .. math:: \int_0^1 \Big|\frac1N\sum_i (a_i - c_i)\,K_h(t, c_i)\Big|\,dt

    with a Gaussian kernel of width h that is reflected at 0 and 1. Without `bandwidth`, h is where
    the error equals h. The integral is exact: between two zeros it is a difference of error
    functions. Above 4,096 distinct confidences each is moved to the mean of its cell of 1/4096.
    `confidence` (...) in [0, 1], `correct` (...) bool; with a `weight` (...) of each row, on any
    scale, the sum is weighted and N the sum of weights. Raises ValueError for no rows, NaN, a
    bandwidth that is not positive, or weights that are negative, not finite or all 0. Source:
    Blasiok and Nakkiran (2024), section 4; their software sums on a grid and counts what is
    reflected into the last cell once.
    """
    c, a, w = checked_rows(confidence, correct, weight)
    places, index = c.unique(return_inverse=True)
    residual = torch.bincount(index, w * (a - c), len(places)) / w.sum()
    if len(places) > CELLS:
        cell = (places * CELLS).long().clamp_max(CELLS - 1)
        rows = torch.bincount(index, w, len(places))
        held = torch.bincount(cell, rows, CELLS)
        places = torch.bincount(cell, rows * places, CELLS)[held > 0] / held[held > 0]
        residual = torch.bincount(cell, residual, CELLS)[held > 0]
    if bandwidth is not None:
        _check_bandwidth(bandwidth)
        return _smoothed(places, residual, float(bandwidth))
    return _smoothed(places, residual, own_width(partial(_smoothed, places, residual)))


def own_width(error: Callable[[float], torch.Tensor]) -> float:
    """The width at which an error that falls with the width, from at most 1 on, equals it."""
    from scipy.optimize import brentq  # a tenth of a second, which only this function needs

    def excess(width: float) -> float:
        return float(error(width)) - width

    high = 0.125  # wide kernels reach all rows and take longer
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0, high, xtol=1e-9, maxiter=60))


def _smoothed(places: torch.Tensor, residual: torch.Tensor, width: float) -> torch.Tensor:
    """The integral of |sum of residuals times kernels|, exact between the zeros that are found."""
    if not width:
        return residual.abs().sum()
    steps = min(8192, max(256, math.ceil(16 / width)))
    grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=places.device)
    if steps * width < 16:  # too coarse for kernels that stand apart
        grid = torch.cat([grid, places, (places[1:] + places[:-1]) / 2]).unique()
    height, integral = (_waves if width > WIDE else _kernels)(places, residual, width)
    signs = height(grid).sign()  # a product of two heights might underflow
    inside = signs[:-1] * signs[1:] < 0
    low, high = grid[:-1][inside], grid[1:][inside]
    for _ in range(16):  # what is lost goes with the square of how far a zero is missed
        middle = (low + high) / 2
        same = height(middle).sign() == signs[:-1][inside]
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    ends = torch.cat([grid[:1], grid[signs == 0], (low + high) / 2, grid[-1:]]).sort().values
    return integral(ends).diff().abs().sum()


def _waves(places: torch.Tensor, residual: torch.Tensor, width: float) -> tuple[Curve, Curve]:
    """The smoothed residual and its integral from 0 on, as sums of cosines that die out."""
    most = math.ceil(REACH / math.pi / width)
    turns = math.pi * torch.arange(1, most + 1, dtype=places.dtype, device=places.device)
    size = 2 * (torch.cos(turns[:, None] * places) @ residual)
    size *= torch.exp(-(turns * width).square() / 2)
    mean = residual.sum()
    return (
        lambda at: mean + torch.cos(at[:, None] * turns) @ size,
        lambda at: mean * at + torch.sin(at[:, None] * turns) @ (size / turns),
    )


def _kernels(places: torch.Tensor, residual: torch.Tensor, width: float) -> tuple[Curve, Curve]:
    """The same up to a factor and a constant, as sums over rows and mirror images nearby.

    The mirrors are those at 0 and 1, whose own images a kernel below 1/9 does not reach.
    """
    reach = REACH * width
    images, order = torch.cat([places, -places, 2 - places]).sort()
    weights = residual.repeat(3)[order]
    before = torch.cat([weights.new_zeros(1), weights.cumsum(0)])

    def near(at: torch.Tensor, function: Curve) -> torch.Tensor:
        first = torch.searchsorted(images, at - reach)
        count = torch.searchsorted(images, at + reach) - first
        size = max(1, len(at) * 2**20 // (1 + int(count.sum())))  # so many points at once
        parts = []
        for point, start, held in zip(*(t.split(size) for t in (at, first, count)), strict=True):
            row = torch.arange(len(point), device=at.device).repeat_interleave(held)
            image = torch.arange(len(row), device=at.device) + (start - held.cumsum(0) + held)[row]
            heights = function((point[row] - images[image]) / width) * weights[image]
            parts.append(torch.bincount(row, heights, len(point)).double())  # float32 if empty
        return torch.cat(parts)

    return (
        lambda at: near(at, lambda x: torch.exp(-x.square() / 2)),
        lambda at: before[torch.searchsorted(images, at - reach)] + near(at, torch.special.ndtr),
    )
