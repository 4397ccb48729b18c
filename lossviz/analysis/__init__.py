"""Analysis of your own trained model: measures of its outputs, and the loss around its weights."""

from __future__ import annotations

from typing import Any

from .measures import MEASURES, mean_entropy, top_label_accuracy
from .surface import (
    Direction,
    TrajectoryPlane,
    filter_normalised_directions,
    loss_on_plane,
    trajectory_plane,
)

__all__ = [
    "MEASURES",
    "Direction",
    "MeasureMetric",
    "TrajectoryPlane",
    "filter_normalised_directions",
    "loss_on_plane",
    "mean_entropy",
    "top_label_accuracy",
    "trajectory_plane",
]


def __getattr__(name: str) -> Any:
    if name == "MeasureMetric":  # needs torchmetrics, which nothing else here does
        from .metric import MeasureMetric

        return MeasureMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
