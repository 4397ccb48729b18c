"""Live figure: a policy over three tokens, the step that an advantage asks for, and its entropy."""

from __future__ import annotations

import math
from typing import Any

from ..live import Choice, Handle, LiveFigure, Slider
from ..loss.flow import project, softmax
from ..loss.views import SIMPLEX_GRID, barycentric, on_simplex
from ..vega.contours import LOWEST, areas, contour_data, level_scale, ring
from ..vega.frame import figure, formula, in_pane, mark, signal, table
from ..vega.plot import axis, dot, line, plot

PLAIN, NATURAL = "policy gradient", "natural policy gradient"
TOP, MARGIN, FOOT = 62, 34, 56
FARTHEST = 6.0
ARROW = 0.2  # of the simplex's plane for a nat of advantage
POINTS = 60
ROOT = (2 / math.sqrt(6), 1 / math.sqrt(6), 1 / math.sqrt(2))
READOUT = (
    "'Probabilities ' + format(p0[0], '.2f') + ', ' + format(p0[1], '.2f') + ', '"
    " + format(p0[2], '.2f') + '; advantages ' + format(advantage[0], '+.2f') + ', '"
    " + format(advantage[1], '+.2f') + ', ' + format(advantage[2], '+.2f')"
    " + '. The entropy is ' + format(entropy, '.3f') + ' nats; the covariance foresees '"
    " + format(step * slope, '+.3f') + ', the step changes it by '"
    " + format(after - entropy, '+.3f') + '.'"
)


def entropy_step(
    *,
    policy: tuple[float, float] = (0.8, 0.5),
    advantage: tuple[float, float] = (1.1, 0.4),
    step: float = 2.0,
    method: str = PLAIN,
) -> LiveFigure:
    """A policy on the simplex, its step for an advantage, and the entropy along it.

    `policy` = (u, v) are logits in the plane without the common constant, u towards token A and v
    from C to B, both within 2.5; `advantage` is a vector in the same plane, within 2. `step` is the
    learning rate, 0 to 6, `method` "policy gradient" or "natural policy gradient".

    Raises ValueError for arguments outside their ranges.
    """
    for name, values, most in (("policy", policy, 2.5), ("advantage", advantage, 2.0)):
        if len(values) != 2 or not all(-most <= x <= most for x in values):
            raise ValueError(f"{name} must be two numbers in [-{most}, {most}], got {values!r}")
    if not 0 <= step <= FARTHEST:
        raise ValueError(f"step must lie in [0, {FARTHEST}], got {step!r}")
    if method not in (PLAIN, NATURAL):
        raise ValueError(f"method must be {PLAIN!r} or {NATURAL!r}, got {method!r}")
    wide, near = (-2.5, 2.5, 0.1), (-2.0, 2.0, 0.1)
    controls = (
        Slider("step", "step (learning rate)", 0, FARTHEST, 0.1, step, "none", "large", plays=True),
        Choice("method", "update", (PLAIN, NATURAL), method),
        Slider("au", "advantage of A over the others", *near, advantage[0], "worse", "better"),
        Slider("av", "advantage of B over C", *near, advantage[1], "worse", "better"),
        Slider("u", "policy: logit of A over the others", *wide, policy[0], "rare", "likely"),
        Slider("v", "policy: logit of B over C", *wide, policy[1], "rare", "likely"),
    )
    return figure(
        controls,
        moves=_moves(),
        layout=[*_layout(), *_drags()],
        height=f"{TOP + FOOT} + side",
        signals=_signals(),
        readout=READOUT,
        data=[*_grid(), _way()],
        scales=[level_scale((0.0, math.log(3)))],
        marks=[*_legend(), in_pane(0, _simplex()), in_pane(1, _curve())],
        alt=(
            f"Left, a triangle of policies over three tokens with contours of the entropy, the "
            f"policy as a dot, an arrow for the advantage and the way of the {method}. Right, the "
            "entropy along that way, which leaves the straight line that the covariance foresees."
        ),
        caption=(
            "A policy over three tokens, and what a step for an advantage does to it. Drag the "
            "policy (large dot) or the tip of the arrow, which is the advantage: it points to the "
            "tokens that earn more. Contours are of the entropy, highest in the middle. Right, the "
            "entropy along the step, and the straight line that the covariance theorem foresees."
        ),
        handles=(
            Handle("policy_at", "policy_drag", ("u", "v")),
            Handle("advantage_at", "advantage_drag", ("au", "av")),
        ),
        panes=("policy", "entropy"),
    )


