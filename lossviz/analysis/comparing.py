"""Calibrators compared on rows that they were not fitted on: what is to be gained, and by which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch

from ..declaration.numbers import check_count
from .chance import Interval, bootstrap
from .probability import OneVersusRest
from .scaling import Calibrator, checked

Make = Callable[[], Calibrator | OneVersusRest]


class Trial(NamedTuple):
    """A calibrator on rows held out from its fit.

    `gain` is how much lower the log score became, nats per row, with its interval; `probabilities`
    (N, K) are the calibrated ones of all rows, each by a fit without it. Where a fit had no optimum
    `failure` says why, and the rest is NaN.
    """

    gain: Interval
    probabilities: torch.Tensor
    failure: str = ""


def cross_fit(
    make: Make,
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    copies: torch.Tensor | None = None,
    folds: int = 5,
    seed: int = 0,
) -> torch.Tensor:
    """Calibrated probabilities (N, K) of each row by a calibrator of the other folds, float64.

    `make()` gives an unfitted calibrator of logits, or `OneVersusRest`, which gets their softmax;
    as that may give a label the probability 0, 1/n is added to each probability and rows are
    divided by their sum, n the rows of its fit. `logits` (N, K), `target` (N,), `copies` (V, N, K)
    for calibrators that take them; `seed` deals the rows into `folds`. Raises as the calibrator
    does, and ValueError for fewer rows than folds.
    """
    z, y, _ = checked(logits, target, -100)
    if len(z) != len(logits):
        raise ValueError("target must hold no ignored rows: leave them out of logits as well")
    if len(z) < check_count("folds", folds, 2):
        raise ValueError(f"folds must be at most {len(z)}, the number of rows, got {folds}")
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed)).to(z.device)
    found = torch.empty_like(z)
    parts = order.tensor_split(folds)
    for fold in parts:
        others = torch.cat([part for part in parts if part is not fold])
        calibrator: Any = make()
        if calibrator.of_copies:
            seen, new = (None if copies is None else copies[:, rows] for rows in (others, fold))
            calibrator.fit(z[others], y[others], copies=seen)
            found[fold] = calibrator.transform(z[fold], copies=new).softmax(-1)
        elif calibrator.of_logits:
            found[fold] = calibrator.fit(z[others], y[others]).transform(z[fold]).softmax(-1)
        else:
            p = z.softmax(-1)
            raised = calibrator.fit(p[others], y[others]).transform(p[fold]) + 1 / len(others)
            found[fold] = raised / raised.sum(-1, keepdim=True)
    return found


def compare_calibrators(
    logits: torch.Tensor,
    target: torch.Tensor,
    calibrators: Mapping[str, Make],
    *,
    copies: torch.Tensor | None = None,
    folds: int = 5,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Trial]:
    """Each calibrator cross-fitted on the same folds, best first by the log score it saves.

    The intervals are bootstraps of rows, and hold the fits fixed. The best of many looks better
    than it is: the gain of a winner is biased upwards where intervals overlap. Arguments as of
    `cross_fit` and `bootstrap`; a calibrator without an optimum comes last with its `failure`.
    """
    z, y, _ = checked(logits, target, -100)
    before = torch.nn.functional.cross_entropy(z, y, reduction="none")
    found = {}
    for name, make in calibrators.items():
        try:
            p = cross_fit(make, logits, target, copies=copies, folds=folds, seed=seed)
        except RuntimeError as why:
            none = before.new_tensor(torch.nan)
            found[name] = Trial(Interval(none, none, none), torch.full_like(z, torch.nan), str(why))
            continue
        saved = before + p.gather(-1, y[:, None])[:, 0].log()
        interval = bootstrap(torch.mean, saved, repeats=repeats, level=level, seed=seed)
        found[name] = Trial(interval, p)
    last = float("-inf")
    return dict(
        sorted(found.items(), key=lambda one: -(last if one[1].failure else one[1].gain.value))
    )


class ScoreParts(NamedTuple):
    """refinement + calibration = score, each with the same interval level, and who calibrated."""

    score: Interval
    refinement: Interval
    calibration: Interval
    calibrator: str


def refinement(
    logits: torch.Tensor,
    target: torch.Tensor,
    calibrators: Mapping[str, Make],
    *,
    score: Literal["log", "brier"] = "log",
    copies: torch.Tensor | None = None,
    folds: int = 5,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> ScoreParts:
    """A proper score split into what calibration cannot mend and what it could: how much to gain.

    The refinement is the least held-out score of the `calibrators`, each cross-fitted, and of the
    predictions as they are (`calibrator` is then ""); the calibration is the rest, so it is never
    negative. It is a lower bound of what the best calibrator of all would gain, up to the noise of
    choosing. `score` is "log" (nats) or "brier" (summed over classes). Arguments as of
    `compare_calibrators`; raises ValueError for another score.
    """
    z, y, _ = checked(logits, target, -100)
    if score not in ("log", "brier"):
        raise ValueError(f"score must be 'log' or 'brier', got {score!r}")

    def rows(p: torch.Tensor) -> torch.Tensor:
        if score == "log":
            return -p.gather(-1, y[:, None])[:, 0].log()
        return (p - torch.nn.functional.one_hot(y, p.shape[-1])).square().sum(-1)

    before = rows(z.softmax(-1))
    if score == "log":  # keeps what a probability of 0 loses
        before = torch.nn.functional.cross_entropy(z, y, reduction="none")
    best, calibrator = before, ""
    for name, make in calibrators.items():
        try:
            after = rows(cross_fit(make, logits, target, copies=copies, folds=folds, seed=seed))
        except RuntimeError:
            continue
        if after.mean() < best.mean():
            best, calibrator = after, name
    whole, rest, gained = (
        bootstrap(torch.mean, each, repeats=repeats, level=level, seed=seed)
        for each in (before, best, before - best)
    )
    return ScoreParts(whole, rest, gained, calibrator)
