"""Live figure: a reliability diagram, and what its error becomes with other bins and fewer rows."""

from __future__ import annotations

from typing import Any

import torch

from ...analysis import equal_mass, equal_width, top_label
from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

MOST = 40
RULES = ("equal width", "equal mass")
TEMPERATURES = tuple(2 ** (k / 2) for k in range(-2, 5))
DIGITS = 4
"""Of confidences: with MOST bins at most, none is so close to an edge that rounding could err."""
LEGEND = (
    ("'measured'", "subject"),
    ("'if calibrated: mean; dashed: 95th percentile'", "path"),
)
READOUT = (
    "rows_text + ' examples at temperature ' + temperature_text + ' in ' + bins"
    " + (bins > 1 ? ' bins' : ' bin') + ' of ' + edges + ', ' + now.length"
    " + ' not empty: mean confidence '"
    " + format(said, '.3f') + ', accuracy ' + format(right, '.3f') + ', calibration error '"
    " + format(error, '.4f') + '. A calibrated model with these confidences would get '"
    " + format(known.mean[bins - 1], '.4f') + ' on average, and more than '"
    " + format(known.high[bins - 1], '.4f') + ' once in twenty times.'"
)


def reliability(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    bins: int = 15,
    draws: int = 400,
    seed: int = 0,
    title: str = "Top-label calibration",
) -> LiveFigure:
    """Accuracy over confidence in bins, and the calibration error over the number of bins.

    Parameters
    ----------
    logits : floating (N, K), N >= 320. Fewer rows are the first eighth, quarter or half of them.
    target : integer labels (N,).
    bins : of the first state, 1 to 40, default 15.
    draws : how many times the labels are drawn anew from the confidences, default 400.
    seed : of the draws, default 0. Torch's global generator is left alone.
    title : what was trained on what, for the caption.

    Raises
    ------
    ValueError for bins or draws out of range, fewer rows, or what `lossviz.analysis.top_label`
    refuses.
    """
    if bins not in range(1, MOST + 1):
        raise ValueError(f"bins must be an int in [1, {MOST}], got {bins!r}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws!r}")
    if logits.ndim != 2 or len(logits) < 8 * MOST:
        raise ValueError(
            f"logits must be (N, K) with at least {8 * MOST} rows, got {tuple(logits.shape)}"
        )
    wide = logits.double()
    each = [top_label(wide / t, target, kind="logits") for t in TEMPERATURES]
    correct = each[0].correct  # the order of the classes is the same at every temperature
    confidences = [cell.confidence.round(decimals=DIGITS) for cell in each]
    sizes = [len(wide) // parts for parts in (8, 4, 2, 1)]
    generator = torch.Generator().manual_seed(seed)
    curves = {
        str(number): [_curves(c[:size], correct[:size], draws, generator) for size in sizes]
        for number, c in enumerate(confidences)
    }
    controls = (
        Slider("bins", "bins", 1, MOST, 1, bins, "only averages", "each bin is noise"),
        Choice("edges", "edges of the bins", RULES, RULES[0]),
        Slider(
            "rows", "examples", 0, 3, 1, 3, f"{sizes[0]:,}", f"{sizes[-1]:,}",
            shows="format(sizes[rows], ',')",
        ),
        Slider(
            "temperature", "temperature", -1, 2, 0.5, 0, "1/2: more confident", "4: less confident",
            shows="format(pow(2, temperature), '.2~f')",
        ),
    )  # fmt: skip
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("reliability diagram", "error over bins"),
        signals=[
            {"name": "sizes", "value": sizes},
            {"name": "confidences", "value": [c.tolist() for c in confidences]},
            {"name": "hits", "value": correct.int().tolist()},
            {"name": "curves", "value": curves},
            signal("size", "sizes[rows]"),
            signal("chosen", "round(2 * temperature) + 2"),
            signal("known", "curves[chosen][rows][edges]"),
            signal("least", "floor(size / bins)"),
            signal("longer", "(size % bins) * (least + 1)"),
            signal("now", "data('bins')"),
            signal("error", "data('total')[0].error"),
            signal("said", "data('total')[0].confidence / size"),
            signal("right", "data('total')[0].correct / size"),
            signal("most", "1.05 * max(extent(known.measured)[1], extent(known.high)[1])"),
        ],
        readout=READOUT,
        data=[*_binned(len(wide)), _over_bins()],
        alt=(
            f"{title}. Left, the accuracy of each of {bins} bins over its mean confidence, with a "
            "line from each dot to the diagonal. Right, the calibration error over the number of "
            "bins, above that of a calibrated model with the same confidences, which grows with "
            "the bins."
        ),
        caption=(
            f"{title}. Left: a dot for each bin, larger for more examples; a line is its gap, and "
            "the calibration error is the mean length of these lines over the examples. Right: "
            f"that error for every number of bins, and what it would be if each confidence were "
            f"the chance of being right ({draws} draws)."
        ),
    )


