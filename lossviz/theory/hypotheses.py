r"""Discrete distributions and hypothesis sets, for which best-in-class risks can be computed.

All sets but `Finite` are symmetric: at a point x every class has the same interval of scores,
:math:`[-\Lambda(x), \Lambda(x)]`, whose half-width is the set's `reach`. `Complete` and an
unbounded `Constant` are complete: their reach is infinite everywhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..declaration.arrays import Array, as_tensor
from ..losses.logits.compsum import TAU
from .checks import check_conditional, check_distribution, check_predicted
from .regret import bounded_scores, conditional_min, conditional_risk

RANDOM = 200  # untrained hypotheses among which a small zero-one risk is looked for


class DiscreteDistribution:
    """A joint distribution of inputs and labels on finitely many inputs.

    Parameters
    ----------
    conditional : array (N, n), class probabilities at each input.
    weights : array (N,), probability of each input; default uniform.
    inputs : array (N, d), the inputs themselves; needed by `Linear` and `OneHiddenLayer` only.

    Raises
    ------
    ValueError if a row of `conditional` or `weights` does not sum to one, or the shapes disagree.
    """

    def __init__(self, conditional: Array, weights: Array = None, inputs: Array = None) -> None:
        p = check_conditional("conditional", conditional)
        if p.ndim != 2 or p.shape[0] == 0:
            raise ValueError(f"conditional must have shape (N, n), N > 0, got {tuple(p.shape)}")
        uniform = torch.full((len(p),), 1 / len(p), dtype=p.dtype, device=p.device)
        w = uniform if weights is None else check_distribution("weights", weights)
        if w.shape != p.shape[:1]:
            raise ValueError(f"weights must have shape ({len(p)},), got {tuple(w.shape)}")
        x = None if inputs is None else as_tensor("inputs", inputs)
        if x is not None and (x.ndim != 2 or len(x) != len(p)):
            raise ValueError(f"inputs must have shape ({len(p)}, d), got {tuple(x.shape)}")
        self.conditional, self.weights, self._inputs = p, w, x

    @classmethod
    def of_labels(
        cls, labels: Array, n: int, *, weights: Array = None, inputs: Array = None
    ) -> DiscreteDistribution:
        """The empirical distribution of integer labels (N,), every input counted as its own."""
        index = torch.as_tensor(labels)
        if index.ndim != 1 or len(index) == 0:
            raise ValueError(f"labels must have shape (N,), N > 0, got {tuple(index.shape)}")
        classes = torch.eye(n, dtype=torch.float64, device=index.device)
        return cls(classes[check_predicted(index, classes[:1].expand(len(index), n))],
                   weights, inputs)  # fmt: skip

    @property
    def inputs(self) -> torch.Tensor:
        """The inputs (N, d). Raises ValueError if none were given."""
        if self._inputs is None:
            raise ValueError("this hypothesis set needs the distribution's inputs, got none")
        return self._inputs

    @property
    def num_classes(self) -> int:
        """The number of classes n."""
        return self.conditional.shape[1]

    @property
    def marginal(self) -> torch.Tensor:
        """Label probabilities (n,)."""
        return self.mean(self.conditional)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Expectation over the inputs of `values` (N, ...)."""
        return torch.tensordot(self.weights, values, dims=1)

    def comp_sum_risk(self, scores: torch.Tensor, *, tau: float) -> float:
        """Comp-sum risk of scores (N, n)."""
        return self.mean(conditional_risk(self.conditional, scores, tau)).item()

    def zero_one_risk(self, scores: torch.Tensor) -> float:
        """Probability that the first highest score (N, n) is not the label."""
        hit = self.conditional.gather(1, scores.argmax(1, keepdim=True)).squeeze(1)
        return 1 - self.mean(hit).item()


