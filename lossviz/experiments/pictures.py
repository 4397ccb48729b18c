"""Static pictures: their sizes, and curves of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes

NARROW = (5.0, 2.8)
WIDE = (6.7, 2.8)
"""Widths and heights in inches, of one panel and of several: as wide as the text at most."""


def band(axes: Axes, x: Sequence[float] | torch.Tensor, values: torch.Tensor, **style: Any) -> None:
    """Draw the mean over the runs, and shade the range from the lowest run to the highest.

    x : places (M,); values : tensor (M, R) for R runs; style : as `Axes.plot` takes it.
    """
    (line,) = axes.plot(x, values.mean(1), **style)
    low, high = values.amin(1), values.amax(1)
    axes.fill_between(x, low, high, alpha=0.2, linewidth=0, color=line.get_color())
