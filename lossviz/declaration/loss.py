"""The declaration of one loss: what pages, sliders, modules and tests are made from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from .facts import Fact, Trait, When
from .form import SymbolicForm, TargetForm, parse
from .inputs import Inputs
from .module import make_module
from .parameter import Parameter
from .source import Source
from .view import View
from .words import check_reading


@dataclass(frozen=True)
class Gradient:
    """The gradient of the loss in the first argument that is learnt, as LaTeX and as code.

    `compute(*tensors, **parameters)` returns the gradient of the summed rows; a test holds it
    against autograd, so that the LaTeX stands beside something that is checked.
    """

    latex: str
    compute: Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Loss:
    """The declaration of one loss; calling it calls its function.

    `function` is the public torch function, `formula` what its author wrote: a function of
    checked tensors, or of a `Row`. `inputs` are its arguments, `breaks` the names of the
    `symmetries` that it does not have, each perhaps with a condition, and "derivative" where
    its gradient is not that of its value; `view` is how its picture departs from what the
    inputs ask for (`View` has the entries). A `reading` is our own reading of a paper whose
    equations were not available to us. `also` are other names and topics that a reader may look
    for, `in_torch` is an expression that gives the mean at the default parameters without this
    package (``F`` is torch.nn.functional), `use` says when to take the loss, and `avoid` when
    to take another.
    """

    key: str
    title: str
    family: str
    function: Callable[..., torch.Tensor]
    formula: Callable[..., Any]
    summary: str
    latex: str
    inputs: Inputs
    source: Source
    parameters: tuple[Parameter, ...] = ()
    form: SymbolicForm | None = None
    slope: str = ""
    derivative: Gradient | None = None
    facts: tuple[Fact, ...] = ()
    stability: str = ""
    notes: str = ""
    related: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    view: View = field(default_factory=View)
    reading: bool = False
    also: tuple[str, ...] = ()
    in_torch: str = ""
    use: str = ""
    avoid: str = ""

    def __post_init__(self) -> None:
        check_reading(self)
        self.view.check([a.name for a in self.inputs.arguments], self.defaults)

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Call the torch function."""
        return self.function(*args, **kwargs)

    @cached_property
    def module(self) -> type[torch.nn.Module]:
        """The nn.Module class made from the function's signature."""
        return make_module(self.function, self.parameters)

    @property
    def of_a_row(self) -> bool:
        """Whether the formula reads a `Row`, so that it serves a large head as well."""
        return next(iter(inspect.signature(self.formula).parameters)) == "row"

    def example(self) -> tuple[torch.Tensor, ...]:
        """What its facts are checked on: twelve rows in float64."""
        return self.inputs.example(batch=(12,), scale=3.0)

    def has(self, name: str, parameters: Mapping[str, float]) -> bool:
        """Whether it is declared to have a symmetry at these parameters: `breaks` has no say."""
        said = (entry.partition(" for ") for entry in self.breaks)
        return not any(name == broken and When(when).met(parameters) for broken, _, when in said)

    @property
    def defaults(self) -> dict[str, float]:
        """Default value of every declared parameter, by name."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    @property
    def traits(self) -> dict[Trait, str]:
        """What its facts say it is, each with the parameters at which it is so ("" is always)."""
        return {fact.trait: fact.when for fact in reversed(self.facts) if fact.trait}

    @property
    def call(self) -> str:
        """A few lines that run: tensors of the shapes of its inputs, and the loss of them."""
        names = [argument.name for argument in self.inputs.required]
        drawn = [f"{argument.name} = {argument.code}" for argument in self.inputs.required]
        given = ", ".join(names + [f"{p.name}={p.default:g}" for p in self.parameters])
        called = f"loss = {self.key}({given})"
        if len(called) > 80:
            called = f"loss = {self.key}(\n    {given.replace(', ', f',{chr(10)}    ')},\n)"
        imports = ["import torch", f"from lossviz.losses import {self.key}", ""]
        return "\n".join([*imports, *drawn, called])

    @property
    def sources(self) -> tuple[Source, ...]:
        """The main source, then those of the facts, without repeats."""
        found = [self.source] + [fact.source for fact in self.facts if fact.source]
        return tuple(dict.fromkeys(found))

    @property
    def signature(self) -> inspect.Signature:
        """The signature of the torch function."""
        return inspect.signature(self.function)

    @property
    def gradient(self) -> str:
        """LaTeX of the gradient: derived from the form, or the checked `derivative`; "" if neither.

        For a loss of the target probability it is a factor times (p - e_y).
        """
        if self.derivative is not None:
            return self.derivative.latex
        if not isinstance(self.form, TargetForm):
            return ""
        import sympy as sp

        names = {p.sympy: p.symbol for p in self.parameters}
        names[sp.Symbol("p", positive=True)] = "p_y"
        factor = sp.latex(self.target_slope, symbol_names=names)
        times = "" if self.target_slope == 1 else rf"\left[{factor}\right] "
        return rf"\frac{{\partial \ell}}{{\partial z}} = {times}(p - e_y)"

    @property
    def target_slope(self) -> Any:
        """What multiplies (p - e_y) in the gradient of a loss of the target probability."""
        if not isinstance(self.form, TargetForm):
            raise TypeError(f"{self.key} is not a loss of the target probability alone")
        return parse(self.slope, self.parameters) if self.slope else self.form.slope

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
