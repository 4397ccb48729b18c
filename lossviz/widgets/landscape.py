"""Live figure: a three-class loss over the logits and over the simplex, with its gradient flow.

Softmax does not see a constant added to all logits, so three logits have two degrees of freedom:
the coordinates (u, v) of the zero-sum plane. The simplex is drawn in the same basis, with the
probabilities in place of the logits, so that right is towards class 1 in both pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy as sp

from ..losses import Loss
from . import palette
from .live import WIDTH, Handle, LiveFigure, Slider
from .subject import Subject
from .vega_expression import vega_expression

EXTENT = 6
GRID = 80
SIMPLEX_GRID = (42, 48)  # columns and rows of near-square cells over the triangle's box
STEPS = 60
STRIDE = 0.28  # 60 of them span the plane's diagonal
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
TIMES = (1, 10, 100)
MAX_NOISE = 0.6
_P = sp.symbols("p1:4", positive=True)
_Q = sp.symbols("q1:4", nonnegative=True)
_RIGHT, _SIDE = math.sqrt(2 / 3), math.sqrt(1 / 2)
_LEFT, _TOP, _BOTTOM = 46, 26, 72


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

    Raises TypeError or ValueError as `Subject` does, and for arguments outside their ranges.
    """
    if len(point) != 2 or not all(-EXTENT <= x <= EXTENT for x in point):
        raise ValueError(f"point must be two numbers in [{-EXTENT}, {EXTENT}], got {point!r}")
    if not 0 <= label_noise <= MAX_NOISE:
        raise ValueError(f"label_noise must lie in [0, {MAX_NOISE}], got {label_noise!r}")
    subject = Subject(loss, values)
    span = (-EXTENT, EXTENT, 0.1)
    controls = (
        *subject.sliders,
        Slider(
            "noise", "label noise", 0, MAX_NOISE, 0.02, label_noise, "always class 1", "60% others"
        ),
        Slider("u", "start: towards class 1", *span, point[0], "class 1 loses", "class 1 wins"),
        Slider("v", "start: class 2 over class 3", *span, point[1], "class 3", "class 2"),
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
            f"{subject.loss.title} over three logits (left) and over their softmax (right): drag "
            "the ringed point. Contours are nats above the lowest value; dots on the path mark the "
            "times 1, 10 and 100 of gradient flow; dashed lines are where the prediction changes."
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
            *({"name": c.signal, "value": c.value} | _MOVES.get(c.signal, {}) for c in controls),
            *_flow_signals(subject),
            *_readout_signals(subject),
        ],
        "data": [*_grid_data(subject), *_path_data()],
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
        "marks": [_plane(), _simplex(), *_key()],
        "config": palette.vega_config(),
    }


def _layout_signals() -> list[dict[str, Any]]:
    """Side by side where there is room, else one below the other."""
    return [
        {"name": "wide", "update": "container >= 600"},
        {
            "name": "side",
            "update": "wide ? (container - 80) / (1 + sqrt(3) / 2) "
            f": min(container - {_LEFT + 12}, 420)",
        },
        {"name": "depth", "update": "side * sqrt(3) / 2"},
        {"name": "simplex_x", "update": f"wide ? {_LEFT} + side + 22 : {_LEFT} + side * 0.06"},
        {"name": "simplex_y", "update": f"wide ? {_TOP} : {_TOP} + side + 70"},
        {"name": "width", "update": "container"},
        {
            "name": "height",
            "update": f"{_TOP + _BOTTOM} + side + (wide ? 0 : side + 60)",
        },
        {
            "name": "plane_drag",
            "value": None,
            "on": [{"events": "@plane:click", "update": "[x(), y()]"}],
        },
        {
            "name": "simplex_drag",
            "value": None,
            "on": [{"events": "@simplex:click", "update": "[x(), y()]"}],
        },
        {"name": "plane_at", "update": f"[{_plane_x('u')} + {_LEFT}, {_plane_y('v')} + {_TOP}]"},
        {
            "name": "simplex_at",
            "update": f"[{_simplex_x('p0')} + simplex_x, {_simplex_y('p0')} + simplex_y]",
        },
        # where the pointer is in the simplex, kept off its edges, where logits are infinite
        {
            "name": "drag_x",
            "update": "simplex_drag ? (simplex_drag[0] - simplex_x) / side * sqrt(2) - 1 / sqrt(6) "
            ": 0",
        },
        {
            "name": "drag_y",
            "update": "simplex_drag ? (0.5 - (simplex_drag[1] - simplex_y) / side) * sqrt(2) : 0",
        },
        {
            "name": "drag_p",
            "update": "[" + ", ".join(f"max({p}, 1e-3)" for p in _inverse("drag_x", "drag_y")) + "]",
        },
    ]


def _clamped(expression: str) -> str:
    return f"clamp({expression}, -{EXTENT}, {EXTENT})"


