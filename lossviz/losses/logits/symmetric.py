"""Cross-entropy in both directions: with labels, and between two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .checks import check_labels, check_logits, check_reduction, reduce_rows, row_dtype
from .compsum import CLASS_LOGITS, box_cox, example_logits
from .crossentropy import cross_entropy
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .margin import log_probabilities, target_margin
from .relatives import poly_1

if TYPE_CHECKING:
    import sympy as sp


ALPHA = Parameter(
    name="alpha",
    symbol=r"\alpha",
    default=0.1,
    low=0.0,
    high=math.inf,
    slider=(0.0, 2.0, 0.05),
    meaning="weight of cross-entropy",
    at_low="reverse cross-entropy alone, a multiple of the mean absolute error",
    at_high="cross-entropy dominates",
)
BETA = Parameter(
    name="beta",
    symbol=r"\beta",
    default=1.0,
    low=0.0,
    high=math.inf,
    slider=(0.0, 2.0, 0.05),
    meaning="weight of reverse cross-entropy",
    at_low="a multiple of cross-entropy",
    at_high="reverse cross-entropy dominates",
)
LOG_ZERO = Parameter(
    name="log_zero",
    symbol="A",
    default=-4.0,
    low=-math.inf,
    high=0.0,
    high_open=True,
    slider=(-8.0, -0.5, 0.5),
    meaning="the finite number that stands for log 0 in the reverse term, in nats",
    at_low="a heavier reverse term",
    at_high="no reverse term",
)


def symmetric_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Symmetric cross-entropy with labels: cross-entropy plus its reverse, log 0 set to A.

    .. math:: \ell = -\alpha \log p_y - \beta A\, (1 - p_y) .

    The reverse term is :math:`-\sum_k p_k \log t_k` for the one-hot label t, with log 0 = A.

    Parameters
    ----------
    logits : floating tensor (..., K), classes last. Half precision is computed in float32.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    alpha, beta : numbers in [0, inf), default 0.1 and 1: weights of the two terms.
    log_zero : number in (-inf, 0), default -4 nats: the paper's A, a choice and not a limit.
    ignore_index, reduction : as in `comp_sum`.

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `comp_sum`; ValueError for alpha or beta < 0 or log_zero >= 0.

    Notes
    -----
    The reverse term is -A times the mean absolute error, so this is a poly-1 loss with
    epsilon = -beta A / alpha, times alpha. Widely used code clamps the one-hot label at 1e-4,
    which makes A = log(1e-4) = -9.21; here A is a parameter. Source: Wang et al. (2019). For two
    sets of logits see `symmetric_ce`.
    """
    alpha, beta = ALPHA.check(alpha), BETA.check(beta)
    log_zero = LOG_ZERO.check(log_zero)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    nll = -F.logsigmoid(target_margin(logits, labels))
    rows = -beta * log_zero * box_cox(nll, 1.0)
    if alpha > 0:  # a weight of 0 must not meet an infinite term
        rows = rows + alpha * nll
    return reduce_rows(rows, kept, reduction, logits.dtype)


MIX = Parameter(
    name="alpha",
    symbol=r"\alpha",
    default=0.5,
    low=0.0,
    high=1.0,
    slider=(0.0, 1.0, 0.05),
    meaning="weight of the reverse term, in which the student is the distribution",
    at_low="cross-entropy of the student under the teacher",
    at_high="cross-entropy of the teacher under the student",
)


