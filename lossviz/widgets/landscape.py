"""Live figure: a three-class loss over the logits and over the simplex, with its gradient flow.

Softmax does not see a constant added to all logits, so three logits have two degrees of freedom:
the coordinates (u, v) of the zero-sum plane. The simplex is drawn in the same basis, with the
probabilities in place of the logits, so that right is towards class 1 in both pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..losses import Loss
from . import palette
from .flow import RIGHT, SIDE, P, Q, flow_data, flow_signals, formula, names, project, signal, softmax
from .live import WIDTH, Handle, LiveFigure, Slider
from .subject import Subject
from .vega_expression import vega_expression

EXTENT = 6
GRID = 80
SIMPLEX_GRID = (42, 48)  # columns and rows of near-square cells over the triangle's box
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
MAX_NOISE = 0.6
LEFT, TOP, FOOT = 46, 10, 96


def landscape(
    loss: Loss | str,
    *,
    point: tuple[float, float] = (-2.5, 2.5),
    label_noise: float = 0.0,
    values: Mapping[str, float] | None = None,
) -> LiveFigure:
    """A three-class loss on the plane of zero-sum logits and on the simplex, and its gradient flow.

    Drawn is the loss in nats, expected over a label that is class 1 with probability 1 -
    `label_noise` (0 to 0.6) and either other class with half of it, in contours of its excess over
    the lowest value. From `point` = (u, v), both in -6 to 6, u towards class 1 and v from class 3
    to class 2, runs the path of dz/dt = -gradient; dots mark times 1, 10 and 100. The point can
    be dragged in both pictures. `values` overrides parameter defaults.

    Raises TypeError or ValueError as `Subject` does, ValueError for arguments outside their ranges.
    """
    if len(point) != 2 or not all(-EXTENT <= x <= EXTENT for x in point):
        raise ValueError(f"point must be two numbers in [{-EXTENT}, {EXTENT}], got {point!r}")
    if not 0 <= label_noise <= MAX_NOISE:
        raise ValueError(f"label_noise must lie in [0, {MAX_NOISE}], got {label_noise!r}")
    subject = Subject(loss, values)
    noise = ("0: the label is always class 1", f"{MAX_NOISE}: classes 2 and 3 are likelier than 0.4")
    across = ("-6: class 1 loses", "6: class 1 wins")
    up = ("-6: class 3 wins", "6: class 2 wins")
    span = (-EXTENT, EXTENT, 0.1)
    controls = (
        *subject.sliders,
        Slider("noise", "label noise", 0, MAX_NOISE, 0.02, label_noise, *noise),
        Slider("u", "start, towards class 1", *span, point[0], *across),
        Slider("v", "start, class 2 against class 3", *span, point[1], *up),
    )
    return LiveFigure(
        _spec(subject, controls),
        controls,
        alt=(
            f"Contours of the {subject.loss.title} loss of class 1 among three, label noise "
            f"{label_noise:g}: left over the plane of logits, right over the simplex of "
            f"probabilities. A path follows the gradient downhill from u = {point[0]:g}, "
            f"v = {point[1]:g}; dots mark times 1, 10 and 100."
        ),
        caption=(
            f"{subject.loss.title} over three logits and over their softmax: drag the ringed "
            "point. Contours are nats above the lowest value; numbers along the path are times of "
            "gradient flow; the prediction changes at the dashed lines."
        ),
        handles=(Handle("plane_at", "plane_drag"), Handle("simplex_at", "simplex_drag")),
    )


def _spec(subject: Subject, controls: tuple[Slider, ...]) -> dict[str, Any]:
    return {
        "autosize": "none",
        "padding": 0,
        "signals": [
            {"name": "container", "value": WIDTH},
            *palette.colour_signals(),
            *_layout_signals(),
            *_drag_signals(),
            *({"name": c.signal, "value": c.value, "on": _moves(c.signal)} for c in controls),
            *flow_signals(subject),
            *_reading_signals(subject),
        ],
        "data": [*_grid_data(subject), *flow_data()],
        "scales": [
            {
                "name": "level",
                "type": "log",
                "domain": [LEVELS[0], LEVELS[-1]],
                "range": palette.colour("ramp"),
                "interpolate": "lab",
                "clamp": True,
            }
        ],
        "marks": [_plane(), _simplex(), _key()],
        "config": palette.vega_config(),
    }


def _layout_signals() -> list[dict[str, Any]]:
    """Side by side where there is room, else one below the other."""
    return [
        signal("wide", "container >= 600"),
        signal(
            "side",
            f"wide ? (container - {LEFT + 40}) / (1 + sqrt(3) / 2)"
            f" : min(container - {LEFT + 10}, 420)",
        ),
        signal("depth", "side * sqrt(3) / 2"),
        signal("simplex_x", f"{LEFT} + (wide ? side + 30 : 0)"),
        signal("simplex_y", f"{TOP} + (wide ? 0 : side + 60)"),
        signal("width", "container"),
        signal("height", f"{TOP + FOOT} + side + (wide ? 0 : side + 60)"),
    ]


def _drag_signals() -> list[dict[str, Any]]:
    """Where the pointer takes the start, and what that means in the simplex."""
    # the simplex is side high and sqrt(2) units high; its edges have infinite logits, keep off
    x = "(simplex_drag[0] - simplex_x) / side * sqrt(2) - 1 / sqrt(6)"
    y = "(0.5 - (simplex_drag[1] - simplex_y) / side) * sqrt(2)"
    near = ", ".join(f"log(max({p}, 1e-3))" for p in _barycentric(x, y))
    click = {"update": "[x(), y()]"}
    return [
        {"name": "plane_drag", "value": [0, 0], "on": [{"events": "@plane:click", **click}]},
        {"name": "simplex_drag", "value": [0, 0], "on": [{"events": "@simplex:click", **click}]},
        signal("drag_logits", f"[{near}]"),
    ]


def _moves(name: str) -> list[dict[str, Any]]:
    """How dragging sets a coordinate of the start; nothing for other signals."""
    targets = {
        "u": (f"(plane_drag[0] - {LEFT}) / side - 0.5", 0),
        "v": (f"0.5 - (plane_drag[1] - {TOP}) / side", 1),
    }
    if name not in targets:
        return []
    plane, axis = targets[name]
    simplex = project("drag_logits[0]", "drag_logits[1]", "drag_logits[2]")[axis]
    return [
        {
            "events": {"signal": event},
            "update": f"clamp({value}, {-EXTENT}, {EXTENT})",
        }
        for event, value in (
            ("plane_drag", f"{2 * EXTENT} * ({plane})"),
            ("simplex_drag", simplex),
        )
    ]


def _reading_signals(subject: Subject) -> list[dict[str, Any]]:
    """Where the handles stand, and the sentence below the figure."""
    value = vega_expression(
        subject.expected(P, Q), names(subject, tuple(f"p0[{k}]" for k in range(3)))
    )
    simplex_x, simplex_y = _on_simplex("p0")
    percent = " + ', ' + ".join(f"format(p0[{k}], '.1%')" for k in range(3))
    when = (
        "flow[0][0] * sqrt(3) > abs(flow[0][1]) ? 'Class 1 is ahead already'"
        " : length(data('lead_taken')) ? 'Class 1 takes the lead at time '"
        " + format(data('lead_taken')[0].at, '.3~r') : 'Class 1 does not take the lead'"
    )
    return [
        signal("plane_at", f"[{LEFT} + {_plane_x('u')}, {TOP} + {_plane_y('v')}]"),
        signal("simplex_at", f"[simplex_x + {simplex_x}, simplex_y + {simplex_y}]"),
        signal("start_value", value),
        signal("lowest", "length(data('plane_cells')) ? data('plane_cells')[0].lowest : 0"),
        signal("levels", "[" + ", ".join(f"lowest + {level}" for level in LEVELS) + "]"),
        signal(
            "readout",
            f"'Start: probabilities ' + {percent} + '; loss ' + format(start_value, '.3~r')"
            f" + ' nats, slope ' + format(s0, '.3~r') + '. ' + ({when}) + '.'",
        ),
    ]


def _plane_x(u: str) -> str:
    return f"side * ({u} / {2 * EXTENT} + 0.5)"


def _plane_y(v: str) -> str:
    return f"side * (0.5 - {v} / {2 * EXTENT})"


def _on_simplex(p: str) -> tuple[str, str]:
    """Pixel place in the simplex of the probabilities in `p`."""
    x, y = project(*(f"{p}[{k}]" for k in range(3)))
    return f"side * ({x} + 1 / sqrt(6)) / sqrt(2)", f"side * (0.5 - {y} / sqrt(2))"


def _barycentric(x: str, y: str) -> tuple[str, str, str]:
    """Probabilities at a place of the simplex: the inverse of `project`."""
    return (
        f"1/3 + {RIGHT} * ({x})",
        f"1/3 - {RIGHT / 2} * ({x}) + {SIDE} * ({y})",
        f"1/3 - {RIGHT / 2} * ({x}) - {SIDE} * ({y})",
    )


def _grid_data(subject: Subject) -> list[dict[str, Any]]:
    """Both grids. What depends on no signal comes first, so that it is computed once."""
    fields = ("datum.p1", "datum.p2", "datum.p3")
    value = formula("value", vega_expression(subject.expected(P, Q), names(subject, fields)))
    x, y = _cell_centre(GRID, GRID)
    plane = [
        formula("u", f"{2 * EXTENT} * {x} - {EXTENT}"),
        formula("v", f"{EXTENT} - {2 * EXTENT} * {y}"),
        *map(formula, ("p1", "p2", "p3"), softmax("datum.u", "datum.v")),
    ]
    x, y = _cell_centre(*SIMPLEX_GRID)
    inside = [f"max({p}, 1e-3)" for p in _barycentric("datum.x", "datum.y")]
    simplex = [
        formula("x", f"3 / sqrt(6) * {x} - 1 / sqrt(6)"),
        formula("y", f"sqrt(2) * (0.5 - {y})"),
        # outside the triangle, where nothing is drawn, the nearest values continue the picture
        formula("inside", f"[{', '.join(inside)}]"),
        formula("total", "datum.inside[0] + datum.inside[1] + datum.inside[2]"),
        *(formula(f"p{k + 1}", f"datum.inside[{k}] / datum.total") for k in range(3)),
    ]
    return [
        *_contours("plane", (GRID, GRID), "side", [*plane, value]),
        *_contours("simplex", SIMPLEX_GRID, "depth", [*simplex, value]),
    ]


def _cell_centre(columns: int, rows: int) -> tuple[str, str]:
    """Centre of cell `datum.index`, from the top left, in fractions of width and height."""
    return (
        f"(datum.index % {columns} + 0.5) / {columns}",
        f"(floor(datum.index / {columns}) + 0.5) / {rows}",
    )


def _contours(
    name: str, size: tuple[int, int], width: str, transforms: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    columns, rows = size
    count = {"type": "sequence", "start": 0, "stop": columns * rows, "as": "index"}
    gather = {
        "type": "aggregate",
        "ops": ["values", "min"],
        "fields": ["value", "value"],
        "as": ["cells", "lowest"],
    }
    grid = f"{{width: {columns}, height: {rows}, values: pluck(datum.cells, 'value')}}"
    return [
        {"name": f"{name}_grid", "transform": [count, *transforms]},
        {"name": f"{name}_cells", "source": f"{name}_grid", "transform": [gather]},
        {
            "name": f"{name}_contours",
            "source": f"{name}_cells",
            "transform": [
                formula("grid", grid),
                {
                    "type": "isocontour",
                    "field": "grid",
                    "thresholds": {"signal": "levels"},
                    "scale": {"signal": f"{width} / {columns}"},
                    "as": "contour",
                },
            ],
        },
    ]


def _plane() -> dict[str, Any]:
    place = {"x": {"value": LEFT}, "y": {"value": TOP}}
    rays = [("0", "side / 2"), ("side * (1 + 1 / sqrt(3)) / 2", "0"), ("side * (1 + 1 / sqrt(3)) / 2", "side")]
    names = [("side - 8", "side / 2", "right"), ("side / 4", "16", "center"), ("side / 4", "side - 16", "center")]
    scale = {"type": "linear", "domain": [-EXTENT, EXTENT]}
    return {
        "name": "plane",
        "type": "group",
        "encode": {"update": place | _box("side", "side")},
        "signals": [signal("width", "side"), signal("height", "side")],
        "scales": [
            {"name": "x", "range": "width", **scale},
            {"name": "y", "range": "height", **scale},
        ],
        "axes": [
            {"orient": "bottom", "scale": "x", "title": "u: towards class 1", "tickCount": 7},
            {"orient": "left", "scale": "y", "title": "v: class 2 against class 3", "tickCount": 7},
        ],
        "marks": [
            {
                "type": "group",
                "interactive": False,
                "clip": True,
                "encode": {"update": _box("side", "side")},
                "marks": [
                    *_picture("plane", _plane_x("datum.u"), _plane_y("datum.v")),
                    *(_boundary("side / 2", "side / 2", *end) for end in rays),
                    *_class_names(names),
                ],
            },
            _start(_plane_x("u"), _plane_y("v")),
        ],
    }


def _simplex() -> dict[str, Any]:
    triangle = "'M0 0L' + depth + ' ' + side / 2 + 'L0 ' + side + 'Z'"
    middle = ("depth / 3", "side / 2")
    names = [("depth - 22", "side / 2", "right"), ("8", "24", "left"), ("8", "side - 24", "left")]
    ends = [("0", "side / 2"), ("depth / 2", "side / 4"), ("depth / 2", "side * 3 / 4")]
    place = {"x": {"signal": "simplex_x"}, "y": {"signal": "simplex_y"}}
    return {
        "name": "simplex",
        "type": "group",
        "encode": {"update": place | _box("depth", "side") | {"fill": {"value": "transparent"}}},
        "marks": [
            {
                "type": "group",
                "interactive": False,
                "clip": {"path": {"signal": triangle}},
                "encode": {"update": _box("depth", "side")},
                "marks": [
                    *_picture("simplex", *_on_simplex("datum.p")),
                    *(_boundary(*middle, *end) for end in ends),
                    *_class_names(names),
                ],
            },
            {
                "type": "path",
                "interactive": False,
                "encode": {
                    "update": {
                        "path": {"signal": triangle},
                        "stroke": palette.colour("muted"),
                    }
                },
            },
            _start(*_on_simplex("p0")),
        ],
    }


def _box(width: str, height: str) -> dict[str, Any]:
    return {
        "width": {"signal": width},
        "height": {"signal": height},
        "fill": {"signal": "ramp[0]"},
    }


def _picture(name: str, x: str, y: str) -> list[dict[str, Any]]:
    """Contours, path and the dots of its times, where (x, y) places a row."""
    place = {"x": {"signal": x}, "y": {"signal": y}}
    return [
        {
            "type": "shape",
            "from": {"data": f"{name}_contours"},
            "encode": {
                "update": {
                    "fill": {"scale": "level", "signal": "datum.contour.value - lowest"},
                    "stroke": palette.colour("muted"),
                    "strokeWidth": {"value": 0.4},
                }
            },
            "transform": [{"type": "geoshape", "field": "datum.contour"}],
        },
        {
            "type": "line",
            "from": {"data": "path"},
            "encode": {
                "update": place
                | {"stroke": palette.colour("path"), "strokeWidth": {"value": 2.5}}
            },
        },
        {
            "type": "symbol",
            "from": {"data": "dots"},
            "encode": {
                "update": place
                | {
                    "size": {"value": 50},
                    "fill": palette.colour("surface"),
                    "stroke": palette.colour("path"),
                    "strokeWidth": {"value": 2},
                }
            },
        },
        {
            "type": "text",
            "from": {"data": "dots"},
            "encode": {
                "update": place
                | {
                    "dx": {"value": 7},
                    "dy": {"value": -5},
                    "text": {"signal": "'t = ' + datum.mark"},
                    "fill": palette.colour("ink"),
                    "stroke": palette.colour("surface"),
                    "strokeWidth": {"value": 0},
                }
            },
        },
    ]


def _boundary(x: str, y: str, x2: str, y2: str) -> dict[str, Any]:
    places = zip(("x", "y", "x2", "y2"), (x, y, x2, y2), strict=True)
    return {
        "type": "rule",
        "encode": {
            "update": {
                **{name: {"signal": place} for name, place in places},
                "stroke": palette.colour("ink"),
                "strokeDash": {"value": [3, 4]},
                "strokeOpacity": {"value": 0.5},
            }
        },
    }


def _class_names(places: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "type": "text",
            "encode": {
                "update": {
                    "x": {"signal": x},
                    "y": {"signal": y},
                    "align": {"value": align},
                    "baseline": {"value": "middle"},
                    "text": {"value": f"class {k}"},
                    "fill": palette.colour("ink"),
                }
            },
        }
        for k, (x, y, align) in enumerate(places, 1)
    ]


def _start(x: str, y: str) -> dict[str, Any]:
    return {
        "type": "symbol",
        "interactive": False,
        "encode": {
            "update": {
                "x": {"signal": x},
                "y": {"signal": y},
                "size": {"value": 220},
                "fill": palette.colour("path"),
                "stroke": palette.colour("surface"),
                "strokeWidth": {"value": 3},
            }
        },
    }


def _key() -> dict[str, Any]:
    """What the colours mean: one box per contour level."""
    count = len(LEVELS)
    box = f"(min(container, 620) - {LEFT + 20}) / {count}"
    return {
        "type": "group",
        "interactive": False,
        "encode": {
            "update": {"x": {"value": LEFT}, "y": {"signal": "height - 40"}}
        },
        "marks": [
            *(
                {
                    "type": "rect",
                    "encode": {
                        "update": {
                            "x": {"signal": f"{k} * {box}"},
                            "width": {"signal": box},
                            "height": {"value": 10},
                            "fill": {"scale": "level", "value": level},
                        }
                    },
                }
                for k, level in enumerate(LEVELS)
            ),
            *(
                {
                    "type": "text",
                    "encode": {
                        "update": {
                            "x": {"signal": f"{k} * {box}"},
                            "y": {"value": 21},
                            "fontSize": {"value": 10},
                            "align": {"value": "center"},
                            "text": {"value": f"{level:g}"},
                            "fill": palette.colour("muted"),
                        }
                    },
                }
                for k, level in enumerate(LEVELS)
            ),
            {
                "type": "text",
                "encode": {
                    "update": {
                        "y": {"value": 36},
                        "fontSize": {"value": 11},
                        "text": {"value": "loss above its lowest value (nats)"},
                        "fill": palette.colour("ink"),
                    }
                },
            },
        ],
    }
