"""What the log of a run says: its law of reward and entropy, and what is often wrong in logs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ..analysis import reward_entropy_forecast
from .runs import Run

DRAWS = 500
FEWEST = 12
"""Steps with both numbers below which no law is fitted, as `reward_entropy_forecast` has it."""
LARGEST = 13.0
"""Nats; log of half a million, more than any vocabulary has."""


@dataclass(frozen=True)
class Law:
    """reward = b - a e^H of the first two thirds of a run, judged on the rest.

    `refused` says why there is none. Intervals are of 95 %; errors are root mean squares.
    """

    refused: str = ""
    a: float = math.nan
    b: float = math.nan
    ceiling: float = math.nan
    low: float = math.nan
    high: float = math.nan
    r_squared: float = math.nan
    fit_error: float = math.nan
    held_out_error: float = math.nan
    steps: int = 0
    block: int = 0


@dataclass(frozen=True)
class RunSummary:
    """Everything that the page and the JSON file say about a run."""

    run: Run
    law: Law
    suspicions: tuple[str, ...]
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Plain values; numbers that JSON does not know are null."""
        columns = {
            kind: {"name": column.source, "values": _plain(column.values)}
            for kind, column in self.run.columns.items()
        }
        return {
            "file": self.run.name, "sha256": self.run.digest, "seed": self.seed,
            "step": _plain(self.run.step), "columns": columns,
            "entropy_by_position": [_plain(row) for row in self.run.by_position],
            "law": {k: _value(v) for k, v in vars(self.law).items()},
            "suspicions": list(self.suspicions), "unused": list(self.run.unused),
        }  # fmt: skip


def summarise_run(run: Run, seed: int = 0) -> RunSummary:
    """The law and the suspicions of a run."""
    return RunSummary(run, fitted(run, seed), tuple(_suspicions(run)), seed)


def fitted(run: Run, seed: int = 0) -> Law:
    """The law on the first two thirds, the interval of its ceiling, its error on the rest.

    By `reward_entropy_forecast`, whose reasons are given where it refuses the run.
    """
    if not {"entropy", "reward"} <= run.columns.keys():
        return Law("the log does not have both an entropy and a reward")
    both = torch.stack([run.columns[name].values for name in ("entropy", "reward")])
    h, r = both[:, ~both.isnan().any(0)]
    if len(h) < FEWEST:
        return Law(f"{len(h)} steps have both numbers, and a fit needs {FEWEST}")
    if float(h.max()) > LARGEST or float(h.min()) < 0:
        return Law("what is called entropy cannot be the entropy of a token")
    count = len(h) - len(h) // 3
    block = math.isqrt(count)
    try:
        found = reward_entropy_forecast(h, r, block=block, draws=DRAWS, seed=seed)
    except ValueError as error:
        return Law(str(error))
    law, ceiling = found.law, found.ceiling
    if not law.a > 0:
        return Law("the reward does not fall with the entropy, so that it is not traded for it")
    miss = (r - (law.b - law.a * h.exp()))[:count]
    return Law(
        "", float(law.a), float(law.b), float(law.ceiling), float(ceiling.low),
        float(ceiling.high), found.r_squared, float(miss.square().mean().sqrt()),
        found.missed, count, block,
    )  # fmt: skip


def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    """Of the places where both are known; NaN where one does not vary."""
    known = ~(x.isnan() | y.isnan())
    a, b = x[known], y[known]
    if len(a) < 3:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())


def _suspicions(run: Run) -> list[str]:
    columns = run.columns
    found = []
    if run.held_out_rows:
        found.append(
            f"{run.held_out_rows:,} rows are of evaluation: the log mixes both, and they are left "
            "out here"
        )
    if run.repeated_steps:
        found.append(
            f"{run.repeated_steps:,} rows repeat a step that was there: the run may have been "
            "resumed; the later row counts"
        )
    if (entropy := columns.get("entropy")) is not None:
        found += _of_entropy(entropy.source, entropy.values, run)
    for name in ("truncated", "clipped"):
        if name in columns and float(columns[name].values.nan_to_num().max()) > 1:
            found.append(f"{columns[name].source} exceeds 1: it is no share")
    if "temperature" in columns:
        given = columns["temperature"].values
        value = float(given[~given.isnan()][-1])
        if value != 1:
            found.append(
                f"the sampling temperature is {value:g}: an entropy that was taken before it is "
                "not that of the policy that was sampled"
            )
    return found


def _of_entropy(source: str, h: torch.Tensor, run: Run) -> list[str]:
    columns, found = run.columns, []
    known = h[~h.isnan()]
    if source == "objective/entropy":
        found.append(
            f"{source} is the negative log-likelihood of whole sequences in the trainers that "
            "write it, not the entropy of a token"
        )
    if source.endswith("entropy_loss"):
        found.append(f"{source} may carry a sign or a coefficient: the entropy itself is better")
    if (below := int((known < 0).sum())) > 0:
        found.append(
            f"{source} is negative in {below:,} of {len(known):,} rows, which an entropy cannot be:"
            " pads or a sentinel may be counted, or it is a log-likelihood"
        )
    if (above := int((known > LARGEST).sum())) > 0:
        found.append(
            f"{source} is above {LARGEST:g} nats in {above:,} of {len(known):,} rows, more than "
            "the logarithm of any vocabulary: it may be a negative log-likelihood, or summed over "
            "the sequence"
        )
    length = columns.get("length")
    if length is not None and len(known) >= FEWEST:
        together = correlation(h, length.values)
        if abs(together) > 0.95:
            found.append(
                f"{source} and {length.source} have a correlation of {together:.2f}: pads may be "
                "counted in the mean, or it may be summed over the sequence"
            )
    truncated = columns.get("truncated")
    if truncated is not None and len(known) >= FEWEST:
        rising = float(known[-len(known) // 3 :].mean() - known[: len(known) // 3].mean())
        share = truncated.values[~truncated.values.isnan()]
        if rising > 0 and len(share) and float(share[-1] - share[0]) > 0.1:
            found.append(
                f"the entropy rises together with the share of truncated answers "
                f"({float(share[0]):.0%} to {float(share[-1]):.0%}): what is cut off may be why"
            )
    surprise = columns.get("surprise")
    if surprise is not None:
        ratio = float((surprise.values / h).nanmedian())
        if abs(ratio - 1) > 0.1:
            found.append(
                f"{surprise.source}, the mean of -log p of what was sampled, is {ratio:.2f} times "
                f"{source}: under one policy both have the same mean, so one of them may have been "
                "taken before temperature or truncation, or with pads"
            )
    return found


def _plain(values: torch.Tensor) -> list[float | None]:
    return [_value(value) for value in values.tolist()]


def _value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
