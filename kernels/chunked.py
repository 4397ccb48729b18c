"""The path of library products: tiles of logits from torch's matrix product, spent at once.

Two walks. `one_pass` takes whole rows, so it knows their statistics at once and forms the gradients
of a scalar loss on the way: three matrix products. (On a GPU `triton_rows` has its own, with
kernels between the products.) `accumulate` and `gradients` take any tile and make each logit a
second time for the backward pass: four products, for losses per row.

Half precision on the CPU is widened tile by tile: torch rounds a half product to half, and emulates
it several times slower than float32. Only large heads in bfloat16 are not, where the CPU has units
for it: see `bfloat16_units`. On a GPU products take half precision and give float32. Sums and
weight gradients are float32 (float64 for float64) on either.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from . import memory
from .head import (
    Head,
    Needs,
    Tiling,
    as_typed,
    product_,
    shaped,
    shaped_in_blocks,
    waiting_dtype,
)
from .statistics import FAR, Sums, Want, finite_shift, merge, required
from .tiles import Saved, Upstream, accumulate_, blocks, in_range, row_factors, spread_

LEAST_COLUMNS = 1024
"""Columns below which the products of a block take longer."""


class Gradients:
    """Gradients as they grow, in full precision; an entry that is not needed stays None.

    They lack the factor `unit`. Where a walk takes all rows `at_once`, what a block of classes gets
    is all that it gets, and is rounded on the spot: the whole never lies there in float32.
    """

    def __init__(
        self,
        head: Head,
        needs: Needs,
        *,
        unit: torch.Tensor | None = None,
        at_once: bool = False,
    ) -> None:
        def room(like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
            return memory.empty(tuple(like.shape), dtype, like.device)

        self.head = head
        self.unit = unit
        self.rounds = at_once and head.weight.dtype != head.dtype
        narrow = head.weight.dtype if self.rounds else head.dtype
        self.input = room(head.input, head.dtype) if needs.input else None
        self.weight = room(head.weight, narrow) if needs.weight else None
        self.bias = None
        if needs.bias:
            self.bias = head.weight.new_empty(len(head.weight), dtype=head.dtype)

    def add(
        self,
        rows: slice,
        columns: slice,
        x: torch.Tensor,
        weight: torch.Tensor,
        tile: torch.Tensor,
        factors: torch.Tensor | None,
    ) -> None:
        """Add the part of one tile of logit gradients, whose rows still want `factors` (n, 1).

        `x` has been multiplied by them; `self.input` waits for `scale_input`.
        """
        if self.bias is not None:
            wide = self.head.dtype
            part = tile.sum(0, dtype=wide) if factors is None else (factors.T @ tile)[0]
            _grow_(self.bias[columns], part, first=rows.start == 0)
        tile = tile.to(x.dtype)
        if self.input is not None:
            product_(self.input[rows], tile, weight, add=columns.start > 0)
        if self.weight is not None and self.rounds:
            part = memory.empty((len(weight), x.shape[1]), self.head.dtype, x.device)
            product_(part, tile.T, x)
            self.weight[columns] = part if self.unit is None else part.mul_(self.unit)
        elif self.weight is not None:
            product_(self.weight[columns], tile.T, x, add=rows.start > 0)

    def scale_input(self, rows: slice, factors: torch.Tensor | None) -> None:
        """Multiply the factors that `add` left out."""
        if self.input is not None and factors is not None:
            self.input[rows].mul_(factors)

    def cast(self, *dtypes: torch.dtype) -> tuple[torch.Tensor | None, ...]:
        """The gradients of input, weight and bias in their dtypes."""
        if self.unit is not None:
            for grown in (self.input, None if self.rounds else self.weight, self.bias):
                if grown is not None:
                    grown.mul_(self.unit)
        return tuple(
            None if grown is None else grown.to(dtype)
            for grown, dtype in zip((self.input, self.weight, self.bias), dtypes, strict=True)
        )


def _grow_(total: torch.Tensor, part: torch.Tensor, *, first: bool) -> None:
    total.copy_(part) if first else total.add_(part)


@as_typed
def accumulate(head: Head, labels: torch.Tensor, want: Want, tiling: Tiling) -> Sums:
    """The sums of every row, (N,); a label is negative where a row has no target."""
    room = head.tile(tiling)
    done = []
    for rows in blocks(len(head.input), tiling.rows):
        x = head.input[rows].to(head.factor_dtype)
        parts = []
        for columns in blocks(len(head.weight), tiling.columns):
            weight = head.weight[columns].to(head.factor_dtype)
            tile = head.logits_(x, weight, columns, shaped(room, len(x), len(weight)))
            mean = head.mean_of(rows, columns)
            parts.append(accumulate_(tile, labels[rows], columns.start, want, mean))
        done.append(merge(parts))
    return Sums._make(
        None if kind[0] is None else torch.cat(kind) for kind in zip(*done, strict=True)
    )


@as_typed
def gradients(
    head: Head,
    labels: torch.Tensor,
    saved: Saved,
    upstream: Upstream,
    needs: Needs,
    tiling: Tiling,
    *,
    input_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of input, weight and bias from those of the rows' statistics.

    Each in the dtype of what it belongs to, but that of the input in `input_dtype` where given:
    who goes on to add to it does so before it is rounded.
    """
    upstream, unit = in_range(upstream.times(head.transform.factor), head.factor_dtype)
    grown = Gradients(head, needs, unit=unit, at_once=tiling.rows >= len(head.input))
    room = head.tile(tiling)
    for rows in blocks(len(head.input), tiling.rows):
        x = head.input[rows].to(head.factor_dtype)
        known, arriving = saved.rows(rows), upstream.rows(rows)
        factors = _factors(head, known, arriving)
        scaled = x if factors is None else x * factors
        for columns in blocks(len(head.weight), tiling.columns):
            weight = head.weight[columns].to(head.factor_dtype)
            tile = shaped(room, len(x), len(weight))
            slope = head.slope_room(tile)
            head.logits_(x, weight, columns, tile, slope)
            mean = head.mean_of(rows, columns)
            spread_(
                tile,
                labels[rows],
                columns.start,
                known,
                arriving,
                mean,
                slope,
                scaled_later=factors is not None,
            )
            slope = None  # makes room for the next
            grown.add(rows, columns, scaled, weight, tile, factors)
        grown.scale_input(rows, factors)
    return grown.cast(input_dtype or head.input.dtype, head.weight.dtype, head.weight.dtype)