class HypothesisSet(ABC):
    """What a set has to answer: the best scores at each input, and the best scores in the class."""

    @abstractmethod
    def reach(self, distribution: DiscreteDistribution) -> torch.Tensor:
        """Half-widths (N,) of the intervals of scores; inf where they are unbounded."""

    @abstractmethod
    def best_scores(self, distribution: DiscreteDistribution, *, tau: float) -> torch.Tensor:
        """Scores (N, n) of a hypothesis in the set with least comp-sum risk."""

    def best_comp_sum_risk(self, distribution: DiscreteDistribution, *, tau: float) -> float:
        """Least comp-sum risk within the set."""
        scores = self.best_scores(distribution, tau=tau)
        return distribution.comp_sum_risk(scores, tau=tau)

    def pointwise_comp_sum_risk(self, distribution: DiscreteDistribution, *, tau: float) -> float:
        """Expected least conditional risk, the best scores being chosen input by input."""
        p, reach = distribution.conditional, self.reach(distribution)
        if torch.isinf(reach).all():
            return distribution.mean(conditional_min(p, tau)).item()
        return distribution.comp_sum_risk(bounded_scores(p, reach, tau), tau=tau)

    def best_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        """Least zero-one risk within the set; an upper estimate where it is a hard problem."""
        return min(
            distribution.zero_one_risk(self.best_scores(distribution, tau=tau))
            for tau in (0.0, 1.0, 1.5, 2.0)
        )

    def pointwise_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        """Expected least conditional zero-one risk."""
        return 1 - distribution.mean(distribution.conditional.amax(1)).item()

    def complete(self, distribution: DiscreteDistribution) -> bool:
        """Whether the set is symmetric and its scores unbounded on the support."""
        return bool(torch.isinf(self.reach(distribution)).all())


@dataclass(frozen=True)
class Complete(HypothesisSet):
    """All functions of the input: no minimisability gap."""

    def reach(self, distribution: DiscreteDistribution) -> torch.Tensor:
        return torch.full_like(distribution.weights, math.inf)

    def best_scores(self, distribution: DiscreteDistribution, *, tau: float) -> torch.Tensor:
        # A half-width of 300 stands for an unbounded one: exp(-600) is below rounding.
        p = distribution.conditional
        return bounded_scores(p, torch.full_like(p[:, 0], 300.0), tau)

    def best_comp_sum_risk(self, distribution: DiscreteDistribution, *, tau: float) -> float:
        return self.pointwise_comp_sum_risk(distribution, tau=tau)

    def best_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        return self.pointwise_zero_one_risk(distribution)


@dataclass(frozen=True)
class Constant(HypothesisSet):
    """Score vectors that do not depend on the input, each score within [-Lambda, Lambda].

    `Lambda` is a number >= 0, default inf. Raises ValueError if it is negative: the set is empty.
    """

    Lambda: float = math.inf

    def __post_init__(self) -> None:
        _check_bound("Lambda", self.Lambda, infinite=True)

    def reach(self, distribution: DiscreteDistribution) -> torch.Tensor:
        return torch.full_like(distribution.weights, self.Lambda)

    def best_scores(self, distribution: DiscreteDistribution, *, tau: float) -> torch.Tensor:
        prior = distribution.marginal
        scores = bounded_scores(prior, prior.new_tensor(min(self.Lambda, 300.0)), tau)
        return scores.expand_as(distribution.conditional)

    def best_comp_sum_risk(self, distribution: DiscreteDistribution, *, tau: float) -> float:
        if math.isinf(self.Lambda):
            return conditional_min(distribution.marginal, tau).item()
        return super().best_comp_sum_risk(distribution, tau=tau)

    def best_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        return 1 - distribution.marginal.amax().item()


