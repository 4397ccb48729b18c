"""Live figure: what a score costs at one input, and what the wrong sign costs at least."""

from __future__ import annotations

import sympy as sp

from ...theory.margin_losses import MARGIN_LOSSES, SCORE
from ...theory.symbolic import BETA
from ..live import Choice, Handle, LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import formula, mark, signal, table
from ..vega.panels import HEIGHT, LEFT, ROW, Plot, two_plots
from ..vega.plot import axis, dot, line, rule

SPAN = 3
FINEST = 240
STEPS = 25
LEGEND = (
    ("'mean loss of a score: ' + loss", "subject"),
    ("'what the wrong class costs at least'", "path"),
)
READOUT = (
    "'Class 1 has probability ' + format((1 + beta) / 2, '.2f') + '. The best score costs '"
    " + format(least, '.4f') + ' on average, and one that predicts class 2 at least '"
    " + format(tied, '.4f') + ': a zero-one regret of ' + format(beta, '.2f') + ' costs '"
    " + format(cost, '.4f') + '. The score ' + format(score, '.2f') + ' costs '"
    " + format(here, '.4f') + ', which is ' + format(here - least, '.4f') + ' too much.'"
)


def conditional_risk(
    *, loss: str = "cross-entropy", beta: float = 0.2, score: float = -0.6
) -> LiveFigure:
    """The mean loss over the score at one input of two classes, and the transform of the loss.

    Parameters
    ----------
    loss : a key of `lossviz.theory.MARGIN_LOSSES`, default "cross-entropy".
    beta : by how much class 1 leads, a multiple of 0.04 in [0, 1], default 0.2.
    score : where the point stands, in [-3, 3], default -0.6.

    Raises ValueError for arguments outside these ranges.
    """
    if loss not in MARGIN_LOSSES:
        raise ValueError(f"loss must be one of {', '.join(MARGIN_LOSSES)}, got {loss!r}")
    if not 0 <= beta <= 1 or abs(beta * STEPS - round(beta * STEPS)) > 1e-9:
        raise ValueError(f"beta must be a multiple of {1 / STEPS} in [0, 1], got {beta!r}")
    if not -SPAN <= score <= SPAN:
        raise ValueError(f"score must lie in [{-SPAN}, {SPAN}], got {score!r}")
    controls = (
        Choice("loss", "loss", tuple(MARGIN_LOSSES), loss),
        Slider("beta", "β: lead of class 1", 0, 1, 1 / STEPS, beta, "a coin", "certain"),
        Slider("score", "score", -SPAN, SPAN, 0.05, score, "for class 2", "for class 1"),
    )
    top = ROW * len(LEGEND) + 12
    place = f"{LEFT} + panel * (score + {SPAN}) / {2 * SPAN}"
    height = f"{top} + {HEIGHT} * (highest - min(here, highest)) / (highest - lowest)"
    to_score = f"{2 * SPAN} * (drag[0] - {LEFT}) / panel - {SPAN}"
    return two_plots(
        controls,
        LEGEND,
        (_risk(), _transform()),
        panes=("one input", "all leads"),
        signals=[
            {"name": "drag", "value": [0, 0]},
            signal("here", _of("risk", score="score")),
            signal("least", "tied - cost"),
            signal("tied", _of("risk", score="0")),
            signal("cost", _of("transform")),
            signal("best", _of("minimiser")),
            signal("lowest", "max(0, least - 0.1)"),
            signal("highest", "tied + 0.4"),
            signal("at", f"wide || pane === 0 ? [{place}, {height}] : null"),
        ],
        moves={"score": {"drag": f"clamp(round(20 * ({to_score})) / 20, {-SPAN}, {SPAN})"}},
        handles=(Handle("at", "drag", ("score",)),),
        readout=READOUT,
        data=[
            table(
                "scores",
                FINEST + 1,
                formula("score", f"{2 * SPAN} * datum.index / {FINEST} - {SPAN}"),
                formula("risk", _of("risk", score="datum.score")),
            ),
            table(
                "leads",
                4 * STEPS + 1,
                formula("beta", f"datum.index / {4 * STEPS}"),
                formula("cost", _of("transform", beta="datum.beta")),
            ),
        ],
        alt=(
            f"Left, the mean {loss} of a score at an input where class 1 leads by {beta:g}; its "
            "lowest point lies at a positive score, and the lowest point of the half with the "
            "wrong sign at 0, somewhat higher. Right, that difference over the lead."
        ),
        caption=(
            "First, what each score costs at one input; the shaded half predicts the wrong class. "
            "The height between the two dots is what a mistake costs at least: second, for every "
            "lead."
        ),
    )


def _of(what: str, *, score: str = "score", beta: str = "beta") -> str:
    """An expression for the risk, minimiser or transform of the loss that is chosen."""
    forms = {
        name: {
            "risk": form.conditional_risk(),
            "minimiser": form.minimiser,
            "transform": form.transform,
        }[what]
        for name, form in MARGIN_LOSSES.items()
    }
    names = {SCORE: f"({score})", BETA: beta}
    *cases, (_, last) = ((n, _printed(form, names)) for n, form in forms.items())
    text = last
    for name, expression in reversed(cases):
        text = f"loss === '{name}' ? ({expression}) : {text}"
    return f"({text})"


def _printed(form: sp.Expr, names: dict[sp.Symbol, str]) -> str:
    return f"({vega_expression(form, names)})"


def _risk() -> Plot:
    """The mean loss over the score."""
    wrong = {"x": {"scale": "across", "value": -SPAN}, "x2": {"scale": "across", "value": 0}}
    sides = {"y": 0, "y2": HEIGHT}
    return (
        axis("score", f"[{-SPAN}, {SPAN}]"),
        axis("mean loss", "[lowest, highest]"),
        [
            mark("rect", **wrong, **sides, fill="path", fillOpacity=0.1),
            rule((f"{-SPAN}", f"{SPAN}"), ("least", "least"), "muted", 1),
            rule(("0", "0"), ("least", "tied"), "path", 3),
            line("scores", "datum.score", "datum.risk", "subject"),
            dot("best", "least", "subject"),
            dot("0", "tied", "path"),
            mark(
                "symbol",
                x={"scale": "across", "signal": "score"},
                y={"scale": "up", "signal": "here"},
                size=90,
                fill="subject",
            ),
        ],
    )


def _transform() -> Plot:
    """What the wrong class costs at least, over the lead."""
    return (
        axis("zero-one regret β", "[0, 1]"),
        axis("surrogate regret, at least", "[0, 1]"),
        [
            rule(("beta", "beta"), ("0", "cost"), "path", 3),
            line("leads", "datum.beta", "datum.cost", "path"),
            dot("beta", "cost", "path"),
        ],
    )
