"""The squared hinge of support vector machines, one class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
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
from ...declaration.inputs import ANY
from ...declaration.kinds import VALUES

if TYPE_CHECKING:
    import sympy as sp

OUTPUT = CLASS_LOGITS.renamed(logits="output").with_optional(
    Argument(
        "weight",
        VALUES,
        ANY,
        "Weights W of the last layer, without its bias: half their squared norm is added once. "
        "Pass them at each call: the module form would keep its own copy",
    )
)
TRADE_OFF = number(
    "C", "C", "(0, inf)", (0.1, 2.0, 0.1),
    "weight of the data against the regulariser of the last layer",
    "only small weights matter",
    "only the data matter",
    label="weight of the data", ends=("weights matter", "data matter"),
)  # fmt: skip


def _form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    shortfalls = [1 - score if k == target else 1 + score for k, score in enumerate(scores)]
    return TRADE_OFF.sympy * sp.Add(*(sp.Piecewise((s**2, s > 0), (0, True)) for s in shortfalls))


def _signs(o: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 2 * F.one_hot(y, o.shape[-1]).to(o) - 1


def _safe(o: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    signs = _signs(o, y)
    scores = o / 2 + 3 * signs
    return l2_svm(scores, y, reduction="none") == 0, (signs * scores >= 1).all(-1)


def _slopes(o: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    violations = torch.tensor([-1.0, 0.0, 1e-3, 1.0, 1e6]).double()[:, None, None]
    leaf = (_signs(o, y) * (1 - violations)).requires_grad_()
    (slope,) = torch.autograd.grad(l2_svm(leaf, y.expand(5, -1), reduction="sum"), leaf)
    return slope, violations.clamp_min(0) * slope[3]


@declare(
    family="margin",
    inputs=OUTPUT,
    latex=r"\ell(o, y) = C \sum_k \max(0, 1 - y_k\, o_k)^2 \;\Big(+ \tfrac12 \lVert W \rVert_F^2 "
    r"\text{ once}\Big), \qquad y_k = \pm 1",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial o_k} = -2\, C\, y_k \max(0, 1 - y_k\, o_k)",
        lambda o, y, C: -2 * C * _signs(o, y) * (1 - _signs(o, y) * o).clamp_min(0),
    ),
    parameters=(TRADE_OFF,),
    form=SymbolicForm(_form, over="logits"),
    source=Source(
        "agarap2018neural",
        "the L2-SVM head",
        "the published code predicts with argmax of the sign of the scores, which answers class 0 "
        "whenever all signs agree; use the argmax of the scores themselves",
    ),
    facts=(
        Fact(
            "C = 1 is the sum of squared hinges",
            lambda o, y: (
                l2_svm(o, y, C=1.0, reduction="none"),
                F.relu(1 - _signs(o, y) * o).square().sum(-1),
            ),
        ),
        Fact(
            "A weight adds half its squared norm, once",
            lambda o, y: (
                l2_svm(o, y, weight=o[:, :3], reduction="sum"),
                l2_svm(o, y, reduction="sum") + o[:, :3].square().sum() / 2,
            ),
        ),
        Fact("Zero exactly where every class is beyond its margin of 1", _safe),
        Fact(
            "Differentiable once, with a gradient linear in the violation: no saturation", _slopes
        ),
        convex(why="a sum of squares of convex, non-negative functions"),
        unbounded(how="quadratic in the violation"),
        minimiser(
            "2*eta - 1",
            statement="The expected loss is least at the scores 2 eta - 1: it keeps the order of "
            "the classes, and their probabilities eta can be read off",
        ),
        Fact(
            "An SVM head was reported at 84.2 % test accuracy against 70.8 % for softmax after "
            "five epochs of Adam; in the authors' code the softmax head has a ten times smaller "
            "step size (1e-6 against 1e-5).",
            status="quoted",
            source=Source("agarap2018neural", "results"),
        ),
    ),
    stability="Polynomial: nothing to overflow but the square itself.",
    related=("cross_entropy", "ldr_kl"),
    breaks=("shift of K",),
    also=("squared hinge", "hinge", "support vector machine", "one-vs-rest SVM"),
    in_torch="(0.5 * (1 - torch.where(F.one_hot(target, 5) == 1, output, "
    "-output)).clamp_min(0).square()).sum(-1).mean()",
    use="A margin is wanted after which an example no longer pulls, or several labels "
    "may be refused at once.",
    avoid="Probabilities over the classes are wanted, or labels are noisy: the cost "
    "grows with the square of the violation.",
)
def l2_svm(
    output: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None, C: float = 0.5
) -> torch.Tensor | RowLosses:
    """L2-SVM loss: squared hinge of every class against the rest, with the head's regulariser.

    Not in nats. A `weight` needs reduction "sum" (the paper's) or "mean",
    where it weighs N times as much as in the paper: multiply C by N to get that back. As a head of
    a recurrent network Agarap (2018); earlier Tang (2013).
    """
    rows = C * _squared_hinges(output, target)
    if weight is None:
        return rows
    return RowLosses(rows, once=weight.to(rows.dtype).square().sum() / 2, once_of="weight")


@by_rows
def _squared_hinges(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    index = target.unsqueeze(-1)
    shortfall = torch.relu(1.0 + scores.scatter(-1, index, -scores.gather(-1, index)))
    return shortfall.square().sum(-1).to(row_dtype(scores))
