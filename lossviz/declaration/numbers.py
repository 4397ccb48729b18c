"""The arithmetic around a loss: dtypes, reading values without waiting, and the reduction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch

REDUCTIONS = ("none", "mean", "sum")
HALF = (torch.float16, torch.bfloat16)
DTYPES = (*HALF, torch.float32, torch.float64)


def check_reduction(reduction: object) -> None:
    """Raise ValueError unless `reduction` is "none", "mean" or "sum"."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")


def check_ignore_index(ignore_index: object) -> int:
    """Return `ignore_index` as an int; raise TypeError for a non-int, ValueError beyond int64."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, Integral):
        raise TypeError(f"ignore_index must be an int, got {ignore_index!r}")
    index = int(ignore_index)
    if not -(2**63) <= index < 2**63:
        raise ValueError(f"ignore_index must lie in [-2^63, 2^63), got {index}")
    return index


def check_count(name: str, value: object, least: int = 1) -> int:
    """Return a whole number as an int; raise ValueError for another value or one below `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number from {least} on, got {value!r}")
    return int(value)


def seen(condition: torch.Tensor) -> bool:
    """Whether any entry is true, as far as values can be read."""
    return _read(condition, torch.any) is True


def seen_everywhere(condition: torch.Tensor) -> bool:
    """Whether all entries are true, as far as values can be read."""
    return _read(condition, torch.all) is True


def possible(condition: torch.Tensor) -> bool:
    """Whether any entry is true or may be, where values cannot be read."""
    return _read(condition, torch.any) is not False


def _read(condition: torch.Tensor, over: Callable[[torch.Tensor], torch.Tensor]) -> bool | None:
    """The value where it can be read, on the CPU, uncompiled; else None.

    On a GPU reading a value back would wait for the device. Under vmap it is that of all examples.
    """
    if condition.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    try:
        with torch._C._DisableFuncTorch():
            return bool(over(_with_examples(condition)))
    except RuntimeError:  # a tensor without numbers, in tracing
        return None


def first_where(condition: torch.Tensor, values: torch.Tensor) -> float | int:
    """The first value at which the condition, which came of each entry of `values`, is `seen`."""
    with torch._C._DisableFuncTorch():
        found: float | int = _with_examples(values)[_with_examples(condition)][0].item()
    return found


def first_place(condition: torch.Tensor) -> str:
    """Where a condition that is `seen` is first true, for a message: " at index 2" or (0, 2)."""
    with torch._C._DisableFuncTorch():
        place = _with_examples(condition).nonzero()[0].tolist()
    if not place:
        return ""
    return f" at index {place[0] if len(place) == 1 else tuple(place)}"


def _with_examples(tensor: torch.Tensor) -> torch.Tensor:
    """What torch.func has wrapped, with the axes over which it maps in front."""
    wrapping = torch._C._functorch
    while wrapping.is_functorch_wrapped_tensor(tensor):
        axis = wrapping.maybe_get_bdim(tensor) if wrapping.is_batchedtensor(tensor) else -1
        tensor = wrapping.get_unwrapped(tensor)
        tensor = tensor if axis < 0 else tensor.movedim(axis, 0)
    return tensor


def rounding_of_a_sum(dtype: torch.dtype, count: int) -> float:
    """How far a sum of `count` numbers that make 1 may be off where each is rounded to `dtype`."""
    return float(count**0.5 * torch.finfo(dtype).eps)


def slack_of_a_sum(values: object, count: int, *, least: float = 1e-6) -> float:
    """How far a sum of `count` probabilities may be off from 1: `least`, or what rounding takes.

    `values` are the probabilities as they came, in a tensor of any dtype or otherwise.
    """
    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        return least
    return max(least, min(0.1, rounding_of_a_sum(values.dtype, count)))


def at_least(values: torch.Tensor, bound: float) -> torch.Tensor:
    """`values.clamp_min(bound)` for a bound that may change from call to call.

    In a tensor: inductor may keep a number from its first call.
    """
    return torch.maximum(values, torch.zeros((), dtype=values.dtype, device=values.device) + bound)


def widen(tensor: torch.Tensor) -> torch.Tensor:
    """Half precision as float32, any other dtype as it is.

    To be called once per loss: gradients of several terms are then added before they are rounded.
    """
    return tensor.float() if tensor.dtype in HALF else tensor


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A block in which matrix products keep the precision that their factors were widened to."""
    kind = device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def row_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The dtype of per-row arithmetic: float64 (few numbers, so it is cheap) where it exists."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


@dataclass(frozen=True)
class RowLosses:
    """What a formula returns when the loss of each row is not all there is to the reduction.

    `rows` are the losses of the rows; "mean" divides by `denominator` where one is given (summed
    weights, say) instead of the number of kept rows; `once` is added once, after the reduction (a
    regulariser), and belongs to no row: `once_of` names the argument that it comes from.
    """

    rows: torch.Tensor
    denominator: torch.Tensor | None = None
    once: torch.Tensor | None = None
    once_of: str = "a term of the loss"


def reduce_rows(
    found: torch.Tensor | RowLosses,
    kept: torch.Tensor | None,
    reduction: str,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Reduce the losses of rows over those that are kept (None: all), and return them in `dtype`.

    Under autocast half precision becomes float32, as for torch's own losses: what scales the loss
    up against underflow of its gradients needs the range.

    "none" keeps the shape and puts 0 in ignored rows; "sum" of no rows is 0; "mean" divides by the
    number of kept rows unless told otherwise, and is NaN when there are none (as in torch).
    """
    found = found if isinstance(found, RowLosses) else RowLosses(found)
    rows = found.rows
    if dtype in HALF and torch.is_autocast_enabled(rows.device.type):
        dtype = torch.float32
    if kept is not None:
        rows = torch.where(kept, rows, 0.0)
    if reduction == "none":
        if found.once is not None:
            raise ValueError(
                f"{found.once_of} needs reduction 'mean' or 'sum', got 'none': it belongs to no row"
            )
        return rows.to(dtype)
    total: Any = rows.sum()
    if reduction == "mean":
        count: Any = rows.numel() if kept is None else kept.sum()
        # a tensor divides 0 by 0 to NaN, where Python would raise
        total = total / (count if found.denominator is None else found.denominator)
    return (total if found.once is None else total + found.once).to(dtype)
