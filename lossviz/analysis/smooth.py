"""Calibration errors without bins of equal width: equal mass, debiased, kernels, smooth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from .binned import checked_rows, equal_mass, sums_in_bins

CELLS = 4096
"""Above so many distinct confidences `smooth_ece` moves each to the mean of its cell of 1/4096."""


def _check_bandwidth(bandwidth: float) -> None:
    if not isinstance(bandwidth, (int, float)) or not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth must be a number above 0, got {bandwidth!r}")


def ece_equal_mass(
    confidence: torch.Tensor, correct: torch.Tensor, *, bins: int = 15
) -> torch.Tensor:
    """Expected calibration error over bins with the same number of rows each, float64.

    `confidence` (...) in [0, 1], `correct` (...) bool. Edges lie between neighbouring values, and
    equal confidences share a bin (`equal_mass`), so that the order of rows changes nothing. Raises
    ValueError for fewer rows than `bins`.
    """
    c, a = checked_rows(confidence, correct)
    sums = sums_in_bins(c, a, equal_mass(c, bins))
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
    the debiased l2 error. Arguments and errors as of `ece_equal_mass`. Source: Kumar, Liang and Ma
    (2019), section 4.
    """
    c, a = checked_rows(confidence, correct)
    sums = sums_in_bins(c, a, equal_mass(c, bins))
    hit, squares = sums.correct / sums.rows, sums.gap.square()
    noise = hit * (1 - hit) / (sums.rows - 1)
    cleaned = torch.where(sums.rows > 1, squares - noise, 0.0)
    return SquaredError((sums.share * squares).sum(), (sums.share * cleaned).sum())


def kde_ece(
    confidence: torch.Tensor, correct: torch.Tensor, *, bandwidth: float = 0.05
) -> torch.Tensor:
    """The mean distance between a confidence and the accuracy around it, float64.

    The kernel is a Gaussian of width `bandwidth`, reflected at 0 and 1, and each row counts itself.
    Wide kernels give the distance of the averages, narrow ones the mean distance of confidence
    and outcome. Memory
    grows with the rows, time with their square. The definition is ours.
    """
    c, a = checked_rows(confidence, correct)
    _check_bandwidth(bandwidth)
    total = c.new_zeros(())
    for rows in c.split(max(1, 2**22 // len(c))):
        away = torch.stack([rows[:, None] - image for image in (c, -c, 2 - c)])
        kernel = torch.exp(-(away / bandwidth).square() / 2).sum(0)
        total = total + ((kernel @ (a - c)) / kernel.sum(-1)).abs().sum()
    return total / len(c)


def smooth_ece(
    confidence: torch.Tensor, correct: torch.Tensor, *, bandwidth: float | None = None
) -> torch.Tensor:
    r"""Smooth calibration error: the integral of the smoothed residual's absolute value, float64.

    .. math:: \int_0^1 \Big|\frac1N\sum_i (a_i - c_i)\,K_h(t, c_i)\Big|\,dt

    with a Gaussian kernel of width h that is reflected at 0 and 1. Without `bandwidth`, h is where
    the error equals h. The integral is exact: between two zeros it is a difference of error
    functions. Above 4,096 distinct confidences each is moved to the mean of its cell of 1/4096.
    `confidence` (...) in [0, 1], `correct` (...) bool. Raises ValueError for no rows, NaN, or a
    bandwidth that is not positive. Source: Blasiok and Nakkiran (2024), section 4; their software
    sums on a grid and counts what is reflected into the last cell once.
    """
    c, a = checked_rows(confidence, correct)
    places, index = c.unique(return_inverse=True)
    residual = torch.bincount(index, a - c, len(places)) / len(c)
    if len(places) > CELLS:
        cell = (places * CELLS).long().clamp_max(CELLS - 1)
        rows = torch.bincount(index, minlength=len(places)).double()
        held = torch.bincount(cell, rows, CELLS)
        places = torch.bincount(cell, rows * places, CELLS)[held > 0] / held[held > 0]
        residual = torch.bincount(cell, residual, CELLS)[held > 0]
    if bandwidth is not None:
        _check_bandwidth(bandwidth)
        return _smoothed(places, residual, float(bandwidth))
    low, high = 0.0, 1.0  # the error does not grow with the bandwidth and is at most 1
    for _ in range(40):
        middle = (low + high) / 2
        error = _smoothed(places, residual, middle) if middle else residual.abs().sum()
        low, high = (middle, high) if error > middle else (low, middle)
        if high - low < 1e-9:
            break
    return _smoothed(places, residual, high)


def _smoothed(places: torch.Tensor, residual: torch.Tensor, width: float) -> torch.Tensor:
    """The integral of |sum of residuals times kernels|, exact between the zeros that are found."""
    width = min(width, 4.0)  # from here on what is reflected is even, but for 1e-34
    steps = min(8192, max(256, math.ceil(16 / width)))
    grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if steps * width < 16:  # too coarse for kernels that stand apart
        grid = torch.cat([grid, places, (places[1:] + places[:-1]) / 2]).unique()
    signs = _kernels(grid, places, residual, width).sign()  # a product of heights may underflow
    inside = signs[:-1] * signs[1:] < 0
    low, high = grid[:-1][inside], grid[1:][inside]
    sign = signs[:-1][inside]
    for _ in range(50):
        middle = (low + high) / 2
        same = _kernels(middle, places, residual, width).sign() == sign
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    ends = torch.cat([grid[:1], grid[signs == 0], (low + high) / 2, grid[-1:]]).sort().values
    return _integrals(ends, places, residual, width).diff().abs().sum()


def _kernels(
    at: torch.Tensor, places: torch.Tensor, residual: torch.Tensor, width: float
) -> torch.Tensor:
    """The smoothed residual at points, up to a positive factor."""
    return _over_images(
        at, places, residual, lambda x: torch.exp(-(x / width).square() / 2), 9 * width
    )


def _integrals(
    at: torch.Tensor, places: torch.Tensor, residual: torch.Tensor, width: float
) -> torch.Tensor:
    """The integral of the smoothed residual up to points."""
    return _over_images(at, places, residual, lambda x: torch.special.ndtr(x / width), 9 * width)


def _over_images(
    at: torch.Tensor,
    places: torch.Tensor,
    residual: torch.Tensor,
    function: Callable[[torch.Tensor], torch.Tensor],
    reach: float,
) -> torch.Tensor:
    """The sum over all rows and their mirror images within `reach` of the unit interval."""
    turns = 2 * torch.arange(-math.ceil(reach / 2), math.ceil(reach / 2) + 1, dtype=at.dtype)
    images = torch.cat([turns[:, None] + places, turns[:, None] - places]).flatten()
    weights = residual.repeat(2 * len(turns))
    near = (images >= -reach) & (images <= 1 + reach)
    images, weights = images[near], weights[near]
    parts = at.split(max(1, 2**22 // max(1, len(images))))
    return torch.cat([function(part[:, None] - images) @ weights for part in parts])
