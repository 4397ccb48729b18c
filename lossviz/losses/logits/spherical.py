r"""The spherical family: losses of the sum of the scores, of their squares and the target's score.

The Z-loss is a softplus of the standardised target score; the Taylor and the spherical softmax are
log-losses with a square in the place of the exponential,

.. math:: \ell = -\log \frac{(o_y + c)^2 + \epsilon}{\sum_k \big((o_k + c)^2 + \epsilon\big)} ,

with c and epsilon both 1 for Taylor and c = 0 for the spherical softmax. For a last linear layer
the exact gradient step can be had at a cost that does not grow with the number of classes: see
`lossviz.experiments.factored`. The functions here are the losses, not that algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ...declaration import (
    Fact,
    Gradient,
    Source,
    SymbolicForm,
    by_rows,
    declare,
    exact_by_rows,
    minimiser,
    not_convex,
    number,
    row_dtype,
    softplus,
)

if TYPE_CHECKING:
    import sympy as sp

Z_LOSS = Source(
    "debrebisson2016zloss",
    "definition of the Z-loss",
    "the authors' code adds 1e-12 to the standard deviation, computes the variance as a difference "
    "of large numbers and sums over the batch; we do none of this",
)
EXPLORATION = Source("debrebisson2016exploration", "definition of the Taylor and spherical softmax")

SHARPNESS = number(
    "a", "a", "(0, inf)", (0.2, 10.0, 0.1),
    "how sharply the loss bends at z = b",
    "nearly linear in the standardised score",
    "the hinge max(0, b - z)",
    label="sharpness of the bend at z = b", ends=("nearly linear", "hinge"),
)  # fmt: skip
LOCATION = number(
    "b", "b", "(-inf, inf)", (-2.0, 4.0, 0.1),
    "standardised target score from which on an example counts as right",
    "every example is right: the loss is nearly 0",
    "no example is right: the loss is nearly linear",
    label="score from which on an example is right", ends=("all are right", "none is"),
)  # fmt: skip
EPS = number(
    "eps", r"\epsilon", "(0, inf)", (0.0001, 1.0, 0.0001),
    "weight of a class whose score is 0",
    "a target score of 0 costs infinitely much",
    "uniform probabilities, whatever the scores",
    default=1e-4,
    ends=("sharp", "flat"),
)  # fmt: skip


def _z_form(scores: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    # K times the target's distance from the mean, and K^2 times the variance
    lead = sp.Add(*(scores[target] - score for score in scores))
    spread = sp.Add(*((one - other) ** 2 for one, other in combinations(scores, 2)))

    def bend(z: sp.Expr) -> sp.Expr:
        return sp.log(1 + sp.exp(SHARPNESS.sympy * (LOCATION.sympy - z))) / SHARPNESS.sympy

    return sp.Piecewise((bend(lead / sp.sqrt(spread)), spread > 0), (bend(0), True))


def _standardised(o: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The standardised scores, that of the target (..., 1), and the standard deviation (..., 1)."""
    spread = o.std(-1, correction=0, keepdim=True)
    z = (o - o.mean(-1, keepdim=True)) / spread
    return z, z.gather(-1, y.unsqueeze(-1)), spread


def _z_slope(o: torch.Tensor, y: torch.Tensor, a: float, b: float) -> torch.Tensor:
    z, chosen, spread = _standardised(o, y)
    lean = F.one_hot(y, o.shape[-1]) - (1 + chosen * z) / o.shape[-1]
    return -(a * (b - chosen)).sigmoid() / spread * lean


