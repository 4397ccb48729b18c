"""Live figure: where cross-entropy and a teacher pull one head, and what surgery leaves of it.

One image, whose feature is the number 1, under a head of two weights, so that the weights are the
logits and the plane is that of the head. All arrows are gradients with the sign of descent.
"""

from __future__ import annotations

import math
from typing import Any

from ..live import Choice, Handle, LiveFigure, Slider
from ..vega.frame import formula, mark, signal, table
from ..vega.panels import HEIGHT, LEFT, ROW, Plot, two_plots
from ..vega.plot import axis, dot, line, rule, symbols

BINARY, TEMPERED = "BinaryKL-Norm", "tempered KL"
MIDDLE, SPAN = (1, -1), 8  # centre of the plane, and its height in logits
REACH = 3  # of both logits, from the centre
LONGEST = 2.2  # length in logits at which the longest arrow is drawn
LEADS, GRID = (-4, 8), 240
LEGEND = (
    ("'cross-entropy'", "subject"),
    ("'copying the teacher (open dot)'", "path"),
    ("'their sum'", "ink"),
    ("'after surgery'", "hues[2]"),
    ("'dashed: at the features'", "muted"),
)
SPOT = {"size": 90, "fill": "ink", "stroke": "surface", "strokeWidth": 1.5}
TOP = ROW * len(LEGEND) + 12
PIXELS = HEIGHT / SPAN


def shared_head(
    *,
    student: tuple[float, float] = (1.6, -1.4),
    teacher: tuple[float, float] = (0.0, -1.0),
    weight: float = 0.2,
    temperature: float = 2.0,
    copying: str = BINARY,
) -> LiveFigure:
    """Two gradients on one head, their sum, their cosine, and the sum after one-sided surgery.

    Parameters
    ----------
    student, teacher : logits of the label and of the other class, within 3 of (1, -1). The student
        can be dragged.
    weight : of the copying loss, 0.01 to 10.
    temperature : of the copying loss, 0.25 to 8.
    copying : "BinaryKL-Norm" (default) or "tempered KL".

    Raises
    ------
    ValueError for arguments outside their ranges.
    """
    for name, place in (("student", student), ("teacher", teacher)):
        if len(place) != 2 or not all(
            abs(z - c) <= REACH for z, c in zip(place, MIDDLE, strict=True)
        ):
            raise ValueError(f"{name} must be two logits within {REACH} of {MIDDLE}, got {place!r}")
    if not 0.01 <= weight <= 10:
        raise ValueError(f"weight must lie in [0.01, 10], got {weight!r}")
    if not 0.25 <= temperature <= 8:
        raise ValueError(f"temperature must lie in [0.25, 8], got {temperature!r}")
    if copying not in (BINARY, TEMPERED):
        raise ValueError(f"copying must be {BINARY!r} or {TEMPERED!r}, got {copying!r}")
    ends = [(c - REACH, c + REACH) for c in MIDDLE]
    controls: tuple[Slider | Choice, ...] = (
        Choice("copying", "beside cross-entropy", (BINARY, TEMPERED), copying),
        Slider(
            "power", "α: weight of the copying loss", -2, 1, 0.01, round(math.log10(weight), 2),
            "hardly any (0.01)", "much (10)", shows="format(alpha, '.2~r')",
        ),
        Slider(
            "heat", "T: temperature of the copying loss", 0.25, 8, 0.25, temperature, "0.25", "8"
        ),
        Slider("own", "student's logit of the label", *ends[0], 0.1, student[0], "low", "high"),
        Slider("rest", "student's other logit", *ends[1], 0.1, student[1], "low", "high"),
    )  # fmt: skip
    middle = f"({LEFT} + panel / 2)", f"{TOP + HEIGHT / 2}"
    return two_plots(
        controls,
        LEGEND,
        (_plane(teacher), _cosines(teacher)),
        panes=("arrows", "cosine"),
        layout=[{"name": "drag", "value": [0, 0]}],
        moves={
            "own": {"drag": _dragged(f"(drag[0] - {middle[0]}) / {PIXELS}", MIDDLE[0])},
            "rest": {"drag": _dragged(f"({middle[1]} - drag[1]) / {PIXELS}", MIDDLE[1])},
        },
        signals=[
            signal("alpha", "pow(10, power)"),
            *_gradients("", "own", "rest", teacher),
            signal("against", "min(k1 - k2, 0) / 2"),
            signal("kept", "[k1 - against, k2 + against]"),
            signal("pulls", "[[c, -c], [k1, k2], [c + k1, k2 - c], [c + kept[0], kept[1] - c]]"),
            signal(
                "longest",
                f"max({', '.join(f'sqrt({_square(k)})' for k in range(4))})",
            ),
            signal(
                "at",
                f"wide || pane === 0 ? [{middle[0]} + {PIXELS} * (own - {MIDDLE[0]}), "
                f"{middle[1]} - {PIXELS} * (rest - {MIDDLE[1]})] : null",
            ),
        ],
        data=[table("student", 1), _arrows(), _path(teacher)],
        readout=_readout(),
        handles=(Handle("at", "drag", ("own", "rest")),),
        alt=(
            "Left, arrows from the student in the plane of two logits: cross-entropy pulls down "
            "and right, the teacher up and left, their sum is short, and after surgery the sum "
            "goes with cross-entropy. Right, the cosine of the two gradients over the student's "
            "lead: near 1 before the teacher's lead is reached, negative after it."
        ),
        caption=(
            "One image under a head of two weights. Left: the steps that each loss asks for, drawn "
            "to one scale, the longest always at the same length. Right: their cosine as the lead "
            "of the student's label grows, at its present mean logit, and dashed what a simplex "
            "head passes on to the features; thin lines mark the student and the teacher's lead."
        ),
    )  # fmt: skip


