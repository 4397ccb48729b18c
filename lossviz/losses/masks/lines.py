"""Are thin lines whole? A score of hard masks by their true skeletons."""

from __future__ import annotations

import torch

from ...declaration import Argument, Inputs
from ...declaration.kinds import MASK
from .overlap import share
from .thinning import skeletonise

HARD_MASKS = Inputs(
    Argument("prediction", MASK, "... H W"),
    Argument("target", MASK, "... H W"),
    Argument("prediction_skeleton", MASK, "... H W", optional=True),
    Argument("target_skeleton", MASK, "... H W", optional=True),
)


def cldice_score(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    prediction_skeleton: torch.Tensor | None = None,
    target_skeleton: torch.Tensor | None = None,
) -> torch.Tensor:
    """Centre-line Dice of hard masks (..., H, W): (...) in [0, 1], higher is better, float64.

    The harmonic mean of the share of the prediction's skeleton inside the target and of the
    target's inside the prediction. A skeleton that is not given is made by `skeletonise`; an empty
    one has share 0, and so has then the score.

    Raises TypeError for what is not a tensor, ValueError for shapes that differ or values other
    than 0 and 1. Source: Shit et al. (2021), eq. 1 to 3.
    """
    checked = HARD_MASKS.check(
        {
            "prediction": prediction,
            "target": target,
            "prediction_skeleton": prediction_skeleton,
            "target_skeleton": target_skeleton,
        }
    )
    p, t = checked["prediction"], checked["target"]

    def inside(name: str, mask: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        given = checked.tensors[name]
        skeleton = skeletonise(mask) if given is None else given
        return share((skeleton & other).sum((-2, -1)).double(), skeleton.sum((-2, -1)).double())

    precision, sensitivity = (
        inside("prediction_skeleton", p, t),
        inside("target_skeleton", t, p),
    )
    return share(2 * precision * sensitivity, precision + sensitivity)
