"""From predictions and labels to what calibration is about: a confidence, and whether it was right.

What a prediction holds is said by `kind` and never guessed: numbers between 0 and 1 may be logits
as well as probabilities. Which probability is meant is said by the function: that of the most
likely class (`top_label`), that of a given class (`of_class`), that of every class (`every_class`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import DISTRIBUTIONS, LOGITS, PROBABILITIES, TRUTH, labels
from ..declaration.numbers import check_ignore_index, slack_of_a_sum

Kind = Literal["logits", "probabilities", "log-probabilities", "binary score", "multilabel"]
KINDS: tuple[Kind, ...] = (
    "logits", "probabilities", "log-probabilities", "binary score", "multilabel"
)  # fmt: skip
SUM = {torch.float64: 1e-6, torch.float32: 1e-4}


class Confidence(NamedTuple):
    """Confidences (N,) in float64 and whether each was right (N,), bool."""

    confidence: torch.Tensor
    correct: torch.Tensor


def check_kind(kind: object, known: tuple[str, ...] = KINDS) -> None:
    """Raise ValueError unless `kind` is one of the `known`."""
    if kind not in known:
        raise ValueError(
            f"kind must be one of {known}, got {kind!r}: numbers between 0 and 1 may be logits as "
            "well as probabilities, so it is asked for"
        )


def class_probabilities(predictions: torch.Tensor, *, kind: Kind) -> torch.Tensor:
    """Class probabilities (..., K) in float64, of predictions (..., K) of this kind.

    `kind` is "logits", "probabilities" or "log-probabilities". Half and single precision come in as
    they are; rows of probabilities must sum to 1 up to 1e-4 (1e-6 in float64).

    Raises TypeError for what is not a floating tensor, ValueError for another kind, for NaN, for
    logits of +inf, and for rows that are no distribution, naming the first.
    """
    check_kind(kind, KINDS[:3])
    holds = LOGITS if kind == "logits" else DISTRIBUTIONS
    inputs = Inputs(Argument("predictions", holds, "... K"))
    given = inputs.check({"predictions": predictions})["predictions"]
    _no_nan(given, "predictions")
    wide = given.double()
    if kind == "logits":
        largest = wide.amax(-1).flatten()
        if largest.isinf().any():
            row = int(largest.isinf().nonzero()[0])
            raise ValueError(
                "predictions must be logits with a finite largest one in each row, got "
                f"{largest[row].item()} in row {row}"
            )
        return wide.softmax(-1)
    if kind == "log-probabilities":
        wide = wide.exp()
    total = wide.sum(-1)
    slack = slack_of_a_sum(given, given.shape[-1], least=SUM.get(predictions.dtype, 1e-2))
    off = ((total - 1).abs() > slack) | (wide < 0).any(-1)
    if off.any():
        row = int(off.flatten().nonzero()[0])
        least = wide.reshape(-1, wide.shape[-1])[row].min().item()
        sum_of_row = total.flatten()[row].item()
        raise ValueError(
            f"predictions must be {kind}: row {row} "
            f"{f'sums to {sum_of_row:.6g}' if least >= 0 else f'holds {least:g}'}"
            '; logits are kind="logits"'
        )
    return wide


def top_label(
    predictions: torch.Tensor, target: torch.Tensor, *, kind: Kind, ignore_index: int = -100
) -> Confidence:
    """The probability of the most likely class, and whether that class was the label.

    `predictions` (..., K) are of `kind` "logits", "probabilities" or "log-probabilities", `target`
    (...) integer labels; rows with `ignore_index` are left out (of weights of the rows
    ``weight[target != ignore_index]`` are left). Of equal classes the first counts.
    Raises as `class_probabilities` does, and for labels outside the classes.
    """
    chances = class_probabilities(predictions, kind=kind)
    truth, kept = _labels(chances, target, ignore_index)
    best = chances.max(-1)
    return Confidence(best.values[kept], (best.indices == truth)[kept])


def of_class(
    predictions: torch.Tensor,
    target: torch.Tensor,
    index: int = 1,
    *,
    kind: Kind,
    ignore_index: int = -100,
) -> Confidence:
    """The probability of one class, and whether the label was that class.

    As `top_label`; "binary score" takes predictions (...) that are P(label = 1), for `index` 1
    or 0.
    """
    if kind == "binary score":
        pairs = binary_probability(predictions, kind=kind)
        chances = torch.stack((1 - pairs, pairs), -1)
    else:
        chances = class_probabilities(predictions, kind=kind)
    classes = chances.shape[-1]
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < classes:
        raise ValueError(f"index must be a class in [0, {classes}), got {index!r}")
    truth, kept = _labels(chances, target, ignore_index)
    return Confidence(chances[..., index][kept], (truth == index)[kept])


def every_class(
    predictions: torch.Tensor, target: torch.Tensor, *, kind: Kind, ignore_index: int = -100
) -> Confidence:
    """The probability of every class, and whether it was the label: both (N, K).

    As `top_label`; "multilabel" takes probabilities (N, L) of independent labels, with 0 and 1 (N,
    L) for the target.
    """
    if kind == "multilabel":
        chances = binary_probability(predictions, kind=kind)
        inputs = Inputs(Argument("predictions", PROBABILITIES, "N K"), Argument("t", TRUTH, "N K"))
        return Confidence(chances, inputs.check({"predictions": predictions, "t": target})["t"])
    chances = class_probabilities(predictions, kind=kind)
    truth, kept = _labels(chances, target, ignore_index)
    hit = torch.nn.functional.one_hot(truth, chances.shape[-1]).bool()
    return Confidence(chances[kept], hit[kept])


def binary_probability(predictions: torch.Tensor, *, kind: Kind = "binary score") -> torch.Tensor:
    """Probabilities of any shape in float64; ValueError outside [0, 1] or for NaN."""
    check_kind(kind, KINDS[3:])
    inputs = Inputs(Argument("predictions", PROBABILITIES, "*"))
    given = inputs.check({"predictions": predictions})["predictions"]
    _no_nan(given, "predictions")
    return given.double()


def _labels(
    chances: torch.Tensor, target: torch.Tensor, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = Inputs(
        Argument("predictions", DISTRIBUTIONS, "... K"),
        Argument("target", labels("K", ignorable=True), "..."),
    )
    given = {"predictions": chances, "target": target}
    checked = inputs.check(given, check_ignore_index(ignore_index))
    assert checked.kept is not None
    return checked["target"], checked.kept


def _no_nan(tensor: torch.Tensor, name: str) -> None:
    bad = tensor.isnan()
    if bad.any():
        places = bad.reshape(len(bad), -1).any(-1) if bad.ndim else bad[None]
        raise ValueError(f"{name} must not hold NaN, got one in row {int(places.nonzero()[0])}")


def by_group(
    measure: Callable[..., torch.Tensor],
    groups: torch.Tensor,
    *tensors: torch.Tensor,
    weight: torch.Tensor | None = None,
    **options: Any,
) -> dict[int, torch.Tensor]:
    """A number for each group of rows, by the integer that names the group in `groups` (N,).

    The measure gets the rows of a group, and its part of `weight` (N,) by that name where weights
    are given. Raises ValueError where `groups` and the tensors differ in length.
    """
    TRUTH.check(groups, "groups")
    named = {} if weight is None else {"weight": weight}
    for tensor in (*tensors, *named.values()):
        if len(tensor) != len(groups):
            raise ValueError(f"groups must have {len(tensor)} rows, got {len(groups)}")
    found = {}
    for group in groups.unique().tolist():
        rows = groups == group
        of_group = {name: heavy[rows] for name, heavy in named.items()}
        found[group] = measure(*(tensor[rows] for tensor in tensors), **of_group, **options)
    return found
