"""Live figure *pull*: embeddings as points of a plane, on each the arrow of minus the gradient.

One point walks over a disc of angles and lengths while the others stay. The loss and its gradients
are computed at every stop, so that nothing in the figure is interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...declaration.inputs import BATCH, Argument
from ...losses import Loss
from ..live import LiveFigure, Slider
from ..vega.contours import HELD, handle, pointer
from ..vega.frame import figure, formula, in_pane, mark, numeral, signal, table
from ..vega.plot import axis, dot, line, plot
from .scene import Scene
from .subject import declaration, framed, frames, settings
from .words import plain

ANGLE, LENGTH = 10, 0.25
ANGLES, LENGTHS = 360 // ANGLE, 5
START = (170.0, 1.0)
RIM = 10  # pixels from the middle of a point to where its arrow counts from
FRAMES = 8
MOST = 2000  # whole numbers that a gradient is kept as
GROUPS = 3
# where the members of a group stand, beside the group's own direction
BESIDE = ((0.0, 1.0), (25.0, 1.15), (-30.0, 0.85), (45.0, 1.3))
EXTENT = 1.8
TOP, FOOT, GAP, LEFT, ARROW = 30, 64, 70, 8, 70
SHAPES = ("circle", "square", "diamond", "triangle-up")


def pull(loss: Loss | str, *, values: Mapping[str, float] | None = None) -> LiveFigure:
    """The points of a loss of embeddings, with the pull on each, while the first is dragged.

    Every argument whose rows are directions (embeddings, class weights, prototypes, second views)
    has its rows in the plane; rows of one pair or class carry one number and stand together. Drawn
    is the loss over the places of the first point. The frames run over the first parameter;
    `values` overrides defaults. Raises as `settings` does, and ValueError where a number is not
    finite.
    """
    loss = declaration(loss)
    chosen = settings(loss, values)
    scene = scene_of(loss)
    parameter = next(iter(framed(loss)), None)
    over = frames(parameter, chosen, FRAMES) if parameter else None
    named = parameter.name if parameter else ""
    stops = over.stops if over else (0.0,)
    found = [pulls(loss, chosen | ({named: stop} if over else {})) for stop in stops]
    losses = torch.stack([values for values, _ in found])
    slopes = torch.stack([slopes for _, slopes in found])
    if not (losses.isfinite().all() and slopes.isfinite().all()):
        raise ValueError(f"{loss.key} has values or gradients on the disc that are not finite")
    controls = (
        *((over,) if over else ()),
        Slider("angle", "angle of the first point (degrees)", 0, 360 - ANGLE, ANGLE, START[0],
               "to the right", "once around"),
        Slider("length", "its length", LENGTH * 2, LENGTH * (1 + LENGTHS), LENGTH, START[1],
               "near the centre", "far out"),
    )  # fmt: skip
    kinds = [plain(name) for name in points(scene)]
    return _figure(loss, scene, controls, over, losses, slopes, kinds)


def places() -> torch.Tensor:
    """Where the first point can stand (ANGLES * LENGTHS, 2); lengths run fastest."""
    turn = torch.arange(ANGLES, dtype=torch.float64) * math.radians(ANGLE)
    reach = LENGTH * (2 + torch.arange(LENGTHS, dtype=torch.float64))
    directions = torch.stack([turn.cos(), turn.sin()], -1)
    return (directions[:, None] * reach[:, None]).reshape(-1, 2)


def pulls(loss: Loss, settings: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss (places,) and minus its gradient (places, points, 2) for all points."""
    scene = scene_of(loss)
    stand = points(scene)
    where = places()
    moved = {name: rest.expand(len(where), *rest.shape).clone() for name, rest in stand.items()}
    first = next(iter(moved.values()))
    first.reshape(len(where), -1, 2)[:, 0] = where
    found, slopes = scene.slopes(moved, settings)
    return found, -torch.cat([slope.reshape(len(where), -1, 2) for slope in slopes.values()], 1)


