"""Calibrators compared on rows that they were not fitted on: what is to be gained, and by which."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..analysis import (
    BetaCalibration,
    IsotonicCalibration,
    OneVersusRest,
    StructuredScaling,
    TemperatureScaling,
    Trial,
    VectorScaling,
    compare_calibrators,
    ece,
)
from .inputs import REPORTED
from .rows import BINS, answered, draw

FOLDS = 5
NUMBERS = 2**18
"""Calibrators are fitted on as many rows as hold so many numbers, at most."""
FLOOR = 1e-12
"""Probabilities are kept so far from 0 before their logarithm is taken."""


@dataclass(frozen=True)
class Candidate:
    """A calibrator, the code that makes it, and up to how many classes it is tried."""

    title: str
    code: str
    make: Callable[[], Any]
    most: int


CANDIDATES = (
    Candidate("temperature", "TemperatureScaling()", TemperatureScaling, 10**9),
    Candidate(
        "vector", "VectorScaling(bias_penalty=0.01)", lambda: VectorScaling(bias_penalty=0.01), 200
    ),
    Candidate("structured", "StructuredScaling()", StructuredScaling, 20),
    Candidate(
        "beta, per class", "OneVersusRest(BetaCalibration)",
        lambda: OneVersusRest(BetaCalibration), 20
    ),
    Candidate(
        "isotonic, per class", "OneVersusRest(IsotonicCalibration)",
        lambda: OneVersusRest(IsotonicCalibration), 200
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Gain:
    """How much lower the held-out log score became, nats per row with its interval, or why not."""

    title: str
    code: str
    gain: float
    low: float
    high: float
    ece: float
    accuracy: float
    failure: str = ""


@dataclass(frozen=True)
class Comparison:
    """Gains, best first, of `rows` rows; `best` is the one to apply, if any is above chance."""

    rows: int
    ece: float
    gains: tuple[Gain, ...]
    best: Gain | None
    temperature: float | None


def compare(
    sample: torch.Tensor, label: torch.Tensor, kind: str, seed: int = 0, event: bool = False
) -> Comparison:
    """Cross-fit each calibrator on rows (n, K) of this kind: five folds, each held out once."""
    classes = sample.shape[-1]
    chosen = draw(len(sample), NUMBERS // classes, seed)
    z, y = sample[chosen].double(), label[chosen]
    if kind == "probabilities":
        z = z.clamp_min(FLOOR).log()
    tried = {one.title: one for one in CANDIDATES if classes <= one.most}
    makes = {title: one.make for title, one in tried.items()}
    try:
        trials = compare_calibrators(z, y, makes, folds=FOLDS, repeats=500, seed=seed)
    except ValueError as why:  # too few rows, or infinite logits
        gains = [_without(one, str(why)) for one in tried.values()]
    else:
        gains = [
            _without(tried[title], trial.failure) if trial.failure
            else _with(tried[title], trial, y, event)
            for title, trial in trials.items()
        ]  # fmt: skip
    winner = next((one for one in gains if one.low > 0), None)
    confidence, predicted = answered(z.softmax(-1), event)
    unchanged = float(ece(confidence.clamp(0, 1), predicted == y, bins=BINS))
    return Comparison(len(z), unchanged, tuple(gains), winner, _temperature(z, y))


def _without(candidate: Candidate, failure: str) -> Gain:
    none = torch.nan
    return Gain(candidate.title, candidate.code, none, none, none, none, none, failure)


def _with(candidate: Candidate, trial: Trial, y: torch.Tensor, event: bool) -> Gain:
    confidence, predicted = answered(trial.probabilities, event)
    right = predicted == y
    error = float(ece(confidence.clamp(0, 1), right, bins=BINS))
    gain, low, high = map(float, trial.gain)
    accuracy = float(right.double().mean())
    return Gain(candidate.title, candidate.code, gain, low, high, error, accuracy)


def _temperature(z: torch.Tensor, y: torch.Tensor) -> float | None:
    try:
        return float(TemperatureScaling().fit(z, y).parameters["temperature"])
    except (RuntimeError, ValueError):
        return None


def code_to_apply(best: Gain, kind: str) -> str:
    """The lines that fit the calibrator on held-out rows and apply it to new ones."""
    names = sorted(re.findall(r"[A-Z]\w+", best.code))
    binary = kind in REPORTED[3:]
    chances = binary or kind == "probabilities"
    if "OneVersusRest" in names:  # takes probabilities and gives probabilities
        turned, back = ("" if chances else ".softmax(-1)"), ""
    else:
        turned = f".clamp_min({FLOOR}).log()" if chances else ""
        back = ".softmax(-1)"
    pairs = "two columns: torch.stack((1 - p, p), -1) of each probability p"
    return "\n".join((
        f"from lossviz.analysis import {', '.join(names)}",
        "",
        *([f"# held_out and new have {pairs}"] if binary else []),
        f"calibrator = {best.code}",
        f"calibrator.fit(held_out{turned}, held_out_labels)",
        f"probabilities = calibrator.transform(new{turned}){back}",
    ))  # fmt: skip
