"""Scalar parameters of a loss or a law: range, slider, and what the ends of the range mean."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:  # importing sympy takes a third of a second, which only symbolic work should pay
    import sympy as sp


@dataclass(frozen=True)
class Parameter:
    """One scalar parameter: its range, what the ends of the range mean, its slider.

    `name` is the keyword argument, `symbol` its LaTeX. `low` and `high` bound the range, closed
    unless `low_open` or `high_open`. `slider` is (start, stop, step) for live figures, `label` and
    `ends` what stands above and below it there: a few words, where `meaning`, `at_low` and
    `at_high` need more. A `whole` one takes whole numbers only (how many bins, say).
    """

    name: str
    symbol: str
    default: float
    low: float
    high: float
    slider: tuple[float, float, float]
    meaning: str
    at_low: str
    at_high: str
    low_open: bool = False
    high_open: bool = False
    whole: bool = False
    label: str = ""
    ends: tuple[str, str] = ("", "")

    @property
    def sympy(self) -> sp.Symbol:
        """The symbol that stands for this parameter in a symbolic form."""
        import sympy as sp

        return sp.Symbol(self.name, real=True)

    @property
    def interval(self) -> str:
        """The range in mathematical notation, such as ``[0, ∞)``."""
        left = "(" if self.low_open or math.isinf(self.low) else "["
        right = ")" if self.high_open or math.isinf(self.high) else "]"
        return f"{left}{_written(self.low)}, {_written(self.high)}{right}"

    def contains(self, value: float) -> bool:
        """Whether a finite number lies in the range."""
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        return above and below and value not in (math.inf, -math.inf)

    def check(self, value: Any) -> float:
        """Return `value` as a float if it lies in the range, else raise.

        Raises TypeError for anything but a real number, ValueError outside the range.
        """
        if isinstance(value, torch.Tensor):
            raise TypeError(
                f"{self.name} must be a number, got a tensor {tuple(value.shape)}: declared "
                "parameters are plain numbers, checked without waiting for a device. Pass "
                "float(value) for a fixed one; for one that is learnt, apply it to what the loss "
                "receives (logits / temperature, say)"
            )
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{self.name} must be a number, got {type(value).__name__}: {value!r}")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"{self.name} must lie in {self.interval}, got {value!r}") from None
        if not self.contains(value):
            raise ValueError(f"{self.name} must lie in {self.interval}, got {value!r}")
        if self.whole and not value.is_integer():
            raise ValueError(f"{self.name} must be a whole number, got {value!r}")
        return value


def _written(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:g}"


_INTERVAL = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")


def number(
    name: str,
    symbol: str,
    interval: str,
    slider: tuple[float, float, float],
    meaning: str,
    at_low: str,
    at_high: str,
    *,
    default: float = math.nan,
    whole: bool = False,
    label: str = "",
    ends: tuple[str, str] = ("", ""),
) -> Parameter:
    """A parameter whose range is written as an interval, such as ``"[0, inf)"``.

    `declare` reads the default from the signature of the formula; where there is no formula, give
    it here. Raises ValueError for an interval that cannot be read.
    """
    read = _INTERVAL.fullmatch(interval.strip())
    if read is None:
        raise ValueError(f"interval must look like '[0, inf)', got {interval!r}")
    left, low, high, right = read.groups()
    return Parameter(
        name, symbol, default, float(low), float(high), slider, meaning, at_low, at_high,
        low_open=left == "(" and not math.isinf(float(low)),
        high_open=right == ")" and not math.isinf(float(high)),
        whole=whole, label=label, ends=ends,
    )  # fmt: skip
