"""Answer only where you are sure: risk against coverage, and how well confidence ranks mistakes."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .binned import RANKED, checked_rows


class RiskCoverage(NamedTuple):
    """Shares of rows that are answered (N,), growing, and the error rate among them (N,)."""

    coverage: torch.Tensor
    risk: torch.Tensor


def risk_coverage(
    confidence: torch.Tensor, correct: torch.Tensor, *, weight: torch.Tensor | None = None
) -> RiskCoverage:
    """The error rate among the most confident rows, for every number of them, float64.

    `confidence` (...) is any real score, larger for surer; `correct` (...) bool. Rows of equal
    confidence are taken in random order on average, so their order in the data changes nothing.
    With a `weight` (...) of each row, on any scale, shares and rates are of weight; one row is
    still one step, rows of equal confidence are steps of their mean weight, and rows of weight 0
    are left out. Raises ValueError for no rows, NaN, and weights that are negative, not finite or
    all 0.
    """
    c, a, w = checked_rows(confidence, correct, weight, RANKED)
    values, index = c.unique(return_inverse=True)
    size, held, wrong = (
        torch.bincount(index, of_rows, len(values)).flip(0) for of_rows in (None, w, w * (1 - a))
    )
    group = torch.arange(len(values), device=c.device).repeat_interleave(size)
    row = torch.arange(1, len(c) + 1, dtype=c.dtype, device=c.device)
    share = (row - (size.cumsum(0) - size)[group]) / size[group]
    answered, errors = (
        (of_groups.cumsum(0) - of_groups)[group] + share * of_groups[group]
        for of_groups in (held, wrong)
    )
    return RiskCoverage(answered / answered[-1], errors / answered)


def area_under_risk_coverage(
    confidence: torch.Tensor, correct: torch.Tensor, *, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """AURC: the mean over k of the error rate among the k most confident rows, float64.

    Lower is better; a confidence that says nothing gives the error rate. With a `weight` the mean
    is weighted too: a row of weight 2 is one step of twice the share, where two rows would be two
    steps. Arguments, ties and errors as of `risk_coverage`. Source: Geifman, Uziel and El-Yaniv
    (2019), section 2.
    """
    coverage, risk = risk_coverage(confidence, correct, weight=weight)
    return coverage.diff(prepend=coverage.new_zeros(1)) @ risk


def risk_at_coverage(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    coverage: float,
    *,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """The error rate when the surest `coverage` of the rows are answered, float64.

    `coverage` in (0, 1]; the number of rows is rounded up. Arguments as of `risk_coverage`; raises
    ValueError for another coverage as well.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage!r}")
    curve = risk_coverage(confidence, correct, weight=weight)
    # the next number down keeps 0.29 * 100 rows at 29
    at = torch.searchsorted(curve.coverage, curve.coverage.new_tensor(coverage - 1e-12))
    return curve.risk[at]


def auroc(
    score: torch.Tensor, truth: torch.Tensor, *, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """The chance that a row of truth 1 has a larger score than one of truth 0, float64.

    Equal scores count half (mid-ranks). `score` (...) real, `truth` (...) bool or 0 and 1; with a
    `weight` (...) of each row, on any scale, rows are drawn in proportion to it. Raises ValueError
    for no rows, NaN, and weights that are negative, not finite or all 0; with one kind of truth
    only it is NaN.
    """
    c, a, w = checked_rows(score, truth, weight, RANKED)
    values, index = c.unique(return_inverse=True)
    right, wrong = (torch.bincount(index, each, len(values)) for each in (w * a, w * (1 - a)))
    below = wrong.cumsum(0) - wrong / 2
    return (right @ below) / (right.sum() * wrong.sum())
