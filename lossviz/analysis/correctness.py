"""A temperature for each row: a small network that looks at transformed copies of the input.

A row alone hardly shows whether its prediction is wrong; how the model sees the same input rotated
or without colour does.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import LOGITS, PROBABILITIES
from ..declaration.numbers import check_count
from ..losses import ca_loss
from .scaling import PREDICTED, Calibrator, Parameters, checked

VIEWS = Inputs(Argument("views", PROBABILITIES, "... K"))
COPIES = Inputs(Argument("copies", LOGITS, "... K"))


def ca_features(views: torch.Tensor, *, top: int = 4) -> torch.Tensor:
    """Probabilities of the likeliest classes of the input, as transformed copies see them, float64.

    `views` (1 + V, ..., K) are probabilities of the input and of V copies. Returns (..., V * top):
    of each copy in turn, the probabilities of the `top` classes that are likeliest for the input,
    likeliest first; all K of them where there are fewer. Raises ValueError without a copy. Source:
    Liu et al. (2024), whose copies are rotated, grey, and of jittered colours.
    """
    seen = VIEWS.check({"views": views})["views"].double()
    if seen.ndim < 2 or len(seen) < 2:
        raise ValueError(
            f"views must have shape (1 + V, ..., K) with V >= 1 copies, got {tuple(seen.shape)}"
        )
    best = seen[0].topk(min(check_count("top", top), seen.shape[-1])).indices
    copies = seen[1:].gather(-1, best.expand(len(seen) - 1, *best.shape))
    return copies.movedim(0, -2).flatten(-2)


class CorrectnessAware(Calibrator):
    """Logits divided by a temperature for each row, between 0.1 and 10: predictions stay.

    The temperature is what a network with `hidden` units makes of `ca_features`: of the `top`
    probabilities of each of the `copies` that `fit` and `transform` take, logits (V, ..., K); or,
    without copies, of the row's own. It is trained from a `seed` by `steps` steps of Adam on the
    correctness-aware loss (`lossviz.losses.ca_loss`) of all rows, `balanced` or not (default not:
    balanced, as released, trusts the model as if it were right in half of the rows).

    Source: Liu et al. (2024). Their temperature is a clamped linear output, which has no gradient
    beyond the clamp; ours is bounded by a sigmoid on the logarithmic scale, and starts near 1.
    """

    of_copies: ClassVar[bool] = True
    reach: ClassVar[float] = math.log(10.0)

    def __init__(
        self,
        *,
        top: int = 4,
        hidden: int = 5,
        steps: int = 500,
        balanced: bool = False,
        seed: int = 0,
        **parameters: torch.Tensor,
    ) -> None:
        super().__init__(**parameters)
        self.top, self.hidden = check_count("top", top), check_count("hidden", hidden)
        self.steps = check_count("steps", steps)
        self.balanced, self.seed = balanced, seed

    def fit(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        copies: torch.Tensor | None = None,
        ignore_index: int = -100,
    ) -> Self:
        """Train on held-out logits (..., K), labels (...) and copies (V, ..., K); return self.

        Raises as `lossviz.losses.cross_entropy` does, and ValueError for NaN, infinite logits, no
        rows, copies of another shape, and balanced training on rows that are all right or all
        wrong.
        """
        with torch.inference_mode(False):
            z, y, _ = checked(logits, target, ignore_index)
            features = self._features(logits, copies)[target != ignore_index]
            right = z.argmax(-1) == y
            if self.balanced and (right.all() or not right.any()):
                raise ValueError(
                    "balanced training needs rows that are right and rows that are not"
                )
            generator = torch.Generator().manual_seed(self.seed)
            shapes = {"weight_1": (self.hidden, features.shape[-1]), "bias_1": (self.hidden,),
                      "weight_2": (1, self.hidden), "bias_2": (1,)}  # fmt: skip
            at = {
                name: (torch.randn(shape, generator=generator).double() / shape[-1] ** 0.5)
                .to(z.device)
                .requires_grad_()
                for name, shape in shapes.items()
            }
            adam = torch.optim.Adam(at.values(), lr=0.02)
            with torch.enable_grad():
                for _ in range(self.steps):
                    warm = z / self._temperatures(features, at)
                    loss = ca_loss(warm, y, balanced=self.balanced)
                    adam.zero_grad()
                    loss.backward()
                    adam.step()
            self.parameters = {name: value.detach() for name, value in at.items()}
            self.parameters["copies"] = torch.tensor(_count(copies))
        return self

    def transform(
        self, logits: torch.Tensor, *, copies: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Calibrated logits of the shape and dtype of `logits`.

        Raises TypeError for what is not a floating tensor, ValueError for another number of copies
        or classes than in the fit.
        """
        temperature = self.temperatures(logits, copies=copies)
        return (logits.double() / temperature[..., None]).to(logits.dtype)

    def temperatures(
        self, logits: torch.Tensor, *, copies: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The temperature of each row (...), float64; raises as `transform`."""
        features = self._features(logits, copies)
        placed = self.fitted(features.device)
        if _count(copies) != placed["copies"]:
            raise ValueError(
                f"copies must be as many as in the fit, {int(placed['copies'])}, got "
                f"{_count(copies)}"
            )
        wanted = placed["weight_1"].shape[-1]
        if features.shape[-1] != wanted:
            raise ValueError(
                f"logits and copies must give {wanted} features as in the fit, got "
                f"{features.shape[-1]}: give as many classes, and `top` as it was"
            )
        return self._temperatures(features, placed)[..., 0]

    def _features(self, logits: torch.Tensor, copies: torch.Tensor | None) -> torch.Tensor:
        chances = PREDICTED.check({"logits": logits})["logits"].double().softmax(-1)
        if copies is None:
            return ca_features(torch.stack((chances, chances)), top=self.top)
        seen = COPIES.check({"copies": copies})["copies"].double().softmax(-1)
        if seen.shape[1:] != chances.shape:
            raise ValueError(
                f"copies must have shape (V, ..., K), each as logits {tuple(chances.shape)}, got "
                f"{tuple(seen.shape)}"
            )
        return ca_features(torch.cat((chances[None], seen)), top=self.top)

    def _temperatures(self, features: torch.Tensor, at: Parameters) -> torch.Tensor:
        hidden = (features @ at["weight_1"].mT + at["bias_1"]).relu()
        output = hidden @ at["weight_2"].mT + at["bias_2"]
        return (self.reach * output.tanh()).exp()


def _count(copies: torch.Tensor | None) -> int:
    return 0 if copies is None else len(copies)
