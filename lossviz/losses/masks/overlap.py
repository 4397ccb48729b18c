"""Dice, its self-adjusting form and Tversky: losses of overlap instead of single pixels.

Each is one minus a ratio of soft counts. It is computed as what is missing from the numerator over
the denominator, because one minus the ratio loses its digits near a perfect prediction.
"""

from __future__ import annotations

import torch

from ...declaration import Fact, Gradient, Loss, Source, declare, monotone, number, row_dtype
from . import MASKS, PIXELS, SMOOTH

LI = Source("li2020dice", "the self-adjusting dice loss and the Tversky index")


def share(missing: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """missing / total, and 0 where there is nothing to miss."""
    nothing = total == 0
    return torch.where(nothing, 0.0, missing / torch.where(nothing, 1.0, total))


def _is_one_minus_f1(p: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    hard = p > 0.5
    both, only = (a.sum((-2, -1)).double() for a in (hard & t, hard ^ t))
    return dice(hard.double(), t, smooth=0.0, reduction="none"), 1 - 2 * both / (2 * both + only)


def _dice_gradient(p: torch.Tensor, t: torch.Tensor, *, smooth: float) -> torch.Tensor:
    t = t.double()
    numerator = 2 * (p * t).sum((-2, -1), keepdim=True) + smooth
    denominator = p.sum((-2, -1), keepdim=True) + t.sum((-2, -1), keepdim=True) + smooth
    return numerator / denominator**2 - 2 * t / denominator


@declare(
    family="overlap",
    inputs=MASKS,
    latex=r"\ell(p, t) = 1 - \frac{2 \sum_i p_i t_i + s}{\sum_i p_i + \sum_i t_i + s}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial p_i} = \frac{2 \sum_j p_j t_j + s}{D^2} - "
        r"\frac{2\, t_i}{D}, \qquad D = \sum_j p_j + \sum_j t_j + s",
        _dice_gradient,
    ),
    parameters=(SMOOTH,),
    source=Source("milletari2016vnet", "the Dice loss", "the paper squares the denominator's sums"),
    facts=(
        Fact("One minus F1 of a hard mask, without smoothing", _is_one_minus_f1),
        Fact(
            "0 for the true mask itself (both sides plus 1)",
            lambda p, t: (1 + dice(t.double(), t, reduction="none"), torch.ones(len(p)).double()),
        ),
        Fact(
            "Turning the image about changes nothing; a pixel of the background alone still does: "
            "it stands in the denominator",
            lambda p, t: (
                dice(p.flip(-1).transpose(-1, -2), t.flip(-1).transpose(-1, -2)),
                dice(p, t),
            ),
        ),
        Fact(
            "At most 1, reached without smoothing by a prediction that misses the target",
            lambda p, t: (
                dice((~t).double(), t, smooth=0.0, reduction="none"),
                torch.ones(len(p)).double(),
            ),
            trait="bounded",
        ),
        monotone("smooth"),
    ),
    notes="Not a mean over pixels: per image (here) and pooled over the batch give two numbers. "
    "With smoothing an image without foreground is 0 for an empty prediction only.",
    related=("tversky_elementwise", "dsc_elementwise", "soft_cldice"),
    also=("F1 loss", "Sorensen-Dice", "segmentation", "soft Dice", "class imbalance"),
    use="Segmentation in which the object is small beside the background; often in a "
    "sum with cross-entropy.",
    avoid="Probabilities of pixels are wanted, or images without the object are many: "
    "choose the smoothing with care.",
)
def dice(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    *,
    smooth: float = 1.0,
    squared: bool = False,
    pooled: bool = False,
) -> torch.Tensor:
    """Dice loss: one minus twice the overlap over the sum of both areas.

    squared : whether the denominator sums squares (Milletari et al.), default no.
    pooled : whether to sum over the whole batch before the ratio, default no. The loss is then one
        number whatever the reduction.
    """
    t = target.to(probabilities.dtype)
    over = tuple(range(t.ndim)) if pooled else (-2, -1)
    difference, areas = (
        ((probabilities - t).square(), probabilities.square() + t)
        if squared
        else (torch.where(target, 1 - probabilities, probabilities), probabilities + t)
    )
    return share(difference.sum(over), areas.sum(over) + smooth)


ALPHA = number(
    "alpha", r"\alpha", "[0, inf)", (0.0, 2.0, 0.1),
    "power of (1 - p) by which confident predictions count less",
    "Dice of one element",
    "only undecided predictions count",
    label="how much sure predictions are played down", ends=("Dice", "undecided ones count"),
)  # fmt: skip
GAMMA = number(
    "gamma", r"\gamma", "[0, inf)", (0.0, 5.0, 0.5),
    "added to numerator and denominator of the ratio",
    "the bare ratio; 0 where nothing is there and nothing is predicted",
    "every prediction is as good as any other",
    label="added above and below in the ratio", ends=("the bare ratio", "blunt"),
)  # fmt: skip


def _best_positive(loss: Loss) -> None:
    """For a positive example the loss is least at p = 1 / (1 + alpha), whatever gamma."""
    p = torch.linspace(0.0005, 0.9995, 1999, dtype=torch.float64)
    for alpha in (0.5, 0.6, 1.0, 2.0):
        rows = loss(p, torch.ones_like(p), alpha=alpha, reduction="none")
        assert abs(p[rows.argmin()] - 1 / (1 + alpha)) < 1e-3


@declare(
    family="overlap",
    inputs=PIXELS,
    latex=r"\ell(p, t) = 1 - \frac{2\, \tilde p\, t + \gamma}{\tilde p + t + \gamma}, \qquad "
    r"\tilde p = (1 - p)^\alpha\, p",
    parameters=(ALPHA, GAMMA),
    source=LI,
    facts=(
        Fact(
            "alpha = 0 is Dice of a single pixel",
            lambda p, t: (
                dsc_elementwise(p, t, alpha=0.0, reduction="none"),
                dice(p[:, None, None], t[:, None, None], reduction="none"),
            ),
        ),
        Fact(
            "A positive example is best at p = 1 / (1 + alpha), whatever gamma: alpha = 1 pulls "
            "positives to one half",
            holds=_best_positive,
        ),
        Fact(
            "A negative example is as good at p = 1 as at p = 0 (both sides plus 1)",
            lambda p, t: (
                1 + dsc_elementwise(p.round(), t * 0, reduction="none"),
                torch.ones_like(p),
            ),
        ),
    ),
    notes="The minimum at 1 / (1 + alpha) means that the number is not a probability any more: "
    "calibrate, or rank by it only. The authors' scripts use alpha = 0.01.",
    related=("dice", "tversky_elementwise", "focal"),
    also=("DSC loss", "self-adjusting Dice", "class imbalance"),
    use="Tagging of text in which nearly all tokens are negative and F1 is what counts.",
    avoid="Probabilities are wanted: with alpha above 0 a positive example is best at less than 1.",
)
def dsc_elementwise(
    probability: torch.Tensor, target: torch.Tensor, *, alpha: float = 1.0, gamma: float = 1.0
) -> torch.Tensor:
    """Self-adjusting dice loss: Dice of one element, in which the confident count less."""
    exact = probability.to(row_dtype(probability))
    damped = (1 - exact) ** alpha * exact
    t = target.to(damped.dtype)
    return share(torch.where(target, 1 - damped, damped), damped + t + gamma)


FALSE_POSITIVES = number(
    "alpha", r"\alpha", "[0, inf)", (0.0, 2.0, 0.1),
    "weight of false positives", "false positives cost nothing", "precision alone",
    ends=("they cost nothing", "dear"),
)  # fmt: skip
FALSE_NEGATIVES = number(
    "beta", r"\beta", "[0, inf)", (0.0, 2.0, 0.1),
    "weight of false negatives", "false negatives cost nothing", "recall alone",
    ends=("they cost nothing", "dear"),
)  # fmt: skip


@declare(
    family="overlap",
    inputs=PIXELS,
    latex=r"\ell(p, t) = 1 - \frac{p\, t + \gamma}"
    r"{p\, t + \alpha\, p\, (1 - t) + \beta\, (1 - p)\, t + \gamma}",
    parameters=(FALSE_POSITIVES, FALSE_NEGATIVES, GAMMA),
    source=LI,
    facts=(
        Fact(
            "alpha = beta = 1/2 is Dice of a single pixel with twice the smoothing",
            lambda p, t: (
                tversky_elementwise(p, t, reduction="none"),
                dice(p[:, None, None], t[:, None, None], smooth=2.0, reduction="none"),
            ),
        ),
        Fact(
            "alpha = beta = 1 and gamma = 0 is one minus the Jaccard index",
            lambda p, t: (
                tversky_elementwise(p, t, alpha=1.0, beta=1.0, gamma=0.0, reduction="none"),
                1 - torch.where(t, p, 0.0) / torch.where(t, 1.0, p),
            ),
        ),
        monotone("alpha", "up"),
        monotone("beta", "up"),
    ),
    related=("dice", "dsc_elementwise"),
    also=("Tversky index", "Jaccard", "F-beta", "precision and recall", "class imbalance"),
    use="Missing an element and inventing one should not cost the same.",
    avoid="Both errors cost the same: it is Dice then. Probabilities are wanted.",
)
def tversky_elementwise(
    probability: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 1.0,
) -> torch.Tensor:
    """Tversky loss: Dice of one element with its two kinds of error weighed apart."""
    exact = probability.to(row_dtype(probability))
    missing = torch.where(target, beta * (1 - exact), alpha * exact)
    return share(missing, torch.where(target, exact, 0.0) + missing + gamma)


MISSED = number(
    "alpha", r"\alpha", "[0, 1]", (0.0, 1.0, 0.1),
    "weight of missed pixels; invented ones have 1 - alpha",
    "missed pixels cost nothing", "invented pixels cost nothing",
    label="weight of missed pixels", ends=("they cost nothing", "they alone cost"),
)  # fmt: skip
FOCUS = number(
    "gamma", r"\gamma", "(0, inf)", (0.25, 2.0, 0.25),
    "power of the shortfall", "every fault costs nearly the same",
    "only bad masks count",
    label="power of the shortfall", ends=("every fault alike", "bad masks count"),
)  # fmt: skip


def _roles_exchanged(p: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    hard = p > 0.5
    return (
        focal_tversky(hard.double(), t, alpha=0.3, reduction="none"),
        focal_tversky(t.double(), hard, alpha=0.7, reduction="none"),
    )


@declare(
    family="overlap",
    inputs=MASKS,
    latex=r"\ell(p, t) = \Big( 1 - \frac{\sum p\, t + s}"
    r"{\sum p\, t + \alpha \sum (1 - p)\, t + (1 - \alpha) \sum p\, (1 - t) + s} \Big)^\gamma",
    parameters=(MISSED, FOCUS, SMOOTH),
    source=Source(
        "abraham2019focal",
        "eq. 2 to 4",
        "the paper writes the power as 1 / gamma, with gamma = 4/3",
    ),
    facts=(
        Fact(
            "alpha = 1/2 and gamma = 1 is Dice with twice the smoothing",
            lambda p, t: (
                focal_tversky(p, t, alpha=0.5, gamma=1.0, reduction="none"),
                dice(p, t, smooth=2.0, reduction="none"),
            ),
        ),
        Fact("Hard masks that exchange their roles exchange alpha and 1 - alpha", _roles_exchanged),
        Fact(
            "A power of the loss with gamma = 1",
            lambda p, t: (
                focal_tversky(p, t, reduction="none"),
                focal_tversky(p, t, gamma=1.0, reduction="none") ** 0.75,
            ),
        ),
        monotone("gamma"),
    ),
    stability="The share of what is missing is computed, not one minus the rest. With a power "
    "below 1 the gradient grows without bound towards the true mask; at that mask itself it is "
    "set to 0.",
    notes="A power below 1 raises the loss of images that are nearly right, and with it their "
    "gradient: the opposite of what focal does to single pixels.",
    related=("dice", "tversky_elementwise", "focal"),
    also=("Tversky", "small lesions", "segmentation", "class imbalance"),
    use="Small objects in which a missed pixel costs more than an invented one.",
    avoid="Training ends near perfect masks: the gradient has no bound there; take gamma = 1.",
)
def focal_tversky(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.7,
    gamma: float = 0.75,
    smooth: float = 1.0,
    pooled: bool = False,
) -> torch.Tensor:
    """Focal Tversky loss: a power of the overlap's shortfall, with two kinds of error apart.

    pooled : whether to sum over the whole batch before the ratio, default no. The loss is then one
        number whatever the reduction.
    """
    p = probabilities.to(row_dtype(probabilities))
    t = target.to(p.dtype)
    over = tuple(range(t.ndim)) if pooled else (-2, -1)
    missing = torch.where(target, alpha * (1 - p), (1 - alpha) * p).sum(over)
    short = share(missing, (p * t).sum(over) + missing + smooth)
    perfect = short == 0
    return torch.where(perfect, 0.0, torch.where(perfect, 1.0, short) ** gamma)