@as_typed
def mean_weight_gradient(
    head: Head, shift: torch.Tensor, upstream: torch.Tensor, tiling: Tiling
) -> torch.Tensor:
    """Gradient of the weights of the mean logit, (V,) or (N, V): upstream_i (z_ij - m_i)."""
    assert head.mean_weight is not None
    dense = head.mean_weight.ndim == 2
    grown = torch.zeros_like(head.mean_weight)
    room = head.tile(tiling)
    for rows in blocks(len(head.input), tiling.rows):
        x = head.input[rows].to(head.factor_dtype)
        for columns in blocks(len(head.weight), tiling.columns):
            weight = head.weight[columns].to(head.factor_dtype)
            tile = head.logits_(x, weight, columns, shaped(room, len(x), len(weight)))
            tile.sub_(finite_shift(shift[rows])[:, None])
            # a class of weight 0 may have a logit of -inf
            here = head.mean_of(rows, columns)
            tile.clamp_(min=torch.where(required(here) == 0, FAR, -torch.inf))
            if dense:
                grown[rows, columns] = tile.mul_(upstream[rows, None])
            else:
                grown[columns] += upstream[rows] @ tile
    return grown


@as_typed
def one_pass(
    head: Head,
    labels: torch.Tensor,
    want: Want,
    loss: Callable[[slice, Sums], tuple[torch.Tensor, Upstream]],
    needs: Needs,
    tiling: Tiling,
) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
    """Loss of every row (N,) and the gradients (of `waiting_dtype`) of their sum.

    Each logit is made once. `loss` gives the losses of some rows from their sums, and the gradients
    of those losses.
    """
    grown = Gradients(head, needs)
    count, every = len(head.input), len(head.weight)
    in_place = None
    if grown.weight is not None and head.input.device.type == "cpu":
        capped = head.transform.softcap is not None
        in_place = in_place_tiling(count, head.input.shape[1], every, tiling, softcap=capped)
    room = head.tile(in_place or Tiling(tiling.rows, every))
    height, width = in_place or tiling
    losses = []
    for rows in blocks(count, height):
        x = head.input[rows].to(head.factor_dtype)
        if in_place:
            logits = required(grown.weight)[:, :count].T
        else:
            logits = shaped_in_blocks(room, len(x), every)
        slope = head.slope_room(logits) if any(needs) else None
        for columns in blocks(every, width):
            weight = head.weight[columns].to(head.factor_dtype)
            head.logits_(
                x, weight, columns, logits[:, columns], None if slope is None else slope[:, columns]
            )
        mean = head.mean_of(rows, slice(0, every))
        sums = accumulate_(logits, labels[rows], 0, want, mean)
        values, upstream = loss(rows, sums)
        losses.append(values)
        if not any(needs):
            continue
        upstream = upstream.times(head.transform.factor)
        known = Saved(sums.shift, sums.total)
        factors = _factors(head, known, upstream)
        scaled = x if factors is None else x * factors
        spread_(
            logits,
            labels[rows],
            0,
            known,
            upstream,
            mean,
            slope,
            exponentials=True,
            scaled_later=factors is not None,
        )
        slope = None  # makes room for the next
        for columns in blocks(every, width):
            weight = head.weight[columns].to(head.factor_dtype)
            tile = logits[:, columns]
            if in_place:  # the product writes where the tile lies
                tile = shaped_in_blocks(room, *tile.shape).copy_(tile)
            grown.add(rows, columns, scaled, weight, tile, factors)
        grown.scale_input(rows, factors)
    return torch.cat(losses), grown.cast(*[waiting_dtype(head.input.dtype)] * 3)


def in_place_tiling(
    num_rows: int, num_features: int, num_classes: int, tiling: Tiling, *, softcap: bool
) -> Tiling | None:
    """All rows and the width of a block, where `one_pass` makes logits in the weight gradient.

    On a CPU: until the first product writes the weight gradient, its memory (V, D) lies idle, and
    can hold the logits of up to D rows. Only a block of them is copied, before the gradient of its
    classes takes its place. None for more rows, for a cap, whose slopes would need as much again,
    and where the block would be the whole.
    """
    columns = max(LEAST_COLUMNS, tiling.rows * tiling.columns // max(1, num_rows))
    if softcap or num_rows > num_features or columns >= num_classes:
        return None
    return Tiling(num_rows, columns)


def _factors(head: Head, saved: Saved, upstream: Upstream) -> torch.Tensor | None:
    """Factors that can wait for the products; half precision lacks the range to wait in."""
    wide = head.factor_dtype == head.dtype
    if wide and upstream.is_gap_alone and head.transform.softcap is None:
        return row_factors(saved, upstream)
    return None
