"""The squared hinge of support vector machines, one class against the rest."""

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

TRADE_OFF = Parameter(
    name="C",
    symbol="C",
    default=0.5,
    low=0.0,
    high=math.inf,
    low_open=True,
    slider=(0.1, 2.0, 0.1),
    meaning="weight of the data against the regulariser of the last layer",
    at_low="only small weights matter",
    at_high="only the data matter",
)


def l2_svm(
    output: torch.Tensor,
    target: torch.Tensor,
    *,
    C: float = 0.5,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""L2-SVM loss: squared hinge of every class against the rest, with the head's regulariser.

    .. math:: \tfrac12 \lVert W \rVert_F^2 + C \sum_i \sum_k \max(0, 1 - y_{ik} o_{ik})^2, \qquad
              y_{ik} = \pm 1 .

    Parameters
    ----------
    output : floating tensor (..., K), the scores o, classes last; computed in float64.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    C : number in (0, inf), default 0.5. 1 leaves the bare sum of squared hinges.
    weight : floating tensor of any shape or None (default): the weights W of the last layer,
        without its bias. Its half squared norm is added once, whatever the batch. Pass it at each
        call: the module form would keep its own copy.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" (the paper's) or "none".

    Returns
    -------
    Loss in the dtype of `output`; scalar, or (...) for "none". Not in nats. Under "mean" the
    regulariser weighs N times as much as in the paper's sum: multiply C by N to get it back.

    Raises
    ------
    As `comp_sum`; ValueError for C <= 0 or a weight with "none"; TypeError for a weight that is no
    floating tensor.

    Notes
    -----
    Source: Tang (2013); as a head of a recurrent network Agarap (2018).
    """
    value = TRADE_OFF.check(C)
    check_reduction(reduction)
    labels, kept = check_labels(output, target, ignore_index, "output")
    scores = output.to(row_dtype(output))
    own = torch.arange(scores.shape[-1], device=scores.device) == labels.unsqueeze(-1)
    shortfall = torch.relu(torch.where(own, 1.0 - scores, 1.0 + scores))
    rows = value * shortfall.square().sum(-1)
    if weight is None:
        return reduce_rows(rows, kept, reduction, output.dtype)
    if not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
        raise TypeError(f"weight must be a floating tensor, got {type(weight).__name__}")
    if reduction == "none":
        raise ValueError("weight needs reduction 'mean' or 'sum', got 'none': it belongs to no row")
    data = reduce_rows(rows, kept, reduction, rows.dtype)
    return (data + weight.to(rows.dtype).square().sum() / 2).to(output.dtype)


# --- declarations ---------------------------------------------------------------------------------


def _form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    shortfalls = [1 - score if k == target else 1 + score for k, score in enumerate(scores)]
    return TRADE_OFF.sympy * sp.Add(*(sp.Piecewise((s**2, s > 0), (0, True)) for s in shortfalls))


def _by_torch() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    signs = 2.0 * F.one_hot(target, 5) - 1.0
    hinges = F.relu(1.0 - signs * logits)
    return l2_svm(logits, target, C=1.0, reduction="none"), hinges.square().sum(1)


def _regularised() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    weight = logits.T[:, :3]
    penalty = weight.square().sum() / 2
    return l2_svm(logits, target, weight=weight, reduction="sum"), penalty + l2_svm(
        logits, target, reduction="sum"
    )


def _beyond_the_margin() -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.arange(5)
    scores = 6.0 * torch.eye(5, dtype=torch.float64) - 3.0
    return l2_svm(scores, target, reduction="none"), torch.zeros(5, dtype=torch.float64)


L2_SVM = Loss(
    key="l2_svm",
    title="L2-SVM loss",
    family="margin",
    function=l2_svm,
    summary="Squared hinge of every class against the rest.",
    latex=r"\ell(o, y) = C \sum_k \max(0, 1 - y_k\, o_k)^2 \;\Big(+ \tfrac12 \lVert W \rVert_F^2 "
    r"\text{ once}\Big), \qquad y_k = \pm 1",
    gradient=r"\frac{\partial \ell}{\partial o_k} = -2\, C\, y_k \max(0, 1 - y_k\, o_k)",
    inputs=CLASS_LOGITS,
    parameters=(TRADE_OFF,),
    form=SymbolicForm(_form, over="logits"),
    source=Source(
        "agarap2018neural",
        "the L2-SVM head",
        "the published code predicts with argmax of the sign of the scores, which answers class 0 "
        "whenever all signs agree; use the argmax of the scores themselves",
    ),
    properties=(
        Property("convex in the logits", "A sum of squares of convex, non-negative functions."),
        Property(
            "differentiable",
            "Once, with a gradient that is linear in the violation: it does not saturate.",
        ),
        Property("margin", "Zero exactly where every class is beyond its margin of 1."),
        Property("bounded", "Unbounded, quadratic in the violation."),
        Property(
            "expected minimiser",
            r"The expected loss is minimised by $o_k = 2 q_k - 1$, $q$ the label distribution: it "
            "keeps the order of the classes and their probabilities can be read off.",
        ),
        Property(
            "as a head",
            "An SVM head was reported at 84.2 % test accuracy against 70.8 % for softmax, at one "
            "tiny step size and few epochs: an effect of speed as much as of the loss.",
            "quoted",
            Source("agarap2018neural", "results"),
        ),
    ),
    limits=(
        Limit("C = 1 is the sum of squared hinges", _by_torch),
        Limit("a weight adds half its squared norm, once", _regularised),
        Limit("zero beyond all margins", _beyond_the_margin),
    ),
    stability="Polynomial: nothing to overflow but the square itself.",
    notes="The published code decides by the sign of the scores: with all signs equal it always "
    "answers class 0. Dividing by N (`reduction='mean'`) without multiplying C by N makes the "
    "regulariser stronger.",
    related=("cross_entropy", "ldr_kl"),
)
