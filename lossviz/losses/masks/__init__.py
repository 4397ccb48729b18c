"""Losses of soft masks against true ones, and of single probabilities against truth values."""

from ...declaration import Argument, Inputs, number
from ...declaration.kinds import MASK, PROBABILITIES, TRUTH

MASKS = Inputs(
    Argument("probabilities", PROBABILITIES, "... H W", "What the network says of each pixel"),
    Argument("target", MASK, "... H W", "The true mask"),
)
PIXELS = Inputs(
    Argument("probability", PROBABILITIES, "...", "Of the positive class"),
    Argument("target", TRUTH, "..."),
)
SMOOTH = number(
    "smooth", "s", "[0, inf)", (0.0, 5.0, 0.5),
    "added to numerator and denominator of the ratio",
    "the bare ratio; where nothing is there and nothing is predicted the loss is 0",
    "every prediction is as good as any other",
    label="added above and below in the ratio", ends=("the bare ratio", "blunt"),
)  # fmt: skip
