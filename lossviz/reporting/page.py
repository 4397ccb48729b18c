"""The page of a report: one file of HTML that asks nothing of a network, whatever the rows."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy
import torch

from .calibrators import FLOOR, FOLDS, code_to_apply
from .drawing import LEFT, SIZE, STRIP, TOP, axis_end, histograms, reliability, risk_curve
from .inputs import ANSWERS
from .rows import BINS
from .summary import DRAWS, FEW_DRAWS, FINE, TEMPERATURES, Summary

CLASSES = 1000
"""Classes in the table of classes, worst first; with more the page would grow."""
BIN_CHOICES = [bins for bins in (5, 10, 15, 20, 30, 60) if FINE % bins == 0]
NOT = (
    "Accuracy is that of these rows; on other data it may be another.",
    "A calibration error of 0 does not make a model good: always answering with the class "
    "frequencies has it too. It looks at one probability per row (top label) or per class.",
    f"The error in {BINS} bins depends on the bins and is above 0 for a calibrated model, more so "
    "with few rows; its resamples are biased upwards once more, so compare it with what a "
    "calibrated model would get, not with 0.",
    "The classwise error shrinks with the number of classes, because most probabilities are near "
    "0: do not compare it between data sets.",
    "The smooth error needs no bins, but it is another number than the binned one; its interval "
    "keeps the bandwidth that all rows gave.",
    "Brier and log score mix calibration with how well classes are told apart: a lower one need "
    "not be better calibrated.",
    "Gains of calibrators are measured on rows like these; on shifted data they may be lost.",
    "Risk against coverage says what happens where the model may refuse to answer; its thresholds "
    "were chosen on these rows.",
)


def page(summary: Summary) -> str:
    """The HTML of a summary."""
    about = summary.about
    title = f"Can {about['file']} be trusted?"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(in_words(summary))}</p>',
        _suspicions(summary),
        _scores(summary),
        _against(summary),
        _figures(summary),
        _calibrators(summary),
        _classes(summary),
        _groups(summary),
        f"<section><h2>What each number is not</h2>{_list(NOT)}</section>",
        _origin(summary),
    ]
    data = {
        "frame": {"left": LEFT, "top": TOP, "size": SIZE, "strip": STRIP},
        "bins": BINS,
        "temperatures": TEMPERATURES,
        "live": summary.live,
        "curve": summary.curve,
        "most": axis_end(max(summary.curve["risk"])),
    }
    held = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    text = {name: files(__package__).joinpath(name).read_text("utf-8") for name in
            ("page.css", "page.js")}  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{text['page.css']}</style></head>\n"
        f"<body><main>{''.join(parts)}</main>\n"
        f'<script type="application/json" id="data">{held}</script>\n'
        f"<script>{text['page.js']}</script></body></html>\n"
    )


def in_words(summary: Summary) -> str:
    """What the numbers say, in a few sentences."""
    about, scores = summary.about, summary.scores
    accuracy, error = scores["accuracy"], scores["ece"]
    gap = about["mean confidence"] - accuracy.value
    way = "more" if gap > 0 else "less"
    chance = error.null["p_value"]
    verdict = (
        f"The calibration error of {error.value:.3f} is {'' if chance < 0.05 else 'no '}more than "
        f"chance would give a calibrated model ({error.null['mean']:.3f} on average, "
        f"p = {chance:.2g})."
    )
    best = summary.calibrators.best
    gain = (
        f"Of the calibrators tried, {best.title} helps most: it lowers the held-out log score by "
        f"{best.gain:.3f} nats per row."
        if best
        else "No calibrator tried lowers the held-out log score by more than chance."
    )
    answers = about["kind"] == ANSWERS
    what = f"{about['rows']:,} {'answers' if answers else 'rows'}"
    of = "" if answers else f", of {about['classes']:,} classes"
    coverage, risk = summary.curve["coverage"], summary.curve["risk"]
    half = min(range(len(coverage)), key=lambda at: abs(coverage[at] - 0.5))
    return (
        f"{_percent(accuracy.value)} of {what} are right (95 % interval "
        f"{_percent(accuracy.low)} to {_percent(accuracy.high)}){of}. "
        f"The mean confidence is {_percent(about['mean confidence'])}, "
        f"{100 * abs(gap):.1f} points {way} than the accuracy. {verdict} {gain} "
        f"If only the surest half of the rows were answered, {_percent(risk[half])} of the answers "
        f"would be wrong instead of {_percent(risk[-1])}."
    )


def _suspicions(summary: Summary) -> str:
    if not summary.suspicions:
        return ""
    return (
        '<section class="suspicions" aria-labelledby="suspicions"><h2 id="suspicions">'
        f"Is the file what it was said to be?</h2>{_list(summary.suspicions)}</section>"
    )


def _scores(summary: Summary) -> str:
    lines = [
        [
            escape(one.title), _number(one.value), f"{_number(one.low)} to {_number(one.high)}",
            f"{_number(one.null['low'])} to {_number(one.null['high'])}" if one.null else "",
            f"{one.null['p_value']:.2g}" if one.null else "", f"{one.rows:,}", escape(one.verdict),
        ]
        for one in summary.scores.values()
    ]  # fmt: skip
    head = ("score", "value", "95 % interval", "calibrated model", "p", "rows of interval",
            "verdict")  # fmt: skip
    note = (
        "Values are of all rows. Intervals of accuracies are Clopper and Pearson's, others are "
        f"bootstrap percentiles ({DRAWS} resamples, {FEW_DRAWS} of the classwise and the smooth "
        "error and of the last two), of as many rows as the table says, drawn with the seed below."
    )
    return f"<section><h2>Scores</h2>{_table('Scores', head, lines, note)}</section>"


def _against(summary: Summary) -> str:
    if not summary.against:
        return ""
    changes = {k: v for k, v in summary.against["scores"].items() if k != "rows"}
    lines = [
        [
            escape(summary.scores[key].title), _number(change["value"]),
            f"{_number(change['low'])} to {_number(change['high'])}",
            "no difference beyond chance" if change["low"] <= 0 <= change["high"] else
            "better" if (change["value"] > 0) == (key == "accuracy") else "worse",
        ]
        for key, change in changes.items()
    ]  # fmt: skip
    note = (
        f"{summary.against['file']} minus {summary.about['file']}, row by row: both are resampled "
        f"together, {DRAWS} times, on {summary.against['scores']['rows']:,} rows."
    )
    head = ("score", "difference", "95 % interval", "verdict")
    title = f"Against {summary.against['file']}"
    return f"<section><h2>{escape(title)}</h2>{_table(title, head, lines, note)}</section>"


def _figures(summary: Summary) -> str:
    bins = summary.reliability
    drawn = reliability(
        bins, f"Accuracy against confidence in {BINS} bins; the numbers are in the table below"
    )
    choices = "".join(
        f"<option{' selected' if bins == BINS else ''}>{bins}</option>" for bins in BIN_CHOICES
    )
    choices += f'<option value="mass">{BINS} of equal rows</option>'
    even = TEMPERATURES.index(1.0)
    rows = [
        [f"{b / BINS:.3f} to {(b + 1) / BINS:.3f}", f"{count:,}", _number(bins["confidence"][b]),
         _number(bins["accuracy"][b]), f"{_number(bins['low'][b])} to {_number(bins['high'][b])}"]
        for b, count in enumerate(bins["rows"])
    ]  # fmt: skip
    table = _table(
        "Bins", ("bin", "rows", "mean confidence", "accuracy", "95 % interval"), rows,
        "Bins are open on the left and closed on the right.",
    )  # fmt: skip
    last = len(summary.curve["risk"]) - 1
    sampled, temperature = summary.about["sampled rows"], summary.calibrators.temperature
    fitted = f" The temperature of least log score is {temperature:.2f}." if temperature else ""
    return f"""<section><h2>Confidence</h2><div class="figures">
