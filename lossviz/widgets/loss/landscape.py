"""Live figure: a three-class loss over the logits and over the simplex, with its gradient flow.

Softmax does not see a constant added to all logits, so three logits have two degrees of freedom:
the coordinates (u, v) of the zero-sum plane. The simplex is drawn in the same basis, with the
probabilities in place of the logits, so that right is towards class 1 in both pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...losses import Loss
from ..live import Handle, LiveFigure, Slider
from ..vega.contours import (
    FOOT,
    LEFT,
    LEVELS,
    TOP,
    colour_key,
    contour_data,
    level_scale,
    pointer,
)
from ..vega.expression import vega_expression
from ..vega.frame import figure, formula, in_pane, numeral, signal
from .flow import (
    TIMES,
    Q,
    arguments,
    flow_data,
    flow_signals,
    names,
    place,
    project,
    softmax,
    written,
)
from .picture import drawing
from .sampled import sampled
from .subject import Subject, declaration
from .views import (
    EXTENT,
    GRID,
    SIMPLEX_GRID,
    barycentric,
    on_simplex,
    plane,
    plane_x,
    plane_y,
    simplex,
    times_data,
)

MAX_NOISE = 0.6
START = (-2.5, 2.5)
VIEWS = ("plane", "simplex")


def landscape(
    loss: Loss | str,
    *,
    point: tuple[float, float] | None = None,
    label_noise: float = 0.0,
    values: Mapping[str, float] | None = None,
) -> LiveFigure:
    """A three-class loss on the plane of zero-sum logits and on the simplex, and its gradient flow.

    Drawn is the loss, expected over a label that is class 1 with probability 1 -
    `label_noise` (0 to 0.6) and either other class with half of it, in contours of its excess over
    the lowest value. From `point` = (u, v), both in -6 to 6, u towards class 1 and v from class 3
    to class 2, by default (-2.5, 2.5), runs the path of dz/dt = -gradient; dots mark times 1, 10
    and 100. The point can be dragged in both pictures. `values` overrides where parameters start.

    A loss without a closed form over class logits is drawn from numbers instead, on a plane of two
    of those that it takes, in which `point` then lies; there is no path and no label noise.

    Raises TypeError or ValueError as `Subject` does, ValueError for arguments outside their ranges
    and for a loss of embeddings or of images, which has no plane (`picture` draws it).
    """
    if not 0 <= label_noise <= MAX_NOISE:
        raise ValueError(f"label_noise must lie in [0, {MAX_NOISE}], got {label_noise!r}")
    loss = declaration(loss)
    if loss.form is None:
        if label_noise:
            raise ValueError(f"label_noise must be 0: {loss.key} has no closed form")
        if drawing(loss) is not sampled:
            raise ValueError(f"{loss.key} takes {loss.inputs.words}, no plane: see its `picture`")
        return sampled(loss, point=point or (), values=values)
    point = point or START
    if len(point) != 2 or not all(-EXTENT <= x <= EXTENT for x in point):
        raise ValueError(f"point must be two numbers in [{-EXTENT}, {EXTENT}], got {point!r}")
    subject = Subject(loss, values)
    noise = ("always class 1 (0)", f"in two of five ({MAX_NOISE})")
    across = (f"class 1 loses (\u2212{EXTENT})", f"class 1 wins ({EXTENT})")
    up = (f"class 3 wins (\u2212{EXTENT})", f"class 2 wins ({EXTENT})")
    span = (-EXTENT, EXTENT, 0.1)
    controls = (
        *subject.sliders,
        Slider(
            "noise",
            "label noise: share of wrong labels",
            0,
            MAX_NOISE,
            0.02,
            label_noise,
            *noise,
        ),
        Slider("u", "u: start, towards class 1", *span, point[0], *across),
        Slider("v", "v: start, class 2 against class 3", *span, point[1], *up),
    )
    return figure(
        controls,
        moves=_moves(),
        layout=[*_layout_signals(), *_drag_signals()],
        height=f"{TOP + FOOT} + side",
        signals=[*flow_signals(subject), *_reading_signals(subject)],
        readout=_readout(),
        data=[*_grid_data(subject), *flow_data(subject), times_data()],
        scales=[level_scale((LEVELS[0], LEVELS[-1]), type="log")],
        marks=[in_pane(0, plane()), in_pane(1, simplex()), colour_key()],
        alt=(
            f"{subject.loss.title} as contours, for class 1 of three with label noise "
            f"{label_noise:g}: left over the plane of logits, right over the simplex of "
            f"probabilities. A path follows the gradient downhill from u = {point[0]:g}, "
            f"v = {point[1]:g}; dots mark times 1, 10 and 100."
        ),
        caption=(
            f"{subject.loss.title} over three logits and over their softmax, with the way downhill "
            "from the large dot. Contours are losses above the lowest; numbers along the path are "
            "times of gradient flow; the prediction changes at the dashed lines."
        ),
        handles=tuple(Handle(f"{view}_at", f"{view}_drag", ("u", "v")) for view in VIEWS),
        panes=("logits", "probabilities"),
        renderer="canvas",  # measured: a redraw takes half the time of SVG
    )


def _layout_signals() -> list[dict[str, Any]]:
    """Side by side where there is room."""
    return [
        signal(
            "side",
            f"wide ? (container - {LEFT + 40}) / (1 + sqrt(3) / 2)"
            f" : min(container - {LEFT + 10}, 420)",
        ),
        signal("depth", "side * sqrt(3) / 2"),
        signal("simplex_x", f"{LEFT} + (wide ? side + 30 : 0)"),
        signal("simplex_y", f"{TOP}"),
    ]


def _drag_signals() -> list[dict[str, Any]]:
    """Where the pointer takes the start, and what that means in the simplex."""
    # the simplex is side high and sqrt(2) units high; its edges have infinite logits, keep off
    x = "(simplex_drag[0] - simplex_x) / side * sqrt(2) - 1 / sqrt(6)"
    y = "(0.5 - (simplex_drag[1] - simplex_y) / side) * sqrt(2)"
    near = ", ".join(f"log(max({p}, 1e-3))" for p in barycentric(x, y))
    return [
        pointer("plane_drag", "plane"),
        pointer("simplex_drag", "simplex"),
        # on the pointer alone: places also change with the width of the page
        {
            "name": "drag_logits",
            "value": [0, 0, 0],
            "on": [{"events": {"signal": "simplex_drag"}, "update": f"[{near}]"}],
        },
    ]


def _moves() -> dict[str, dict[str, str]]:
    """How dragging sets the coordinates of the start."""
    pixels = {
        "u": f"(plane_drag[0] - {LEFT}) / side - 0.5",
        "v": f"0.5 - (plane_drag[1] - {TOP}) / side",
    }
    logits = project("drag_logits[0]", "drag_logits[1]", "drag_logits[2]")
    return {
        name: {
            "plane_drag": f"clamp({2 * EXTENT} * ({pixel}), {-EXTENT}, {EXTENT})",
            "drag_logits": f"clamp({logit}, {-EXTENT}, {EXTENT})",
        }
        for (name, pixel), logit in zip(pixels.items(), logits, strict=True)
    }


def _reading_signals(subject: Subject) -> list[dict[str, Any]]:
    """Where the handles stand, and what is read off there."""
    value = vega_expression(
        subject.expected(arguments(subject), Q),
        names(subject, tuple(f"{place(subject, '0')}[{k}]" for k in range(3))),
    )
    simplex_x, simplex_y = on_simplex("p0")
    return [
        signal(
            "plane_at",
            f"wide || pane === 0 ? [{LEFT} + {plane_x('u')}, {TOP} + {plane_y('v')}] : null",
        ),
        signal(
            "simplex_at",
            f"wide || pane === 1 ? [simplex_x + {simplex_x}, simplex_y + {simplex_y}] : null",
        ),
        signal("start_value", value),
        signal("lead_at", "length(data('lead_taken')) ? data('lead_taken')[0].at : null"),
        signal("lowest", "length(data('plane_cells')) ? data('plane_cells')[0].lowest : 0"),
        signal("levels", "[" + ", ".join(f"lowest + {level}" for level in LEVELS) + "]"),
    ]


def _readout() -> str:
    """The sentence below the figure."""
    shares = " + ', ' + ".join(f"format(100 * p0[{k}], '.1f') + '\u00a0%'" for k in range(3))
    dots = [f"data('dots')[{k}]" for k in range(len(TIMES))]
    when = (
        "flow[0][0] * sqrt(3) > abs(flow[0][1]) ? 'Class 1 is ahead already'"
        " : lead_at ? 'Class 1 takes the lead at time '"
        f" + {numeral('lead_at')} : 'Class 1 does not take the lead'"
    )
    later = " + ".join(
        f"(length(data('dots')) > {k} ? ', ' + {numeral(f'{dot}.value', 2)}"
        f" + ' at t\u00a0=\u00a0' + {dot}.mark : '')"
        for k, dot in enumerate(dots)
    )
    return (
        f"'Probabilities ' + {shares} + '; loss ' + {numeral('start_value')} + {later}"
        f" + '. ' + ({when}) + '.'"
    )


def _grid_data(subject: Subject) -> list[dict[str, Any]]:
    """Both grids. What depends on no signal comes first, so that it is computed once."""
    places = ("datum.a1", "datum.a2", "datum.a3")
    loss = subject.expected(arguments(subject), Q)
    value = [
        *map(formula, ("a1", "a2", "a3"), written(subject, ("datum.p1", "datum.p2", "datum.p3"))),
        formula("value", vega_expression(loss, names(subject, places))),
    ]
    x, y = _fractions(GRID, GRID)
    plane_rows = [
        formula("u", f"{2 * EXTENT} * {x} - {EXTENT}"),
        formula("v", f"{EXTENT} - {2 * EXTENT} * {y}"),
        *map(formula, ("p1", "p2", "p3"), softmax("datum.u", "datum.v")),
    ]
    x, y = _fractions(*SIMPLEX_GRID)
    inside = [f"max({p}, 4e-3)" for p in barycentric("datum.x", "datum.y")]
    simplex_rows = [
        formula("x", f"3 / sqrt(6) * {x} - 1 / sqrt(6)"),
        formula("y", f"sqrt(2) * (0.5 - {y})"),
        # outside the triangle, where nothing is drawn, the nearest values continue the picture
        formula("inside", f"[{', '.join(inside)}]"),
        formula("total", "datum.inside[0] + datum.inside[1] + datum.inside[2]"),
        *(formula(f"p{k + 1}", f"datum.inside[{k}] / datum.total") for k in range(3)),
    ]
    return [
        *contour_data("plane", (GRID, GRID), "side", [*plane_rows, *value]),
        *contour_data("simplex", SIMPLEX_GRID, "depth", [*simplex_rows, *value]),
    ]


def _fractions(columns: int, rows: int) -> tuple[str, str]:
    """Where `datum.index` lies, from the top left, as fractions of the whole width and height."""
    return (
        f"(datum.index % {columns}) / {columns - 1}",
        f"floor(datum.index / {columns}) / {rows - 1}",
    )
