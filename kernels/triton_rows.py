"""Triton kernels for whole rows of raw logits that a library's matrix product left in memory.

`sums_of_rows` reads them once and `spread_rows` turns them into gradients in one read and one
write, where plain torch passes over them ten times. They do the work of `accumulate_` and `spread_`
in `lossviz.kernels.tiles`, and that of bias, cap and temperature on the way. `one_pass` is the walk
of `lossviz.kernels.chunked` with these kernels between the products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from .chunked import Gradients
from .head import Head, Needs, Tiling, product_, waiting_dtype
from .statistics import Sums, Want
from .tiles import Saved, Transform, Upstream, blocks
from .triton_path import (
    dense_upstream,
    empty_sums,
    launch,
    mean_strides,
    transform_constants,
    transform_scalars,
)

ALIGNED = 64
"""Elements that rows of raw logits are multiples of: products and wide loads want even places."""


class RowTile(NamedTuple):
    """Rows and columns of what a program holds at a time, and its warps."""

    rows: int
    columns: int
    warps: int


def row_tile(device: torch.device, classes: int) -> RowTile:
    """One row per program on a GPU, where programs are many; many rows in the interpreter.

    32 elements per thread, chosen by reasoning: enough loads in flight for the memory's latency.
    With few classes a program takes several rows.
    """
    if device.type == "cpu":
        return RowTile(64, 512, 8)
    columns = min(8192, max(16, 1 << (classes - 1).bit_length()))
    return RowTile(8192 // columns, columns, 8) if columns > 256 else RowTile(16, columns, 4)


class Rows(NamedTuple):
    """Raw logits (n, V) of whole rows, float32 or half, and what turns them into logits.

    Rows may lie apart, columns may not. `bias` (V,) or None; `mean_weight` (V,), (n, V) or None.
    Without `exact` the cap is right to 1e-7 of its height, enough for factors of half precision.
    """

    raw: torch.Tensor
    labels: torch.Tensor
    bias: torch.Tensor | None = None
    transform: Transform = Transform()
    mean_weight: torch.Tensor | None = None
    exact: bool = True

    def layout(self) -> tuple[int, ...]:
        """Counts and strides."""
        bias_step = 0 if self.bias is None else self.bias.stride(0)
        return (*self.raw.shape, self.raw.stride(0), bias_step, *mean_strides(self.mean_weight))

    def constants(self, tile: RowTile) -> dict[str, Any]:
        """Branches and sizes."""
        return {
            **transform_constants(self.transform, self.mean_weight),
            "EXACT": self.exact,
            "ROWS": tile.rows,
            "COLUMNS": tile.columns,
            "num_warps": tile.warps,
            "enable_fp_fusion": False,  # z is rounded before anything is taken from it
        }


def sums_of_rows(rows: Rows, want: Want, *, tile: RowTile | None = None) -> Sums:
    """The sums of every row, (n,); the raw logits stay as they are."""
    from .triton_row_kernels import row_sums_kernel

    tile = tile or row_tile(rows.raw.device, rows.raw.shape[1])
    count = len(rows.raw)
    sums = empty_sums((count,), want, rows.mean_weight is not None, rows.raw.device)
    launch(
        row_sums_kernel,
        (-(-count // tile.rows),),
        rows.raw,
        rows.bias,
        rows.labels,
        None if sums.mean is None else rows.mean_weight,
        *sums,
        *rows.layout(),
        *transform_scalars(rows.transform),
        **rows.constants(tile),
    )
    return sums


def narrow(raw: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The memory of raw logits (n, V) as room for (n, V) elements of a dtype no wider."""
    return raw.view(dtype)[:, : raw.shape[1]]


def spread_rows(
    rows: Rows,
    saved: Saved,
    upstream: Upstream,
    out: torch.Tensor,
    *,
    tile: RowTile | None = None,
) -> None:
    """Write the gradient with respect to raw logits to `out` (n, V).

    `upstream` has been multiplied by the transform's factor. `out` may be the raw logits, or their
    memory seen through `narrow`. Rows are complete: no factor is left for later.
    """
    from .triton_row_kernels import row_gradient_kernel

    tile = tile or row_tile(rows.raw.device, rows.raw.shape[1])
    launch(
        row_gradient_kernel,
        (-(-len(rows.raw) // tile.rows),),
        rows.raw,
        rows.bias,
        rows.labels,
        rows.mean_weight,
        *saved,
        *dense_upstream(upstream, saved, rows.mean_weight),
        out,
        *rows.layout(),
        out.stride(0),
        *transform_scalars(rows.transform),
        **rows.constants(tile),
    )


def one_pass(
    head: Head,
    labels: torch.Tensor,
    want: Want,
    loss: Callable[[slice, Sums], tuple[torch.Tensor, Upstream]],
    needs: Needs,
    tiling: Tiling,
) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
    """Loss of every row (N,) and the gradients of their sum: see `chunked.one_pass`."""
    grown = Gradients(head, needs)
    every = slice(0, len(head.weight))
    width = -(-every.stop // ALIGNED) * ALIGNED
    size = min(tiling.rows, len(head.input)), width
    room = torch.empty(size, dtype=head.dtype, device=labels.device)[:, : every.stop]
    weight = head.weight.to(head.factor_dtype)
    losses = []
    for block in blocks(len(head.input), tiling.rows):
        x = head.input[block].to(head.factor_dtype)
        raw = room[: len(x)]
        product_(raw, x, weight.T)
        rows = Rows(
            raw,
            labels[block],
            head.bias,
            head.transform,
            head.mean_of(block, every),
            head.factor_dtype == torch.float32,
        )
        sums = sums_of_rows(rows, want)
        values, upstream = loss(block, sums)
        losses.append(values)
        if not any(needs):
            continue
        gradient = narrow(raw, head.factor_dtype)
        upstream = upstream.times(head.transform.factor)
        spread_rows(rows, Saved(sums.shift, sums.total), upstream, gradient)
        grown.add(block, every, x, weight, gradient, None)
    return torch.cat(losses), grown.cast(*[waiting_dtype(head.input.dtype)] * 3)
