"""Live figure: how far a policy goes from its reference, what it gains, and what it only seems to.

The tilted policy that spends a budget needs the root of an equation; its tilt is computed here for
every stop of the slider, and all probabilities in the page.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...analysis import best_of_n, kl_constrained_optimum
from ...experiments.proxies import Proxy, exact, exploitable, noisy
from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

BUDGET, STOPS, MOST = 4.0, 80, 8
"""Largest budget in nats, steps of its slider, and the power of two of the largest N."""
LEGEND = (
    ("'tilted policy within the budget'", "subject"),
    ("'best of N'", "path"),
    ("'the reference; dashed: what the proxy says'", "muted"),
)
READOUT = (
    "'Budget ' + budget_text + ' nats: the tilted policy seems to gain '"
    " + format(spent.proxy, '.2f') + ' and gains ' + format(spent.truth, '.2f')"
    " + '. Best of ' + power_text + ', ' + format(drawn.kl, '.2f') + ' nats away, seems to gain '"
    " + format(drawn.proxy, '.2f') + ' and gains ' + format(drawn.truth, '.2f') + '.'"
)


def proxies() -> Mapping[str, Proxy]:
    """The reward models that the figure offers."""
    return {
        "the true reward": exact(),
        "with noise": noisy(),
        "with a loophole": exploitable(),
        "with a costly loophole": exploitable(cost=2.0),
    }


def aligned(
    *, budget: float = 1.8, power: int = 4, proxy: str = "with a costly loophole"
) -> LiveFigure:
    """A KL budget against the best of N, by a reward model that may be wrong.

    Left the probabilities of each value of the proxy reward under the reference, the tilted policy
    and the best of N; right the rewards, true and by the proxy, against the KL divergence from the
    reference. `budget` (0 to 4 nats), `power` (N is 2 to it, 0 to 8) and `proxy` (a key of
    `proxies`) are the first state. Its numbers are those of `lossviz.analysis` on
    `lossviz.experiments.proxies`.

    Raises ValueError for arguments outside their ranges.
    """
    kinds = proxies()
    if not 0 <= budget <= BUDGET or power not in range(MOST + 1):
        raise ValueError(
            f"budget must lie in [0, {BUDGET:g}] and power be an int in [0, {MOST}], got "
            f"{budget!r} and {power!r}"
        )
    if proxy not in kinds:
        raise ValueError(f"proxy must be one of {[*kinds]}, got {proxy!r}")
    controls = (
        Slider(
            "budget", "KL budget (nats)", 0, BUDGET, BUDGET / STOPS, budget, "the reference",
            "far away",
        ),
        Slider(
            "power", "N: samples", 0, MOST, 1, power, "1: the reference", f"{2**MOST}",
            shows="format(pow(2, power), 'd')",
        ),
        Choice("proxy", "chosen by", tuple(kinds), proxy),
    )  # fmt: skip
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("answers", "rewards"),
        signals=[
            {"name": "all", "value": {name: _known(kind) for name, kind in kinds.items()}},
            signal("samples", "pow(2, power)"),
            signal("known", "all[proxy]"),
            signal("spent", f"known.tilted[round(budget * {STOPS / BUDGET:g})]"),
            signal("drawn", "known.best[power]"),
        ],
        readout=READOUT,
        data=[
            table(
                "answers",
                max(len(kind.value) for kind in kinds.values()),
                {"type": "filter", "expr": "datum.index < length(known.value)"},
                formula("value", "known.value[datum.index]"),
                formula("reference", "known.probability[datum.index]"),
                formula("weight", "datum.reference * exp(spent.beta * datum.value - spent.log)"),
                formula("below", "known.below[datum.index]"),
                formula(
                    "best",
                    "pow(datum.below + datum.reference, samples) - pow(datum.below, samples)",
                ),
            ),
            table(
                "tilted",
                STOPS + 1,
                *(formula(each, f"known.tilted[datum.index].{each}") for each in FIELDS),
            ),
            table(
                "best",
                MOST + 1,
                *(formula(each, f"known.best[datum.index].{each}") for each in FIELDS),
            ),
        ],
        alt=(
            f"Answers chosen by a proxy {proxy}. Left, three distributions over the proxy reward: "
            "the reference, and further right the tilted policy and the best of N. Right, against "
            "the KL divergence, the proxy reward rises throughout, the true reward rises, and with "
            "a costly loophole falls again."
        ),
        caption=(
            "True rewards of the answers are standard normal. Left: the probability of each proxy "
            "reward. Right: the mean reward against the distance from the reference, true (solid) "
            "and by the proxy (dashed); open dots are N = 1, 2, 4, …, and the ringed places are "
            "those of the two sliders. A loophole gives "
            "one answer in a hundred 5 points more; the costly one takes 2 of its true reward."
        ),
    )


FIELDS = ("kl", "proxy", "truth")


def _known(kind: Proxy) -> dict[str, object]:
    """The values of a proxy, and where both policies stand at every stop of the sliders."""
    below = kind.probability.cumsum(0) - kind.probability
    tilted = []
    for stop in range(STOPS + 1):
        found = kl_constrained_optimum(kind.probability, kind.value, budget=BUDGET * stop / STOPS)
        log = (kind.probability.log() + found.beta * kind.value).logsumexp(0)
        tilted.append(
            {
                "beta": found.beta, "log": log.item(), "kl": found.kl.item(),
                "proxy": found.reward.item(), "truth": (found.policy @ kind.truth).item(),
            }
        )  # fmt: skip
    best = []
    for power in range(MOST + 1):
        policy, kl, reward = best_of_n(kind.probability, kind.value, samples=2**power)
        truth = (policy @ kind.truth).item()
        best.append({"kl": kl.item(), "proxy": reward.item(), "truth": truth})
    values = {"value": kind.value, "probability": kind.probability, "below": below}
    return {
        **{name: column.tolist() for name, column in values.items()},
        "tilted": tilted,
        "best": best,
    }


def _plots() -> tuple[Plot, Plot]:
    answers = [
        line("answers", "datum.value", "datum.reference", "muted", 1.5),
        line("answers", "datum.value", "datum.weight", "subject"),
        line("answers", "datum.value", "datum.best", "path"),
    ]
    dashed = {"strokeDash": {"value": [4, 3]}}
    dots = {"size": 40, "fill": "surface", "stroke": "path", "strokeWidth": 1.5}
    ring = {"size": "datum.index === power ? 170 : 0", "stroke": "path", "strokeWidth": 2}
    rewards = [
        rule(("budget", "budget"), ("-3", "8"), "muted", 1),
        line("tilted", "datum.kl", "datum.proxy", "subject", 1.5, **dashed),
        line("tilted", "datum.kl", "datum.truth", "subject"),
        line("best", "datum.kl", "datum.proxy", "path", 1, **dashed),
        line("best", "datum.kl", "datum.truth", "path", 1),
        symbols("best", "datum.kl", "datum.proxy", **dots),
        symbols("best", "datum.kl", "datum.truth", **dots),
        symbols("best", "datum.kl", "datum.truth", **ring),
        symbols(
            "tilted", "datum.kl", "datum.truth", stroke="subject", strokeWidth=2,
            size=f"datum.index === round(budget * {STOPS / BUDGET:g}) ? 170 : 0",
        ),
    ]  # fmt: skip
    return (
        (axis("proxy reward", "[-4, 9]"), axis("probability", "[0, 0.2]"), answers),
        (
            axis("KL from the reference (nats)", f"[0, {BUDGET}]"),
            axis("reward", "[-2, 6]"),
            rewards,
        ),
    )
