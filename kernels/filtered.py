"""Cross-entropy whose backward pass leaves out tiles of negligible probability, and says how much.

A tile is left out where all probabilities of all its rows are below a threshold and no target lies
in it. What a row loses is known: the probability in the tiles left out. It is handed back, so that
the saving comes with its price.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from lossviz.declaration.numbers import check_reduction
from lossviz.declaration.rows import softplus

from . import planning, triton_path, triton_tiling
from .checks import (
    check_head,
    check_number,
    check_transform,
    holds_probabilities,
    split_target,
    under_autocast,
)
from .head import Head, Needs
from .ops import refuse_derivatives
from .statistics import Want, finish, finite_shift
from .tiles import Saved, Transform, Upstream


class FilteredLoss(NamedTuple):
    """`loss` as asked for, and `skipped` (...): per row, the probability the gradient leaves out.

    It is the sum of absolute values that the gradient of the row's loss with respect to its logits
    lacks (times their slope, if they are scaled or capped), and minus the sum of that gradient.
    float32, 0 where the target is ignored, not differentiable.
    """

    loss: torch.Tensor
    skipped: torch.Tensor


def filtered_linear_cross_entropy(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    filter_eps: float,
    linear_bias: torch.Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = -100,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> FilteredLoss:
    """`linear_cross_entropy` by Triton, with a gradient filter and its certificate.

    Shapes: `input` (..., D), `linear_weight` (V, D), `linear_bias` (V,), `target` (...) of class
    indices. Dtypes (but for float64), transform, `reduction` and `ignore_index` as there; the loss
    is float32, in nats.

    `filter_eps` in [0, 1]; the paper's choice for bfloat16 is 2^-12. A tile of logits goes from the
    backward pass where each probability of each of its rows is smaller and none has its target
    there; a probability is compared as its share of what the target leaves, p_j / (1 - p_y), which
    is never smaller. At 0 nothing goes, and the gradient equals that of `linear_cross_entropy`. The
    loss is exact always. What is saved is making those logits again, at most one of the backward
    pass's three products. Words that are rare everywhere get no push down: pre-training drifts, see
    the chapter "Cutting the cost of cross-entropy".

    First derivatives only. Raises as `linear_cross_entropy`, and ValueError where Triton does not
    run. The filter is that of Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models"
    (2025); the report of what it skips is ours.
    """
    check_reduction(reduction)
    epsilon = check_number("filter_eps", filter_eps, 0.0, 1.0)
    transform = check_transform(logit_scale, softcap, temperature)
    check_head(input, linear_weight, linear_bias, None, None)
    if linear_weight.ndim != 2:
        raise ValueError(
            f"linear_weight must have shape (V, D) here, got {tuple(linear_weight.shape)}"
        )
    input, linear_weight, linear_bias = under_autocast(input, linear_weight, linear_bias)
    batch, classes = input.shape[:-1], linear_weight.shape[0]
    if holds_probabilities(target, batch, torch.Size((*batch, classes)), input):
        raise TypeError(f"target must hold class indices, got dtype {target.dtype}")
    planning.choose("triton", input.device, input.dtype)
    labels, kept = split_target(target.reshape(-1), ignore_index, classes)
    flat = input.reshape(batch.numel(), input.shape[-1])
    gap, skipped = _FilteredGap.apply(flat, linear_weight, linear_bias, labels, transform, epsilon)
    nll = torch.where(kept, softplus(gap), 0.0)
    if reduction == "none":
        loss = nll.reshape(batch)
    else:
        loss = nll.sum() if reduction == "sum" else nll.sum() / kept.sum()
    return FilteredLoss(loss, skipped.reshape(batch))


def skippable(
    seen: triton_path.TileSums, labels: torch.Tensor, saved: Saved, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tiles that backward may leave out, (blocks of rows, tiles), and what each row loses, (N,).

    A tile goes where every probability of each of its rows is below `epsilon` and none of them has
    its target there. It is judged by what forward saw, so its logits are not made again: that is
    what is saved, at most one of the backward pass's three products. The other two see zeros.

    What is lost is in units of `Upstream.others`: the share of the softmax over the other classes
    in the tiles left out, exactly the sum of the absolute logit gradients that are missing.
    """
    relative = (seen.shift - finite_shift(saved.shift)).exp() / saved.total
    tiles, count = relative.shape
    here = torch.arange(tiles, device=labels.device)[:, None] == labels // seen.columns
    keep = ~(relative < epsilon) | here  # "not <" keeps NaN
    by_block = torch.nn.functional.pad(keep, (0, -count % seen.rows)).view(tiles, -1, seen.rows)
    skip = ~by_block.any(2)
    lost = skip.repeat_interleave(seen.rows, 1)[:, :count]
    return skip.T.contiguous(), torch.where(lost, seen.total * relative, 0.0).sum(0)


class _FilteredGap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        transform: Transform,
        epsilon: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        head = Head(input, weight, bias, transform)
        sums, seen = triton_path.accumulate_with_tiles(head, labels, Want())
        saved = Saved(sums.shift, sums.total)
        skip, share = skippable(seen, labels, saved, epsilon)
        ctx.save_for_backward(input, weight, bias, labels, *saved[:2], skip)
        ctx.transform = transform
        gap = finish(sums, labels >= 0).gap
        skipped = torch.where(labels >= 0, share * gap.sigmoid(), 0.0)
        ctx.mark_non_differentiable(skipped)
        return gap, skipped

    @staticmethod
    def backward(ctx: Any, gap: torch.Tensor, _: torch.Tensor) -> Any:
        refuse_derivatives((gap,))
        input, weight, bias, labels, shift, total, skip = ctx.saved_tensors
        grown = triton_path.gradients(
            Head(input, weight, bias, ctx.transform),
            labels,
            Saved(shift, total),
            Upstream(gap),
            Needs(*ctx.needs_input_grad[:3]),
            triton_tiling.plan_tiling(len(input), len(weight), input.dtype, planning.WORKSPACE),
            skip=skip,
        )
        return *grown, None, None, None
