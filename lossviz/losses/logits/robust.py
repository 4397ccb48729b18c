r"""Label-distributionally robust losses: the worst weights of the classes near the uniform ones.

.. math:: \psi_\lambda = \max_{p \in \Delta_K} \sum_k p_k \delta_k
          - \lambda\, \mathrm{KL}(p \,\|\, u), \qquad
          \delta_k = z_k - z_y + c\,[k \ne y].

One temperature leads from the multi-class hinge loss (lam to 0) through cross-entropy (lam = 1) to
a linear, symmetric loss (lam to infinity). Module `adaptive` chooses it for each example.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .checks import check_labels, check_reduction, reduce_rows, row_dtype
from .compsum import CLASS_LOGITS, example_logits
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm

if TYPE_CHECKING:
    import sympy as sp


LAM = Parameter(
    name="lam",
    symbol=r"\lambda",
    default=1.0,
    low=0.0,
    high=math.inf,
    low_open=True,
    slider=(0.1, 5.0, 0.1),
    meaning="temperature: the price of weights that differ from uniform",
    at_low="the multi-class hinge loss: only the strongest class counts",
    at_high="the mean of all score differences: linear, symmetric, tolerant of label noise",
)
MARGIN = Parameter(
    name="margin",
    symbol="c",
    default=0.0,
    low=0.0,
    high=math.inf,
    slider=(0.0, 2.0, 0.1),
    meaning="lead over each other class that is asked of the target's logit",
    at_low="no margin: at lam = 1 cross-entropy minus log K",
    at_high="no lead is enough",
)


def ldr_kl(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    lam: float = 1.0,
    margin: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Label-distributionally robust loss with a Kullback-Leibler penalty (LDR-KL).

    .. math:: \psi_\lambda = \lambda \log \frac1K \sum_k e^{\delta_k / \lambda}, \qquad
              \delta_k = z_k - z_y + c\,[k \ne y] .

    Parameters
    ----------
    logits : floating tensor (..., K), classes last; computed in float64.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    lam : number in (0, inf), default 1: the temperature.
    margin : number in [0, inf), default 0: the c of the formula.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" or "none".

    Returns
    -------
    Loss in nats, negative for clear winners (at most log K times lam below zero), in the dtype of
    `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `comp_sum`; ValueError for lam <= 0 or margin < 0.

    Notes
    -----
    lam = 1, margin = 0 is cross-entropy minus log K. The scores are taken as they are; the
    authors' code normalises them first, see `normalise_scores`. Source: Zhu, Ying and Yang (2023).
    """
    lam, margin = LAM.check(lam), MARGIN.check(margin)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    rows = smooth_maximum(score_differences(logits, labels, margin), lam)
    return reduce_rows(rows, kept, reduction, logits.dtype)


