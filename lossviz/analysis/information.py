"""What one variable says about another: estimates whose answer is known in a case, and couplings.

float64; nats unless a name says bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from .alignment import distribution


def _rows(name: str, values: Array, like: torch.Tensor | None = None) -> torch.Tensor:
    x = as_tensor(name, values)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or len(x) < 2 or not x.isfinite().all():
        raise ValueError(f"{name} must be finite rows (N, D) with N >= 2, got {tuple(x.shape)}")
    if like is not None and len(x) != len(like):
        raise ValueError(f"{name} must have {len(like)} rows, got {len(x)}")
    return x


def _kernel(one: torch.Tensor, other: torch.Tensor, sigma: float) -> torch.Tensor:
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be positive, got {sigma!r}")
    distance = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
    return (-(distance / sigma).square() / 2).exp()


def cauchy_schwarz_divergence(x: Array, y: Array, *, sigma: float) -> torch.Tensor:
    """Cauchy-Schwarz divergence of two samples (N, D) and (M, D), in nats.

    log mean K(x, x) + log mean K(y, y) - 2 log mean K(x, y) with a Gaussian kernel of width
    `sigma`: symmetric, not negative, 0 where the kernel embeddings are proportional. Samples so far
    apart that the kernel underflows give inf. Source: Principe (2010), section 2.
    """
    one, other = _rows("x", x), _rows("y", y)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"x and y must have one width, got {one.shape[1]} and {other.shape[1]}")
    within = _kernel(one, one, sigma).mean().log() + _kernel(other, other, sigma).mean().log()
    return within - 2 * _kernel(one, other, sigma).mean().log()


def cauchy_schwarz_information_bits(
    x: Array, y: Array, *, sigma: float, normalised: bool = False
) -> torch.Tensor:
    """Cauchy-Schwarz quadratic mutual information of paired rows (N, D) and (N, E), in bits.

    0 for independent rows; `normalised` divides by the root of that of each with itself. Source: Yu
    et al. (2024), section 3.
    """
    one = _rows("x", x)
    k, other = _kernel(one, one, sigma), _rows("y", y, one)
    m = _kernel(other, other, sigma)

    def information(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        joint, apart, mixed = (a * b).mean(), a.mean() * b.mean(), (a.mean(0) * b.mean(0)).mean()
        return joint.log2() + apart.log2() - 2 * mixed.log2()

    value = information(k, m)
    return value / (information(k, k) * information(m, m)).sqrt() if normalised else value


def conditional_cauchy_schwarz(
    x: Array, y: Array, prediction: Array, *, sigma: float
) -> torch.Tensor:
    """Cauchy-Schwarz divergence of p(y | x) and p(prediction | x) from paired rows, in nats.

    Each row of the kernels is divided by the square of the density of x there. (The published code
    divides by a sum of squares instead, and takes logarithms to base 2.) 0 for perfect predictions.
    """
    inputs = _rows("x", x)
    truth = _rows("y", y, inputs)
    guess = _rows("prediction", prediction, inputs)
    k = _kernel(inputs, inputs, sigma)
    density = k.sum(-1).square()

    def term(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return ((k * _kernel(one, other, sigma)).sum(-1) / density).sum().log()

    return term(truth, truth) + term(guess, guess) - 2 * term(guess, truth)


def gaussian_information(correlation: float) -> float:
    """Mutual information of two normal variables with this correlation, in nats: -log(1 - r^2)/2.

    Raises ValueError outside [-1, 1]; inf at the ends.
    """
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation must lie in [-1, 1], got {correlation!r}")
    square = correlation * correlation
    return math.inf if square == 1 else -math.log1p(-square) / 2


def canonical_information(x: Array, y: Array) -> torch.Tensor:
    """Mutual information of rows (N, D) and (N, E) as if they were normal, in nats.

    -1/2 sum log(1 - r^2) over the canonical correlations. It misses whatever is not linear. Raises
    ValueError where a column is a combination of others, or there are too few rows.
    """
    one = _rows("x", x)
    other = _rows("y", y, one)
    bases = []
    for name, rows in (("x", one), ("y", other)):
        centred = rows - rows.mean(0)
        left, values, _ = torch.linalg.svd(centred, full_matrices=False)
        if len(rows) <= rows.shape[1] or values[-1] <= 1e-10 * values[0]:
            raise ValueError(f"{name} must have independent columns and more rows than columns")
        bases.append(left)
    correlations = torch.linalg.svdvals(bases[0].mT @ bases[1]).clamp_max(1.0)
    return -torch.log1p(-correlations.square()).sum() / 2


def neighbour_information(
    x: Array, y: Array, *, neighbours: int = 5, standardise: bool = True
) -> torch.Tensor:
    """Mutual information of rows (N, D) and (N, E) by nearest neighbours, in nats, at least 0.

    The first estimator of Kraskov, Stögbauer and Grassberger (2004): Euclidean distance within x
    and within y, the larger of the two between points, neighbours counted strictly inside.
    `standardise` divides each column by its standard deviation first. Memory N x N.
    """
    one = _rows("x", x)
    other = _rows("y", y, one)
    rows = len(one)
    if isinstance(neighbours, bool) or not 1 <= neighbours < rows:
        raise ValueError(f"neighbours must lie in [1, {rows}), got {neighbours!r}")
    if standardise:
        one, other = (
            (x - x.mean(0)) / x.std(0, correction=0).clamp_min(1e-300) for x in (one, other)
        )
    apart = [
        torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(
            torch.inf
        )
        for rows in (one, other)
    ]
    radius = torch.maximum(*apart).kthvalue(neighbours, -1).values[:, None]
    counts = [(distance < radius).sum(-1) for distance in apart]
    inside = sum(torch.digamma(count.double() + 1) for count in counts)
    assert isinstance(inside, torch.Tensor)
    ends = torch.digamma(torch.tensor([neighbours, rows], dtype=torch.float64)).sum()
    return (ends - inside.mean()).clamp_min(0.0)


def entropy_bits(masses: torch.Tensor) -> torch.Tensor:
    """The entropy of masses of any shape, in bits; masses of 0 add nothing."""
    return -(torch.xlogy(masses, masses)).sum() / math.log(2)


class Coupling(NamedTuple):
    """A joint distribution (K, L) with given marginals, its entropy and what it tells, in bits."""

    joint: torch.Tensor
    entropy_bits: torch.Tensor
    information_bits: torch.Tensor


def greedy_coupling(p: Array, q: Array) -> Coupling:
    """A coupling of two distributions with little entropy, by always pairing the largest masses.

    The least entropy is hard to find; the greedy one is near it. Source: Kocaoglu et al. (2017),
    algorithm 1.
    """
    one, other = distribution("p", p), distribution("q", q)
    left, right = one.clone(), other.clone()
    joint = torch.zeros(len(one), len(other), dtype=torch.float64)
    for _ in range(len(one) + len(other)):
        i, j = int(left.argmax()), int(right.argmax())
        mass = torch.minimum(left[i], right[j])
        if mass <= 1e-15:
            break
        joint[i, j] += mass
        left[i] -= mass
        right[j] -= mass
    entropy = entropy_bits(joint)
    return Coupling(joint, entropy, entropy_bits(one) + entropy_bits(other) - entropy)


def greedy_bottleneck(p: Array, *, rate_bits: float) -> torch.Tensor:
    """The masses of a function of X whose entropy is at most `rate_bits`, by merging; falling.

    If merging the two smallest masses meets the rate, that is done; else if merging the two largest
    does, that; else the two largest are merged and it goes on. The order is our reading of the
    method. Raises ValueError for a negative rate.
    """
    masses = sorted((m for m in distribution("p", p).tolist() if m > 0), reverse=True)
    if not rate_bits >= 0:
        raise ValueError(f"rate_bits must not be negative, got {rate_bits!r}")

    def within(trial: list[float]) -> bool:
        return bool(entropy_bits(torch.tensor(trial, dtype=torch.float64)) <= rate_bits + 1e-12)

    while len(masses) > 1 and not within(masses):
        small = sorted([*masses[:-2], masses[-2] + masses[-1]], reverse=True)
        large = sorted([masses[0] + masses[1], *masses[2:]], reverse=True)
        masses = small if within(small) else large
    return torch.tensor(masses, dtype=torch.float64)


def pinball(prediction: Array, target: Array, quantile: Array) -> torch.Tensor:
    """The mean quantile loss max((q - 1) e, q e), e = target - prediction; least at the quantile.

    All three (N,) or one number; `quantile` in [0, 1]. Source: Koenker and Bassett (1978).
    """
    guess, truth, q = (
        as_tensor(n, v)
        for n, v in (("prediction", prediction), ("target", target), ("quantile", quantile))
    )
    if ((q < 0) | (q > 1)).any():
        raise ValueError("quantile must lie in [0, 1]")
    error = truth - guess
    return torch.maximum((q - 1) * error, q * error).mean()
