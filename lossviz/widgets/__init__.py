"""Figures that move under the hand: live ones, and explorers of your own loss."""

from .curve import curve
from .explore import explore
from .landscape import landscape
from .live import LiveFigure

__all__ = ["LiveFigure", "curve", "explore", "landscape"]
