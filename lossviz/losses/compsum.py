r"""The comp-sum family: Phi^tau of the sum of exponentiated score differences.

One parameter leads from the exponential loss of boosting (tau = 0) through cross-entropy (tau = 1)
and generalised cross-entropy (1 < tau < 2) to the mean absolute error (tau = 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
    high=float("inf"),
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


def _sum_exponential_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return 1 / probabilities[target] - 1


def _logistic_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    return -sp.log(probabilities[target])


def _generalized_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return box_cox_form(probabilities[target], Q.sympy)


def _mae_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    return 1 - probabilities[target]


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