def _floor(o: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    floor = softplus(torch.full(y.shape, 2 * (0.5 - 2)).double()) / 2  # 2 is the root of 5 - 1
    one_hot, any_row = (
        spherical_z_loss(x, y, a=2.0, b=0.5, reduction="none")
        for x in (F.one_hot(y, 5).double(), o)
    )
    return torch.stack([one_hot, torch.minimum(any_row, floor)]), torch.stack([floor, floor])


@declare(
    family="spherical",
    latex=r"\ell(o, y) = \frac1a \log\big(1 + e^{a (b - z_y)}\big), \qquad "
    r"z_k = \frac{o_k - \mu}{\sigma}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial o_k} = -\frac{\mathrm{sigmoid}(a (b - z_y))}{\sigma} "
        r"\Big([k = y] - \frac1K - \frac{z_y z_k}{K}\Big)",
        _z_slope,
    ),
    parameters=(SHARPNESS, LOCATION),
    form=SymbolicForm(_z_form, over="logits"),
    source=Z_LOSS,
    facts=(
        Fact(
            "Unchanged when the scores are shifted and multiplied by s > 0; so the gradient sums "
            "to zero, is orthogonal to the scores and is divided by s",
            lambda o, y: (spherical_z_loss(7 * o - 30, y), spherical_z_loss(o, y)),
            source=Z_LOSS,
        ),
        Fact(
            "z_y is at most sqrt(K - 1), so the loss never falls below "
            "log(1 + exp(a (b - sqrt(K - 1))))/a, which a one-hot row of scores attains",
            _floor,
        ),
        Fact(
            "With two classes the standardised score is 1 or -1: the loss only says right or "
            "wrong, and its gradient is zero",
            lambda o, y: (
                spherical_z_loss(o[:, :2], y % 2, reduction="none"),
                softplus(1 - 2.0 * (o[:, :2].argmax(1) == y % 2).double()),
            ),
        ),
        Fact(
            "a to infinity is the hinge max(0, b - z) (both sides plus 1)",
            lambda o, y: (
                1 + spherical_z_loss(o, y, a=1e9, b=1.0, reduction="none"),
                1 + (1 - _standardised(o, y)[1][:, 0]).clamp_min(0),
            ),
            rtol=1e-8,
        ),
        not_convex(why="a function of direction alone that is not constant cannot be"),
        Fact(
            "A function of the sum, the sum of squares and the target's score: an exact gradient "
            "step of the last layer at a cost independent of K exists.",
            status="quoted",
            source=Source("vincent2015efficient", "the spherical family"),
        ),
    ),
    stability="Shift by the largest score, scale, then a two-pass variance: the one-pass variance "
    "of the authors' code loses all digits for scores far from 0 (unit variance around 10,000 in "
    "float32 can come out negative). The gradient grows like 1/sigma for nearly equal scores.",
    notes="The name is taken twice: in language models z-loss means the squared log-partition "
    "function, another thing. At equal scores the loss is discontinuous; we return its value at "
    "z = 0 and gradient 0 there, so do not start from a last layer of zeros.",
    related=("taylor_softmax", "spherical_softmax", "cross_entropy"),
    breaks=("absent entry of K",),
    also=("Z-loss", "standardised score"),
    use="There are very many classes and exact updates whose cost does not depend on "
    "their number are wanted; ranking matters, probabilities do not.",
    avoid="There are two classes, where the gradient is zero, or probabilities are wanted.",
)
def spherical_z_loss(
    logits: torch.Tensor, target: torch.Tensor, *, a: float = 1.0, b: float = 0.0
) -> torch.Tensor:
    """Z-loss of the spherical family: softplus of the standardised target score.

    mu is the mean and sigma the population standard deviation of a row, in float64. Not in nats: it
    is not a log-probability. Not the z-loss of language models, the squared log-partition function.
    A row of equal scores has z = 0 and gradient 0 by convention.
    """
    return _bend(logits, target, a=a, b=b)


