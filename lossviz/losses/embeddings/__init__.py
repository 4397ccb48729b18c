"""Losses of embeddings: of pairs of views, and against the weights of classes."""

from ...declaration import Argument, Inputs
from ...declaration.kinds import CLASS_WEIGHTS, EMBEDDINGS, GROUPS, labels

VIEWS = Inputs(
    Argument("z1", EMBEDDINGS, "N D", "One view of each example"),
    Argument("z2", EMBEDDINGS, "N D", "The other view, in the same order"),
    rows="2N",
    coupled=True,
    exchange=(("z1", "z2"),),
    paired=True,
)
CLASS_HEAD = Inputs(
    Argument("embeddings", EMBEDDINGS, "N D"),
    Argument("class_weights", CLASS_WEIGHTS, "C D", "One vector for each class"),
    Argument("target", labels("C", ignorable=True), "N"),
    rows="N",
)
GROUPED = Inputs(
    Argument("embeddings", EMBEDDINGS, "N D"),
    Argument("target", GROUPS, "N", "Any integers: equal ones are one class"),
    rows="",
    coupled=True,
)