def symmetric_ce(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    alpha: float = 0.5,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Symmetric cross-entropy between two sets of logits, teacher q and student p.

    .. math:: \ell = -(1 - \alpha) \sum_k q_k \log p_k - \alpha \sum_k p_k \log q_k .

    Parameters
    ----------
    student, teacher : floating tensors (..., K) of logits, of one shape; the softmax is taken
        here. Gradients flow to both: detach the teacher if it is not trained.
    alpha : number in [0, 1], default 0.5.
    reduction : "mean" over rows (default), "sum" or "none".

    Returns
    -------
    Loss in nats, in the dtype of `student`; scalar, or (...) for "none".

    Raises
    ------
    TypeError for a wrong dtype; ValueError for unequal shapes or devices, alpha outside [0, 1] or
    an unknown reduction.

    Notes
    -----
    alpha = 0 is `cross_entropy` with the teacher's probabilities as target. For 0 < alpha < 1 a
    class that one side excludes (logit -inf) costs inf unless the other side excludes it too.
    Source: Döbler, Marsden and Yang (2023).
    """
    alpha = MIX.check(alpha)
    check_reduction(reduction)
    check_logits(student, "student")
    check_logits(teacher, "teacher")
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher must have one shape, got {tuple(student.shape)} "
            f"and {tuple(teacher.shape)}"
        )
    if student.device != teacher.device:
        raise ValueError(f"student is on {student.device}, teacher on {teacher.device}: move one")
    exact = row_dtype(student)
    log_p = log_probabilities(student.to(exact))
    log_q = log_probabilities(teacher.to(exact))
    rows = torch.zeros_like(log_p[..., 0])
    if alpha < 1:  # a term of weight 0 may be infinite, and must not count as 0 * inf
        rows = rows - (1 - alpha) * _expectation(log_q, log_p)
    if alpha > 0:
        rows = rows - alpha * _expectation(log_p, log_q)
    kept = torch.ones_like(rows, dtype=torch.bool)
    return reduce_rows(rows, kept, reduction, student.dtype)


def _expectation(log_weight: torch.Tensor, log_value: torch.Tensor) -> torch.Tensor:
    # 0 * -inf is 0 here. The factor is replaced, not the product: its gradient would be 0 * inf.
    weight = log_weight.exp()
    return (weight * log_value.masked_fill(weight == 0, 0.0)).sum(-1)


# --- declarations ---------------------------------------------------------------------------------


def _symmetric_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    p = probabilities[target]
    return -ALPHA.sympy * sp.log(p) - BETA.sympy * LOG_ZERO.sympy * (1 - p)


def _symmetric_is_poly() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    ours = symmetric_cross_entropy(logits, target, alpha=0.5, beta=2.0, log_zero=-3.0)
    return ours, 0.5 * poly_1(logits, target, epsilon=12.0)


def _reverse_by_hand() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    log_target = torch.where(F.one_hot(target, 5) == 1, 0.0, -4.0).double()
    reverse = -(logits.softmax(-1) * log_target).sum(-1)
    return symmetric_cross_entropy(logits, target, alpha=0.0, reduction="none"), reverse


def _teacher_target() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _ = example_logits()
    teacher = logits.flip(0)
    return symmetric_ce(logits, teacher, alpha=0.0), cross_entropy(logits, teacher.softmax(-1))


def _exchange() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _ = example_logits()
    teacher = logits.flip(0)
    return symmetric_ce(logits, teacher, alpha=0.3), symmetric_ce(teacher, logits, alpha=0.7)


SYMMETRIC_CROSS_ENTROPY = Loss(
    key="symmetric_cross_entropy",
    title="Symmetric cross-entropy",
    family="relatives",
    function=symmetric_cross_entropy,
    summary="Cross-entropy plus its reverse, with log 0 set to a finite number.",
    latex=r"\ell(z, y) = -\alpha \log p_y - \beta A\, (1 - p_y)",
    gradient=r"\frac{\partial \ell}{\partial z} = (\alpha - \beta A\, p_y)(p - e_y)",
    inputs=CLASS_LOGITS,
    parameters=(ALPHA, BETA, LOG_ZERO),
    form=SymbolicForm(_symmetric_form),
    source=Source(
        "wang2019symmetric",
        "definition of symmetric cross-entropy",
        "widely used code clamps the one-hot label at 1e-4, which makes A = log(1e-4) = -9.21; "
        "here A is the parameter `log_zero`",
    ),
    properties=(
        Property(
            "decomposition",
            r"The reverse term is $-A$ times the mean absolute error, so the loss is $\alpha$ "
            r"times poly-1 with $\epsilon = -\beta A / \alpha$ (for $\alpha > 0$).",
        ),
        Property(
            "noise tolerance",
            "The reverse term alone is symmetric: its sum over the labels is -A (K - 1).",
            source=Source("wang2019symmetric"),
        ),
    ),
    limits=(
        Limit("alpha times poly-1 with epsilon = -beta A / alpha", _symmetric_is_poly),
        Limit("the reverse term written out over the classes", _reverse_by_hand),
    ),
    stability="Both terms come from the margin.",
    related=("poly_1", "mae", "symmetric_ce"),
)

SYMMETRIC_CE = Loss(
    key="symmetric_ce",
    title="Symmetric cross-entropy of two models",
    family="relatives",
    function=symmetric_ce,
    summary="Cross-entropy of student and teacher in both directions.",
    latex=r"\ell = -(1 - \alpha) \sum_k q_k \log p_k - \alpha \sum_k p_k \log q_k",
    gradient=r"\frac{\partial \ell}{\partial z_j} = (1 - \alpha)(p_j - q_j) "
    r"- \alpha\, p_j \Big(\log q_j - \sum_k p_k \log q_k\Big)",
    inputs="pair of class logits",
    parameters=(MIX,),
    source=Source("dobler2023robust", "the consistency loss"),
    properties=(
        Property("exchange", r"Exchanging the two sides turns $\alpha$ into $1 - \alpha$."),
        Property("bounded", "Unbounded; finite for finite logits."),
    ),
    limits=(
        Limit(
            "alpha = 0 is cross-entropy against the teacher's probabilities",
            _teacher_target,
        ),
        Limit("exchanging the sides turns alpha into 1 - alpha", _exchange),
    ),
    stability="Log-softmax on both sides; a class that both exclude counts as 0.",
    related=("symmetric_cross_entropy", "cross_entropy"),
)