def _centred(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Scores less their mean in a unit (..., 1) of their own, that unit, and their variance (...).

    Equal scores must centre to exact zeros, and no square may overflow or vanish: shifted and
    scaled by constants that the loss does not see.
    """
    scores = logits - logits.detach().amax(-1, keepdim=True)
    width = scores.detach().abs().amax(-1, keepdim=True)
    unit = torch.where(width == 0, 1.0, width)
    scores = scores / unit
    centred = scores - scores.mean(-1, keepdim=True)
    return centred, unit, centred.square().mean(-1)


def _bend_slopes(
    logits: torch.Tensor, target: torch.Tensor, *, a: float, b: float
) -> tuple[torch.Tensor, torch.Tensor]:
    (centred, unit, variance), index = _centred(logits), target.unsqueeze(-1)
    flat = (variance == 0).unsqueeze(-1)
    spread = torch.where(flat, 1.0, variance.unsqueeze(-1)).sqrt()
    z = centred.gather(-1, index) / spread
    pull = torch.where(flat, 0.0, -(a * (b - z)).sigmoid() / (spread * unit))
    even = pull / logits.shape[-1]
    slope = centred.mul_(-even * z / spread).sub_(even).scatter_add_(-1, index, pull)
    return (softplus(a * (b - z)) / a).squeeze(-1), slope


@partial(exact_by_rows, slopes=_bend_slopes)
def _bend(logits: torch.Tensor, target: torch.Tensor, *, a: float, b: float) -> torch.Tensor:
    centred, _, variance = _centred(logits)
    flat = variance == 0
    chosen = centred.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    z = torch.where(flat, 0.0, chosen / torch.where(flat, 1.0, variance).sqrt())
    return softplus(a * (b - z)) / a


def _share_form(weights: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    return sp.log(sp.Add(*weights) / weights[target])


def _share_slope(weights: torch.Tensor, slopes: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    p = weights / weights.sum(-1, keepdim=True)
    return slopes / weights * (p - F.one_hot(y, weights.shape[-1]))


@by_rows
def _share_loss(
    logits: torch.Tensor, target: torch.Tensor, *, shift: float, eps: float
) -> torch.Tensor:
    """-log of the target's share of the weights (o + shift)^2 + eps, exact near a share of 1."""
    exact = row_dtype(logits)
    # the share does not see a common factor, and squares of numbers up to 1 cannot overflow
    size = (logits.detach().abs().amax(-1, keepdim=True).to(exact) + abs(shift)).clamp_min(1.0)
    scaled, spare = (logits + shift) / size.to(logits.dtype), eps / size / size
    index = target.unsqueeze(-1)
    weights = scaled.square() + spare.to(logits.dtype)
    others = weights.scatter(-1, index, 0.0).sum(-1).to(exact)
    own = scaled.gather(-1, index).to(exact).square() + spare
    return torch.log1p(others / own.squeeze(-1))


def _least_weight(o: torch.Tensor, _y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scores = torch.cat([o.flatten(), torch.tensor([-1.0])])
    against_zeros = F.pad(scores[:, None], (0, 4))
    rows = taylor_softmax(against_zeros, torch.zeros(len(scores)).long(), reduction="none")
    return torch.stack([rows.max(), rows[-1]]).exp(), torch.tensor([9.0, 9.0]).double()


@declare(
    family="spherical",
    latex=r"\ell(o, y) = -\log \frac{q(o_y)}{\sum_k q(o_k)}, \qquad q(o) = 1 + o + \tfrac12 o^2",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial o_k} = \frac{1 + o_k}{q(o_k)} "
        r"\big(p_k - [k = y]\big), \qquad p_k = \frac{q(o_k)}{\sum_j q(o_j)}",
        lambda o, y: _share_slope(1 + o + o.square() / 2, 1 + o, y),
    ),
    form=SymbolicForm(lambda o, y: _share_form([1 + x + x**2 / 2 for x in o], y), over="logits"),
    source=EXPLORATION,
    facts=(
        Fact(
            "2 q(o) = (o + 1)^2 + 1: it is the spherical softmax of o + 1 with eps = 1",
            lambda o, y: (taylor_softmax(o, y), spherical_softmax(o + 1, y, eps=1.0)),
        ),
        Fact(
            "q is at least 1/2, with equality at o = -1: no class has probability 0",
            _least_weight,
        ),
        Fact(
            "q is symmetric about -1: below it a lower score means a larger probability",
            lambda o, y: (taylor_softmax(o, y), taylor_softmax(-2 - o, y)),
        ),
        minimiser(
            "sqrt(10*eta - 1) - 1",
            statement="Strictly proper as a log-loss: the expected loss is least where the Taylor "
            "probabilities are the label probabilities eta, and every distribution with positive "
            "entries is some vector of Taylor probabilities",
            proper=True,
        ),
        Fact(
            "Small scores: close to cross-entropy",
            lambda o, y: (taylor_softmax(1e-4 * o, y), F.cross_entropy(1e-4 * o, y)),
            rtol=1e-10,
        ),
    ),
    stability="2 q is computed as (o + 1)^2 + 1, a sum of positive terms, scaled so that no square "
    "overflows; -log p as log1p of the odds against the target.",
    related=("spherical_softmax", "spherical_z_loss", "cross_entropy"),
    breaks=("shift of K", "absent entry of K"),
    also=("Taylor expansion of softmax", "softmax without exponentials"),
    use="A softmax without exponentials is wanted that still gives proper probabilities.",
    avoid="Scores leave the neighbourhood of zero: below -1 a lower score means a larger "
    "probability.",
)
def taylor_softmax(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Taylor softmax loss: log-loss with exp replaced by its second-order expansion.

    In nats. A very negative score raises a class's probability again, and a
    constant added to all scores changes it, unlike the softmax loss.
    """
    # q is half of (o + 1)^2 + 1, and a factor of all weights cancels
    return _share_loss(logits, target, shift=1.0, eps=1.0)


def _dead_point(o: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = torch.stack([o, o.flip(-1)]).masked_fill(F.one_hot(y, 5) == 1, 0.0).requires_grad_()
    (slope,) = torch.autograd.grad(spherical_softmax(leaf, torch.stack([y, 4 - y])), leaf)
    return slope == 0, leaf == 0


@declare(
    family="spherical",
    latex=r"\ell(o, y) = -\log \frac{o_y^2 + \epsilon}{\sum_k (o_k^2 + \epsilon)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial o_k} = \frac{2\, o_k}{o_k^2 + \epsilon} "
        r"\big(p_k - [k = y]\big)",
        lambda o, y, eps: _share_slope(o.square() + eps, 2 * o, y),
    ),
    parameters=(EPS,),
    form=SymbolicForm(lambda o, y: _share_form([x**2 + EPS.sympy for x in o], y), over="logits"),
    source=EXPLORATION,
    facts=(
        Fact(
            "Blind to signs, it depends on absolute scores: predict with the largest of them",
            lambda o, y: (spherical_softmax(o, y), spherical_softmax(o.abs(), y)),
        ),
        Fact(
            "Nearly scale-free: as eps goes to 0 multiplying all scores by a number changes "
            "nothing",
            lambda o, y: (
                spherical_softmax(-7 * o, y, eps=1e-12),
                spherical_softmax(o, y, eps=1e-12),
            ),
            rtol=1e-6,
        ),
        Fact("The gradient for a score of 0 is 0: start from scores that are not", _dead_point),
        minimiser(
            "sqrt(eta - eps)",
            when="eps in (0, 0.2)",
            statement="Proper as a log-loss: the expected loss is least where the probabilities "
            "are the label probabilities eta, if all of these exceed eps",
            proper=True,
        ),
    ),
    stability="Squares of scores scaled to at most 1; -log p as log1p of the odds against the "
    "target.",
    related=("taylor_softmax", "spherical_z_loss"),
    breaks=("shift of K", "absent entry of K"),
    view={"starts": {"eps": 0.1}},
    also=("squared softmax",),
    use="There are very many classes and exact updates of the last layer are wanted "
    "that do not depend on their number.",
    avoid="The sign of a score should matter, or training starts at zero scores, where "
    "nothing moves.",
)
def spherical_softmax(
    logits: torch.Tensor, target: torch.Tensor, *, eps: float = EPS.default
) -> torch.Tensor:
    """Spherical softmax loss: log-loss with exp replaced by the square, blind to a score's sign.

    In nats. Predict with the largest absolute score. A constant added to all
    scores changes it.
    """
    return _share_loss(logits, target, shift=0.0, eps=eps)
