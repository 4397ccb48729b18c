"""The plane of a picture: which two numbers of what a loss takes move, and over which axes.

It follows from the arguments: three logits in their plane without the common constant; the margins
of two inputs; else the first two numbers that are learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ...declaration.inputs import BATCH, Argument
from ...declaration.kinds import LOGITS
from ...losses import Loss
from ..live import Slider
from .plane import BASIS
from .scene import Scene
from .views import EXTENT
from .words import ROWS, class_names, one_of, over_classes, plain, written

STEPS = 40
SPAN = (-float(EXTENT), float(EXTENT))


@dataclass(frozen=True)
class Axis:
    """One axis of the plane: its words, its two ends and what they mean."""

    label: str
    span: tuple[float, float]
    ends: tuple[str, str]

    def at(self, share: float) -> float:
        """The place after a share of the whole axis."""
        return self.span[0] + share * (self.span[1] - self.span[0])

    def slider(self, signal: str, start: float) -> Slider:
        """The slider of a coordinate, at the stop that is nearest to `start`."""
        low, high = self.span
        step = round((high - low) / STEPS, 10)  # a page shows as many digits as the step has
        nearest = round(low + step * round((start - low) / step), 10)
        return Slider(signal, self.label, low, high, step, nearest, *self.ends)


@dataclass(frozen=True)
class Plane:
    """Two numbers of a scene. `place(x, y)` makes the tensors that they move, one entry per point.

    `moved` names these tensors, `over` says in words what the picture is over.
    """

    scene: Scene
    axes: tuple[Axis, Axis]
    moved: tuple[str, ...]
    place: Callable[[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]
    over: str

    def numbers(
        self, x: torch.Tensor, y: torch.Tensor, settings: Mapping[str, float]
    ) -> torch.Tensor:
        """What is drawn at points (N,): the loss, or minus its derivative along x."""
        if not self.scene.loss.view.pull:
            return self.scene.values(self.place(x, y), settings)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            values = self.scene.values(self.place(x, y), settings, "sum")
            (slope,) = torch.autograd.grad(values.sum(), x)
        return -slope

    def at_rest(self, framed: Collection[str]) -> str:
        """The clause that says where the arguments are that neither move nor are `framed`."""
        loss = self.scene.loss
        parts = [
            f"{plain(name)} {written(loss, loss.inputs[name], tensor)}"
            for name, tensor in self.scene.rest.items()
            if name not in (*self.moved, *framed)
        ]
        return f", with {'; '.join(parts)}" if parts else ""


def plane(loss: Loss) -> Plane:
    """The plane of a loss. Raises ValueError where nothing that it takes is learnt."""
    learnt = [loss.inputs[name] for name in loss.inputs.learnt]
    if not learnt:
        raise ValueError(f"{loss.key} has nothing that is learnt: {loss.inputs.words}")
    if loss.view.axes or learnt[0].kind is not LOGITS or not over_classes(learnt[0]):
        found = _two_numbers(loss, learnt)
    else:
        alike = [a for a in learnt if a.kind is LOGITS and a.letters == learnt[0].letters]
        labelled = any(a.kind.counts == learnt[0].letters[-1] for a in loss.inputs.required)
        if len(alike) == 2 and labelled:
            found = _two_margins(loss, alike)
        else:
            found = _three_logits(loss, learnt[0])
    first, second = found.axes
    if loss.view.labels:
        first, second = (
            replace(axis, label=label)
            for axis, label in zip(found.axes, loss.view.labels, strict=True)
        )
    return replace(found, axes=(first, second))


def _three_logits(loss: Loss, logits: Argument) -> Plane:
    letter = logits.letters[-1]
    scene = Scene(loss, sizes={letter: 3})
    names = class_names(loss, letter)
    right, above, below = names.values()

    def place(u: torch.Tensor, v: torch.Tensor) -> dict[str, torch.Tensor]:
        row = torch.empty(len(u), 3, dtype=u.dtype)
        row[:, list(names)] = torch.stack([u, v], -1) @ BASIS
        moved = scene.still(logits.name, len(u))
        moved.reshape(len(u), -1, 3)[:, 0] = row
        return {logits.name: moved}

    axes = (
        Axis(f"u: towards {right}", SPAN, (f"{right} loses", f"{right} wins")),
        Axis(f"v: {above} against {below}", SPAN, (f"{below} wins", f"{above} wins")),
    )
    rest = scene.rest[logits.name]
    where = f" in the first place, the others {written(loss, logits, rest)}"
    where = where if rest.numel() > 3 else ""
    return Plane(scene, axes, (logits.name,), place, f"the plane of three logits{where}")


def _two_margins(loss: Loss, pair: Sequence[Argument]) -> Plane:
    scene = Scene(loss, sizes={pair[0].letters[-1]: 2})
    names = tuple(argument.name for argument in pair)

    def place(*margins: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = (torch.stack([margin, torch.zeros_like(margin)], -1) for margin in margins)
        return {
            name: row.reshape(len(row), *scene.rest[name].shape)
            for name, row in zip(names, rows, strict=True)
        }

    ends = ("clearly wrong", "clearly right")
    first, second = (Axis(f"margin of {plain(name)}", SPAN, ends) for name in names)
    over = "the two margins of one example with two classes"
    return Plane(scene, (first, second), names, place, over)


def _two_numbers(loss: Loss, learnt: Sequence[Argument]) -> Plane:
    scene, (one, other) = _places(loss, learnt)

    def place(*numbers: torch.Tensor) -> dict[str, torch.Tensor]:
        moved = {name: scene.still(name, len(numbers[0])) for name, _ in (one, other)}
        for (name, entry), number in zip((one, other), numbers, strict=True):
            shape = scene.rest[name].shape
            moved[name].reshape(len(number), -1, shape[-1] if shape else 1)[:, 0, entry] = number
        return moved

    axes = _axis(scene, *one), _axis(scene, *other)
    return Plane(scene, axes, (one[0], other[0]), place, f"{axes[0].label} and {axes[1].label}")


def _places(
    loss: Loss, learnt: Sequence[Argument]
) -> tuple[Scene, tuple[tuple[str, int], tuple[str, int]]]:
    """Which two numbers move: of arguments that the view names, of one argument, of two rows."""
    if loss.view.axes:
        names = list(loss.view.axes)
        return Scene(loss), ((names[0], 0), (names[-1], int(len(names) == 1)))
    first, *others = learnt
    if all(letter in ROWS for letter in first.letters):
        alone = [a for a in others if a.letters == first.letters]
        if alone:
            return Scene(loss), ((first.name, 0), (alone[0].name, 0))
        letter = first.letters[-1]
        two = Scene(loss, (2,)) if letter == BATCH else Scene(loss, sizes={letter: 2})
        return two, ((first.name, 0), (first.name, 1))
    return Scene(loss), ((first.name, 0), (first.name, 1))


def _axis(scene: Scene, name: str, entry: int) -> Axis:
    """The axis of one number; of several in a row it says which, and what is beside it."""
    inputs, view = scene.loss.inputs, scene.loss.view
    argument, rest = inputs[name], scene.rest[name]
    label = plain(name)
    if rest.ndim and rest.shape[-1] > 1:
        label += f" of {one_of(argument.letters[-1])} {entry + 1}"
        beside = [
            f"{plain(a.name)} {scene.rest[a.name].reshape(-1, rest.shape[-1])[0, entry].item():g}"
            for a in inputs.required
            if a.letters == argument.letters and not a.kind.learnt
        ]
        label += f" ({', '.join(beside)})" if beside else ""
    return Axis(label, view.axes.get(name, argument.kind.span), argument.kind.ends)
