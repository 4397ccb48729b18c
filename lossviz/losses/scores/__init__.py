"""Losses of the scores of candidates, of which some are relevant."""

from ...declaration import Argument, Inputs
from ...declaration.kinds import RELEVANCE, SCORES

RANKED = Inputs(
    Argument("scores", SCORES, "B M", "Of M candidates for each query"),
    Argument("relevance", RELEVANCE, "B M", "Which candidates are right"),
    rows="B",
)
