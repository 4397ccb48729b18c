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
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ...declaration import (
    Fact,
    Gradient,
    Loss,
    Source,
    SymbolicForm,
    by_rows,
    convex,
    declare,
    minimiser,
    number,
    row_dtype,
    sum_over_labels,
    unbounded,
)
from ...declaration.margin import target_margin
from ...declaration.numbers import possible, widen

if TYPE_CHECKING:
    import sympy as sp

ZHU = Source(
    "zhu2023label",
    "the KL-regularised LDR loss",
    "the authors' code divides the scores by a row mean first (after a softplus); the definition, "
    "which we follow, does not",
)
LAM = number(
    "lam", r"\lambda", "(0, inf)", (0.1, 5.0, 0.1),
    "temperature: the price of weights that differ from uniform",
    "the multi-class hinge loss: only the strongest class counts",
    "the mean of all score differences: linear, symmetric, tolerant of label noise",
    label="temperature", ends=("hinge of the strongest", "mean of all"),
)  # fmt: skip
MARGIN = number(
    "margin", "c", "[0, inf)", (0.0, 2.0, 0.1),
    "lead over each other class that is asked of the target's logit",
    "no margin: at lam = 1 cross-entropy minus log K",
    "no lead is enough",
    label="lead asked of the target (nats)", ends=("none", "large"),
)  # fmt: skip