def points(scene: Scene) -> dict[str, torch.Tensor]:
    """Where the rows of every argument stand that holds directions, by name."""
    taken = [0] * GROUPS
    found = {}
    for argument in _directed(scene.loss):
        shape = scene.shape(argument)
        stands = []
        for group in _groups(scene, argument):
            beside, length = BESIDE[taken[group] % len(BESIDE)]
            taken[group] += 1
            # off the multiples of ANGLE: no point stands where another can be put
            turn = math.radians(87 + 360 / GROUPS * group + beside)
            stands.append([length * math.cos(turn), length * math.sin(turn)])
        found[argument.name] = torch.tensor(stands, dtype=torch.float64).reshape(shape)
    return found


def scene_of(loss: Loss) -> Scene:
    """Three rows of every argument; six if there is only one to see."""
    directed = _directed(loss)
    count = GROUPS if len(directed) > 1 else 2 * GROUPS
    letter = directed[0].letters[-2]
    others = {a.letters[-2]: GROUPS for a in directed[1:]}
    sizes = {letter: count} | others
    batch = sizes.pop(BATCH, 0)
    sizes[directed[0].letters[-1]] = 2
    return Scene(loss, (batch,) if batch else (), sizes)


def _directed(loss: Loss) -> list[Argument]:
    return [a for a in loss.inputs.required if a.kind.directed]


def _groups(scene: Scene, argument: Argument) -> list[int]:
    """The pair or class of each row: that of its label, or its own place."""
    count = math.prod(scene.shape(argument)[:-1])
    for other in scene.loss.inputs.required:
        if other.kind.holds == "integer" and other.letters == argument.letters[:-1]:
            return [int(label) % GROUPS for label in scene.rest[other.name].flatten()]
    return [row % GROUPS for row in range(count)]


def _figure(
    loss: Loss,
    scene: Scene,
    controls: Sequence[Slider],
    over: Slider | None,
    losses: torch.Tensor,
    slopes: torch.Tensor,
    kinds: Sequence[str],
) -> LiveFigure:
    stand = points(scene)
    drawn = [
        {"kind": k, "group": group + 1, "x": place[0], "y": place[1]}
        for k, (name, rest) in enumerate(stand.items())
        for group, place in zip(
            _groups(scene, loss.inputs[name]), rest.reshape(-1, 2).tolist(), strict=True
        )
    ]
    units = [float(f"{frame.abs().max().item() / MOST or 1.0:.6g}") for frame in slopes]
    whole = [
        (frame / unit).round().long().reshape(len(frame), -1).flatten().tolist()
        for frame, unit in zip(slopes, units, strict=True)
    ]
    typical = float(f"{slopes.norm(dim=-1).amax(-1).median().item() or 1.0:.2g}")
    frame = over.position if over else "0"
    others = ", ".join(kinds)
    return figure(
        controls,
        height=f"{TOP} + side + (wide ? 8 : {FOOT})",
        moves=_moves(),
        layout=_layout(),
        signals=[
            signal("turn", "angle * PI / 180"),
            signal(
                "at",
                "[middle[0] + unit * length * cos(turn), middle[1] - unit * length * sin(turn)]",
            ),
            HELD,
            {"name": "losses", "value": [rounded(frame)[1] for frame in losses]},
            {"name": "pulls", "value": whole},
            {"name": "units", "value": units},
            {"name": "typical", "value": typical},
            signal("frame", frame),
            signal("shown", "losses[frame]"),
            signal("cell", f"{LENGTHS} * round(angle / {ANGLE}) + round(length / {LENGTH}) - 2"),
            signal("here", "shown[cell]"),
            signal("ends", "extent(shown)"),
            signal("own", "data('points')[0].strength"),
        ],
        readout=f"'Loss ' + {numeral('here')} + '; elsewhere on the disc from ' + "
        f"{numeral('ends[0]')} + ' to ' + {numeral('ends[1]')} + '. The pull on the filled point "
        f"is ' + {numeral('own')} + '.'",
        data=[_cells(), _points(drawn), _cut()],
        scales=[
            {"name": "level", "type": "linear", "domain": {"signal": "ends"}, "zero": False,
             "range": {"signal": "ramp"}, "interpolate": "lab"},
        ],
        marks=[
            *_legend(kinds),
            in_pane(0, mark("group") | {"marks": [*_disc(len(kinds)), _arrow(typical), *_key()]}),
            in_pane(1, _panel()),
        ],
        handles=(handle("angle", "length"),),
        panes=("points", "curve"),
        renderer="canvas",
        alt=(
            f"{loss.title}: points of the plane for {others}, equal numbers belonging together, "
            f"each with an arrow along minus the gradient. Colours show the loss over the places "
            f"of the first point, which stands at {START[0]:g} degrees; a curve shows it over the "
            f"angle."
        ),
        caption=(
            f"{loss.title}: each arrow is minus the gradient in its point; "
            "the colours are the loss wherever the filled point could be, and the curve is the "
            "loss once around at its present length."
        ),
    )  # fmt: skip