<figure id="reliability">{drawn}
<div class="control"><label for="temperature">temperature</label><input id="temperature"
 name="temperature" type="range" min="0" max="{len(TEMPERATURES) - 1}" value="{even}"></div>
<div class="control"><label for="bins">bins</label><select id="bins" name="bins">{choices}</select>
<output></output></div>
<figcaption>Accuracy (bars) and its distance to the mean confidence in each bin, with the number of
rows; lines are exact 95 % intervals, of the predictions as they are; below, how many rows each bin
holds. Other temperatures are of {sampled:,} rows.{fitted}</figcaption></figure>
<figure>{histograms(summary.confidence, "Confidence where the model was right and where wrong")}
<figcaption>How sure the model was where it was right, upwards, and where it was wrong, downwards;
each to its own scale.</figcaption></figure>
<figure id="coverage">{risk_curve(summary.curve, "Error rate against the share of rows answered")}
<div class="control"><label for="point">operating point</label><input id="point" type="range"
 min="0" max="{last}" value="{last}"><output></output></div>
<figcaption>The error rate if only the surest rows are answered.</figcaption></figure>
</div><details><summary>The numbers of the diagram</summary>{table}</details></section>"""


def _calibrators(summary: Summary) -> str:
    compared = summary.calibrators
    lines = [
        [
            escape(one.title), _number(one.gain),
            f"{_number(one.low)} to {_number(one.high)}" if not one.failure else "",
            _number(one.ece), _number(one.accuracy),
            escape(one.failure) or ("helps" if one.low > 0 else "harms" if one.high < 0 else
                                    "no gain beyond chance"),
        ]
        for one in compared.gains
    ]  # fmt: skip
    note = (
        f"Each was fitted {FOLDS} times on four fifths of {compared.rows:,} rows and judged on the "
        f"rest. Gain: how much lower the log score is, nats per row. Before, the calibration error "
        f"of these rows is {_number(compared.ece)}. All but the temperature may change which class "
        "is most likely. Per-class calibrators have 1/n added to each "
        f"probability; probabilities are kept {FLOOR:g} away from 0."
    )
    head = (
        "calibrator",
        "gain",
        "95 % interval",
        "calibration error after",
        "accuracy after",
        "verdict",
    )
    apply = (
        "<p>To apply the best one, fit it on held-out rows and use it on new ones:</p>"
        f'<pre tabindex="0">{escape(code_to_apply(compared.best, summary.about["kind"]))}</pre>'
        if compared.best
        else "<p>None is worth applying to these predictions.</p>"
    )
    return (
        f"<section><h2>Calibrators</h2>{_table('Calibrators', head, lines, note)}{apply}</section>"
    )


def _classes(summary: Summary) -> str:
    if summary.about["kind"] == ANSWERS:  # right and wrong are not classes to choose from
        return ""
    lines = [
        [
            escape(one.name[:60]), f"{one.rows:,}", _number(one.recall),
            f"{one.low:.3f} to {one.high:.3f}", _number(one.precision),
            _number(one.mean_probability), _number(one.mean_probability - one.frequency),
            _number(one.ece),
        ]
        for one in summary.classes[:CLASSES]
    ]  # fmt: skip
    keys = [
        ["", one.rows, one.recall, one.low, one.precision, one.mean_probability,
         one.mean_probability - one.frequency, one.ece]
        for one in summary.classes[:CLASSES]
    ]  # fmt: skip
    head = ("class", "rows", "right (recall)", "95 % interval", "precision", "mean probability",
            "over its frequency", "calibration error")  # fmt: skip
    note = (
        "Worst recall first; a heading sorts. The calibration error is that of the class's "
        f"probability in {BINS} bins."
    )
    if len(summary.classes) > CLASSES:
        note += f" The worst {CLASSES:,} of {len(summary.classes):,} classes."
    return f"<section><h2>Classes</h2>{_table('Classes', head, lines, note, keys)}</section>"


def _groups(summary: Summary) -> str:
    if not summary.groups:
        return ""
    shown = summary.groups[:CLASSES]
    lines = [
        [
            escape(one.name[:60]), f"{one.rows:,}", _number(one.accuracy),
            f"{one.low:.3f} to {one.high:.3f}", _number(one.mean_confidence), _number(one.ece),
            _number(one.calibrated), f"{one.p_value:.2g}",
        ]
        for one in shown
    ]  # fmt: skip
    keys = [
        ["", one.rows, one.accuracy, one.low, one.mean_confidence, one.ece, one.calibrated,
         one.p_value]
        for one in shown
    ]  # fmt: skip
    head = ("group", "rows", "accuracy", "95 % interval", "mean confidence", "calibration error",
            "calibrated model", "p")  # fmt: skip
    note = (
        "Least accurate first; a heading sorts. Of many groups, one in twenty has p below 0.05 by "
        f"chance alone. The last two columns are of {FEW_DRAWS} draws."
    )
    return f"<section><h2>Groups</h2>{_table('Groups', head, lines, note, keys)}</section>"


def _origin(summary: Summary) -> str:
    about = dict(summary.about)
    about["mean confidence"] = _number(about["mean confidence"])
    if summary.against:
        about |= {"against": summary.against["file"], "its sha256": summary.against["sha256"]}
    about |= {
        "bins": f"{BINS} of equal width, edges k/{BINS}, closed on the right",
        "confidence": "that the answer is right" if about["kind"] == ANSWERS
        else "the probability of the most likely class; of equal classes the first",
        "lossviz": version("lossviz"), "torch": torch.__version__, "numpy": numpy.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    lines = "".join(
        f"<dt>{key}</dt><dd>{escape(f'{value:,}' if isinstance(value, int) else value)}</dd>"
        for key, value in about.items()
        if value != ""
    )
    return f"<section><h2>Where it comes from</h2><dl>{lines}</dl></section>"


def _table(
    name: str,
    head: Sequence[str],
    lines: Iterable[Sequence[str]],
    note: str,
    keys: Sequence[Sequence[Any]] = (),
) -> str:
    """A table in a box that scrolls; with `keys` its headings sort by them."""
    words = {at for at, name in enumerate(head) if name == "verdict"}

    def cell(line: int, at: int, text: str) -> str:
        if at == 0:
            return f'<th scope="row">{text}</th>'
        key = f' data-value="{_key(keys[line][at])}"' if keys else ""
        return f"<td{' class=words' if at in words else ''}{key}>{text}</td>"

    top = "".join(
        f'<th scope="col"{" class=words" if at in words else ""}>'
        + (f'<button type="button">{name}</button>' if keys else name)
        + "</th>"
        for at, name in enumerate(head)
    )
    body = "".join(
        f"<tr>{''.join(cell(line, at, text) for at, text in enumerate(texts))}</tr>\n"
        for line, texts in enumerate(lines)
    )
    return (
        f'<p class="muted">{escape(note)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
        f"<table{' class=sortable' if keys else ''}><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _key(value: float) -> str:
    return "-1" if math.isnan(value) else f"{value:.6g}"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if math.isfinite(value) else "∞" if value > 0 else "−∞"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
