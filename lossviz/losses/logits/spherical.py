r"""The Taylor and the spherical softmax: log-losses with a square in the place of the exponential.

.. math:: \ell = -\log \frac{(o_y + c)^2 + \epsilon}{\sum_k \big((o_k + c)^2 + \epsilon\big)} ,

with c = 0 for the spherical softmax, and c and epsilon both 1 for the Taylor softmax. Like the
Z-loss in module `zloss` they are of the spherical family: losses that see the scores only through
their sum, their squares' sum and the target's score. For a last linear layer these three numbers,
and the exact gradient step, can be had at a cost that does not grow with the number of classes. The
functions here are the losses, not that algorithm, which is in module `factored`.
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
    # q is half of (o + 1)^2 + 1, and a factor of all weights cancels
    return _log_loss_of_squares(logits, target, 1.0, 1.0, ignore_index, reduction)


EPS = Parameter(
    name="eps",
    symbol=r"\epsilon",
    default=1e-4,
    low=0.0,
    high=math.inf,
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
    return _log_loss_of_squares(logits, target, 0.0, EPS.check(eps), ignore_index, reduction)


def _log_loss_of_squares(
    logits: torch.Tensor,
    target: torch.Tensor,
    shift: float,
    eps: float,
    ignore_index: int,
    reduction: str,
) -> torch.Tensor:
    """-log of the target's share of the weights (o + shift)^2 + eps, exact near a share of 1."""
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    scores = logits.to(row_dtype(logits)) + shift
    # the share does not see a common factor, and squares of numbers up to 1 cannot overflow
    size = scores.detach().abs().amax(-1, keepdim=True).clamp_min(1.0)
    weights = (scores / size).square() + eps / size / size
    index = labels.unsqueeze(-1)
    is_target = torch.arange(logits.shape[-1], device=logits.device) == index
    others = torch.where(is_target, 0.0, weights).sum(-1)
    rows = torch.log1p(others / weights.gather(-1, index).squeeze(-1))
    return reduce_rows(rows, kept, reduction, logits.dtype)


# --- declarations ---------------------------------------------------------------------------------

EXPLORATION = Source("debrebisson2016exploration", "definition of the Taylor and spherical softmax")


def _taylor_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    return _share_form([1 + score + score**2 / 2 for score in scores], target)


def _spherical_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    return _share_form([score**2 + EPS.sympy for score in scores], target)


def _share_form(weights: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    return sp.log(sp.Add(*weights) / weights[target])


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
            "a spherical softmax",
            r"$2\, q(o) = (o + 1)^2 + 1$: the spherical softmax of $o + 1$ with $\epsilon = 1$.",
        ),
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
    stability="2 q is computed as (o + 1)^2 + 1, a sum of positive terms, scaled so that no square "
    "overflows; -log p as log1p of the odds against the target.",
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
