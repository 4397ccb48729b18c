"""A loss over a plane of two of its numbers, from its torch function: contours and cuts.

What the two numbers are follows from the arguments: three logits in their plane without the common
constant; the margins of two inputs; else the first two numbers that are learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ...declaration import Parameter
from ...declaration.inputs import BATCH, Argument
from ...declaration.kinds import LOGITS
from ...losses import Loss
from ..live import LiveFigure, Slider
from ..vega.surface import stops, surface
from .plane import BASIS
from .scene import Scene, Tensors
from .subject import declaration, frames, settings
from .views import EXTENT

STEPS = 40
NATS = "loss (nats)"
ONE_OF = {"V": "token", "J": "threshold", "N": "example", "B": "example", "M": "candidate",
          "T": "place", BATCH: "example"}  # fmt: skip
ROWS = (BATCH, "N", "B")


@dataclass(frozen=True)
class Axis:
    """One axis of the plane: its words, its two ends and what they mean."""

    label: str
    span: tuple[float, float]
    ends: tuple[str, str]

    def slider(self, signal: str, start: float) -> Slider:
        """The slider of a coordinate, at the stop that is nearest to `start`."""
        low, high = self.span
        step = (high - low) / STEPS
        nearest = low + step * round((start - low) / step)
        return Slider(signal, self.label, low, high, step, nearest, *self.ends)


@dataclass(frozen=True)
class Plane:
    """Two numbers of a scene. `place(x, y)` makes the tensors that they move, one row a point."""

    scene: Scene
    axes: tuple[Axis, Axis]
    place: Callable[[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]
    over: str

    def numbers(
        self, x: torch.Tensor, y: torch.Tensor, settings: Mapping[str, float]
    ) -> torch.Tensor:
        """What is drawn at points (N,): the loss, or minus its derivative along x."""
        moved: dict[str, torch.Tensor] = self.place(x, y)
        chosen = dict(settings)
        for name in chosen.keys() & self.scene.rest.keys():
            moved[name] = torch.full_like(self.scene.still(name, len(x)), chosen.pop(name))
        if not self.scene.loss.view.pull:
            return self.scene.values(moved, chosen)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            values = self.scene.values({**moved, **self.place(x, y)}, chosen, "sum")
            (slope,) = torch.autograd.grad(values.sum(), x)
        return -slope


def plane(loss: Loss) -> Plane:
    """The plane of a loss, chosen by its arguments.

    Raises ValueError for a loss whose arguments have no two numbers to move on their own.
    """
    logits = [a for a in _learnt(loss) if a.kind is LOGITS and _classes(a)]
    counted = {a.kind.counts for a in loss.inputs.required}
    if not loss.view.axes and logits and logits[0] == _learnt(loss)[0]:
        margins = [a for a in logits if a.letters == logits[0].letters]
        if len(margins) == 2 and margins[0].letters[-1] in counted:
            return _two_margins(loss, margins)
        return _class_plane(loss, logits[0])
    return _two_numbers(loss)


def sampled(
    loss: Loss | str,
    *,
    point: Sequence[float] = (),
    values: Mapping[str, float] | None = None,
) -> LiveFigure:
    """The surface of a loss over its `plane`, through `point`, by default where the view says.

    The frames run over its first parameter unless the view says otherwise; `values` overrides
    defaults. Raises ValueError as `plane` and `settings` do, and for a point outside the plane.
    """
    loss = declaration(loss)
    drawn = plane(loss)
    chosen = settings(loss, values)
    parameter = _framed(loss)
    over = frames(parameter, chosen.get(parameter.name, parameter.default)) if parameter else None
    x, y = _sliders(loss, drawn, point)
    up, across = torch.meshgrid(*(torch.tensor(stops(axis)) for axis in (y, x)), indexing="ij")
    stack = torch.stack(
        [
            drawn.numbers(across.flatten(), up.flatten(), chosen | setting).reshape(across.shape)
            for setting in _settings(parameter, over)
        ]
    )
    return surface(
        (stack if over else stack[0]).detach().numpy(),
        x,
        y,
        title=loss.title,
        value=loss.view.pull or NATS,
        frames=over,
        log=loss.view.scale == "log",
        caption=" ".join(
            part
            for part in (
                f"{loss.title}: the {loss.view.pull or 'loss'} over {drawn.over}"
                f"{_at_rest(drawn, parameter)}.",
                loss.view.says,
                "Drag the ringed point; the curves are the cuts through it.",
            )
            if part
        ),
    )


def _framed(loss: Loss) -> Parameter | None:
    """What the frames run over: a parameter, or a number that an argument takes."""
    given = loss.view.frames
    if isinstance(given, Parameter):
        return given
    if given:
        return next(p for p in loss.parameters if p.name == given)
    return loss.parameters[0] if loss.parameters else None


def _settings(parameter: Parameter | None, over: Slider | None) -> list[dict[str, float]]:
    if parameter is None or over is None:
        return [{}]
    return [{parameter.name: float(setting)} for setting in stops(over)]


def _sliders(loss: Loss, drawn: Plane, point: Sequence[float]) -> tuple[Slider, Slider]:
    start = point or loss.view.point
    if not start:  # where the first number is low and the second high, the loss has something to do
        shares = zip(drawn.axes, (0.3, 0.7), strict=True)
        start = [a.span[0] + share * (a.span[1] - a.span[0]) for a, share in shares]
    ends = [axis.span for axis in drawn.axes]
    if len(start) != 2 or not all(
        low <= place <= high for place, (low, high) in zip(start, ends, strict=True)
    ):
        raise ValueError(f"point must be two numbers, in {ends[0]} and {ends[1]}, got {start!r}")
    x, y = (axis.slider(s, at) for axis, s, at in zip(drawn.axes, "xy", start, strict=True))
    return x, y


# The planes.


def _class_plane(loss: Loss, logits: Argument) -> Plane:
    letter = logits.letters[-1]
    scene = Scene(loss, **{letter: 3})
    order = list(_names(loss, letter))
    right, above, below = _names(loss, letter).values()

    def place(u: torch.Tensor, v: torch.Tensor) -> dict[str, torch.Tensor]:
        moved = scene.still(logits.name, len(u))
        row = torch.empty(len(u), 3, dtype=u.dtype)
        row[:, order] = torch.stack([u, v], -1) @ BASIS
        first = (slice(None), *(0 for _ in scene.rest[logits.name].shape[:-1]))
        moved[first] = row
        return {logits.name: moved}

    axes = (
        Axis(f"u: towards {right}", (-EXTENT, EXTENT), (f"{right} loses", f"{right} wins")),
        Axis(f"v: {above} against {below}", (-EXTENT, EXTENT), (f"{below} wins", f"{above} wins")),
    )
    where = " at one place" if len(scene.rest[logits.name].shape) > 1 else ""
    return Plane(scene, _labelled(loss, axes), place, f"the plane of three logits{where}")


def _two_margins(loss: Loss, pair: Sequence[Argument]) -> Plane:
    scene = Scene(loss, **{pair[0].letters[-1]: 2})

    def place(x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        moved = {}
        for argument, margin in zip(pair, (x, y), strict=True):
            row = torch.stack([margin, torch.zeros_like(margin)], -1)
            moved[argument.name] = row.reshape(len(x), *scene.rest[argument.name].shape)
        return moved

    ends = ("clearly wrong", "clearly right")
    first, second = (Axis(f"margin of {_said(a)}", (-EXTENT, EXTENT), ends) for a in pair)
    over = "the two margins of one example with two classes"
    return Plane(scene, _labelled(loss, (first, second)), place, over)


def _two_numbers(loss: Loss) -> Plane:
    scene, places = _places(loss)
    inputs = loss.inputs

    def place(x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        moved = {name: scene.still(name, len(x)) for name, _ in places}
        for (name, entry), number in zip(places, (x, y), strict=True):
            shape = scene.rest[name].shape
            moved[name][(slice(None), *(0 for _ in shape[:-1]), *([entry] if shape else []))] = (
                number
            )
        return moved

    axes = []
    for name, entry in places:
        argument, shape = inputs[name], scene.rest[name].shape
        several = shape and shape[-1] > 1
        which = f" of {ONE_OF.get(argument.letters[-1], 'class')} {entry + 1}" if several else ""
        beside = [
            f"{_plain(a.name)} {scene.rest[a.name].reshape(-1, shape[-1])[0, entry].item():g}"
            for a in inputs.required
            if several and a.letters == argument.letters and not a.kind.learnt
        ]
        label = f"{_said(argument)}{which}" + (f" ({', '.join(beside)})" if beside else "")
        span = loss.view.axes.get(name, argument.kind.span)
        axes.append(Axis(label, span, argument.kind.ends))
    first, second = _labelled(loss, (axes[0], axes[1]))
    return Plane(scene, (first, second), place, f"{first.label} and {second.label}")


def _places(loss: Loss) -> tuple[Scene, list[tuple[str, int]]]:
    """Which two numbers move: of the arguments the view names, of one argument, or of two rows."""
    if loss.view.axes:
        names = list(loss.view.axes)
        return Scene(loss), [(names[0], 0), (names[-1], len(names) == 1)]
    learnt = _learnt(loss)
    if not learnt:
        raise ValueError(f"{loss.key} has nothing that is learnt: {loss.inputs.words}")
    if _inner(learnt[0]):
        return Scene(loss), [(learnt[0].name, 0), (learnt[0].name, 1)]
    alone = [a for a in learnt if not _inner(a)]
    if len(alone) > 1:
        return Scene(loss), [(alone[0].name, 0), (alone[1].name, 0)]
    letter = learnt[0].letters[-1]
    two = Scene(loss, batch=(2,)) if letter == BATCH else Scene(loss, **{letter: 2})
    return two, [(learnt[0].name, 0), (learnt[0].name, 1)]


def _learnt(loss: Loss) -> list[Argument]:
    return [loss.inputs[name] for name in loss.inputs.learnt]


def _inner(argument: Argument) -> list[str]:
    """The letters of a shape beyond that of the rows."""
    return [letter for letter in argument.letters if letter not in ROWS]


def _classes(argument: Argument) -> bool:
    """Whether the last axis is one of classes: thresholds are no alternatives of each other."""
    return argument.letters[-1] not in (*ROWS, "J")


# The words.


def _names(loss: Loss, letter: str) -> Mapping[int, str]:
    """Three names by index, in the order in which the plane shows them."""
    one = ONE_OF.get(letter, "class")
    return loss.view.classes or {k: f"{one} {k + 1}" for k in range(3)}


def _labelled(loss: Loss, axes: tuple[Axis, Axis]) -> tuple[Axis, Axis]:
    words = loss.view.labels or tuple(axis.label for axis in axes)
    first, second = (Axis(w, a.span, a.ends) for w, a in zip(words, axes, strict=True))
    return first, second


def _said(argument: Argument) -> str:
    return _plain(argument.name)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _at_rest(drawn: Plane, parameter: Parameter | None) -> str:
    """The clause that says where the other arguments are."""
    scene, loss = drawn.scene, drawn.scene.loss
    moved = drawn.place(torch.zeros(1).double(), torch.zeros(1).double())
    framed = parameter.name if parameter else ""
    parts = [
        f"{_plain(name)} {_written(loss, loss.inputs[name], tensor)}"
        for name, tensor in scene.rest.items()
        if name not in moved and name != framed
    ]
    return f", with {'; '.join(parts)}" if parts else ""


def _written(loss: Loss, argument: Argument, tensor: torch.Tensor) -> str:
    """A tensor at rest in a few words: classes by name, logits as what they say."""
    kind = argument.kind
    if kind.shifts and tensor.ndim and _classes(argument):
        shares = tensor.reshape(-1, tensor.shape[-1])[0].softmax(-1)
        return f"at probabilities {', '.join(f'{share:.0%}' for share in shares.tolist())}"
    numbers: Tensors | list[float] = tensor.flatten().tolist()
    if kind.counts and _is_class(kind.counts):
        names = _names(loss, kind.counts)
        return ", ".join(names.get(int(k), str(int(k))) for k in numbers)
    return ", ".join(f"{number:g}" for number in numbers)


def _is_class(letter: str) -> bool:
    return letter != "J"
