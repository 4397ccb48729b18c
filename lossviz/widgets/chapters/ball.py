"""Live figure: the loss around an input of two features, and what an adversary finds nearby.

The networks enter as numbers on a grid: the lead of the target over each other class, read between
the grid's places by bilinear interpolation. The figure's ball is a net of NET x NET places that
holds its centre and its rim; the worst place is the worst of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp
import torch

from ..live import Choice, LiveFigure, Slider
from ..loss.subject import Subject
from ..vega.contours import (
    HELD,
    LEFT,
    TOP,
    colour_key,
    contour_data,
    handle,
    level_scale,
    pointer,
)
from ..vega.expression import vega_expression
from ..vega.frame import figure, formula, hundredths, in_pane, signal, table
from .ball_picture import (
    EXTENT,
    GRID,
    HEIGHT,
    NORMS,
    bars,
    layout_signals,
    plane,
    plane_x,
    plane_y,
)

REACH = 1  # largest radius; the point keeps so far from the edge that the ball stays in sight
NET = 41
DIGITS = 3
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
_P = sp.Symbol("p", positive=True)

Model = Callable[[torch.Tensor], torch.Tensor]


def ball(
    models: Mapping[str, Model],
    features: torch.Tensor,
    labels: torch.Tensor,
    *,
    target: int = 0,
    tau: float = 1.0,
    nu: float = 1.0,
    radius: float = 0.5,
    norm: str = "linf",
    point: tuple[float, float] = (0.0, 0.0),
) -> LiveFigure:
    """The comp-sum loss of classifiers of two features, with the worst place near a point.

    Beside the loss of the point itself stand the largest loss in the ball around it and the smooth
    adversarial loss, with rho = 1, that training can use in its place. For tau >= 1 and nu >= 1
    it is never below the largest loss.

    Parameters
    ----------
    models : classifiers by name, from (N, 2) to logits (N, K), 2 to 5 classes; a list chooses.
    features, labels : the points drawn, floating (N, 2) within [-3, 3] and integer (N,).
    target : label of the point, in [0, K), default 0.
    tau, nu, radius : where the sliders start: tau as in `comp_sum`, nu in [0, 3], radius in [0, 1].
    norm : "linf" (default) or "l2".
    point : where it starts, both coordinates in [-2, 2].

    Raises
    ------
    TypeError for models that are not a mapping; ValueError for arguments outside their ranges, or
    models whose output is not finite or not (N, K).
    """
    if not isinstance(models, Mapping):
        raise TypeError(f"models must map names to classifiers, got {type(models).__name__}")
    if not models:
        raise ValueError("models must name at least one classifier, got none")
    _check_points(features, labels)
    free = EXTENT - REACH
    if len(point) != 2 or not all(-free <= x <= free for x in point):
        raise ValueError(f"point must be two numbers in [{-free}, {free}], got {point!r}")
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {list(NORMS)}, got {norm!r}")
    for name, value, most in (("nu", nu, 3), ("radius", radius, REACH)):
        if not 0 <= value <= most:
            raise ValueError(f"{name} must lie in [0, {most}], got {value!r}")
    leads = [_leads(name, model, target) for name, model in models.items()]
    subject = Subject("comp_sum", {"tau": tau})
    network = Choice("network", "network", tuple(models), next(iter(models)))
    span = (-free, free, 0.02)
    controls: tuple[Slider | Choice, ...] = (
        network,
        Choice("norm", "ball", tuple(NORMS.values()), NORMS[norm]),
        Slider("radius", "radius", 0, REACH, 0.02, radius, "no adversary (0)", f"{REACH}"),
        Slider("nu", "ν: weight of the shift", 0, 3, 0.05, nu, "clean loss (0)", "3"),
        Slider("x", "point, across", *span, point[0], "left", "right"),
        Slider("y", "point, up", *span, point[1], "down", "up"),
        *subject.sliders,
    )
    others = len(leads[0])
    # circles are for the target, whatever its number
    classes = [target, *(k for k in range(others + 1) if k != target)]
    shapes = {"name": "shape", "type": "ordinal", "domain": classes, "range": SHAPES}
    return figure(
        controls,
        moves=_moves(),
        layout=[*layout_signals(), pointer("drag", "plane")],
        height=HEIGHT,
        signals=[
            {"name": "networks", "value": leads},
            signal("leads", f"networks[{network.position}]"),
            {"name": "levels", "value": LEVELS},
            *_reading_signals(network),
        ],
        readout=_readout(tuple(models)),
        data=[
            *_contours(subject, others),
            {"name": "dots", "values": _dots(features, labels)},
            *(row for k in range(len(models)) for row in _ball_data(subject, others, k)),
        ],
        scales=[level_scale((LEVELS[0], LEVELS[-1]), type="log"), shapes],
        marks=[
            in_pane(0, plane(target)),
            *(in_pane(1, bar) for bar in bars()),
            in_pane(0, colour_key(LEVELS, "loss of the point, were it there")),
        ],
        panes=("plane", "losses"),
        alt=(
            f"Loss of a point of class {target + 1} as contours over two features, network "
            f"{next(iter(models))}, with a ball of radius {radius:g} around x = {point[0]:g}, "
            f"y = {point[1]:g} and the worst place in it. Bars compare the loss at the point, the "
            "largest in the ball, and the smooth adversarial loss."
        ),
        caption=(
            f"A point of class {target + 1}, the large dot (circles are training points of that "
            "class), in a ball of places to which an adversary may move it. Contours: its loss at "
            "each place. The cross is the worst place of the ball; "
            "beyond the dashed line the network is wrong. The grey part of the last bar is ν "
            "times the farthest that the ball moves the differences of the logits."
        ),
        handles=(handle("x", "y"),),
        renderer="canvas",
    )


def _check_points(features: torch.Tensor, labels: torch.Tensor) -> None:
    if features.ndim != 2 or features.shape[1] != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            "features and labels must have shapes (N, 2) and (N,), got "
            f"{tuple(features.shape)} and {tuple(labels.shape)}"
        )
    # written so that NaN does not pass
    if not (features.abs() <= EXTENT).all():
        raise ValueError(
            f"features must lie within [{-EXTENT}, {EXTENT}], got {features.abs().max():g}"
        )


def _leads(name: str, model: Model, target: int) -> list[list[float]]:
    """For each other class, the target's lead over it on the grid, from the top left by rows."""
    axis = torch.linspace(-EXTENT, EXTENT, GRID)
    y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    with torch.no_grad():
        logits = model(torch.stack([x, y], -1).reshape(-1, 2))
    if logits.ndim != 2 or not 2 <= logits.shape[1] <= len(SHAPES) or len(logits) != GRID**2:
        raise ValueError(
            f"model {name!r} must give logits (N, K) with K from 2 to {len(SHAPES)}, got "
            f"{tuple(logits.shape)} for N = {GRID**2}"
        )
    if not logits.isfinite().all():
        raise ValueError(f"model {name!r} must give finite logits, got NaN or infinity")
    if not 0 <= target < logits.shape[1]:
        raise ValueError(f"target must lie in [0, {logits.shape[1]}), got {target!r}")
    lead = (logits[:, target : target + 1] - logits).double()
    others = [k for k in range(logits.shape[1]) if k != target]
    return [[round(value, DIGITS) for value in lead[:, k].tolist()] for k in others]


