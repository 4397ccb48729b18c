"""Live figure: attempts that are repeated until an imperfect judge accepts one."""

from __future__ import annotations

from ...theory import resampling_ceiling
from ..live import LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, dot, line, rule

MOST, POINTS = 64, 101
LEGEND = (
    ("'accepted and right'", "subject"),
    ("'accepted and wrong'", "path"),
    ("'right, with a judge who never errs'", "muted"),
)
READOUT = (
    "'In up to ' + attempts_text + (attempts > 1 ? ' attempts' : ' attempt') + ' a right answer is'"
    " + ' accepted in ' + format(found, '.1%') + ' and a wrong one in ' + format(fluke, '.1%')"
    " + ' of cases. Of accepted answers ' + format(ceiling, '.1%')"
    " + ' are right, however many attempts are made. A judge who never errs would find a right one'"
    " + ' in ' + format(perfect, '.1%') + '.'"
)


def resampling(
    *, false_positive: float = 0.1, right: float = 0.2, attempts: int = 16
) -> LiveFigure:
    """What repeated attempts find, and the ceiling that the judge's errors set.

    false_positive : chance that the judge accepts a wrong answer, in [0, 1]. Right ones are
    accepted always. right : chance that an attempt is right, in [0.02, 0.98]. attempts : at most,
    1 to 64. They are those of the first state; raises ValueError out of range.
    """
    for name, value, low, high in (
        ("false_positive", false_positive, 0, 1),
        ("right", right, 0.02, 0.98),
        ("attempts", attempts, 1, MOST),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in [{low}, {high}], got {value!r}")
    law = resampling_ceiling
    by_name = {parameter.name: parameter.sympy for parameter in law.parameters}

    def ceiling(r: str) -> str:
        names = {by_name["completeness"]: "1", by_name["soundness"]: "sound", law.axis.sympy: r}
        return vega_expression(law.expression, names)

    controls = (
        Slider(
            "wrongly", "false-positive rate", 0, 1, 0.01, false_positive, "a judge who never errs",
            "accepts everything",
        ),
        Slider("right", "an attempt is right", 0.02, 0.98, 0.02, right, "hard", "easy"),
        Slider("attempts", "attempts", 1, MOST, 1, attempts, "only one", "many"),
    )  # fmt: skip
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("attempts", "accepted answers"),
        signals=[
            signal("sound", "1 - wrongly"),
            signal("again", "sound * (1 - right)"),
            signal("ever", "(1 - pow(again, attempts)) / (1 - again)"),
            signal("found", "right * ever"),
            signal("fluke", "wrongly * (1 - right) * ever"),
            signal("perfect", "1 - pow(1 - right, attempts)"),
            signal("ceiling", ceiling("right")),
        ],
        readout=READOUT,
        data=[
            table(
                "tries",
                MOST,
                formula("count", "datum.index + 1"),
                formula("ever", "(1 - pow(again, datum.count)) / (1 - again)"),
                formula("found", "right * datum.ever"),
                formula("fluke", "wrongly * (1 - right) * datum.ever"),
                formula("perfect", "1 - pow(1 - right, datum.count)"),
            ),
            table(
                "law",
                POINTS - 1,
                formula("right", f"(datum.index + 1) / {POINTS - 1}"),
                formula("ceiling", ceiling("datum.right")),
            ),
        ],
        alt=(
            "Left, over the number of attempts, the share of problems with a right accepted answer "
            "rises and soon stays at a ceiling below 1, while a judge who never errs would go on "
            "towards 1; the rest are wrong accepted answers. Right, how often an accepted answer "
            "is right over how often an attempt is: a curve above the diagonal."
        ),
        caption=(
            "Attempts are repeated until a judge accepts one, who accepts every right answer and "
            "some wrong ones. Left: what has been accepted after so many attempts. Right: how "
            "often an accepted answer is right, over the chance that an attempt is; the straight "
            "line is the attempt itself."
        ),
    )


def _plots() -> tuple[Plot, Plot]:
    chance = "[0, 1.03]"
    over_attempts = [
        line("tries", "datum.count", "datum.perfect", "muted", 1.5,
             strokeDash={"value": [4, 3]}),
        line("tries", "datum.count", "datum.fluke", "path"),
        line("tries", "datum.count", "datum.found", "subject"),
        rule(("attempts", "attempts"), ("0", "1"), "muted", 1),
    ]  # fmt: skip
    over_right = [
        rule(("0", "1"), ("0", "1"), "muted", 1.5),
        line("law", "datum.right", "datum.ceiling", "subject"),
        dot("right", "ceiling", "subject"),
    ]
    return (
        (axis("attempts", f"[0, {MOST + 1}]"), axis("share of problems", chance), over_attempts),
        (axis("an attempt is right", "[0, 1]"), axis("an accepted one is", chance), over_right),
    )
