"""Calibrators of one probability: P(positive), or the confidence of a top label.

Each is fitted on held-out probabilities (N,) and truths (N,) of 0 and 1, maps probabilities of any
shape, and keeps what it found as plain arrays in `parameters`. For more classes, fit one for each
class (`OneVersusRest`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Self

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import PROBABILITIES, labels
from ..declaration.numbers import check_count
from .binned import WEIGHT, Closed, checked_rows, equal_width, sums_in_bins
from .confidence import binary_probability
from .scaling import Parameters, minimise

OF_CLASSES = Inputs(
    Argument("probabilities", PROBABILITIES, "N K"),
    Argument("target", labels("K"), "N"),
    replace(WEIGHT, shape="N"),
)


class ProbabilityCalibrator(ABC):
    """`fit` finds the `parameters`, `transform` maps probabilities (...) to probabilities.

    `transform` returns float64. Before `fit` it raises RuntimeError.
    """

    def __init__(self, **parameters: torch.Tensor) -> None:
        self.parameters: Parameters = dict(parameters)

    @abstractmethod
    def _find(
        self, probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor
    ) -> Parameters: ...

    @abstractmethod
    def _apply(self, probability: torch.Tensor) -> torch.Tensor: ...

    def fit(
        self,
        probability: torch.Tensor,
        truth: torch.Tensor,
        *,
        weight: torch.Tensor | None = None,
    ) -> Self:
        """Find the parameters from held-out rows; return self.

        `weight` (N,) are weights of the rows, on any scale. Raises TypeError for wrong dtypes,
        ValueError for no rows, NaN, values outside [0, 1], truths other than 0 and 1 and weights
        that are negative, not finite or all 0, and RuntimeError where there is no optimum.
        """
        with torch.inference_mode(False):  # the search needs slopes
            self.parameters = self._find(*checked_rows(probability, truth, weight))
        return self

    def transform(self, probability: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities of the same shape, float64."""
        if not self.parameters:
            raise RuntimeError(f"{type(self).__name__} must be fitted first: call fit")
        return self._apply(binary_probability(probability))


class BetaCalibration(ProbabilityCalibrator):
    """sigmoid(a log p - b log(1 - p) + c) with a, b >= 0: it can be the identity.

    a = b is Platt's scaling of the log-odds, a = b = 1 with c = 0 the identity. Probabilities are
    kept 1e-12 away from 0 and 1. Source: Kull, Silva Filho and Flach (2017), section 4.
    """

    floor = 1e-12

    def _features(self, probability: torch.Tensor) -> torch.Tensor:
        inside = probability.clamp(self.floor, 1 - self.floor)
        return torch.stack((inside.log(), -(-inside).log1p(), torch.ones_like(inside)), -1)

    def _find(
        self, probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor
    ) -> Parameters:
        start = {"weight": torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)}
        objective = _logistic(self._features(probability), truth, weight)
        weight = minimise(objective, start, lowest=[0.0, 0.0, None])["weight"]
        return {"a": weight[0], "b": weight[1], "c": weight[2]}

    def _apply(self, probability: torch.Tensor) -> torch.Tensor:
        weight = torch.stack([self.parameters[name] for name in "abc"]).to(probability)
        return (self._features(probability) @ weight).sigmoid()


class PlattScaling(ProbabilityCalibrator):
    """sigmoid(a logit(p) + b). Source: Platt (1999), without his correction of the targets."""

    floor = BetaCalibration.floor

    def _find(
        self, probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor
    ) -> Parameters:
        odds = probability.logit(self.floor)
        features = torch.stack((odds, torch.ones_like(odds)), -1)
        start = {"weight": torch.tensor([1.0, 0.0], dtype=torch.float64)}
        a, b = minimise(_logistic(features, truth, weight), start)["weight"]
        return {"a": a, "b": b}

    def _apply(self, probability: torch.Tensor) -> torch.Tensor:
        odds = probability.logit(self.floor)
        return (self.parameters["a"].to(odds) * odds + self.parameters["b"].to(odds)).sigmoid()


