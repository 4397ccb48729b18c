"""Both sides of the consistency bound for a model at hand, every term named."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from ..declaration.arrays import Array, as_tensor
from ..losses.logits.compsum import TAU
from .hypotheses import Complete, DiscreteDistribution, Finite, HypothesisSet
from .transforms import hcons_bounded_ce_binary_gamma, inverse


@dataclass(frozen=True)
class ConsistencyBound:
    r"""The terms of the bound, all of them plain numbers.

    .. math:: R_{0-1}(h) - R^*_{0-1} + M_{0-1} \le \Gamma_\tau(R_\tau(h) - R^*_\tau + M_\tau)

    `guaranteed` says whether a theorem covers the hypothesis set: symmetric
    and complete, or two classes with bounded scores and tau = 1. Elsewhere the right side is the
    formula of complete sets, shown for comparison.
    """

    tau: float
    num_classes: int
    zero_one_risk: float
    best_zero_one_risk: float
    zero_one_gap: float
    surrogate_risk: float
    best_surrogate_risk: float
    surrogate_gap: float
    right: float
    guaranteed: bool

    @property
    def left(self) -> float:
        """The zero-one side: excess over the best in class, plus the gap."""
        return self.zero_one_risk - self.best_zero_one_risk + self.zero_one_gap

    @property
    def inside(self) -> float:
        """The argument of Gamma: surrogate excess over the best in class, plus the gap."""
        return self.surrogate_risk - self.best_surrogate_risk + self.surrogate_gap

    @property
    def slack(self) -> float:
        """Right side minus left side."""
        return self.right - self.left

    @property
    def holds(self) -> bool:
        """Whether left <= right, up to rounding."""
        return self.slack >= -1e-9

    def terms(self) -> dict[str, float]:
        """All numbers by name, for a table or a plot."""
        derived = {"left": self.left, "inside": self.inside, "slack": self.slack}
        return {**asdict(self), **derived}


def consistency_bound(
    logits: Array | None,
    target: Array | DiscreteDistribution,
    *,
    tau: float = 1.0,
    hypotheses: HypothesisSet | None = None,
) -> ConsistencyBound:
    """Both sides of the comp-sum consistency bound for a model's scores.

    Parameters
    ----------
    logits : array (N, n), the model's scores; None for the hypothesis of the set with least
        surrogate risk, which is what training aims at.
    target : integer labels (N,) (the empirical distribution, each row its own input: needs
        `logits`), class probabilities (N, n), or a `DiscreteDistribution`.
    tau : number in [0, inf), default 1: the surrogate is the comp-sum loss.
    hypotheses : the set the model is drawn from, default `Complete()`. It decides how both sides
        split into best-in-class risk and gap, not their totals, unless its scores are bounded.

    Returns
    -------
    ConsistencyBound. With labels and the default set it says: the empirical error is at most
    Gamma of the empirical loss.

    Raises
    ------
    TypeError for logits that are not numbers; ValueError for shapes that do not fit, rows of
    probabilities that do not sum to one, or tau < 0.
    """
    tau = TAU.check(tau)
    chosen = Complete() if hypotheses is None else hypotheses
    scores = None if logits is None else as_tensor("logits", logits).detach()
    if scores is not None and (scores.ndim != 2 or scores.shape[1] < 2):
        raise ValueError(f"logits must have shape (N, n), n >= 2, got {tuple(scores.shape)}")
    distribution = _distribution(target, scores)
    if scores is None:
        scores = chosen.best_scores(distribution, tau=tau)
    if scores.shape != distribution.conditional.shape:
        raise ValueError(
            f"logits must have shape {tuple(distribution.conditional.shape)} as the target, "
            f"got {tuple(scores.shape)}"
        )
    scores = scores.to(distribution.weights.device)
    surrogate_risk = distribution.comp_sum_risk(scores, tau=tau)
    surrogate_pointwise = chosen.pointwise_comp_sum_risk(distribution, tau=tau)
    surrogate_best = chosen.best_comp_sum_risk(distribution, tau=tau)
    zero_one_best = chosen.best_zero_one_risk(distribution)
    zero_one_pointwise = chosen.pointwise_zero_one_risk(distribution)
    right, guaranteed = _right(
        max(surrogate_risk - surrogate_pointwise, 0.0), distribution, chosen, tau
    )
    return ConsistencyBound(
        tau=tau,
        num_classes=distribution.num_classes,
        zero_one_risk=distribution.zero_one_risk(scores),
        best_zero_one_risk=zero_one_best,
        zero_one_gap=max(zero_one_best - zero_one_pointwise, 0.0),
        surrogate_risk=surrogate_risk,
        best_surrogate_risk=surrogate_best,
        surrogate_gap=max(surrogate_best - surrogate_pointwise, 0.0),
        right=right,
        guaranteed=guaranteed,
    )


def _distribution(
    target: Array | DiscreteDistribution, scores: torch.Tensor | None
) -> DiscreteDistribution:
    if isinstance(target, DiscreteDistribution):
        return target
    table = torch.as_tensor(target)
    if table.ndim == 2:
        return DiscreteDistribution(table)
    if scores is None:
        raise ValueError("integer labels do not tell the number of classes: logits must be given")
    if table.shape != scores.shape[:1]:
        raise ValueError(f"target must have shape ({len(scores)},), got {tuple(table.shape)}")
    return DiscreteDistribution.of_labels(table, scores.shape[1])


def _right(
    inside: float, distribution: DiscreteDistribution, hypotheses: HypothesisSet, tau: float
) -> tuple[float, bool]:
    """The bound on the zero-one side, and whether a theorem stands behind it."""
    n = distribution.num_classes
    complete = hypotheses.complete(distribution)
    if not complete and n == 2 and tau == 1 and not isinstance(hypotheses, Finite):
        # The transform of a smaller bound lies below that of a larger one, so the least reach
        # serves every input.
        least = hypotheses.reach(distribution).amin().item()
        if least > 0:
            return float(hcons_bounded_ce_binary_gamma(inside, Lambda=least)), True
    gamma = inverse(torch.tensor(inside, dtype=torch.float64), tau, n)
    return gamma.item(), complete
