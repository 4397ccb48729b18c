"""The FLOPs of our operators, for `torch.utils.flop_counter`.

A counter knows library products and the formulas of its registry. To import that registry takes
longer than to import this package, so it is told at the door of a call, once somebody else has
imported it; a counter that is already counting has a copy, and is told as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from .registration import named


def tell_counters() -> None:
    """Make counters count what follows; nothing where there are none, and in compiled code."""
    if torch.compiler.is_compiling():
        return
    registry = sys.modules.get("torch.utils.flop_counter")
    if registry is None:
        return
    formulas = _formulas()
    registry.flop_registry.update(formulas)
    for mode in _get_current_dispatch_mode_stack():
        counter = getattr(mode, "counter", None)
        if isinstance(counter, registry.FlopCounterMode):
            counter.flop_registry.update(formulas)


def _formulas() -> dict[Any, Callable[..., int]]:
    ours = torch.ops.lossviz
    return {
        ours.reduced_loss: _with_gradients(ours.reduced_loss.default),
        ours.row_sums: _product,
        ours.row_sums_backward: _with_gradients(ours.row_sums_backward.default),
        ours.mean_weight_gradient: _product,
    }


def _product(input: torch.Tensor, weight: torch.Tensor, *_: Any, **options: Any) -> int:
    return 2 * len(input) * weight.numel()


def _with_gradients(operator: Any) -> Callable[..., int]:
    """The logits, and a product for each gradient of input and weight that is needed."""

    def flops(*inputs: Any, **_: Any) -> int:
        return _product(*inputs) * (1 + sum(named(operator, inputs).needs[:2]))

    return flops
