"""Cross-entropy itself, with labels or probabilities as targets, in torch's conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    Loss,
    RowLosses,
    Source,
    SymbolicForm,
    by_rows,
    convex,
    declare,
    minimiser,
    number,
    row_dtype,
    unbounded,
)
from ...declaration.kinds import DISTRIBUTIONS, WEIGHTS, labels
from ...declaration.margin import Top, from_the_top
from ...declaration.rows import on_logits

if TYPE_CHECKING:
    import sympy as sp

TARGETS = Inputs(
    CLASS_LOGITS["logits"],
    Argument(
        "target",
        labels("K", ignorable=True),
        "...",
        "Probabilities are not checked to sum to one: the formula holds for any target",
        otherwise=Argument("target", DISTRIBUTIONS, "... K"),
    ),
).with_optional(Argument("weight", WEIGHTS, "K", "One weight per class"))

LABEL_SMOOTHING = number(
    "label_smoothing", r"\varepsilon", "[0, 1]", (0.0, 0.5, 0.01),
    "share of the target probability that is spread evenly over all K classes",
    "the label as given",
    "the uniform distribution, whatever the label",
    label="label smoothing", ends=("none", "half"),
)  # fmt: skip


def _form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    smoothing = LABEL_SMOOTHING.sympy
    surprisal = [-sp.log(probability) for probability in probabilities]
    spread = sp.Add(*surprisal) / len(surprisal)
    return (1 - smoothing) * surprisal[target] + smoothing * spread


def _torch_with_labels(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.where(torch.arange(len(y)) % 4 == 0, -100, y)
    options: dict[str, Any] = {"weight": torch.arange(1.0, 6.0).double(), "label_smoothing": 0.1}
    ours = [cross_entropy(z, y, **options, reduction=r) for r in ("mean", "sum")]
    theirs = [F.cross_entropy(z, y, **options, reduction=r) for r in ("mean", "sum")]
    return torch.stack(ours), torch.stack(theirs)


def _entropy_plus_divergence(
    z: torch.Tensor, _y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    target = z.flip(0).softmax(-1)
    entropy = -(target * target.log()).sum(-1)
    divergence = F.kl_div(z.log_softmax(-1), target, reduction="none").sum(-1)
    return cross_entropy(z, target, reduction="none"), entropy + divergence


def _smoothed_minimiser(loss: Loss) -> None:
    eta = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    best = (0.7 * eta + 0.1).log().requires_grad_()
    rows = loss(best.expand(3, 3), torch.arange(3), label_smoothing=0.3, reduction="none")
    (slope,) = torch.autograd.grad((eta * rows).sum(), best)
    torch.testing.assert_close(slope, torch.zeros(3).double(), rtol=0, atol=1e-12)


@declare(
    family="comp-sum",
    inputs=TARGETS,
    latex=r"\ell(z, t) = -\sum_k w_k \Big[(1 - \varepsilon)\, t_k + \frac{\varepsilon}{K}\Big] "
    r"\log p_k, \qquad p = \mathrm{softmax}(z)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z} = p - (1 - \varepsilon)\, t - \frac{\varepsilon}{K}",
        lambda z, y, label_smoothing: (
            z.softmax(-1)
            - (1 - label_smoothing) * F.one_hot(y, z.shape[-1])
            - label_smoothing / z.shape[-1]
        ),
    ),
    parameters=(LABEL_SMOOTHING,),
    form=SymbolicForm(_form),
    source=Source("bridle1990probabilistic", "", "the quantity itself is older: Shannon (1948)"),
    facts=(
        Fact("torch's value with labels, weights, smoothing and ignored rows", _torch_with_labels),
        Fact(
            "torch's value with probability targets and smoothing",
            lambda z, y: (
                cross_entropy(z, z.flip(0).softmax(-1), label_smoothing=0.2),
                F.cross_entropy(z, z.flip(0).softmax(-1), label_smoothing=0.2),
            ),
        ),
        Fact(
            "One-hot probabilities equal labels",
            lambda z, y: (
                cross_entropy(z, F.one_hot(y, z.shape[-1]).double(), reduction="none"),
                cross_entropy(z, y, reduction="none"),
            ),
        ),
        Fact("Entropy of the target plus its KL divergence to p", _entropy_plus_divergence),
        minimiser(
            "log(eta)",
            statement="Without smoothing strictly proper: the expected value is H(eta) + "
            "KL(eta || p), least at p = eta alone",
            source=Source("gneiting2007strictly", "the logarithmic score"),
        ),
        convex(why="a log-sum-exp minus a linear function"),
        unbounded(how="grows linearly with a wrong margin"),
        Fact(
            "With smoothing the minimiser is (1 - ε) eta + ε / K instead of eta: finite margins "
            "are optimal even for certain labels.",
            source=Source("szegedy2016rethinking", "label-smoothing regularisation"),
            holds=_smoothed_minimiser,
            trait="not proper",
            when="label_smoothing in (0, 1]",
        ),
    ),
    stability="The largest log-probability is -softplus(-m) of its margin m against the others, "
    "exact where torch's log-softmax rounds to 0. Logits of any finite size are safe.",
    notes="Class weights: torch's mean divides by the weights of the labels for integer targets "
    "but by the number of rows for probability targets. We keep both and pin both in a test.",
    related=("comp_sum", "logistic", "focal", "poly_1", "symmetric_cross_entropy"),
    breaks=("absent entry of K for label_smoothing in (0, 1]",),
    view={"starts": {"label_smoothing": 0.1}},
    also=(
        "log loss",
        "negative log-likelihood",
        "NLL",
        "softmax loss",
        "label smoothing",
        "soft targets",
    ),
    in_torch="F.cross_entropy(logits, target, label_smoothing=0.0)",
    use="The first choice for classification with one right label, for soft labels, "
    "and wherever the softmax is to be read as probabilities.",
    avoid="Many labels are wrong: it is unbounded, so a confidently wrong label pulls as "
    "hard as any. Rare classes matter more than their share: weigh them, or shift the "
    "logits.",
)
def cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    kept: torch.Tensor | None,
    label_smoothing: float = 0.0,
) -> torch.Tensor | RowLosses:
    """Cross-entropy: the expected surprisal of the target under the softmax of the logits.

    ``F.cross_entropy`` wants the classes second, so for more than two axes the two differ: use
    ``logits.movedim(1, -1)``. Two conventions of torch, kept here, trap people. With class weights
    "mean" divides integer targets by the summed weights of the labels, but probability targets by
    the number of rows: the same targets written in two ways give two numbers. And "mean" over no
    rows is NaN, not 0. The smoothed true class receives its share of ε / K as well, as in torch
    (some libraries spread over the other K - 1).

    Two things are better than in torch: the largest log-probability stays exact where p rounds to 1
    (beyond 17 nats in float32), and a zero target probability times an infinite log-probability
    counts as 0.
    """
    every: tuple[torch.Tensor, ...] = () if weight is None else (weight.expand(logits.shape),)
    if target.is_floating_point():
        return _with_probabilities(logits, target, *every, smoothing=label_smoothing)
    denominator = None
    if weight is not None:
        of_target = weight.expand(logits.shape).gather(-1, target.unsqueeze(-1)).squeeze(-1)
        assert kept is not None
        denominator = torch.where(kept, of_target, 0.0).sum(dtype=row_dtype(logits))
    if label_smoothing > 0:
        return RowLosses(_smoothed(logits, target, *every, smoothing=label_smoothing), denominator)
    rows = _surprisal(logits, target)
    return RowLosses(rows if weight is None else rows * of_target, denominator)


_surprisal = on_logits(lambda row: row.nll)


@by_rows
def _smoothed(
    logits: torch.Tensor, target: torch.Tensor, *weight: torch.Tensor, smoothing: float
) -> torch.Tensor:
    top, index = from_the_top(logits), target.unsqueeze(-1)
    own = top.rest.log1p() - top.gaps.gather(-1, index).squeeze(-1).to(top.rest.dtype)
    if not weight:
        return (1 - smoothing) * own + smoothing * _mean_surprisal(top)
    of_target = weight[0].gather(-1, index).squeeze(-1)
    return (1 - smoothing) * of_target * own + smoothing * _mean_surprisal(top, weight[0])


def _mean_surprisal(top: Top, weight: torch.Tensor | None = None) -> torch.Tensor:
    """The mean over the classes of -log p, each times its weight."""
    if weight is None:
        return top.rest.log1p() - top.gaps.mean(-1).to(top.rest.dtype)
    weight = weight.to(top.gaps.dtype)
    whole = weight.mean(-1).to(top.rest.dtype) * top.rest.log1p()
    return whole - top.mean_gap(weight) / weight.shape[-1]


@by_rows
def _with_probabilities(
    logits: torch.Tensor, target: torch.Tensor, *weight: torch.Tensor, smoothing: float
) -> torch.Tensor:
    top = from_the_top(logits)
    target = target.to(logits.dtype)
    for every in weight:
        target = target * every.to(logits.dtype)
    rows = target.sum(-1).to(top.rest.dtype) * top.rest.log1p() - top.mean_gap(target)
    if smoothing > 0:
        rows = (1 - smoothing) * rows + smoothing * _mean_surprisal(top, *weight)
    return rows