def _contours(subject: Subject, others: int) -> list[dict[str, Any]]:
    """The loss over the plane, and where the network changes its mind about the target."""
    leads = [f"leads[{k}][datum.index]" for k in range(others)]
    least = [formula("value", _least(leads))]
    return [
        *contour_data("plane", (GRID, GRID), "side", _value(subject, leads)),
        *contour_data("wrong", (GRID, GRID), "side", least, thresholds="[0]"),
    ]


def _dots(features: torch.Tensor, labels: torch.Tensor) -> list[dict[str, float]]:
    return [
        {"x": round(x, 3), "y": round(y, 3), "class": label}
        for (x, y), label in zip(features.tolist(), labels.tolist(), strict=True)
    ]


def _moves() -> dict[str, dict[str, str]]:
    """How dragging sets the coordinates of the point."""
    share = {"x": f"(drag[0] - {LEFT}) / side - 0.5", "y": f"0.5 - (drag[1] - {TOP}) / side"}
    free = EXTENT - REACH
    return {
        name: {"drag": f"clamp({2 * EXTENT} * ({place}), {-free}, {free})"}
        for name, place in share.items()
    }


def _readout(models: Sequence[str]) -> str:
    """What each network makes of the ball, then what the chosen one is trained with."""
    each = []
    for k, name in enumerate(models):
        state = (
            f"found[{k}].centre.least <= 0 ? 'the point is misclassified'"
            f" : found[{k}].least <= 0 ? 'a place in the ball is misclassified'"
            " : 'the whole ball is right'"
        )
        each.append(
            f"{name[:1].upper() + name[1:] + ': '!r} + ({state}) + ', loss ' + "
            f"{hundredths(f'found[{k}].centre.value')} + ', at worst '"
            f" + {hundredths(f'found[{k}].worst.value')} + '. '"
        )
    bound = "'The smooth adversarial loss of ' + network + ', ' + " + hundredths("smooth")
    verdict = "(smooth < worst ? ', is below the worst.' : ', is at least the worst.')"
    return " + ".join([*each, bound, verdict])


