r"""The comp-sum family: Phi^tau of the sum of exponentiated score differences.

One parameter leads from the exponential loss of boosting (tau = 0) through cross-entropy (tau = 1)
and generalised cross-entropy (1 < tau < 2) to the mean absolute error (tau = 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from .checks import check_labels, check_reduction, reduce_rows
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .margin import target_margin

if TYPE_CHECKING:
    import sympy as sp

TAU = Parameter(
    name="tau",
    symbol=r"\tau",
    default=1.0,
    low=0.0,
    high=math.inf,
    slider=(0.0, 3.0, 0.05),
    meaning="the gradient of cross-entropy is re-weighted by p^(tau - 1)",
    at_low="hard examples dominate (sum-exponential loss)",
    at_high="hard examples are ignored (2: mean absolute error)",
)


def box_cox(nll: torch.Tensor, power: float) -> torch.Tensor:
    """(1 - p^power) / power from -log p, continuous through power = 0, where it is -log p."""
    if power == 0:
        return nll
    exponent = power * nll
    # Two branches for the sake of autograd: it takes the slope of expm1 as its value plus 1, which
    # rounds to 0 once p^power is below 1e-16, where exp has nothing to cancel.
    easy, hard = -torch.expm1(-exponent), 1 - torch.exp(-exponent)
    curve = torch.where(exponent < 1, easy, hard) / power
    return torch.where(exponent.abs() < 1e-17, nll, curve)  # the limit, before the product rounds


def comp_sum(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    tau: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Comp-sum loss: cross-entropy (tau = 1) and its relatives on one dial.

    .. math:: \ell_\tau = \Phi^\tau\Big(\sum_{j \ne y} e^{z_j - z_y}\Big)
              = \frac{1 - p_y^{\tau - 1}}{\tau - 1}, \qquad \ell_1 = -\log p_y .

    Parameters
    ----------
    logits : floating tensor (..., K). Classes are the last axis (torch's ``F.cross_entropy`` wants
        them second: use ``logits.movedim(1, -1)``). Half precision is computed in float32.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    tau : number in [0, inf), default 1. Below 1 hard examples weigh more than in cross-entropy,
        above 1 less; 0 is the sum-exponential loss, 2 the mean absolute error.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" or "none".

    Returns
    -------
    Loss in nats (tau = 1) in the dtype of `logits`; scalar, or (...) for "none". "mean" over no
    rows is NaN and "sum" is 0. For tau < 1 the loss grows like exp((1 - tau) * -margin) and is inf
    exactly where that exceeds the dtype; gradients likewise, never NaN for finite logits.

    Raises
    ------
    TypeError for a wrong dtype or a tau that is no number; ValueError for wrong shapes, a label
    out of range (on the CPU; on a GPU the device assertion of the index operation), tau < 0 or an
    unknown reduction. NaN logits give NaN.

    Notes
    -----
    tau = 1 equals ``F.cross_entropy``; the gradient is :math:`p_y^{\tau-1}(p - e_y)`.
    Source: Mao, Mohri and Zhong (2023), the definition of comp-sum losses.
    """
    tau = TAU.check(tau)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    if tau < 1.0:
        compiling = torch.compiler.is_compiling()
        function = _SteepLoss if compiling else _SteepLossWithForwardMode
        rows = function.apply(logits, labels, tau)
    else:
        rows = box_cox(-F.logsigmoid(target_margin(logits, labels)), tau - 1.0)
    return reduce_rows(rows, kept, reduction, logits.dtype)