def _curves(
    confidence: torch.Tensor, correct: torch.Tensor, draws: int, generator: torch.Generator
) -> dict[str, dict[str, list[float]]]:
    """For each rule: the errors over the bins, measured and of calibrated draws, to four digits."""
    chance, order = confidence.sort()
    drawn = torch.rand(draws, len(chance), generator=generator, dtype=chance.dtype) < chance
    residual = torch.cat([chance - correct[order].double()[None], chance - drawn.double()])
    # bins are stretches of the sorted rows, so that prefix sums serve them all
    prefix = torch.nn.functional.pad(residual.cumsum(1), (1, 0))
    found = {}
    for name in RULES:
        errors = []
        for count in range(1, MOST + 1):
            edges = (
                equal_mass(chance, count) if name == "equal mass" else equal_width(count, chance)
            )
            inner = torch.searchsorted(chance, edges, right=True)
            ends = torch.nn.functional.pad(inner, (1, 1))
            ends[-1] = len(chance)
            errors.append(prefix[:, ends].diff(dim=1).abs().sum(1) / len(chance))
        all_errors = torch.stack(errors)
        null = all_errors[:, 1:]
        kept = {"measured": all_errors[:, 0], "mean": null.mean(1), "high": null.quantile(0.95, 1)}
        found[name] = {key: values.round(decimals=4).tolist() for key, values in kept.items()}
    return found


def _binned(count: int) -> list[dict[str, Any]]:
    """Rows with their bins, closed on the right; sums in each bin; sums of them all."""
    width = "max(0, ceil(datum.confidence * bins - 1e-9) - 1)"
    mass = (
        "datum.rank <= longer ? floor((datum.rank - 1) / (least + 1))"
        " : size % bins + floor((datum.rank - 1 - longer) / least)"
    )
    return [
        table(
            "rows",
            count,
            {"type": "filter", "expr": "datum.index < size"},
            formula("confidence", "confidences[chosen][datum.index]"),
            formula("correct", "hits[datum.index]"),
            # equal confidences share the rank of their first, hence a bin
            {"type": "window", "ops": ["rank"], "as": ["rank"], "sort": {"field": "confidence"}},
            formula("bin", f"edges === 'equal width' ? {width} : {mass}"),
        ),
        {
            "name": "bins",
            "source": "rows",
            "transform": [
                {
                    "type": "aggregate",
                    "groupby": ["bin"],
                    "ops": ["count", "sum", "sum"],
                    "fields": [None, "confidence", "correct"],
                    "as": ["rows", "confidence", "correct"],
                },
                formula("said", "datum.confidence / datum.rows"),
                formula("right", "datum.correct / datum.rows"),
                formula("gap", "abs(datum.confidence - datum.correct) / size"),
            ],
        },
        {
            "name": "total",
            "source": "bins",
            "transform": [
                {
                    "type": "aggregate",
                    "ops": ["sum", "sum", "sum"],
                    "fields": ["gap", "confidence", "correct"],
                    "as": ["error", "confidence", "correct"],
                }
            ],
        },
    ]


def _over_bins() -> dict[str, Any]:
    kinds = (formula(kind, f"known.{kind}[datum.index]") for kind in ("measured", "mean", "high"))
    return table("over_bins", MOST, formula("count", "datum.index + 1"), *kinds)


def _plots() -> tuple[Plot, Plot]:
    probability = "[-0.04, 1.06]"
    gap = rule(("datum.said", "datum.said"), ("datum.said", "datum.right"), "subject", 1.5)
    diagram = [
        rule(("0", "1"), ("0", "1"), "path", 1.5),
        {**gap, "from": {"data": "bins"}},
        symbols(
            "bins",
            "datum.said",
            "datum.right",
            size="20 + 300 * datum.rows / size",
            fill="subject",
            fillOpacity=0.75,
            stroke="surface",
        ),
    ]
    errors = [
        line("over_bins", "datum.count", "datum.high", "path", 1, strokeDash={"value": [4, 3]}),
        line("over_bins", "datum.count", "datum.mean", "path"),
        line("over_bins", "datum.count", "datum.measured", "subject"),
        rule(("bins", "bins"), ("0", "most"), "muted", 1),
    ]
    return (
        (axis("mean confidence", probability), axis("accuracy", probability), diagram),
        (
            axis("number of bins", f"[0, {MOST + 1}]"),
            axis("calibration error", "[0, most]"),
            errors,
        ),
    )
