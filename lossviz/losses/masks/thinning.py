"""True skeletons of masks, and whether thin lines are whole.

A skeleton is what is left when the rim is taken away until none is left: lines one pixel wide.

The rule is that of Zhang and Suen (1984) with the exceptions of scikit-image's `skeletonize`, so
that both give the same pixels.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F

from ...declaration import Argument, Inputs
from ...declaration.kinds import MASK
from ...declaration.numbers import check_count
from .overlap import share

# Rows and columns of the neighbours, clockwise from above on the left; bit k of a pattern is the
# k-th.
AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
# Patterns of two or three neighbours (and two of four) at which scikit-image departs from the
# rule: in which passes it takes the pixel away. Among them are the corners of staircases.
EXCEPTIONS = {
    3: 1, 6: 1, 10: 3, 11: 1, 12: 1, 14: 1, 24: 2, 26: 2, 40: 3, 48: 0, 56: 2, 96: 2, 104: 2,
    108: 2, 129: 0, 130: 3, 131: 1, 134: 1, 160: 3, 161: 1, 176: 2, 192: 2, 194: 1, 198: 1, 224: 2,
}  # fmt: skip
ONE_MASK = Inputs(Argument("mask", MASK, "... H W"))
HARD_MASKS = Inputs(
    Argument("prediction", MASK, "... H W"),
    Argument("target", MASK, "... H W"),
    Argument("prediction_skeleton", MASK, "... H W", optional=True),
    Argument("target_skeleton", MASK, "... H W", optional=True),
)


@cache
def _passes() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The patterns whose pixel goes in the first pass, and in the second."""
    found: tuple[list[int], list[int]] = ([], [])
    for pattern in range(256):
        there = [bool(pattern >> k & 1) for k in range(8)]
        up, right, down, left = there[1::2]
        runs = sum(there[k] and not there[k - 1] for k in range(8))
        rim = runs == 1 and 2 <= sum(there) <= 6
        goes = (
            rim and not (right and down and (up or left)),
            rim and not (up and left and (right or down)),
        )
        passes = EXCEPTIONS.get(pattern, goes[0] + 2 * goes[1])
        for n in (0, 1):
            if passes >> n & 1:
                found[n].append(pattern)
    return tuple(found[0]), tuple(found[1])


def skeletonise(mask: torch.Tensor) -> torch.Tensor:
    """The skeleton (..., H, W) of a mask (..., H, W) of 0 and 1, bool.

    Two passes by turns take away pixels whose eight neighbours say that they are on the rim, and
    that what is left stays connected; outside the image nothing is there. The result depends on how
    the mask lies: turned about it need not be the turned skeleton. An empty mask stays empty.

    Raises TypeError for what is not a tensor, ValueError for a shape or values that do not fit.
    """
    image = ONE_MASK.check({"mask": mask})["mask"].reshape(-1, *mask.shape[-2:])
    tables = torch.zeros(2, 256, dtype=torch.bool, device=image.device)
    for table, patterns in zip(tables, _passes(), strict=True):
        table[list(patterns)] = True
    height, width = image.shape[-2:]
    changed = image.any()
    while changed:
        before = image
        for table in tables:
            wide = F.pad(image.long(), (1, 1, 1, 1))
            pattern = sum(
                wide[:, 1 + i : 1 + i + height, 1 + j : 1 + j + width] << k
                for k, (i, j) in enumerate(AROUND)
            )
            image = image & ~table[pattern]
        changed = (image != before).any()
    return image.reshape(mask.shape)


def tubed_skeleton(mask: torch.Tensor, *, dilations: int = 2) -> torch.Tensor:
    """The skeleton of a mask (..., H, W), thickened but kept inside the mask; bool.

    It grows `dilations` times (>= 0, default 2) by the cross of five pixels. That is what
    `lossviz.losses.skeleton_recall` asks for; of several classes make one mask for each. Raises as
    `skeletonise` does, and ValueError for wrong `dilations`. Source: Kirchhoff et al. (2024).
    """
    tube = skeletonise(mask)
    for _ in range(check_count("dilations", dilations, least=0)):
        wide = F.pad(tube, (1, 1, 1, 1))
        upright = wide[..., :-2, 1:-1] | wide[..., 2:, 1:-1]
        tube = tube | upright | wide[..., 1:-1, :-2] | wide[..., 1:-1, 2:]
    return tube & (mask != 0)


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