@dataclass(frozen=True)
class Finite(HypothesisSet):
    """Finitely many hypotheses, each given by its scores: array (H, N, n).

    Raises ValueError if there is no hypothesis. Ties among scores go to the first class.
    """

    scores: Any

    def __post_init__(self) -> None:
        table = as_tensor("scores", self.scores)
        if table.ndim != 3 or table.shape[0] == 0:
            raise ValueError(
                "scores must have shape (H, N, n) with at least one hypothesis, "
                f"got shape {tuple(table.shape)}"
            )
        object.__setattr__(self, "scores", table)

    def _risks(self, distribution: DiscreteDistribution, tau: float) -> torch.Tensor:
        if self.scores.shape[1:] != distribution.conditional.shape:
            raise ValueError(
                f"scores must have shape (H, {', '.join(map(str, distribution.conditional.shape))})"
                f", got {tuple(self.scores.shape)}"
            )
        return conditional_risk(distribution.conditional, self.scores, tau)

    def reach(self, distribution: DiscreteDistribution) -> torch.Tensor:
        """Raise TypeError: scores from a list fill no intervals."""
        raise TypeError("a Finite set has no reach: its scores are a list, not intervals")

    def best_scores(self, distribution: DiscreteDistribution, *, tau: float) -> torch.Tensor:
        means = distribution.mean(self._risks(distribution, tau).T)
        return self.scores[means.argmin()]

    def pointwise_comp_sum_risk(self, distribution: DiscreteDistribution, *, tau: float) -> float:
        return distribution.mean(self._risks(distribution, tau).amin(0)).item()

    def best_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        return min(distribution.zero_one_risk(scores) for scores in self.scores)

    def pointwise_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        predicted = self.scores.argmax(2).T
        hit = distribution.conditional.gather(1, predicted).amax(1)
        return 1 - distribution.mean(hit).item()

    def complete(self, distribution: DiscreteDistribution) -> bool:
        return False


class _Trained(HypothesisSet):
    """A parametric set whose best hypothesis is found by L-BFGS from several starts.

    The constraints are built into the parametrisation: a ball is the image of free coordinates
    under r -> sin(r), so that a minimum on its surface is an ordinary stationary point.
    """

    starts: int

    @abstractmethod
    def _sizes(self, dimensions: int, classes: int) -> list[tuple[int, ...]]:
        """Shapes of the free coordinates."""

    @abstractmethod
    def _scores(self, inputs: torch.Tensor, free: list[torch.Tensor]) -> torch.Tensor:
        """Scores (N, n) at the inputs, from the free coordinates."""

    def best_scores(self, distribution: DiscreteDistribution, *, tau: float) -> torch.Tensor:
        tau, inputs = TAU.check(tau), distribution.inputs
        found: list[tuple[float, torch.Tensor]] = []
        for free in self._draws(distribution, self.starts):
            for part in free:
                part.requires_grad_()
            _minimise(lambda f: self._loss(distribution, f, tau), free)
            with torch.no_grad():
                scores = self._scores(inputs, free)
                found.append((distribution.comp_sum_risk(scores, tau=tau), scores))
        return min(found, key=lambda item: item[0])[1]

    def best_zero_one_risk(self, distribution: DiscreteDistribution) -> float:
        """Least zero-one risk among hypotheses trained on surrogates and RANDOM untrained ones.

        An upper estimate: to find the least is a hard problem, and surrogates may all miss it.
        """
        drawn = self._draws(distribution, RANDOM)
        random = (self._scores(distribution.inputs, free) for free in drawn)
        least = min(map(distribution.zero_one_risk, random))
        return min(least, super().best_zero_one_risk(distribution))

    def _draws(
        self, distribution: DiscreteDistribution, count: int
    ) -> Iterator[list[torch.Tensor]]:
        """Random free coordinates, the same ones at every call."""
        inputs, generator = distribution.inputs, torch.Generator().manual_seed(0)
        for _ in range(count):
            yield [
                (0.5 * torch.randn(size, generator=generator, dtype=inputs.dtype)).to(inputs.device)
                for size in self._sizes(inputs.shape[1], distribution.num_classes)
            ]

    def _loss(
        self, distribution: DiscreteDistribution, free: list[torch.Tensor], tau: float
    ) -> torch.Tensor:
        scores = self._scores(distribution.inputs, free)
        return distribution.mean(conditional_risk(distribution.conditional, scores, tau))


