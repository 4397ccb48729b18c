"""Cross-entropy whose backward pass leaves out tiles of negligible probability, and says how much.

A tile is left out where all probabilities of all its rows are below a threshold and no target lies
in it. What a row loses is known: the probability in the tiles left out. It is handed back, so that
the saving comes with its price.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from lossviz.losses.checks import check_reduction

from . import planning, triton_path
from .checks import check_head, check_number, holds_probabilities, split_target
from .chunked import Head, Needs, Tiling
from .statistics import Want, finish, softplus
from .tiles import Saved, Transform, Upstream


class FilteredLoss(NamedTuple):
    """`loss` as asked for, and `skipped` (...): per row, the probability the gradient leaves out.

    `skipped` is a share of the softmax over the classes that are not the target. Times 1 - p_y it
    is the sum of absolute values that the gradient of the row's loss with respect to its logits
    lacks.
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
    ignore_index: int = -100,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> FilteredLoss:
    """`linear_cross_entropy` by Triton, with a gradient filter and its certificate.

    Shapes, transform, `reduction` and `ignore_index` as there; `target` holds class indices.
    `filter_eps` in [0, 1]: a tile of logits goes from the backward pass where each probability of
    each of its rows is smaller and none has its target there; at 0 nothing goes and the gradient is
    exact. The loss is exact always. What is saved is making those logits again, at most one of the
    backward pass's three products. Words that are rare everywhere get no push down: pre-training
    drifts, see the chapter "Cutting the cost of cross-entropy".

    Raises as `linear_cross_entropy`, and ValueError where Triton does not run.
    """
    check_reduction(reduction)
    epsilon = check_number("filter_eps", filter_eps, 0.0, 1.0)
    transform = Transform(
        check_number("logit_scale", logit_scale, -torch.inf),
        None if softcap is None else check_number("softcap", softcap, 0.0, open_low=True),
        check_number("temperature", temperature, 0.0, open_low=True),
    )
    check_head(input, linear_weight, linear_bias, None, None)
    batch, classes = input.shape[:-1], linear_weight.shape[0]
    if holds_probabilities(target, batch, torch.Size((*batch, classes)), input):
        raise TypeError(f"target must hold class indices, got dtype {target.dtype}")
    planning.choose("triton", input.device, input.dtype)
    labels, kept = split_target(target.reshape(-1), ignore_index, classes)
    flat = input.reshape(-1, input.shape[-1])
    gap, skipped = _FilteredGap.apply(flat, linear_weight, linear_bias, labels, transform, epsilon)
    nll = torch.where(kept, softplus(gap), 0.0)
    if reduction == "none":
        loss = nll.reshape(batch)
    else:
        loss = nll.sum() if reduction == "sum" else nll.sum() / kept.sum()
    return FilteredLoss(loss, skipped.reshape(batch))


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
        skip, skipped = triton_path.skippable(seen, labels, saved, epsilon)
        ctx.save_for_backward(input, weight, bias, labels, *saved[:2], skip)
        ctx.transform = transform
        ctx.mark_non_differentiable(skipped)
        return finish(sums, labels >= 0).gap, skipped

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gap: torch.Tensor, _: torch.Tensor) -> Any:
        input, weight, bias, labels, shift, total, skip = ctx.saved_tensors
        rows, classes = len(input), len(weight)
        tiling: Tiling = triton_path.plan_tiling(rows, classes, input.dtype, planning.WORKSPACE)
        grown = triton_path.gradients(
            Head(input, weight, bias, ctx.transform),
            labels,
            Saved(shift, total),
            Upstream(gap),
            Needs(*ctx.needs_input_grad[:3]),
            tiling,
            skip=skip,
        )
        return *grown, None, None, None
