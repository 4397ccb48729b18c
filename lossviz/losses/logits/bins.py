"""Numbers as distributions over bins, and back: targets of regression as classification."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...declaration import CLASS_LOGITS, Argument, Inputs, number, row_dtype
from ...declaration.kinds import VALUES
from ...declaration.numbers import DTYPES, first_where, seen, slack_of_a_sum

Y = Argument("y", VALUES, "...", "In [v_min, v_max]; gets no gradient")
BIN_LOGITS = Inputs(CLASS_LOGITS["logits"], Y)

V_MIN = number(
    "v_min", r"v_{\min}", "(-inf, inf)", (-10.0, -5.0, 0.5),
    "lower end of the range of values, in their units",
    "wide bins",
    "values below it are out of range",
)  # fmt: skip
V_MAX = number(
    "v_max", r"v_{\max}", "(-inf, inf)", (5.0, 10.0, 0.5),
    "upper end of the range of values, above v_min",
    "values above it are out of range",
    "wide bins",
)  # fmt: skip
RELATIVE_SIGMA = number(
    "sigma_over_binwidth", r"\sigma / w", "(0, inf)", (0.1, 3.0, 0.05),
    "standard deviation of the target's bell, in bin widths",
    "one-hot: the bin of the value",
    "uniform, whatever the value",
    label="width of the target's bell, in bins", ends=("one-hot", "nearly uniform"),
)  # fmt: skip
SIGMA = number(
    "sigma", r"\sigma", "(0, inf)", (0.1, 3.0, 0.05),
    "the same in the units of the values", "one-hot", "uniform",
)  # fmt: skip
DISCOUNT = number(
    "gamma", r"\gamma", "[0, 1]", (0.0, 1.0, 0.01),
    "discount of the next state's values", "the reward alone", "no discount",
)  # fmt: skip


def _check_range(v_min: Any, v_max: Any) -> tuple[float, float]:
    low, high = V_MIN.check(v_min), V_MAX.check(v_max)
    if not low < high:
        raise ValueError(f"v_min must be below v_max, got v_min={low!r}, v_max={high!r}")
    return low, high


def _check_count(count: Any, name: str, least: int) -> Any:
    if torch.jit.is_tracing() and isinstance(count, torch.Tensor):  # what a shape holds there
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int | torch.SymInt):
        raise TypeError(f"{name} must be an int, got {type(count).__name__}")
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}")
    return count


def _share_of_range(y: Any, low: float, high: float) -> torch.Tensor:
    """How far values are from the low end of the range to the high one: 0 to 1, float64."""
    y = VALUES.check(y, "y").detach()
    outside = ~((y >= low) & (y <= high))
    for dtype in DTYPES:  # a rounded end may lie beyond the end itself, and means it
        for end in (low, high):
            outside = outside & ~((y == y.new_full((), end, dtype=dtype).to(y)) & y.isfinite())
    if seen(outside):
        raise ValueError(
            f"y must lie in [v_min, v_max] = [{low:g}, {high:g}], got {first_where(outside, y)!r}; "
            "clip it with y.clamp(v_min, v_max) if the ends may stand for what is beyond"
        )
    # Clipped as a share: inductor may keep other bounds than literal ones from its first call.
    return ((y.to(row_dtype(y)) - low) / (high - low)).clamp(0.0, 1.0)


def two_hot_target(
    y: torch.Tensor, *, v_min: float = -10.0, v_max: float = 10.0, num_locations: int = 51
) -> torch.Tensor:
    """Two-hot target: the value is shared between its two nearest locations, its mean is exact.

    y : floating tensor (...) with values in [v_min, v_max]. `num_locations` >= 2 (default 51)
    equally spaced locations include both ends. Returns (..., num_locations), float64; rows sum to
    one.

    Raises TypeError for a y that is not a floating tensor, ValueError for values out of range
    (checked on the CPU; clipped elsewhere), v_min >= v_max or num_locations < 2.
    """
    place = among_locations(y, v_min, v_max, num_locations)
    return two_hot_shares(place, torch.arange(num_locations, device=y.device))


def among_locations(
    y: torch.Tensor, v_min: float, v_max: float, num_locations: int
) -> torch.Tensor:
    """The place (...) of values, float64: 0 is the first location and 1 the next."""
    low, high = _check_range(v_min, v_max)
    count = _check_count(num_locations, "num_locations", 2)
    return _share_of_range(y, low, high) * (count - 1)


def two_hot_shares(place: torch.Tensor, locations: torch.Tensor) -> torch.Tensor:
    """The shares (..., W) that some locations, by number, have in values at these places (...)."""
    return (1.0 - (place.unsqueeze(-1) - locations).abs()).clamp_min(0.0)


def hl_gauss_target(
    y: torch.Tensor,
    *,
    v_min: float = -10.0,
    v_max: float = 10.0,
    num_bins: int = 51,
    sigma_over_binwidth: float = 0.75,
    sigma: float | None = None,
) -> torch.Tensor:
    """HL-Gauss target: the mass that a normal distribution around the value puts in each bin.

    y : floating tensor (...) with values in [v_min, v_max], which `num_bins` >= 1 (default 51) bins
    of equal width cover. `sigma` is the standard deviation in units of y; by default it is
    `sigma_over_binwidth` (0.75) bin widths. Mass beyond the ends is shared out in proportion.
    Returns (..., num_bins), float64, rows sum to 1.

    Raises TypeError for a y that is not a floating tensor, ValueError for values out of range
    (checked on the CPU; clipped elsewhere), v_min >= v_max, num_bins < 1 or sigma <= 0.
    """
    place, deviation = among_bins(y, v_min, v_max, num_bins, sigma_over_binwidth, sigma)
    return bell_shares(place, torch.arange(num_bins, device=y.device), deviation)


def among_bins(
    y: torch.Tensor,
    v_min: float,
    v_max: float,
    num_bins: int,
    sigma_over_binwidth: float,
    sigma: float | None,
) -> tuple[torch.Tensor, float]:
    """The place (...) of values, float64, and the standard deviation, both in bin widths."""
    low, high = _check_range(v_min, v_max)
    count = _check_count(num_bins, "num_bins", 1)
    deviation = RELATIVE_SIGMA.check(sigma_over_binwidth)
    if sigma is not None:
        deviation = SIGMA.check(sigma) / (high - low) * count
    return _share_of_range(y, low, high) * count, deviation


def bell_shares(place: torch.Tensor, bins: torch.Tensor, deviation: float) -> torch.Tensor:
    """The shares (..., W) that some bins, by number, have in bells around these places (...)."""
    left, right = (
        (bins + edge - place.unsqueeze(-1)) / (math.sqrt(2) * deviation) for edge in (0, 1)
    )
    # In the upper tail erf is 1 to rounding and its differences lose all digits: mirror it.
    upper = left > 0
    left, right = torch.where(upper, -right, left), torch.where(upper, -left, right)
    masses = torch.erfc(-right) - torch.erfc(-left)
    return masses / masses.sum(-1, keepdim=True)


def c51_projection(
    supports: torch.Tensor, weights: torch.Tensor, target_support: torch.Tensor
) -> torch.Tensor:
    """Move the mass at `supports` onto `target_support`, each atom to its two nearest neighbours.

    supports, weights : floating tensors (..., M); target_support : (K,), increasing and equally
    spaced. What lies beyond an end goes to that end. Returns (..., K) in the dtype of `weights`.

    Raises TypeError for a wrong dtype, ValueError for unequal shapes, a support that is not
    increasing and equally spaced, negative weights or weights that do not sum to one.
    """
    for name, value in (("supports", supports), ("target_support", target_support)):
        _check_atoms(value, name)
    _check_distribution(weights, "weights")
    if supports.shape[-1] != weights.shape[-1]:
        raise ValueError(
            f"supports and weights must have one last axis, got {tuple(supports.shape)} and "
            f"{tuple(weights.shape)}"
        )
    step = _spacing(target_support)
    clipped = supports.clamp(target_support[0], target_support[-1]).unsqueeze(-2)
    distance = (clipped - target_support.unsqueeze(-1)).abs() / step
    return ((1.0 - distance).clamp_min(0.0) * weights.unsqueeze(-2)).sum(-1)


def c51_target(
    support: torch.Tensor,
    next_probs: torch.Tensor,
    *,
    reward: torch.Tensor | float,
    gamma: float = 0.99,
    terminal: torch.Tensor | bool = False,
) -> torch.Tensor:
    """Categorical target of distributional value learning: reward plus discounted next values.

    support : floating tensor (K,), increasing and equally spaced; next_probs (..., K), the next
    state's distribution over it; reward (...) or a number; `gamma` in [0, 1], default 0.99;
    `terminal` (...) bool: no next state, all mass at the reward. Returns (..., K).

    Raises as `c51_projection` does, and for a gamma that is not a number in [0, 1].
    """
    _check_atoms(support, "support")
    _check_distribution(next_probs, "next_probs")
    if support.shape[0] != next_probs.shape[-1]:
        raise ValueError(
            f"next_probs must have shape (..., {support.shape[0]}), one entry per atom of support, "
            f"got {tuple(next_probs.shape)}"
        )
    gamma = DISCOUNT.check(gamma)
    reward = torch.as_tensor(reward, dtype=support.dtype, device=support.device).unsqueeze(-1)
    goes_on = ~torch.as_tensor(terminal, dtype=torch.bool, device=support.device).unsqueeze(-1)
    moved = reward + gamma * (goes_on * support)  # grouped: a number times bool is float32
    moved, weights = torch.broadcast_tensors(moved, next_probs)
    return c51_projection(moved, weights, support)


def _check_atoms(values: Any, name: str) -> None:
    Inputs(Argument(name, VALUES, "... K")).check({name: values})


def _check_distribution(weights: Any, name: str) -> None:
    _check_atoms(weights, name)
    if seen(weights < 0):
        raise ValueError(f"{name} must not be negative, got {first_where(weights < 0, weights)!r}")
    total = weights.to(row_dtype(weights)).sum(-1)
    off = ~((total - 1).abs() <= slack_of_a_sum(weights, weights.shape[-1], least=1e-4))
    if seen(off):
        raise ValueError(
            f"{name} must sum to one over the last axis, got {first_where(off, total)!r}"
        )


def _spacing(support: torch.Tensor) -> torch.Tensor:
    if support.ndim != 1 or len(support) < 2:
        raise ValueError(
            f"support must have shape (K,) with K >= 2 atoms, got {tuple(support.shape)}"
        )
    steps = support.diff()
    if seen((steps <= 0) | ((steps - steps[0]).abs() > 1e-4 * steps[0])):
        raise ValueError(f"support must increase in equal steps, got steps {steps.tolist()}")
    return (support[-1] - support[0]) / (len(support) - 1)


def decode(
    logits: torch.Tensor, *, v_min: float = -10.0, v_max: float = 10.0, centres: bool = True
) -> torch.Tensor:
    """The value (...) that logits (..., K) stand for: the mean of their softmax over the bins.

    `centres` True (default) puts K bin centres inside [v_min, v_max], as HL-Gauss does; False puts
    K >= 2 locations on it including both ends, as two-hot does.

    Raises TypeError or ValueError for wrong logits, v_min >= v_max or too few bins.
    """
    low, high = _check_range(v_min, v_max)
    Inputs(CLASS_LOGITS["logits"]).check({"logits": logits})
    count = _check_count(logits.shape[-1], "the number of bins", 1 if centres else 2)
    inset = (high - low) / (2 * count) if centres else 0.0
    exact = row_dtype(logits)
    places = torch.linspace(low + inset, high - inset, count, dtype=exact, device=logits.device)
    return (logits.to(exact).softmax(-1) * places).sum(-1).to(logits.dtype)
