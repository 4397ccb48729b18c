"""Who was right before: what a new model gets wrong that the old one knew."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor


class FlipRates(NamedTuple):
    """Shares of all examples: `negative` right before and wrong now, `positive` the reverse.

    `changed` are those that are wrong now and not what they were before, right or wrong.
    """

    negative: torch.Tensor
    positive: torch.Tensor
    changed: torch.Tensor


class SmoothFlips(NamedTuple):
    """Shares of examples that got worse and better, and by how much those did on average."""

    negative: torch.Tensor
    positive: torch.Tensor
    regression: torch.Tensor
    gain: torch.Tensor


def _alike(**arrays: Array) -> list[torch.Tensor]:
    tensors = [as_tensor(name, value) for name, value in arrays.items()]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(set(shapes)) > 1 or not tensors[0].numel():
        raise ValueError(f"{', '.join(arrays)} must have one shape, not empty, got {shapes}")
    return tensors


def flip_rates(old: Array, new: Array, labels: Array) -> FlipRates:
    """How predictions of two models differ where it counts, float64 shares of all examples.

    `old`, `new` and `labels` are arrays of classes, of one shape. Models of equal accuracy may flip
    many examples, and flips are what a user sees. Raises ValueError for other shapes or no
    examples. Source: Yan et al. (2021).
    """
    before, now, right = _alike(old=old, new=new, labels=labels)
    return FlipRates(
        ((before == right) & (now != right)).double().mean(),
        ((before != right) & (now == right)).double().mean(),
        ((now != right) & (now != before)).double().mean(),
    )


def smooth_flips(old: Array, new: Array) -> SmoothFlips:
    """The same for scores of answers, higher is better: `old` and `new` arrays of one shape.

    The mean regression and the mean gain are over the examples that got worse or better, and 0
    where there are none. Raises ValueError as `flip_rates`.
    """
    before, now = _alike(old=old, new=new)
    change = now - before
    worse, better = change < 0, change > 0

    def mean(where: torch.Tensor) -> torch.Tensor:
        return torch.where(where, change.abs(), 0.0).sum() / where.sum().clamp_min(1)

    return SmoothFlips(worse.double().mean(), better.double().mean(), mean(worse), mean(better))
