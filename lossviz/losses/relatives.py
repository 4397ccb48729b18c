"""Familiar relatives of cross-entropy: focal, poly-1 and the symmetric cross-entropies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .checks import check_labels, check_logits, check_reduction, reduce_rows, row_dtype
from .compsum import CLASS_LOGITS, box_cox, example_logits
from .crossentropy import cross_entropy
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .margin import log_probabilities, target_margin

if TYPE_CHECKING:
    import sympy as sp

INFINITY = float("inf")

GAMMA = Parameter(
    name="gamma",
    symbol=r"\gamma",
    default=2.0,
    low=0.0,
    high=INFINITY,
    slider=(0.0, 5.0, 0.1),
    meaning="how strongly examples that are already right are played down",
    at_low="cross-entropy",
    at_high="only examples with small target probability count",
)


def focal(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Focal loss: cross-entropy that fades as an example becomes easy.

    .. math:: \ell = -(1 - p_y)^\gamma \log p_y .

    Parameters
    ----------
    logits : floating tensor (..., K), classes last. Half precision is computed in float32.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    gamma : number in [0, inf), default 2. 0 is cross-entropy.
    ignore_index, reduction : as in `comp_sum`.

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `comp_sum`; ValueError for gamma < 0.

    Notes
    -----
    The multi-class form on softmax probabilities, without the class weight alpha of the detection
    literature (some libraries multiply by alpha = 0.25 unless told otherwise, so that their
    gamma = 0 is not cross-entropy). Source: Lin et al. (2017).
    """
    gamma = GAMMA.check(gamma)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    margin = target_margin(logits, labels)
    rows = -F.logsigmoid(margin)
    if gamma > 0:
        rows = rows * (gamma * F.logsigmoid(-margin)).exp()
    return reduce_rows(rows, kept, reduction, logits.dtype)


EPSILON = Parameter(
    name="epsilon",
    symbol=r"\epsilon",
    default=1.0,
    low=-1.0,
    high=INFINITY,
    slider=(-1.0, 5.0, 0.1),
    meaning="change of the first coefficient of the expansion of -log p in powers of 1 - p",
    at_low="the linear term is gone: easy examples count less",
    at_high="the linear term, a mean absolute error, dominates",
)


def poly_1(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    epsilon: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Poly-1 loss: cross-entropy with the first term of its expansion in 1 - p changed.

    .. math:: \ell = -\log p_y + \epsilon\, (1 - p_y), \qquad
              -\log p = \sum_{j \ge 1} \tfrac1j (1 - p)^j .

    Parameters
    ----------
    logits : floating tensor (..., K), classes last. Half precision is computed in float32.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    epsilon : number in [-1, inf), default 1. 0 is cross-entropy; -1 removes the linear term.
    ignore_index, reduction : as in `comp_sum`.

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `comp_sum`; ValueError for epsilon < -1.

    Notes
    -----
    Cross-entropy plus epsilon times the mean absolute error. Source: Leng et al. (2022).
    """
    epsilon = EPSILON.check(epsilon)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    nll = -F.logsigmoid(target_margin(logits, labels))
    linear = box_cox(nll, 1.0)
    rows = _beyond_linear(nll, linear) + (1 + epsilon) * linear
    return reduce_rows(rows, kept, reduction, logits.dtype)


def _beyond_linear(nll: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
    """-log p - (1 - p), from both, without the cancellation where p is near 1."""
    tail = 1 / 7 + linear / 8
    for j in range(6, 1, -1):
        tail = 1 / j + linear * tail
    return torch.where(linear < 1e-2, linear**2 * tail, nll - linear)


ALPHA = Parameter(
    name="alpha",
    symbol=r"\alpha",
    default=0.1,
    low=0.0,
    high=INFINITY,
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
    high=INFINITY,
    slider=(0.0, 2.0, 0.05),
    meaning="weight of reverse cross-entropy",
    at_low="a multiple of cross-entropy",
    at_high="reverse cross-entropy dominates",
)
LOG_ZERO = Parameter(
    name="log_zero",
    symbol="A",
    default=-4.0,
    low=-INFINITY,
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


def _focal_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    p = probabilities[target]
    return -((1 - p) ** GAMMA.sympy) * sp.log(p)


def _poly_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    p = probabilities[target]
    return -sp.log(p) + EPSILON.sympy * (1 - p)


def _symmetric_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    p = probabilities[target]
    return -ALPHA.sympy * sp.log(p) - BETA.sympy * LOG_ZERO.sympy * (1 - p)


def _focal_at_zero() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    return focal(logits, target, gamma=0.0), cross_entropy(logits, target)


def _poly_at_zero() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    return poly_1(logits, target, epsilon=0.0), cross_entropy(logits, target)


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


FOCAL = Loss(
    key="focal",
    title="Focal loss",
    family="relatives",
    function=focal,
    summary="Cross-entropy that fades as an example becomes easy.",
    latex=r"\ell(z, y) = -(1 - p_y)^\gamma \log p_y",
    gradient=r"\frac{\partial \ell}{\partial z} = (1 - p_y)^{\gamma - 1} "
    r"\big[(1 - p_y) - \gamma\, p_y \log p_y\big] (p - e_y)",
    inputs=CLASS_LOGITS,
    parameters=(GAMMA,),
    form=SymbolicForm(_focal_form),
    source=Source(
        "lin2017focal",
        "definition of the focal loss",
        "the paper's detector uses sigmoids and a class weight alpha; this is the softmax form "
        "without it",
    ),
    properties=(
        Property(
            "proper",
            r"Not strictly proper for $\gamma > 0$, though its minimiser still ranks the most "
            "likely class first (it is classification-calibrated).",
            "quoted",
            Source("charoenphakdee2021focal"),
        ),
        Property("bounded", "Unbounded; like cross-entropy for hard examples."),
        Property("monotone in gamma", r"At fixed logits it does not increase with $\gamma$."),
    ),
    limits=(Limit("gamma = 0 is cross-entropy", _focal_at_zero),),
    stability="log(1 - p) is the log-sigmoid of minus the margin: no power of a rounded 1 - p.",
    related=("cross_entropy", "poly_1"),
)

POLY_1 = Loss(
    key="poly_1",
    title="Poly-1 loss",
    family="relatives",
    function=poly_1,
    summary="Cross-entropy with the first term of its expansion in 1 - p changed.",
    latex=r"\ell(z, y) = -\log p_y + \epsilon\, (1 - p_y)",
    gradient=r"\frac{\partial \ell}{\partial z} = (1 + \epsilon\, p_y)(p - e_y)",
    inputs=CLASS_LOGITS,
    parameters=(EPSILON,),
    form=SymbolicForm(_poly_form),
    source=Source("leng2022polyloss", "the Poly-1 formulation"),
    properties=(
        Property(
            "decomposition",
            r"Cross-entropy plus $\epsilon$ times the mean absolute error.",
        ),
        Property("bounded", "Unbounded, with the growth of cross-entropy."),
        Property("proper", r"Strictly proper for $\epsilon = 0$ only."),
    ),
    limits=(Limit("epsilon = 0 is cross-entropy", _poly_at_zero),),
    stability="1 - p is -expm1(log p): exact where p rounds to 1; its slope also where p is tiny.",
    related=("cross_entropy", "mae", "symmetric_cross_entropy"),
)

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
