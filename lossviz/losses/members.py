"""Members of the comp-sum family that have a name of their own.

Sum-exponential (tau = 0), logistic (1), generalised cross-entropy (1 + q) and the mean absolute
error (2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from .checks import check_labels, check_reduction, reduce_rows
from .compsum import CLASS_LOGITS, MAO, box_cox, box_cox_form, comp_sum, example_logits
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .margin import target_margin

if TYPE_CHECKING:
    import sympy as sp


def sum_exponential(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Sum-exponential loss, comp-sum at tau = 0: every wrong class pays exp of its lead.

    .. math:: \ell = \sum_{j \ne y} e^{z_j - z_y} = 1 / p_y - 1 .

    Arguments, returned value and errors are those of `comp_sum` with ``tau=0``. With two classes it
    is the exponential loss of boosting, exp(-margin). Source: Mao, Mohri and Zhong (2023).
    """
    return comp_sum(logits, target, tau=0.0, ignore_index=ignore_index, reduction=reduction)


def logistic(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Multinomial logistic loss, comp-sum at tau = 1: cross-entropy with integer labels.

    .. math:: \ell = \log\Big(1 + \sum_{j \ne y} e^{z_j - z_y}\Big) = -\log p_y .

    Arguments, returned value and errors are those of `comp_sum` with ``tau=1``. With two classes it
    is ``softplus(-margin)``. Source: Mao, Mohri and Zhong (2023).
    """
    return comp_sum(logits, target, tau=1.0, ignore_index=ignore_index, reduction=reduction)


Q = Parameter(
    name="q",
    symbol="q",
    default=0.7,
    low=0.0,
    high=1.0,
    slider=(0.0, 1.0, 0.05),
    meaning="how far from cross-entropy towards the mean absolute error; equals tau - 1",
    at_low="cross-entropy: learns fast, also from wrong labels",
    at_high="mean absolute error: tolerant of uniform label noise, learns slowly",
)


def generalized_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    q: float = 0.7,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Generalised cross-entropy, comp-sum at tau = 1 + q: between cross-entropy and MAE.

    .. math:: \ell_q = \frac{1 - p_y^q}{q}, \qquad \ell_0 = -\log p_y .

    Parameters
    ----------
    q : number in [0, 1], default 0.7 (the value used in the paper). 0 is cross-entropy, 1 the mean
        absolute error. The other arguments, the returned value and the errors are those of
        `comp_sum` with ``tau=1 + q``.

    Notes
    -----
    Bounded by 1/q. Source: Zhang and Sabuncu (2018), the L_q loss.
    """
    # Not through comp_sum(tau=1 + q): the sum would round a small q away.
    q = Q.check(q)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    rows = box_cox(-F.logsigmoid(target_margin(logits, labels)), q)
    return reduce_rows(rows, kept, reduction, logits.dtype)


def mae(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Mean absolute error of the probabilities, comp-sum at tau = 2: bounded and noise tolerant.

    .. math:: \ell = 1 - p_y = \tfrac12 \lVert p - e_y \rVert_1 .

    Arguments, returned value and errors are those of `comp_sum` with ``tau=2``. The sum over all
    labels is K - 1 whatever the logits: this symmetry is what makes it tolerant of uniform label
    noise. Papers often drop the factor 1/2. Source: Ghosh, Kumar and Sastry (2017).
    """
    return comp_sum(logits, target, tau=2.0, ignore_index=ignore_index, reduction=reduction)


# --- declarations ---------------------------------------------------------------------------------


def _sum_exponential_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return 1 / probabilities[target] - 1


def _logistic_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    return -sp.log(probabilities[target])


def _generalized_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return box_cox_form(probabilities[target], Q.sympy)


def _mae_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return 1 - probabilities[target]


def _member(function: Any, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    return function(logits, target, reduction="none"), comp_sum(
        logits, target, tau=tau, reduction="none"
    )


def _binary_exponential() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits(2)
    lead = logits.gather(1, target[:, None]) - logits.gather(1, 1 - target[:, None])
    return sum_exponential(logits, target, reduction="none"), (-lead).exp().squeeze(1)


def _half_l1() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    distance = (logits.softmax(-1) - F.one_hot(target, 5)).abs().sum(-1)
    return mae(logits, target, reduction="none"), distance / 2


def _symmetry() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _ = example_logits()
    labels = torch.arange(5).expand(12, 5)
    total = mae(logits.unsqueeze(1).expand(12, 5, 5), labels, reduction="none").sum(-1)
    return total, torch.full((12,), 4.0, dtype=torch.float64)


SUM_EXPONENTIAL = Loss(
    key="sum_exponential",
    title="Sum-exponential loss",
    family="comp-sum",
    function=sum_exponential,
    summary="Comp-sum at tau = 0: every wrong class pays the exponential of its lead.",
    latex=r"\ell(z, y) = \sum_{j \ne y} e^{z_j - z_y} = \frac{1}{p_y} - 1",
    gradient=r"\frac{\partial \ell}{\partial z} = \frac{1}{p_y} (p - e_y)",
    inputs=CLASS_LOGITS,
    form=SymbolicForm(_sum_exponential_form),
    source=MAO,
    properties=(
        Property(
            "convex in the logits",
            "A sum of exponentials of linear functions is convex.",
        ),
        Property("bounded", "Unbounded; grows exponentially with a wrong lead."),
        Property(
            "proper",
            r"Not proper: the minimiser of the expected loss is $p_i \propto \sqrt{q_i}$.",
        ),
    ),
    limits=(
        Limit("equals comp_sum at tau = 0", partial(_member, sum_exponential, 0.0)),
        Limit("with two classes it is exp(-margin)", _binary_exponential),
    ),
    stability="Overflows to inf where exp of the lead does (88 nats in float32), by its nature.",
    related=("comp_sum",),
)

LOGISTIC = Loss(
    key="logistic",
    title="Multinomial logistic loss",
    family="comp-sum",
    function=logistic,
    summary="Comp-sum at tau = 1: cross-entropy with integer labels.",
    latex=r"\ell(z, y) = \log\Big(1 + \sum_{j \ne y} e^{z_j - z_y}\Big) = -\log p_y",
    gradient=r"\frac{\partial \ell}{\partial z} = p - e_y",
    inputs=CLASS_LOGITS,
    form=SymbolicForm(_logistic_form),
    source=MAO,
    properties=(
        Property(
            "strictly proper",
            "Its expected value is minimised by the label distribution alone.",
            source=Source("gneiting2007strictly", "the logarithmic score"),
        ),
        Property("convex in the logits", "A log-sum-exp minus a linear function."),
    ),
    limits=(Limit("equals comp_sum at tau = 1", partial(_member, logistic, 1.0)),),
    stability="As comp_sum; correct beyond 17 nats in float32, where 1 - p rounds to 0.",
    related=("cross_entropy", "comp_sum"),
)

GENERALIZED_CROSS_ENTROPY = Loss(
    key="generalized_cross_entropy",
    title="Generalised cross-entropy",
    family="comp-sum",
    function=generalized_cross_entropy,
    summary="Between cross-entropy (q = 0) and the mean absolute error (q = 1).",
    latex=r"\ell_q(z, y) = \frac{1 - p_y^q}{q} \quad (q \ne 0), \qquad \ell_0(z, y) = -\log p_y",
    gradient=r"\frac{\partial \ell_q}{\partial z} = p_y^q (p - e_y)",
    inputs=CLASS_LOGITS,
    parameters=(Q,),
    form=SymbolicForm(_generalized_form),
    source=Source("zhang2018generalized", "definition of the L_q loss"),
    properties=(
        Property("bounded", r"Range $[0, 1/q)$ for $q > 0$."),
        Property(
            "noise tolerance",
            r"Its sum over all K labels lies between $(K - K^{1 - q})/q$ and $(K - 1)/q$, a range "
            "that shrinks to a point as q grows to 1.",
            source=Source("zhang2018generalized", "lemma on the sum over classes"),
        ),
        Property(
            "proper",
            r"For $q > 0$ not proper: the minimiser of the expected loss is "
            r"$p_i \propto q_i^{1/(1 - q)}$ with $q_i$ the label distribution, for $q < 1$.",
        ),
    ),
    limits=(
        Limit(
            "equals comp_sum at tau = 1 + q",
            partial(_member, generalized_cross_entropy, 1.7),
        ),
    ),
    stability="As comp_sum; smooth through q = 0.",
    related=("comp_sum", "mae", "cross_entropy"),
)

MAE = Loss(
    key="mae",
    title="Mean absolute error",
    family="comp-sum",
    function=mae,
    summary="Comp-sum at tau = 2: one minus the target probability.",
    latex=r"\ell(z, y) = 1 - p_y = \tfrac12 \lVert p - e_y \rVert_1",
    gradient=r"\frac{\partial \ell}{\partial z} = p_y (p - e_y)",
    inputs=CLASS_LOGITS,
    form=SymbolicForm(_mae_form),
    source=Source("ghosh2017robust", "mean absolute error", "the paper's value is twice ours"),
    properties=(
        Property("bounded", "Range [0, 1)."),
        Property(
            "symmetric",
            "The sum over all K labels is K - 1, whatever the logits.",
            source=Source("ghosh2017robust", "symmetric losses"),
        ),
        Property(
            "noise tolerance",
            "If each label is wrong with a probability below 1 - 1/K, evenly over the other "
            "classes, a minimiser of the noisy risk minimises the clean risk as well.",
            "quoted",
            Source("ghosh2017robust", "theorem on uniform label noise"),
        ),
        Property(
            "proper",
            "Not proper: the expected loss is minimised by the most likely class "
            "with probability one.",
        ),
    ),
    limits=(
        Limit("equals comp_sum at tau = 2", partial(_member, mae, 2.0)),
        Limit("half the L1 distance to the one-hot label", _half_l1),
        Limit("sums to K - 1 over the labels", _symmetry),
    ),
    stability="1 - p is -expm1(log p): exact where p rounds to 1; its slope also where p is tiny.",
    related=("comp_sum", "generalized_cross_entropy"),
)
