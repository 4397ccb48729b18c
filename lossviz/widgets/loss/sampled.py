"""Landscapes of losses that are no closed expression over three logits: numbers, then contours.

A loss is put on a plane by what it takes (`Loss.inputs`): logits of a given label, student logits
beside a fixed teacher, and so on. Its torch function gives the numbers of every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from ...losses import Loss
from ..live import LiveFigure, Slider
from ..vega.surface import stops, surface
from .plane import BASIS
from .subject import settings, slider
from .views import EXTENT

STEP = 0.3
TEACHER = (0.6, 0.3, 0.1)
DRAWS = (-1.0, 0.5)
NATS = "loss (nats)"


@dataclass(frozen=True)
class Plane:
    """How a loss of some kind becomes a surface.

    `evaluate(loss, x, y, settings)` takes two float64 tensors (N,) and returns (N,). The frames run
    over `parameter`, or over `frames` when it is not the loss's: then the setting has its signal as
    its name. `said` tells the reader what is shown.
    """

    evaluate: Callable[[Loss, torch.Tensor, torch.Tensor, dict[str, float]], torch.Tensor]
    x: str
    y: str
    low: tuple[str, str]
    high: tuple[str, str]
    said: str
    value: str = NATS
    log: bool = False
    frames: Slider | None = None
    parameter: str = ""


def sampled(loss: Loss, point: tuple[float, float], values: Mapping[str, float]) -> LiveFigure:
    """The surface of a loss whose inputs are of a kind in `PLANES`, through `point`.

    `values` overrides defaults. Raises ValueError for another kind, and as `settings` does.
    """
    if loss.inputs not in PLANES:
        raise ValueError(f"{loss.key} takes {loss.inputs}, expected one of {sorted(PLANES)}")
    plane = PLANES[loss.inputs]
    chosen = settings(loss, values)
    frames = plane.frames or _frames(loss, plane.parameter, chosen)
    x, y = (
        Slider(signal, label, -EXTENT, EXTENT, STEP, _stop(start), low, high)
        for signal, label, start, low, high in zip(
            "xy", (plane.x, plane.y), point, plane.low, plane.high, strict=True
        )
    )
    up, across = torch.meshgrid(*(torch.tensor(stops(axis)) for axis in (y, x)), indexing="ij")
    name = plane.parameter or frames.signal
    stack = torch.stack(
        [
            plane.evaluate(
                loss, across.flatten(), up.flatten(), chosen | {name: float(setting)}
            ).reshape(across.shape)
            for setting in stops(frames)
        ]
    )
    return surface(
        stack.numpy(),
        x,
        y,
        title=loss.title,
        value=plane.value,
        frames=frames,
        log=plane.log,
        caption=f"{loss.title}: {plane.said} Drag the ringed point; the curves are the cuts "
        "through it.",
    )


def _stop(value: float) -> float:
    return STEP * round(value / STEP)


def _frames(loss: Loss, name: str, chosen: Mapping[str, float]) -> Slider:
    """The slider of a parameter with six to ten steps, one of which is the default if possible."""
    (parameter,) = (parameter for parameter in loss.parameters if parameter.name == name)
    start, stop, _ = parameter.slider
    share = (parameter.default - start) / (stop - start)
    count = min(range(10, 5, -1), key=lambda n: round(abs(share * n - round(share * n)), 6))
    step = round((stop - start) / count, 6)
    nearest = start + step * min(max(round((chosen[name] - start) / step), 0), count)
    return replace(
        slider(parameter, chosen[name]), start=start, stop=stop, step=step, value=nearest
    )


def _class_logits(
    loss: Loss, u: torch.Tensor, v: torch.Tensor, settings: dict[str, float]
) -> torch.Tensor:
    target = torch.zeros(len(u), dtype=torch.long)
    return loss(_logits(u, v), target, **settings, reduction="none")


def _student(
    loss: Loss, u: torch.Tensor, v: torch.Tensor, settings: dict[str, float]
) -> torch.Tensor:
    teacher = torch.tensor(TEACHER, dtype=torch.float64).log().expand(len(u), 3)
    return loss(_logits(u, v), teacher, **settings, reduction="none")


def _two_margins(
    loss: Loss, clean: torch.Tensor, attacked: torch.Tensor, settings: dict[str, float]
) -> torch.Tensor:
    pair = (torch.stack([margin, torch.zeros_like(margin)], -1) for margin in (clean, attacked))
    target = torch.zeros(len(clean), dtype=torch.long)
    return loss(*pair, target, **settings, reduction="none")


def _bins(loss: Loss, u: torch.Tensor, v: torch.Tensor, settings: dict[str, float]) -> torch.Tensor:
    number = {name: value for name, value in settings.items() if name != "number"}
    y = torch.full((len(u),), settings["number"], dtype=torch.float64)
    return loss(_logits(u, v)[:, [1, 0, 2]], y, **number, reduction="none")


def _pull(
    loss: Loss, first: torch.Tensor, second: torch.Tensor, settings: dict[str, float]
) -> torch.Tensor:
    """Minus the derivative for the first of two scores, from one pair of draws."""
    draws = torch.tensor(DRAWS, dtype=torch.float64)

    def step(scores: torch.Tensor) -> torch.Tensor:
        return loss(scores, torch.ones_like(scores), draws, **settings, reduction="sum")

    return -torch.func.vmap(torch.func.grad(step))(torch.stack([first, second], -1))[:, 0]


def _logits(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.stack([u, v], -1) @ BASIS


def _percent(shares: tuple[float, ...]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares)


PLANES: Mapping[str, Plane] = {
    "class logits": Plane(
        _class_logits,
        "u: towards class 1",
        "v: class 2 against class 3",
        ("class 1 loses", "class 3 wins"),
        ("class 1 wins", "class 2 wins"),
        "the loss over the plane of three logits, for label 1.",
        parameter="lam0",
    ),
    "pair of class logits": Plane(
        _student,
        "u: student towards class 1",
        "v: student, class 2 against 3",
        ("class 1 loses", "class 3 wins"),
        ("class 1 wins", "class 2 wins"),
        f"the loss over the student's three logits; the teacher says {_percent(TEACHER)}.",
        parameter="alpha",
    ),
    "clean and adversarial class logits": Plane(
        _two_margins,
        "margin of the clean input",
        "margin of the attacked input",
        ("clearly wrong", "the attack succeeds"),
        ("clearly right", "the attack fails"),
        "the loss over the two margins of one example with two classes.",
        log=True,
        parameter="nu",
    ),
    "bin logits and values": Plane(
        _bins,
        "u: towards the middle bin",
        "v: lowest bin against highest",
        ("the middle bin loses", "the highest bin wins"),
        ("the middle bin wins", "the lowest bin wins"),
        "the loss over the logits of three bins, for a number between -10 and 10.",
        frames=Slider("number", "y: the number to be learnt", -10, 10, 2, 4, "lowest", "highest"),
    ),
    "binary scores with random draws": Plane(
        _pull,
        "margin of example A",
        "margin of example B",
        ("A clearly wrong", "B clearly wrong"),
        ("A clearly right", "B clearly right"),
        "no value, which would mean nothing, but the pull on example A in a batch of two, for one "
        f"pair of normal draws ({DRAWS[0]:g} and {DRAWS[1]:g}). The example of smaller margin gets "
        "the larger pull: hence the step on the diagonal.",
        value="pull on example A",
        parameter="lam",
    ),
}
