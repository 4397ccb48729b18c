"""The empirical law reward = b - a e^H of a run: what it foresees, and where it is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count
from .chance import Interval

AT_ONCE = 2**20
"""Numbers of resampled rewards that are held at a time."""
PARTS = 6
"""Into so many parts of equal size a run is cut, by its entropy, to see whether reward falls."""


class RewardLaw(NamedTuple):
    """reward = b - a e^H: its coefficients, and the reward where no entropy is left."""

    a: torch.Tensor
    b: torch.Tensor

    @property
    def ceiling(self) -> torch.Tensor:
        """The reward at entropy 0, which the law says cannot be passed."""
        return self.b - self.a


def reward_entropy_law(entropy: Array, reward: Array) -> RewardLaw:
    """The least-squares fit of reward = b - a e^H to the course of a run.

    `entropy` and `reward` (T,), T >= 2. It is an empirical law: look at the residuals, and hold out
    the end of the run. Raises ValueError for an entropy that does not vary, which says nothing of
    a. Source: Cui et al. (2025), section 2.
    """
    h, r = _course(entropy, reward)
    x = h.exp()
    apart = x - x.mean()
    if not apart.abs().max() > 1e-12 * x.abs().max():
        raise ValueError(f"entropy must vary, got {h[0].item()!r} throughout")
    slope = (apart * (r - r.mean())).sum() / apart.square().sum()
    return RewardLaw(-slope, r.mean() - slope * x.mean())


class RewardForecast(NamedTuple):
    """The law fitted to the first part of a run, and what it says of the rest and of the end.

    `law` is the fit and `a`, `b`, `ceiling` its intervals; `r_squared` is over the part it was
    fitted to; `missed` the root mean square error over the part held out, and `held_out` the number
    of steps in it, whose rewards had a standard deviation of `spread`.
    """

    law: RewardLaw
    a: Interval
    b: Interval
    ceiling: Interval
    r_squared: float
    missed: float
    spread: float
    held_out: int


def reward_entropy_forecast(
    entropy: Array,
    reward: Array,
    *,
    held_out: float = 1 / 3,
    block: int | None = None,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> RewardForecast:
    """Fit reward = b - a e^H to the start of a run, with intervals, and try it on the end.

    Parameters
    ----------
    entropy, reward : (T,) in the order of the steps, T >= 12; entropy in nats.
    held_out : share of the run at its end that is not fitted, in [0, 1), default a third; at least
        three steps are fitted.
    block : neighbouring residuals that are drawn together, since those of a run are not
        independent; fewer than are fitted, by default their square root.
    draws, level, seed : of the bootstrap, default 500, 0.95 and 0.

    The intervals are quantiles of fits to the fitted rewards plus blocks of residuals. They hold
    if the law holds: what it says of an entropy never reached is an extrapolation.

    Raises
    ------
    ValueError for an entropy that hardly varies, and for a reward that does not fall with the
    entropy (of six parts of the run, in the order of entropy, one earns more than the part before
    by over three standard errors): then no law of this form holds.
    """
    h, r = _course(entropy, reward, least=2 * PARTS)
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must lie in [0, 1), got {held_out!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    size = len(h) - int(held_out * len(h))
    if size < 3:
        raise ValueError(f"held_out must leave 3 steps to fit, got {held_out!r} of {len(h)}")
    early = reward_entropy_law(h[:size], r[:size])
    _check_monotone(h, r)
    x = h.exp()
    fitted = early.b - early.a * x
    residual = (r - fitted)[:size]
    length = round(size**0.5) if block is None else check_count("block", block, 1)
    if length >= size:
        raise ValueError(f"block must be less than the {size} steps fitted, got {length}")
    generator = torch.Generator().manual_seed(seed)
    pieces = -(-size // length)
    starts = torch.randint(
        size - length + 1, (check_count("draws", draws, 1), pieces), generator=generator
    )
    centred, apart = residual - residual.mean(), x[:size] - x[:size].mean()

    def refitted(starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = (starts.unsqueeze(-1) + torch.arange(length)).flatten(1)[:, :size]
        drawn = fitted[:size] + centred[places]
        a = -(drawn * apart).sum(-1) / apart.square().sum()
        return a, drawn.mean(-1) + a * x[:size].mean()

    # a few resamples at a time, so that memory does not grow with their number
    parts = starts.split(max(1, AT_ONCE // size))
    a, b = map(torch.cat, zip(*map(refitted, parts), strict=True))
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)

    def interval(value: torch.Tensor, draws: torch.Tensor) -> Interval:
        return Interval(value, *draws.quantile(ends))

    total = (r[:size] - r[:size].mean()).square().sum()
    late = (r - fitted)[size:]
    return RewardForecast(
        early,
        interval(early.a, a),
        interval(early.b, b),
        interval(early.ceiling, b - a),
        (1 - residual.square().sum() / total).item(),
        late.square().mean().sqrt().item(),
        r[size:].std().item() if len(late) > 1 else float("nan"),
        len(late),
    )


def _course(entropy: Array, reward: Array, *, least: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    h, r = as_tensor("entropy", entropy), as_tensor("reward", reward)
    if h.ndim != 1 or len(h) < least:
        raise ValueError(f"entropy must have shape (T,) with T >= {least}, got {tuple(h.shape)}")
    if r.shape != h.shape:
        raise ValueError(f"reward must have shape ({len(h)},), got {tuple(r.shape)}")
    for name, row in (("entropy", h), ("reward", r)):
        if not row.isfinite().all():
            raise ValueError(f"{name} must be finite")
    if (h < 0).any():
        raise ValueError(f"entropy must not be negative, got {h.min().item()!r}: pads counted?")
    return h, r


def _check_monotone(h: torch.Tensor, r: torch.Tensor) -> None:
    parts = r[h.argsort()].tensor_split(PARTS)
    for low, high in pairwise(parts):
        error = (low.var() / len(low) + high.var() / len(high)).sqrt()
        if high.mean() - low.mean() > 3 * error + 1e-12:
            raise ValueError(
                "reward must fall with entropy for this law, got a mean of "
                f"{low.mean().item():.4g} and, at higher entropies, {high.mean().item():.4g}"
            )
