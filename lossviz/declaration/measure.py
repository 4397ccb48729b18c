"""A measure: a number about data or a model that can be computed in one piece or in a stream.

Three pure functions say what it is: `of_batch` makes sums of a batch, `merge` joins two sums (by
adding, unless told otherwise), `finish` turns sums into the number. The whole-array function and
the stream follow, and any split, order or merge gives the number of the whole.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch

from .facts import Fact
from .inputs import Inputs
from .numbers import check_ignore_index
from .parameter import Parameter
from .source import Source
from .words import check_reading, docstring_words

Sums = TypeVar("Sums", bound=NamedTuple)


def add(one: Sums, other: Sums) -> Sums:
    """The sums of two disjoint batches, entry by entry."""
    return type(one)(*(a + b for a, b in zip(one, other, strict=True)))


@dataclass(frozen=True)
class Measure(Generic[Sums]):
    """The declaration of one measure; calling it gives the number of whole arrays.

    `of_batch(**tensors)` receives what `inputs` has checked, plus ``kept`` if it asks for it (the
    mask of labels that count), and returns a NamedTuple of tensors; counts are int64 and other sums
    float64, whatever came in. `better` says which way is good, `units` what the number is in.
    Parameters are numbers that `of_batch` or `finish` take by name.
    """

    key: str
    title: str
    family: str
    summary: str
    notes: str
    latex: str
    inputs: Inputs
    of_batch: Callable[..., Sums]
    finish: Callable[..., torch.Tensor]
    better: Literal["lower", "higher", "neither"]
    units: str
    source: Source
    merge: Callable[[Sums, Sums], Sums] = add
    parameters: tuple[Parameter, ...] = ()
    facts: tuple[Fact, ...] = ()
    related: tuple[str, ...] = ()
    reading: bool = False
    also: tuple[str, ...] = ()  # other names that a reader may look for

    def __post_init__(self) -> None:
        check_reading(self)

    def __call__(self, *tensors: Any, **options: Any) -> torch.Tensor:
        """The number of whole arrays; what `stream` gives for any split of them.

        Options are the parameters and, where labels can be ignored, ``ignore_index``. Raises as the
        inputs do.
        """
        given, numbers = self._sort(options)
        return self.stream(**numbers).update(*tensors, **given).compute()

    def stream(self, **options: Any) -> Stream[Sums]:
        """An empty stream with these parameters."""
        given, numbers = self._sort(options)
        if given:
            raise TypeError(f"stream() of {self.key} got the tensors {sorted(given)}: update them")
        return Stream(self, numbers)

    def example(self) -> tuple[torch.Tensor, ...]:
        """What its facts are checked on: twelve rows in float64."""
        return self.inputs.example(batch=(12,), N=12, scale=3.0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _found_in, (self.of_batch.__module__, self.key)  # its facts hold lambdas

    def _sort(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors given by name, and options with defaults, checked."""
        names = {argument.name for argument in self.inputs.arguments}
        given = {name: value for name, value in options.items() if name in names}
        known = {p.name: p for p in self.parameters}
        allowed = {*known, "ignore_index"} if self.inputs.ignorable else set(known)
        unknown = sorted(set(options) - names - allowed)
        if unknown:
            raise TypeError(
                f"{self.key}() got an unexpected {unknown[0]}, expected some of "
                f"{sorted(names | allowed)}"
            )
        numbers: dict[str, Any] = {
            name: p.check(options.get(name, p.default)) for name, p in known.items()
        }
        if self.inputs.ignorable:
            numbers["ignore_index"] = check_ignore_index(options.get("ignore_index", -100))
        return given, numbers

    def sums(self, tensors: tuple[Any, ...], given: Mapping[str, Any], numbers: Any) -> Sums:
        """The sums of one batch."""
        places = [argument.name for argument in self.inputs.arguments]
        if len(tensors) > len(places):
            raise TypeError(f"{self.key} takes {len(places)} arrays, got {len(tensors)}")
        values = dict(zip(places, tensors, strict=False)) | dict(given)
        checked = self.inputs.check(values, numbers.get("ignore_index"))
        wanted = inspect.signature(self.of_batch).parameters
        options = {name: value for name, value in numbers.items() if name in wanted}
        if "kept" in wanted:
            options["kept"] = checked.kept
        return self.of_batch(**checked.tensors, **options)

    def finished(self, sums: Sums, numbers: Mapping[str, Any]) -> torch.Tensor:
        """The number that sums stand for."""
        wanted = inspect.signature(self.finish).parameters
        return self.finish(sums, **{n: v for n, v in numbers.items() if n in wanted})

    def __repr__(self) -> str:
        return f"<{self.key}: {self.summary} In {self.units}; {self.better} is better.>"


