"""The Z-loss of the spherical family: a loss of the standardised score of the target.

Blind to shift and scale of the scores. Not the z-loss of language models, which is the squared
log-partition function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .checks import check_labels, check_reduction, reduce_rows, row_dtype
from .compsum import CLASS_LOGITS, example_logits
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm

if TYPE_CHECKING:
    import sympy as sp


SHARPNESS = Parameter(
    name="a",
    symbol="a",
    default=1.0,
    low=0.0,
    high=math.inf,
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
    low=-math.inf,
    high=math.inf,
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


# --- declarations ---------------------------------------------------------------------------------

Z_LOSS = Source(
    "debrebisson2016zloss",
    "definition of the Z-loss",
    "the authors' code adds 1e-12 to the standard deviation, computes the variance as a difference "
    "of large numbers and sums over the batch; we do none of this",
)


def _z_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    # K times the target's distance from the mean, and K^2 times the variance
    lead = sp.Add(*(scores[target] - score for score in scores))
    spread = sp.Add(*((one - other) ** 2 for one, other in combinations(scores, 2)))

    def softplus(z: sp.Expr) -> sp.Expr:
        return sp.log(1 + sp.exp(SHARPNESS.sympy * (LOCATION.sympy - z))) / SHARPNESS.sympy

    return sp.Piecewise((softplus(lead / sp.sqrt(spread)), spread > 0), (softplus(0), True))


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