def _dragged(logit: str, middle: int) -> str:
    return f"clamp(round(10 * ({logit} + {middle})) / 10, {middle - REACH}, {middle + REACH})"


def _square(k: int) -> str:
    return f"pulls[{k}][0] * pulls[{k}][0] + pulls[{k}][1] * pulls[{k}][1]"


def _terms(own: str, rest: str, teacher: tuple[float, float]) -> dict[str, str]:
    """Descent of cross-entropy, (c, -c), and of the weighted copying loss, (k1, k2)."""

    def sigmoid(x: str) -> str:
        return f"1 / (1 + exp(-({x})))"

    tempered = (
        f"heat * ({sigmoid(f'({own} - {rest}) / heat')} - "
        f"{sigmoid(f'{teacher[0] - teacher[1]} / heat')})"
    )

    def copied(logit: str, goal: float, sign: str) -> str:
        tanh = f"1 - 2 / (1 + exp(({logit} - {goal}) / heat))"
        return f"-alpha * (copying === '{BINARY}' ? heat / 2 * ({tanh}) : {sign}({tempered}))"

    return {
        "c": sigmoid(f"{rest} - {own}"),
        "k1": copied(own, teacher[0], ""),
        "k2": copied(rest, teacher[1], "-"),
    }


def _inner_and_cosine(of: str) -> dict[str, str]:
    """What is negative where the two losses disagree, and their cosine; 0 for no gradient."""
    c, k1, k2 = (f"{of}{name}" for name in ("c", "k1", "k2"))
    norm = f"sqrt(2 * ({k1} * {k1} + {k2} * {k2}))"
    return {
        "inner": f"{c} * ({k1} - {k2})",
        "cosine": f"{norm} > 0 ? ({k1} - {k2}) / {norm} : 0",
    }


def _gradients(of: str, own: str, rest: str, teacher: tuple[float, float]) -> list[dict[str, Any]]:
    parts = _terms(own, rest, teacher) | _inner_and_cosine(of)
    return [signal(name, expression) for name, expression in parts.items()]


