"""Regression as classification: a number as a distribution over bins, learnt by cross-entropy.

The losses here are the cross-entropy of softmax logits over K bins with a target of `bins`, whose
`decode` reads a number back. For the categorical target of distributional value learning take
`lossviz.losses.cross_entropy(logits, c51_target(...))`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .bins import (
    RELATIVE_SIGMA,
    V_MAX,
    V_MIN,
    c51_target,
    decode,
    hl_gauss_target,
    two_hot_target,
)
from .checks import check_logits, check_reduction, reduce_rows, row_dtype
from .compsum import example_logits
from .declaration import Limit, Loss, Property, Source

BIN_LOGITS = "bin logits and values"


def two_hot(
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    v_min: float = -10.0,
    v_max: float = 10.0,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Two-hot loss: cross-entropy with a target shared by the two locations next to the value.

    .. math:: \ell = -\sum_i t_i \log p_i, \qquad
              t_i = \max\Big(0, 1 - \frac{|y - z_i|}{\Delta}\Big),

    with K locations :math:`z_i` from v_min to v_max, both included, a step :math:`\Delta` apart.

    Parameters
    ----------
    logits : floating tensor (..., K), K >= 2; computed in float64.
    y : floating tensor (...) of values in [v_min, v_max]; gets no gradient.
    v_min, v_max : numbers, default -10 and 10, in the units of y.
    reduction : "mean" (default), "sum" or "none".

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    TypeError for a wrong dtype; ValueError for wrong shapes, values out of range (on the CPU;
    clipped elsewhere), v_min >= v_max or an unknown reduction.

    Notes
    -----
    Source: Farebrother et al. (2024), the two-hot target.
    """
    check_reduction(reduction)
    _check_pair(logits, y)
    target = two_hot_target(y, v_min=v_min, v_max=v_max, num_locations=logits.shape[-1])
    return _soft_cross_entropy(logits, target, reduction)


