"""Figures that move under the hand: live ones, and explorers of your own loss."""

from .chapters.aligned import aligned
from .chapters.attending import attention_row
from .chapters.ball import ball
from .chapters.bracket import Attacked, bracket
from .chapters.calibrators import calibrators
from .chapters.conditional_risk import conditional_risk
from .chapters.coupled import coupled
from .chapters.decoding import decoding
from .chapters.dimensions import dimensions
from .chapters.lengths import minority
from .chapters.online import online
from .chapters.paths import TrainingPath, entropy_paths
from .chapters.reliability import reliability
from .chapters.resampling import resampling
from .chapters.roofline import roofline
from .chapters.simplex import entropy_step
from .chapters.steps import large_steps
from .chapters.training_bound import training_bound
from .chapters.transforms import transforms
from .chapters.turning import Recording, neural_collapse
from .chapters.two_pulls import shared_head
from .explorer.explore import explore
from .live import Choice, LiveFigure, Slider
from .loss.curve import curve
from .loss.landscape import landscape
from .loss.law import law_curve
from .loss.picture import picture
from .vega.palette import matplotlib_style
from .vega.surface import surface

__all__ = [
    "Attacked",
    "Choice",
    "LiveFigure",
    "Recording",
    "Slider",
    "TrainingPath",
    "aligned",
    "attention_row",
    "ball",
    "bracket",
    "calibrators",
    "conditional_risk",
    "coupled",
    "curve",
    "decoding",
    "dimensions",
    "entropy_paths",
    "entropy_step",
    "explore",
    "landscape",
    "large_steps",
    "law_curve",
    "matplotlib_style",
    "minority",
    "neural_collapse",
    "online",
    "picture",
    "reliability",
    "resampling",
    "roofline",
    "shared_head",
    "surface",
    "training_bound",
    "transforms",
]
