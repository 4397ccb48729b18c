"""Gradient flow of a three-class loss as Vega signals and data, for the landscape.

The plane of zero-sum logits has coordinates (u, v): u towards class 1, v from class 3 to class 2,
an orthonormal basis. Expressions are Vega's, as text.
"""

from __future__ import annotations

import math
from typing import Any

import sympy as sp

from ..vega.expression import vega_expression
from ..vega.frame import formula, signal, table
from .subject import Subject

RIGHT, SIDE = (
    math.sqrt(2 / 3),
    math.sqrt(1 / 2),
)  # the basis: e_1 = (RIGHT, 0), e_2 = (-RIGHT/2, SIDE)
STEPS = 60
STRIDE = 0.28  # 60 of them span the plane's diagonal
TIMES = (1, 10, 100)
POSITIVE = sp.symbols("p1:4", positive=True)
REAL = sp.symbols("z1:4", real=True)
Q = sp.symbols("q1:4", nonnegative=True)


def leads(u: str, v: str) -> tuple[str, str]:
    """How far the second and the third class lead the first at plane coordinates (u, v)."""
    return (
        f"({SIDE} * ({v}) - {1.5 * RIGHT} * ({u}))",
        f"(-{SIDE} * ({v}) - {1.5 * RIGHT} * ({u}))",
    )


def softmax(u: str, v: str) -> tuple[str, str, str]:
    """Probabilities at plane coordinates (u, v)."""
    second, third = leads(u, v)
    return (
        f"1 / (1 + exp({second}) + exp({third}))",
        f"1 / (1 + exp(-{second}) + exp({third} - {second}))",
        f"1 / (1 + exp(-{third}) + exp({second} - {third}))",
    )


def project(first: str, second: str, third: str) -> tuple[str, str]:
    """Plane coordinates of a vector with one entry per class."""
    return f"{RIGHT} * ({first} - ({second} + {third}) / 2)", f"{SIDE} * ({second} - {third})"


def arguments(subject: Subject) -> tuple[sp.Symbol, ...]:
    """Symbols for what the form is over: probabilities, or logits that sum to zero."""
    return POSITIVE if subject.form.over == "probabilities" else REAL


