"""Calibrators compared on rows that they were not fitted on: what is to be gained, and by which."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..analysis import (
    BetaCalibration,
    DirichletScaling,
    IsotonicCalibration,
    OneVersusRest,
    TemperatureScaling,
    VectorScaling,
    bootstrap,
    ece,
)
from .rows import BINS, draw

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
    of_logits: bool = True


CANDIDATES = (
    Candidate("temperature", "TemperatureScaling()", TemperatureScaling, 10**9),
    Candidate(
        "vector", "VectorScaling(bias_penalty=0.01)", lambda: VectorScaling(bias_penalty=0.01), 200
    ),
    Candidate(
        "Dirichlet with ridge", "DirichletScaling(off_diagonal_penalty=1.0, bias_penalty=0.01)",
        lambda: DirichletScaling(off_diagonal_penalty=1.0, bias_penalty=0.01), 20
    ),
    Candidate(
        "beta, per class", "OneVersusRest(BetaCalibration)",
        lambda: OneVersusRest(BetaCalibration), 20, of_logits=False
    ),
    Candidate(
        "isotonic, per class", "OneVersusRest(IsotonicCalibration)",
        lambda: OneVersusRest(IsotonicCalibration), 200, of_logits=False
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


def compare(sample: torch.Tensor, label: torch.Tensor, kind: str, seed: int = 0) -> Comparison:
    """Cross-fit each calibrator on rows (n, K) of this kind: five folds, each held out once.

    Per-class calibrators may give a label the probability 0, whose log score is infinite; 1/n is
    therefore added to each probability, and rows are divided by their sum.
    """
    classes = sample.shape[-1]
    chosen = draw(len(sample), NUMBERS // classes, seed)
    z, y = sample[chosen].double(), label[chosen]
    if kind == "probabilities":
        z = z.clamp_min(FLOOR).log()
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    folds = [fold for fold in order.tensor_split(FOLDS) if len(fold)]
    before = torch.nn.functional.cross_entropy(z, y, reduction="none")
    gains = []
    for candidate in CANDIDATES:
        if classes > candidate.most:
            continue
        try:
            q = _held_out(candidate, z, y, folds)
        except (RuntimeError, ValueError) as why:
            none = torch.nan
            gains.append(
                Gain(candidate.title, candidate.code, none, none, none, none, none, str(why))
            )
            continue
        saved = before + q.gather(-1, y[:, None])[:, 0].log()
        interval = bootstrap(torch.mean, saved, repeats=500, seed=seed)
        best = q.max(-1)
        right = best.indices == y
        error = ece(best.values.clamp(0, 1), right, bins=BINS)
        gain, low, high = map(float, interval)
        gains.append(
            Gain(
                candidate.title,
                candidate.code,
                gain,
                low,
                high,
                float(error),
                float(right.double().mean()),
            )
        )
    gains.sort(key=lambda one: one.gain if one.gain == one.gain else -torch.inf, reverse=True)
    winner = next((one for one in gains if one.low > 0), None)
    top = z.softmax(-1).max(-1)
    unchanged = float(ece(top.values.clamp(0, 1), top.indices == y, bins=BINS))
    return Comparison(len(z), unchanged, tuple(gains), winner, _temperature(z, y))


def _held_out(
    candidate: Candidate, z: torch.Tensor, y: torch.Tensor, folds: list[torch.Tensor]
) -> torch.Tensor:
    """Calibrated probabilities (n, K) of each row by the calibrator of the other folds."""
    if len(folds) < FOLDS:
        raise ValueError(f"needs at least {FOLDS} rows")
    q = torch.empty_like(z)
    for fold in folds:
        others = torch.cat([other for other in folds if other is not fold])
        calibrator = candidate.make()
        if candidate.of_logits:
            q[fold] = calibrator.fit(z[others], y[others]).transform(z[fold]).softmax(-1)
        else:
            p = z.softmax(-1)
            raised = calibrator.fit(p[others], y[others]).transform(p[fold]) + 1 / len(others)
            q[fold] = raised / raised.sum(-1, keepdim=True)
    return q


def _temperature(z: torch.Tensor, y: torch.Tensor) -> float | None:
    try:
        return float(TemperatureScaling().fit(z, y).parameters["temperature"])
    except (RuntimeError, ValueError):
        return None


def code_to_apply(best: Gain, kind: str) -> str:
    """The lines that fit the calibrator on held-out rows and apply it to new ones."""
    names = sorted(re.findall(r"[A-Z]\w+", best.code))
    if "OneVersusRest" in names:  # takes probabilities and gives probabilities
        turned, back = ("" if kind == "probabilities" else ".softmax(-1)"), ""
    else:
        turned = f".clamp_min({FLOOR}).log()" if kind == "probabilities" else ""
        back = ".softmax(-1)"
    return "\n".join((
        f"from lossviz.analysis import {', '.join(names)}",
        "",
        f"calibrator = {best.code}",
        f"calibrator.fit(held_out{turned}, held_out_labels)",
        f"probabilities = calibrator.transform(new{turned}){back}",
    ))  # fmt: skip
