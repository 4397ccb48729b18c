"""A law: a closed formula in named numbers (a bound, an optimum, a ceiling, a scaling).

    @law(form="p/(2*n)", axis=number("n", ...), parameters=(number("p", ...),), source=...)
    def pn_leading_term(n, *, p=10.0):
        "Title: summary."

The function is the algorithm, the form its meaning; from the form follow the page, its sliders and
its curve.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from .arrays import Array, as_tensor, like
from .facts import Fact
from .form import parse
from .numbers import first_where, seen
from .parameter import Parameter
from .source import Source
from .words import check_reading, docstring_words

if TYPE_CHECKING:
    import sympy as sp


@dataclass(frozen=True)
class Law:
    """The declaration of one law; calling it checks the numbers and evaluates `function`.

    The first argument is an array of values of `axis` (a float, a list, a numpy array or a tensor;
    the result is of the same kind), the `parameters` are numbers, given by name. `value` says what
    comes out, with its unit. `over` is true where the axis is to be drawn in powers of ten. A
    `reading` is our own reading of a paper whose equations were not available to us.
    """

    key: str
    title: str
    family: str
    function: Callable[..., torch.Tensor]
    summary: str
    notes: str
    latex: str
    form: str
    axis: Parameter
    value: str
    source: Source
    parameters: tuple[Parameter, ...] = ()
    facts: tuple[Fact, ...] = ()
    related: tuple[str, ...] = ()
    logarithmic: bool = False
    reading: bool = False
    also: tuple[str, ...] = ()  # other names that a reader may look for

    def __post_init__(self) -> None:
        check_reading(self)
        object.__setattr__(self, "__doc__", self._help())  # what `help` shows of this one

    def _help(self) -> str:
        numbers = "\n".join(
            f"{p.name} : number in {p.interval}, default {p.default:g}: {p.meaning}."
            for p in self.parameters
        )
        where = f", {self.source.where}" if self.source.where else ""
        return (
            f"{self.title}: {self.summary}\n\n.. math:: {self.latex}\n\nParameters\n----------\n"
            f"{self.axis.name} : array in {self.axis.interval}: {self.axis.meaning}.\n{numbers}\n\n"
            f"Returns\n-------\n{self.value}, an array like `{self.axis.name}`.\n\n"
            f"Raises\n------\nTypeError for what is not a number, ValueError out of range.\n\n"
            f"Notes\n-----\n{self.notes}\n\nSource: {self.source.key}{where}."
        )

    def __call__(self, axis: Array, **numbers: Any) -> Any:
        """The law at values of the axis; TypeError or ValueError for what is not in range."""
        unknown = sorted(set(numbers) - {p.name for p in self.parameters})
        if unknown:
            names = [p.name for p in self.parameters]
            raise TypeError(
                f"{self.key}() got an unexpected {unknown[0]}, expected some of {names}"
            )
        chosen = {p.name: p.check(numbers.get(p.name, p.default)) for p in self.parameters}
        values = as_tensor(self.axis.name, axis)
        outside = ~self._within(values) & ~values.isnan()
        if seen(outside):
            first = first_where(outside, values)
            raise ValueError(f"{self.axis.name} must lie in {self.axis.interval}, got {first!r}")
        return like(self.function(values, **chosen), axis)

    def _within(self, values: torch.Tensor) -> torch.Tensor:
        axis = self.axis
        above = values > axis.low if axis.low_open else values >= axis.low
        below = values < axis.high if axis.high_open else values <= axis.high
        return above & below

    @property
    def defaults(self) -> dict[str, float]:
        """Default value of every parameter, by name."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    @property
    def expression(self) -> sp.Expr:
        """The form as a sympy expression in the symbols of the axis and the parameters."""
        return parse(self.form, (self.axis, *self.parameters))

    def grid(self, count: int = 33) -> torch.Tensor:
        """Values (count,) along the slider of the axis, evenly or in equal ratios."""
        start, stop, _ = self.axis.slider
        if self.logarithmic:
            return torch.logspace(0, 1, count, base=stop / start, dtype=torch.float64) * start
        return torch.linspace(start, stop, count, dtype=torch.float64)

    def example(self) -> tuple[torch.Tensor, ...]:
        """What its facts are checked on."""
        return (self.grid(),)

    def __repr__(self) -> str:
        return f"<{self.key}: {self.summary} Over {self.axis.name} in {self.axis.interval}.>"


def law(
    *,
    family: str,
    latex: str,
    form: str,
    axis: Parameter,
    value: str,
    source: Source,
    parameters: tuple[Parameter, ...] = (),
    facts: tuple[Fact, ...] = (),
    related: tuple[str, ...] = (),
    logarithmic: bool = False,
    reading: bool = False,
) -> Callable[[Callable[..., torch.Tensor]], Law]:
    """Make the `Law` of the function below it, whose docstring starts with "Title: summary."."""

    def decorate(function: Callable[..., torch.Tensor]) -> Law:
        title, summary, notes = docstring_words(function)
        keywords = inspect.signature(function).parameters
        numbers = tuple(replace(p, default=keywords[p.name].default) for p in parameters)
        return Law(
            function.__name__, title, family, function, summary, notes, latex, form, axis, value,
            source, numbers, facts, related, logarithmic, reading,
        )  # fmt: skip

    return decorate