def _reading_signals(network: Choice) -> list[dict[str, Any]]:
    """What the ball holds, by network, and for the one that is drawn."""
    none = "{centre: {value: 0, least: 0}, worst: {value: 0, x: x, y: y}, least: 0, shift: 0}"
    rows = (f"data('found_{k}')" for k in range(len(network.options)))
    found = ", ".join(f"length({row}) ? {row}[0] : {none}" for row in rows)
    return [
        signal("at", f"[{LEFT} + {plane_x('x')}, {TOP} + {plane_y('y')}]"),
        HELD,
        signal("found", f"[{found}]"),
        signal("drawn", f"found[{network.position}]"),
        signal("clean", "drawn.centre.value"),
        signal("worst", "drawn.worst.value"),
        signal("worst_at", "drawn.worst"),
        signal("shift", "drawn.shift"),
        signal("smooth", "clean + nu * shift"),
    ]


def _value(subject: Subject, leads: list[str]) -> list[dict[str, str]]:
    """The loss, as a field ``value``, from the leads over the other classes."""
    loss = subject.form.along_target_probability(_P, len(leads) + 1)
    names = {_P: "datum.p", **subject.signals}
    odds = " + ".join(f"exp(-{lead})" for lead in leads)
    return [
        formula("p", f"1 / (1 + {odds})"),
        formula("value", vega_expression(loss, names)),
    ]


def _least(leads: list[str]) -> str:
    return f"min({', '.join(leads)})"


def _ball_data(subject: Subject, others: int, network: int) -> list[dict[str, Any]]:
    """Places of the ball with the network's leads, losses and shifts; then what is largest."""
    last = GRID - 1
    across, up = f"datum.index % {NET}", f"floor(datum.index / {NET})"
    # the square is pressed into the disc along rays, so that its rim becomes the rim
    press = "max(abs(datum.a), abs(datum.b)) / sqrt(datum.a * datum.a + datum.b * datum.b)"
    square = f"norm === '{NORMS['linf']}' || (datum.a === 0 && datum.b === 0)"

    def at(k: int, row: int, column: int) -> str:
        return f"networks[{network}][{k}][(datum.row + {row}) * {GRID} + datum.column + {column}]"

    def between(k: int) -> str:
        upper = f"(1 - datum.right) * {at(k, 0, 0)} + datum.right * {at(k, 0, 1)}"
        lower = f"(1 - datum.right) * {at(k, 1, 0)} + datum.right * {at(k, 1, 1)}"
        return f"(1 - datum.below) * ({upper}) + datum.below * ({lower})"

    leads = [f"datum.lead{k}" for k in range(others)]
    moved = " + ".join(f"pow({lead} - datum.centre.lead{k}, 2)" for k, lead in enumerate(leads))
    places: list[dict[str, Any]] = [
        formula("a", f"2 * ({across}) / {NET - 1} - 1"),
        formula("b", f"2 * {up} / {NET - 1} - 1"),
        formula("scale", f"radius * ({square} ? 1 : {press})"),
        formula("x", "x + datum.scale * datum.a"),
        formula("y", "y + datum.scale * datum.b"),
        formula("fx", f"(datum.x / {2 * EXTENT} + 0.5) * {last}"),
        formula("fy", f"(0.5 - datum.y / {2 * EXTENT}) * {last}"),
        # at the far edge too there is a cell to the right and below
        formula("column", f"min(floor(datum.fx), {last - 1})"),
        formula("row", f"min(floor(datum.fy), {last - 1})"),
        formula("right", "datum.fx - datum.column"),
        formula("below", "datum.fy - datum.row"),
        *(formula(f"lead{k}", between(k)) for k in range(others)),
        formula("least", _least(leads)),
        *_value(subject, leads),
        formula("size", "abs(datum.a) + abs(datum.b)"),
        {"type": "joinaggregate", "ops": ["argmin"], "fields": ["size"], "as": ["centre"]},
        formula("shift", f"sqrt({moved})"),
    ]
    summary = {
        "type": "aggregate",
        "ops": ["argmin", "argmax", "min", "max"],
        "fields": ["size", "value", "least", "shift"],
        "as": ["centre", "worst", "least", "shift"],
    }
    return [
        table(f"ball_{network}", NET * NET, *places),
        {"name": f"found_{network}", "source": f"ball_{network}", "transform": [summary]},
    ]