_MOVES = {
    "u": {
        "on": [
            {
                "events": {"signal": "plane_drag"},
                "update": _clamped(f"{2 * EXTENT} * ((plane_drag[0] - {_LEFT}) / side - 0.5)"),
            },
            {
                "events": {"signal": "drag_p"},
                "update": _clamped(
                    f"{_RIGHT} * (log(drag_p[0]) - log(drag_p[1]) / 2 - log(drag_p[2]) / 2)"
                ),
            },
        ]
    },
    "v": {
        "on": [
            {
                "events": {"signal": "plane_drag"},
                "update": _clamped(f"{2 * EXTENT} * (0.5 - (plane_drag[1] - {_TOP}) / side)"),
            },
            {
                "events": {"signal": "drag_p"},
                "update": _clamped(f"{_SIDE} * (log(drag_p[1]) - log(drag_p[2]))"),
            },
        ]
    },
}


def _inverse(x: str, y: str) -> tuple[str, str, str]:
    """Probabilities (summing to one) at a place of the simplex."""
    return (
        f"1/3 + {_RIGHT} * ({x})",
        f"1/3 - {_RIGHT / 2} * ({x}) + {_SIDE} * ({y})",
        f"1/3 - {_RIGHT / 2} * ({x}) - {_SIDE} * ({y})",
    )


def _softmax(u: str, v: str) -> tuple[str, str, str]:
    """Softmax of the logits with plane coordinates (u, v)."""
    to_2 = f"(-{_RIGHT * 1.5} * {u} + {_SIDE} * {v})"  # z2 - z1
    to_3 = f"(-{_RIGHT * 1.5} * {u} - {_SIDE} * {v})"  # z3 - z1
    return (
        f"1 / (1 + exp({to_2}) + exp({to_3}))",
        f"1 / (1 + exp(-{to_2}) + exp({to_3} - {to_2}))",
        f"1 / (1 + exp(-{to_3}) + exp({to_2} - {to_3}))",
    )


def _plane_x(u: str) -> str:
    return f"side * (({u}) / {2 * EXTENT} + 0.5)"


def _plane_y(v: str) -> str:
    return f"side * (0.5 - ({v}) / {2 * EXTENT})"


def _simplex_x(p: str) -> str:
    return f"side * ({_RIGHT} * ({p}[0] - ({p}[1] + {p}[2]) / 2) + 1 / sqrt(6)) / sqrt(2)"


def _simplex_y(p: str) -> str:
    return f"side * (0.5 - {_SIDE} * ({p}[1] - {p}[2]) / sqrt(2))"


def _formula(name: str, expression: str) -> dict[str, str]:
    return {"type": "formula", "as": name, "expr": expression}


def _names(subject: Subject, probabilities: tuple[str, str, str]) -> dict[sp.Symbol, str]:
    weights = {q: f"label[{k}]" for k, q in enumerate(_Q)}
    return {**dict(zip(_P, probabilities, strict=True)), **weights, **subject.signals}


def _grid_data(subject: Subject) -> list[dict[str, Any]]:
    """Both grids: what does not depend on a signal first, so that it is computed once."""
    at = _names(subject, ("datum.p1", "datum.p2", "datum.p3"))
    value = _formula("value", vega_expression(subject.expected(_P, _Q), at))
    columns, rows = SIMPLEX_GRID
    places = (f"3 / sqrt(6) * {{x}} - 1 / sqrt(6)", f"sqrt(2) * (0.5 - {{y}})")
    x, y = (place.format(x=_cell(columns)[0], y=_cell(columns, rows)[1]) for place in places)
    kept = "max(datum.{0}, 1e-3) / (max(datum.a, 1e-3) + max(datum.b, 1e-3) + max(datum.c, 1e-3))"
    plane = [
        _formula("u", f"{2 * EXTENT} * {_cell(GRID)[0]} - {EXTENT}"),
        _formula("v", f"{EXTENT} - {2 * EXTENT} * {_cell(GRID)[1]}"),
        *map(_formula, ("p1", "p2", "p3"), _softmax("datum.u", "datum.v")),
    ]
    # outside the triangle, where the clip hides it, the nearest values continue the picture
    simplex = [
        _formula("x", x),
        _formula("y", y),
        *map(_formula, "abc", _inverse("datum.x", "datum.y")),
        *(_formula(f"p{k}", kept.format(name)) for k, name in enumerate("abc", 1)),
    ]
    return [
        *_contours("plane", GRID, GRID, [*plane, value]),
        *_contours("simplex", columns, rows, [*simplex, value]),
    ]


def _cell(columns: int, rows: int | None = None) -> tuple[str, str]:
    """Centre of cell `datum.index`, rows from the top, as fractions of the width and height."""
    return (
        f"((datum.index % {columns} + 0.5) / {columns})",
        f"((floor(datum.index / {columns}) + 0.5) / {rows or columns})",
    )


