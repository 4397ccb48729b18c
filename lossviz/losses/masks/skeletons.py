"""Skeletons, soft and given: centre-line Dice and the recall of a skeleton."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare
from ...declaration.kinds import MASK
from ...declaration.numbers import DTYPES
from . import MASKS, SMOOTH
from .overlap import share

LINES = Inputs(
    MASKS["probabilities"],
    Argument("skeleton", MASK, "... H W", "Skeleton of the true mask, perhaps thickened"),
)


def soft_skeleton(image: torch.Tensor, *, iterations: int = 10) -> torch.Tensor:
    """Soft skeleton of images (..., H, W): what erosions peel off and openings do not give back.

    image : floating tensor with values in [0, 1]. iterations : number of erosions, >= 0, default
    10; half the width of the thickest structure is enough. Returns (..., H, W), differentiable.

    Erosion is the least of the cross of five pixels, dilation the largest of the square of nine;
    outside the image nothing is seen by either, so a constant image has an empty skeleton.

    Raises TypeError for an image or iterations of a wrong type, ValueError for fewer than two axes
    or negative iterations. Source: Shit et al. (2021), algorithm 1.
    """
    if not isinstance(image, torch.Tensor) or image.dtype not in DTYPES:
        got = image.dtype if isinstance(image, torch.Tensor) else type(image).__name__
        raise TypeError(f"image must be a floating torch.Tensor, got {got}")
    if isinstance(iterations, bool) or not isinstance(iterations, int):
        raise TypeError(f"iterations must be an int, got {type(iterations).__name__}")
    if iterations < 0:
        raise ValueError(f"iterations must not be negative, got {iterations}")
    if image.ndim < 2 or 0 in image.shape[-2:]:
        raise ValueError(f"image must have shape (..., H, W), got {tuple(image.shape)}")
    x = image.reshape(-1, 1, *image.shape[-2:])
    skeleton = torch.relu(x - _dilate(_erode(x)))
    for _ in range(iterations):
        x = _erode(x)
        new = torch.relu(x - _dilate(_erode(x)))
        skeleton = skeleton + torch.relu(new - skeleton * new)
    return skeleton.reshape(image.shape)


def _erode(x: torch.Tensor) -> torch.Tensor:
    upright = -F.max_pool2d(-x, (3, 1), 1, (1, 0))
    flat = -F.max_pool2d(-x, (1, 3), 1, (0, 1))
    return torch.minimum(upright, flat)


def _dilate(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def _of_skeletons(p: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    truth = t.double()
    of_p, of_t = soft_skeleton(p), soft_skeleton(truth)
    precision = ((of_p * truth).sum((-2, -1)) + 1) / (of_p.sum((-2, -1)) + 1)
    sensitivity = ((of_t * p).sum((-2, -1)) + 1) / (of_t.sum((-2, -1)) + 1)
    harmonic = 2 / (1 / precision + 1 / sensitivity)
    return soft_cldice(p, t, reduction="none"), 1 - harmonic


@declare(
    family="topology",
    inputs=MASKS,
    latex=r"\ell(p, t) = 1 - \frac{2\, T_p T_s}{T_p + T_s}, \qquad "
    r"T_p = \frac{\langle k(p), t \rangle + s}{\sum k(p) + s}, \quad "
    r"T_s = \frac{\langle k(t), p \rangle + s}{\sum k(t) + s}",
    parameters=(SMOOTH,),
    source=Source(
        "shit2021cldice",
        "algorithm 1 and eq. 1 to 3",
        "the published code always makes 10 iterations, whatever is asked for",
    ),
    facts=(
        Fact(
            "One minus the harmonic mean of both skeletons' shares inside the other", _of_skeletons
        ),
        Fact(
            "0 for the true mask itself (both sides plus 1)",
            lambda p, t: (
                1 + soft_cldice(t.double(), t, reduction="none"),
                torch.ones(len(p)).double(),
            ),
        ),
        Fact(
            "0 for a prediction that is all foreground, whatever the target (both sides plus 1): "
            "its skeleton is empty, so the loss is unusable alone",
            lambda p, t: (
                1 + soft_cldice(torch.ones_like(p), t, reduction="none"),
                torch.ones(len(p)).double(),
            ),
        ),
    ),
    notes="Weigh it beside Dice or cross-entropy: alone it is least for an image that is all "
    "foreground. Gradients of minima and maxima reach one pixel of each neighbourhood.",
    related=("dice", "skeleton_recall"),
    also=("clDice", "topology", "vessel segmentation", "connectivity", "skeleton"),
    use="Thin structures such as vessels or roads must stay connected; beside Dice or "
    "cross-entropy.",
    avoid="It would stand alone: a prediction that is all foreground costs nothing.",
)
def soft_cldice(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    *,
    smooth: float = 1.0,
    skeleton_iterations: int = 10,
    pooled: bool = False,
) -> torch.Tensor:
    """Soft centre-line Dice loss: overlap of each mask with the other's skeleton.

    skeleton_iterations : number of erosions, default 10: half the width of the widest line.
    pooled : whether to sum over the whole batch before the ratios, default no. The loss is then one
        number whatever the reduction.

    With ``smooth=0`` an empty skeleton has share 1.
    """
    t = target.to(probabilities.dtype)
    over = tuple(range(t.ndim)) if pooled else (-2, -1)

    def outside(mask: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        skeleton = soft_skeleton(mask, iterations=skeleton_iterations)
        return share((skeleton * (1 - other)).sum(over), skeleton.sum(over) + smooth)

    # one minus the harmonic mean of what is inside, without a difference that loses its digits
    a, b = outside(probabilities, t), outside(t, probabilities)
    inside = 2 - a - b
    none = inside == 0
    missing = a * (1 - b) + b * (1 - a)
    return torch.where(none, 1.0, missing / torch.where(none, 1.0, inside))


def _missed(p: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    hard = p > 0.5
    found, wanted = ((a & t).sum((-2, -1)).double() for a in (hard, t))
    return skeleton_recall(hard.double(), t, reduction="none"), 1 - found / wanted


@declare(
    family="topology",
    inputs=LINES,
    latex=r"\ell(p, k) = 1 - \frac{\sum_i p_i k_i + s}{\sum_i k_i + s}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial p_i} = -\frac{k_i}{\sum_j k_j + s}",
        lambda p, k, *, smooth: -k.double() / (k.double().sum((-2, -1), keepdim=True) + smooth),
    ),
    parameters=(SMOOTH,),
    source=Source(
        "kirchhoff2024skeleton",
        "section 3",
        "the published code returns minus the recall, averages it over foreground classes and adds "
        "1e-5 above and below",
    ),
    facts=(
        Fact("One minus the recall of a hard mask", _missed),
        Fact(
            "Blind to false positives: a prediction that is all foreground costs nothing (both "
            "sides plus 1)",
            lambda p, k: (
                1 + skeleton_recall(torch.ones_like(p), k, reduction="none"),
                torch.ones(len(p)).double(),
            ),
        ),
        Fact(
            "What is predicted off the skeleton changes nothing",
            lambda p, k: (
                skeleton_recall(torch.where(k, p, 1 - p), k, reduction="none"),
                skeleton_recall(p, k, reduction="none"),
            ),
        ),
    ),
    notes="The skeleton is that of the true mask, made once before training and thickened a little "
    "(`tubed_skeleton`); nothing is differentiated through it. An image without one costs nothing.",
    related=("soft_cldice", "dice"),
    also=("SRec", "centre line", "topology", "vessel segmentation", "connectivity"),
    use="Thin lines must stay connected, and soft skeletons are too slow or need too much memory: "
    "a third term beside cross-entropy and Dice.",
    avoid="It would stand alone: it does not see what is predicted off the skeleton.",
)
def skeleton_recall(
    probabilities: torch.Tensor,
    skeleton: torch.Tensor,
    *,
    smooth: float = 0.0,
    pooled: bool = False,
) -> torch.Tensor:
    """Skeleton recall loss: the share of the true mask's skeleton that is missed.

    pooled : whether to sum over the whole batch before the ratio, default no. The loss is then one
        number whatever the reduction.
    """
    k = skeleton.to(probabilities.dtype)
    over = tuple(range(k.ndim)) if pooled else (-2, -1)
    found, missed = (x.sum(over) for x in (probabilities * k, (1 - probabilities) * k))
    return share(missed, found + missed + smooth)
