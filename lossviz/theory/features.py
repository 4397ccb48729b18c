"""Where features and classifiers go when both are free: optima of the unconstrained-features model.

Class k has n_k rows. A depth of M is M linear layers on top of free features; all are paid for by
weight decay, lambda_W for each layer and lambda_H for the features:

    norm(W_M ... W_1 H - Y)^2 / (2N) + lambda_W / 2 sum norm(W_j)^2 + lambda_H / 2 norm(H)^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..declaration.numbers import check_count


class SquaredErrorOptimum(NamedTuple):
    """The minimiser's geometry, per class (K,) where not said otherwise, float64.

    A class whose `load` is at or above the `threshold` vanishes: its lengths are 0. `product` are
    the diagonal entries of W H, all others are 0.
    """

    load: torch.Tensor
    threshold: float
    ratio: torch.Tensor
    weight_norm: torch.Tensor
    feature_norm: torch.Tensor
    product: torch.Tensor
    objective: torch.Tensor


def squared_error_optimum(
    sizes: Sequence[int], *, depth: int = 1, lambda_w: float, lambda_h: float
) -> SquaredErrorOptimum:
    """The global optimum under squared error without bias: an orthogonal frame of known lengths.

    `sizes` are the numbers of rows of the K classes. Per class x minimises 1/(1 + x^M) + b x over
    x >= 0, with load b = M N (N lambda_W^M lambda_H)^(1/M) / n_k. A row of the classifier then has
    the squared length w = N lambda_H x^M, a feature the length sqrt(w) / (w + N lambda_H). The
    larger root of the slope is only a local minimum in a band of loads for depths from 2 on, so
    both are compared.

    Raises ValueError for sizes or a depth below 1 and weight decays that are not positive. Source:
    Dang, Tran, Osher, Tran-The, Ho and Nguyen (2023), for balanced and imbalanced classes.
    """
    counts = torch.tensor(sizes, dtype=torch.float64)
    if counts.ndim != 1 or not len(counts) or (counts < 1).any():
        raise ValueError(f"sizes must be numbers of rows from 1 on, got {sizes!r}")
    depth = check_count("depth", depth)
    for name, value in (("lambda_w", lambda_w), ("lambda_h", lambda_h)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value!r}")
    total, m = counts.sum(), depth
    load = m * total / counts * lambda_w * (total * lambda_h) ** (1 / m)
    if not (load > 0).all():
        raise ValueError(
            f"lambda_w and lambda_h are too small for float64, got {lambda_w!r} and {lambda_h!r}"
        )
    threshold = 1.0 if m == 1 else (m - 1) ** ((m - 1) / m) / m
    ratio = torch.tensor(
        [_ratio(b, m) if b < threshold else 0.0 for b in load.tolist()], dtype=torch.float64
    )
    square = total * lambda_h * ratio**m
    cost = torch.where(ratio == 0, 0.0, load * ratio)
    objective = (counts / (2 * total) * (1 / (1 + ratio**m) + cost)).sum()
    weight = square.sqrt()
    decay = square + total * lambda_h
    return SquaredErrorOptimum(
        load, threshold, ratio, weight, weight / decay, square / decay, objective
    )


def _ratio(load: float, depth: int) -> float:
    """The larger root of load = M x^(M-1) / (1 + x^M)^2, by bisection beyond the slope's peak."""
    if depth == 1:
        return load**-0.5 - 1

    def slope(x: float) -> float:
        return depth / x / (x ** (-depth / 2) + x ** (depth / 2)) ** 2

    # the slope is largest where (M - 1)(1 + x^M) = 2 M x^M
    low = ((depth - 1) / (depth + 1)) ** (1 / depth)
    high = 2.0
    while slope(high) > load:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > load else (low, middle)
    return high


class SimplexOptimum(NamedTuple):
    """The minimiser's geometry where a bias is free: W W^T and W H are multiples of I - 1/K.

    `weight_norm`, `feature_norm` and `bias` are those of every class, `product` the factor of W H;
    0 but for the bias where the classes do not pay.
    """

    weight_norm: float
    feature_norm: float
    product: float
    bias: float
    objective: float


def squared_error_optimum_with_bias(
    classes: int, rows: int, *, depth: int = 1, lambda_w: float, lambda_h: float
) -> SimplexOptimum:
    """The optimum under squared error with a bias that costs nothing: a simplex frame.

    K equal classes of `rows` rows. The bias 1/K takes what all classes have in common, and each
    of the K - 1 directions that are left is as one class of `squared_error_optimum`. Raises as that
    function, and for fewer than two classes. Source: Dang, Tran, Osher, Tran-The, Ho and Nguyen
    (2023).
    """
    classes, rows = check_count("classes", classes, 2), check_count("rows", rows)
    alone = squared_error_optimum(
        [rows] * classes, depth=depth, lambda_w=lambda_w, lambda_h=lambda_h
    )
    share = (classes - 1) / classes
    return SimplexOptimum(
        alone.weight_norm[0].item() * math.sqrt(share),
        alone.feature_norm[0].item() * math.sqrt(share),
        alone.product[0].item(),
        1 / classes,
        alone.objective.item() * share,
    )


class CrossEntropyOptimum(NamedTuple):
    """Logit gap, lengths of the classifier's rows and of the features, and the objective's value.

    All are 0 but the value, which is log K, where the classes do not pay.
    """

    gap: float
    weight_norm: float
    feature_norm: float
    value: float


def cross_entropy_optimum(
    classes: int, rows: int, *, lambda_w: float, lambda_h: float
) -> CrossEntropyOptimum:
    """The optimum under cross-entropy with K equal classes of `rows` rows: a simplex frame.

    W H = gap (I - 1/K) with gap = log((1 - (K - 1) rho) / rho), rho = sqrt(n lambda_W lambda_H); 0
    where K rho >= 1. A bias stays 0. Raises ValueError for fewer than two classes, no rows, or
    weight decays that are not positive. Derived in the notes of this project and checked against
    direct minimisation.
    """
    classes, rows = check_count("classes", classes, 2), check_count("rows", rows)
    for name, value in (("lambda_w", lambda_w), ("lambda_h", lambda_h)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value!r}")
    rho = math.sqrt(rows) * math.sqrt(lambda_w) * math.sqrt(lambda_h)
    gap = math.log1p(-(classes - 1) * rho) - math.log(rho) if classes * rho < 1 else 0.0
    if gap <= 0:
        return CrossEntropyOptimum(0.0, 0.0, 0.0, math.log(classes))
    spectral = math.sqrt(rows) * math.sqrt(lambda_h) / math.sqrt(lambda_w) * gap
    share = (classes - 1) / classes
    value = math.log1p((classes - 1) * math.exp(-gap)) + (classes - 1) * rho * gap
    weight = math.sqrt(spectral * share)
    return CrossEntropyOptimum(gap, weight, gap * share / weight, value)
