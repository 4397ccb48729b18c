"""Live figure: features in three dimensions on their way to a frame, and a view that turns.

The network's last features have three coordinates, so the picture leaves nothing out. In each
frame they are centred where the frame is, divided by the root of their mean square, and turned so
that the class means at the end lie as near to the frame's corners as a rotation can bring them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ...analysis import class_statistics, nc1, nc2, nc3, nc4
from ...analysis.collapse import ClassStatistics, Frame
from ..live import Choice, Handle, LiveFigure, Slider
from ..vega.frame import figure, formula, in_pane, mark, numeral, signal, table
from ..vega.plot import axis, line, plot, rule

TOP, LEFT, FOOT = 62, 78, 52
REACH = 1.3  # of the view, where the root mean square of the features is 1
PIXELS = 1.6  # by which the hand turns the view one degree
DIGITS = 3
LOWEST, HIGHEST = 1e-5, 10  # of the numbers drawn
_THIRD = math.sqrt(3) / 2
CORNERS: dict[tuple[Frame, int], list[list[float]]] = {
    ("simplex", 3): [[0, 1, 0], [-_THIRD, -0.5, 0], [_THIRD, -0.5, 0]],
    ("simplex", 4): [
        [0, 1, 0],
        [-math.sqrt(2 / 3), -1 / 3, math.sqrt(2 / 9)],
        [math.sqrt(2 / 3), -1 / 3, math.sqrt(2 / 9)],
        [0, -1 / 3, -math.sqrt(8 / 9)],
    ],
    ("orthogonal", 3): [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
}
NUMBERS = ("nc1", "nc2", "nc3")
"""Those that are drawn over the steps, with their colours below."""
COLOURS = ("subject", "path", "muted")


class Recording(NamedTuple):
    """A training: after each recorded step features (T, N, 3), head (T, K, 3) and bias (T, K).

    `labels` (N,) are in [0, K) with K 3 or 4, and `frame` is where theory says that it ends.
    """

    features: torch.Tensor
    labels: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    frame: Frame


def neural_collapse(
    recordings: Mapping[str, Recording],
    steps: Sequence[int],
    *,
    names: Sequence[str] = ("0", "1", "2", "3"),
    step: int | None = None,
) -> LiveFigure:
    """Class means and rows of the classifier on their way to a frame, with NC1 to NC3.

    Parameters
    ----------
    recordings : trainings by name; a list chooses. All are recorded after the same steps.
    steps : the numbers of those steps (T,), from 0 up.
    names : what the classes are called.
    step : the first state, one of `steps`; the last by default.

    Raises
    ------
    ValueError for no recordings, fewer than two steps or ones that do not rise, a step that is not
    among them, shapes other than those of `Recording`, and a frame that has no picture in three
    dimensions: a simplex needs 3 or 4 classes, an orthogonal frame 3.
    """
    if not recordings:
        raise ValueError("recordings must name at least one training, got none")
    times = list(steps)
    if len(times) < 2 or times != sorted(set(times)):
        raise ValueError(f"steps must be at least two numbers that rise, got {times}")
    if step is not None and step not in times:
        raise ValueError(f"step must be one of {times}, got {step!r}")
    runs = [_prepared(name, one, len(times)) for name, one in recordings.items()]
    most = max(len(run["labels"]) + 3 * run["count"] for run in runs)
    training = Choice("training", "training", tuple(recordings), next(iter(recordings)))
    last = len(times) - 1
    controls: tuple[Slider | Choice, ...] = (
        training,
        Slider(
            "now", "step", 0, last, 1, last if step is None else times.index(step),
            "before training", f"after {times[-1]:,} steps", shows="format(steps[now], ',')",
            plays=True,
        ),
        Slider("turn", "turn the view", -180, 180, 1, 28, "half a turn (−180°)", "180°",
               shows="format(turn, 'd') + '°'", plays=True),
        Slider("tilt", "tilt the view", -90, 90, 1, 18, "from below (−90°)", "from above (90°)",
               shows="format(tilt, 'd') + '°'"),
    )  # fmt: skip
    first = next(iter(recordings))
    return figure(
        controls,
        moves={
            "turn": {"drag": f"(540 + round(drag[0] / {PIXELS}) % 360) % 360 - 180"},
            "tilt": {"drag": f"clamp(round(drag[1] / {PIXELS}), -90, 90)"},
        },
        layout=[*_layout_signals(), {"name": "drag", "value": [0, 0]}],
        height=f"{TOP} + side",
        signals=[
            {"name": "steps", "value": times},
            {"name": "names", "value": list(names)},
            {"name": "runs", "value": runs},
            signal("run", f"runs[{training.position}]"),
            signal("images", "length(run.labels)"),
            signal("cloud", "run.frames[now]"),
            *_view_signals(),
        ],
        readout=_readout(),
        data=[
            _points(most),
            {
                "name": "spokes",
                "source": "points",
                "transform": [{"type": "filter", "expr": "datum.part > 0"}],
            },
            _edges(),
            table("corners", 4, {"type": "filter", "expr": "datum.index < run.count"}),
            table(
                "curves",
                len(times),
                formula("step", "max(steps[datum.index], steps[1] / 2)"),
                *(
                    formula(name, f"clamp(run.{name}[datum.index], {LOWEST}, {HIGHEST})")
                    for name in NUMBERS
                ),
            ),
        ],
        marks=[in_pane(0, _space()), in_pane(1, _curves()), *_legend()],
        panes=("features", "numbers"),
        handles=(Handle("grip", "drag", (), area="held"),),
        alt=(
            f"{first}. Left, in three dimensions, class means and rows of the classifier with the "
            "images around them, and the corners of the frame that they come to lie on. Right, "
            "NC1, NC2 and NC3 on a logarithmic axis fall towards 0 over the steps."
        ),
        caption=(
            "Features of a network whose last layer has three units, so that nothing is left out; "
            "their mean square is always 1. Large dots are class means, diamonds rows of the "
            "classifier, small dots images, rings the corners of the frame that theory names. "
            "Drag the picture to turn it. NC1 is the variation within classes, NC2 how far the "
            "means are from the frame, NC3 how far their products with the rows of the classifier "
            "are."
        ),
    )


def _prepared(name: str, one: Recording, times: int) -> dict[str, Any]:
    """The points of each frame, turned and rounded, with the numbers of the analysis."""
    features, weight, bias = (part.double() for part in (one.features, one.weight, one.bias))
    count = weight.shape[1] if weight.ndim == 3 else 0
    wanted = {
        "features": (times, len(one.labels), 3), "weight": (times, count, 3),
        "bias": (times, count),
    }  # fmt: skip
    for part, tensor in (("features", features), ("weight", weight), ("bias", bias)):
        if tensor.shape != wanted[part]:
            raise ValueError(
                f"{part} of {name!r} must have shape {wanted[part]}, got {tuple(tensor.shape)}"
            )
    if (one.frame, count) not in CORNERS:
        raise ValueError(
            f"frame of {name!r} must fit into three dimensions, a simplex of 3 or 4 classes or an "
            f"orthogonal frame of 3, got {one.frame!r} with {count}"
        )
    corners = torch.tensor(CORNERS[one.frame, count], dtype=torch.float64)
    each = [class_statistics(x, one.labels, classes=count) for x in features]
    turned = _rotation(_means(each[-1], one.frame), corners)
    frames = [
        _frame(x, one.labels, stats, w, one.frame, turned)
        for x, stats, w in zip(features, each, weight, strict=True)
    ]
    numbers = [
        _numbers(stats, w, b, x, one.frame)
        for stats, w, b, x in zip(each, weight, bias, features, strict=True)
    ]
    return {
        "frame": "a simplex" if one.frame == "simplex" else "right angles",
        "count": count,
        "labels": one.labels.tolist(),
        "corners": corners.tolist(),
        "frames": frames,
        **{key: [row[key] for row in numbers] for key in numbers[0]},
    }


def _means(stats: ClassStatistics, frame: Frame) -> torch.Tensor:
    return stats.centred("classes" if frame == "simplex" else None)


def _rotation(means: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """The orthogonal matrix (3, 3) that brings rows of means nearest to rows of corners."""
    left, _, right = torch.linalg.svd(means.mT @ corners)
    return left @ right


def _frame(
    features: torch.Tensor,
    labels: torch.Tensor,
    stats: ClassStatistics,
    weight: torch.Tensor,
    frame: Frame,
    turned: torch.Tensor,
) -> list[list[float]]:
    """Places of images, class means and rows of the classifier, in this order."""
    means = _means(stats, frame)
    cloud = features - stats.means[labels] + means[labels]
    scale = cloud.square().sum(-1).mean().sqrt()
    rows = weight / weight.square().sum(-1).mean().sqrt()
    places = torch.cat([cloud / scale, means / scale, rows]) @ turned
    return [[round(x, DIGITS) + 0.0 for x in row] for row in places.tolist()]


def _numbers(
    stats: ClassStatistics,
    weight: torch.Tensor,
    bias: torch.Tensor,
    features: torch.Tensor,
    frame: Frame,
) -> dict[str, float]:
    """NC1 to NC4, to four digits, with the angles between class means in degrees."""
    means = _means(stats, frame)
    cosines = torch.nn.functional.normalize(means, dim=-1)
    above = torch.triu_indices(len(means), len(means), 1)
    angles = (cosines @ cosines.mT)[above[0], above[1]].clamp(-1, 1).arccos().rad2deg()
    found = {
        "nc1": nc1(stats).nan_to_num(torch.inf),
        "nc2": nc2(stats, frame),
        "nc3": nc3(weight, stats, frame),
    }
    return {
        **{key: float(f"{min(value.item(), 1e9):.4g}") for key, value in found.items()},
        "disagree": round(nc4(weight, bias, stats, features).item() * len(features)),
        "narrow": round(angles.min().item(), 1),
        "widest": round(angles.max().item(), 1),
    }


def _layout_signals() -> list[dict[str, Any]]:
    return [
        signal("side", "wide ? min(container * 0.5, 360) : min(container, 340)"),
        signal("panel_x", f"{LEFT} + (wide ? side + 8 : 0)"),
        signal("panel", "container - panel_x - 14"),
        signal("held", f"wide || pane === 0 ? [0, {TOP}, wide ? side : container, side] : null"),
        signal("middle", "wide ? side / 2 : container / 2"),
    ]


def _view_signals() -> list[dict[str, Any]]:
    return [
        signal("grip", f"[turn * {PIXELS}, tilt * {PIXELS}]"),
        signal("across", "[cos(turn * PI / 180), sin(turn * PI / 180)]"),
        signal("upward", "[cos(tilt * PI / 180), sin(tilt * PI / 180)]"),
    ]


def _seen(place: str, suffix: str = "") -> list[dict[str, str]]:
    """Fields with the place on the screen, in units of the frame, and the depth towards the eye."""
    forward = f"({place}[2] * across[0] - {place}[0] * across[1])"
    return [
        formula(f"x{suffix}", f"{place}[0] * across[0] + {place}[2] * across[1]"),
        formula(f"y{suffix}", f"{place}[1] * upward[0] - {forward} * upward[1]"),
        formula(f"depth{suffix}", f"{place}[1] * upward[1] + {forward} * upward[0]"),
    ]


def _points(most: int) -> dict[str, Any]:
    """Images (part 0), class means (1), rows of the classifier (2) and corners (3)."""
    return table(
        "points",
        most,
        {"type": "filter", "expr": "datum.index < images + 3 * run.count"},
        formula("beyond", "datum.index - images"),
        formula("part", "datum.beyond < 0 ? 0 : 1 + floor(datum.beyond / run.count)"),
        formula(
            "class", "datum.part ? datum.beyond % run.count : run.labels[datum.index]"
        ),
        formula(
            "place", "datum.part < 3 ? cloud[datum.index] : run.corners[datum['class']]"
        ),
        *_seen("datum.place"),
        formula("nearness", "datum.depth + (datum.part === 2 ? 0.1 : 0)"),
    )  # fmt: skip


def _edges() -> dict[str, Any]:
    """Lines between any two corners."""
    return table(
        "edges",
        16,
        formula("from", "floor(datum.index / 4)"),
        formula("to", "datum.index % 4"),
        {"type": "filter", "expr": "datum.from < datum.to && datum.to < run.count"},
        *_seen("run.corners[datum.from]", "1"),
        *_seen("run.corners[datum.to]", "2"),
    )


def _pixels(x: str, y: str) -> tuple[str, str]:
    return f"middle + side / {2 * REACH} * ({x})", f"side / 2 - side / {2 * REACH} * ({y})"


def _space() -> dict[str, Any]:
    x, y = _pixels("datum.x", "datum.y")
    ends = [_pixels(f"datum.x{end}", f"datum.y{end}") for end in (1, 2)]
    middle, height = _pixels("0", "0")
    part, colour = "datum.part", "hues[datum['class']]"
    globe = mark(
        "symbol", x=middle, y=height, size=f"4 * pow(side / {2 * REACH}, 2)", stroke="rule",
        strokeWidth=1,
    )  # fmt: skip
    edges = mark(
        "rule", "edges", x=ends[0][0], y=ends[0][1], x2=ends[1][0], y2=ends[1][1],
        stroke="muted", strokeWidth=1, strokeDash=[3, 4],
    )  # fmt: skip
    spokes = mark(
        "rule", "spokes", x=middle, y=height, x2=x, y2=y,
        stroke=f"{part} === 3 ? muted : {colour}",
        strokeWidth=f"{part} === 1 ? 2.5 : 1",
        strokeDash=f"{part} === 2 ? [5, 3] : {part} === 3 ? [1, 3] : [1, 0]",
    )  # fmt: skip
    points = {
        **mark(
            "symbol", "points", x=x, y=y,
            shape=f"{part} === 2 ? 'diamond' : 'circle'",
            size=f"(1 + 0.35 * datum.depth) * [16, 190, 80, 330][{part}]",
            fill=f"{part} === 3 ? 'transparent' : {part} === 2 ? surface : {colour}",
            fillOpacity=f"{part} === 0 ? 0.75 : 1",
            stroke=f"{part} === 3 ? muted : {part} === 2 ? {colour} : surface",
            strokeWidth=f"{part} === 0 ? 0 : 1.5",
        ),
        # a row of the classifier lies on the mean with which it coincides
        "sort": {"field": "datum.nearness"},
    }  # fmt: skip
    box = {"width": "wide ? side : container", "height": "side"}
    return {
        **mark("group", x=0, y=TOP, **box),
        "marks": [
            mark("group", **box)
            | {"clip": True, "interactive": False, "marks": [globe, edges, spokes, points]}
        ],
    }  # fmt: skip


def _curves() -> dict[str, Any]:
    lines = [
        line("curves", "datum.step", f"datum.{name}", colour, 2)
        for name, colour in zip(NUMBERS, COLOURS, strict=True)
    ]
    here = "max(steps[now], steps[1] / 2)"
    cursor = rule((here, here), (str(LOWEST), str(HIGHEST)), "ink", 1)
    return plot(
        ("panel_x", f"{TOP}", "panel", f"side - {FOOT}"),
        axis("step", "[steps[1] / 2, steps[length(steps) - 1]]", type="log", zero=False),
        axis(
            "distance from collapse",
            f"[{LOWEST}, {HIGHEST}]",
            look={"values": [10.0**k for k in range(-5, 2)], "format": "~g", "grid": True},
            type="log",
            zero=False,
        ),
        [cursor, *lines],
    )


def _legend() -> list[dict[str, Any]]:
    """What the marks are, above the panel that shows them."""
    words = (
        "large dots: class means, small: images",
        "diamonds: rows of the classifier",
        "classes:",
    )
    left = [
        in_pane(0, mark("text", x=2, y=14 + 17 * row, text=repr(text), fill="ink"))
        for row, text in enumerate(words)
    ]
    classes = mark(
        "text",
        "corners",
        x="66 + 24 * datum.index",
        y=48,
        text="names[datum.index]",
        fill="hues[datum.index]",
        fontWeight=600,
    )
    numbers = [
        in_pane(
            1,
            mark("text", x=f"panel_x + {48 * k}", y=48, text=repr(name.upper()), fill=colour,
                 fontWeight=600),
        )
        for k, (name, colour) in enumerate(zip(NUMBERS, COLOURS, strict=True))
    ]  # fmt: skip
    shown = mark("group") | {"marks": [classes]}
    return [*left, in_pane(0, shown), *numbers]


def _readout() -> str:
    numbers = " + ', ' + ".join(
        f"'{name.upper()} ' + {numeral(f'run.{name}[now]')}" for name in NUMBERS
    )
    angles = (
        "(run.narrow[now] === run.widest[now] ? run.narrow[now] + '°'"
        " : format(run.narrow[now], '.1~f') + '° to ' + format(run.widest[now], '.1~f') + '°')"
    )
    ideal = "(run.frame === 'right angles' ? '90°' : run.count === 3 ? '120°' : '109.5°')"
    return (
        f"'Step ' + now_text + ': ' + {numbers} + '. Angles between class means: ' + {angles}"
        f" + '; in the frame, ' + {ideal}"
        " + '. Classifier and nearest class mean disagree on ' + run.disagree[now] + ' of '"
        " + images + ' images.'"
    )  # fmt: skip
