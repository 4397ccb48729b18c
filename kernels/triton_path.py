"""The path of Triton kernels: the logits are made and spent in registers.

Forward, every program walks one split of the vocabulary for a block of rows, and the partial sums
merge at the end. Backward, for one chunk of classes at a time, a kernel makes the logits again and
writes their gradient in the dtype of the input; the library's matrix products finish: the weight
gradient of the chunk is written once if the chunk has all rows, the input gradient grows in
float32. Four products in all, and beyond gradients the memory of one chunk and of that growth.

The kernels run compiled on a GPU, and on the CPU in Triton's interpreter, which is slow and there
to test and to draw. For that TRITON_INTERPRET=1 has to stand in the environment before anything
imports Triton.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import torch

from .head import Head, Needs, Tiling, product_
from .statistics import Sums, Want, merge
from .tiles import Saved, Transform, Upstream, in_range
from .triton_tiling import DTYPES, Tiles, processors, split_count, tile_sizes


def launch(
    kernel: Any, grid: tuple[int, ...], first: torch.Tensor, *others: Any, **constants: Any
) -> None:
    """Run a kernel on the device of its `first` argument, which need not be the current one."""
    if first.device.type == "cuda":
        with torch.cuda.device(first.device):
            kernel[grid](first, *others, **constants)
        return
    with warnings.catch_warnings():  # the interpreter's numpy speaks of inf and NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        kernel[grid](first, *others, **constants)


class TileSums(NamedTuple):
    """The largest logit of each row and tile and its sum of exp(z - that), (tiles, N).

    Both leave the target out. `rows` and `columns` are the size of a tile.
    """

    shift: torch.Tensor
    total: torch.Tensor
    rows: int
    columns: int


class _Walk:
    """What all launches over one head share."""

    def __init__(self, head: Head, tiles: Tiles | None) -> None:
        if head.input.dtype not in DTYPES:
            raise TypeError(
                f"Triton kernels take {DTYPES}, got input of {head.input.dtype}; "
                "impl='chunked' takes float64"
            )
        self.head = head
        self.tiles = tiles or tile_sizes(head.input.dtype, head.input.device, plain=_is_plain(head))
        self.column_tiles = -(-len(head.weight) // self.tiles.columns)

    def row_blocks(self, rows: int) -> int:
        return -(-rows // self.tiles.rows)

    def constants(self) -> dict[str, Any]:
        import triton.language as tl

        names = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}
        exact = torch.backends.cuda.matmul.fp32_precision != "tf32"
        return {
            **transform_constants(self.head.transform, self.head.mean_weight),
            "FACTOR": names[self.head.factor_dtype],
            "PRECISION": "ieee" if exact else "tf32",
            "ROWS": self.tiles.rows,
            "COLUMNS": self.tiles.columns,
            "DEPTH": self.tiles.depth,
            "num_warps": self.tiles.warps,
            "num_stages": self.tiles.stages,
            "enable_fp_fusion": True,  # Triton warns where nobody says
        }

    def strides(self) -> tuple[int, ...]:
        head = self.head
        bias_step = 0 if head.bias is None else head.bias.stride(0)
        return (
            *head.input.stride(),
            *head.weight.stride(),
            bias_step,
            *mean_strides(head.mean_weight),
        )


def _is_plain(head: Head) -> bool:
    """Whether rows of input and weight begin where wide loads do, and classes weigh alike."""
    starts = (head.input.shape[1], head.input.stride(0), head.weight.stride(0))
    dense = head.mean_weight is not None and head.mean_weight.ndim == 2
    return not dense and all(start % 16 == 0 for start in starts)


def mean_strides(mean_weight: torch.Tensor | None) -> tuple[int, int]:
    """Steps of (V,) or (N, V) weights from row to row and from class to class."""
    if mean_weight is None:
        return 0, 0
    by_row = mean_weight.stride(0) if mean_weight.ndim == 2 else 0
    return by_row, mean_weight.stride(-1)


def transform_scalars(transform: Transform) -> tuple[float, float]:
    """(inner, outer) of z = outer tanh(inner r), or z = inner r without a cap."""
    if transform.softcap is None:
        return transform.factor, 1.0
    return transform.scale / transform.softcap, transform.softcap / transform.temperature


def transform_constants(transform: Transform, mean_weight: torch.Tensor | None) -> dict[str, bool]:
    """The branches of a kernel that depend on the head."""
    return {
        "CAPPED": transform.softcap is not None,
        "DENSE": mean_weight is not None and mean_weight.ndim == 2,
    }


def empty_sums(shape: tuple[int, ...], want: Want, mean: bool, device: torch.device) -> Sums:
    """Room for sums; what is not wanted is None."""

    def room(wanted: bool, dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
        return torch.empty(shape, dtype=dtype, device=device) if wanted else None

    averaged = want.mean and mean
    return Sums(
        torch.empty(shape, dtype=torch.float32, device=device),
        torch.empty(shape, dtype=torch.float32, device=device),
        torch.empty(shape, dtype=torch.float32, device=device),
        room(want.argmax, torch.int64),
        room(want.tilt),
        room(want.square),
        room(averaged),
        room(averaged),
    )


def accumulate(
    head: Head,
    labels: torch.Tensor,
    want: Want,
    tiling: Tiling,
    *,
    tiles: Tiles | None = None,
    splits: int | None = None,
) -> Sums:
    """The sums of every row, (N,); a label is negative where a row has no target.

    `tiling` is not used here. `tiles` and `splits` have good values by default.
    """
    return _merged(_partial_sums(_Walk(head, tiles), labels, want, splits))


def accumulate_with_tiles(
    head: Head, labels: torch.Tensor, want: Want, *, tiles: Tiles | None = None
) -> tuple[Sums, TileSums]:
    """The same, and what each tile added: one split per tile."""
    walk = _Walk(head, tiles)
    parts = _partial_sums(walk, labels, want, walk.column_tiles)
    return _merged(parts), TileSums(parts.shift, parts.total, walk.tiles.rows, walk.tiles.columns)


def trace(
    head: Head, labels: torch.Tensor, *, tiles: Tiles | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The running maximum and sum after each tile, both (tiles, N): the online log-sum-exp."""
    walk = _Walk(head, tiles)
    shape = walk.column_tiles, len(head.input)
    shift = torch.empty(shape, dtype=torch.float32, device=labels.device)
    total = torch.empty_like(shift)
    _partial_sums(walk, labels, Want(), 1, (shift, total))
    return shift, total


