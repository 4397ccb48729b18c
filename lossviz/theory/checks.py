"""What the functions of this package demand of their arguments."""

from __future__ import annotations

import sys
from numbers import Integral
from typing import Any

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import slack_of_a_sum


def check_range(name: str, value: Array, low: float, high: float, interval: str) -> torch.Tensor:
    """`value` as a tensor, ValueError with the first entry outside [low, high] (or NaN)."""
    tensor = as_tensor(name, value)
    outside = ~((tensor >= low) & (tensor <= high))
    if outside.any():
        raise ValueError(f"{name} must lie in {interval}, got {tensor[outside][0].item()!r}")
    return tensor


def check_beta(beta: Array) -> torch.Tensor:
    """A zero-one regret: in [0, 1]."""
    return check_range("beta", beta, 0.0, 1.0, "[0, 1]")


def check_classes(n: Any) -> int:
    """A number of classes: an integer of at least 2 that a float holds."""
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise TypeError(f"n must be an integer, got {type(n).__name__}: {n!r}")
    if n < 2:
        raise ValueError(f"n must be at least 2 classes, got {n!r}")
    if int(n) > sys.float_info.max:
        raise ValueError(f"n must be at most {sys.float_info.max:g} classes, got more")
    return int(n)


def check_distribution(name: str, value: Array) -> torch.Tensor:
    """Distributions along the last axis: at least one entry each, none negative, summing to one.

    A sum may be off by 1e-6, or by the rounding of a sum in the dtype of a tensor, so that softmax
    outputs in any dtype pass; it is then divided out.
    """
    p = as_tensor(name, value)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"{name} must have entries on its last axis, got shape {tuple(p.shape)}")
    wrong = ~((p >= 0) & torch.isfinite(p))
    if wrong.any():
        raise ValueError(f"{name} must not be negative, got {p[wrong][0].item()!r}")
    total = p.sum(-1, keepdim=True)
    wrong = (total - 1).abs() > slack_of_a_sum(value, p.shape[-1])
    if wrong.any():
        raise ValueError(f"{name} must sum to one, got a sum of {total[wrong][0].item()!r}")
    return p / total


def check_conditional(name: str, value: Array) -> torch.Tensor:
    """Distributions over at least two classes along the last axis."""
    p = check_distribution(name, value)
    if p.shape[-1] < 2:
        raise ValueError(f"{name} must have at least 2 classes, got shape {tuple(p.shape)}")
    return p


def check_predicted(predicted: Array, p: torch.Tensor) -> torch.Tensor:
    """Class indices, broadcast to the leading shape of `p`."""
    index = torch.as_tensor(predicted)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(f"predicted must hold integers, got dtype {index.dtype}")
    outside = (index < 0) | (index >= p.shape[-1])
    if outside.any():
        wrong = index[outside][0].item()
        raise ValueError(f"predicted must lie in [0, {p.shape[-1]}), got {wrong!r}")
    return index.to(p.device).expand(p.shape[:-1])
