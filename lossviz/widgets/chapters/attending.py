"""Live figure: one row of attention, from flat to sharp, and what its softmax lets through."""

from __future__ import annotations

import torch

from ...analysis.entropies import entropy
from ..live import LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

LOW, HIGH, PARTS = -3.0, 4.0, 8
"""Powers of two of the scale, and stops in a doubling."""
FEWEST, MOST = 2, 8
"""Powers of two of the number of keys."""
SPECIAL = 3.0
"""The score of the key that is looked for."""
LEGEND = (
    ("'entropy, as a share of that of an even row'", "subject"),
    ("'what the softmax lets through: 1 − Σ a²'", "path"),
)
READOUT = (
    "keys_text + ' keys, scores times ' + scale_text + ': the key that is looked for has weight '"
    " + format(data('keys')[0].weight, '.3f') + '; entropy ' + format(now.entropy, '.3f')"
    " + ' nats of at most ' + format(log(count), '.3f') + ', let through '"
    " + format(now.through, '.3f') + '. Doubling the scale here would take '"
    " + format(LN2 * now.variance, '.3f') + ' nats, to first order.'"
)


def attention_row(*, scale: float = 0.0, keys: int = 4) -> LiveFigure:
    """Weights of a row whose scores are multiplied, their entropy, and what passes back.

    One key has the score 3, the others evenly spread quantiles of a standard normal. `scale` (-3 to
    4) is the power of two by which the scores are multiplied, `keys` (2 to 8) that of how many keys
    there are: the first state.

    Raises ValueError for arguments outside their ranges.
    """
    if not LOW <= scale <= HIGH or keys not in range(FEWEST, MOST + 1):
        raise ValueError(
            f"scale must lie in [{LOW:g}, {HIGH:g}] and keys be an int in [{FEWEST}, {MOST}], got "
            f"{scale!r} and {keys!r}"
        )
    rows = {power: row(power) for power in range(FEWEST, MOST + 1)}
    controls = (
        Slider(
            "scale", "scores are multiplied by", LOW, HIGH, 1 / PARTS, scale, "flat", "sharp",
            shows="format(pow(2, scale), '.2~f')",
        ),
        Slider(
            "keys", "number of keys", FEWEST, MOST, 1, keys, f"{2**FEWEST}", f"{2**MOST}",
            shows="format(pow(2, keys), 'd')",
        ),
    )  # fmt: skip
    stops = round((HIGH - LOW) * PARTS) + 1
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("weights", "entropy"),
        signals=[
            {"name": "rows", "value": {str(k): scores.tolist() for k, scores in rows.items()}},
            {"name": "curves", "value": {str(k): _curve(scores) for k, scores in rows.items()}},
            signal("count", "pow(2, keys)"),
            signal("known", "curves[keys]"),
            signal("now", f"known[round((scale - {LOW!r}) * {PARTS})]"),
        ],
        readout=READOUT,
        data=[
            table(
                "keys",
                2**MOST,
                {"type": "filter", "expr": "datum.index < count"},
                formula("score", "rows[keys][datum.index]"),
                # the largest score is that of the key that is looked for
                formula("raw", f"exp(pow(2, scale) * (datum.score - {SPECIAL!r}))"),
                {
                    "type": "joinaggregate",
                    "ops": ["sum"],
                    "fields": ["raw"],
                    "as": ["total"],
                },
                formula("weight", "datum.raw / datum.total"),
            ),
            table(
                "curve",
                stops,
                formula("scale", f"{LOW!r} + datum.index / {PARTS}"),
                formula("share", "known[datum.index].entropy / log(count)"),
                formula("through", "known[datum.index].through"),
            ),
        ],
        alt=(
            "Left, attention weights over scores: the key with score 3 has nearly half of them. "
            "Right, over the scale of the scores: the entropy falls from that of an even row to 0, "
            "and what the softmax lets through falls to 0 with it."
        ),
        caption=(
            "Left: the weight of each key over its score before scaling; the key that is looked "
            "for has score 3. Right: both curves over the scale, as a power of two; the open dot "
            "is the present state. 1 − Σ a² is the trace of the softmax's derivative."
        ),
    )


def row(power: int) -> torch.Tensor:
    """The scores of 2 to the `power` keys, float64: 3, then quantiles of a standard normal."""
    others = 2**power - 1
    levels = (torch.arange(others, dtype=torch.float64) + 0.5) / others
    return torch.cat([torch.tensor([SPECIAL], dtype=torch.float64), torch.special.ndtri(levels)])


def _curve(scores: torch.Tensor) -> list[dict[str, float]]:
    """At each stop of the scale: entropy, trace of the derivative, variance of the scaled scores.

    The variance is minus the derivative of the entropy by the logarithm of the scale.
    """
    powers = torch.arange(round((HIGH - LOW) * PARTS) + 1, dtype=torch.float64) / PARTS + LOW
    z = powers.exp2()[:, None] * scores
    a = z.softmax(-1)
    variance = (a * (z - (a * z).sum(-1, keepdim=True)).square()).sum(-1)
    found = {"entropy": entropy(z), "through": 1 - a.square().sum(-1), "variance": variance}
    return [
        dict(zip(found, values, strict=True))
        for values in zip(*(column.tolist() for column in found.values()), strict=True)
    ]


def _plots() -> tuple[Plot, Plot]:
    dots = {"size": 36, "fill": "subject", "fillOpacity": 0.75, "stroke": "surface"}
    ring = {"size": 90, "fill": "surface", "strokeWidth": 2.5}
    here = f"datum.index === round((scale - {LOW!r}) * {PARTS}) ? 90 : 0"
    weights = [symbols("keys", "datum.score", "datum.weight", **dots)]
    curves = [
        rule(("scale", "scale"), ("-0.05", "1.05"), "muted", 1),
        line("curve", "datum.scale", "datum.share", "subject"),
        line("curve", "datum.scale", "datum.through", "path"),
        *(
            symbols("curve", "datum.scale", f"datum.{field}", **ring | {"size": here}, stroke=hue)
            for field, hue in (("share", "subject"), ("through", "path"))
        ),
    ]
    return (
        (axis("score of the key", "[-3.3, 3.3]"), axis("weight", "[-0.05, 1.05]"), weights),
        (
            axis("power of two of the scale", f"[{LOW}, {HIGH}]"),
            axis("share", "[-0.05, 1.05]"),
            curves,
        ),
    )
