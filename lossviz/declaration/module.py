"""The nn.Module of a loss, made from the signature of its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .numbers import check_reduction
from .parameter import Parameter


def class_name(key: str) -> str:
    """The name of the module class of a registry key: ``comp_sum`` gives ``CompSum``."""
    return "".join(part.capitalize() for part in key.split("_"))


def make_module(
    function: Callable[..., torch.Tensor], parameters: Sequence[Parameter] = ()
) -> type[torch.nn.Module]:
    """Make the nn.Module class whose keyword arguments are those of `function`.

    Its `forward` takes the tensors and shows them to help, editors and torch.export. Tensor keyword
    arguments (class weights) become buffers, so that they follow ``.to(device)``. The checks branch
    on values, which torch.compile and torch.export see through; torch.jit.script and torch.fx do
    not.
    `parameters` and the reduction are checked when a module is made, not at its first batch.
    """
    signature = inspect.signature(function)
    place, named_only = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    keywords = {name: p for name, p in signature.parameters.items() if p.kind is named_only}
    given = [p for p in signature.parameters.values() if p.kind is place]
    this = inspect.Parameter("self", place)

    def __init__(self: torch.nn.Module, *tensors: Any, **options: Any) -> None:
        if tensors:
            raise TypeError(
                f"{type(self).__name__} takes parameters by name, and tensors when it is called: "
                f"{type(self).__name__}()({', '.join(p.name for p in given)})"
            )
        unknown = sorted(set(options) - set(keywords))
        if unknown:
            raise TypeError(
                f"{type(self).__name__} got unknown {unknown}, expected some of {list(keywords)}"
            )
        torch.nn.Module.__init__(self)
        values = {name: options.get(name, keyword.default) for name, keyword in keywords.items()}
        for declared in parameters:
            declared.check(values[declared.name])
        if "reduction" in values:
            check_reduction(values["reduction"])
        for name, value in values.items():
            if value is None or isinstance(value, torch.Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self: torch.nn.Module, *inputs: Any, **named: Any) -> torch.Tensor:
        return function(*inputs, **named, **{name: getattr(self, name) for name in keywords})

    def extra_repr(self: torch.nn.Module) -> str:
        shown = {name: getattr(self, name) for name in keywords}
        return ", ".join(
            f"{name}={tuple(value.shape) if isinstance(value, torch.Tensor) else value!r}"
            for name, value in shown.items()
        )

    name = class_name(function.__name__)
    constructor: Any = __init__
    constructor.__qualname__ = f"{name}.__init__"
    forward.__qualname__ = f"{name}.forward"
    constructor.__signature__ = inspect.Signature([this, *keywords.values()])
    call: Any = forward
    call.__signature__ = signature.replace(parameters=[this, *given])
    return type(
        name,
        (torch.nn.Module,),
        {
            "__doc__": f"`{function.__name__}` as a module.\n\n{inspect.getdoc(function)}",
            "__module__": "lossviz.losses",
            "__qualname__": name,
            "__init__": constructor,
            "forward": forward,
            "extra_repr": extra_repr,
        },
    )
