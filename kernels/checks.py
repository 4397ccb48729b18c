"""What is checked, and cast as autocast wants, before anything is computed."""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch

from lossviz.declaration.numbers import DTYPES, check_ignore_index, first_where, seen

from .tiles import Transform


def check_head(
    input: object,
    linear_weight: object,
    linear_bias: object,
    weight: object,
    num_classes: int | None,
) -> None:
    """Raise unless the tensors make a linear layer with class weights.

    `input` (..., D) and `linear_weight` (V, D) or (V, d_1, ..., d_K, D) of one floating dtype (but
    under autocast) and device; `linear_bias` the shape of `linear_weight` without D and the same
    dtype; `weight` of any floating dtype, of `num_classes` if `linear_weight` is a part of them.
    """
    for name, tensor in (("input", input), ("linear_weight", linear_weight)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name} must have one of the dtypes {DTYPES}, got {tensor.dtype}")
        if tensor.layout != torch.strided:
            raise TypeError(f"{name} must be dense, got the layout {tensor.layout}")
    assert isinstance(input, torch.Tensor) and isinstance(linear_weight, torch.Tensor)
    if input.ndim < 1:
        raise ValueError("input must have shape (..., D), got a tensor without axes")
    if linear_weight.ndim < 2:
        raise ValueError(
            f"linear_weight must have shape (V, D) or (V, d_1, ..., d_K, D), "
            f"got {tuple(linear_weight.shape)}"
        )
    if (num_classes is None and linear_weight.shape[0] == 0) or 0 in linear_weight.shape[1:-1]:
        raise ValueError(
            f"linear_weight must have at least one class (row), got {tuple(linear_weight.shape)}"
        )
    if input.shape[-1] != linear_weight.shape[-1]:
        raise ValueError(
            f"input and linear_weight must have the same last axis D, got input "
            f"{tuple(input.shape)} and linear_weight {tuple(linear_weight.shape)}"
        )
    if linear_weight.ndim > 2 and input.ndim != 2:
        raise ValueError(
            f"linear_weight of shape {tuple(linear_weight.shape)} needs input of shape (N, "
            f"{linear_weight.shape[-1]}), got {tuple(input.shape)}"
        )
    _same_device("linear_weight", linear_weight, input)
    _same_dtype("linear_weight", linear_weight, input)
    for name, tensor, shape in (
        ("linear_bias", linear_bias, linear_weight.shape[:-1]),
        ("weight", weight, torch.Size([num_classes or linear_weight.shape[0]])),
    ):
        if tensor is None:
            continue
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor or None, got {type(tensor).__name__}")
        if tensor.shape != shape:
            raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(tensor.shape)}")
        _same_device(name, tensor, input)
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name} must have one of the dtypes {DTYPES}, got {tensor.dtype}")
        if name == "linear_bias":
            _same_dtype(name, tensor, input)


def under_autocast(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """What autocast would make of a linear layer's arguments."""
    device = input.device.type
    if not _autocasts(input) or input.dtype == torch.float64:
        return input, weight, bias
    dtype = torch.get_autocast_dtype(device)
    return input.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def _autocasts(tensor: torch.Tensor) -> bool:
    device = tensor.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _same_dtype(name: str, tensor: torch.Tensor, input: torch.Tensor) -> None:
    # autocast brings them together, but leaves float64 alone
    brought = _autocasts(input) and torch.float64 not in (tensor.dtype, input.dtype)
    if tensor.dtype != input.dtype and not brought:
        raise TypeError(
            f"{name} must have the dtype of input, {input.dtype}, got {tensor.dtype}; cast one, "
            "or use torch.autocast"
        )


def _same_device(name: str, tensor: torch.Tensor, input: torch.Tensor) -> None:
    if tensor.device != input.device:
        raise ValueError(f"{name} is on {tensor.device}, input on {input.device}: move one")


def holds_probabilities(
    target: object, index_shape: torch.Size, probability_shape: torch.Size, input: torch.Tensor
) -> bool:
    """Whether `target` holds class probabilities; raise unless it holds these or class indices."""
    if not isinstance(target, torch.Tensor):
        raise TypeError(f"target must be a torch.Tensor, got {type(target).__name__}")
    if target.device != input.device:
        raise ValueError(f"target is on {target.device}, input on {input.device}: move one")
    if target.is_floating_point():
        if target.shape != probability_shape:
            raise ValueError(
                f"target of dtype {target.dtype} holds class probabilities and must have shape "
                f"{tuple(probability_shape)}, got {tuple(target.shape)}; class indices are integers"
            )
        return True
    if target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"target must hold class indices or probabilities, got {target.dtype}")
    if target.shape != index_shape:
        raise ValueError(
            f"target must have shape {tuple(index_shape)} (class indices) or "
            f"{tuple(probability_shape)} (class probabilities, of a floating dtype), got "
            f"{tuple(target.shape)} of {target.dtype}"
        )
    return False


