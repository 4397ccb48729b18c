"""Analysis of your own trained model: what its loss looks like around the weights it ended at."""

from .surface import (
    Direction,
    TrajectoryPlane,
    filter_normalised_directions,
    loss_on_plane,
    trajectory_plane,
)

__all__ = [
    "Direction",
    "TrajectoryPlane",
    "filter_normalised_directions",
    "loss_on_plane",
    "trajectory_plane",
]
