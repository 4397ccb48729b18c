"""Live figure: a loss and its gradient against the margin, or probability, of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from ...losses import Loss
from ..live import WIDTH, Choice, LiveFigure, Slider
from ..vega import palette
from ..vega.expression import vega_expression
from .subject import Subject

SPAN = 8
POINTS = 321
PROBABILITY = "probability"
MARGIN = "margin"
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
    first horizontal axis, `values` overrides parameter defaults. Cross-entropy stands by in grey.

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
    return LiveFigure(
        _spec(subject, num_classes, controls),
        controls,
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


def _spec(
    subject: Subject, num_classes: int, controls: tuple[Slider | Choice, ...]
) -> dict[str, Any]:
    value = subject.form.along_target_probability(_P, num_classes)
    # dp/dm = p (1 - p), and the margin m moves with the target's logit one to one
    pull = -sp.diff(value, _P) * _P * (1 - _P)

    def at(expression: sp.Expr, probability: str) -> str:
        return vega_expression(expression, {_P: probability, **subject.signals})

    return {
        "autosize": "none",
        "padding": 0,
        "signals": [
            {"name": "container", "value": WIDTH},
            *palette.colour_signals(),
            *({"name": control.signal, "value": control.value} for control in controls),
            {"name": "wide", "update": "container >= 560"},
            {"name": "panel", "update": "wide ? (container - 122) / 2 : container - 60"},
            {"name": "width", "update": "container"},
            {"name": "height", "update": "wide ? 290 : 560"},
            {"name": "title", "update": subject.title},
            {"name": "by_margin", "update": f"against === '{MARGIN}'"},
            {"name": "axis_domain", "update": f"by_margin ? [{-SPAN}, {SPAN}] : [0, 1]"},
            {
                "name": "axis_title",
                "update": "by_margin ? 'margin (nats)' : 'probability of the target class'",
            },
            {"name": "example_p", "update": "1 / (1 + exp(-example))"},
            {"name": "example_value", "update": at(value, "example_p")},
            {"name": "example_pull", "update": at(pull, "example_p")},
            {
                "name": "readout",
                "update": "'Target probability ' + format(example_p, '.3~r') + ': loss ' + "
                "format(example_value, '.3~r') + ', pull ' + "
                "format(example_pull, '.3~r') + '; cross-entropy has ' + "
                "format(-log(example_p), '.3~r') + ' and ' + format(1 - example_p, '.3~r') + '.'",
            },
        ],
        "data": [
            {
                "name": "curve",
                "transform": [
                    {"type": "sequence", "start": 0, "stop": POINTS, "as": "index"},
                    _formula("margin", f"{2 * SPAN} * datum.index / {POINTS - 1} - {SPAN}"),
                    _formula("p", "1 / (1 + exp(-datum.margin))"),
                    _formula("reference_value", "-log(datum.p)"),
                    _formula("reference_pull", "1 - datum.p"),
                    _formula("value", at(value, "datum.p")),
                    _formula("pull", at(pull, "datum.p")),
                ],
            }
        ],
        "marks": [
            _panel("value", "loss", 8, "50", "40"),
            _panel(
                "pull",
                "pull on the target's logit",
                3,
                "wide ? 112 + panel : 50",
                "wide ? 40 : 310",
            ),
            _legend(),
        ],
        "config": palette.vega_config(),
    }


def _formula(name: str, expression: str) -> dict[str, str]:
    return {"type": "formula", "as": name, "expr": expression}


def _panel(field: str, title: str, top: float, x: str, y: str) -> dict[str, Any]:
    along = {"scale": "along", "signal": "by_margin ? datum.margin : datum.p"}
    return {
        "type": "group",
        "clip": False,
        "encode": {
            "update": {
                "x": {"signal": x},
                "y": {"signal": y},
                "width": {"signal": "panel"},
                "height": {"value": 200},
            }
        },
        "signals": [{"name": "width", "update": "panel"}, {"name": "height", "value": 200}],
        "scales": [
            {"name": "along", "domain": {"signal": "axis_domain"}, "range": "width"},
            # the same scale for every parameter value, so that steeper looks steeper
            {"name": "up", "domain": [min(0, -top / 8), top], "range": "height"},
        ],
        "axes": [
            {
                "orient": "bottom",
                "scale": "along",
                "title": {"signal": "axis_title"},
                "tickCount": 5,
                "grid": True,
            },
            {"orient": "left", "scale": "up", "title": title, "tickCount": 5, "grid": True},
        ],
        "marks": [
            {
                "type": "group",
                "clip": True,
                "interactive": False,
                "encode": {
                    "update": {"width": {"signal": "panel"}, "height": {"value": 200}},
                },
                "marks": [
                    _line(along, f"reference_{field}", "reference", 1.5),
                    _line(along, field, "subject", 2.5),
                    {
                        "type": "symbol",
                        "encode": {
                            "update": {
                                "x": {
                                    "scale": "along",
                                    "signal": "by_margin ? example : example_p",
                                },
                                "y": {"scale": "up", "signal": f"example_{field}"},
                                "size": {"value": 110},
                                "fill": palette.colour("path"),
                                "stroke": palette.colour("surface"),
                                "strokeWidth": {"value": 1.5},
                            }
                        },
                    },
                ],
            }
        ],
    }


def _line(along: dict[str, str], field: str, colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "line",
        "from": {"data": "curve"},
        "encode": {
            "update": {
                "x": along,
                "y": {"scale": "up", "field": field},
                "stroke": palette.colour(colour),
                "strokeWidth": {"value": width},
            }
        },
    }


def _legend() -> dict[str, Any]:
    entries = [("title", "subject", 12), ("'cross-entropy'", "muted", 28)]
    return {
        "type": "group",
        "marks": [
            {
                "type": "text",
                "encode": {
                    "update": {
                        "x": {"value": 50},
                        "y": {"value": y},
                        "text": {"signal": text},
                        "fill": palette.colour(colour),
                        "fontWeight": {"value": 600},
                    }
                },
            }
            for text, colour, y in entries
        ],
    }