def split_target(
    target: torch.Tensor, ignore_index: object, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (-1 where ignored) and a mask of the rows that are kept.

    Raises ValueError for an index outside [0, V); on a GPU a device assertion says so, in compiled
    code and under vmap a RuntimeError.
    """
    ignore_index = check_ignore_index(-100 if ignore_index is None else ignore_index)
    target = target.long()
    kept = target != ignore_index
    outside = kept & ((target < 0) | (target >= num_classes))
    if seen(outside):
        raise ValueError(
            f"target must lie in [0, {num_classes}) or equal ignore_index={ignore_index}, "
            f"got {int(first_where(outside, target))}"
        )
    if torch._C._functorch.get_dynamic_layer_stack_depth() > 0:
        target = torch.where(outside, num_classes, target)  # which indexing refuses
    elif target.device.type == "cuda" or torch.compiler.is_compiling():
        torch._assert_async(~outside.any(), "a target lies outside [0, V)")  # vmap cannot map this
    return torch.where(kept, target, -1), kept


def is_transformed(tensor: torch.Tensor) -> bool:
    """Whether forward mode, vmap or another transform of torch.func looks at a tensor."""
    functorch = torch._C._functorch
    if torch.compiler.is_compiling():  # tensors tell nothing then, the transforms around them do
        return functorch.get_dynamic_layer_stack_depth() > 0
    if functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor):
        return True
    return torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None


def check_number(
    name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Return `value` as a float in [low, high] (or (low, high]); raise otherwise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    inside = low < number if open_low else low <= number
    if not (inside and number <= high) or abs(number) == math.inf:
        left = "(" if open_low or math.isinf(low) else "["
        right = ")" if math.isinf(high) else "]"
        raise ValueError(f"{name} must lie in {left}{low:g}, {high:g}{right}, got {value!r}")
    return number


FLOAT32 = torch.finfo(torch.float32)


def check_transform(
    logit_scale: object = 1.0, softcap: object = None, temperature: object = 1.0
) -> Transform:
    """The transform of raw logits; raise for an argument out of range: float32 must have it."""
    return Transform(
        check_number("logit_scale", logit_scale, -FLOAT32.max, FLOAT32.max),
        None if softcap is None else check_number("softcap", softcap, FLOAT32.tiny, FLOAT32.max),
        check_number("temperature", temperature, FLOAT32.tiny, FLOAT32.max),
    )


def check_budget(memory_budget: object) -> None:
    """Raise unless `memory_budget` is None or a positive number of bytes."""
    if memory_budget is None:
        return
    if isinstance(memory_budget, bool) or not isinstance(memory_budget, Integral):
        raise TypeError(f"memory_budget must be an int or None, got {memory_budget!r}")
    if memory_budget <= 0:
        raise ValueError(f"memory_budget must be a positive number of bytes, got {memory_budget}")


def check_compact(compact: object, input: torch.Tensor) -> bool:
    """Whether ignored rows are left out: `compact`, by default where nothing has to be waited for.

    Raises TypeError for what is neither a bool nor None.
    """
    if compact is None:
        return input.device.type == "cpu"
    if not isinstance(compact, bool):
        raise TypeError(f"compact must be a bool or None, got {compact!r}")
    return compact


def check_shift(shift: object, target: torch.Tensor, input: torch.Tensor) -> int:
    """Return how many places later the target of a position stands."""
    if isinstance(shift, bool):
        shift = int(shift)
    if not isinstance(shift, Integral):
        raise TypeError(f"shift must be an int or a bool, got {shift!r}")
    shift = int(shift)
    if shift < 0:
        raise ValueError(f"shift must be at least 0, got {shift}")
    if not shift:
        return 0
    if target.ndim == 0 or target.shape != input.shape[:-1]:
        raise ValueError(
            f"shift={shift} needs target of shape {tuple(input.shape[:-1])} (class indices, at "
            f"least one axis) for input of shape {tuple(input.shape)}, got {tuple(target.shape)}"
        )
    if shift > target.shape[-1]:
        raise ValueError(
            f"shift={shift} needs a target of at least as many positions in its last axis, "
            f"got shape {tuple(target.shape)}"
        )
    return shift


def check_row_weight(row_weight: object, shape: torch.Size, input: torch.Tensor) -> None:
    """Raise unless `row_weight` is None or real numbers, one for each prediction."""
    if row_weight is None:
        return
    if not isinstance(row_weight, torch.Tensor):
        raise TypeError(f"row_weight must be a torch.Tensor, got {type(row_weight).__name__}")
    if row_weight.dtype.is_complex:
        raise TypeError(f"row_weight must hold real numbers, got dtype {row_weight.dtype}")
    if row_weight.shape != shape:
        raise ValueError(
            f"row_weight must have one entry for each prediction, shape {tuple(shape)}, got "
            f"{tuple(row_weight.shape)}"
        )
    _same_device("row_weight", row_weight, input)