def score_differences(logits: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """delta (..., K); the target's own entry is a constant 0, so that no gradient cancels there."""
    exact = logits.to(row_dtype(logits))
    index = labels.unsqueeze(-1)
    delta = exact - exact.gather(-1, index) + margin
    # By comparison, not by scatter or one_hot: those have no batching rule for integer labels.
    return torch.where(_is_target(index, logits.shape[-1]), 0.0, delta)


def _is_target(index: torch.Tensor, num_classes: int) -> torch.Tensor:
    return torch.arange(num_classes, device=index.device) == index


def smooth_maximum(delta: torch.Tensor, lam: float | torch.Tensor) -> torch.Tensor:
    """lam log mean exp(delta / lam) over the last axis, exact from small lam to large."""
    largest = delta.detach().amax(-1, keepdim=True)
    below = (delta - largest) / (lam.unsqueeze(-1) if isinstance(lam, torch.Tensor) else lam)
    shortfall = torch.expm1(below).mean(-1)
    # Large lam: log1p keeps the digits that a logarithm near 1 loses and lam would blow up.
    # Small lam: the shortfall is near -1, where it is the direct mean that keeps them.
    log_mean = torch.where(shortfall > -0.5, torch.log1p(shortfall), below.exp().mean(-1).log())
    return largest.squeeze(-1) + lam * log_mean


def normalise_scores(scores: torch.Tensor, how: str = "softplus") -> torch.Tensor:
    """Scores (..., K) divided by a row mean, as the authors' code does before `ldr_kl`.

    `how` is "softplus" (positive scores, then divided by their mean: their LDR code) or "absolute"
    (divided by the mean absolute score: their ALDR code). A row of zeros stays zero under
    "absolute"; the authors' code gives 0/0 there. Raises ValueError for another `how`, TypeError
    for scores that are no floating tensor.
    """
    if not isinstance(scores, torch.Tensor) or not scores.is_floating_point():
        raise TypeError(f"scores must be a floating tensor, got {type(scores).__name__}")
    if how == "softplus":
        positive = F.softplus(scores)
        return positive / positive.mean(-1, keepdim=True)
    if how == "absolute":
        size = scores.abs().mean(-1, keepdim=True)
        return scores / torch.where(size == 0, 1.0, size)
    raise ValueError(f"how must be 'softplus' or 'absolute', got {how!r}")


# --- declarations ---------------------------------------------------------------------------------

ZHU = Source(
    "zhu2023label",
    "the KL-regularised LDR loss",
    "the authors' code divides the scores by a row mean first (after a softplus); the definition, "
    "which we follow, does not",
)


def _ldr_form(logits: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    lead = [
        sp.exp((logit - logits[target] + MARGIN.sympy) / LAM.sympy)
        for k, logit in enumerate(logits)
        if k != target
    ]
    return LAM.sympy * sp.log((1 + sp.Add(*lead)) / len(logits))


def _cross_entropy_shifted() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    expected = F.cross_entropy(logits, target, reduction="none") - math.log(5)
    return ldr_kl(logits, target, reduction="none"), expected


def _hinge() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    delta = logits - logits.gather(1, target[:, None]) + 1.0 - F.one_hot(target, 5)
    ours = ldr_kl(logits, target, lam=1e-9, margin=1.0, reduction="none")
    return ours, delta.amax(1)


def _linear() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    delta = logits - logits.gather(1, target[:, None]) + 1.0 - F.one_hot(target, 5)
    return ldr_kl(logits, target, lam=1e9, margin=1.0, reduction="none"), delta.mean(1)


LDR_KL = Loss(
    key="ldr_kl",
    title="LDR-KL loss",
    family="label-distributionally robust",
    function=ldr_kl,
    summary="Cross-entropy with a temperature: from the hinge loss to a linear one.",
    latex=r"\psi_\lambda(z, y) = \lambda \log \frac1K \sum_k e^{\delta_k / \lambda}, \qquad "
    r"\delta_k = z_k - z_y + c\,[k \ne y]",
    gradient=r"\frac{\partial \psi_\lambda}{\partial z} = p - e_y, \qquad "
    r"p_k \propto e^{\delta_k / \lambda}",
    inputs=CLASS_LOGITS,
    parameters=(LAM, MARGIN),
    form=SymbolicForm(_ldr_form, over="logits"),
    source=ZHU,
    properties=(
        Property(
            "robust form",
            r"$\psi_\lambda = \max_p \sum_k p_k \delta_k - \lambda\,\mathrm{KL}(p \,\|\, u)$ over "
            "all distributions p on the classes, u uniform.",
            source=ZHU,
        ),
        Property("convex in the logits", "A log-sum-exp of linear functions, scaled."),
        Property(
            "proper",
            r"For $c = 0$ the expected loss is minimised by $z = \lambda \log q$ plus a constant, "
            r"$q$ the label distribution: strictly proper for the prediction "
            r"$\mathrm{softmax}(z / \lambda)$.",
        ),
        Property(
            "top-k consistent",
            r"For $c = 0$ and every finite $\lambda > 0$ that minimiser keeps the order of all "
            r"classes, so the loss is consistent for top-k error for every k at once.",
            source=ZHU,
        ),
        Property(
            "hinge limit",
            r"As $\lambda \to 0$ it becomes the multi-class hinge loss $\max_k \delta_k$, which is "
            "not even top-1 consistent: for label probabilities (0.4, 0.35, 0.25) and c = 1 its "
            "minimiser ties all classes.",
            source=Source("crammer2001algorithmic", "the multi-class hinge loss"),
        ),
        Property(
            "symmetric limit",
            r"As $\lambda \to \infty$ it becomes the mean of $\delta_k$, whose sum over the labels "
            "is constant.",
        ),
        Property(
            "range",
            r"Bounded below by $-\lambda \log K$, unbounded above.",
        ),
    ),
    limits=(
        Limit("lam = 1 without margin is cross-entropy minus log K", _cross_entropy_shifted),
        Limit("lam to 0 is the multi-class hinge loss", _hinge, rtol=1e-6),
        Limit("lam to infinity is the mean score difference", _linear, rtol=1e-6),
    ),
    stability="The largest difference is taken out first; then log1p of the mean of expm1 for "
    "large lam, where lam would multiply the rounding of a logarithm near 1.",
    notes="The authors' code normalises the scores of a row before the loss (softplus, then "
    "division by the row mean), which the definition does not: the value then no longer depends on "
    "the scale of the scores. `lossviz.losses.robust.normalise_scores` does it on request.",
    related=("cross_entropy", "aldr_kl"),
)
