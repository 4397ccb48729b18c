"""The numbers of a report: scores with their intervals, classes, curves, suspicions, comparisons.

Whatever has a name in `lossviz.analysis` is computed there. Rates use all rows; what needs many
passes over the rows is computed on a seeded sample, whose size goes with the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch

from ..analysis import (
    area_under_risk_coverage,
    auroc,
    bootstrap,
    calibrated_null,
    class_probabilities,
    classwise_ece,
    clopper_pearson,
    ece,
    equal_mass,
    equal_width,
    every_class,
    risk_coverage,
    smooth_ece,
    sums_in_bins,
)
from ..analysis.binned import even_places
from .arrays import InputError
from .calibrators import Comparison, compare
from .inputs import IGNORED, Predictions
from .rows import BINS, Rows, answered, as_logits, draw
from .suspicions import suspicions

DRAWS, FEW_DRAWS = 500, 100
"""Resamples of what is cheap, and of the classwise and the smooth error."""
SMOOTH_ROWS = 5_000
CLASSWISE = 2**19
"""The classwise error is resampled on as many rows as hold so many numbers, at most."""
FINE = 60  # divisible by 5, 10, 12, 15, 20 and 30
TEMPERATURES = tuple(2 ** (step / 10) for step in range(-20, 21))
CURVE = 200


@dataclass(frozen=True)
class Score:
    """A number of all rows, its 95 % interval, and what it is to be compared with.

    The interval and the `null` (a perfectly calibrated model with the same confidences: its mean,
    the middle 95 %, the chance of an error as large) are of `rows` rows.
    """

    title: str
    value: float
    low: float
    high: float
    rows: int
    verdict: str
    null: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassRow:
    """One class: rows with its label, how many of them are right, and its calibration."""

    name: str
    rows: int
    recall: float
    low: float
    high: float
    precision: float
    mean_probability: float
    frequency: float
    ece: float


@dataclass(frozen=True)
class Group:
    """A group of rows: how many are right, how sure the model is, and whether that is chance."""

    name: str
    rows: int
    accuracy: float
    low: float
    high: float
    mean_confidence: float
    ece: float
    calibrated: float
    p_value: float


@dataclass(frozen=True)
class Summary:
    """Everything that the page and the JSON file say."""

    about: dict[str, Any]
    scores: dict[str, Score]
    suspicions: tuple[str, ...]
    classes: tuple[ClassRow, ...]
    groups: tuple[Group, ...]
    reliability: dict[str, list[float]]
    live: list[dict[str, list[list[float]]]]
    confidence: dict[str, list[int]]
    curve: dict[str, list[float]]
    calibrators: Comparison
    against: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values; numbers that JSON does not know are null."""
        found = asdict(self)
        del found["live"]
        return _plain(found)


def summarise(predictions: Predictions, rows: Rows, seed: int = 0) -> Summary:
    """All numbers of one set of predictions, of the rows that were passed over."""
    count = len(rows.label)
    y = rows.label[rows.drawn]
    comparison = compare(rows.sample, y, predictions.kind, seed, predictions.event)
    scores = {**_rates(rows, predictions), **_calibration(predictions, rows, seed),
              **_proper(rows, seed), **_ranking(rows, seed)}  # fmt: skip
    about = {
        "file": predictions.name, "sha256": predictions.digest, "rows": count,
        "ignored rows": len(predictions.target) - count, "classes": predictions.classes,
        "kind": predictions.given, "seed": seed, "sampled rows": len(rows.sample),
        "mean confidence": float(rows.confidence.mean()), **predictions.notes,
    }  # fmt: skip
    return Summary(
        about, scores, suspicions(predictions, rows), _classes(predictions, rows),
        _groups(predictions, rows, seed), _reliability(rows), _live(predictions, rows),
        _histograms(rows), _curve(rows), comparison, against={},
    )  # fmt: skip


def difference(first: Rows, second: Rows, seed: int = 0) -> dict[str, Any]:
    """Scores of the second file minus those of the first, with paired intervals.

    Raises `InputError` unless both have the same labels in the same order.
    """
    if not torch.equal(first.label, second.label):
        raise InputError(
            f"the two files must hold the same rows in the same order to be compared: "
            f"{len(first.label)} and {len(second.label)} rows, and their labels differ"
        )
    at = draw(len(first.label), 100_000, seed)

    def change(statistic: Callable[..., torch.Tensor], *names: str) -> dict[str, float]:
        one, other = ([getattr(rows, name) for name in names] for rows in (first, second))

        def of_both(*both: torch.Tensor) -> torch.Tensor:
            return statistic(*both[len(names) :]) - statistic(*both[: len(names)])

        drawn = bootstrap(of_both, *(t[at] for t in (*one, *other)), repeats=DRAWS, seed=seed)
        value = float(of_both(*one, *other))
        return {"value": value, "low": float(drawn.low), "high": float(drawn.high)}

    return {
        "accuracy": change(_mean, "correct"),
        "ece": change(partial(ece, bins=BINS), "confidence", "correct"),
        "brier_score": change(_mean, "brier_rows"),
        "log_score": change(_mean, "log_rows"),
        "rows": len(at),
    }


