"""Live figure *mask*: a line of pixels that is too thick, shifted or cut, and what the loss says.

The target is a curved line. The prediction is the same line with soft edges, another thickness, a
shift and a gap; sliders choose these. Beside both stands minus the gradient, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...declaration.inputs import Argument
from ...losses import Loss
from ..live import LiveFigure, Slider
from ..vega.frame import figure, formula, in_pane, mark, numeral, signal, table
from ..vega.plot import axis, dot, line, plot
from .scene import SIZES, Scene
from .subject import declaration, settings

HEIGHT, WIDTH = SIZES["H"], SIZES["W"]
SHARP = 3.0  # nats per pixel from the edge of the line
MOST = 999  # whole numbers that a gradient is kept as
THICKNESS = Slider("thickness", "thickness (pixels)", 1, 4, 1, 2, "thin", "thick")
SHIFT = Slider("shift", "shift (pixels)", -3, 3, 1, 0, "up", "down")
GAP = Slider("gap", "gap (pixels)", 0, 6, 2, 2, "whole", "cut in two")
SLIDERS = (THICKNESS, SHIFT, GAP)
TARGET_THICKNESS = 2.0
TOP, EDGE, BETWEEN, LEFT, PANEL = 26, 8, 62, 50, 100


def mask(loss: Loss | str, *, values: Mapping[str, float] | None = None) -> LiveFigure:
    """A line of pixels under a loss of masks: target, prediction and minus the gradient.

    `values` overrides defaults of parameters. Raises as `settings` does, and ValueError where a
    value or a gradient is not finite.
    """
    loss = declaration(loss)
    chosen = settings(loss, values)
    found, slopes = answers(loss, chosen)
    if not (found.isfinite().all() and slopes.isfinite().all()):
        raise ValueError(f"{loss.key} has values or gradients of the line that are not finite")
    return _figure(loss, found, -slopes)


def states() -> torch.Tensor:
    """Thickness, shift and gap of every state (states, 3); the gap runs fastest."""
    return torch.cartesian_prod(*(torch.tensor(s.stops, dtype=torch.float64) for s in SLIDERS))


def logits() -> torch.Tensor:
    """The prediction of every state as logits (states, H, W)."""
    thickness, shift, gap = (part.reshape(-1, 1, 1) for part in states().unbind(1))
    row, column = _pixels()
    inside = thickness / 2 - (row - _curve(column) - shift).abs()
    outside_gap = (column - (WIDTH - 1) / 2).abs() - gap / 2
    return SHARP * torch.where(gap > 0, torch.minimum(inside, outside_gap), inside)


def target() -> torch.Tensor:
    """The true mask (H, W), bool."""
    row, column = _pixels()
    return (row - _curve(column)).abs() <= TARGET_THICKNESS / 2


def answers(loss: Loss, settings: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss (states,) and its gradient (states, H, W) in the image, or in its last class."""
    inputs = loss.inputs
    image = next(inputs[name] for name in inputs.learnt if "H" in inputs[name].letters)
    letter = _class_letter(image)
    scene = Scene(loss, sizes={letter: 2} if letter else None)
    d = logits()
    if letter:
        d = torch.stack([-d / 2, d / 2], 1)
    elif not image.kind.shifts:
        d = d.sigmoid()
    for name, rest in scene.rest.items():
        if name != image.name and rest.shape[-2:] == (HEIGHT, WIDTH):
            scene.rest[name] = target().to(rest.dtype).expand(rest.shape).clone()
    moved = d.reshape(len(d), *scene.rest[image.name].shape)
    found, slopes = scene.slopes({image.name: moved}, settings)
    slope = slopes[image.name].reshape(len(d), -1, HEIGHT, WIDTH)
    return found, slope[:, -1]


def _class_letter(image: Argument) -> str:
    """The letter of a class axis before the pixels, or nothing."""
    return next((letter for letter in image.letters if letter in "KC"), "")


def _pixels() -> tuple[torch.Tensor, torch.Tensor]:
    row = torch.arange(HEIGHT, dtype=torch.float64).reshape(-1, 1)
    return row, torch.arange(WIDTH, dtype=torch.float64)


def _curve(column: torch.Tensor) -> torch.Tensor:
    """The row of the middle of the line."""
    return (HEIGHT - 1) / 2 + torch.sin(column / 2)