def _found_in(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


class Stream(Generic[Sums]):
    """Sums of the batches seen so far; gradients are not recorded.

    `update` adds a batch, `merge` another stream of the same measure and parameters (of another
    process, say), `compute` gives the number, `reset` forgets. Before the first batch `compute` is
    NaN.
    """

    def __init__(self, measure: Measure[Sums], numbers: Mapping[str, Any]) -> None:
        self.measure = measure
        self.numbers = dict(numbers)
        self.sums: Sums | None = None

    @torch.no_grad()
    def update(self, *tensors: Any, **given: Any) -> Stream[Sums]:
        """Add a batch; raises as the inputs of the measure do, and then adds nothing."""
        new = self.measure.sums(tensors, given, self.numbers)
        self.sums = new if self.sums is None else self.measure.merge(self.sums, new)
        return self

    def merge(self, other: Stream[Sums]) -> Stream[Sums]:
        """Add what another stream has seen.

        Raises TypeError for what is not a stream of the same measure, ValueError for one with other
        parameters.
        """
        if not isinstance(other, Stream) or other.measure.key != self.measure.key:
            got = other.measure.key if isinstance(other, Stream) else type(other).__name__
            raise TypeError(f"other must be a stream of {self.measure.key}, got {got}")
        if other.numbers != self.numbers:
            raise ValueError(f"other must have the parameters {self.numbers}, got {other.numbers}")
        if other.sums is not None:
            mine = self.sums
            self.sums = other.sums if mine is None else self.measure.merge(mine, other.sums)
        return self

    def compute(self) -> torch.Tensor:
        """The number of everything seen so far, float64."""
        if self.sums is None:
            return torch.tensor(torch.nan, dtype=torch.float64)
        return self.measure.finished(self.sums, self.numbers)

    def reset(self) -> None:
        """Forget every batch."""
        self.sums = None


def measure(
    *,
    family: str,
    latex: str,
    inputs: Inputs,
    finish: Callable[..., torch.Tensor],
    better: Literal["lower", "higher", "neither"],
    units: str,
    source: Source,
    merge: Callable[[Any, Any], Any] = add,
    parameters: tuple[Parameter, ...] = (),
    facts: tuple[Fact, ...] = (),
    related: tuple[str, ...] = (),
    reading: bool = False,
) -> Callable[[Callable[..., Any]], Measure[Any]]:
    """Make the `Measure` whose sums the function below it makes of a batch.

    Its docstring starts with "Title: summary.".
    """

    def decorate(of_batch: Callable[..., Any]) -> Measure[Any]:
        title, summary, notes = docstring_words(of_batch)
        defaults = {
            name: p.default
            for function in (finish, of_batch)
            for name, p in inspect.signature(function).parameters.items()
        }
        numbers = tuple(replace(p, default=defaults[p.name]) for p in parameters)
        return Measure(
            of_batch.__name__, title, family, summary, notes, latex, inputs, of_batch, finish,
            better, units, source, merge, numbers, facts, related, reading,
        )  # fmt: skip

    return decorate
