"""How many dimensions features fill: effective ranks, the decay of a spectrum, diffusion entropy.

Everything is float64 and takes features (N, D). Entropies of diffusion are in bits, as published;
divide by log2(e) for nats.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

import torch

from ..declaration.numbers import check_count
from .collapse import FEATURES, labelled_rows

Normalised = Literal["symmetric", "anisotropic"]


def _checked(features: torch.Tensor) -> torch.Tensor:
    x = FEATURES.check({"features": features})["features"].double()
    if not len(x):
        raise ValueError("features must have at least one row, got an empty tensor")
    if not x.isfinite().all():
        raise ValueError("features must be finite, got NaN or infinity")
    return x


def _around_mean(x: torch.Tensor) -> torch.Tensor:
    """Rows minus their mean; equal rows are exactly 0, which a rounded mean would not make them."""
    apart = x - x[0]
    return apart - apart.mean(0)


def spectrum(features: torch.Tensor, *, centred: bool = True) -> torch.Tensor:
    """The shares of the variance along the principal axes (min(N, D),), falling, summing to 1.

    NaN for features that do not vary. Not `centred`, those of the mean square, and NaN for zeros.
    """
    x = _checked(features)
    values = torch.linalg.svdvals(_around_mean(x) if centred else x)
    squares = (values / values.max()).square()
    return squares / squares.sum()


def rankme(features: torch.Tensor, *, centred: bool = False, eps: float = 0.0) -> torch.Tensor:
    """RankMe: exp of the entropy of the singular values of the features as they are, or centred.

    Between 1 and min(N, D); 0 for features of zeros. The paper adds `eps` = 1e-7 to each share,
    which counts empty dimensions as well: of 768 features of rank 4 it makes 3.9997, not 3.9948.
    Source: Garrido, Balestriero, Najman and LeCun (2023), eq. 1 and 2.
    """
    x = _checked(features)
    values = torch.linalg.svdvals(_around_mean(x) if centred else x)
    return exp_entropy(values / values.sum(), eps)


def covariance_rank(
    features: torch.Tensor, *, centred: bool = True, eps: float = 0.0
) -> torch.Tensor:
    """Exp of the entropy of the eigenvalues of the covariance (centred, squared): not RankMe.

    Published under the name of RankMe as well; squares weigh the large ones more, so the number is
    smaller. One coordinate with a large offset changes RankMe and leaves this alone. 0 for features
    that do not vary. Not `centred`, the eigenvalues of the matrix of mean products.
    """
    return exp_entropy(spectrum(features, centred=centred), eps)


def eigenvalues_above_rounding(matrix: torch.Tensor) -> torch.Tensor:
    """Those of a matrix of products (D, D), falling; of at most D eps times the largest, 0."""
    values = torch.linalg.eigvalsh(matrix.double()).flip(-1)
    cut = len(values) * torch.finfo(torch.float64).eps * values.max()
    return torch.where(values > cut, values, 0.0)


def rankme_of_moments(moments: torch.Tensor) -> torch.Tensor:
    """RankMe from the products X^T X (D, D) alone, which add up over batches.

    Singular values are roots of its eigenvalues: those of at most D eps times the largest are
    rounding and count as 0. 0 for features of zeros.
    """
    roots = eigenvalues_above_rounding(moments).sqrt()
    return exp_entropy(roots / roots.sum())


def exp_entropy(shares: torch.Tensor, eps: float = 0.0) -> torch.Tensor:
    """Exp of the entropy of shares (R,), after `eps` is added to each: how many there are.

    0 for the shares of nothing, which are 0/0.
    """
    padded = shares + eps
    number = (-torch.xlogy(padded, padded).sum()).exp()
    return torch.where(shares.isnan().any(), 0.0, number)


def normalised_std(features: torch.Tensor) -> torch.Tensor:
    """The mean over features of the standard deviation of rows that are divided by their length.

    0 where all rows point one way, about 1 / D^(1/2) where they point everywhere. A row of zeros
    stays one; NaN for a single row. float64, unbiased, as libraries of self-supervised learning
    log it.
    """
    unit = torch.nn.functional.normalize(_checked(features), dim=-1, eps=1e-300)
    return unit.std(0).mean() if len(unit) > 1 else unit.new_tensor(torch.nan)


def power_law(shares: torch.Tensor, *, ranks: tuple[int, int]) -> torch.Tensor:
    """alpha-ReQ: the power alpha with which a falling spectrum decays, share_i ~ i^(-alpha).

    `shares` (R,) positive and falling, `ranks` the first and last that count, from 1 on (published:
    12 and 100). Least squares of the logarithms, each rank with weight 1/i. Raises ValueError for
    ranks that are not there or fewer than two, and shares that are not positive among them. Source:
    Agrawal et al. (2022), section 3.
    """
    first, last = ranks
    if not 1 <= first < last <= len(shares):
        raise ValueError(
            f"ranks must be two of 1 to {len(shares)} with the first below the last, got {ranks}"
        )
    rank = torch.arange(first, last + 1, dtype=torch.float64)
    height = shares.double()[first - 1 : last]
    if not (height > 0).all():
        raise ValueError("shares must be positive in the ranks that count")
    weight = (1 / rank) / (1 / rank).sum()
    x, y = -rank.log(), height.log()
    x, y = x - (weight * x).sum(), y - (weight * y).sum()
    return (weight * x * y).sum() / (weight * x * x).sum()


def diffusion_entropy(
    features: torch.Tensor,
    *,
    sigma: float | Literal["median"] = "median",
    steps: float = 1.0,
    normalised: Normalised = "symmetric",
) -> torch.Tensor:
    """Diffusion spectral entropy of N points, in bits: 0 (one point) to log2 N (all far apart).

    A Gaussian kernel of width `sigma`; "median" is the median distance of two points, which makes
    the number independent of the features' scale (0 distances count; where it is 0 the entropy is
    0). "symmetric" takes the spectrum of D^-1/2 G D^-1/2, as the authors' package does,
    "anisotropic" that of the diffusion of which their text speaks, which divides the density out
    first. Absolute eigenvalues to the power `steps`, divided by their sum. Memory N x N.

    Raises ValueError for no rows, NaN, another name, or numbers that are not positive. Source: Liao
    et al. (2024), section 3.
    """
    x = _checked(features)
    _check_diffusion(sigma, steps)
    if normalised not in ("symmetric", "anisotropic"):
        raise ValueError(f"normalised must be 'symmetric' or 'anisotropic', got {normalised!r}")
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    width = _median_distance(x) if sigma == "median" else sigma
    if width == 0:
        return x.new_zeros(())
    kernel = (-(distance / width).square() / 2).exp()
    kernel = _symmetric(kernel)
    if normalised == "anisotropic":
        kernel = _symmetric(kernel)  # a row-stochastic matrix has the spectrum of this one
    values = torch.linalg.eigvalsh(kernel).abs() ** steps
    shares = values / values.sum() + torch.finfo(torch.float64).eps
    return -(shares * shares.log2()).sum()


def _check_diffusion(sigma: object, steps: float) -> None:
    if not steps > 0:
        raise ValueError(f"steps must be positive, got {steps!r}")
    if sigma != "median" and not (isinstance(sigma, (int, float)) and 0 < sigma < math.inf):
        raise ValueError(f"sigma must be 'median' or positive, got {sigma!r}")


def _median_distance(x: torch.Tensor) -> float:
    """That of two points; 0 for one."""
    return torch.pdist(x).median().item() if len(x) > 1 else 0.0


def _symmetric(kernel: torch.Tensor) -> torch.Tensor:
    root = kernel.sum(-1).rsqrt()
    return root[:, None] * kernel * root


def diffusion_information(
    features: torch.Tensor,
    target: torch.Tensor,
    *,
    sigma: float | Literal["median"] = "median",
    steps: float = 1.0,
    subsets: Sequence[Sequence[Sequence[int]]] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> torch.Tensor:
    """DSMI of features (N, D) and labels (N,), in bits: what the class says about the features.

    For each class, the mean entropy of random subsets of its size minus its own, weighted by its
    share. `subsets` gives the rows of the subsets, for every class in rising order; else each
    class draws `repeats` of them from Python's random numbers, seeded with `seed` anew. "median"
    takes the width of all rows; where it is 0 the information is 0. Raises as `diffusion_entropy`.
    Source: Liao et al. (2024), section 3.3.
    """
    x, y = labelled_rows(_checked(features), target)
    _check_diffusion(sigma, steps)
    check_count("repeats", repeats)
    width = _median_distance(x) if sigma == "median" else sigma
    total = x.new_zeros(())
    if width == 0:
        return total
    for place, label in enumerate(y.unique().tolist()):
        rows = (y == label).nonzero().flatten()
        if subsets is None:
            source = random.Random(seed)
            drawn = [source.sample(range(len(x)), len(rows)) for _ in range(repeats)]
        else:
            drawn = [list(each) for each in subsets[place]]
        others = torch.stack(
            [diffusion_entropy(x[each], sigma=width, steps=steps) for each in drawn]
        )
        own = diffusion_entropy(x[rows], sigma=width, steps=steps)
        total = total + len(rows) / len(x) * (others.mean() - own)
    return total


def cell_entropy(features: torch.Tensor, *, bins: int = 2) -> torch.Tensor:
    """Entropy in bits of a histogram with `bins` cells along each dimension between its ends.

    The plain estimate to compare with: with many dimensions every point has a cell of its own, and
    it is log2 N whatever the features. NaN where a dimension does not vary.
    """
    x, bins = _checked(features), check_count("bins", bins)
    low, high = x.amin(0), x.amax(0)
    if (low == high).any():
        return x.new_tensor(torch.nan)
    cells = ((x - low) / (high - low) * bins).long().clamp_max(bins - 1)
    _, rows = cells.unique(dim=0, return_counts=True)
    shares = rows.double() / len(x)
    return -(shares * shares.log2()).sum()
