"""The loss as a module."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from lossviz.declaration.numbers import DTYPES

from .checks import check_head, check_transform
from .functional import linear_cross_entropy
from .parallel import is_dtensor

OPTIONS = {
    name
    for name, parameter in inspect.signature(linear_cross_entropy).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
} - {"linear_bias", "weight", "row_weight"}

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""Where a module keeps functions that its call runs, and reading its weight does not."""


class LinearCrossEntropyLoss(torch.nn.Module):
    """A linear layer and its cross-entropy in one, `linear_cross_entropy` with its own weight.

    ``LinearCrossEntropyLoss(D, V)(input, target)`` equals ``F.cross_entropy(linear(input),
    target)`` of the layer that it holds as `linear`, and trains it. `bias` as in
    `torch.nn.Linear`; every other keyword is one of `linear_cross_entropy`. To share the weight of
    an embedding, assign it: ``head.linear.weight = embedding.weight``.

    Shapes: `input` (..., D), `target` (...) of class indices or (..., V) of probabilities,
    `row_weight` (...) or None.

    A `loss` that is a module becomes a part of this one: its parameters train, move and are saved.

    Raises TypeError for an unknown option, a size that is not an int or a dtype that is not
    floating, ValueError for no class at all, and where `weight`, which holds the class weights, is
    assigned that of an embedding. Options are checked when the module is called, which, as `logits`
    does, raises TypeError where `linear` is more than its weight and bias: one of a
    subclass with a forward of its own, with hooks, or quantised. A parametrization is honoured.
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
        weight, bias = self._head()
        check_head(input, weight, bias, None, None)
        names = ("logit_scale", "softcap", "temperature")
        transform = {name: self.options[name] for name in names if name in self.options}
        return check_transform(**transform).apply(torch.nn.functional.linear(input, weight, bias))

    def forward(
        self,
        input: torch.Tensor,
        target: torch.Tensor,
        row_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss in nats."""
        weight, bias = self._head()
        return linear_cross_entropy(
            input,
            weight,
            target,
            linear_bias=bias,
            weight=self.weight,
            row_weight=row_weight,
            loss=self.loss,
            **self.options,
        )

    def _head(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias of the layer; TypeError where its output is not made of these alone."""
        linear: Any = self.linear
        more = _more_than_its_weight(linear)
        if more:
            raise TypeError(
                "linear must be a torch.nn.Linear, of which the weight and the bias are read, got "
                f"{type(linear).__name__} {more}; merge what it adds into its weight, or call "
                "linear_cross_entropy with the weight that it amounts to"
            )
        return linear.weight, linear.bias

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weight" and isinstance(value, torch.Tensor) and value.ndim > 1:
            raise ValueError(
                "weight holds the class weights, of shape (num_classes,), got "
                f"{tuple(value.shape)}; to share the weight of an embedding with the layer, assign "
                "it to linear.weight"
            )
        super().__setattr__(name, value)

    def extra_repr(self) -> str:
        """The options that were given."""
        options = dict(self.options)
        if self.loss != "cross_entropy" and not isinstance(self.loss, torch.nn.Module):
            options["loss"] = self.loss
        return ", ".join(f"{name}={value!r}" for name, value in options.items())


def _more_than_its_weight(linear: Any) -> str:
    """What makes calling the layer more than a product with its weight, "" for nothing."""
    if not isinstance(linear, torch.nn.Linear):
        return "which is another kind of module"
    own = [
        name
        for name in ("forward", "__call__", "_call_impl")
        if name in vars(linear) or getattr(type(linear), name) is not getattr(torch.nn.Linear, name)
    ]
    if own:
        return f"with its own {own[0]}"
    hooked = [name for name in HOOKS if getattr(linear, name)]
    if hooked:
        return f"with hooks ({hooked[0].strip('_')})"
    weight: Any = linear.weight
    wraps: bool = is_traceable_wrapper_subclass(weight)
    if wraps and not is_dtensor(weight):
        return f"with a weight of class {type(weight).__name__}"
    return ""
