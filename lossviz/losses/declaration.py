"""What is said about a loss, once: the records that make pages, sliders, modules and tests.

A family module writes a torch function (the algorithm) and, directly under it, one `Loss` (the
meaning: formula, parameters, properties, sources). Everything else reads the `Loss`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import torch

from .modules import make_module

if TYPE_CHECKING:  # importing sympy takes a third of a second, which only symbolic work should pay
    import sympy as sp


@dataclass(frozen=True)
class Source:
    """Where a statement comes from.

    `key` is a key of `book/references.bib`; `where` narrows it ("eq. 3", "section 2"); `note` says
    in one sentence how the source and this package differ, when they do.
    """

    key: str
    where: str = ""
    note: str = ""


@dataclass(frozen=True)
class Parameter:
    """One scalar parameter of a loss: its range, what the ends of the range mean, its slider.

    `name` is the keyword argument, `symbol` its LaTeX. `low` and `high` bound the range, closed
    unless `low_open` or `high_open`. `slider` is (start, stop, step) for live figures.
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
        return f"{left}{_number(self.low)}, {_number(self.high)}{right}"

    def check(self, value: Any) -> float:
        """Return `value` as a float if it lies in the range, else raise.

        Raises TypeError for anything but a real number, ValueError outside the range.
        """
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{self.name} must be a number, got {type(value).__name__}: {value!r}")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"{self.name} must lie in {self.interval}, got {value!r}") from None
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        if not (above and below) or value in (math.inf, -math.inf):
            raise ValueError(f"{self.name} must lie in {self.interval}, got {value!r}")
        return value


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:g}"


@dataclass(frozen=True)
class SymbolicForm:
    """The meaning of a loss of class logits, as a sympy expression.

    `value(arguments, target)` receives K expressions and the index of the target class, and returns
    the loss of one example in nats. The arguments are softmax probabilities, or the logits
    themselves when `over` is "logits": for losses that are no function of the softmax, or simpler
    without it. Parameters appear as the symbols `Parameter.sympy`.
    """

    value: Callable[[Sequence[sp.Expr], int], sp.Expr]
    over: Literal["probabilities", "logits"] = "probabilities"

    def of_probabilities(self, probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
        """The loss of one example whose softmax probabilities are given.

        Probabilities fix the logits up to a constant. It is chosen such that the logits sum to
        zero, which matters only to a loss that sees a constant added to all of them.
        """
        if self.over == "probabilities":
            return self.value(probabilities, target)
        import sympy as sp

        logs = [sp.log(probability) for probability in probabilities]
        mean = sp.Add(*logs) / len(logs)
        return self.value([log - mean for log in logs], target)

    def of_logits(self, logits: Sequence[sp.Expr], target: int) -> sp.Expr:
        """The loss of one example whose logits are given."""
        if self.over == "logits":
            return self.value(logits, target)
        import sympy as sp

        weights = [sp.exp(logit) for logit in logits]
        total = sp.Add(*weights)
        return self.value([weight / total for weight in weights], target)

    def along_target_probability(self, probability: sp.Expr, num_classes: int) -> sp.Expr:
        """The loss when the other classes share what the target leaves equally."""
        other = (1 - probability) / (num_classes - 1)
        return self.of_probabilities([probability] + [other] * (num_classes - 1), 0)


@dataclass(frozen=True)
class Property:
    """A fact about a loss: its name, the statement with its assumptions, and where it is from.

    `status` is "proved" (elementary, or in the cited source), "quoted" (from the source, not
    re-derived here) or "measured" (shown by our own experiment).
    """

    name: str
    statement: str
    status: str = "proved"
    source: Source | None = None


@dataclass(frozen=True)
class Limit:
    """An identity that must hold, with the check that shows it.

    `check()` returns the two tensors that the statement says are equal; `rtol` bounds their
    relative difference (the exact limit may only be approached).
    """

    statement: str
    check: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    rtol: float = 1e-9


@dataclass(frozen=True)
class Loss:
    """The declaration of one loss. See the module docstring for how it is used."""

    key: str
    title: str
    family: str
    function: Callable[..., torch.Tensor]
    summary: str
    latex: str
    gradient: str
    inputs: str
    stability: str
    source: Source
    parameters: tuple[Parameter, ...] = ()
    form: SymbolicForm | None = None
    properties: tuple[Property, ...] = ()
    limits: tuple[Limit, ...] = ()
    notes: str = ""
    related: tuple[str, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Call the torch function."""
        return self.function(*args, **kwargs)

    @cached_property
    def module(self) -> type[torch.nn.Module]:
        """The nn.Module class made from the function's signature."""
        return make_module(self.function, self.parameters)

    @property
    def defaults(self) -> dict[str, float]:
        """Default value of every declared parameter, by name."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    @property
    def sources(self) -> tuple[Source, ...]:
        """The main source, then those of the properties, without repeats."""
        found = [self.source] + [item.source for item in self.properties if item.source]
        return tuple(dict.fromkeys(found))

    @property
    def signature(self) -> inspect.Signature:
        """The signature of the torch function."""
        return inspect.signature(self.function)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{p.name}={p.default:g} in {p.interval}" for p in self.parameters)
        said = f" Parameters: {parameters}." if parameters else ""
        return f"<{self.key}: {self.summary}{said}>"

    def _repr_markdown_(self) -> str:
        rows = "".join(
            f"| `{p.name}` (${p.symbol}$) | {p.default:g} | {p.interval} | {p.meaning} |\n"
            for p in self.parameters
        )
        table = (
            f"\n| parameter | default | range | meaning |\n|---|---|---|---|\n{rows}"
            if rows
            else ""
        )
        where = f", {self.source.where}" if self.source.where else ""
        return (
            f"**{self.title}** (`{self.key}`). {self.summary}\n\n$${self.latex}$$\n{table}\n"
            f"Source: `{self.source.key}`{where}."
        )
