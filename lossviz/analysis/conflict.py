"""Do two losses pull one network apart: their gradients, compared and made to agree."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import CLASS_WEIGHTS, EMBEDDINGS, LOGITS

HEAD = Inputs(
    Argument("weight", CLASS_WEIGHTS, "K D"),
    Argument("features", EMBEDDINGS, "N D"),
    Argument("one", LOGITS, "N K"),
    Argument("other", LOGITS, "N K"),
)


class Conflict(NamedTuple):
    """Cosines of two gradients, at the weights of a shared head and at what enters it; float64."""

    head: torch.Tensor
    backbone: torch.Tensor


def _cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one * other).sum() / (one.norm() * other.norm())


def gradient_conflict(
    weight: torch.Tensor, features: torch.Tensor, one: torch.Tensor, other: torch.Tensor
) -> Conflict:
    """How far two losses agree on a shared linear head (K, D), and on its inputs (N, D).

    `one` and `other` (N, K) are the gradients of the two losses in the logits. Below 0 a step for
    the one undoes what the other wants. A head that has collapsed to a simplex does not pass on
    what all logits have in common, so that losses may agree at the features and not at the head.
    NaN where a gradient is 0.

    Raises TypeError and ValueError for wrong dtypes and shapes. Source: Yang et al. (2024).
    """
    given = {"weight": weight, "features": features, "one": one, "other": other}
    checked = HEAD.check(given)
    w, h, g, f = (checked[name].double() for name in given)
    return Conflict(_cosine(g.mT @ h, f.mT @ h), _cosine(g @ w, f @ w))


def without_conflict(gradient: torch.Tensor, leading: torch.Tensor) -> torch.Tensor:
    """The gradient without what works against the leading one, which is left as it is.

    Both of one shape, as of one parameter or of all in a row. Where their product is negative, the
    part of `gradient` along `leading` is taken off, so that a step along the sum never undoes the
    leading loss: gradient surgery on one side only. Raises ValueError for shapes that differ.
    Source: Yang et al. (2024), after Yu et al. (2020).
    """
    if gradient.shape != leading.shape:
        raise ValueError(
            f"gradient and leading must have one shape, got {tuple(gradient.shape)} and "
            f"{tuple(leading.shape)}"
        )
    against = (gradient * leading).sum().clamp_max(0.0)
    square = leading.square().sum()
    return gradient - against / torch.where(square == 0, 1.0, square) * leading
