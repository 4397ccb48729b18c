"""Regression as classification: a number as a distribution over bins, learnt by cross-entropy.

The losses here are the cross-entropy of softmax logits over K bins with a target of `bins`, whose
`decode` reads a number back. For the categorical target of distributional value learning take
`lossviz.losses.cross_entropy(logits, c51_target(...))`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ...declaration import Fact, Gradient, Loss, Source, convex, declare, exact_by_rows, number
from ...declaration.margin import Top, from_the_top
from .bins import (
    BIN_LOGITS,
    RELATIVE_SIGMA,
    V_MAX,
    V_MIN,
    among_bins,
    among_locations,
    bell_shares,
    c51_target,
    decode,
    hl_gauss_target,
    two_hot_shares,
    two_hot_target,
)

FAREBROTHER = Source("farebrother2024stop", "regression as classification")


Shares = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _parts(
    logits: torch.Tensor, place: torch.Tensor, shares: Shares, reach: float
) -> tuple[Top, torch.Tensor, torch.Tensor]:
    """The rows, the numbers of the bins that have a share, and the shares (..., W)."""
    top = from_the_top(logits)
    count = logits.shape[-1]
    bins = torch.arange(count, device=logits.device).expand(logits.shape)
    # torch.compile fuses the whole row into one pass
    if 2 * reach + 4 < count and not torch.compiler.is_compiling():
        width = 2 * math.ceil(reach) + 2
        first = (place.floor() - math.ceil(reach)).clamp(0, count - width).nan_to_num().long()
        bins = first.unsqueeze(-1) + bins[..., :width]
    return top, bins, shares(place, bins).to(logits.dtype)


def _soft_slopes(
    logits: torch.Tensor, place: torch.Tensor, *, shares: Shares, reach: float
) -> tuple[torch.Tensor, torch.Tensor]:
    top, bins, share = _parts(logits, place, shares, reach)
    slope = top.odds / (1 + top.rest).unsqueeze(-1)
    slope.scatter_add_(-1, bins, -share)
    # p - t of the leader cancels: it is what the others lack
    elsewhere = torch.where(bins == top.leader, 0.0, share).sum(-1)
    lead = elsewhere - top.rest / (1 + top.rest)
    return _mean_surprisal(top, bins, share), slope.scatter_(-1, top.leader, lead.unsqueeze(-1))


@partial(exact_by_rows, slopes=_soft_slopes)
def _soft_cross_entropy(
    logits: torch.Tensor, place: torch.Tensor, *, shares: Shares, reach: float
) -> torch.Tensor:
    """Cross-entropy with shares that vanish `reach` bins beyond the two that are at the place."""
    return _mean_surprisal(*_parts(logits, place, shares, reach))


def _mean_surprisal(top: Top, bins: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    gaps = top.gaps if bins.shape == top.gaps.shape else top.gaps.gather(-1, bins)
    # a bin without mass costs nothing, even one that the logits exclude
    mean = (share * torch.where(share == 0, 0.0, gaps)).sum(-1).to(top.rest.dtype)
    return top.rest.log1p() - mean


def _lowest(_z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.cat([y, torch.tensor([-5.0, 7.5])])  # a location of five, and a place half way
    share = (y / 5) % 1
    entropy = torch.special.entr(share) + torch.special.entr(1 - share)
    best = two_hot_target(y, num_locations=5).log()
    return two_hot(best, y, reduction="none"), entropy


def _onto_two_hot(_z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    support = torch.linspace(-10, 10, 21, dtype=torch.float64)
    uniform = torch.full((12, 21), 1 / 21, dtype=torch.float64)
    projected = c51_target(support, uniform, reward=y, gamma=0.9, terminal=True)
    return projected, two_hot_target(y, num_locations=21)


TARGET = number(
    "y", "y", "[-10, 10]", (-10, 10, 2), "the number to be learnt", "lowest", "highest",
    default=4.0,
)  # fmt: skip
VIEW = {
    "frames": TARGET,
    "classes": {1: "middle bin", 0: "lowest bin", 2: "highest bin"},
}  # fmt: skip


@declare(
    family="regression as classification",
    inputs=BIN_LOGITS,
    latex=r"\ell(z, y) = -\sum_i t_i \log p_i, \qquad "
    r"t_i = \max\Big(0, 1 - \frac{|y - v_i|}{\Delta}\Big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z} = p - t",
        lambda z, y, **ends: z.softmax(-1) - two_hot_target(y, num_locations=z.shape[-1], **ends),
    ),
    parameters=(V_MIN, V_MAX),
    source=Source("farebrother2024stop", "the two-hot target"),
    facts=(
        Fact(
            "The target's mean over the locations is y itself",
            lambda z, y: (
                two_hot_target(y, num_locations=21) @ torch.linspace(-10, 10, 21).double(),
                y,
            ),
        ),
        Fact(
            "Decoding the target gives the value",
            lambda z, y: (decode(two_hot_target(y).log(), centres=False), y),
        ),
        convex(why="a log-sum-exp minus a linear function"),
        Fact(
            "Its lowest value is the entropy of the target, at most log 2: zero only where the "
            "value is a location",
            _lowest,
        ),
        Fact("A terminal step of c51_target is the two-hot target", _onto_two_hot),
    ),
    stability="The target is a piecewise linear bump: no division by a small number.",
    notes="The K locations include both ends of the range; the K bins of HL-Gauss lie inside it. "
    "Decode with `lossviz.losses.decode(..., centres=False)`.",
    related=("hl_gauss", "cross_entropy"),
    breaks=("order of K", "absent entry of K"),
    view=VIEW,
    also=("categorical value function", "distributional reinforcement learning", "C51"),
    use="A number is to be predicted whose scale varies or whose targets are noisy, as "
    "values in reinforcement learning are.",
    avoid="The range is not known: what lies outside it cannot be predicted.",
)
def two_hot(
    logits: torch.Tensor, y: torch.Tensor, *, v_min: float = -10.0, v_max: float = 10.0
) -> torch.Tensor:
    """Two-hot loss: a number as a distribution over its two nearest locations, by cross-entropy.

    K >= 2 locations v_i from v_min to v_max, both included, stand a step of Delta apart. In nats.
    Values out of range are refused on the CPU and clipped elsewhere.
    """
    place = among_locations(y, v_min, v_max, logits.shape[-1])
    return _soft_cross_entropy(logits, place, shares=two_hot_shares, reach=0)


def _bell_slope(z: torch.Tensor, y: torch.Tensor, **options: Any) -> torch.Tensor:
    return z.softmax(-1) - hl_gauss_target(y, num_bins=z.shape[-1], **options)


def _ordinal(loss: Loss) -> None:
    peaks, lowest = 5 * torch.eye(9, dtype=torch.float64), torch.full((9,), -9.0).double()
    rows = loss(peaks, lowest, sigma_over_binwidth=1.5, reduction="none")
    assert (rows.diff() > 0).all()


def _drawn_inwards(loss: Loss) -> None:
    y = torch.tensor([-10.0, 0.13, 10.0], dtype=torch.float64)
    low, middle, high = decode(hl_gauss_target(y, num_bins=21).log()) - y
    assert low > 0.2
    assert high < -0.2
    assert middle.abs() < 1e-3


@declare(
    family="regression as classification",
    inputs=BIN_LOGITS,
    latex=r"\ell(z, y) = -\sum_i t_i \log p_i, \qquad "
    r"t_i = \frac{F_y(e_{i+1}) - F_y(e_i)}{F_y(e_K) - F_y(e_0)}, \quad "
    r"F_y = \text{cdf of } N(y, \sigma^2)",
    gradient=Gradient(r"\frac{\partial \ell}{\partial z} = p - t", _bell_slope),
    parameters=(V_MIN, V_MAX, RELATIVE_SIGMA),
    source=Source(
        "imani2018improving",
        "the histogram loss with a Gaussian target",
        "the default of 0.75 bin widths is the one recommended for value functions; a popular "
        "community port defaults to 2",
    ),
    facts=(
        Fact(
            "Neighbouring bins share mass, so that being off by one bin costs less than being off "
            "by many",
            source=FAREBROTHER,
            holds=_ordinal,
        ),
        convex(why="a log-sum-exp minus a linear function"),
        Fact(
            "The decoded mean of the target is drawn inwards within a few sigma of the ends of the "
            "range: leave room there",
            holds=_drawn_inwards,
        ),
        Fact(
            "sigma to 0 is the one-hot bin of the value",
            lambda z, y: (
                hl_gauss_target(y, num_bins=21, sigma_over_binwidth=1e-6),
                F.one_hot(((y + 10) / (20 / 21)).floor().long(), 21).double(),
            ),
        ),
        Fact(
            "sigma to infinity is uniform",
            lambda z, y: (
                hl_gauss(z, y, sigma=1e7, reduction="none"),
                -z.log_softmax(-1).mean(-1),
            ),
            rtol=1e-6,
        ),
    ),
    stability="Differences of erfc on the side where it is small; normalised over the range. "
    "Values beyond the range, where this would end in 0/0, are refused.",
    notes="sigma is what to choose: 0.75 bin widths by default, 2 in a popular community port, "
    "whose targets are therefore much wider.",
    related=("two_hot", "cross_entropy"),
    breaks=("order of K", "absent entry of K"),
    # two sliders multiply their frames, so each takes fewer steps here
    view=VIEW
    | {
        "frames": (
            replace(TARGET, slider=(-2, 10, 6)),
            replace(RELATIVE_SIGMA, slider=(0.15, 1.35, 0.6), default=0.75),
        )
    },
    also=("histogram loss", "regression by classification"),
    use="As two-hot, where neighbouring values should share what is learnt: the usual "
    "choice for value functions.",
    avoid="The range is not known, or values crowd at its ends: the decoded mean is "
    "drawn inwards there.",
)
def hl_gauss(
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    v_min: float = -10.0,
    v_max: float = 10.0,
    sigma_over_binwidth: float = 0.75,
    sigma: float | None = None,
) -> torch.Tensor:
    """HL-Gauss loss: a number as the histogram of a bell around it, by cross-entropy.

    sigma : in the units of y, or None (default); overrides `sigma_over_binwidth` when given.

    K bins of equal width between the edges e_0 = v_min and e_K = v_max. In nats, computed in
    float64. Values out of range are refused on the CPU and clipped elsewhere. Also Farebrother et
    al. (2024).
    """
    place, deviation = among_bins(y, v_min, v_max, logits.shape[-1], sigma_over_binwidth, sigma)
    # where the density falls below the least number of the dtype
    reach = deviation * math.sqrt(-2 * math.log(torch.finfo(logits.dtype).tiny))
    return _soft_cross_entropy(
        logits, place, shares=partial(bell_shares, deviation=deviation), reach=reach
    )
