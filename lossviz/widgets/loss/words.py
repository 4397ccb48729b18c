"""How the arguments of a loss are written under its picture."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...declaration.inputs import BATCH, Argument
from ...losses import Loss

ROWS = (BATCH, "N", "B")
THRESHOLDS = "J"
ONE_OF = {
    "V": "token", THRESHOLDS: "threshold", "M": "candidate", "T": "place", "A": "head",
    "P": "member", "G": "component",
    **dict.fromkeys(ROWS, "example"),
}  # fmt: skip


def plain(name: str) -> str:
    """The name of an argument as words."""
    return name.replace("_", " ")


def one_of(letter: str) -> str:
    """What one entry along a letter is called."""
    return ONE_OF.get(letter, "class")


def over_classes(argument: Argument) -> bool:
    """Whether the last axis is one of classes, which thresholds and rows are not."""
    return argument.letters[-1] not in (*ROWS, THRESHOLDS)


def class_names(loss: Loss, letter: str) -> Mapping[int, str]:
    """Three names by index, in the order in which the plane of logits shows them."""
    return loss.view.classes or {k: f"{one_of(letter)} {k + 1}" for k in range(3)}


def written(loss: Loss, argument: Argument, tensor: torch.Tensor) -> str:
    """A tensor at rest in a few words: labels by name, logits by what they say."""
    if argument.kind.shifts and over_classes(argument):
        shares = tensor.reshape(-1, tensor.shape[-1])[0].softmax(-1)
        return f"at probabilities {', '.join(f'{share:.0%}' for share in shares.tolist())}"
    alike = tensor.ndim > 2 and bool((tensor == tensor.flatten(0, -2)[0]).all())
    if alike and len(tensor.flatten(0, -2)) > 1:
        return f"{written(loss, argument, tensor.flatten(0, -2)[0])} in each row"
    numbers = tensor.flatten().tolist()
    if argument.kind.counts:
        names = class_names(loss, argument.kind.counts)
        return ", ".join(names.get(number, str(number)) for number in numbers)
    return ", ".join(f"{float(number):g}" for number in numbers)