def _figure(loss: Loss, found: torch.Tensor, wanted: torch.Tensor) -> LiveFigure:
    unit = float(f"{wanted.abs().max().item() / MOST or 1.0:.6g}")
    cells = HEIGHT * WIDTH
    size = [len(slider.stops) for slider in SLIDERS]
    place = [slider.position for slider in SLIDERS]
    state = f"({place[0]} * {size[1]} + {place[1]}) * {size[2]} + {place[2]}"
    curve = _curve(torch.arange(WIDTH).double()).tolist()
    images = (
        ("target", "target", "ramp[floor(3.9 * datum.truth)]"),
        ("prediction", "prediction", {"scale": "share", "signal": "datum.prediction"}),
        ("gradient", "minus gradient", {"scale": "wanted", "signal": "datum.wanted"}),
    )
    most = float(found.max()), float(found.min())
    room = 0.05 * (most[0] - most[1]) or 1.0
    return figure(
        SLIDERS,
        layout=[
            signal("side", f"min((container - {2 * EDGE + 24}) / 3, 220)"),
            signal("cell", f"side / {WIDTH}"),
            signal("below", f"{TOP} + side + (wide ? 40 : 50)"),
            signal(
                "panel",
                f"wide ? (container - {LEFT + 2 * BETWEEN + 10}) / 3 : container - {LEFT + 12}",
            ),
        ],
        height=f"below + {PANEL + 50}",
        signals=[
            {"name": "losses", "value": [float(f"{v:.6g}") for v in found.tolist()]},
            {"name": "pushes", "value": [_whole(image, unit) for image in wanted]},
            {"name": "unit", "value": unit},
            {"name": "curve", "value": curve},
            {"name": "truth", "value": target().long().flatten().tolist()},
            signal("state", state),
            signal("here", "losses[state]"),
            signal("pushed", "pushes[state]"),
            signal("strongest", "max(-extent(pushed)[0], extent(pushed)[1]) * unit"),
        ],
        readout=f"'Loss ' + {numeral('here', 4)} + ' with thickness ' + thickness + ' (target "
        f"{TARGET_THICKNESS:g}), shift ' + shift_text + ', gap ' + gap + '; the strongest push on "
        f"a pixel is ' + {numeral('strongest')} + '.'",
        data=[
            table(
                "pixels",
                cells,
                formula("row", f"floor(datum.index / {WIDTH})"),
                formula("column", f"datum.index % {WIDTH}"),
                formula("truth", "truth[datum.index]"),
                formula(
                    "inside", "thickness / 2 - abs(datum.row - curve[datum.column] - shift)"
                ),
                formula("outside", f"abs(datum.column - {(WIDTH - 1) / 2}) - gap / 2"),
                formula(
                    "logit",
                    f"{SHARP} * (gap > 0 ? min(datum.inside, datum.outside) : datum.inside)",
                ),
                formula("prediction", "1 / (1 + exp(-datum.logit))"),
                formula("wanted", "pushed[datum.index] * unit"),
            ),
            *(_cut(k, size, place) for k in range(3)),
        ],
        scales=[
            {"name": "share", "domain": [0, 1], "range": {"signal": "ramp"}, "interpolate": "lab"},
            # roots show the weak pushes beside the strong
            {"name": "wanted", "type": "sqrt", "domain": [-MOST * unit, 0, MOST * unit],
             "range": {"signal": "[path, surface, subject]"}, "interpolate": "lab"},
        ],
        marks=[
            *(_image(k, title, fill) for k, (_, title, fill) in enumerate(images)),
            *_key(),
            *(in_pane(k, _panel(k, (most[1] - room, most[0] + room))) for k in range(3)),
        ],
        panes=tuple(slider.signal for slider in SLIDERS),
        renderer="canvas",
        alt=(
            f"{loss.title}: three images of {HEIGHT} by {WIDTH} pixels, the target (a curved "
            f"line), a prediction of it of thickness {THICKNESS.value:g} with a gap of "
            f"{GAP.value:g} pixels, and minus the gradient of the loss in every pixel; below, the "
            "loss over thickness, shift and gap."
        ),
        caption=(
            f"{loss.title}: a line of pixels, predicted too thick, shifted or cut. Right, what "
            "would lower the loss: blue pixels should rise, orange ones fall. Below, the loss "
            "along each slider from where the others stand."
        ),
    )  # fmt: skip


def _whole(image: torch.Tensor, unit: float) -> list[int]:
    whole: list[int] = (image / unit).round().long().flatten().tolist()
    return whole


def _cut(k: int, size: Sequence[int], place: Sequence[str]) -> dict[str, Any]:
    """The loss along one slider, the others where they are."""
    at = [*place]
    at[k] = "datum.index"
    slider = SLIDERS[k]
    return table(
        f"along_{slider.signal}",
        size[k],
        formula("place", f"{slider.start} + {slider.step} * datum.index"),
        formula("value", f"losses[({at[0]} * {size[1]} + {at[1]}) * {size[2]} + {at[2]}]"),
    )


def _image(k: int, title: str, fill: Any) -> dict[str, Any]:
    """One image of the pixels under its title."""
    pixel = mark(
        "rect",
        "pixels",
        x="datum.column * cell",
        y="datum.row * cell",
        width="cell + 0.5",
        height="cell + 0.5",
        fill=fill,
    )
    frame = mark("rect", width="side", height="side", stroke="muted")
    name = mark(
        "text", y=-8, text=repr(title), fill="ink", fontWeight=600, fontSize="wide ? 12 : 11"
    )
    group = mark(
        "group",
        x=f"{EDGE} + {k} * (container - side - {2 * EDGE}) / 2",
        y=TOP,
        width="side",
        height="side",
    )
    return group | {"marks": [pixel, frame, name], "interactive": False}


def _key() -> list[dict[str, Any]]:
    """What the colours of the gradient mean."""
    left = f"container - side - {EDGE}"
    entries = (("'should rise'", "subject", 0), ("'should fall'", "path", 1))
    marks = []
    for text, colour, k in entries:
        x = f"{left} + (wide ? {k} * side / 2 : 0)"
        y = f"{TOP + 8} + side + (wide ? 0 : {14 * k})"
        marks.append(mark("rect", x=x, y=y, width=9, height=9, fill=colour))
        look = {"fill": "muted", "fontSize": 11}
        marks.append(mark("text", x=f"{x} + 12", y=f"{y} + 8", text=text, **look))
    return marks


def _panel(k: int, ends: tuple[float, float]) -> dict[str, Any]:
    slider = SLIDERS[k]
    data = f"along_{slider.signal}"
    x = f"wide ? {LEFT} + {k} * (panel + {BETWEEN}) : {LEFT}"
    whole = {"tickMinStep": slider.step, "tickCount": 7, "grid": True, "format": "d"}
    return plot(
        (x, "below", "panel", str(PANEL)),
        axis(slider.label, f"[{slider.start}, {slider.stop}]", look=whole, zero=False),
        axis("loss", f"[{ends[0]!r}, {ends[1]!r}]", zero=False),
        [line(data, "datum.place", "datum.value", "subject")],
        above=[dot(slider.signal, "here", "path")],
    )
