"""The landscape of any torch function of three class logits, evaluated on the zero-sum plane.

Softmax does not see a constant added to all logits, so three logits have two real degrees of
freedom: the coordinates (u, v) of the zero-sum plane in an orthonormal basis, z = (u, v) BASIS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .flow import RIGHT, SIDE, TIMES
from .views import EXTENT

EXAMPLES = {"easy": 0.95, "hard": 0.4, "mislabelled": 0.02}
"""The probability of the label of three examples, by what they are called."""

BASIS = torch.tensor(
    [[RIGHT, -RIGHT / 2, -RIGHT / 2], [0.0, SIDE, -SIDE]], dtype=torch.float64
)  # the columns are where live figures draw the classes
MAX_STEPS = 400

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class FunctionMistake(ValueError):
    """The function ran, but what it returned is not a loss that can be drawn."""


@dataclass(frozen=True)
class Landscape:
    """Values (n, n) in nats and downhill directions -grad (n, n, 2) on a grid of the plane.

    `axis` (n,) holds the coordinates of both sides; the first grid index is v, the second u.
    """

    axis: torch.Tensor
    values: torch.Tensor
    downhill: torch.Tensor

    @property
    def points(self) -> torch.Tensor:
        """Coordinates (n, n, 2) of the grid."""
        return _grid(self.axis)

    def between(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values (N,) and gradients (N, 2) at points (N, 2), interpolated between the grid's."""
        fields = torch.cat([self.values[..., None], -self.downhill], -1)
        found = torch.nn.functional.grid_sample(
            fields.movedim(-1, 0)[None], points[None, None] / EXTENT, align_corners=True
        )
        values, *gradients = found[0, :, 0]
        return values, torch.stack(gradients, -1)

    def flow(self, start: tuple[float, float], duration: float = TIMES[-1]) -> FlowPath:
        """The path of `PlaneLoss.flow` without further calls, by the interpolated gradient."""
        return follow(self.between, start, duration)


@dataclass(frozen=True)
class FlowPath:
    """Gradient flow z' = -grad: its times (m,), points (m, 2) and loss values (m,)."""

    times: torch.Tensor
    points: torch.Tensor
    values: torch.Tensor


class PlaneLoss:
    """A torch function `f(logits (N, 3), target (N,))` as a function of points of the plane.

    `f` returns one value per example, or a scalar: then it is called with one example at a time
    (through torch.func.vmap where it allows that, else in a loop, of which `looped` tells). Where
    examples influence one another set `alone`, which asks for the same. Logits have torch's default
    dtype.

    Raises whatever `f` raises, and FunctionMistake for a result that is not a differentiable loss.
    """

    def __init__(self, f: LossFunction, target: int) -> None:
        self.f = f
        self.target = target
        self.alone = False
        self.looped = False

    def landscape(self, points_per_side: int = 49) -> Landscape:
        """Evaluate on a square grid over [-EXTENT, EXTENT]^2."""
        axis = torch.linspace(-EXTENT, EXTENT, points_per_side)
        points = _grid(axis)
        values, gradients = self.at(points.reshape(-1, 2))
        if not values.isfinite().any():
            raise FunctionMistake("every value on the plane is NaN or infinite")
        side = (points_per_side, points_per_side)
        return Landscape(axis, values.reshape(side), -gradients.reshape(*side, 2))

    def at(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values (N,) and gradients (N, 2) at points (N, 2) of the plane."""
        with torch.inference_mode(False), torch.enable_grad():
            points = points.detach().clone().requires_grad_()
            values = self._values(points @ BASIS.to(points.dtype))
            if not values.requires_grad:
                raise FunctionMistake(
                    "the result has no gradient with respect to the logits: it passed through "
                    "something that is not differentiable (argmax, detach, item, numpy, a dtype "
                    "that is not floating)"
                )
            (gradients,) = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradients

    def flow(self, start: tuple[float, float], duration: float = TIMES[-1]) -> FlowPath:
        """Follow z' = -grad from `start` for `duration`, or until it leaves the plane or rests."""
        return follow(self.at, start, duration)

    def raw(self, points: torch.Tensor) -> torch.Tensor:
        """What the function itself returns for points (N, 2) at once, without a gradient."""
        with torch.no_grad():
            logits = points @ BASIS.to(points.dtype)
            return self.f(logits, torch.full((len(points),), self.target))

    def _values(self, logits: torch.Tensor) -> torch.Tensor:
        """Call the function and make sure of one floating value per example."""
        count = len(logits)
        target = torch.full((count,), self.target)
        if self.alone and count > 1:
            return self._one_by_one(logits, target)
        result = self.f(logits, target)
        if not isinstance(result, torch.Tensor):
            raise FunctionMistake(f"it returned {type(result).__name__}, expected a torch.Tensor")
        if result.shape == (count,):
            return result
        if result.ndim == 0:
            return self._one_by_one(logits, target)
        raise FunctionMistake(
            f"it returned shape {tuple(result.shape)} for logits {tuple(logits.shape)} and target "
            f"({count},), expected one value per example ({count},) or a scalar"
        )

    def _one_by_one(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        def single(row: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return self.f(row[None], label[None]).reshape(())

        if len(logits) > 1:
            try:
                return torch.func.vmap(single)(logits, target)
            except Exception:  # whatever vmap cannot do (branches on values, in-place writes)
                self.looped = True
        return torch.stack([single(*pair) for pair in zip(logits, target, strict=True)])


def follow(
    at: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    start: tuple[float, float],
    duration: float,
) -> FlowPath:
    """Follow minus the gradient that `at` returns for a point (1, 2), after the value (1,).

    Euler steps of at most 0.1 in length and a tenth of the time passed so far: many losses
    move ever more slowly, and this keeps the work to a few hundred small calls.
    """
    point = torch.tensor([start])
    time, times, points, values = 0.0, [], [], []
    for _ in range(MAX_STEPS):
        value, gradient = at(point)
        speed = float(gradient.norm())
        times.append(time)
        points.append(point[0])
        values.append(value[0])
        if time >= duration or not 1e-6 < speed < math.inf:
            break
        if float(point.abs().max()) > EXTENT:
            break
        step = min(0.1 / speed, 0.05 + 0.1 * time, duration - time)
        point = point - step * gradient
        time += step
    return FlowPath(torch.tensor(times), torch.stack(points), torch.stack(values))


def at_margins(margins: torch.Tensor, target: int = 0) -> torch.Tensor:
    """The points (N, 2) where the target has these margins (N,) and the other two are alike."""
    # the log-sum-exp of two equal logits is log 2 above either
    return (margins + math.log(2))[:, None] * BASIS[:, target].to(margins)


def _grid(axis: torch.Tensor) -> torch.Tensor:
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([u, v], dim=-1)
