"""The loss as a module."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from lossviz.losses.checks import DTYPES

from .functional import linear_cross_entropy

OPTIONS = {
    name
    for name, parameter in inspect.signature(linear_cross_entropy).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
} - {"linear_bias", "weight"}


class LinearCrossEntropyLoss(torch.nn.Module):
    """A linear layer and its cross-entropy in one, `linear_cross_entropy` with its own weight.

    ``LinearCrossEntropyLoss(D, V)(input, target)`` equals ``F.cross_entropy(linear(input),
    target)`` of the layer that it holds as `linear`, and trains it. `bias` as in
    `torch.nn.Linear`; every other keyword is one of `linear_cross_entropy`. To share the weight of
    an embedding, assign it: ``head.linear.weight = embedding.weight``.

    Shapes: `input` (..., D), `target` (...) of class indices or (..., V) of probabilities.

    Raises TypeError for an unknown option, a size that is no int or a dtype that is not floating,
    ValueError for no class; options are checked when the module is called.
    """

    weight: torch.Tensor | None

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        weight: torch.Tensor | None = None,
        **options: Any,
    ) -> None:
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise TypeError(f"options must be among {sorted(OPTIONS)}, got {unknown}")
        for name, size, least in (("in_features", in_features, 0), ("num_classes", num_classes, 1)):
            if isinstance(size, bool) or not isinstance(size, int):
                raise TypeError(f"{name} must be an int, got {size!r}")
            if size < least:
                raise ValueError(f"{name} must be at least {least}, got {size}")
        if dtype not in (None, *DTYPES):
            raise TypeError(f"dtype must be None or one of {DTYPES}, got {dtype}")
        super().__init__()
        self.linear = torch.nn.Linear(in_features, num_classes, bias, device, dtype)
        self.register_buffer("weight", weight)
        self.options = options

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss in nats."""
        return linear_cross_entropy(
            input,
            self.linear.weight,
            target,
            linear_bias=self.linear.bias,
            weight=self.weight,
            **self.options,
        )

    def extra_repr(self) -> str:
        """The options that were given."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