def _arrows() -> dict[str, Any]:
    """Each pull from the student to its tip; the last one only where surgery changes something."""
    seen = "datum.length > 0.02 && (datum.index < 3 || inner < 0)"
    return table(
        "arrows",
        4,
        formula("pull1", "pulls[datum.index][0]"),
        formula("pull2", "pulls[datum.index][1]"),
        formula("x", f"own + {LONGEST} * datum.pull1 / longest"),
        formula("y", f"rest + {LONGEST} * datum.pull2 / longest"),
        formula("length", "sqrt(pow(datum.x - own, 2) + pow(datum.y - rest, 2))"),
        formula("seen", seen),
        formula("heading", "90 - atan2(datum.pull2, datum.pull1) * 180 / PI"),
        formula("colour", "[subject, path, ink, hues[2]][datum.index]"),
    )


def _path(teacher: tuple[float, float]) -> dict[str, Any]:
    """The student moved along a fixed mean logit."""
    low, high = LEADS
    own, rest = (f"((own + rest) / 2 {sign} datum.lead / 2)" for sign in "+-")
    parts = _terms(own, rest, teacher) | _inner_and_cosine("datum.")
    return table(
        "leads",
        GRID + 1,
        formula("lead", f"{low} + datum.index * {(high - low) / GRID}"),
        *(formula(name, expression) for name, expression in parts.items()),
        formula("mended", "max(datum.cosine, 0)"),
        formula("behind", "datum.inner > 0 ? 1 : datum.inner < 0 ? -1 : 0"),
    )


def _plane(teacher: tuple[float, float]) -> Plot:
    half = f"{SPAN / 2} * panel / {HEIGHT}"  # one scale for both axes, so that angles are seen
    across = f"[{MIDDLE[0]} - {half}, {MIDDLE[0]} + {half}]"
    up = f"[{MIDDLE[1] - SPAN / 2}, {MIDDLE[1] + SPAN / 2}]"
    tip = {"size": "datum.seen ? 90 : 0", "fill": "datum.colour", "angle": "datum.heading"}
    places = {"x": "own", "y": "rest", "x2": "datum.x", "y2": "datum.y"}
    scaled = {
        channel: {"scale": "across" if channel[0] == "x" else "up", "signal": place}
        for channel, place in places.items()
    }
    width = "datum.seen ? 3 : 0"
    marks = [
        dot(str(teacher[0]), str(teacher[1]), "path"),
        mark("rule", "arrows", **scaled, stroke="datum.colour", strokeWidth=width),
        symbols("arrows", "datum.x", "datum.y", shape={"value": "triangle"}, **tip),
        symbols("student", "own", "rest", **SPOT),
    ]
    return axis("logit of the label", across), axis("other logit", up), marks


def _cosines(teacher: tuple[float, float]) -> Plot:
    goal = str(teacher[0] - teacher[1])
    marks = [
        rule((goal, goal), ("-1.1", "1.1"), "path", 1),
        rule((str(LEADS[0]), str(LEADS[1])), ("0", "0"), "muted", 1),
        rule(("own - rest", "own - rest"), ("-1.1", "1.1"), "muted", 1),
        line("leads", "datum.lead", "datum.behind", "muted", 1.5, strokeDash={"value": [5, 4]}),
        line("leads", "datum.lead", "datum.cosine", "path"),
        line("leads", "datum.lead", "datum.mended", "hues[2]", 2),
        symbols("student", "own - rest", "cosine", **SPOT),
    ]
    return (
        axis("lead of the label's logit", f"[{LEADS[0]}, {LEADS[1]}]"),
        axis("cosine of the two gradients", "[-1.1, 1.1]"),
        marks,
    )


def _readout() -> str:
    lead = "c + k1 - k2 + c"
    return (
        "'The cosine of the two gradients is ' + format(cosine, '.2f') + '. '"
        " + (inner < 0 ? 'They oppose each other: one step of their sum ' : "
        "'They agree: one step of their sum ')"
        f" + ({lead} >= 0 ? 'raises' : 'lowers') + ' the lead of the label'"
        " + (inner < 0 ? ', after surgery it rises as under cross-entropy alone.' : "
        "', and surgery changes nothing.')"
    )
