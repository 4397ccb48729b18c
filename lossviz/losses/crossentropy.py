"""Cross-entropy itself, with labels or probabilities as targets, in torch's conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from .checks import (
    check_ignore_index,
    check_labels,
    check_logits,
    check_reduction,
    reduce_rows,
    row_dtype,
    widen,
)
from .compsum import CLASS_LOGITS, example_logits
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .margin import log_probabilities, target_margin

if TYPE_CHECKING:
    import sympy as sp

LABEL_SMOOTHING = Parameter(
    name="label_smoothing",
    symbol=r"\varepsilon",
    default=0.0,
    low=0.0,
    high=1.0,
    slider=(0.0, 0.5, 0.01),
    meaning="share of the target probability that is spread evenly over all K classes",
    at_low="the label as given",
    at_high="the uniform distribution, whatever the label",
)


def cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Cross-entropy between the target and the softmax of the logits, in nats.

    .. math:: \ell = -\sum_k t_k\, w_k \log p_k, \qquad p = \mathrm{softmax}(z),

    where t is the one-hot label or the probability target, after label smoothing
    :math:`(1 - \varepsilon)\, t + \varepsilon / K`.

    Parameters
    ----------
    logits : floating tensor (..., K). Classes are the last axis. ``F.cross_entropy`` wants them
        second, so for more than two axes the two differ: use ``logits.movedim(1, -1)``.
    target : integer tensor (...) of labels in [0, K) or `ignore_index`; or floating tensor
        (..., K) of probabilities (not checked to sum to one: the formula holds for any t).
    weight : floating tensor (K,) of class weights, or None.
    label_smoothing : number in [0, 1], default 0. The true class receives its share of
        :math:`\varepsilon / K` as well, as in torch (some libraries spread over the other K - 1).
    ignore_index : label of the rows left out, default -100; only for integer targets.
    reduction : "mean" (default), "sum" or "none".

    Returns
    -------
    Loss in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    TypeError for a wrong dtype; ValueError for wrong shapes (target, weight), a label out of range
    (on the CPU; on a GPU the device assertion of the index operation), label_smoothing outside
    [0, 1], `ignore_index` >= 0 with probability targets, or an unknown reduction.

    Notes
    -----
    Two conventions of torch, kept here, trap people. With class weights "mean" divides integer
    targets by the summed weights of the labels, but probability targets by the number of rows: the
    same targets written in two ways give two numbers. And "mean" over no rows is NaN, not 0.

    Two things are better than in torch: the largest log-probability stays exact where p rounds to 1
    (beyond 17 nats in float32), and a zero target probability times an infinite log-probability
    counts as 0.
    Source: Shannon (1948) for the quantity; Bridle (1990) for softmax trained with it.
    """
    smoothing = LABEL_SMOOTHING.check(label_smoothing)
    check_reduction(reduction)
    check_logits(logits)
    if weight is not None:
        _check_weight(weight, logits)
    if isinstance(target, torch.Tensor) and target.is_floating_point():
        return _with_probabilities(logits, target, weight, smoothing, ignore_index, reduction)

    labels, kept = check_labels(logits, target, ignore_index)
    wide = widen(logits)
    rows = -F.logsigmoid(target_margin(wide, labels))
    if weight is None:
        denominator = None
    else:
        row_weight = weight.to(rows.dtype).expand(logits.shape)
        row_weight = row_weight.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        denominator = torch.where(kept, row_weight, 0.0).sum()
        rows = rows * row_weight
    if smoothing > 0:
        surprisal = -wide.log_softmax(-1)
        if weight is not None:
            surprisal = surprisal * weight.to(surprisal.dtype)
        rows = (1 - smoothing) * rows + smoothing * surprisal.mean(-1).to(rows.dtype)
    return reduce_rows(rows, kept, reduction, logits.dtype, denominator)


def _with_probabilities(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    smoothing: float,
    ignore_index: int,
    reduction: str,
) -> torch.Tensor:
    if target.shape != logits.shape:
        raise ValueError(
            f"target probabilities must have the shape of logits, {tuple(logits.shape)}, "
            f"got {tuple(target.shape)}"
        )
    if check_ignore_index(ignore_index) >= 0:
        raise ValueError(
            f"ignore_index applies to integer targets only, got {ignore_index} with probabilities"
        )
    log_p = log_probabilities(logits)
    target = target.to(log_p.dtype)
    if smoothing > 0:
        target = (1 - smoothing) * target + smoothing / logits.shape[-1]
    if weight is not None:
        target = target * weight.to(target.dtype)
    absent = (target == 0) & log_p.isneginf()  # 0 * -inf is 0 here
    rows = -(target * log_p.masked_fill(absent, 0.0)).sum(-1)
    kept = torch.ones_like(rows, dtype=torch.bool)
    return reduce_rows(rows.to(row_dtype(rows)), kept, reduction, logits.dtype)


