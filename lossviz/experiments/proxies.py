"""Answers whose true reward is known, and a reward model that is wrong about them, exactly.

True rewards are standard normal on a grid; what the proxy adds does not depend on them. Whatever is
chosen by the proxy alone depends on an answer only through its proxy reward, so that the masses of
its values and the mean true reward at each of them are all that is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

STEP, REACH = 0.2, 4.0


class Proxy(NamedTuple):
    """Rising values of the proxy reward (K,), their probability, the mean true reward at each."""

    value: torch.Tensor
    probability: torch.Tensor
    truth: torch.Tensor


def exact() -> Proxy:
    """A proxy that is the true reward."""
    return _proxy(torch.zeros(1).double(), torch.ones(1).double())


def noisy(deviation: float = 1.0) -> Proxy:
    """A proxy with normal errors of this standard deviation, above 0."""
    if not deviation > 0:
        raise ValueError(f"deviation must be above 0, got {deviation!r}")
    error = _grid(REACH * max(deviation, 1.0))
    return _proxy(error, (-0.5 * (error / deviation).square()).softmax(0))


def exploitable(share: float = 0.01, bonus: float = 5.0, cost: float = 0.0) -> Proxy:
    """A proxy with a loophole: a share of the answers, good and bad alike, gets a bonus.

    To use the loophole costs an answer `cost` of its true reward; the proxy does not see that.
    `share` in (0, 1); `bonus` is rounded to the grid of 0.2.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), got {share!r}")
    bonus = round(bonus / STEP) * STEP
    found = torch.tensor([[0.0, bonus], [1 - share, share], [0.0, cost]], dtype=torch.float64)
    return _proxy(*found)


def heavy_tailed(degrees: float = 2.0, reach: float = 12.0) -> Proxy:
    """A proxy whose errors have the tail of Student's distribution, cut off at `reach`."""
    if not degrees > 0 or not reach > 0:
        raise ValueError(f"degrees and reach must be above 0, got {degrees!r}, {reach!r}")
    error = _grid(reach)
    return _proxy(error, (-(degrees + 1) / 2 * torch.log1p(error.square() / degrees)).softmax(0))


def _grid(reach: float) -> torch.Tensor:
    count = round(reach / STEP)
    return torch.arange(-count, count + 1, dtype=torch.float64) * STEP


def _proxy(error: torch.Tensor, probability: torch.Tensor, cost: torch.Tensor | float = 0) -> Proxy:
    """The proxy of rewards plus independent errors, both on the grid; some errors have a cost."""
    reward = _grid(REACH)[:, None]
    mass = (-0.5 * reward.square()).softmax(0) * probability
    steps, cell = ((reward + error) / STEP).round().unique(return_inverse=True)
    zero = torch.zeros(len(steps), dtype=torch.float64)
    total = zero.index_add(0, cell.flatten(), mass.flatten())
    held = zero.index_add(0, cell.flatten(), (mass * (reward - cost)).flatten())
    return Proxy(steps * STEP, total / total.sum(), held / total)