def _layout() -> list[dict[str, Any]]:
    return [
        signal("side", f"wide ? min(300, container * 0.44) : min(container - {2 * MARGIN}, 320)"),
        signal("depth", "side * sqrt(3) / 2"),
        signal("simplex_x", f"wide ? {MARGIN} : (container - depth) / 2"),
        signal("curve_x", f"wide ? depth + {2 * MARGIN + 70} : 58"),
        signal("curve_width", "container - curve_x - 14"),
    ]


def _drags() -> list[dict[str, Any]]:
    """Where the pointer takes the policy, as logits."""
    near = ", ".join(f"log(max({p}, 1e-3))" for p in barycentric(*_plane("policy_drag")))
    return [
        {"name": "policy_drag", "value": [0, 0]},
        {"name": "advantage_drag", "value": [0, 0]},
        {
            "name": "drag_logits",
            "value": [0, 0, 0],
            "on": [{"events": {"signal": "policy_drag"}, "update": f"[{near}]"}],
        },
    ]


def _plane(pointer: str) -> tuple[str, str]:
    """The place of a pointer in the plane of the simplex."""
    return (
        f"({pointer}[0] - simplex_x) / side * sqrt(2) - 1 / sqrt(6)",
        f"(0.5 - ({pointer}[1] - {TOP}) / side) * sqrt(2)",
    )


def _moves() -> dict[str, dict[str, str]]:
    logits = project("drag_logits[0]", "drag_logits[1]", "drag_logits[2]")
    start = project(*softmax("u", "v"))
    tips = _plane("advantage_drag")
    return {
        **{
            name: {"drag_logits": f"clamp({value}, -2.5, 2.5)"}
            for name, value in zip(("u", "v"), logits, strict=True)
        },
        **{
            name: {"advantage_drag": f"clamp((({tip}) - ({at})) / {ARROW}, -2, 2)"}
            for name, tip, at in zip(("au", "av"), tips, start, strict=True)
        },
    }


def _signals() -> list[dict[str, Any]]:
    right, half, up = ROOT
    raw = [f"{right} * au", f"-{half} * au + {up} * av", f"-{half} * au - {up} * av"]
    each = [f"p0[{k}] * (log(p0[{k}]) + entropy) * move[{k}]" for k in range(3)]
    x, y = project("p0[0]", "p0[1]", "p0[2]")
    tip_x = f"side * ({x} + {ARROW} * au + 1 / sqrt(6)) / sqrt(2)"
    tip_y = f"side * (0.5 - ({y} + {ARROW} * av) / sqrt(2))"
    place_x, place_y = on_simplex("p0")
    return [
        signal("p0", f"[{', '.join(softmax('u', 'v'))}]"),
        signal("raw", f"[{', '.join(raw)}]"),
        signal("mean", " + ".join(f"p0[{k}] * raw[{k}]" for k in range(3))),
        signal("advantage", f"[{', '.join(f'raw[{k}] - mean' for k in range(3))}]"),
        signal(
            "move",
            "["
            + ", ".join(f"(method === '{PLAIN}' ? p0[{k}] : 1) * advantage[{k}]" for k in range(3))
            + "]",
        ),
        signal("entropy", " - ".join(["0", *(f"p0[{k}] * log(p0[{k}])" for k in range(3))])),
        # minus the covariance of log-probability and step
        signal("slope", f"-({' + '.join(each)})"),
        signal("p1", f"[{', '.join(_moved('step'))}]"),
        signal("after", _entropy_of("p1")),
        signal("levels", f"[{', '.join(f'{0.1 * k:.1f}' for k in range(1, 11))}]"),
        signal("tip", f"[{tip_x}, {tip_y}]"),
        signal(
            "policy_at",
            f"wide || pane === 0 ? [simplex_x + {place_x}, {TOP} + {place_y}] : null",
        ),
        signal("advantage_at", f"wide || pane === 0 ? [simplex_x + tip[0], {TOP} + tip[1]] : null"),
    ]


def _moved(step: str) -> list[str]:
    """The probabilities after a step of this size."""
    return [
        "1 / ("
        + " + ".join(f"p0[{j}] / p0[{k}] * exp({step} * (move[{j}] - move[{k}]))" for j in range(3))
        + ")"
        for k in range(3)
    ]


def _entropy_of(p: str) -> str:
    """Entropy in nats; a probability that underflows adds nothing."""
    return " - ".join(["0", *(f"{p}[{k}] * log(max({p}[{k}], 1e-300))" for k in range(3))])


