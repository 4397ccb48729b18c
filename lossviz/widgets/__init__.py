"""Figures that move under the hand: live ones, and explorers of your own loss."""

from .ball import ball
from .computed import surface
from .curve import curve
from .explore import explore
from .landscape import landscape
from .live import Choice, LiveFigure, Slider
from .online import online
from .roofline import roofline
from .steps import large_steps
from .training_bound import training_bound
from .transforms import transforms

__all__ = [
    "Choice",
    "LiveFigure",
    "Slider",
    "ball",
    "curve",
    "explore",
    "landscape",
    "large_steps",
    "online",
    "roofline",
    "surface",
    "training_bound",
    "transforms",
]