def _check_weight(weight: torch.Tensor, logits: torch.Tensor) -> None:
    if not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
        kind = weight.dtype if isinstance(weight, torch.Tensor) else type(weight).__name__
        raise TypeError(f"weight must be a floating torch.Tensor, got {kind}")
    if weight.shape != logits.shape[-1:]:
        raise ValueError(
            f"weight must have one entry a class, shape ({logits.shape[-1]},), "
            f"got {tuple(weight.shape)}"
        )
    if weight.device != logits.device:
        raise ValueError(f"weight is on {weight.device}, logits on {logits.device}: move one")


# --- declaration ----------------------------------------------------------------------------------


def _form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    smoothing = LABEL_SMOOTHING.sympy
    surprisal = [-sp.log(probability) for probability in probabilities]
    spread = sp.Add(*surprisal) / len(surprisal)
    return (1 - smoothing) * surprisal[target] + smoothing * spread


def _labels() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    target = torch.where(torch.arange(12) % 4 == 0, -100, target)
    weight = torch.arange(1.0, 6.0, dtype=torch.float64)
    options: dict[str, Any] = {"weight": weight, "label_smoothing": 0.1}
    return torch.stack(
        [cross_entropy(logits, target, **options, reduction=r) for r in ("mean", "sum")]
    ), torch.stack(
        [F.cross_entropy(logits, target, **options, reduction=r) for r in ("mean", "sum")]
    )


def _probabilities() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _ = example_logits()
    target = logits.flip(0).softmax(-1)
    return (
        cross_entropy(logits, target, label_smoothing=0.2, reduction="none"),
        F.cross_entropy(logits, target, label_smoothing=0.2, reduction="none"),
    )


def _one_hot() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    one_hot = F.one_hot(target, 5).double()
    return (
        cross_entropy(logits, one_hot, reduction="none"),
        cross_entropy(logits, target, reduction="none"),
    )


def _entropy_plus_divergence() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _ = example_logits()
    target = logits.flip(0).softmax(-1)
    entropy = -(target * target.log()).sum(-1)
    divergence = F.kl_div(logits.log_softmax(-1), target, reduction="none").sum(-1)
    return cross_entropy(logits, target, reduction="none"), entropy + divergence


CROSS_ENTROPY = Loss(
    key="cross_entropy",
    title="Cross-entropy",
    family="comp-sum",
    function=cross_entropy,
    summary="Expected surprisal of the target under the softmax of the logits.",
    latex=r"\ell(z, t) = -\sum_k \Big[(1 - \varepsilon)\, t_k + \frac{\varepsilon}{K}\Big] "
    r"\log p_k, \qquad p = \mathrm{softmax}(z)",
    gradient=r"\frac{\partial \ell}{\partial z} = p - (1 - \varepsilon)\, t "
    r"- \frac{\varepsilon}{K}",
    inputs=CLASS_LOGITS,
    parameters=(LABEL_SMOOTHING,),
    form=SymbolicForm(_form),
    source=Source("bridle1990probabilistic", "", "the quantity itself is older: Shannon (1948)"),
    properties=(
        Property(
            "strictly proper",
            "Without smoothing its expected value under label distribution q is "
            r"$H(q) + \mathrm{KL}(q \,\|\, p)$, least at $p = q$ alone.",
            source=Source("gneiting2007strictly", "the logarithmic score"),
        ),
        Property("local", r"With a label and no smoothing it depends on $p_y$ alone."),
        Property("convex in the logits", "A log-sum-exp minus a linear function."),
        Property("bounded", "Unbounded above; grows linearly with a wrong margin."),
        Property(
            "label smoothing",
            r"With smoothing the minimiser is $(1 - \varepsilon)\, q + \varepsilon / K$ instead "
            "of q: finite margins are optimal even for certain labels.",
            source=Source("szegedy2016rethinking", "label-smoothing regularisation"),
        ),
    ),
    limits=(
        Limit("torch's value with labels, weights, smoothing and ignored rows", _labels),
        Limit("torch's value with probability targets and smoothing", _probabilities),
        Limit("one-hot probabilities equal labels", _one_hot),
        Limit(
            "entropy of the target plus its KL divergence to p",
            _entropy_plus_divergence,
        ),
    ),
    stability="The largest log-probability is -softplus(-m) of its margin m against the others, "
    "exact where torch's log-softmax rounds to 0. Logits of any finite size are safe.",
    notes="Class weights: torch's mean divides by the weights of the labels for integer targets "
    "but by the number of rows for probability targets. We keep both and pin both in a test.",
    related=("comp_sum", "logistic", "focal", "poly_1", "symmetric_cross_entropy"),
)