def hl_gauss(
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    v_min: float = -10.0,
    v_max: float = 10.0,
    sigma_over_binwidth: float = 0.75,
    sigma: float | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""HL-Gauss loss: cross-entropy with the histogram of a normal distribution around the value.

    .. math:: \ell = -\sum_i t_i \log p_i, \qquad
              t_i = \frac{F(e_{i+1}) - F(e_i)}{F(e_K) - F(e_0)},

    with K bins of equal width between the edges :math:`e_0` = v_min and :math:`e_K` = v_max and the
    distribution function F of :math:`N(y, \sigma^2)`.

    Parameters
    ----------
    logits : floating tensor (..., K); computed in float64.
    y : floating tensor (...) of values in [v_min, v_max]; gets no gradient.
    v_min, v_max : numbers, default -10 and 10, in the units of y.
    sigma_over_binwidth : number in (0, inf), default 0.75: standard deviation in bin widths.
    sigma : the same in the units of y; overrides `sigma_over_binwidth` when given.
    reduction : "mean" (default), "sum" or "none".

    Returns
    -------
    Loss in nats, in the dtype of `logits`; scalar, or (...) for "none".

    Raises
    ------
    As `two_hot`; ValueError for sigma <= 0.

    Notes
    -----
    Source: Imani and White (2018); Farebrother et al. (2024).
    """
    check_reduction(reduction)
    _check_pair(logits, y)
    target = hl_gauss_target(
        y,
        v_min=v_min,
        v_max=v_max,
        num_bins=logits.shape[-1],
        sigma_over_binwidth=sigma_over_binwidth,
        sigma=sigma,
    )
    return _soft_cross_entropy(logits, target, reduction)


def _check_pair(logits: Any, y: Any) -> None:
    check_logits(logits)
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"y must be a torch.Tensor, got {type(y).__name__}")
    if y.shape != logits.shape[:-1]:
        raise ValueError(
            f"y must have the shape of logits without the last (bin) axis, "
            f"{tuple(logits.shape[:-1])}, got {tuple(y.shape)} for logits of shape "
            f"{tuple(logits.shape)}"
        )
    if y.device != logits.device:
        raise ValueError(f"y is on {y.device}, logits on {logits.device}: move one")


def _soft_cross_entropy(logits: torch.Tensor, target: torch.Tensor, reduction: str) -> torch.Tensor:
    log_p = logits.to(row_dtype(logits)).log_softmax(-1)
    # a bin without mass costs nothing, even one that the logits exclude
    rows = -torch.where(target == 0, 0.0, target * log_p).sum(-1)
    kept = torch.ones_like(rows, dtype=torch.bool)
    return reduce_rows(rows, kept, reduction, logits.dtype)


# --- declarations ---------------------------------------------------------------------------------

FAREBROTHER = Source("farebrother2024stop", "regression as classification")


def _example_values() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _ = example_logits(21)
    generator = torch.Generator().manual_seed(1)
    return logits, 18 * torch.rand(12, generator=generator, dtype=torch.float64) - 9


def _exact_mean() -> tuple[torch.Tensor, torch.Tensor]:
    _, y = _example_values()
    target = two_hot_target(y, num_locations=21)
    return target @ torch.linspace(-10, 10, 21, dtype=torch.float64), y


def _decoded() -> tuple[torch.Tensor, torch.Tensor]:
    _, y = _example_values()
    target = two_hot_target(y, num_locations=21)
    return decode(target.log(), centres=False), y


def _narrow() -> tuple[torch.Tensor, torch.Tensor]:
    _, y = _example_values()
    bins = ((y + 10) / (20 / 21)).floor().long()
    target = hl_gauss_target(y, num_bins=21, sigma_over_binwidth=1e-6)
    return target, F.one_hot(bins, 21).double()


def _wide() -> tuple[torch.Tensor, torch.Tensor]:
    _, y = _example_values()
    target = hl_gauss_target(y, num_bins=21, sigma_over_binwidth=1e6)
    return target, torch.full((12, 21), 1 / 21, dtype=torch.float64)


def _onto_two_hot() -> tuple[torch.Tensor, torch.Tensor]:
    _, y = _example_values()
    support = torch.linspace(-10, 10, 21, dtype=torch.float64)
    uniform = torch.full((12, 21), 1 / 21, dtype=torch.float64)
    projected = c51_target(support, uniform, reward=y, gamma=0.9, terminal=True)
    return projected, two_hot_target(y, num_locations=21)


TWO_HOT = Loss(
    key="two_hot",
    title="Two-hot loss",
    family="regression as classification",
    function=two_hot,
    summary="A number as a distribution over its two nearest locations, by cross-entropy.",
    latex=r"\ell(z, y) = -\sum_i t_i \log p_i, \qquad "
    r"t_i = \max\Big(0, 1 - \frac{|y - v_i|}{\Delta}\Big)",
    gradient=r"\frac{\partial \ell}{\partial z} = p - t",
    inputs=BIN_LOGITS,
    parameters=(V_MIN, V_MAX),
    source=Source("farebrother2024stop", "the two-hot target"),
    properties=(
        Property("exact mean", r"The target's mean over the locations is $y$ itself."),
        Property("convex in the logits", "A log-sum-exp minus a linear function."),
        Property(
            "lowest value",
            "The entropy of the target, at most log 2: zero only where the value is a location.",
        ),
    ),
    limits=(
        Limit("the target's mean is the value", _exact_mean),
        Limit("decoding the target gives the value", _decoded),
        Limit("a terminal step of c51_target is the two-hot target", _onto_two_hot),
    ),
    stability="The target is a piecewise linear bump: no division by a small number.",
    notes="The K locations include both ends of the range; the K bins of HL-Gauss lie inside it. "
    "Decode with `lossviz.losses.bins.decode(..., centres=False)`.",
    related=("hl_gauss", "cross_entropy"),
)

HL_GAUSS = Loss(
    key="hl_gauss",
    title="HL-Gauss loss",
    family="regression as classification",
    function=hl_gauss,
    summary="A number as the histogram of a bell around it, by cross-entropy.",
    latex=r"\ell(z, y) = -\sum_i t_i \log p_i, \qquad "
    r"t_i = \frac{F_y(e_{i+1}) - F_y(e_i)}{F_y(e_K) - F_y(e_0)}, \quad "
    r"F_y = \text{cdf of } N(y, \sigma^2)",
    gradient=r"\frac{\partial \ell}{\partial z} = p - t",
    inputs=BIN_LOGITS,
    parameters=(V_MIN, V_MAX, RELATIVE_SIGMA),
    source=Source(
        "imani2018improving",
        "the histogram loss with a Gaussian target",
        "the default of 0.75 bin widths is the one recommended for value functions; a popular "
        "community port defaults to 2",
    ),
    properties=(
        Property(
            "ordinal",
            "Neighbouring bins share mass, so that being off by one bin costs less than being off "
            "by many.",
            source=FAREBROTHER,
        ),
        Property("convex in the logits", "A log-sum-exp minus a linear function."),
        Property(
            "biased near the ends",
            r"The decoded mean of the target is drawn inwards within a few $\sigma$ of the ends of "
            "the range: leave room there.",
        ),
    ),
    limits=(
        Limit("sigma to 0 is the one-hot bin of the value", _narrow),
        Limit("sigma to infinity is uniform", _wide, rtol=1e-6),
    ),
    stability="Differences of erfc on the side where it is small; normalised over the range. "
    "Values beyond the range, where this would end in 0/0, are refused.",
    notes="sigma is what to choose: 0.75 bin widths by default, 2 in a popular community port, "
    "whose targets are therefore much wider.",
    related=("two_hot", "cross_entropy"),
)
