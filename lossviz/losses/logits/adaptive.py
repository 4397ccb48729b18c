r"""LDR-KL with a temperature for each example: the one at which its loss, less a price, is largest.

.. math:: \ell = \max_{\lambda} \Big[ \psi_\lambda
          - \frac{\alpha \log K}{2 \lambda_0} (\lambda - \lambda_0)^2 \Big] .

The temperature of uncertain examples stays at lam0, that of certain ones falls, to
lam0 (1 - 1/alpha) at the lowest. `aldr_kl` finds the maximum itself; `RememberedTemperature` is
what the authors' code does in its place.
"""

from __future__ import annotations

import math

import torch

from .checks import check_labels, check_reduction, reduce_rows, row_dtype
from .compsum import CLASS_LOGITS, example_logits
from .declaration import Limit, Loss, Parameter, Property, Source
from .robust import MARGIN, ZHU, ldr_kl, normalise_scores, score_differences, smooth_maximum

LAM0 = Parameter(
    name="lam0",
    symbol=r"\lambda_0",
    default=1.0,
    low=0.0,
    high=math.inf,
    low_open=True,
    slider=(0.2, 5.0, 0.1),
    meaning="temperature of the most uncertain examples",
    at_low="the multi-class hinge loss",
    at_high="the mean of all score differences",
)
ADAPTIVITY = Parameter(
    name="alpha",
    symbol=r"\alpha",
    default=2.0,
    low=1.0,
    high=math.inf,
    low_open=True,
    slider=(1.1, 10.0, 0.1),
    meaning="price of a temperature that differs from lam0",
    at_low="the temperature of a certain example may fall to 0",
    at_high="the temperature stays at lam0: LDR-KL",
)


