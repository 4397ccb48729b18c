"""Distributions for the tests of the theory: random ones with a given lead, and a search."""

from __future__ import annotations

import itertools
from typing import Any

import torch

TAUS = (0.0, 0.5, 1.0, 1.5, 1.9, 2.0, 3.0)
BETAS = torch.tensor([0.01, 0.03] + [i / 20 for i in range(1, 21)], dtype=torch.float64)


def with_lead(beta: torch.Tensor, n: int, unit: torch.Tensor) -> torch.Tensor:
    """The p with p_0 = max p and p_0 - p_1 = beta at coordinates `unit` (..., n - 2) in [0, 1].

    Every such p has coordinates: the first chooses p_0 in its feasible interval, each further one
    the next entry.
    """
    low, high = torch.maximum(beta, (1 + beta) / n), (1 + beta) / 2
    # From the upper end, so that nothing is left over there: at tau = 0 the root of a rounding
    # error would show.
    top = high if n == 2 else high - (high - low) * (1 - unit[..., 0])
    entries, left = [top, top - beta], 2 * (high - top)
    for i in range(n - 2):
        after = n - 3 - i
        least, most = (left - after * top).clamp(min=0), torch.minimum(top, left)
        entry = least + (most - least) * unit[..., i + 1] if after else left
        entries.append(entry)
        left = left - entry
    return torch.stack(torch.broadcast_tensors(*entries), -1).clamp(min=0)


def search_infimum(regret: Any, beta: torch.Tensor, n: int) -> torch.Tensor:
    """Least regret(p) over all p with the given lead (B,): a grid that closes in on its best."""
    dimensions, first = n - 2, {3: 801, 4: 121, 5: 37}[n]
    centre = torch.full((len(beta), dimensions), 0.5).double()
    width, best = 0.5, torch.full((len(beta),), float("inf")).double()
    for points in [first] + [9] * 60:
        steps = torch.linspace(-1, 1, points, dtype=torch.float64)
        grid = torch.tensor(list(itertools.product(steps.tolist(), repeat=dimensions))).double()
        unit = (centre[:, None] + width * grid).clamp(0, 1)
        value, at = regret(with_lead(beta[:, None], n, unit)).min(1)
        centre = unit[torch.arange(len(beta)), at]
        best = torch.minimum(best, value)
        width = 3 / first if points == first else 0.6 * width
    return best