def rounded(values: torch.Tensor) -> tuple[float, list[float]]:
    """A step of a hundred-thousandth of the range, or finer, and the values to that step."""
    places = 5 - math.ceil(math.log10(max((values.max() - values.min()).item(), 1e-9)))
    return 10.0**-places, [round(value, places) + 0.0 for value in values.tolist()]


def _layout() -> list[dict[str, Any]]:
    return [
        signal("side", f"wide ? min(0.56 * container, 420) : min(container - {2 * LEFT}, 420)"),
        signal("unit", f"side / {2 * EXTENT}"),
        signal("middle", f"[{LEFT} + side / 2, {TOP} + side / 2]"),
        signal("panel", f"wide ? container - side - {LEFT + GAP + 12} : container - {GAP}"),
        signal("panel_x", f"wide ? {LEFT} + side + {GAP} : {GAP - 12}"),
        signal("panel_y", f"{TOP + 10}"),
        signal("panel_height", "side - 130"),
        signal("key_y", f"wide ? {TOP} + side - 50 : {TOP + 24} + side"),
        pointer("drag", "disc"),
    ]


def _moves() -> dict[str, dict[str, str]]:
    """How dragging sets the place of the first point: to the nearest stops."""
    east, north = "(drag[0] - middle[0])", "(middle[1] - drag[1])"
    turn = f"atan2({north}, {east}) * 180 / PI"
    reach = f"sqrt({east} * {east} + {north} * {north}) / unit"
    nearest = f"{LENGTH} * round({reach} / {LENGTH})"
    return {
        "angle": {"drag": f"({ANGLE} * round({turn} / {ANGLE}) + 360) % 360"},
        "length": {"drag": f"clamp({nearest}, {2 * LENGTH}, {LENGTH * (1 + LENGTHS)})"},
    }


def _cells() -> dict[str, Any]:
    """The places of the first point as pieces of rings, with the loss of each."""
    return table(
        "cells",
        ANGLES * LENGTHS,
        formula("value", "shown[datum.index]"),
        formula("turn", f"PI / 2 - floor(datum.index / {LENGTHS}) * {math.radians(ANGLE)}"),
        formula("reach", f"{LENGTH} * (2 + datum.index % {LENGTHS})"),
    )


