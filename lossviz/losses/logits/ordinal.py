"""Classes that have an order: one threshold between each and the next."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    by_rows,
    convex,
    declare,
    row_dtype,
    softplus,
)
from ...declaration.kinds import LOGITS, WEIGHTS, labels

CUMULATIVE_LOGITS = Inputs(
    Argument("logits", LOGITS, "... J", "Logit k says that the class is above k"),
    Argument("target", labels("J", more=1, ignorable=True), "...", "K = J + 1 ordered classes"),
).with_optional(Argument("weight", WEIGHTS, "J", "Importance of each threshold"))


def _above(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Which thresholds (..., J) the target is above."""
    return target.unsqueeze(-1) > torch.arange(logits.shape[-1], device=logits.device)


@declare(
    family="ordinal",
    inputs=CUMULATIVE_LOGITS,
    latex=r"\ell(l, y) = \sum_{k=0}^{K-2} w_k \Big( [y > k] \log\big(1 + e^{-l_k}\big) + "
    r"[y \le k] \log\big(1 + e^{l_k}\big) \Big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial l_k} = w_k \big(\mathrm{sigmoid}(l_k) - [y > k]\big)",
        lambda logits, target: logits.sigmoid() - _above(logits, target).double(),
    ),
    source=Source("cao2020rank", "eq. 4"),
    facts=(
        Fact(
            "Two classes: binary cross-entropy with logits",
            lambda z, y: (
                ordinal_cross_entropy(z[:, :1], y % 2, reduction="none"),
                F.binary_cross_entropy_with_logits(z[:, 0], (y % 2).double(), reduction="none"),
            ),
        ),
        Fact(
            "Reversing the order of the classes, with the logits turned and negated, changes "
            "nothing",
            lambda z, y: (
                ordinal_cross_entropy(-z.flip(-1), z.shape[-1] - y, reduction="none"),
                ordinal_cross_entropy(z, y, reduction="none"),
            ),
        ),
        Fact(
            "A sum of binary losses: thresholds do not see each other",
            lambda z, y: (
                ordinal_cross_entropy(z, y, reduction="none"),
                torch.stack(
                    [
                        F.binary_cross_entropy_with_logits(
                            z[:, k], (y > k).double(), reduction="none"
                        )
                        for k in range(z.shape[-1])
                    ]
                ).sum(0),
            ),
        ),
        convex(why="a sum of softplus functions"),
    ),
    stability="A softplus for each threshold, exact in both tails.",
    notes="Logits need not decrease with k; where they do not, the differences of sigmoids are not "
    "a distribution over the classes. Sharing one weight vector and learning only the thresholds "
    "makes them decrease (CORAL); conditional thresholds do too (CORN, another loss).",
    related=("cross_entropy", "logistic", "corn"),
    breaks=("shift of J", "order of J"),
    also=("ordinal regression", "CORAL", "rank-consistent", "ordered classes"),
    use="Classes have an order, such as grades or ages, and being off by one should "
    "cost less than being off by three.",
    avoid="Classes have no order, or the differences of the thresholds must be a "
    "distribution over the classes.",
)
def ordinal_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None
) -> torch.Tensor:
    """Ordinal cross-entropy: a binary cross-entropy at each threshold between ordered classes."""
    every = () if weight is None else (weight.expand(logits.shape),)
    return _thresholds(logits, target, *every)


@by_rows
def _thresholds(logits: torch.Tensor, target: torch.Tensor, *weight: torch.Tensor) -> torch.Tensor:
    terms = softplus(torch.where(_above(logits, target), -logits, logits))
    for every in weight:
        terms = terms * every.to(terms.dtype)
    return terms.sum(-1).to(row_dtype(terms))


CONDITIONAL_LOGITS = Inputs(
    Argument(
        "logits", LOGITS, "... J", "Logit k: the class is above k, given that it is above k - 1"
    ),
    Argument("target", labels("J", more=1, ignorable=True), "...", "K = J + 1 ordered classes"),
)


def _reached(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Which thresholds (..., J) the target has a word on: those up to the first it is not above."""
    return target.unsqueeze(-1) >= torch.arange(logits.shape[-1], device=logits.device)


def corn_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Class probabilities (..., J + 1) of conditional logits (..., J), in the dtype of `logits`.

    P(y > k) is the product of the first k + 1 sigmoids, so it falls with k and the differences are
    a distribution. Raises TypeError for what is not a floating tensor, ValueError for no thresholds
    or a scalar.
    """
    CONDITIONAL_LOGITS["logits"].kind.check(logits, "logits")
    if logits.ndim < 1 or not logits.shape[-1]:
        raise ValueError(f"logits must have shape (..., J) with J >= 1, got {tuple(logits.shape)}")
    exact = logits.to(row_dtype(logits))
    above = F.pad(-softplus(-exact), (1, 0)).cumsum(-1)
    stops = F.pad(-softplus(exact), (0, 1))
    return (above + stops).exp().to(logits.dtype)


def _as_probabilities(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    at_label = corn_probabilities(z).gather(-1, y[..., None])[..., 0]
    return corn(z, y, reduction="none"), -at_label.log()


@declare(
    family="ordinal",
    inputs=CONDITIONAL_LOGITS,
    latex=r"\ell(l, y) = \sum_{k < y} \log\big(1 + e^{-l_k}\big) + [y < K - 1] "
    r"\log\big(1 + e^{l_y}\big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial l_k} = [y \ge k] "
        r"\big(\mathrm{sigmoid}(l_k) - [y > k]\big)",
        lambda z, y: _reached(z, y) * (z.sigmoid() - _above(z, y).double()),
    ),
    source=Source(
        "shi2023corn",
        "eq. 5",
        "the paper and its package divide by the number of pairs of an example and a threshold it "
        "has a word on, another package by the number of classes; here the mean is over examples",
    ),
    facts=(
        Fact("Minus the log-probability of the class", _as_probabilities),
        Fact(
            "Two classes: binary cross-entropy with logits",
            lambda z, y: (
                corn(z[:, :1], y % 2, reduction="none"),
                F.binary_cross_entropy_with_logits(z[:, 0], (y % 2).double(), reduction="none"),
            ),
        ),
        Fact(
            "Ordinal cross-entropy for the last two classes, which reach all thresholds",
            lambda z, y: (
                corn(z, z.shape[-1] - y % 2, reduction="none"),
                ordinal_cross_entropy(z, z.shape[-1] - y % 2, reduction="none"),
            ),
        ),
        convex(why="a sum of softplus functions"),
    ),
    stability="A softplus for each threshold, exact in both tails.",
    notes="Each threshold is learnt from the examples that reach it, so late ones see few. "
    "`corn_probabilities` gives the classes' probabilities; unlike differences of cumulative "
    "logits they are a distribution whatever the logits.",
    related=("ordinal_cross_entropy", "cross_entropy"),
    breaks=("shift of J", "order of J"),
    also=("CORN", "conditional ordinal regression", "continuation ratio", "rank-consistent"),
    use="Classes have an order, and their probabilities have to be a distribution.",
    avoid="Few examples reach the last classes: thresholds that share weights learn from all.",
)
def corn(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Conditional ordinal loss (CORN): at each threshold that is reached, whether to go on."""
    return _conditional(logits, target)


@by_rows
def _conditional(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    terms = softplus(torch.where(_above(logits, target), -logits, logits))
    counts = _reached(logits, target) | logits.isnan()
    return torch.where(counts, terms, 0.0).sum(-1).to(row_dtype(terms))