def _contours(
    name: str, columns: int, rows: int, transforms: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    count = {"type": "sequence", "start": 0, "stop": columns * rows, "as": "index"}
    width = "side" if name == "plane" else "depth"
    return [
        {"name": f"{name}_grid", "transform": [count, *transforms]},
        {
            "name": f"{name}_contours",
            "source": f"{name}_grid",
            "transform": [
                {
                    "type": "aggregate",
                    "ops": ["values", "min"],
                    "fields": ["value", "value"],
                    "as": ["cells", "lowest"],
                },
                _formula(
                    "grid",
                    f"{{width: {columns}, height: {rows}, values: pluck(datum.cells, 'value')}}",
                ),
                {
                    "type": "isocontour",
                    "field": "datum.grid",
                    "thresholds": {"signal": f"{name}_levels"},
                    "scale": {"signal": f"{width} / {columns}"},
                    "as": "contour",
                },
            ],
        },
    ]


def _flow_signals(subject: Subject) -> list[dict[str, Any]]:
    """Gradient flow in steps of arc length, each a link in a chain of signals.

    A step goes in the direction of the gradient at its midpoint (`h`), for a length STRIDE, or less
    if the slope along it would vanish before: then the minimum is reached without oscillation. Time
    is the integral of one over the slope.
    """
    expected = subject.expected(_P, _Q)
    partials = [sp.diff(expected, p) for p in _P]

    def gradient(name: str, u: str, v: str) -> list[dict[str, str]]:
        p = tuple(f"p{name}[{k}]" for k in range(3))
        slopes = ", ".join(vega_expression(g, _names(subject, p)) for g in partials)
        d = [f"d{name}[{k}]" for k in range(3)]
        mean = " + ".join(f"{a} * {b}" for a, b in zip(p, d, strict=True))
        # the softmax carries the slopes to the logits: p_k (d_k - sum_j p_j d_j)
        z = [f"p{name}[{k}] * (d{name}[{k}] - m{name})" for k in range(3)]
        return [
            _signal(f"p{name}", f"[{', '.join(_softmax(u, v))}]"),
            _signal(f"d{name}", f"[{slopes}]"),
            _signal(f"m{name}", mean),
            _signal(
                f"g{name}",
                f"[{_RIGHT} * ({z[0]} - ({z[1]} + {z[2]}) / 2), {_SIDE} * ({z[1]} - {z[2]})]",
            ),
            _signal(f"s{name}", f"max(sqrt(g{name}[0] * g{name}[0] + g{name}[1] * g{name}[1]), 1e-12)"),
        ]

    signals = [
        _signal("label", "[1 - noise, noise / 2, noise / 2]"),
        _signal("z0", "[u, v, 0]"),
    ]
    for k in range(STEPS):
        z, h, half = f"z{k}", f"h{k}", STRIDE / 2
        signals += gradient(str(k), f"{z}[0]", f"{z}[1]")
        ahead = (f"({z}[{i}] - {half} * g{k}[{i}] / s{k})" for i in range(2))
        signals += gradient(h, *ahead)
        bend = f"(s{k} - (g{h}[0] * g{k}[0] + g{h}[1] * g{k}[1]) / s{k})"
        signals.append(_signal(f"l{k}", f"{STRIDE} * min(1, {half / STRIDE} * s{k} / max({bend}, 1e-12))"))
        step = (f"{z}[{i}] - l{k} * g{h}[{i}] / s{h}" for i in range(2))
        signals.append(_signal(f"z{k + 1}", f"[{', '.join(step)}, {z}[2] + l{k} / s{h}]"))
    return [*signals, _signal("flow", f"[{', '.join(f'z{k}' for k in range(STEPS + 1))}]")]


def _signal(name: str, expression: str) -> dict[str, str]:
    return {"name": name, "update": expression}


def _path_data() -> list[dict[str, Any]]:
    """The flow as rows, the dots of its times, and where class 1 takes the lead."""
    lead = "{0} = ".format("lead")
    return [
        {
            "name": "path",
            "transform": [
                {"type": "sequence", "start": 0, "stop": STEPS + 1, "as": "index"},
                _formula("u", "flow[datum.index][0]"),
                _formula("v", "flow[datum.index][1]"),
                _formula("time", "flow[datum.index][2]"),
                _formula("p", f"[{', '.join(_softmax('datum.u', 'datum.v'))}]"),
                _formula("lead", f"{_RIGHT * 1.5} * datum.u - {_SIDE} * abs(datum.v)"),
                {
                    "type": "window",
                    "ops": ["lead"] * 4,
                    "fields": ["u", "v", "time", "lead"],
                    "as": ["next_u", "next_v", "next_time", "next_lead"],
                },
            ],
        },
    ]


def _readout_signals(subject: Subject) -> list[dict[str, Any]]:
    return []
