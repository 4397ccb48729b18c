"""More classes than dimensions: how far apart directions are where no simplex has room.

A simplex frame of K directions needs K - 1 dimensions. Where classes are tokens of a language there
are many more, and what collapse tends to is the *softmax code*: the directions whose smallest
distance to the convex hull of all others is largest.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from ..declaration.numbers import check_count
from .collapse import HEAD, TILE

Kernel = Literal["gaussian", "log", "riesz"]


def _directions(rows: torch.Tensor) -> torch.Tensor:
    """Rows (K, D) of norm 1 in float64; raises for fewer than two, and for rows of zeros or NaN."""
    x = HEAD.check({"weight": rows})["weight"].double()
    norm = x.norm(dim=-1, keepdim=True)
    if len(x) < 2 or not ((norm > 0) & norm.isfinite()).all():
        raise ValueError(
            f"rows must be at least two finite rows (K, D) other than 0, got {tuple(x.shape)}"
        )
    return x / norm


def one_vs_rest_margins(rows: torch.Tensor) -> torch.Tensor:
    """The distance (K,) of each direction to the convex hull of all others, float64.

    `rows` (K, D) of a classifier, or class means: their lengths do not count. 0 where a direction
    is a mixture of others. The smallest is the one-vs-rest margin, at most K / (K - 1), which a
    simplex alone reaches. Each is a least-squares problem with weights from 0 on, solved exactly.
    Raises ValueError for fewer than two rows, or rows of zeros. Source: Jiang et al. (2024).
    """
    from scipy.optimize import nnls  # a third of a second, which only this function needs

    unit = _directions(rows)
    found = []
    for k, own in enumerate(unit):
        # the point of the hull nearest to 0 is where |sum u_j x_j|^2 + (sum u_j - 1)^2 is least
        others = torch.cat([unit[:k], unit[k + 1 :]]) - own
        system = torch.cat([others.mT, others.new_ones(1, len(others))]).numpy(force=True)
        share, _ = nnls(system, [0.0] * unit.shape[1] + [1.0])
        found.append(math.hypot(*(system[:-1] @ share) / share.sum()))
    return unit.new_tensor(found)


def softmax_code_margin(classes: int, dimensions: int) -> float:
    """The largest one-vs-rest margin that `classes` directions in `dimensions` can have.

    K / (K - 1) for a simplex (K up to D + 1), 1 - cos(2 pi / K) on a circle, 1 up to K = 2 D (an
    orthoplex, or part of one); NaN beyond, where no closed form is known. Source: Jiang et al.
    (2024), theorem 3.3.
    """
    k, d = check_count("classes", classes, 2), check_count("dimensions", dimensions)
    if k <= d + 1:
        return k / (k - 1)
    if d == 2:
        return 1 - math.cos(2 * math.pi / k)
    if d == 1:
        return 0.0
    return 1.0 if k <= 2 * d else math.nan


def uniformity(rows: torch.Tensor, kernel: Kernel = "gaussian") -> torch.Tensor:
    """How evenly directions cover the sphere: a mean over pairs of rows (K, D), float64.

    "gaussian" is the logarithm of the mean of exp(-2 d^2), "log" the mean of -log d, "riesz" that
    of 1 / d, with d the distance of two directions; each is smallest where they are spread
    evenly. Two equal directions give infinity but for "gaussian". Pairs are taken in tiles, without
    a matrix (K, K). Raises ValueError for another kernel, fewer than two rows, or rows of zeros.
    Source: Wang and Isola (2020) for the Gaussian; the others are the classical energies.
    """
    kernels = {
        "gaussian": lambda d: (-2 * d.square()).exp(),
        "log": lambda d: -d.log(),
        "riesz": lambda d: 1 / d,
    }
    if kernel not in kernels:
        raise ValueError(f"kernel must be one of {sorted(kernels)}, got {kernel!r}")
    unit = _directions(rows)
    total = unit.new_zeros(())
    for start in range(0, len(unit), TILE):
        part = unit[start : start + TILE]
        distance = torch.cdist(part, unit, compute_mode="donot_use_mm_for_euclid_dist")
        value = kernels[kernel](distance)
        place = torch.arange(len(part), device=unit.device)
        value[place, place + start] = 0.0
        total += value.sum()
    mean = total / (len(unit) * (len(unit) - 1))
    return mean.log() if kernel == "gaussian" else mean
