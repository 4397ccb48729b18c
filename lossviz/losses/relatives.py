"""Focal loss and poly-1: cross-entropy with its easy examples re-weighted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .checks import check_labels, check_reduction, reduce_rows
from .compsum import CLASS_LOGITS, box_cox, example_logits
from .crossentropy import cross_entropy
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .margin import target_margin

if TYPE_CHECKING:
    import sympy as sp


GAMMA = Parameter(
    name="gamma",
    symbol=r"\gamma",
    default=2.0,
    low=0.0,
    high=math.inf,
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
    high=math.inf,
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


# --- declarations ---------------------------------------------------------------------------------


def _focal_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    p = probabilities[target]
    return -((1 - p) ** GAMMA.sympy) * sp.log(p)


def _poly_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    p = probabilities[target]
    return -sp.log(p) + EPSILON.sympy * (1 - p)


def _focal_at_zero() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    return focal(logits, target, gamma=0.0), cross_entropy(logits, target)


def _poly_at_zero() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    return poly_1(logits, target, epsilon=0.0), cross_entropy(logits, target)


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
