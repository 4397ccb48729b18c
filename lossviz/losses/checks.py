"""What is checked before anything is computed, and how rows become one number.

Shapes, dtypes and names are always checked. The range of labels is checked on the CPU only: on a
GPU reading a value back would wait for the device, so there (as in torch) the index operation's
own device assertion answers.
"""

from __future__ import annotations

from numbers import Integral

import torch

REDUCTIONS = ("none", "mean", "sum")
HALF = (torch.float16, torch.bfloat16)
DTYPES = (*HALF, torch.float32, torch.float64)


def check_reduction(reduction: object) -> None:
    """Raise ValueError unless `reduction` is "none", "mean" or "sum"."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")


def check_logits(logits: torch.Tensor, name: str = "logits") -> None:
    """Raise unless `logits` is a floating tensor (..., K) with at least one class."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(logits).__name__}")
    if logits.dtype not in DTYPES:
        raise TypeError(f"{name} must have one of the dtypes {DTYPES}, got {logits.dtype}")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"{name} must have shape (..., K) with K >= 1 classes, got {tuple(logits.shape)}"
        )


def check_ignore_index(ignore_index: object) -> int:
    """Return `ignore_index` as an int; raise TypeError if it is none, ValueError beyond int64."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, Integral):
        raise TypeError(f"ignore_index must be an int, got {ignore_index!r}")
    index = int(ignore_index)
    if not -(2**63) <= index < 2**63:
        raise ValueError(f"ignore_index must lie in [-2^63, 2^63), got {index}")
    return index


def check_labels(
    logits: torch.Tensor, target: torch.Tensor, ignore_index: int, name: str = "logits"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Check integer labels against logits and split them into usable labels and a mask.

    Returns `labels` (...), int64, with ignored entries replaced by class 0, and `kept` (...), bool.
    Raises TypeError for a dtype that cannot be a label, ValueError for a wrong shape, device or a
    label outside [0, K) (on the CPU).
    """
    check_logits(logits, name)
    if not isinstance(target, torch.Tensor):
        raise TypeError(f"target must be a torch.Tensor, got {type(target).__name__}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"target must hold integer class labels, got dtype {target.dtype}")
    ignore_index = check_ignore_index(ignore_index)
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"target must have the shape of {name} without the last (class) axis, "
            f"{tuple(logits.shape[:-1])}, got {tuple(target.shape)} for {name} of shape "
            f"{tuple(logits.shape)}; move a class axis from place 1 with {name}.movedim(1, -1)"
        )
    if target.device != logits.device:
        raise ValueError(f"target is on {target.device}, {name} on {logits.device}: move one")
    target = target.long()
    kept = target != ignore_index
    labels = torch.where(kept, target, 0)
    _check_label_range(labels, logits.shape[-1])
    return labels, kept


def _check_label_range(labels: torch.Tensor, num_classes: int) -> None:
    outside = (labels < 0) | (labels >= num_classes)
    if seen(outside):
        raise ValueError(
            f"target must lie in [0, {num_classes}) or equal ignore_index, "
            f"got {int(labels[outside][0])}"
        )


def seen(condition: torch.Tensor) -> bool:
    """Whether any entry is true, as far as values can be read: on the CPU, uncompiled, unmapped."""
    if condition.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    try:
        return bool(condition.any())
    except RuntimeError:  # under vmap no value can be read
        return False


def widen(logits: torch.Tensor) -> torch.Tensor:
    """Half precision as float32, any other dtype as it is.

    To be called once a loss: gradients of several terms are then added before they are rounded.
    """
    return logits.float() if logits.dtype in HALF else logits


def row_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The dtype of per-row arithmetic: float64 (few numbers, so it is cheap) where it exists."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def reduce_rows(
    rows: torch.Tensor,
    kept: torch.Tensor,
    reduction: str,
    dtype: torch.dtype,
    denominator: torch.Tensor | None = None,
) -> torch.Tensor:
    """Reduce per-row losses (...) over the rows that are kept, and return them in `dtype`.

    Under autocast half precision becomes float32, as for torch's own losses: what scales the loss
    up against underflow of its gradients needs the range.

    "none" keeps the shape and puts 0 in ignored rows; "sum" of no rows is 0; "mean" divides by
    `denominator`, by default the number of kept rows, and is NaN when there are none (as in torch).
    """
    if dtype in HALF and torch.is_autocast_enabled(rows.device.type):
        dtype = torch.float32
    rows = torch.where(kept, rows, 0.0)
    if reduction == "mean":
        total = kept.sum() if denominator is None else denominator
        return (rows.sum() / total).to(dtype)
    return (rows.sum() if reduction == "sum" else rows).to(dtype)
