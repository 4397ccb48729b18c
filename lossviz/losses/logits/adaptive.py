r"""LDR-KL with a temperature for each example: the one at which its loss, less a price, is largest.

.. math:: \ell = \max_{\lambda} \Big[ \psi_\lambda
          - \frac{\alpha \log K}{2 \lambda_0} (\lambda - \lambda_0)^2 \Big], \qquad
          \lambda^* = \lambda_0 - \frac{\lambda_0}{\alpha \log K} \mathrm{KL}(p^* \,\|\, u).

The temperature of uncertain examples stays at lam0, that of certain ones falls, to
lam0 (1 - 1/alpha) at the lowest. `aldr_kl` finds the maximum itself; `experiments.remembered` is
what the authors' code does in its place.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Fact,
    Gradient,
    Source,
    convex,
    declare,
    exact_by_rows,
    number,
    row_dtype,
)
from ...declaration.numbers import possible
from .robust import (
    MARGIN,
    ZHU,
    hinge_of_the_others,
    ldr_kl,
    score_differences,
    smooth_maximum,
    weights_less_one_hot,
    without_target,
    worst_weights,
)

LAM0 = number(
    "lam0", r"\lambda_0", "(0, inf)", (0.2, 5.0, 0.1),
    "temperature of the most uncertain examples",
    "the multi-class hinge loss",
    "the mean of all score differences",
    ends=("hinge", "mean of all"),
)  # fmt: skip
ADAPTIVITY = number(
    "alpha", r"\alpha", "(1, inf)", (1.1, 10.0, 0.1),
    "price of a temperature that differs from lam0",
    "the temperature of a certain example may fall to 0",
    "the temperature stays at lam0: LDR-KL",
    label="how much the temperature adapts", ends=("fully", "hardly"),
)  # fmt: skip


def _fixed_point(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    lam = adapted_temperature(z, y, lam0=2.0, alpha=3.0)
    p = (z / lam.unsqueeze(1)).softmax(1)
    log_k = math.log(z.shape[-1])
    divergence = log_k + (p * p.log()).sum(1)
    return lam, 2.0 - 2.0 * divergence / (3.0 * log_k)


def _ends_of_temperature(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    winners = torch.cat([z, 0.0 * z, 1e3 * F.one_hot(y, z.shape[-1])])
    lam = adapted_temperature(winners, y.repeat(3), lam0=2.0, alpha=4.0)
    return torch.stack([lam.min(), lam.max()]), torch.tensor([1.5, 2.0]).to(lam)


def _at_least_ldr_kl(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows, at_lam0 = (f(z, y, reduction="none") for f in (aldr_kl, ldr_kl))
    return rows, torch.maximum(rows, at_lam0)


@declare(
    family="label-distributionally robust",
    latex=r"\ell(z, y) = \max_\lambda \Big[ \psi_\lambda(z, y) - \frac{\alpha \log K}{2\lambda_0} "
    r"(\lambda - \lambda_0)^2 \Big]",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z} = p - e_y, \qquad p_k \propto e^{\delta_k / \lambda^*}",
        lambda z, y, *, margin, **price: (
            worst_weights(z, y, adapted_temperature(z, y, margin=margin, **price), margin)
            - F.one_hot(y, z.shape[-1])
        ),
    ),
    parameters=(LAM0, ADAPTIVITY, MARGIN),
    source=Source(
        "zhu2023label",
        "the adaptive LDR-KL loss",
        "the authors' code moves a remembered temperature one step instead of maximising, from "
        "weights that ignore the margin and the present temperature, and divides the scores by "
        "their mean absolute value; we follow the definition",
    ),
    facts=(
        Fact(
            "The temperature is lam0 - lam0 KL(p, u) / (alpha log K), p the weights at it",
            _fixed_point,
            source=ZHU,
        ),
        Fact(
            "The temperature lies in [lam0 (1 - 1/alpha), lam0]: certain examples get a low one, "
            "uncertain ones keep lam0",
            _ends_of_temperature,
            source=ZHU,
        ),
        Fact(
            "alpha to infinity is LDR-KL at lam0",
            lambda z, y: (
                aldr_kl(z, y, lam0=0.8, alpha=1e9, margin=0.3, reduction="none"),
                ldr_kl(z, y, lam=0.8, margin=0.3, reduction="none"),
            ),
            rtol=1e-6,
        ),
        Fact("At least the LDR-KL loss at lam0, as a maximum over lam", _at_least_ldr_kl),
        convex(why="at each lam the bracket is convex in the logits, and so is the largest"),
    ),
    stability="The objective may have two maxima in lam (many classes behind one leader): a scan "
    "picks the right one, safeguarded Newton steps polish it. The slope in lam is 0 there, so the "
    "gradient is that at a fixed lam; second derivatives see lam move.",
    notes="Not what the authors' code computes: there one temperature per training example is "
    "moved once a step from its previous value, the weights that move it ignore the margin, the "
    "scores are first divided by their mean absolute value, and a row of zero scores gives 0/0. "
    "`lossviz.experiments.remembered` has that procedure, zero rows kept zero.",
    related=("ldr_kl", "cross_entropy"),
    breaks=("absent entry of K",),
    also=("adaptive temperature", "distributionally robust loss"),
    use="Only some examples are doubtful, and which ones is not known: each gets its "
    "own temperature.",
    avoid="One temperature for all does: LDR-KL is cheaper and easier to reason about.",
)
def aldr_kl(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    lam0: float = 1.0,
    alpha: float = 2.0,
    margin: float = 0.0,
) -> torch.Tensor:
    """ALDR-KL loss: LDR-KL with a temperature for each example, low where the scores are certain.

    The maximum is found to rounding for each example (`adapted_temperature`). The authors' code
    instead keeps one temperature per training example and moves it once a step, from the previous
    one (`lossviz.experiments.remembered`). A target that is ruled out (-inf) costs inf, with the
    gradient of one far below.
    """
    return _at_best(logits, target, lam0=lam0, alpha=alpha, margin=margin)


def adapted_temperature(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    lam0: float = 1.0,
    alpha: float = 2.0,
    margin: float = 0.0,
) -> torch.Tensor:
    """The temperature (...) that `aldr_kl` gives each example, in [lam0 (1 - 1/alpha), lam0].

    Arguments and errors as in `aldr_kl`, without ignored rows; float64, without gradient.
    """
    lam0, alpha, margin = LAM0.check(lam0), ADAPTIVITY.check(alpha), MARGIN.check(margin)
    checked = CLASS_LOGITS.check({"logits": logits, "target": target})
    options = {"lam0": lam0, "alpha": alpha, "margin": margin}
    with torch.no_grad():
        return _temperature(checked["logits"], checked["target"], **options)


def _finite(delta: torch.Tensor) -> torch.Tensor:
    """A class ruled out by -inf weighs 0 all the same, and no derivative meets 0 * inf."""
    return delta.masked_fill(delta.isneginf(), -1e15)


def price(lam: torch.Tensor, lam0: float, alpha: float, num_classes: int) -> torch.Tensor:
    """What a temperature (...) that differs from lam0 costs."""
    return alpha * math.log(num_classes) / (2 * lam0) * (lam - lam0) ** 2


STEPS = 24  # of the scan, until the temperature is halved
HALVINGS = 6
NEWTON = 4


def _slopes(
    logits: torch.Tensor, target: torch.Tensor, **options: float
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """At the best temperature the gradient is that at a fixed one."""
    index, num_classes = target.unsqueeze(-1), logits.shape[-1]
    if num_classes == 1 or possible(logits.gather(-1, index).isneginf()):
        return None
    delta = score_differences(logits, target, options["margin"])
    lam = _best(_gaps(delta), options["lam0"], options["alpha"])
    rows = smooth_maximum(_finite(delta), lam)
    rows = rows - price(lam, options["lam0"], options["alpha"], num_classes)
    return rows, weights_less_one_hot(delta, index, lam.unsqueeze(-1))


@partial(exact_by_rows, slopes=_slopes)
def _at_best(logits: torch.Tensor, target: torch.Tensor, **options: float) -> torch.Tensor:
    lam0, alpha, margin = options["lam0"], options["alpha"], options["margin"]
    present, absent = without_target(logits, target)
    delta = _finite(score_differences(present, target, margin))
    num_classes = logits.shape[-1]
    if num_classes == 1:  # nothing to weigh, and log K = 0
        return torch.where(absent, torch.inf, delta.squeeze(-1))
    lam = _adapt(logits, target, **options)
    fixed = lam.detach()  # an infinite loss has no slope in lam that could be 0
    lam = torch.where(absent, fixed, lam) if possible(absent) else lam
    rows = smooth_maximum(delta, lam)
    if possible(absent):
        rows = torch.where(absent, hinge_of_the_others(logits, target, fixed, margin), rows)
    return rows - price(lam, lam0, alpha, num_classes)


def _adapt(
    logits: torch.Tensor, target: torch.Tensor, *, lam0: float, alpha: float, margin: float
) -> torch.Tensor:
    """The temperature (...); derivatives see how it follows the logits."""
    if logits.shape[-1] == 1:
        return torch.full_like(logits.squeeze(-1), lam0)
    index = target.unsqueeze(-1)
    gaps = _gaps((logits + margin).scatter(-1, index, logits.gather(-1, index)))
    lam = _best(gaps.detach(), lam0, alpha)
    # one more step moves nothing, but has a derivative
    slope, bend = _slope_and_bend(gaps, lam, lam0, alpha)
    return lam - slope / bend.detach()


_temperature = exact_by_rows(_adapt)


def _gaps(scores: torch.Tensor) -> torch.Tensor:
    """Scores (..., K) less the largest; one ruled out weighs 0, and 0 * inf must not arise."""
    gaps = scores - scores.detach().amax(-1, keepdim=True)
    return gaps.clamp_min(-1e15) if possible(gaps.detach().amin(-1) < -1e15) else gaps


def _best(gaps: torch.Tensor, lam0: float, alpha: float) -> torch.Tensor:
    """The maximiser over lam: a scan, because there may be two maxima, then Newton in its cell.

    psi is convex in lam, so that minus a parabola need not be concave; many classes behind one
    leader (a sudden freezing) do make two maxima.
    """
    with torch.no_grad():
        # the last step is exact, and doubles the digits of those before it
        coarse = gaps.float()
        left, lam, right = _scan(coarse, lam0, alpha)
        for _ in range(NEWTON):
            slope, bend = _slope_and_bend(coarse, lam, lam0, alpha)
            left, right = torch.where(slope > 0, lam, left), torch.where(slope > 0, right, lam)
            newton = lam - slope / bend
            inside = (newton >= left) & (newton <= right)
            lam = torch.where(inside, newton, (left + right) / 2)
        slope, bend = _slope_and_bend(gaps, lam, lam0, alpha)
        lam = lam - slope / bend
    return lam


def _scan(
    gaps: torch.Tensor, lam0: float, alpha: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best of some temperatures (...), between the next below it and the next above."""
    exact, low, log_k = row_dtype(gaps), lam0 * (1 - 1 / alpha), math.log(gaps.shape[-1])
    if torch.compiler.is_compiling():  # which fuses all of this into one pass
        cell = (lam0 - low) / STEPS
        lams = low + cell * torch.arange(1, STEPS + 1, device=gaps.device, dtype=exact)
        sums = (gaps.unsqueeze(-2) / lams.unsqueeze(-1).to(gaps.dtype)).exp().sum(-1).to(exact)
        heights = lams * (sums.log() - log_k) - price(lams, lam0, alpha, gaps.shape[-1])
        best = low + cell * (heights.argmax(-1) + 1).to(exact)  # vmap maps no lookup
        # a literal bound: inductor may keep others from its first call
        return best - cell, best, lam0 + (best + cell - lam0).clamp_max(0.0)
    step, inverse = 1 / (STEPS * lam0), 1 / lam0
    odds = (gaps * inverse).exp()
    height = lam0 * (odds.sum(-1).to(exact).log() - log_k)
    nothing = torch.zeros_like(height)  # inductor may keep the first number of a full_like
    best = right = nothing + lam0
    left = nothing + low
    above, newest = lam0, torch.ones_like(height, dtype=torch.bool)
    for count in range(STEPS * HALVINGS):
        if count % STEPS == 0:  # equal steps of 1 / lam, by a product instead of an exponential
            step = inverse / STEPS
            ratio = (gaps * step).exp()
        inverse = inverse + step
        lam = 1 / inverse
        if lam <= low:
            break
        odds = odds * ratio
        value = lam * (odds.sum(-1).to(exact).log() - log_k)
        value = value - alpha * log_k / (2 * lam0) * (lam - lam0) ** 2
        left = torch.where(newest, lam, left)
        newest = value > height
        height = torch.maximum(height, value)
        best, right = torch.where(newest, lam, best), torch.where(newest, above, right)
        left = torch.where(newest, low, left)
        above = lam
    return left, best, right


def _slope_and_bend(
    gaps: torch.Tensor, lam: torch.Tensor, lam0: float, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second derivative in lam of what `aldr_kl` maximises."""
    log_k = math.log(gaps.shape[-1])
    odds = (gaps / lam.unsqueeze(-1).to(gaps.dtype)).exp()
    weighted = odds * gaps
    moments = odds, weighted, weighted * gaps
    total, first, second = (moment.sum(-1).to(lam.dtype) for moment in moments)
    mean = first / total
    divergence = log_k - total.log() + mean / lam
    slope = -divergence - alpha * log_k / lam0 * (lam - lam0)
    return slope, (second / total - mean**2) / lam**3 - alpha * log_k / lam0
