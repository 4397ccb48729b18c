"""Arrays of real numbers as they are given: floats, lists, numpy arrays or tensors."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch

Array: TypeAlias = Any  # a float, a (nested) list of floats, a numpy array or a torch tensor


def as_tensor(name: str, value: Array) -> torch.Tensor:
    """`value` as a float64 tensor; TypeError if it does not hold real numbers."""
    try:
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers, got {value!r}") from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"{name} must be an array of real numbers, got dtype {tensor.dtype}")
    return tensor.to(torch.float64)


def like(result: torch.Tensor, original: Array) -> Any:
    """`result` as what `original` was: tensor for tensor (same floating dtype), else numpy."""
    if isinstance(original, torch.Tensor):
        return result.to(original.dtype) if original.is_floating_point() else result
    return result.numpy()[()]
