"""A loss on a small stage: which of its tensors move, where the others rest, and what it is then.

Sizes follow from the letters of the arguments, what rests from their kinds; the declaration's view
may say otherwise. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...declaration.inputs import BATCH, Argument
from ...losses import Loss

SIZES = {"J": 2, "N": 1, "B": 1, "M": 4, "D": 2, "H": 12, "W": 12}
SIZE = 3  # of every other letter: classes, tokens, places
DTYPES = {"integer": torch.long, "truth": torch.bool}  # else float64

Tensors = Mapping[str, torch.Tensor]
Settings = Mapping[str, float]


class Scene:
    """The tensors of a loss at rest, by name, and the loss where some of them move.

    Optional arguments take part if the view names them. `batch` stands for ``...``, `sizes`
    overrides those of letters. Tensors that move have one axis more in front, the points of the
    picture.
    """

    def __init__(
        self, loss: Loss, batch: tuple[int, ...] = (), sizes: Mapping[str, int] | None = None
    ) -> None:
        self.loss = loss
        self.batch = batch
        letters = loss.inputs.letters
        self.sizes = {letter: SIZES.get(letter, SIZE) for letter in letters} | dict(sizes or {})
        self.rest = {
            a.name: self._at_rest(a)
            for a in loss.inputs.arguments
            if not a.optional or a.name in loss.view.at
        }

    def shape(self, argument: Argument) -> tuple[int, ...]:
        """The shape of an argument at one point."""
        return tuple(
            size
            for letter in argument.letters
            for size in (self.batch if letter == BATCH else (self.sizes[letter],))
        )

    def still(self, name: str, points: int) -> torch.Tensor:
        """A copy of a tensor at rest for each of the points."""
        rest = self.rest[name]
        return rest.expand(points, *rest.shape).clone()

    def values(self, moved: Tensors, settings: Settings, reduction: str = "mean") -> torch.Tensor:
        """The loss (points,), reduced over the rows of each point.

        A setting with the name of an argument is the number that this one then holds.
        """
        points = len(next(iter(moved.values())))
        held = {name: number for name, number in settings.items() if name in self.rest}
        options = {name: number for name, number in settings.items() if name not in held}
        numbers = {name: torch.full_like(self.still(name, points), held[name]) for name in held}
        moved = {**moved, **numbers}
        if not self._apart(moved):
            return self._one_by_one(moved, options, reduction)
        still = {
            name: self.still(name, points) if BATCH in self.loss.inputs[name].letters else tensor
            for name, tensor in self.rest.items()
        }
        rows = self.loss(**{**still, **moved}, **options, reduction="none").reshape(points, -1)
        return rows.mean(-1) if reduction == "mean" else rows.sum(-1)

    def slopes(
        self, moved: Tensors, settings: Settings, reduction: str = "mean"
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The same values, and their gradient in each tensor that moves, by name."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in moved.items()}
        with torch.enable_grad():
            values = self.values(leaves, settings, reduction)
            # what a loss detaches is drawn without a pull
            gradients = torch.autograd.grad(
                values.sum(), list(leaves.values()), materialize_grads=True
            )
        return values.detach(), dict(zip(leaves, gradients, strict=True))

    def _at_rest(self, argument: Argument) -> torch.Tensor:
        kind = argument.kind
        given = self.loss.view.at.get(argument.name, kind.rest)
        numbers = given if isinstance(given, tuple) else (given,)
        shape = self.shape(argument)
        along = [numbers[k % len(numbers)] for k in range(shape[-1] if shape else 1)]
        if kind.counts:
            along = [label % self.sizes[kind.counts] for label in along]
        rest = torch.tensor(along, dtype=DTYPES.get(kind.holds, torch.float64))
        return rest.expand(shape).clone() if shape else rest[0]

    def _apart(self, moved: Tensors) -> bool:
        """Whether the points may stand as further rows of one call."""
        inputs = self.loss.inputs
        led = all(inputs[name].letters[0] == BATCH for name in moved)
        return led and inputs.rows == (BATCH,) and not inputs.coupled

    def _one_by_one(self, moved: Tensors, settings: Settings, reduction: str) -> torch.Tensor:
        options = dict(settings) | ({"reduction": reduction} if self.loss.inputs.rows else {})

        def one(tensors: Tensors) -> torch.Tensor:
            return self.loss(**{**self.rest, **tensors}, **options)

        try:
            return torch.func.vmap(one)(dict(moved))
        except Exception:  # whatever vmap cannot do (branches on values, in-place writes)
            points = zip(*moved.values(), strict=True)
            return torch.stack([one(dict(zip(moved, point, strict=True))) for point in points])
