"""Numbers of many digits that carry their partial derivatives, and the functions of them.

Any formula in plain arithmetic then gives its gradient, with no torch and no difference quotient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import total_ordering
from typing import Any

import mpmath


@total_ordering
class Dual:
    """A number with its partial derivatives by the index of what it depends on.

    `ties` counts the comparisons of equal numbers with different derivatives: where a maximum has
    to choose between them the result has a kink, and any gradient of either side will do.
    """

    ties = 0

    def __init__(self, value: Any, partials: Mapping[int, Any]) -> None:
        self.value = value
        self.partials = partials

    def __add__(self, other: Any) -> Dual:
        value, partials = _split(other)
        total = dict(self.partials)
        for i, slope in partials.items():
            total[i] = total[i] + slope if i in total else slope
        return Dual(self.value + value, total)

    def __mul__(self, other: Any) -> Dual:
        value, partials = _split(other)
        # 0 times a function is nothing, even where its slope is infinite
        total = {i: slope * value for i, slope in self.partials.items()} if value != 0 else {}
        if self.value != 0:
            for i, slope in partials.items():
                term = self.value * slope
                total[i] = total[i] + term if i in total else term
        return Dual(self.value * value, total)

    def __pow__(self, power: Any) -> Dual:
        if power == 0:
            return Dual(mpmath.mpf(1), {})
        vertical = self.value == 0 and power < 1
        return _chain(
            self,
            self.value**power,
            lambda x: mpmath.inf if vertical else power * x ** (power - 1),
        )

    def __truediv__(self, other: Any) -> Dual:
        return self * (other**-1 if isinstance(other, Dual) else 1 / mpmath.mpf(other))

    def __neg__(self) -> Dual:
        return self * -1

    def __sub__(self, other: Any) -> Dual:
        return self + -other

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    def __rtruediv__(self, other: Any) -> Dual:
        return self**-1 * other

    def __abs__(self) -> Dual:
        return self * (1 if self.value > 0 else -1 if self.value < 0 else 0)

    def __eq__(self, other: Any) -> bool:
        return bool(self.value == held(other))

    def __lt__(self, other: Any) -> bool:
        if self == other and any((self - other).partials.values()):
            Dual.ties += 1
        return bool(self.value < held(other))

    __radd__ = __add__
    __rmul__ = __mul__
    __hash__ = None  # type: ignore[assignment]


def held(x: Any) -> Any:
    """The number alone, held fixed where derivatives are taken."""
    return x.value if isinstance(x, Dual) else x


def partials(x: Any) -> Mapping[int, Any]:
    """The partial derivatives of a result."""
    return x.partials if isinstance(x, Dual) else {}


def _split(x: Any) -> tuple[Any, Mapping[int, Any]]:
    return held(x), partials(x)


def _chain(x: Any, value: Any, slope: Callable[[Any], Any]) -> Any:
    if not isinstance(x, Dual):
        return value
    at = slope(x.value) if x.partials else 0
    return Dual(value, {i: at * partial for i, partial in x.partials.items()})


def exp(x: Any) -> Any:
    value = mpmath.exp(held(x))
    return _chain(x, value, lambda _: value)


def log(x: Any) -> Any:
    return _chain(x, mpmath.log(held(x)), lambda at: 1 / at)


def log1p(x: Any) -> Any:
    return _chain(x, mpmath.log1p(held(x)), lambda at: 1 / (1 + at))


def expm1(x: Any) -> Any:
    return _chain(x, mpmath.expm1(held(x)), mpmath.exp)


def sqrt(x: Any) -> Any:
    """The square root, with slope 0 at 0 by convention: there a length has its corner."""
    value = mpmath.sqrt(held(x))
    return _chain(x, value, lambda _: 1 / (2 * value) if value else mpmath.mpf(0))


def logsumexp(terms: list[Any]) -> Any:
    largest = max(held(term) for term in terms)
    return largest + log(sum(exp(term - largest) for term in terms))


def softmax(scores: list[Any]) -> list[Any]:
    weights = [exp(score - max(map(held, scores))) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def softplus(x: Any) -> Any:
    """log(1 + exp(x)) as a sum of positive terms, so that digits last whatever x is."""
    return logsumexp([x * 0, x])