def _grid() -> list[dict[str, Any]]:
    columns, rows = SIMPLEX_GRID
    across = f"(datum.index % {columns}) / {columns - 1}"
    down = f"floor(datum.index / {columns}) / {rows - 1}"
    inside = [f"max({p}, 1e-6)" for p in barycentric("datum.x", "datum.y")]
    transforms = [
        formula("x", f"3 / sqrt(6) * {across} - 1 / sqrt(6)"),
        formula("y", f"sqrt(2) * (0.5 - {down})"),
        # outside the triangle, where nothing is drawn, the nearest values continue the picture
        formula("inside", f"[{', '.join(inside)}]"),
        formula("total", "datum.inside[0] + datum.inside[1] + datum.inside[2]"),
        formula("p", f"[{', '.join(f'datum.inside[{k}] / datum.total' for k in range(3))}]"),
        formula("value", _entropy_of("datum.p")),
    ]
    return contour_data("simplex", SIMPLEX_GRID, "depth", transforms)


def _way() -> dict[str, Any]:
    """Policies and entropies along the step, up to the largest."""
    return table(
        "way",
        POINTS + 1,
        formula("step", f"datum.index * {FARTHEST / POINTS}"),
        formula("p", f"[{', '.join(_moved('datum.step'))}]"),
        formula("entropy", _entropy_of("datum.p")),
        formula("foreseen", "entropy + slope * datum.step"),
        formula("taken", "datum.step <= step + 1e-9"),
    )


def _legend() -> list[dict[str, Any]]:
    rows = [
        ("'advantage: which tokens earn more'", "path"),
        ("'the step, and the entropy along it'", "ink"),
        ("'entropy as the covariance foresees it'", "subject"),
    ]
    return [
        mark("text", x=2, y=17 * (k + 0.8), text=text, fill=colour, fontWeight=600)
        for k, (text, colour) in enumerate(rows)
    ]


def _simplex() -> dict[str, Any]:
    triangle = "'M0 0L' + depth + ' ' + side / 2 + 'L0 ' + side + 'Z'"
    size = {"width": "depth", "height": "side"}
    place = dict(zip("xy", on_simplex("p0"), strict=True))
    after = dict(zip("xy", on_simplex("p1"), strict=True))
    row = dict(zip("xy", on_simplex("datum.p"), strict=True))
    clipped = {
        "interactive": False,
        "clip": {"path": {"signal": triangle}},
        "marks": [areas("simplex", f"depth / {SIMPLEX_GRID[0] - 1}", "datum.contour.value")],
    }
    corners = [("depth + 6", "side / 2", "left", "A"), ("-6", "6", "right", "B"),
               ("-6", "side - 6", "right", "C")]  # fmt: skip
    names = [
        mark("text", x=x, y=y, align=f"'{align}'", text=f"'{name}'", baseline="'middle'",
             fill="ink", fontWeight=600)
        for x, y, align, name in corners
    ]  # fmt: skip
    angle = "atan2(tip[1] - " + place["y"] + ", tip[0] - " + place["x"] + ") * 180 / PI"
    return {
        **mark("group", x="simplex_x", y=TOP, **size),
        "marks": [
            mark("group", fill=LOWEST, **size) | clipped,
            mark("path", path=triangle, stroke="muted"),
            *names,
            mark("trail", "way", **row, size="datum.taken ? 7 : 3", fill="surface"),
            mark("trail", "way", **row, size="datum.taken ? 3.5 : 1", fill="ink"),
            mark("symbol", **after, size=70, fill="surface", stroke="ink", strokeWidth=2.5),
            mark("rule", **place, x2="tip[0]", y2="tip[1]", stroke="path", strokeWidth=3),
            mark("symbol", x="tip[0]", y="tip[1]", shape="'triangle-right'", angle=angle,
                 size=200, fill="path", stroke="surface", strokeWidth=1),
            ring(place["x"], place["y"]),
        ],
    }  # fmt: skip


def _curve() -> dict[str, Any]:
    marks = [
        line("way", "datum.step", "datum.foreseen", "subject", 2.5, strokeDash={"value": [5, 4]}),
        line("way", "datum.step", "datum.entropy", "ink", 2.5),
        dot("step", "entropy + step * slope", "subject"),
        dot("step", "after", "ink"),
    ]
    return plot(
        ("curve_x", f"{TOP}", "curve_width", "side"),
        axis("step", f"[0, {FARTHEST}]"),
        axis("entropy (nats)", "[0, 1.15]"),
        marks,
    )
