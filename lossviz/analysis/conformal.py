"""Sets of labels that hold the right one with a chance that is asked for: split conformal.

The promise is about the average over rows that are exchangeable with the held-out ones, whatever
the model: a wrong model gives large sets, not wrong ones. It is no promise for each row.
"""

from __future__ import annotations

import math

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import PROBABILITIES, SCORES, labels
from .confidence import Kind, class_probabilities

OF_CLASSES = Inputs(Argument("scores", SCORES, "... K"), Argument("target", labels("K"), "..."))
DRAWN = Inputs(Argument("predictions", SCORES, "... K"), Argument("uniform", PROBABILITIES, "..."))
OF_ROWS = Inputs(Argument("scores", SCORES, "*"))


def conformal_threshold(scores: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """The score that a new row exceeds with probability at most `alpha`, float64.

    `scores` (N,) of held-out rows, larger for stranger; `alpha` in (0, 1). It is the
    ceil((N + 1)(1 - alpha))-th smallest; with too few rows for `alpha` there is no finite
    threshold, and it is inf (every label is then in the set). Raises ValueError for NaN or another
    `alpha`. Source: Vovk, Gammerman and Shafer (2005), section 4.1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha!r}")
    flat = OF_ROWS.check({"scores": scores})["scores"].double().flatten()
    if flat.isnan().any():
        raise ValueError("scores must not hold NaN")
    # the product is rounded first: 10 times 0.9 must not become 9.000000000000002
    place = math.ceil(round((len(flat) + 1) * (1 - alpha), 9))
    if place > len(flat):
        return flat.new_tensor(torch.inf)
    return flat.kthvalue(place).values


def threshold_scores(predictions: torch.Tensor, *, kind: Kind) -> torch.Tensor:
    """1 - p of every class (..., K): sets hold the classes above one probability.

    Smallest sets on average among all of that coverage, where the probabilities are right. Source:
    Sadinle, Lei and Wasserman (2019).
    """
    return 1 - class_probabilities(predictions, kind=kind)


def adaptive_scores(
    predictions: torch.Tensor, *, kind: Kind, uniform: torch.Tensor | None = None
) -> torch.Tensor:
    """The mass of the classes that are at least as likely, for every class (..., K).

    With `uniform` (...), one draw for each row in [0, 1), the class's own probability counts only
    by that share, which makes the coverage exact instead of at least what is asked. Source: Romano,
    Sesia and Candes (2020), section 2.
    """
    p = class_probabilities(predictions, kind=kind)
    ordered = p.sort(dim=-1, descending=True, stable=True)
    mass = torch.empty_like(p).scatter(-1, ordered.indices, ordered.values.cumsum(-1))
    if uniform is None:
        return mass
    draws = DRAWN.check({"predictions": predictions, "uniform": uniform})["uniform"].double()
    return mass - (1 - draws[..., None]) * p


def of_label(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The scores (...) of the labels among those of all classes (..., K).

    Raises ValueError for labels outside the classes; none can be ignored.
    """
    checked = OF_CLASSES.check({"scores": scores, "target": target})
    return scores.gather(-1, checked["target"][..., None])[..., 0]


def prediction_sets(scores: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Which classes (..., K) are in the set of each row: those with a score up to the threshold."""
    return scores <= threshold