class _SteepLoss(torch.autograd.Function):
    """Comp-sum for tau < 1, where a factor of the gradient may overflow and the gradient not.

    d loss / d z_j = exp(z_j - z_y - tau * nll) is formed in one exponent, in float64; the chain
    rule would multiply an infinite slope in the margin by a probability that underflowed to zero.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: torch.Tensor, labels: torch.Tensor, tau: float) -> torch.Tensor:
        return box_cox(-F.logsigmoid(target_margin(logits, labels)), tau - 1.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        logits, labels, ctx.tau = inputs
        ctx.save_for_backward(logits, labels)
        ctx.save_for_forward(logits, labels)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, labels = ctx.saved_tensors
        upstream = gradient.unsqueeze(-1)
        slope = _steep_slope(logits, labels, ctx.tau)
        # An ignored row arrives with gradient 0 and must leave with 0, whatever its own slope.
        gradient = torch.where(upstream == 0, 0.0, upstream * slope)
        return gradient.to(logits.dtype), None, None


class _SteepLossWithForwardMode(_SteepLoss):
    """The same with a rule for forward mode, which torch.compile does not trace."""

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, _labels: None, _tau: None) -> torch.Tensor:
        logits, labels = ctx.saved_tensors
        return (_steep_slope(logits, labels, ctx.tau) * tangent).sum(-1)


def _steep_slope(logits: torch.Tensor, labels: torch.Tensor, tau: float) -> torch.Tensor:
    index = labels.unsqueeze(-1)
    margin = target_margin(logits, labels).unsqueeze(-1)
    damping = tau * F.logsigmoid(margin)
    slope = (logits.to(margin.dtype) - (logits.gather(-1, index) - damping)).exp()
    return slope.scatter(-1, index, -(damping - margin).exp())


# --- declarations ---------------------------------------------------------------------------------

MAO = Source("mao2023cross", "definition of comp-sum losses")
CLASS_LOGITS = "class logits"


def box_cox_form(probability: sp.Expr, power: sp.Expr) -> sp.Expr:
    """(1 - p^power)/power as a sympy expression, with its limit at power = 0."""
    import sympy as sp

    return sp.Piecewise(
        (-sp.log(probability), sp.Eq(power, 0)),
        ((1 - probability**power) / power, True),
    )


def _comp_sum_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return box_cox_form(probabilities[target], TAU.sympy - 1)


def example_logits(num_classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """A fixed batch (12, K) float64 with its labels, on which the declared limits are checked."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(12, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(num_classes, (12,), generator=generator)


def _against_torch() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    ours = comp_sum(logits, target, tau=1.0, reduction="none")
    return ours, F.cross_entropy(logits, target, reduction="none")


def _towards_one() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    sides = [comp_sum(logits, target, tau=1 + h, reduction="none") for h in (-1e-9, 1e-9)]
    return torch.cat(sides), comp_sum(logits, target, reduction="none").repeat(2)


COMP_SUM = Loss(
    key="comp_sum",
    title="Comp-sum loss",
    family="comp-sum",
    function=comp_sum,
    summary="Cross-entropy and its relatives on one dial, tau.",
    latex=r"\ell_\tau(z, y) = \frac{1 - p_y^{\tau - 1}}{\tau - 1} \quad (\tau \ne 1), \qquad "
    r"\ell_1(z, y) = -\log p_y",
    gradient=r"\frac{\partial \ell_\tau}{\partial z} = p_y^{\tau - 1} (p - e_y)",
    inputs=CLASS_LOGITS,
    parameters=(TAU,),
    form=SymbolicForm(_comp_sum_form),
    source=MAO,
    properties=(
        Property(
            "H-consistency",
            "For a symmetric and complete hypothesis set the excess zero-one risk, gap included, "
            "is bounded by an explicit increasing function of the excess comp-sum risk, for every "
            r"$\tau \ge 0$.",
            "quoted",
            MAO,
        ),
        Property(
            "monotone in tau",
            r"At fixed logits $\ell_\tau$ does not increase with $\tau$.",
        ),
        Property(
            "bounded",
            r"For $\tau > 1$ the range is $[0, 1/(\tau - 1))$; for $\tau \le 1$ "
            "the loss is unbounded.",
        ),
        Property(
            "proper",
            r"Strictly proper for $\tau = 1$ only. For $0 \le \tau < 2$ the minimiser of the "
            r"expected loss is $p_i \propto q_i^{1/(2 - \tau)}$, where $q$ is the label "
            r"distribution: for $\tau \ne 1$ it keeps the order of the classes but not the "
            r"probabilities.",
        ),
        Property(
            "convex in the logits",
            r"For $0 \le \tau \le 1$, as a convex increasing function of a log-sum-exp; not for "
            r"$\tau > 1$.",
        ),
    ),
    limits=(
        Limit("tau = 1 is torch's cross-entropy", _against_torch),
        Limit("continuous through tau = 1 from both sides", _towards_one, rtol=1e-6),
    ),
    stability="Computed from the margin m against the log-sum-exp of the other classes: "
    "-log p = log(1 + exp(-m)) keeps its digits where p rounds to 1. For tau < 1 the gradient is "
    "formed in one exponent, in float64, so that it is inf only where its true value exceeds the "
    "dtype.",
    related=("cross_entropy", "generalized_cross_entropy", "mae", "sum_exponential"),
)
