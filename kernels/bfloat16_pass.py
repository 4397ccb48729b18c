"""One pass over whole rows of bfloat16 on a CPU that has units for it.

As `lossviz.kernels.chunked.one_pass`, but exponentials, and logit gradients after them, are kept in
bfloat16, as eager torch keeps logits: half the memory, and what the last products take. The
gradient of the input, and that of the weight where one chunk holds all rows, are what one product
made in float32, rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from . import memory
from .head import Head, Needs, Tiling, as_typed, product_, shaped_in_blocks
from .statistics import Sums, Want, finite_shift, merge
from .tiles import Saved, Upstream, accumulate_, blocks, spread_


@as_typed
def one_pass(
    head: Head,
    labels: torch.Tensor,
    want: Want,
    loss: Callable[[slice, Sums], tuple[torch.Tensor, Upstream]],
    needs: Needs,
    tiling: Tiling,
) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
    """Loss of every row (N,) and the gradients of their sum."""
    count, every = len(head.input), len(head.weight)
    narrow, wide, device = head.weight.dtype, head.dtype, head.input.device
    height = min(count, tiling.rows)
    widths = list(blocks(every, tiling.columns))
    room, block = memory.empty(height * every, narrow, device), head.tile(tiling)
    of_input = of_weight = of_bias = None
    if needs.input:
        of_input = memory.empty(tuple(head.input.shape), narrow, device)
    if needs.weight:
        grows_in = narrow if height == count else wide
        of_weight = memory.empty(tuple(head.weight.shape), grows_in, device)
    if needs.bias:
        of_bias = torch.zeros(every, dtype=wide)
    losses = []
    for rows in blocks(count, height):
        x, here = head.input[rows].to(narrow), labels[rows]
        kept = shaped_in_blocks(room, len(x), every)
        parts, slopes = [], []
        for columns in widths:
            tile = shaped_in_blocks(block, len(x), columns.stop - columns.start)
            slope = head.slope_room(tile) if any(needs) else None
            head.logits_(x, head.weight[columns], columns, tile, slope)
            mean = head.mean_of(rows, columns)
            parts.append(accumulate_(tile, here, columns.start, want, mean))
            slopes.append(None if slope is None else slope.to(narrow))
            if any(needs):
                kept[:, columns] = tile
        sums = merge(parts)
        values, upstream = loss(rows, sums)
        losses.append(values)
        if not any(needs):
            continue
        upstream = upstream.times(head.transform.factor)
        known = Saved(sums.shift, sums.total)
        for columns, part, slope in zip(widths, parts, slopes, strict=True):
            tile = shaped_in_blocks(block, len(x), columns.stop - columns.start)
            behind = (part.shift - finite_shift(sums.shift)).exp()
            tile.copy_(kept[:, columns]).mul_(behind[:, None])
            mean = head.mean_of(rows, columns)
            spread_(tile, here, columns.start, known, upstream, mean, slope, exponentials=True)
            if of_bias is not None:
                of_bias[columns] += tile.sum(0)
            kept[:, columns] = tile
            if of_weight is not None:
                product_(of_weight[columns], kept[:, columns].T, x, add=rows.start > 0)
        if of_input is not None:
            product_(of_input[rows], kept, head.weight)
    return torch.cat(losses), tuple(
        None if grown is None else grown.to(narrow) for grown in (of_input, of_weight, of_bias)
    )
