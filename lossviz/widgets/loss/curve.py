"""Live figure: a loss and its gradient against the margin, or probability, of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from ...losses import Loss
from ..live import Choice, LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import formula, numeral, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, dot, line
from .subject import Subject

SPAN = 8
POINTS = 321
PROBABILITY = "probability"
MARGIN = "margin"
READOUT = (
    f"'Target probability ' + {numeral('example_p')} + ': loss ' + {numeral('example_value')}"
    f" + ', pull ' + {numeral('example_pull')} + '; with cross-entropy ' + "
    f"{numeral('(-log(example_p))')} + ' and ' + {numeral('(1 - example_p)')} + '.'"
)
_P = sp.Symbol("p", positive=True)


def curve(
    loss: Loss | str,
    *,
    num_classes: int = 3,
    margin: float = -2.0,
    against: str = MARGIN,
    values: Mapping[str, float] | None = None,
) -> LiveFigure:
    """A loss, and its pull on the target's logit, for one example.

    The other `num_classes - 1` classes share equally what the target class leaves, and the margin
    is the target's logit minus the log-sum-exp of the others, log(p / (1 - p)), in nats. `margin`
    places the example that a slider moves (-8 to 8), `against` ("margin" or "probability") is the
    first horizontal axis, `values` overrides where parameters start. Cross-entropy stands by in
    grey.

    Raises TypeError or ValueError as `Subject` does, and for arguments outside their ranges.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int):
        raise TypeError(f"num_classes must be an int, got {type(num_classes).__name__}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if against not in (MARGIN, PROBABILITY):
        raise ValueError(f"against must be {MARGIN!r} or {PROBABILITY!r}, got {against!r}")
    if not -SPAN <= margin <= SPAN:
        raise ValueError(f"margin must lie in [{-SPAN}, {SPAN}], got {margin!r}")
    subject = Subject(loss, values)
    controls: tuple[Slider | Choice, ...] = (
        *subject.sliders,
        Slider(
            "example",
            "margin of the example",
            -SPAN,
            SPAN,
            0.1,
            margin,
            "clearly wrong",
            "clearly right",
        ),
        Choice("against", "horizontal axis", (MARGIN, PROBABILITY), against),
    )
    return two_plots(
        controls,
        [(subject.title, "subject"), ("'cross-entropy'", "muted")],
        (_plot("value", "loss", 8), _plot("pull", "pull on the target's logit", 3)),
        panes=("loss", "pull"),
        signals=_signals(subject, num_classes),
        readout=READOUT,
        data=[_table(subject, num_classes)],
        alt=_alt(subject, num_classes, against),
        caption=(
            f"{subject.loss.title}: the loss of one example, and how hard it pulls the target's "
            "logit up, beside cross-entropy in grey."
        ),
    )


def _alt(subject: Subject, num_classes: int, against: str) -> str:
    where = ", ".join(f"{s.label.split(':')[0]} = {s.value:g}" for s in subject.sliders)
    return (
        f"Two curves over the {against} of the target class among {num_classes}: "
        f"{subject.loss.title}{' at ' + where if where else ''}, and minus its derivative with "
        "respect to the target's logit, each with cross-entropy for comparison and a dot for one "
        "example."
    )


def _loss_and_pull(subject: Subject, num_classes: int, p: str) -> tuple[str, str]:
    """Expressions for both, where the target has the probability of the expression `p`."""
    value = subject.form.along_target_probability(_P, num_classes)
    # dp/dm = p (1 - p), and the margin m moves with the target's logit one to one
    pull = -sp.diff(value, _P) * _P * (1 - _P)
    names = {_P: p, **subject.signals}
    return vega_expression(value, names), vega_expression(pull, names)


def _signals(subject: Subject, num_classes: int) -> list[dict[str, str]]:
    value, pull = _loss_and_pull(subject, num_classes, "example_p")
    return [
        signal("by_margin", f"against === '{MARGIN}'"),
        signal("axis_domain", f"by_margin ? [{-SPAN}, {SPAN}] : [0, 1]"),
        signal("axis_title", "by_margin ? 'margin (nats)' : 'probability of the target class'"),
        signal("example_p", "1 / (1 + exp(-example))"),
        signal("example_value", value),
        signal("example_pull", pull),
    ]


def _table(subject: Subject, num_classes: int) -> dict[str, Any]:
    value, pull = _loss_and_pull(subject, num_classes, "datum.p")
    return table(
        "curve",
        POINTS,
        formula("margin", f"{2 * SPAN} * datum.index / {POINTS - 1} - {SPAN}"),
        formula("p", "1 / (1 + exp(-datum.margin))"),
        formula("reference_value", "-log(datum.p)"),
        formula("reference_pull", "1 - datum.p"),
        formula("value", value),
        formula("pull", pull),
    )


def _plot(field: str, title: str, top: float) -> Plot:
    """One quantity over the chosen axis, with cross-entropy's and the example's."""
    along = "by_margin ? datum.margin : datum.p"
    return (
        axis({"signal": "axis_title"}, "axis_domain"),
        # the same scale for every parameter value, so that steeper looks steeper
        axis(title, f"[{min(0, -top / 8)}, {top}]"),
        [
            line("curve", along, f"datum.reference_{field}", "reference", 1.5),
            line("curve", along, f"datum.{field}", "subject"),
            dot("by_margin ? example : example_p", f"example_{field}", "path"),
        ],
    )