def score_differences(logits: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """delta (..., K); the target's own entry is a constant 0, so that no gradient cancels there."""
    index = labels.unsqueeze(-1)
    delta = logits - logits.gather(-1, index) + margin
    return delta.scatter(-1, index, 0.0)


def smooth_maximum(delta: torch.Tensor, lam: float | torch.Tensor) -> torch.Tensor:
    """lam log mean exp(delta / lam) over the last axis, exact from small lam to large."""
    largest = delta.detach().amax(-1, keepdim=True)
    scale = lam.unsqueeze(-1).to(delta) if isinstance(lam, torch.Tensor) else lam
    below = (delta - largest) / scale
    exact = row_dtype(delta)
    log_mean = below.exp().mean(-1).to(exact).log()
    # Large lam: log1p keeps the digits that a logarithm near 1 loses and lam would blow up; its
    # slope is that of the logarithm, as that of expm1 has no digits far below.
    shortfall = torch.expm1(below.detach()).mean(-1).to(exact)
    lost = torch.where(shortfall > -0.5, torch.log1p(shortfall) - log_mean.detach(), 0.0)
    return largest.squeeze(-1).to(exact) + lam * (log_mean + lost)


def weights_less_one_hot(
    delta: torch.Tensor, index: torch.Tensor, lam: float | torch.Tensor
) -> torch.Tensor:
    """p - e_y (..., K), with p the softmax of delta / lam and y at `index` (..., 1)."""
    gaps = delta - delta.amax(-1, keepdim=True)
    odds = gaps.div_(lam).exp_()
    own = odds.gather(-1, index)
    others = odds.scatter_(-1, index, 0.0).sum(-1, keepdim=True).to(row_dtype(delta))
    share = 1 / (others + own)
    return odds.mul_(share.to(odds)).scatter_(-1, index, -(others * share).to(odds))


def without_target(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits with 0 for a target that is ruled out (-inf), and the rows (...) where it is."""
    index = labels.unsqueeze(-1)
    own = logits.gather(-1, index)
    out = own.isneginf()
    if possible(out):
        logits = logits.scatter(-1, index, torch.where(out, 0.0, own))
    return logits, out.squeeze(-1)


def hinge_of_the_others(
    logits: torch.Tensor, labels: torch.Tensor, lam: float | torch.Tensor, margin: float
) -> torch.Tensor:
    """The smoothed hinge less a weight of the target, which has none where it is ruled out."""
    scale = lam.unsqueeze(-1) if isinstance(lam, torch.Tensor) else lam
    lead = target_margin(logits / scale, labels)
    return margin - lam * (lead + math.log(logits.shape[-1]))


def worst_weights(
    logits: torch.Tensor, labels: torch.Tensor, lam: float | torch.Tensor, margin: float
) -> torch.Tensor:
    """The weights p (..., K) at which the maximum is attained; the gradient is p - e_y."""
    if isinstance(lam, torch.Tensor):
        lam = lam.unsqueeze(-1)
    return (score_differences(logits, labels, margin) / lam).softmax(-1)


def normalise_scores(scores: torch.Tensor, how: str = "softplus") -> torch.Tensor:
    """Scores (..., K) divided by a row mean, as the authors' code does before `ldr_kl`.

    `how` is "softplus" (positive scores, then divided by their mean: their LDR code) or "absolute"
    (divided by the mean absolute score: their ALDR code). A row of zeros stays zero under
    "absolute"; the authors' code gives 0/0 there. Raises ValueError for another `how`, TypeError
    for scores that are not a floating tensor.
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


def _form(logits: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    lead = [
        sp.exp((logit - logits[target] + MARGIN.sympy) / LAM.sympy)
        for k, logit in enumerate(logits)
        if k != target
    ]
    return LAM.sympy * sp.log((1 + sp.Add(*lead)) / len(logits))


def _by_hand(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The score differences for margin 1, without this module's care."""
    return z - z.gather(1, y[:, None]) + 1.0 - F.one_hot(y, z.shape[-1])


def _largest_over_weights(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Random weights and those of the gradient: none exceed the loss, the last attain it."""
    generator = torch.Generator().manual_seed(0)
    tried = 3 * torch.randn(200, *z.shape, generator=generator, dtype=torch.float64)
    p = torch.cat([tried.softmax(-1), worst_weights(z, y, 1.7, 1.0)[None]])
    divergence = torch.special.xlogy(p, p.shape[-1] * p).sum(-1)
    objective = (p * _by_hand(z, y)).sum(-1) - 1.7 * divergence
    return ldr_kl(z, y, lam=1.7, margin=1.0, reduction="none"), objective.amax(0)


def _floor(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    winners = torch.cat([z, 1e3 * F.one_hot(y, z.shape[-1])])
    rows = ldr_kl(winners, y.repeat(2), lam=2.0, reduction="none")
    return rows.min(), rows.new_tensor(-2 * math.log(z.shape[-1]))


def _hinge_ties_classes(loss: Loss) -> None:
    eta = torch.tensor([0.4, 0.35, 0.25], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    scores[0] = 0.0  # all tied
    labels = torch.arange(3).expand(100, 3)
    each = scores.unsqueeze(1).expand(100, 3, 3)
    risk = loss(each, labels, lam=1e-6, margin=1.0, reduction="none") @ eta
    assert (risk[1:] > risk[0]).all()


@declare(
    family="label-distributionally robust",
    latex=r"\psi_\lambda(z, y) = \lambda \log \frac1K \sum_k e^{\delta_k / \lambda}, \qquad "
    r"\delta_k = z_k - z_y + c\,[k \ne y]",
    form=SymbolicForm(_form, over="logits"),
    gradient=Gradient(
        r"\frac{\partial \psi_\lambda}{\partial z} = p - e_y, \qquad "
        r"p_k \propto e^{\delta_k / \lambda}",
        lambda z, y, *, lam, margin: (
            worst_weights(z, y, lam, margin) - F.one_hot(y, z.shape[-1])
        ),
    ),
    parameters=(LAM, MARGIN),
    source=ZHU,
    facts=(
        Fact(
            "The largest sum of p_k delta_k - lam KL(p, u) over all distributions p on the "
            "classes, u uniform",
            _largest_over_weights,
            source=ZHU,
        ),
        Fact(
            "lam = 1 without margin is cross-entropy minus log K",
            lambda z, y: (
                ldr_kl(z, y, reduction="none"),
                F.cross_entropy(z, y, reduction="none") - math.log(z.shape[-1]),
            ),
        ),
        Fact(
            "lam to 0 is the multi-class hinge loss, the largest delta_k",
            lambda z, y: (
                ldr_kl(z, y, lam=1e-9, margin=1.0, reduction="none"), _by_hand(z, y).amax(1)
            ),
            source=Source("crammer2001algorithmic", "the multi-class hinge loss"),
            rtol=1e-6,
        ),
        Fact(
            "The hinge limit is not even top-1 consistent: for label probabilities (0.4, 0.35, "
            "0.25) and c = 1 its minimiser ties all classes",
            holds=_hinge_ties_classes,
        ),
        Fact(
            "lam to infinity is the mean of the delta_k",
            lambda z, y: (
                ldr_kl(z, y, lam=1e9, margin=1.0, reduction="none"), _by_hand(z, y).mean(1)
            ),
            rtol=1e-6,
        ),
        sum_over_labels("margin*(K - 1)", when="lam to inf", lam=1e12, margin=1.0),
        convex(why="a log-sum-exp of linear functions, scaled"),
        minimiser(
            "lam*log(eta)",
            when="lam in (0, inf)",
            statement="Without margin the expected loss is least at the scores lam*log(eta): "
            "strictly proper for the prediction softmax(z / lam),",
            proper=True,
        ),
        Fact(
            "Without margin, for every finite lam, that minimiser keeps the order of all classes, "
            "so the loss is consistent for top-k error for every k at once.",
            status="quoted",
            source=ZHU,
        ),
        Fact("Bounded below by -lam log K, which clear winners approach", _floor),
        unbounded(how="like the largest delta_k"),
    ),
    stability="The largest difference is taken out first; then log1p of the mean of expm1 for "
    "large lam, where lam would multiply the rounding of a logarithm near 1.",
    notes="The authors' code normalises the scores of a row before the loss (softplus, then "
    "division by the row mean), which the definition does not: the value then no longer depends on "
    "the scale of the scores. `lossviz.losses.normalise_scores` does it on request.",
    related=("cross_entropy", "aldr_kl"),
    breaks=("absent entry of K",),
    also=("distributionally robust loss", "temperature", "label noise", "hinge"),
    use="Some labels are wrong or several classes are close: a high temperature "
    "tolerates the first, and every finite one keeps the order of the classes.",
    avoid="Probabilities are read from the softmax without dividing by the temperature.",
)  # fmt: skip
def ldr_kl(
    logits: torch.Tensor, target: torch.Tensor, *, lam: float = 1.0, margin: float = 0.0
) -> torch.Tensor:
    """LDR-KL loss: cross-entropy with a temperature, from the hinge loss to a linear one.

    Negative for clear winners. The scores are taken as they are; the authors' code normalises them
    first, see `normalise_scores`. A target that is ruled out (-inf) costs inf, with the gradient of
    one far below.
    """
    return _smoothed_hinge(logits, target, lam=lam, margin=margin)


def _hinge_slopes(
    logits: torch.Tensor, target: torch.Tensor, *, lam: float, margin: float
) -> tuple[torch.Tensor, torch.Tensor] | None:
    logits, index = widen(logits), target.unsqueeze(-1)
    if possible(logits.gather(-1, index).isneginf()):
        return None
    delta = score_differences(logits, target, margin)
    return smooth_maximum(delta, lam), weights_less_one_hot(delta, index, lam)


@partial(by_rows, slopes=_hinge_slopes)
def _smoothed_hinge(
    logits: torch.Tensor, target: torch.Tensor, *, lam: float, margin: float
) -> torch.Tensor:
    present, absent = without_target(logits, target)
    rows = smooth_maximum(score_differences(present, target, margin), lam)
    if not possible(absent):
        return rows
    return torch.where(absent, hinge_of_the_others(logits, target, lam, margin), rows)