def _mean(rows: torch.Tensor) -> torch.Tensor:
    return rows.double().mean()


def _rates(rows: Rows, predictions: Predictions) -> dict[str, Score]:
    count = torch.tensor([len(rows.label)])
    base = float(torch.bincount(rows.label).max() / count)
    found = {}
    for key, title, hit in (
        ("accuracy", "Accuracy", rows.correct),
        ("top5_accuracy", "Label among the five most likely", rows.among_five),
    ):
        if key != "accuracy" and predictions.classes <= 5:
            continue
        low, high = map(float, clopper_pearson(hit.sum()[None], count))
        said = key == "accuracy" and not predictions.event
        verdict = f"the commonest class alone would be right in {base:.1%}" if said else ""
        found[key] = Score(title, float(_mean(hit)), low, high, int(count), verdict)
    return found


def _calibration(predictions: Predictions, rows: Rows, seed: int) -> dict[str, Score]:
    c, a = rows.confidence, rows.correct
    some = draw(len(c), 100_000, seed)
    few = draw(len(c), SMOOTH_ROWS, seed)
    whole = draw(len(rows.sample), max(1, CLASSWISE // predictions.classes), seed)
    y = rows.label[rows.drawn[whole]]
    p, hit = every_class(rows.sample[whole], y, kind=predictions.kind)
    p = p.clamp_max(1)
    width = float(smooth_ece(c, a))
    smooth = partial(smooth_ece, bandwidth=max(width, 1e-3))

    place = even_places(BINS, p)(p) + BINS * torch.arange(predictions.classes)

    def each_class(chances: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The classwise error where the truths of classes are drawn apart, so none is a label."""
        gaps = torch.bincount(place.flatten(), (chances - truth.double()).flatten())
        return gaps.abs().sum() / truth.numel()

    def of_labels(chances: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return classwise_ece(chances, label, bins=BINS)

    def score(
        title: str, value: float, statistic: Callable[..., torch.Tensor], draws: int,
        tensors: tuple[torch.Tensor, torch.Tensor], pair: tuple[torch.Tensor, torch.Tensor],
        null: Callable[..., torch.Tensor],
    ) -> Score:  # fmt: skip
        _, low, high = bootstrap(statistic, *tensors, repeats=draws, seed=seed)
        chance = calibrated_null(null, *pair, repeats=draws, seed=seed)
        verdict = (
            f"{'' if chance.p_value < 0.05 else 'no '}more than chance: a calibrated model would "
            f"get {float(chance.mean):.4f}"
        )
        kept = {name: float(x) for name, x in chance._asdict().items() if name != "value"}
        return Score(title, value, float(low), float(high), len(pair[0]), verdict, kept)

    of_some, of_few = (c[some], a[some]), (c[few], a[few])
    plain = partial(ece, bins=BINS)
    return {
        "ece": score(f"Expected calibration error, {BINS} bins", float(plain(c, a)), plain, DRAWS,
                     of_some, of_some, plain),
        "classwise_ece": score(f"Classwise calibration error, {BINS} bins", rows.classwise,
                               of_labels, FEW_DRAWS, (p, y), (p, hit), each_class),
        "smooth_ece": score("Smooth calibration error", width, smooth, FEW_DRAWS, of_few, of_few,
                            smooth),
    }  # fmt: skip


def _proper(rows: Rows, seed: int) -> dict[str, Score]:
    some = draw(len(rows.label), 100_000, seed)
    base = torch.bincount(rows.label).double() / len(rows.label)
    base = base[base > 0]
    found = {}
    for key, title, value, each, alone in (
        ("brier_score", "Brier score, summed over classes", rows.brier, rows.brier_rows,
         1 - base.square().sum()),
        ("log_score", "Log score, nats", rows.log, rows.log_rows, -(base * base.log()).sum()),
    ):  # fmt: skip
        _, low, high = bootstrap(torch.mean, each[some], repeats=DRAWS, seed=seed)
        verdict = (
            f"{'better' if value < alone else 'no better'} than the class frequencies alone, "
            f"{float(alone):.4f}"
        )
        found[key] = Score(title, value, float(low), float(high), len(some), verdict)
    return found


def _ranking(rows: Rows, seed: int) -> dict[str, Score]:
    some = draw(len(rows.label), SMOOTH_ROWS, seed)
    pair = rows.confidence[some], rows.correct[some]
    found = {}
    for key, title, statistic, verdict in (
        ("aurc", "Area under risk-coverage", area_under_risk_coverage,
         f"a confidence that says nothing would get {1 - float(_mean(rows.correct)):.4f}"),
        ("auroc", "AUROC of right against wrong", auroc, "0.5 says nothing, 1 ranks all mistakes "
         "last"),
    ):  # fmt: skip
        value = float(statistic(rows.confidence, rows.correct))
        low = high = value  # NaN where all are right
        if not math.isnan(value):
            _, low, high = map(float, bootstrap(statistic, *pair, repeats=FEW_DRAWS, seed=seed))
        found[key] = Score(title, value, low, high, len(some), verdict)
    return found


def _classes(predictions: Predictions, rows: Rows) -> tuple[ClassRow, ...]:
    classes, count = predictions.classes, len(rows.label)
    of_label = torch.bincount(rows.label, minlength=classes)
    of_guess = torch.bincount(rows.predicted, minlength=classes)
    right = torch.bincount(rows.label[rows.correct], minlength=classes)
    low, high = clopper_pearson(right, of_label)
    sums = rows.per_class
    gaps = (sums.confidence - sums.correct).abs().sum(-1) / count
    columns = (of_label, right / of_label, low, high, right / of_guess,
               sums.confidence.sum(-1) / count, of_label / count, gaps)  # fmt: skip
    each = [
        ClassRow(name, *values)
        for name, *values in zip(predictions.names, *(t.tolist() for t in columns), strict=True)
    ]
    # worst first; a class without rows has no recall and comes last
    return tuple(sorted(each, key=lambda one: one.recall if one.rows else 2.0))


def _groups(predictions: Predictions, rows: Rows, seed: int) -> tuple[Group, ...]:
    if predictions.group is None:
        return ()
    of_row = predictions.group[predictions.target != IGNORED]
    found = []
    for number, name in enumerate(predictions.groups):
        inside = of_row == number
        c, a = rows.confidence[inside], rows.correct[inside]
        if not len(c):
            continue
        low, high = map(float, clopper_pearson(a.sum()[None], torch.tensor([len(a)])))
        null = calibrated_null(partial(ece, bins=BINS), c, a, repeats=FEW_DRAWS, seed=seed)
        found.append(
            Group(name, len(c), float(_mean(a)), low, high, float(c.mean()), float(null.value),
                  float(null.mean), float(null.p_value))
        )  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.accuracy, one.name)))


def _reliability(rows: Rows) -> dict[str, list[float]]:
    sums = sums_in_bins(rows.confidence, rows.correct, equal_width(BINS, rows.confidence))
    low, high = clopper_pearson(sums.correct, sums.rows)
    return {
        "rows": sums.rows.tolist(), "confidence": (sums.confidence / sums.rows).tolist(),
        "accuracy": (sums.correct / sums.rows).tolist(), "low": low.tolist(), "high": high.tolist(),
    }  # fmt: skip


def _live(predictions: Predictions, rows: Rows) -> list[dict[str, list[list[float]]]]:
    """Of each temperature: edges, rows, confidences and right ones in bins; at 1 of all rows."""
    z = as_logits(rows.sample, predictions.kind)
    tables = []
    for temperature in TEMPERATURES:
        c, a = rows.confidence, rows.correct
        if temperature != 1:
            a = a[rows.drawn]
            p = class_probabilities(z / temperature, kind="logits")
            c = answered(p, predictions.event)[0].clamp(0, 1)
        edges = {"width": equal_width(FINE, c), "mass": equal_mass(c, min(BINS, len(c)))}
        tables.append({rule: _table(c, a, inner) for rule, inner in edges.items()})
    return tables


def _table(c: torch.Tensor, a: torch.Tensor, edges: torch.Tensor) -> list[list[float]]:
    sums = sums_in_bins(c, a, edges)
    rounded = [[round(x, 4) for x in each.tolist()] for each in (edges, sums.confidence)]
    return [rounded[0], sums.rows.tolist(), rounded[1], sums.correct.long().tolist()]


def _histograms(rows: Rows) -> dict[str, list[int]]:
    edges = equal_width(40, rows.confidence)
    sums = sums_in_bins(rows.confidence, rows.correct, edges)
    right = sums.correct.long()
    return {"right": right.tolist(), "wrong": (sums.rows - right).tolist()}


def _curve(rows: Rows) -> dict[str, list[float]]:
    curve = risk_coverage(rows.confidence, rows.correct)
    count = len(rows.label)
    at = torch.linspace(1, count, min(CURVE, count)).round().long() - 1
    sure = rows.confidence.sort(descending=True).values
    return {"coverage": curve.coverage[at].tolist(), "risk": curve.risk[at].tolist(),
            "confidence": sure[at].tolist()}  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
