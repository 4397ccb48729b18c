"""A loss with a symbolic form as functions of JavaScript, printed from its declaration.

They are evaluated in float64 by the page itself, so every value of every parameter can be chosen.
"""

from __future__ import annotations

import sympy as sp

from ..loss.flow import Q, arguments
from ..loss.subject import Subject
from ..vega.expression import FUNCTIONS, vega_expression

CLASSES = 3
POINT, PLACE, LABEL = "$p", "$a", "$q"  # no parameter is called so
MATHEMATICS = ", ".join(sorted({*FUNCTIONS.values(), "pow", "sqrt"}))


def functions(subject: Subject) -> str:
    """A JavaScript object with the functions of one loss.

    ``value`` and ``pull`` are of the target's probability $p, where the other two of three classes
    share equally what it leaves; ``pull`` is minus the derivative in the margin. ``plane`` is of
    the arguments $a of the form and of weights $q of the labels, and ``slopes`` are its derivatives
    in each argument. The last argument of each holds the parameters.
    """
    p = sp.Symbol("p", positive=True)
    value = subject.form.along_target_probability(p, CLASSES)
    pull = -sp.diff(value, p) * p * (1 - p)  # the derivative of p in the margin is p (1 - p)
    places = arguments(subject)
    expected = subject.expected(places, Q)
    parameters = {parameter.sympy: parameter.name for parameter in subject.loss.parameters}
    along = {p: POINT, **parameters}
    over = {
        **{place: f"{PLACE}[{k}]" for k, place in enumerate(places)},
        **{weight: f"{LABEL}[{k}]" for k, weight in enumerate(Q)},
        **parameters,
    }
    slopes = ", ".join(vega_expression(sp.diff(expected, one), over) for one in places)
    given = f"{{{', '.join(parameters.values())}}}"
    return (
        f"{{value: ({POINT}, {given}) => {vega_expression(value, along)},\n"
        f"pull: ({POINT}, {given}) => {vega_expression(pull, along)},\n"
        f"plane: ({PLACE}, {LABEL}, {given}) => {vega_expression(expected, over)},\n"
        f"slopes: ({PLACE}, {LABEL}, {given}) => [{slopes}]}}"
    )
