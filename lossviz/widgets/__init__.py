"""Figures that move under the hand: live ones, and explorers of your own loss."""

from .chapters.ball import ball
from .chapters.online import online
from .chapters.reliability import reliability
from .chapters.roofline import roofline
from .chapters.simplex import entropy_step
from .chapters.steps import large_steps
from .chapters.training_bound import training_bound
from .chapters.transforms import transforms
from .explorer.explore import explore
from .live import Choice, LiveFigure, Slider
from .loss.curve import curve
from .loss.landscape import landscape
from .loss.law import law_curve
from .loss.picture import picture
from .vega.palette import matplotlib_style
from .vega.surface import surface

__all__ = [
    "Choice",
    "LiveFigure",
    "Slider",
    "ball",
    "curve",
    "entropy_step",
    "explore",
    "landscape",
    "large_steps",
    "law_curve",
    "matplotlib_style",
    "online",
    "picture",
    "reliability",
    "roofline",
    "surface",
    "training_bound",
    "transforms",
]
