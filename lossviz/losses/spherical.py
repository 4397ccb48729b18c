r"""The spherical family: losses that see the scores only through their sum, their squares' sum and
the target's score.

For a last linear layer these three numbers, and the exact gradient step, can be had at a cost that
does not grow with the number of classes. The functions here are the losses, not that algorithm.
"""

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

INFINITY = float("inf")

SHARPNESS = Parameter(
    name="a",
    symbol="a",
    default=1.0,
    low=0.0,
    high=INFINITY,
    low_open=True,
    slider=(0.2, 10.0, 0.1),
    meaning="how sharply the loss bends at z = b",
    at_low="nearly linear in the standardised score",
    at_high="the hinge max(0, b - z)",
)
LOCATION = Parameter(
    name="b",
    symbol="b",
    default=0.0,
    low=-INFINITY,
    high=INFINITY,
    slider=(-2.0, 4.0, 0.1),
    meaning="standardised target score from which on an example counts as right",
    at_low="every example is right: the loss is nearly 0",
    at_high="no example is right: the loss is nearly linear",
)


def spherical_z_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    a: float = 1.0,
    b: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Z-loss of the spherical family: softplus of the standardised target score.

    .. math:: \ell = \frac1a \log\big(1 + e^{a (b - z)}\big), \qquad
              z = \frac{o_y - \mu}{\sigma},

    with the mean :math:`\mu` and the population standard deviation :math:`\sigma` of the K scores.

    Parameters
    ----------
    logits : floating tensor (..., K), the scores o, classes last; computed in float64.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    a : number in (0, inf), default 1: sharpness.
    b : number, default 0: location, in standard deviations.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" or "none".

    Returns
    -------
    Loss in the dtype of `logits`; scalar, or (...) for "none". Not in nats: it is no
    log-probability. A row of equal scores has z = 0 and gradient 0 by convention.

    Raises
    ------
    As `comp_sum`; ValueError for a <= 0 or an infinite b.

    Notes
    -----
    Not the z-loss of language models, which is the squared log-partition function. The authors'
    code sums over the batch. Source: de Brébisson and Vincent (2016), the Z-loss.
    """
    a, b = SHARPNESS.check(a), LOCATION.check(b)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    scores = logits.to(row_dtype(logits))
    # Equal scores must centre to exact zeros, and no square may overflow or vanish: shift and scale
    # by constants that the loss does not see.
    scores = scores - scores.detach().amax(-1, keepdim=True)
    width = scores.detach().abs().amax(-1, keepdim=True)
    scores = scores / torch.where(width == 0, 1.0, width)
    centred = scores - scores.mean(-1, keepdim=True)
    variance = centred.square().mean(-1)
    flat = variance == 0
    chosen = centred.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    z = torch.where(flat, 0.0, chosen / torch.where(flat, 1.0, variance).sqrt())
    return reduce_rows(-F.logsigmoid(a * (z - b)) / a, kept, reduction, logits.dtype)


def taylor_softmax(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Log-loss of the Taylor softmax: exp replaced by its second-order expansion.

    .. math:: \ell = -\log \frac{q(o_y)}{\sum_k q(o_k)}, \qquad q(o) = 1 + o + \tfrac12 o^2 .

    Parameters
    ----------
    logits : floating tensor (..., K), the scores o, classes last; computed in float64.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" or "none".

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `comp_sum`.

    Notes
    -----
    q >= 1/2, so every class keeps some probability, and a very negative score raises a class's
    probability again. Source: de Brébisson and Vincent (2016), an exploration of alternatives.
    """
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    scores, size = _scaled(logits)
    weights = ((1 / size).square() + (1 / size + scores).square()) / 2
    return reduce_rows(_log_loss(weights, labels), kept, reduction, logits.dtype)


EPS = Parameter(
    name="eps",
    symbol=r"\epsilon",
    default=1e-4,
    low=0.0,
    high=INFINITY,
    low_open=True,
    slider=(0.0001, 1.0, 0.0001),
    meaning="weight of a class whose score is 0",
    at_low="a target score of 0 costs infinitely much",
    at_high="uniform probabilities, whatever the scores",
)