def written(subject: Subject, p: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of the form as expressions, where the probabilities are p."""
    if subject.form.over == "probabilities":
        return p
    mean = " + ".join(f"log({one})" for one in p)
    return tuple(f"log({one}) - ({mean}) / 3" for one in p)


def place(subject: Subject, step: str) -> str:
    """The signal of the arguments of the form at a step of the path."""
    return f"{'p' if subject.form.over == 'probabilities' else 'a'}{step}"


def names(subject: Subject, places: tuple[str, ...]) -> dict[sp.Symbol, str]:
    """How to write the arguments (as given), Q (the signal ``label``) and the parameters."""
    weights = {q: f"label[{k}]" for k, q in enumerate(Q)}
    return {**dict(zip(arguments(subject), places, strict=True)), **weights, **subject.signals}


def flow_signals(subject: Subject) -> list[dict[str, Any]]:
    """The path from (u, v): the signal ``flow``, a list of [u, v, time].

    Steps of arc length, chained from signal to signal because Vega cannot loop. Each goes in the
    direction of the gradient at its middle, for a length STRIDE, or for half the length after which
    the slope would vanish: so the path ends in a minimum without overshooting. Time is the integral
    of one over the slope.
    """
    expected = subject.expected(arguments(subject), Q)
    # printed once, for the many places where they are taken: printing is what takes the time
    at = names(subject, tuple(f"AT[{k}]" for k in range(3)))
    slopes = [vega_expression(sp.diff(expected, one), at) for one in arguments(subject)]
    signals = [signal("label", "[1 - noise, noise / 2, noise / 2]"), signal("z0", "[u, v, 0]")]
    signals.append(signal("lstart", str(STRIDE)))
    for k, last in enumerate(["start", *range(STEPS - 1)]):
        here, half = f"z{k}", f"l{last} / 2"
        signals += _gradient(subject, slopes, str(k), f"{here}[0]", f"{here}[1]")
        middle = [f"{here}[{i}] - {half} * g{k}[{i}]" for i in range(2)]
        signals += _gradient(subject, slopes, f"h{k}", *middle)
        # the part of the slope that is gone in the middle, seen along the first direction
        fall = f"1 - sh{k} / s{k} * (gh{k}[0] * g{k}[0] + gh{k}[1] * g{k}[1])"
        signals.append(signal(f"f{k}", f"max({fall}, 1e-9)"))
        signals.append(signal(f"l{k}", f"min({STRIDE}, 2 * l{last}, {half} / (2 * f{k}))"))
        moved = [f"{here}[{i}] - l{k} * (f{k} > 1 ? g{k} : gh{k})[{i}]" for i in range(2)]
        signals.append(signal(f"z{k + 1}", f"[{', '.join(moved)}, {here}[2] + l{k} / sh{k}]"))
    return [*signals, signal("flow", f"[{', '.join(f'z{k}' for k in range(STEPS + 1))}]")]


def _gradient(
    subject: Subject, slopes: list[str], name: str, u: str, v: str
) -> list[dict[str, Any]]:
    """Signals p (probabilities), s (slope) and g (unit gradient), with `name` at their end."""
    p, z = (tuple(f"{letter}{name}[{k}]" for k in range(3)) for letter in "pd")
    e = tuple(f"e{name}[{k}]" for k in range(2))
    total = f"(1 + {e[0]} + {e[1]})"
    d = [slope.replace("AT", place(subject, name)) for slope in slopes]
    derivative = signal(f"d{name}", f"[{', '.join(d)}]")
    if subject.form.over == "probabilities":
        # through the softmax: dL/dz_k = p_k (d_k - sum_j p_j d_j)
        mean = " + ".join(f"{p[k]} * d{name}[{k}]" for k in range(3))
        z = tuple(f"{p[k]} * (d{name}[{k}] - m{name})" for k in range(3))
        chain = [derivative, signal(f"m{name}", mean)]
    else:
        chain = [signal(f"a{name}", f"[{', '.join(written(subject, p))}]"), derivative]
    east, north = project(*z)
    return [
        signal(f"e{name}", f"[{', '.join(f'exp({lead})' for lead in leads(u, v))}]"),
        signal(f"p{name}", f"[1 / {total}, {e[0]} / {total}, {e[1]} / {total}]"),
        *chain,
        signal(f"r{name}", f"[{east}, {north}]"),
        signal(f"s{name}", f"max(sqrt(r{name}[0] * r{name}[0] + r{name}[1] * r{name}[1]), 1e-12)"),
        signal(f"g{name}", f"[r{name}[0] / s{name}, r{name}[1] / s{name}]"),
    ]


def flow_data(subject: Subject) -> list[dict[str, Any]]:
    """Rows of the path, the dots at TIMES with the loss there, and when class 1 takes the lead."""
    fields = ["u", "v", "time", "lead"]
    between = "datum.{0} + datum.part * (datum.next_{0} - datum.{0})"
    probabilities = formula("p", f"[{', '.join(softmax('datum.u', 'datum.v'))}]")
    p = tuple(f"datum.p[{k}]" for k in range(3))
    loss = vega_expression(
        subject.expected(arguments(subject), Q), names(subject, written(subject, p))
    )
    return [
        table(
            "path",
            STEPS + 1,
            formula("u", "flow[datum.index][0]"),
            formula("v", "flow[datum.index][1]"),
            formula("time", "flow[datum.index][2]"),
            formula("lead", f"{1.5 * RIGHT} * datum.u - {SIDE} * abs(datum.v)"),
            probabilities,
            {
                "type": "window",
                "ops": ["lead"] * len(fields),
                "fields": fields,
                "as": [f"next_{name}" for name in fields],
            },
        ),
        {
            "name": "dots",
            "source": "path",
            "transform": [
                formula("mark", repr(list(TIMES))),
                {"type": "flatten", "fields": ["mark"]},
                {
                    "type": "filter",
                    "expr": "datum.time <= datum.mark && datum.mark < datum.next_time",
                },
                formula("part", "(datum.mark - datum.time) / (datum.next_time - datum.time)"),
                formula("u", between.format("u")),
                formula("v", between.format("v")),
                probabilities,
                formula("value", loss),
            ],
        },
        {
            "name": "lead_taken",
            "source": "path",
            "transform": [
                {"type": "filter", "expr": "datum.lead <= 0 && datum.next_lead > 0"},
                formula(
                    "at",
                    "datum.time - datum.lead * (datum.next_time - datum.time)"
                    " / (datum.next_lead - datum.lead)",
                ),
            ],
        },
    ]
