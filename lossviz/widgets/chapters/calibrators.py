"""Live figure: what calibrators make of the same predictions, as the images move away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...analysis import equal_width, sums_in_bins, top_label
from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import GRID, axis, line, rule, symbols

DIGITS = 10
READOUT = (
    "upper(slice(shift, 0, 1)) + slice(shift, 1) + ' ' + strength_text + ', ' + calibrator"
    " + ': accuracy ' + format(now.accuracy, '.3f') + ', mean confidence '"
    " + format(now.said, '.3f') + ', calibration error ' + format(now.error, '.3f')"
    " + ', log score ' + format(now.score, '.3f') + ' nats'"
    " + (calibrator === first ? '.' : '; ' + first + ', mean confidence '"
    " + format(before.said, '.3f') + ' and log score ' + format(before.score, '.3f') + '.')"
)


def calibrators(
    logits: Mapping[str, torch.Tensor],
    target: torch.Tensor,
    *,
    shifts: Mapping[str, Sequence[str]],
    bins: int = 10,
    calibrator: str | None = None,
    strength: int = 0,
    title: str = "The same predictions, calibrated",
) -> LiveFigure:
    """The reliability diagram and the log score of each calibrator on shifted copies of images.

    Parameters
    ----------
    logits : for each calibrator floating (S, L, N, K): S kinds of shift, L >= 2 strengths of each,
        N images; log-probabilities will do. The first calibrator is drawn beside each other one:
        what the model said.
    target : integer labels (N,).
    shifts : for each of the S kinds what its L strengths are called.
    bins : of equal width, at least 1, default 10.
    calibrator, strength : of the first state, default the last calibrator and 0.
    title : what was trained on what, for the caption.

    Raises
    ------
    ValueError for other shapes, an unknown calibrator or strength, an infinite log score, or what
    `lossviz.analysis.top_label` refuses.
    """
    names, kinds = list(logits), list(shifts)
    calibrator = names[-1] if calibrator is None else calibrator
    levels = len(shifts[kinds[0]])
    if calibrator not in names:
        raise ValueError(f"calibrator must be one of {names}, got {calibrator!r}")
    if strength not in range(levels):
        raise ValueError(f"strength must be an int in [0, {levels - 1}], got {strength!r}")
    for name, z in logits.items():
        if z.shape[:-1] != (len(kinds), levels, len(target)):
            raise ValueError(
                f"logits of {name!r} must have shape ({len(kinds)}, {levels}, "
                f"{len(target)}, K), got {tuple(z.shape)}"
            )
    cells = {
        name: {
            kind: [_cell(name, each, target, bins) for each in of_kind]
            for kind, of_kind in zip(kinds, z, strict=True)
        }
        for name, z in logits.items()
    }
    controls = (
        Choice("calibrator", "calibrator", tuple(names), calibrator),
        Choice("shift", "shift of the images", tuple(kinds), kinds[0]),
        Slider(
            "strength", "strength of the shift", 0, levels - 1, 1, strength,
            "as they are", "far away", shows="texts[shift][strength]",
        ),
    )  # fmt: skip
    return two_plots(
        controls,
        (("calibrator", "subject"), ("calibrator === first ? '' : first", "path")),
        _plots(levels),
        panes=("reliability diagram", "log score"),
        signals=[
            {"name": "first", "value": names[0]},
            {"name": "texts", "value": {kind: list(each) for kind, each in shifts.items()}},
            {"name": "cells", "value": cells},
            signal("here", "cells[calibrator][shift]"),
            signal("there", "cells[first][shift]"),
            signal("now", "here[strength]"),
            signal("before", "there[strength]"),
            signal("size", f"{len(target)}"),
        ],
        readout=READOUT,
        data=[
            _bins("bins", "now", bins),
            _bins("bins_before", "before", bins),
            table(
                "scores",
                levels,
                formula("score", "here[datum.index].score"),
                formula("before", "there[datum.index].score"),
            ),
            table("place", 1),
        ],
        alt=(
            f"{title}. Left, the accuracy of each of {bins} bins over its mean confidence after "
            f"{calibrator}, with a line from each dot to the diagonal. Right, the log score over "
            "the strength of the shift, which rises, and that of the model as it was."
        ),
        caption=(
            f"{title}. Left: a dot for each bin of confidence, larger for more images, and its "
            "distance from the diagonal; rings are the model as it was. Right: the log score on "
            "copies that are shifted more and more; lower is better."
        ),
    )


def _cell(name: str, z: torch.Tensor, target: torch.Tensor, bins: int) -> dict[str, Any]:
    """Scores and sums in bins of logits (N, K), to ten decimals."""
    confidence, correct = top_label(z, target, kind="logits")
    score = torch.nn.functional.cross_entropy(z.double(), target)
    if not score.isfinite():
        raise ValueError(f"the log score of {name!r} must be finite: a label has probability 0")
    sums = sums_in_bins(confidence, correct, equal_width(bins, confidence))
    gap = (sums.confidence - sums.correct).abs().sum() / len(target)
    columns = {"rows": sums.rows, "said": sums.confidence, "right": sums.correct}
    return {
        "accuracy": _plain(correct.double().mean()),
        "said": _plain(confidence.mean()),
        "error": _plain(gap),
        "score": _plain(score),
        "bins": {key: _plain(value) for key, value in columns.items()},
    }


def _plain(value: torch.Tensor) -> Any:
    return value.double().round(decimals=DIGITS).tolist()


def _bins(name: str, cell: str, bins: int) -> dict[str, Any]:
    """The bins of a cell that hold rows, with mean confidence and accuracy."""
    return table(
        name,
        bins,
        formula("rows", f"{cell}.bins.rows[datum.index]"),
        {"type": "filter", "expr": "datum.rows > 0"},
        formula("said", f"{cell}.bins.said[datum.index] / datum.rows"),
        formula("right", f"{cell}.bins.right[datum.index] / datum.rows"),
    )


def _plots(levels: int) -> tuple[Plot, Plot]:
    probability = "[-0.04, 1.06]"
    size = "20 + 300 * datum.rows / size"
    gap = rule(("datum.said", "datum.said"), ("datum.said", "datum.right"), "subject", 1.5)
    diagram = [
        rule(("0", "1"), ("0", "1"), "muted", 1.5),
        symbols(
            "bins_before", "datum.said", "datum.right", size=size, stroke="path", strokeWidth=1.5,
            opacity={"signal": "calibrator === first ? 0 : 1"},
        ),
        {**gap, "from": {"data": "bins"}},
        symbols(
            "bins", "datum.said", "datum.right", size=size, fill="subject", fillOpacity=0.75,
            stroke="surface",
        ),
    ]  # fmt: skip
    most = "1.08 * max(extent(pluck(here, 'score'))[1], extent(pluck(there, 'score'))[1])"
    at_now = ("strength", "now.score")
    scores = [
        line("scores", "datum.index", "datum.before", "path"),
        line("scores", "datum.index", "datum.score", "subject"),
        rule((at_now[0], at_now[0]), ("0", at_now[1]), "muted", 1),
        symbols("place", *at_now, size=90, fill="subject", stroke="surface"),
    ]
    texts = {"labels": {"update": {"text": {"signal": "texts[shift][datum.value]"}}}}
    ticks = {"values": list(range(levels)), "grid": True, "encode": texts}
    return (
        (axis("mean confidence", probability), axis("accuracy", probability), diagram),
        (
            axis({"signal": "shift"}, f"[-0.15, {levels - 0.85}]", look=ticks),
            axis("log score (nats)", f"[0, {most}]", look=GRID),
            scores,
        ),
    )