def _partial_sums(
    walk: _Walk,
    labels: torch.Tensor,
    want: Want,
    splits: int | None,
    running: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
) -> Sums:
    from .triton_kernels import sums_kernel

    head = walk.head
    count, depth = head.input.shape
    row_blocks = walk.row_blocks(count)
    if splits is None:
        splits = split_count(max(row_blocks, 1), walk.column_tiles, processors(labels.device))
    splits = min(splits, walk.column_tiles)
    parts = empty_sums((splits, count), want, head.mean_weight is not None, labels.device)
    mean_weight = None if parts.mean is None else head.mean_weight
    launch(
        sums_kernel,
        (row_blocks, splits),
        head.input,
        head.weight,
        head.bias,
        labels,
        mean_weight,
        *parts,
        *running,
        count,
        len(head.weight),
        depth,
        splits,
        *walk.strides(),
        *transform_scalars(head.transform),
        **walk.constants(),
    )
    return parts


def _merged(parts: Sums) -> Sums:
    splits = range(len(parts.shift))
    return merge([Sums._make(k if k is None else k[split] for k in parts) for split in splits])


def gradients(
    head: Head,
    labels: torch.Tensor,
    saved: Saved,
    upstream: Upstream,
    needs: Needs,
    tiling: Tiling,
    *,
    tiles: Tiles | None = None,
    skip: torch.Tensor | None = None,
    input_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of input, weight and bias from those of the rows' statistics.

    `tiling` sizes the chunk of logit gradients that is in memory at a time; its rows and columns
    are rounded to whole tiles. `skip`, the first value of `skippable`, is for losses of
    the target probability alone: ValueError with any other. `input_dtype` as in `chunked`.
    """
    if skip is not None and any(value is not None for value in upstream[2:]):
        raise ValueError(
            "skip bounds the gradients of losses of the target probability, got others in upstream"
        )
    walk = _Walk(head, tiles)
    height = _whole(tiling.rows, walk.tiles.rows)
    width = _whole(tiling.columns, walk.tiles.columns)
    upstream, unit = in_range(upstream.times(head.transform.factor), head.weight.dtype)
    upstream = dense_upstream(upstream, saved, head.mean_weight)
    count, classes = len(head.input), len(head.weight)
    wide, narrow = head.dtype, head.factor_dtype
    once = height >= count and unit is None

    def room(wanted: bool, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
        if not wanted:
            return None
        make = torch.empty if count > 0 else torch.zeros
        return make(like.shape, dtype=dtype, device=like.device)

    of_input = room(needs.input, head.input, wide)
    of_weight = room(needs.weight, head.weight, narrow if once else wide)
    of_bias = torch.zeros(classes, dtype=wide, device=labels.device) if needs.bias else None
    chunk = head.input.new_empty(min(height, count), min(width, classes), dtype=narrow)
    for top in range(0, count, height):
        rows = slice(top, min(top + height, count))
        x = head.input[rows].to(narrow)
        for first in range(0, classes, width):
            columns = slice(first, min(first + width, classes))
            tile = chunk[: len(x), : columns.stop - first]
            bias_parts = _write_chunk(
                walk, labels, saved, upstream, skip, rows, columns, tile, needs.bias
            )
            if of_bias is not None and bias_parts is not None:
                of_bias[columns] += bias_parts.sum(0)
            if of_input is not None:
                product_(of_input[rows], tile, head.weight[columns].to(narrow), add=first > 0)
            if of_weight is not None:
                product_(of_weight[columns], tile.T, x, add=top > 0)
    dtypes = input_dtype or head.input.dtype, head.weight.dtype, head.weight.dtype
    return tuple(
        None if grown is None else (grown if unit is None else grown.mul_(unit)).to(dtype)
        for grown, dtype in zip((of_input, of_weight, of_bias), dtypes, strict=True)
    )


def _whole(size: int, tile: int) -> int:
    return max(size // tile, 1) * tile


def dense_upstream(upstream: Upstream, saved: Saved, mean_weight: torch.Tensor | None) -> Upstream:
    """Upstream gradients as a kernel reads them: contiguous, None where they reach no logit."""
    if mean_weight is None:
        upstream = upstream._replace(mean=None)
    if saved.argmax is None:
        upstream = upstream._replace(shift=None)
    return Upstream._make(v if v is None else v.contiguous() for v in upstream)


def _write_chunk(
    walk: _Walk,
    labels: torch.Tensor,
    saved: Saved,
    upstream: Upstream,
    skip: torch.Tensor | None,
    rows: slice,
    columns: slice,
    out: torch.Tensor,
    bias: bool,
) -> torch.Tensor | None:
    """Write logit gradients of some rows and classes to `out`; with `bias`, their column sums."""
    from .triton_kernels import gradient_kernel

    head = walk.head
    count = rows.stop - rows.start
    row_blocks = walk.row_blocks(count)
    column_tiles = -(-(columns.stop - columns.start) // walk.tiles.columns)
    if skip is not None:
        row_block = rows.start // walk.tiles.rows
        tile = columns.start // walk.tiles.columns
        skip = skip[row_block : row_block + row_blocks, tile : tile + column_tiles].contiguous()
    mean_weight = head.mean_weight
    if mean_weight is not None and mean_weight.ndim == 2:
        mean_weight = mean_weight[rows]
    bias_parts = out.new_empty(row_blocks, out.shape[1], dtype=head.dtype) if bias else None
    launch(
        gradient_kernel,
        (row_blocks, column_tiles),
        head.input[rows],
        head.weight,
        head.bias,
        labels[rows],
        mean_weight,
        *saved.rows(rows),
        *upstream.rows(rows),
        skip,
        out,
        bias_parts,
        count,
        columns.start,
        columns.stop,
        len(head.weight),
        head.input.shape[1],
        *walk.strides(),
        out.stride(0),
        *transform_scalars(head.transform),
        **walk.constants(),
    )
    return bias_parts