def _points(drawn: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The points with the ends of their arrows: lengths grow with the pull, but within ARROW."""
    entry = f"pulls[frame][cell * {2 * len(drawn)} + 2 * datum.index + {{}}] * units[frame]"
    return {
        "name": "points",
        "values": [{"index": k, **point} for k, point in enumerate(drawn)],
        "transform": [
            formula("px", "datum.index ? middle[0] + unit * datum.x : at[0]"),
            formula("py", "datum.index ? middle[1] - unit * datum.y : at[1]"),
            formula("east", entry.format(0)),
            formula("north", entry.format(1)),
            formula("strength", "sqrt(datum.east * datum.east + datum.north * datum.north)"),
            formula("reach", f"{ARROW} / (datum.strength + typical) + {RIM} / datum.strength"),
            formula("ex", "datum.px + datum.reach * datum.east"),
            formula("ey", "datum.py - datum.reach * datum.north"),
            formula("seen", "datum.strength > 0.02 * typical"),
            formula("heading", "90 - atan2(datum.north, datum.east) * 180 / PI"),
        ],
    }


def _cut() -> dict[str, Any]:
    """The loss once around at the present length."""
    return table(
        "cut",
        ANGLES + 1,
        formula("angle", f"{ANGLE} * datum.index"),
        formula(
            "value", f"shown[datum.index % {ANGLES} * {LENGTHS} + round(length / {LENGTH}) - 2]"
        ),
    )


def _disc(kinds: int) -> list[dict[str, Any]]:
    """The coloured places, the points with their numbers, and the arrows."""
    half = math.radians(ANGLE) / 2
    arcs = mark(
        "arc",
        "cells",
        x="middle[0]",
        y="middle[1]",
        startAngle=f"datum.turn - {half}",
        endAngle=f"datum.turn + {half}",
        innerRadius=f"unit * (datum.reach - {LENGTH / 2})",
        outerRadius=f"unit * (datum.reach + {LENGTH / 2})",
        fill={"scale": "level", "signal": "datum.value"},
        stroke={"scale": "level", "signal": "datum.value"},
    )
    area = mark(
        "path", x=LEFT, y=TOP, path="'M0 0H' + side + 'V' + side + 'H0Z'", fill="'transparent'"
    )
    shape = f"{list(SHAPES[:kinds])!r}[datum.kind]"
    place = {"x": "datum.px", "y": "datum.py"}
    near = (f"abs(datum.{p} - at[{k}]) < 14" for k, p in enumerate(("px", "py")))
    covered = " && ".join(["datum.index", *near])  # by the first point
    parts = [
        arcs,
        mark("rule", "points", **place, x2="datum.ex", y2="datum.ey", stroke="surface",
             strokeWidth="datum.seen ? 6 : 0"),
        mark("rule", "points", **place, x2="datum.ex", y2="datum.ey", stroke="path",
             strokeWidth="datum.seen ? 3 : 0"),
        mark("symbol", "points", x="datum.ex", y="datum.ey", shape={"value": "triangle"},
             angle="datum.heading", size="datum.seen ? 110 : 0", fill="path"),
        mark("symbol", "points", **place, shape=shape, size="datum.index ? 330 : 460",
             fill="datum.index ? surface : path", stroke="datum.index ? ink : surface",
             strokeWidth=2),
        mark("text", "points", **place, text=f"{covered} ? '' : datum.group", align="'center'",
             baseline={"value": "middle"}, fontWeight=600,
             fill="datum.index ? ink : surface"),
    ]  # fmt: skip
    return [
        *(part | {"interactive": False} for part in parts),
        area | {"name": "disc_surface"},
    ]


def _legend(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The shape of each argument."""
    marks: list[dict[str, Any]] = []
    x = LEFT + 8
    for kind, shape in zip(kinds, SHAPES, strict=False):
        marks.append(
            mark("symbol", x=x, y=14, shape={"value": shape}, size=130, fill="surface",
                 stroke="ink", strokeWidth=1.5)
        )  # fmt: skip
        marks.append(mark("text", x=x + 12, y=18, text=repr(kind), fill="ink"))
        x += 30 + 7 * len(kind)
    return marks


def _arrow(typical: float) -> dict[str, Any]:
    """How long an arrow is."""
    place = {"x": f"wide ? panel_x : {LEFT}", "y": f"wide ? 18 : {TOP + 14} + side"}
    text = repr(f"An arrow of {ARROW // 2} px: pull {typical:g}")
    return mark("text", **place, text=text, fill="muted")


def _key() -> list[dict[str, Any]]:
    """What the colours mean: from the lowest loss on the disc to the highest."""
    left, width = f"(wide ? panel_x : {LEFT})", "((wide ? panel : side) / 5)"
    boxes = [
        mark("rect", x=f"{left} + {k} * {width}", y="key_y", width=width, height=8,
             fill=f"ramp[{k}]")
        for k in range(5)
    ]  # fmt: skip
    ends = [
        mark("text", x=f"{left} + {5 * k} * {width}", y="key_y + 22",
             align={"value": ("left", "right")[k]}, fill="muted", fontSize=11,
             text=f"'{word} ' + format(ends[{k}], '.3~r')")
        for k, word in enumerate(("lowest loss", "highest"))
    ]  # fmt: skip
    return [*boxes, *ends]


def _panel() -> dict[str, Any]:
    return plot(
        ("panel_x", "panel_y", "panel", "panel_height"),
        axis("angle of the first point (degrees)", "[0, 360]"),
        axis("loss", "[ends[0] - 0.04 * span(ends), ends[1] + 0.04 * span(ends)]", zero=False),
        [line("cut", "datum.angle", "datum.value", "subject")],
        above=[dot("angle", "here", "path")],
    )