class IsotonicCalibration(ProbabilityCalibrator):
    """The non-decreasing step function of least squares; lines between its steps.

    Beyond the fitted probabilities the nearest value holds. It is scikit-learn's, which must be
    installed. Source: Zadrozny and Elkan (2002), section 3.2.
    """

    def _find(
        self, probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor
    ) -> Parameters:
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        fitted.fit(probability.numpy(force=True), truth.numpy(force=True), weight.numpy(force=True))
        return {
            "at": torch.as_tensor(fitted.X_thresholds_).double(),
            "value": torch.as_tensor(fitted.y_thresholds_).double(),
        }

    def _apply(self, probability: torch.Tensor) -> torch.Tensor:
        at, value = (self.parameters[name].to(probability) for name in ("at", "value"))
        right = torch.searchsorted(at, probability.contiguous()).clamp(max=len(at) - 1)
        left = (right - 1).clamp_min(0)
        width = at[right] - at[left]
        share = torch.where(width > 0, (probability - at[left]) / width, 1.0).clamp(0, 1)
        return value[left].lerp(value[right], share)


class HistogramBinning(ProbabilityCalibrator):
    """The share of positives in each of `bins` bins of equal width, `closed` on the left or right.

    An empty bin keeps its middle. Source: Zadrozny and Elkan (2001), section 2.1.
    """

    def __init__(
        self, *, bins: int = 15, closed: Closed = "left", **parameters: torch.Tensor
    ) -> None:
        super().__init__(**parameters)
        self.bins, self.closed = check_count("bins", bins), closed

    def _find(
        self, probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor
    ) -> Parameters:
        edges = equal_width(self.bins, probability)
        sums = sums_in_bins(probability, truth, edges, weight=weight, closed=self.closed)
        middles = (torch.arange(self.bins, dtype=torch.float64) + 0.5) / self.bins
        value = torch.where(sums.rows > 0, sums.correct / sums.rows, middles.to(sums.correct))
        return {"value": value}

    def _apply(self, probability: torch.Tensor) -> torch.Tensor:
        value = self.parameters["value"].to(probability)
        edges = equal_width(len(value), probability)
        left = self.closed == "left"  # torch calls the other side right
        return value[torch.bucketize(probability.contiguous(), edges, right=left)]


class OneVersusRest:
    """A calibrator for each class, and rows divided by their sum; a row of zeros is even.

    `make` makes one, ``OneVersusRest(IsotonicCalibration)``.
    """

    of_logits: ClassVar[bool] = False
    of_copies: ClassVar[bool] = False

    def __init__(self, make: Callable[[], ProbabilityCalibrator]) -> None:
        self.make = make
        self.classes: list[ProbabilityCalibrator] = []

    def fit(
        self,
        probabilities: torch.Tensor,
        target: torch.Tensor,
        *,
        weight: torch.Tensor | None = None,
    ) -> Self:
        """Fit one calibrator per column of (N, K) on whether the label is that class.

        Raises as the calibrator does, and ValueError for labels outside the classes.
        """
        given = {"probabilities": probabilities, "target": target, "weight": weight}
        checked = OF_CLASSES.check(given)
        columns, y = checked["probabilities"].unbind(-1), checked["target"]
        self.classes = [self.make().fit(p, y == k, weight=weight) for k, p in enumerate(columns)]
        return self

    def transform(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities (..., K) that sum to 1, float64."""
        if not self.classes:
            raise RuntimeError("OneVersusRest must be fitted first: call fit")
        columns = PROBABILITIES.check(probabilities, "probabilities").unbind(-1)
        if len(columns) != len(self.classes):
            raise ValueError(
                f"probabilities must have {len(self.classes)} classes, got {len(columns)}"
            )
        each = [one.transform(p) for one, p in zip(self.classes, columns, strict=True)]
        rows = torch.stack(each, -1)
        total = rows.sum(-1, keepdim=True)
        return torch.where(total > 0, rows / total, 1 / len(columns))


def _logistic(
    features: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor
) -> Callable[[Parameters], torch.Tensor | float]:
    share = weight / weight.sum()

    def objective(at: Parameters) -> torch.Tensor:
        scores = features @ at["weight"].to(features)
        return share @ torch.nn.functional.binary_cross_entropy_with_logits(
            scores, truth, reduction="none"
        )

    return objective