def aldr_kl(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    lam0: float = 1.0,
    alpha: float = 2.0,
    margin: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Adaptive LDR-KL: each example has the temperature at which its loss is largest.

    .. math:: \ell = \max_{\lambda} \Big[ \psi_\lambda
              - \frac{\alpha \log K}{2 \lambda_0} (\lambda - \lambda_0)^2 \Big], \qquad
              \lambda^* = \lambda_0 - \frac{\lambda_0}{\alpha \log K} \mathrm{KL}(p^* \,\|\, u).

    Parameters
    ----------
    logits, target : as in `ldr_kl`.
    lam0 : number in (0, inf), default 1: the largest temperature, kept by uncertain examples.
    alpha : number in (1, inf), default 2. The temperature lies in [lam0 (1 - 1/alpha), lam0].
    margin, ignore_index, reduction : as in `ldr_kl`.

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none". It is at least `ldr_kl` at
    lam0.

    Raises
    ------
    As `ldr_kl`; ValueError for lam0 <= 0 or alpha <= 1.

    Notes
    -----
    The maximum is found to rounding for each example (`adapted_temperature`). The authors' code
    instead keeps one temperature per training example and moves it once a step, from the previous
    one: `RememberedTemperature`. Source: Zhu, Ying and Yang (2023).
    """
    lam0, alpha, margin = LAM0.check(lam0), ADAPTIVITY.check(alpha), MARGIN.check(margin)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    delta = score_differences(logits, labels, margin)
    if logits.shape[-1] == 1:  # one class: nothing to weigh, and log K = 0
        return reduce_rows(delta.squeeze(-1), kept, reduction, logits.dtype)
    lam = _adapt(delta, lam0, alpha)
    rows = smooth_maximum(delta, lam) - _price(lam, lam0, alpha, logits.shape[-1])
    return reduce_rows(rows, kept, reduction, logits.dtype)


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
    labels, _ = check_labels(logits, target, -100)
    delta = score_differences(logits, labels, margin)
    if logits.shape[-1] == 1:
        return torch.full_like(delta.squeeze(-1), lam0)
    return _adapt(delta, lam0, alpha).detach()


def _price(lam: torch.Tensor, lam0: float, alpha: float, num_classes: int) -> torch.Tensor:
    return alpha * math.log(num_classes) / (2 * lam0) * (lam - lam0) ** 2


SCAN = 24
NEWTON = 12


def _adapt(delta: torch.Tensor, lam0: float, alpha: float) -> torch.Tensor:
    """The maximiser over lam: a scan, because there may be two maxima, then Newton in its cell.

    psi is convex in lam, so that minus a parabola need not be concave; many classes behind one
    leader (a sudden freezing) do make two maxima.
    """
    with torch.no_grad():
        low = lam0 * (1 - 1 / alpha)
        cell = (lam0 - low) / SCAN
        lam = torch.full_like(delta[..., 0], lam0)
        height = smooth_maximum(delta, lam)
        for step in range(SCAN):
            other = torch.full_like(lam, low + step * cell)
            value = smooth_maximum(delta, other) - _price(other, lam0, alpha, delta.shape[-1])
            lam = torch.where(value > height, other, lam)
            height = torch.maximum(value, height)
        left, right = (lam - cell).clamp_min(low), (lam + cell).clamp_max(lam0)
        for _ in range(NEWTON):
            slope, bend = _slope_and_bend(delta, lam, lam0, alpha)
            left, right = torch.where(slope > 0, lam, left), torch.where(slope > 0, right, lam)
            newton = lam - slope / bend
            inside = (newton >= left) & (newton <= right)
            lam = torch.where(inside, newton, (left + right) / 2)
        bend = _slope_and_bend(delta, lam, lam0, alpha)[1]
    # The last Newton step moves nothing, but by it derivatives see how lam follows the logits.
    return lam - _slope_and_bend(delta, lam, lam0, alpha)[0] / bend


def _slope_and_bend(
    delta: torch.Tensor, lam: torch.Tensor, lam0: float, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second derivative in lam of what `aldr_kl` maximises."""
    log_k = math.log(delta.shape[-1])
    delta = delta.clamp_min(-1e15)  # a class ruled out by -inf weighs 0, and 0 * inf must not arise
    log_p = (delta / lam.unsqueeze(-1)).log_softmax(-1)
    p = log_p.exp()
    divergence = log_k + (p * log_p).sum(-1)
    spread = delta - (p * delta).sum(-1, keepdim=True)
    slope = -divergence - alpha * log_k / lam0 * (lam - lam0)
    return slope, (p * spread**2).sum(-1) / lam**3 - alpha * log_k / lam0


class RememberedTemperature:
    """One temperature per training example, moved once a step, as in the authors' code for ALDR-KL.

    Before `aldr_kl`'s maximum is reached, lam is one step of its fixed-point equation behind: the
    weights come from softmax(scores / previous lam), ignore the margin and are smoothed by 1e-5.
    `temperatures` (num_examples,) starts at `lam0` and is the only state.

    Raises ValueError for num_examples < 1, lam0 <= 0, alpha <= 1 or margin < 0.
    """

    SMOOTHING = 1e-5

    def __init__(
        self, num_examples: int, *, lam0: float = 10.0, alpha: float = 2.0, margin: float = 0.1
    ) -> None:
        if isinstance(num_examples, bool) or not isinstance(num_examples, int) or num_examples < 1:
            raise ValueError(f"num_examples must be a positive int, got {num_examples!r}")
        self.lam0, self.alpha = LAM0.check(lam0), ADAPTIVITY.check(alpha)
        self.margin = MARGIN.check(margin)
        self.temperatures = torch.full((num_examples,), self.lam0, dtype=torch.float64)

    def __call__(
        self, scores: torch.Tensor, target: torch.Tensor, examples: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss of a batch: scores (N, K), labels (N,), and which training examples (N,).

        The scores are normalised as in the code, `normalise_scores(scores, "absolute")`.
        """
        labels, _ = check_labels(scores, target, -100, "scores")
        num_classes = scores.shape[-1]
        scores = normalise_scores(scores.to(row_dtype(scores)), "absolute")
        previous = self.temperatures[examples].to(scores)
        with torch.no_grad():
            p = (scores / previous.unsqueeze(-1)).softmax(-1) + self.SMOOTHING
            p = p / p.sum(-1, keepdim=True)
            divergence = math.log(num_classes) + (p * p.log()).sum(-1)
            lam = self.lam0 - self.lam0 * divergence / (self.alpha * math.log(num_classes))
            self.temperatures[examples] = lam.to(self.temperatures)
        delta = score_differences(scores, labels, self.margin)
        rows = smooth_maximum(delta, lam) - _price(lam, self.lam0, self.alpha, num_classes)
        return rows.mean()


# --- declarations ---------------------------------------------------------------------------------


def _rigid() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    ours = aldr_kl(logits, target, lam0=0.8, alpha=1e9, margin=0.3, reduction="none")
    return ours, ldr_kl(logits, target, lam=0.8, margin=0.3, reduction="none")


def _fixed_point() -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    lam = adapted_temperature(logits, target, lam0=2.0, alpha=3.0)
    p = (logits / lam.unsqueeze(1)).softmax(1)
    divergence = (p * (5 * p).log()).sum(1)
    return lam, 2.0 - 2.0 * divergence / (3.0 * math.log(5))


ALDR_KL = Loss(
    key="aldr_kl",
    title="ALDR-KL loss",
    family="label-distributionally robust",
    function=aldr_kl,
    summary="LDR-KL with a temperature for each example: low where the scores are certain.",
    latex=r"\ell(z, y) = \max_\lambda \Big[ \psi_\lambda(z, y) - \frac{\alpha \log K}{2\lambda_0} "
    r"(\lambda - \lambda_0)^2 \Big]",
    gradient=r"\frac{\partial \ell}{\partial z} = p - e_y, \qquad "
    r"p_k \propto e^{\delta_k / \lambda^*}",
    inputs=CLASS_LOGITS,
    parameters=(LAM0, ADAPTIVITY, MARGIN),
    source=Source(
        "zhu2023label",
        "the adaptive LDR-KL loss",
        "the authors' code moves a remembered temperature one step instead of maximising, from "
        "weights that ignore the margin and the present temperature, and divides the scores by "
        "their mean absolute value; we follow the definition",
    ),
    properties=(
        Property(
            "temperature",
            r"$\lambda^* = \lambda_0 - \lambda_0\,\mathrm{KL}(p \,\|\, u) / (\alpha \log K)$ lies "
            r"in $[\lambda_0 (1 - 1/\alpha), \lambda_0]$: certain examples get a low one, "
            r"uncertain ones keep $\lambda_0$.",
            source=ZHU,
        ),
        Property(
            "above LDR-KL", r"At least the LDR-KL loss at $\lambda_0$, as a maximum over $\lambda$."
        ),
        Property(
            "convex in the logits",
            r"At each $\lambda$ the bracket is convex in the logits, and so is the largest.",
        ),
    ),
    limits=(
        Limit("alpha to infinity is LDR-KL at lam0", _rigid, rtol=1e-6),
        Limit("the temperature solves its fixed-point equation", _fixed_point),
    ),
    stability="The objective may have two maxima in lam (many classes behind one leader): a scan "
    "picks the right one, safeguarded Newton steps polish it. The slope in lam is 0 there, so the "
    "gradient is that at a fixed lam; second derivatives see lam move.",
    notes="Not what the authors' code computes: there one temperature per training example is "
    "moved once a step from its previous value, the weights that move it ignore the margin, the "
    "scores are first divided by their mean absolute value, and a row of zero scores gives 0/0. "
    "`RememberedTemperature` in `lossviz.losses.adaptive` is that procedure, zero rows kept zero.",
    related=("ldr_kl", "cross_entropy"),
)
