"""Distances between sets of masks: what a network draws for one image, and what raters drew.

Each mask is a point with as many coordinates as the image has pixels; a set of them is a cloud. No
function here has rows, so none has a reduction: it is one number for one image.
"""

from __future__ import annotations

import math

import torch

from ...declaration import Argument, Inputs, number
from ...declaration.kinds import PREDICTIONS

CLOUDS = Inputs(
    Argument("samples", PREDICTIONS, "N D", "What is drawn, one in each row"),
    Argument("raters", PREDICTIONS, "M D", "What was drawn by raters"),
)
BLUR = number("blur", r"b", "(0, inf)", (0.01, 1.0, 0.01), "blur", "exact", "a distance of means")
SCALING = number("scaling", "q", "(0, 1)", (0.1, 0.9, 0.1), "step", "coarse steps", "fine steps")
LEAST = number("least", "d", "[0, inf)", (0.0, 1.0, 0.1), "least distance", "none", "all alike")


def _clouds(samples: torch.Tensor, raters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    checked = CLOUDS.check({"samples": samples, "raters": raters})
    for name in ("samples", "raters"):
        if not len(checked[name]):
            raise ValueError(f"{name} must have at least one row, got {tuple(checked[name].shape)}")
    return checked["samples"], checked["raters"].to(checked["samples"].dtype)


def _squared(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x[:, None] - y).square().sum(-1)


def energy_distance(
    samples: torch.Tensor, raters: torch.Tensor, *, least: float = 1e-4
) -> torch.Tensor:
    r"""Half the energy distance of two clouds (N, D) and (M, D), a scalar in units of the masks.

    .. math:: \overline{|x - y|} - \tfrac12 \overline{|x - x'|} - \tfrac12 \overline{|y - y'|}

    over all pairs, a point with itself among them. It is 0 for equal clouds, never negative but for
    `least`, and sees the spread of the raters as well as their mean.

    Distances below `least` (>= 0, default 1e-4) count as that: there the gradient is 0, since a
    distance has a corner at 0.

    Raises TypeError for what is not a floating tensor, ValueError for other shapes or an empty
    cloud. Sources: Székely and Rizzo (2013); Chatterjee et al. (2024), whose "Hausdorff" variant is
    this as well.
    """
    floor = LEAST.check(least) ** 2
    x, y = _clouds(samples, raters)

    def mean(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        square = _squared(one, other)
        far = square > floor
        root = torch.where(far, square, 1.0).sqrt()
        return torch.where(far | square.isnan(), root * (1 + 0 * square), least).mean()

    return mean(x, y) - mean(x, x) / 2 - mean(y, y) / 2


def sinkhorn_divergence(
    samples: torch.Tensor, raters: torch.Tensor, *, blur: float = 0.05, scaling: float = 0.5
) -> torch.Tensor:
    """Debiased Sinkhorn divergence of two clouds (N, D) and (M, D) for half the squared distance.

    `blur` (> 0, default 0.05) is the length below which clouds look alike, in units of the masks,
    `scaling` (in (0, 1), default 0.5) its factor from step to step.

    The temperature falls from the squared diameter of the box around both clouds to the squared
    blur, one averaged step of both potentials each, as in the reference implementation: with 0.5
    this is before convergence, with 0.9 nearer to it. The gradient is that at fixed potentials.

    Raises TypeError for what is not a floating tensor, ValueError for other shapes, an empty cloud
    or numbers out of range. Source: Feydy et al. (2019).
    """
    blur, scaling = BLUR.check(blur), SCALING.check(scaling)
    x, y = _clouds(samples, raters)
    both = torch.cat([x, y]).detach()
    diameter = float((both.amax(0) - both.amin(0)).norm())
    steps = [blur**2]
    if diameter > 0 and math.isfinite(diameter):
        first, last, step = (2 * math.log(a) for a in (diameter, blur, scaling))
        count = max(0, math.ceil((last - first) / step))
        steps = [diameter**2, *(math.exp(first + n * step) for n in range(count)), blur**2]
    sizes = [-math.log(len(cloud)) for cloud in (x, y)]

    def softmin(
        eps: float, cost: torch.Tensor, potential: torch.Tensor, size: float
    ) -> torch.Tensor:
        return -eps * (size + potential / eps - cost / eps).logsumexp(-1)

    with torch.no_grad():
        costs = [_squared(a, b) / 2 for a, b in ((x, y), (y, x), (x, x), (y, y))]
        # what moves along: of x by y, of y by x, and of each by itself
        order = ((0, 1, sizes[1]), (1, 0, sizes[0]), (2, 2, sizes[0]), (3, 3, sizes[1]))
        potentials = [
            softmin(steps[0], cost, 0 * cost[0], size)
            for cost, (_, _, size) in zip(costs, order, strict=True)
        ]
        for eps in steps:
            new = [
                softmin(eps, cost, potentials[other], size)
                for cost, (_, other, size) in zip(costs, order, strict=True)
            ]
            potentials = [(a + b) / 2 for a, b in zip(potentials, new, strict=True)]
    # the last step alone is differentiated, by the points that it moves
    moved = [_squared(a, b) / 2 for a, b in ((x, y.detach()), (y, x.detach()), (x, x.detach()),
                                             (y, y.detach()))]  # fmt: skip
    of_x, of_y, own_x, own_y = (
        softmin(blur**2, cost, potentials[other], size)
        for cost, (_, other, size) in zip(moved, order, strict=True)
    )
    return (of_x - own_x).mean() + (of_y - own_y).mean()


def frechet_distance(samples: torch.Tensor, raters: torch.Tensor) -> torch.Tensor:
    r"""Squared Fréchet distance of Gaussians fitted to two clouds (N, D) and (M, D) of features.

    .. math:: |m_1 - m_2|^2 + \operatorname{tr} C_1 + \operatorname{tr} C_2
              - 2 \operatorname{tr} (C_1 C_2)^{1/2}

    with unbiased covariances (divided by N - 1). The last trace is the sum of the singular values
    of the small product of both centred clouds, so no D by D matrix is made.

    Raises TypeError for what is not a floating tensor, ValueError for other shapes or fewer than
    two points. Source: Heusel et al. (2017), who apply it to features of images.
    """
    centred, means = [], []
    for name, cloud in zip(("samples", "raters"), _clouds(samples, raters), strict=True):
        if len(cloud) < 2:
            raise ValueError(f"{name} must have at least two rows, got {tuple(cloud.shape)}")
        means.append(cloud.mean(0))
        centred.append((cloud - means[-1]) / (len(cloud) - 1) ** 0.5)
    spread = sum(part.square().sum() for part in centred)
    shared = torch.linalg.svdvals(centred[0] @ centred[1].mT).sum()
    return (means[0] - means[1]).square().sum() + spread - 2 * shared
