"""How many dimensions features fill, as measures: they stream, and processes merge exactly.

Sums are the moments of all rows, memory D^2, shifted so that an offset costs no digits.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch

from ..declaration import Fact, Inputs, Source, measure, number
from .collapse import ClassStatistics, class_statistics
from .collapse_measures import FEATURES
from .geometry import (
    eigenvalues_above_rounding,
    exp_entropy,
    power_law,
    rankme_of_moments,
)


def _one() -> torch.Tensor:
    return torch.ones((), dtype=torch.float64)


class Moments(NamedTuple):
    """Rows (1,), their mean (1, D) and the scatter (D, D) around it."""

    rows: torch.Tensor
    mean: torch.Tensor
    scatter: torch.Tensor


def _moments(features: torch.Tensor) -> Moments:
    one = torch.zeros(len(features), dtype=torch.long, device=features.device)
    return Moments(*class_statistics(features, one, classes=1)[:3])


def _joined(one: Moments, other: Moments) -> Moments:
    empty = one.mean.new_zeros(1)
    return Moments(*ClassStatistics(*one, empty).merge(ClassStatistics(*other, empty))[:3])


def _varies(sums: Moments) -> bool:
    """Whether the rows differ by more than rounding."""
    digits = torch.finfo(torch.float64).eps * sums.mean.norm()
    return bool(sums.scatter.trace() > sums.rows.sum() * digits.square())


def _known(rank: torch.Tensor, sums: Moments) -> torch.Tensor:
    return torch.where(sums.rows[0] > 0, rank, torch.nan)


def _raw_rank(sums: Moments) -> torch.Tensor:
    moments = sums.scatter + sums.rows * sums.mean.mT @ sums.mean
    return _known(rankme_of_moments(moments), sums)


def _centred_rank(sums: Moments) -> torch.Tensor:
    return _known(rankme_of_moments(sums.scatter) * _varies(sums), sums)


def _covariance_rank(sums: Moments) -> torch.Tensor:
    values = eigenvalues_above_rounding(sums.scatter)
    return _known(exp_entropy(values / values.sum()) * _varies(sums), sums)


def _decay(sums: Moments, first: float = 1, last: float = 100) -> torch.Tensor:
    values = eigenvalues_above_rounding(sums.scatter)
    end = min(int(last), int((values > 0).sum()))
    if not _varies(sums) or end <= first:
        return values.new_tensor(torch.nan)
    return power_law(values / values.sum(), ranks=(int(first), end))


RANKME = Source("garrido2023rankme", "equations 1 and 2")
_spectral = partial(
    measure, family="dimension", inputs=Inputs(FEATURES), merge=_joined, better="neither"
)


def _right_angles(x: torch.Tensor) -> torch.Tensor:
    """Rows along four axes, both ways: all singular values are equal, with and without centring."""
    return x[0, 0] * torch.cat([torch.eye(4), -torch.eye(4)]).double()


def _full(x: torch.Tensor) -> torch.Tensor:
    return torch.tensor(4.0, dtype=torch.float64)


@_spectral(
    latex=r"\exp\Big(-\sum_i p_i \log p_i\Big), \quad p_i = \frac{s_i(X)}{\sum_j s_j(X)}",
    finish=_raw_rank,
    units="dimensions",
    source=RANKME,
    facts=(
        Fact(
            "Equal singular values: all dimensions",
            lambda x: (effective_rank(_right_angles(x)), _full(x)),
        ),
        Fact("Rows along one line: 1", lambda x: (effective_rank(x[:, :1] @ x[:1]), _one())),
    ),
    related=("centred_effective_rank", "covariance_effective_rank"),
)
def effective_rank(features: torch.Tensor) -> Moments:
    """Effective rank (RankMe): exp of the entropy of the singular values, features as they are.

    One large offset swallows it: centre, or say that you did not. Exact to 1e-6, to 1e-10 at full
    rank, because products are added up instead of rows. 0 for zeros, NaN without rows.
    """
    return _moments(features)


@_spectral(
    latex=r"\exp\Big(-\sum_i p_i \log p_i\Big), \quad "
    r"p_i = \frac{s_i(X - \bar X)}{\sum_j s_j(X - \bar X)}",
    finish=_centred_rank,
    units="dimensions",
    source=RANKME,
    facts=(
        Fact(
            "Equal singular values: all dimensions",
            lambda x: (centred_effective_rank(_right_angles(x)), _full(x)),
        ),
        Fact(
            "Moving all features changes nothing",
            lambda x: (centred_effective_rank(x + 30), centred_effective_rank(x)),
        ),
    ),
    related=("effective_rank", "covariance_effective_rank"),
)
def centred_effective_rank(features: torch.Tensor) -> Moments:
    """Effective rank (RankMe), centred: exp of the entropy of the centred singular values.

    As `effective_rank` of the features minus their mean. 0 for features that do not vary.
    """
    return _moments(features)


@_spectral(
    latex=r"\exp\Big(-\sum_i p_i \log p_i\Big), \quad p_i = \frac{\lambda_i}{\sum_j \lambda_j}",
    finish=_covariance_rank,
    units="dimensions",
    source=RANKME,
    facts=(
        Fact(
            "Equal eigenvalues: all dimensions",
            lambda x: (covariance_effective_rank(_right_angles(x)), _full(x)),
        ),
        Fact(
            "Moving all features changes nothing",
            lambda x: (covariance_effective_rank(x + 30), covariance_effective_rank(x)),
        ),
    ),
    related=("effective_rank", "centred_effective_rank", "spectral_decay"),
)
def covariance_effective_rank(features: torch.Tensor) -> Moments:
    """Effective rank of the covariance: exp of the entropy of its eigenvalues.

    Published under the name of RankMe as well, and smaller: squares weigh the large ones more. 0
    for features that do not vary.
    """
    return _moments(features)


@_spectral(
    latex=r"\arg\min_\alpha \min_c \sum_{i = a}^{b} \frac1i "
    r"\big(\log \lambda_i + \alpha \log i - c\big)^2",
    finish=_decay,
    parameters=(
        number(
            "first", "a", "[1, inf)", (1, 20, 1), "first rank that counts",
            "from the largest eigenvalue on", "only the tail", whole=True,
        ),
        number(
            "last", "b", "[2, inf)", (2, 200, 1), "last rank that counts",
            "two ranks", "all ranks above rounding", whole=True,
        ),
    ),
    units="power",
    source=Source("agrawal2022alphareq", "section 3"),
    facts=(
        Fact(
            "Eigenvalues 1, 1/4, 1/9, 1/16: 2",
            lambda x: (
                spectral_decay(_right_angles(x) / torch.arange(1, 5)),
                torch.tensor(2.0, dtype=torch.float64),
            ),
        ),
        Fact(
            "Moving and stretching all features changes nothing",
            lambda x: (spectral_decay(5 * x + 30), spectral_decay(x)),
        ),
    ),
    related=("covariance_effective_rank",),
)  # fmt: skip
def spectral_decay(features: torch.Tensor) -> Moments:
    """Spectral decay (alpha-ReQ): the power with which the covariance's eigenvalues fall.

    Least squares of the logarithms from rank a to rank b, or to the last eigenvalue above rounding,
    each with weight 1/rank. Published: ranks 12 to 100. NaN for fewer than two such ranks.
    """
    return _moments(features)
