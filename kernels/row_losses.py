"""Losses of one row as functions of its statistics: O(N) arithmetic on top of the O(NVD) pass.

Each takes a `RowStatistics` and returns (N,) losses; autograd does the rest, because the statistics
are differentiable. `needs` names the statistics that a loss reads; without it all are made. Ask for
one as ``loss="focal"`` (its defaults) or ``loss=Focal(gamma=3.0)``; any function of a
`RowStatistics` serves as well.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from lossviz.losses import LOSSES
from lossviz.losses.compsum import box_cox

from .checks import check_number
from .statistics import STATISTICS, RowStatistics, softplus


class _Declared:
    """A loss that `lossviz.losses` declares under `key`: its parameters have the ranges there."""

    key: ClassVar[str]

    def __post_init__(self) -> None:
        for parameter in LOSSES[self.key].parameters:
            parameter.check(getattr(self, parameter.name))


@dataclass(frozen=True)
class CompSum(_Declared):
    """The comp-sum family, (1 - p_y^(tau - 1)) / (tau - 1); tau = 1 is cross-entropy, -log p_y.

    `tau` in [0, inf), default 1: 0 is sum-exponential, 2 is the mean absolute error up to a factor.
    """

    tau: float = 1.0
    key: ClassVar[str] = "comp_sum"
    needs: ClassVar[tuple[str, ...]] = ("nll",)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return self.of_nll(row.nll)

    def of_nll(self, nll: torch.Tensor) -> torch.Tensor:
        """The loss where the negative log-likelihood is `nll`."""
        return box_cox(nll, self.tau - 1)

    def slope(self, nll: torch.Tensor) -> torch.Tensor | float:
        """Its derivative with respect to `nll`, p_y^(tau - 1), kept finite."""
        if self.tau == 1:
            return 1.0
        return torch.exp((1 - self.tau) * nll).clamp(max=torch.finfo(nll.dtype).max)


@dataclass(frozen=True)
class GeneralizedCrossEntropy(_Declared):
    """(1 - p_y^q) / q: the comp-sum loss of tau = 1 + q. `q` in [0, 1], default 0.7."""

    q: float = 0.7
    key: ClassVar[str] = "generalized_cross_entropy"
    needs: ClassVar[tuple[str, ...]] = ("nll",)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return CompSum(1 + self.q)(row)


@dataclass(frozen=True)
class Focal(_Declared):
    """-(1 - p_y)^gamma log p_y. `gamma` in [0, inf), default 2; 0 is cross-entropy."""

    gamma: float = 2.0
    key: ClassVar[str] = "focal"
    needs: ClassVar[tuple[str, ...]] = ("nll", "log_odds")

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        # log(1 - p_y) = -softplus(log odds), which does not round to log 0
        return torch.exp(-self.gamma * softplus(row.log_odds)) * row.nll


@dataclass(frozen=True)
class Poly1(_Declared):
    """-log p_y + epsilon (1 - p_y). `epsilon` in [-1, inf), default 1; 0 is cross-entropy."""

    epsilon: float = 1.0
    key: ClassVar[str] = "poly_1"
    needs: ClassVar[tuple[str, ...]] = ("nll",)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return row.nll + self.epsilon * box_cox(row.nll, 1.0)


@dataclass(frozen=True)
class Unlikelihood:
    """-log(1 - p_y): pushes a token away."""

    needs: ClassVar[tuple[str, ...]] = ("log_odds",)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return softplus(row.log_odds)


@dataclass(frozen=True)
class Brier:
    """The Brier score, sum_j (p_j - 1{j = y})^2, from 0 to 2."""

    needs: ClassVar[tuple[str, ...]] = ("log_odds", "log_sum_square_others")

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        # (1 - p_y)^2 and the squares of the others: 1 - 2 p_y + sum_j p_j^2 would cancel
        return torch.exp(-2 * softplus(row.log_odds)) + row.log_sum_square_others.exp()


@dataclass(frozen=True)
class SphericalScore:
    """One minus the spherical score, 1 - p_y / (sum_j p_j^2)^(1/2), from 0 to 1."""

    needs: ClassVar[tuple[str, ...]] = ("nll", "log_sum_square_others")

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        # log (1 + sum of (p_j / p_y)^2 over the others) / 2 is what p_y lacks
        return box_cox(softplus(row.log_sum_square_others + 2 * row.nll) / 2, 1.0)


@dataclass(frozen=True)
class EntropyBonus:
    """-log p_y - beta H(p): rewards an undecided softmax. `beta`, any number, default 0.01."""

    beta: float = 0.01
    needs: ClassVar[tuple[str, ...]] = ("nll", "entropy")

    def __post_init__(self) -> None:
        check_number("beta", self.beta, -math.inf)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return row.nll - self.beta * row.entropy


@dataclass(frozen=True)
class Renyi2Bonus:
    """-log p_y + beta log sum_j p_j^2: the same with Renyi's entropy of order 2.

    `beta`, any number, default 0.01.
    """

    beta: float = 0.01
    needs: ClassVar[tuple[str, ...]] = ("nll", "log_sum_square")

    def __post_init__(self) -> None:
        check_number("beta", self.beta, -math.inf)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return row.nll + self.beta * row.log_sum_square


@dataclass(frozen=True)
class SymmetricCrossEntropy(_Declared):
    """alpha (-log p_y) + beta (-log_zero) (1 - p_y), the loss against noisy labels.

    `alpha` and `beta` in [0, inf), default 0.1 and 1; `log_zero` < 0, default -4, stands for the
    logarithm of the zeros of a one-hot target.
    """

    alpha: float = 0.1
    beta: float = 1.0
    log_zero: float = -4.0
    key: ClassVar[str] = "symmetric_cross_entropy"
    needs: ClassVar[tuple[str, ...]] = ("nll",)

    def __call__(self, row: RowStatistics) -> torch.Tensor:
        return self.alpha * row.nll - self.beta * self.log_zero * box_cox(row.nll, 1.0)


RowLoss = Callable[[RowStatistics], torch.Tensor]
ROW_LOSSES: dict[str, Callable[[], RowLoss]] = {
    "cross_entropy": CompSum,
    "comp_sum": CompSum,
    "logistic": CompSum,
    "sum_exponential": lambda: CompSum(0.0),
    "generalized_cross_entropy": GeneralizedCrossEntropy,
    "mae": lambda: CompSum(2.0),
    "focal": Focal,
    "poly_1": Poly1,
    "unlikelihood": Unlikelihood,
    "brier": Brier,
    "spherical_score": SphericalScore,
    "entropy_bonus": EntropyBonus,
    "renyi_2_bonus": Renyi2Bonus,
    "symmetric_cross_entropy": SymmetricCrossEntropy,
}


def row_loss(loss: str | RowLoss) -> RowLoss:
    """The loss of a name, or the function itself.

    Raises ValueError for an unknown name, TypeError for what is neither name nor function.
    """
    if isinstance(loss, str):
        if loss not in ROW_LOSSES:
            close = difflib.get_close_matches(loss, ROW_LOSSES, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"loss must be one of {tuple(ROW_LOSSES)}, got {loss!r}{hint}")
        return ROW_LOSSES[loss]()
    if not callable(loss):
        raise TypeError(f"loss must be a name or a function of row statistics, got {loss!r}")
    if isinstance(loss, type):
        raise TypeError(f"loss must be an instance, as {loss.__name__}(), got the class itself")
    if isinstance(loss, torch.nn.Module) and type(loss).__module__ == "lossviz.losses":
        raise TypeError(
            f"loss must be a function of row statistics, got {loss!r}, which takes logits: give "
            "the name, or a class of lossviz.kernels.row_losses with its parameters"
        )
    unknown = set(getattr(loss, "needs", ())) - set(STATISTICS)
    if unknown:
        raise ValueError(f"loss.needs must be among {STATISTICS}, got {sorted(unknown)}")
    return loss
