"""Answer only where you are sure: risk against coverage, and how well confidence ranks mistakes."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .binned import RANKED, checked_rows


class RiskCoverage(NamedTuple):
    """Shares of rows that are answered (N,), growing, and the error rate among them (N,)."""

    coverage: torch.Tensor
    risk: torch.Tensor


def risk_coverage(confidence: torch.Tensor, correct: torch.Tensor) -> RiskCoverage:
    """The error rate among the most confident rows, for every number of them, float64.

    `confidence` (...) is any real score, larger for surer; `correct` (...) bool. Rows of equal
    confidence are taken in random order on average, so their order in the data changes nothing.
    Raises ValueError for no rows or NaN.
    """
    c, a = checked_rows(confidence, correct, RANKED)
    values, index = c.unique(return_inverse=True)
    size = torch.bincount(index, minlength=len(values)).flip(0)
    wrong = torch.bincount(index, 1 - a, len(values)).flip(0)
    before = size.cumsum(0) - size
    errors_before = wrong.cumsum(0) - wrong
    group = torch.arange(len(values)).repeat_interleave(size)
    answered = torch.arange(1, len(c) + 1, dtype=torch.float64)
    share = (wrong / size)[group]
    risk = (errors_before[group] + share * (answered - before[group])) / answered
    return RiskCoverage(answered / len(c), risk)


def area_under_risk_coverage(confidence: torch.Tensor, correct: torch.Tensor) -> torch.Tensor:
    """AURC: the mean over k of the error rate among the k most confident rows, float64.

    Lower is better; a confidence that says nothing gives the error rate. Arguments, ties and errors
    as of `risk_coverage`. Source: Geifman, Uziel and El-Yaniv (2019), section 2.
    """
    return risk_coverage(confidence, correct).risk.mean()


def risk_at_coverage(
    confidence: torch.Tensor, correct: torch.Tensor, coverage: float
) -> torch.Tensor:
    """The error rate when the surest `coverage` of the rows are answered, float64.

    `coverage` in (0, 1]; the number of rows is rounded up. Arguments as of `risk_coverage`; raises
    ValueError for another coverage as well.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage!r}")
    curve = risk_coverage(confidence, correct)
    # the next number down keeps 0.29 * 100 rows at 29
    at = torch.searchsorted(curve.coverage, torch.tensor(coverage - 1e-12, dtype=torch.float64))
    return curve.risk[at]


def auroc(score: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The chance that a row of truth 1 has a larger score than one of truth 0, float64.

    Equal scores count half (mid-ranks). `score` (...) real, `truth` (...) bool or 0 and 1. Raises
    ValueError for no rows or NaN; with one kind of truth only it is NaN.
    """
    c, a = checked_rows(score, truth, RANKED)
    _, index, size = c.unique(return_inverse=True, return_counts=True)
    ranks = (size.cumsum(0) - (size - 1).double() / 2)[index]
    positives = a.sum()
    total = (ranks * a).sum() - positives * (positives + 1) / 2
    return total / (positives * (len(a) - positives))
