"""The loss as a module."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from lossviz.declaration.numbers import DTYPES

from .checks import check_head, check_transform
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

    A `loss` that is a module becomes a part of this one: its parameters train, move and are saved.

    Raises TypeError for an unknown option, a size that is not an int or a dtype that is not
    floating, ValueError for no class at all; options are checked when the module is called, which
    raises TypeError where `linear` was replaced by something that is more than its weight and bias.
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
        self.loss = options.pop("loss", "cross_entropy")
        self.options = options

    def logits(self, input: torch.Tensor) -> torch.Tensor:
        """The logits (..., V) of `input`, scaled, capped and tempered as the loss has them.

        In the dtype of the layer; the loss makes those of half precision in float32. Raises as
        `linear_cross_entropy`.
        """
        check_head(input, self.linear.weight, self.linear.bias, None, None)
        names = ("logit_scale", "softcap", "temperature")
        transform = {name: self.options[name] for name in names if name in self.options}
        return check_transform(**transform).apply(self.linear(input))

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss in nats."""
        if not isinstance(self.linear, torch.nn.Linear):
            raise TypeError(
                "linear must be a torch.nn.Linear, of which the weight and the bias are read, got "
                f"{type(self.linear).__name__}; for one that adds to these call "
                "linear_cross_entropy with the sum"
            )
        return linear_cross_entropy(
            input,
            self.linear.weight,
            target,
            linear_bias=self.linear.bias,
            weight=self.weight,
            loss=self.loss,
            **self.options,
        )

    def extra_repr(self) -> str:
        """The options that were given."""
        options = dict(self.options)
        if self.loss != "cross_entropy" and not isinstance(self.loss, torch.nn.Module):
            options["loss"] = self.loss
        return ", ".join(f"{name}={value!r}" for name, value in options.items())