@dataclass(frozen=True)
class Linear(_Trained):
    r"""Scores :math:`w_y \cdot x + b_y`, :math:`\lVert w_y\rVert_2` and :math:`|b_y|` bounded.

    The best hypothesis is exact up to the optimiser for tau <= 1, where the risk is convex; for
    tau > 1 it is the best of `starts` runs, so risks are upper estimates.

    Parameters
    ----------
    weight, bias : finite numbers >= 0. starts : integer >= 1, default 4.

    Raises ValueError where the set would be empty.
    """

    weight: float
    bias: float
    starts: int = 4

    def __post_init__(self) -> None:
        _check_bound("weight", self.weight)
        _check_bound("bias", self.bias)
        _check_count("starts", self.starts)

    def reach(self, distribution: DiscreteDistribution) -> torch.Tensor:
        return self.weight * distribution.inputs.norm(dim=1) + self.bias

    def _sizes(self, dimensions: int, classes: int) -> list[tuple[int, ...]]:
        return [(classes, dimensions), (classes,)]

    def _scores(self, inputs: torch.Tensor, free: list[torch.Tensor]) -> torch.Tensor:
        return inputs @ (self.weight * _ball(free[0])).T + self.bias * free[1].sin()


@dataclass(frozen=True)
class OneHiddenLayer(_Trained):
    r"""One small network for each class: :math:`\sum_j u_{yj} \max(0, w_{yj} \cdot x + b_{yj})`.

    :math:`\lVert u_y\rVert_1 \le` outer, :math:`\lVert w_{yj}\rVert_2 \le` weight,
    :math:`|b_{yj}| \le` bias. The risk is not convex: the best hypothesis is the best of `starts`
    runs, and risks are upper estimates.

    Parameters
    ----------
    width : integer >= 1, hidden units for each class. outer, weight, bias : finite numbers >= 0.
    starts : integer >= 1, default 8.

    Raises ValueError where the set would be empty.
    """

    width: int
    outer: float
    weight: float
    bias: float
    starts: int = 8

    def __post_init__(self) -> None:
        _check_count("width", self.width)
        _check_count("starts", self.starts)
        for name in ("outer", "weight", "bias"):
            _check_bound(name, getattr(self, name))

    def reach(self, distribution: DiscreteDistribution) -> torch.Tensor:
        return self.outer * (self.weight * distribution.inputs.norm(dim=1) + self.bias)

    def _sizes(self, dimensions: int, classes: int) -> list[tuple[int, ...]]:
        units = (classes, self.width)
        return [units, (*units, dimensions), units]

    def _scores(self, inputs: torch.Tensor, free: list[torch.Tensor]) -> torch.Tensor:
        signs = _ball(free[0])
        outer = self.outer * signs * signs.abs()  # from the Euclidean ball onto the l1 ball
        hidden = torch.einsum("nd,ckd->nck", inputs, self.weight * _ball(free[1]))
        return (outer * torch.relu(hidden + self.bias * free[2].sin())).sum(-1)


def _ball(free: torch.Tensor) -> torch.Tensor:
    """Rows of free coordinates mapped into the unit ball; radius pi/2 lands on its surface."""
    radius = free.square().sum(-1, keepdim=True).clamp(min=1e-60).sqrt()
    return free * (radius.sin() / radius)


def _minimise(loss: Any, free: list[torch.Tensor]) -> None:
    optimiser = torch.optim.LBFGS(
        free,
        max_iter=500,
        tolerance_grad=1e-11,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value: torch.Tensor = loss(free)
        value.backward()
        return value

    optimiser.step(closure)


def _check_bound(name: str, value: float, infinite: bool = False) -> None:
    if not value >= 0 or (math.isinf(value) and not infinite):
        kind = "a number" if infinite else "a finite number"
        raise ValueError(f"{name} must be {kind} >= 0 (else the set is empty), got {value!r}")


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an integer >= 1 (else the set is empty), got {value!r}")