def spherical_softmax(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: float = 1e-4,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Log-loss of the spherical softmax: exp replaced by the square.

    .. math:: \ell = -\log \frac{o_y^2 + \epsilon}{\sum_k (o_k^2 + \epsilon)} .

    Parameters
    ----------
    logits : floating tensor (..., K), the scores o, classes last; computed in float64.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    eps : number in (0, inf), default 1e-4.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" or "none".

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `comp_sum`; ValueError for eps <= 0.

    Notes
    -----
    Blind to the sign of a score: predict with the largest absolute score. The gradient vanishes at
    scores of 0. Source: de Brébisson and Vincent (2016), an exploration of alternatives.
    """
    eps = EPS.check(eps)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    scores, size = _scaled(logits)
    weights = scores.square() + eps / size.square()
    return reduce_rows(_log_loss(weights, labels), kept, reduction, logits.dtype)


def _scaled(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores divided by max(1, largest size), and that number: their squares cannot overflow."""
    scores = logits.to(row_dtype(logits))
    size = scores.detach().abs().amax(-1, keepdim=True).clamp_min(1.0)
    return scores / size, size


def _log_loss(weights: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log of the target's share of the weights (..., K), exact where the share is nearly 1."""
    index = labels.unsqueeze(-1)
    others = torch.where(
        torch.arange(weights.shape[-1], device=weights.device) == index, 0.0, weights
    )
    return torch.log1p(others.sum(-1) / weights.gather(-1, index).squeeze(-1))


# --- declarations ---------------------------------------------------------------------------------

Z_LOSS = Source(
    "debrebisson2016zloss",
    "definition of the Z-loss",
    "the authors' code adds 1e-12 to the standard deviation, computes the variance as a difference "
    "of large numbers and sums over the batch; we do none of this",
)
EXPLORATION = Source("debrebisson2016exploration", "definition of the Taylor and spherical softmax")


def _z_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    count = len(scores)
    lead = sp.Add(*(scores[target] - score for score in scores)) / count
    pairs = [(scores[i] - scores[j]) ** 2 for i in range(count) for j in range(i)]
    spread = sp.Add(*pairs)

    def softplus(z: sp.Expr) -> sp.Expr:
        return sp.log(1 + sp.exp(SHARPNESS.sympy * (LOCATION.sympy - z))) / SHARPNESS.sympy

    return sp.Piecewise((softplus(lead * count / sp.sqrt(spread)), spread > 0), (softplus(0), True))


def _taylor_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    return _share_form([1 + score + score**2 / 2 for score in scores], target)


def _spherical_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    return _share_form([score**2 + EPS.sympy for score in scores], target)


def _share_form(weights: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    return sp.log(sp.Add(*weights) / weights[target])


def _affine() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    moved = spherical_z_loss(7.0 * logits - 30.0, target, reduction="none")
    return moved, spherical_z_loss(logits, target, reduction="none")


def _z_hinge() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    z = (logits - logits.mean(1, keepdim=True)) / logits.std(1, correction=0, keepdim=True)
    hinge = (1.0 - z.gather(1, target[:, None]).squeeze(1)).clamp_min(0.0)
    ours = spherical_z_loss(logits, target, a=1e9, b=1.0, reduction="none")
    return 1.0 + ours, 1.0 + hinge


def _floor() -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.eye(5, dtype=torch.float64)
    ours = spherical_z_loss(logits, torch.arange(5), a=2.0, b=0.5, reduction="none")
    floor = math.log1p(math.exp(2.0 * (0.5 - math.sqrt(4)))) / 2.0
    return ours, torch.full((5,), floor, dtype=torch.float64)


def _small_scores() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    small = 1e-4 * logits
    return taylor_softmax(small, target, reduction="none"), F.cross_entropy(
        small, target, reduction="none"
    )


def _sign_blind() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    ours = spherical_softmax(logits, target, reduction="none")
    return ours, spherical_softmax(logits.abs(), target, reduction="none")


SPHERICAL_Z_LOSS = Loss(
    key="spherical_z_loss",
    title="Z-loss of the spherical family",
    family="spherical",
    function=spherical_z_loss,
    summary="Softplus of the standardised target score: blind to shift and scale.",
    latex=r"\ell(o, y) = \frac1a \log\big(1 + e^{a (b - z_y)}\big), \qquad "
    r"z_k = \frac{o_k - \mu}{\sigma}",
    gradient=r"\frac{\partial \ell}{\partial o_k} = -\frac{\mathrm{sigmoid}(a (b - z_y))}{\sigma} "
    r"\Big([k = y] - \frac1K - \frac{z_y z_k}{K}\Big)",
    inputs=CLASS_LOGITS,
    parameters=(SHARPNESS, LOCATION),
    form=SymbolicForm(_z_form, over="logits"),
    source=Z_LOSS,
    properties=(
        Property(
            "invariant",
            r"Unchanged by $o \to s\, o + t$ for $s > 0$; so the gradient sums to zero, is "
            r"orthogonal to $o$ and is divided by $s$ when the scores are multiplied by $s$.",
            source=Z_LOSS,
        ),
        Property(
            "positive floor",
            r"$z_y \le \sqrt{K - 1}$, so the loss never falls below "
            r"$\frac1a \log(1 + e^{a (b - \sqrt{K - 1})})$.",
        ),
        Property(
            "two classes",
            r"With K = 2 the standardised score is $\pm 1$: the loss only says right or wrong, and "
            "its gradient is zero.",
        ),
        Property(
            "not convex",
            "A function of direction alone that is not constant cannot be convex.",
        ),
        Property(
            "cheap",
            "A function of the sum, the sum of squares and the target's score: an exact gradient "
            "step of the last layer at a cost independent of K exists.",
            "quoted",
            Source("vincent2015efficient", "the spherical family"),
        ),
    ),
    limits=(
        Limit("invariant to shift and positive scale", _affine),
        Limit("a to infinity is the hinge (both sides plus 1)", _z_hinge, rtol=1e-8),
        Limit("a one-hot row of scores attains the floor", _floor),
    ),
    stability="Shift by the largest score, scale, then a two-pass variance: the one-pass variance "
    "of the authors' code loses all digits for scores far from 0 (unit variance around 10,000 in "
    "float32 can come out negative). The gradient grows like 1/sigma for nearly equal scores.",
    notes="The name is taken twice: in language models z-loss means the squared log-partition "
    "function, another thing. At equal scores the loss is discontinuous; we return its value at "
    "z = 0 and gradient 0 there, so do not start from a last layer of zeros.",
    related=("taylor_softmax", "spherical_softmax", "cross_entropy"),
)

TAYLOR_SOFTMAX = Loss(
    key="taylor_softmax",
    title="Taylor softmax loss",
    family="spherical",
    function=taylor_softmax,
    summary="Log-loss with exp replaced by its second-order expansion.",
    latex=r"\ell(o, y) = -\log \frac{q(o_y)}{\sum_k q(o_k)}, \qquad q(o) = 1 + o + \tfrac12 o^2",
    gradient=r"\frac{\partial \ell}{\partial o_k} = \frac{1 + o_k}{q(o_k)} "
    r"\big(p_k - [k = y]\big), \qquad p_k = \frac{q(o_k)}{\sum_j q(o_j)}",
    inputs=CLASS_LOGITS,
    form=SymbolicForm(_taylor_form, over="logits"),
    source=EXPLORATION,
    properties=(
        Property(
            "full support",
            r"$q \ge \frac12$, with equality at $o = -1$: no class has probability 0.",
        ),
        Property(
            "not monotone",
            r"$q$ is symmetric about $-1$: below it a lower score means a larger probability.",
        ),
        Property(
            "strictly proper",
            "As a log-loss it is minimised in expectation by the label probabilities; every "
            "distribution with positive entries is some vector of Taylor probabilities.",
        ),
        Property(
            "sees shifts", "Adding a constant to all scores changes it, unlike the softmax loss."
        ),
    ),
    limits=(Limit("small scores: close to cross-entropy", _small_scores, rtol=1e-10),),
    stability="q is computed as half of 1 + (1 + o)^2, a sum of positive terms, on scores scaled "
    "to at most 1; -log p as log1p of the odds against the target.",
    related=("spherical_softmax", "spherical_z_loss", "cross_entropy"),
)

SPHERICAL_SOFTMAX = Loss(
    key="spherical_softmax",
    title="Spherical softmax loss",
    family="spherical",
    function=spherical_softmax,
    summary="Log-loss with exp replaced by the square: blind to the sign of a score.",
    latex=r"\ell(o, y) = -\log \frac{o_y^2 + \epsilon}{\sum_k (o_k^2 + \epsilon)}",
    gradient=r"\frac{\partial \ell}{\partial o_k} = \frac{2\, o_k}{o_k^2 + \epsilon} "
    r"\big(p_k - [k = y]\big)",
    inputs=CLASS_LOGITS,
    parameters=(EPS,),
    form=SymbolicForm(_spherical_form, over="logits"),
    source=EXPLORATION,
    properties=(
        Property("sign-blind", "Depends on absolute scores: predict with the largest of them."),
        Property(
            "nearly scale-free",
            r"As $\epsilon \to 0$ multiplying all scores by a number changes nothing.",
        ),
        Property(
            "dead point", "The gradient for a score of 0 is 0: start from scores that are not."
        ),
        Property("sees shifts", "Adding a constant to all scores changes it."),
    ),
    limits=(Limit("absolute scores give the same loss", _sign_blind),),
    stability="Squares of scores scaled to at most 1; -log p as log1p of the odds against the "
    "target.",
    related=("taylor_softmax", "spherical_z_loss"),
)
