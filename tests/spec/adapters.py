"""How most entries of the table call the public API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Inputs = Mapping[str, Any]
Params = Mapping[str, Any]
Call = Callable[[Inputs, Params, str], Any]


def literal(reduction: str) -> str:
    """The reduction if it is one; prose describes a mean unless the key says otherwise."""
    return reduction if reduction in ("none", "mean", "sum") else "mean"


def reduced(rows: torch.Tensor, reduction: str) -> torch.Tensor:
    """Row losses reduced as a loss would."""
    how = literal(reduction)
    return rows if how == "none" else getattr(rows, how)()


def given(params: Params, *labels: str) -> dict[str, Any]:
    """The parameters without those that only describe the record."""
    return {name: value for name, value in params.items() if name not in ("case", *labels)}


def leaf(value: torch.Tensor) -> torch.Tensor:
    """A copy in float64 to differentiate by."""
    return value.detach().clone().double().requires_grad_()


def of_classes(loss: Callable[..., torch.Tensor]) -> Call:
    """A loss of logits and labels; its parameters have the names of the file."""
    return lambda i, p, r: loss(
        i["logits"].double(), i["target"].long(), reduction=literal(r), **given(p)
    )


def of_numbers(function: Callable[..., Any], name: str) -> Call:
    """A function of one tensor of real numbers."""
    return lambda i, p, r: function(i[name].double(), **given(p))


def over(name: str, function: Callable[..., Any], other: str) -> Call:
    """A function of the tensor `other`, at each value of its parameter `name`."""

    def call(i: Inputs, p: Params, r: str) -> torch.Tensor:
        values = [
            torch.as_tensor(function(i[other].double(), **{name: value}, **given(p)))
            for value in i[name].double().flatten().tolist()
        ]
        return torch.stack(values).reshape(i[name].shape + values[0].shape)

    return call


def gradient(call: Call, name: str = "logits") -> Call:
    """The gradient of what a call gives, summed, by one of its inputs."""

    def differentiated(i: Inputs, p: Params, r: str) -> torch.Tensor:
        by = leaf(i[name])
        return torch.autograd.grad(call({**i, name: by}, p, r).sum(), by)[0]

    return differentiated
