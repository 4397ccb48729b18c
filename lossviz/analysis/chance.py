"""How far a number can be trusted: resampled rows, bins as coins, and a perfectly honest model."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from ..declaration.kinds import COUNTS, PROBABILITIES, TRUTH
from ..declaration.numbers import check_count
from .binned import BINS, CONFIDENCES, PIECE, checked_weight, even_places

Statistic = Callable[..., torch.Tensor]


class Interval(NamedTuple):
    """A number with the ends of its interval, float64."""

    value: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def bootstrap(
    statistic: Statistic,
    *tensors: torch.Tensor,
    weight: torch.Tensor | None = None,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a statistic of rows, by drawing rows with replacement.

    `statistic(*tensors)` is a number of tensors that share their first axis (N, ...). The interval
    holds the middle `level` of `repeats` values; `seed` makes it repeatable, and torch's own random
    state is left as it was. Statistics that are biased for few rows, such as calibration errors,
    are biased in the resamples once more: compare them with `calibrated_null`.

    With a `weight` (N,) the statistic gets those of the drawn rows as its own `weight`; every row
    is as likely to be drawn as another, but one of weight 0 is left out.

    Raises ValueError for no rows, other lengths, repeats below 1, a level outside (0, 1), or
    weights that are negative, not finite or all 0.
    """
    _check(repeats, level)
    for tensor in tensors:
        TRUTH.check(tensor, "each of the tensors")
    rows = {len(tensor) for tensor in tensors}
    if len(rows) != 1 or rows == {0}:
        raise ValueError(f"tensors must share one first axis with rows in it, got {sorted(rows)}")
    (count,) = rows
    named = {}
    if weight is not None:
        counted = (checked_weight(weight, (count,)) > 0).cpu()
        tensors = tuple(tensor[counted.to(tensor.device)] for tensor in tensors)
        named["weight"] = weight[weight > 0]
        count = int(counted.sum())
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(repeats):
        drawn = torch.randint(count, (count,), generator=generator)
        parts = (tensor[drawn.to(tensor.device)] for tensor in tensors)
        weights = {name: heavy[drawn.to(heavy.device)] for name, heavy in named.items()}
        values.append(statistic(*parts, **weights))
    return _middle(statistic(*tensors, **named), torch.stack(values), level)


def ece_interval(
    confidence: torch.Tensor,
    correct: torch.Tensor,
    *,
    bins: int = 15,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`ece` with a bootstrap interval in one pass over the rows, for many of them.

    A row is drawn a Poisson number of times, so what a bin sums up is drawn as a normal number with
    the variance of that sum: good from some hundred rows in each bin that matters; with fewer use
    `bootstrap`. Within a bin the confidences vary at most as their mean allows, and are taken to.
    Memory beside the rows does not grow with them. `confidence` (...) in [0, 1], `correct` (...)
    bool; raises as `ece` and `bootstrap` do.
    """
    _check(repeats, level)
    bins = int(BINS.check(bins))
    c, a = confidence, correct
    if not (
        isinstance(c, torch.Tensor)
        and isinstance(a, torch.Tensor)
        and a.dtype == torch.bool
        and c.shape == a.shape
        and c.dtype in (torch.float32, torch.float64)
    ):
        checked = CONFIDENCES.check({"confidence": c, "correct": a})
        c, a = checked["confidence"], checked["correct"]
    c = c.detach()
    places = even_places(bins, c)
    rows, held = torch.zeros(2, 2 * bins, dtype=torch.float64)
    for said, hit in zip(c.flatten().split(PIECE), a.flatten().split(PIECE), strict=True):
        low, high = said.aminmax() if len(said) else (0, 0)
        if not 0 <= low <= high <= 1:
            CONFIDENCES.check({"confidence": confidence, "correct": correct})
            return Interval(*held.new_full((3,), torch.nan))
        place = places(said).mul_(2).add_(hit)
        rows += torch.bincount(place, minlength=2 * bins).cpu()
        held += torch.bincount(place, said.double(), 2 * bins).cpu()
    right, count = rows[1::2], rows.reshape(bins, 2).sum(-1)
    total = held.reshape(bins, 2).sum(-1)
    gap, mean = total - right, total / count
    ends = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    varying = count * ((ends[1:] - mean) * (mean - ends[:-1])).clamp_min(0)
    noise = (right - 2 * held[1::2] + total * mean + varying).nan_to_num(0).clamp_min(0)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(repeats, bins, generator=generator, dtype=torch.float64)
    found = (gap + noise.sqrt() * drawn).abs().sum(-1) / count.sum()
    return _middle(gap.abs().sum() / count.sum(), found, level)


class Null(NamedTuple):
    """What a perfectly calibrated model with the same confidences would get.

    `value` is the measured number, `low` and `high` hold the middle `level` of the draws, `mean` is
    their mean and `p_value` the share of them, with the measured one counted in, that are as large.
    """

    value: torch.Tensor
    mean: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    p_value: torch.Tensor


def calibrated_null(
    statistic: Statistic,
    confidence: torch.Tensor,
    correct: torch.Tensor,
    *,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Null:
    """The values of a calibration error if every confidence were the chance of being right.

    `statistic(confidence, correct)` is the error; `correct` is drawn anew `repeats` times. A small
    `p_value` says that the measured error is more than chance. Weights are part of the statistic,
    ``functools.partial(ece, weight=weight)``. Arguments as of `bootstrap`.
    """
    _check(repeats, level)
    generator = torch.Generator().manual_seed(seed)
    chance = PROBABILITIES.check(confidence, "confidence").double().cpu()
    drawn = torch.stack(
        [
            statistic(confidence, (torch.rand(chance.shape, generator=generator, dtype=chance.dtype)
                                   < chance).to(confidence.device))
            for _ in range(repeats)
        ]
    )  # fmt: skip
    value, low, high = _middle(statistic(confidence, correct), drawn, level)
    p_value = (1 + (drawn >= value).double().sum()) / (repeats + 1)
    p_value = torch.where(value.isnan(), torch.nan, p_value)
    return Null(value, drawn.mean(), low, high, p_value)


def clopper_pearson(
    successes: torch.Tensor, rows: torch.Tensor, *, level: float = 0.95
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ends of the exact interval of a chance, given successes among rows, float64.

    It covers the chance with probability at least `level`, whatever the chance; without rows it is
    [0, 1]. Raises ValueError for a level outside (0, 1) and more successes than rows. Source:
    Clopper and Pearson (1934).
    """
    from scipy.special import betaincinv  # a third of a second, which only this function needs

    _check(1, level)
    COUNTS.check(successes, "successes")
    COUNTS.check(rows, "rows")
    if ((successes < 0) | (successes > rows)).any():
        raise ValueError("successes must lie in [0, rows]")
    hit, count = successes.double().cpu().numpy(), rows.double().cpu().numpy()
    tail = (1 - level) / 2
    missed = count - hit
    low = torch.where(
        successes.cpu() > 0,
        torch.from_numpy(betaincinv(hit.clip(1e-300), missed + 1, tail)), 0.0
    )  # fmt: skip
    high = torch.where(
        torch.from_numpy(missed > 0),
        torch.from_numpy(betaincinv(hit + 1, missed.clip(1e-300), 1 - tail)), 1.0
    )  # fmt: skip
    return low, high


def _middle(value: torch.Tensor, drawn: torch.Tensor, level: float) -> Interval:
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = drawn.double().quantile(ends.to(drawn.device))
    return Interval(value, low, high)


def _check(repeats: int, level: float) -> None:
    check_count("repeats", repeats)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
