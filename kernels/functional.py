"""The door: arguments are checked and flattened to rows, a path is chosen, rows become a loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from lossviz.declaration.numbers import check_reduction, widen

from . import flops, planning
from .checks import (
    check_budget,
    check_compact,
    check_head,
    check_number,
    check_row_weight,
    check_shift,
    check_transform,
    holds_probabilities,
    is_transformed,
    split_target,
    under_autocast,
)
from .parallel import VocabularyShard, replicated, unwrap
from .row_losses import RowFunction, row_loss
from .statistics import STATISTICS, Primitives, RowStatistics, Want
from .terms import Rows, Terms, stack

NEED_TARGET = (
    "target_logit",
    "lse_others",
    "log_odds",
    "nll",
    "correct",
    "log_sum_square_others",
)


def linear_cross_entropy(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    row_weight: torch.Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    shift: int | bool = 0,
    loss: str | RowFunction = "cross_entropy",
    impl: str = "auto",
    memory_budget: int | None = None,
    compact: bool | None = None,
    shard: VocabularyShard | None = None,
) -> torch.Tensor:
    """Cross-entropy of a linear layer's softmax, in nats, without its logits in memory.

    The same number and gradients as ``F.cross_entropy(F.linear(input, linear_weight, linear_bias),
    target)``, but exact far out, where that one gives 0: see `lossviz.kernels.statistics`.

    Shapes: `input` (..., D); `linear_weight` (V, D); `linear_bias` (V,); `target` (...) of class
    indices or (..., V) of class probabilities; `weight` (V,), of classes; `row_weight` (...), one
    real number for each prediction, by which its loss is multiplied. As in
    `torch.nn.functional.linear_cross_entropy` a `linear_weight` (V, d_1, ..., d_K, D) makes
    ``d_1 * ... * d_K`` predictions per row, with targets (N, d_1, ..., d_K) or (N, V, d_1, ...).
    Floating tensors share one dtype, float64 to bfloat16 (under autocast they are cast to its
    dtype); the loss is float32 for half precision, else of the input's dtype; gradients have the
    dtypes of what they belong to and are computed for what requires them.

    A logit is softcap * tanh(logit_scale (x w + b) / softcap) / temperature; `softcap` None leaves
    the cap out (which would bring a bias of -inf, a masked class, up to -softcap). `logit_scale` is
    any number that float32 holds, `softcap` and `temperature` are positive ones. To learn a scale,
    multiply `input` and `linear_bias` by it.

    `label_smoothing` in [0, 1]. `z_loss` in [0, inf) adds z_loss * lse^2 to each row, in the mean
    over kept rows whatever the class weights. `shift` k pairs each position of the last axis of
    `target` (and of `row_weight`) with the input k places earlier, so that a loss per row has k
    positions fewer. Weights of rows (of tokens; advantages, with "sum") that are known in advance
    cost nothing; "mean" divides by their sum over the rows that are kept. Rows
    whose target is `ignore_index` (None is -100) count nothing; "mean" divides by the (weight of
    the) others and is NaN where that is 0, "sum" is 0 where there are none; without a row left
    gradients are 0 in both cases. An ignored row takes no part,
    whatever it holds, NaN and inf included, on any path. With `compact` it costs nothing either:
    None does so on a CPU; on a GPU True waits for the device to count the rows that are kept, which
    pays where many are ignored. (Compiled losses per row and torch.func transforms compute such
    rows all the same; a `loss` function finds there the statistics of another row.)
    N = 0 counts as no row left; D = 0 leaves the bias alone, log V without one; V = 1 gives 0.

    Exactness far out is that of class indices: class probabilities enter as a sum over all classes,
    so beyond a margin of 17 nats (float32) a one-hot row of them gives 0, as in torch.

    `loss` replaces -log p_y by any name in `lossviz.kernels.ROW_LOSSES`, by one of the classes in
    `lossviz.kernels.row_losses` with parameters of its own, ``loss=Focal(gamma=3.0)``, or by a
    function of `RowStatistics` that returns (N,). A function may name what it reads in an attribute
    `needs`, a tuple; without it all statistics are made.

    `impl`: "chunked" (the library's matrix products, between them plain torch, or Triton's row
    kernels on a GPU that has them), "triton" (logits are made in kernels, twice; a GPU, or Triton's
    interpreter), "reference" (makes the logits; any order of derivative, forward mode, vmap),
    "auto". `memory_budget` in bytes bounds the tiles of logits; see `plan`. Derivatives of second
    order or in forward mode raise on all but "reference"; "auto" takes it by itself under
    torch.func transforms. Do not checkpoint this loss: it keeps no logits, and gradients of a mean
    are formed on the way forward.

    `shard` says which classes this process holds, if the vocabulary is spread over several; a
    DTensor `linear_weight` with the placement ``Shard(0)`` says so itself. Input and target are
    then the same on all processes; see `VocabularyShard`.

    Raises TypeError and ValueError before anything is computed, but for what a `loss` function
    returns. On a GPU indices out of range are a device assertion, so that nothing waits.
    """
    flops.tell_counters()
    check_reduction(reduction)
    smoothing = check_number("label_smoothing", label_smoothing, 0.0, 1.0)
    square = check_number("z_loss", z_loss, 0.0)
    transform = check_transform(logit_scale, softcap, temperature)
    check_budget(memory_budget)
    function = row_loss(loss)
    weight, target = replicated("weight", weight), replicated("target", target)
    row_weight = replicated("row_weight", row_weight)
    input, linear_weight, linear_bias, shard = _check_head(
        input, linear_weight, linear_bias, weight, shard
    )
    inner = linear_weight.shape[1:-1]
    check_row_weight(row_weight, torch.Size((*input.shape[:-1], *inner)), input)
    if isinstance(target, torch.Tensor) and check_shift(shift, target, input):
        input, target = input[..., : -int(shift), :], target[..., int(shift) :]
        row_weight = None if row_weight is None else row_weight[..., int(shift) :]
    batch = input.shape[:-1]
    classes = linear_weight.shape[0] if shard is None else shard.num_classes
    dense = holds_probabilities(
        target, torch.Size((*batch, *inner)), torch.Size((*batch, classes, *inner)), input
    )
    _check_shard(shard, weight, dense)
    if dense and ignore_index not in (None, -100):
        raise ValueError("ignore_index cannot be given when target holds class probabilities")
    if classes == 1:  # of one class the smoothed target is the same
        smoothing = 0.0
    terms = Terms(function, smoothing, square, weight)
    for name, present in (
        ("label_smoothing", bool(label_smoothing)),
        ("a target of probabilities", dense),
    ):
        if present and not terms.is_cross_entropy:
            raise ValueError(f"{name} needs loss='cross_entropy', got loss={loss!r}")
    shared: dict[str, Any] = {
        "transform": transform,
        "impl": _choose(
            impl, (input, linear_weight, linear_bias, weight, row_weight, target), shard
        ),
        "memory_budget": memory_budget,
        "shard": shard,
        "compact": check_compact(compact, input),
    }
    heads = [
        Rows(**head, **labelled, **shared)
        for head, labelled in zip(
            _heads(input, linear_weight, linear_bias),
            _targets(target, row_weight, ignore_index, classes, math.prod(inner), dense),
            strict=True,
        )
    ]
    if len(heads) == 1 and reduction != "none":
        tiling = terms.tiling_of_one_pass(heads[0])
        if tiling is not None:
            return terms.in_one_pass(heads[0], reduction, tiling)
    result = stack([terms.of(rows) for rows in heads]).reduce(reduction)
    return result.reshape(torch.Size((*batch, *inner))) if reduction == "none" else result


def _heads(
    input: torch.Tensor, linear_weight: torch.Tensor, linear_bias: torch.Tensor | None
) -> Iterator[dict[str, Any]]:
    """Input (N, D), weight (V, D) and bias (V,) of every head of (V, d_1, ..., d_K, D)."""
    flat = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    if linear_weight.ndim == 2:  # not selected: that would copy its gradient
        yield {"input": flat, "weight": linear_weight, "bias": linear_bias}
        return
    weights = linear_weight.flatten(1, -2).unbind(1)
    if len(weights) > 1:  # gradients of the input are added before they are rounded
        flat = widen(flat)
    biases: Sequence[torch.Tensor | None] = [None] * len(weights)
    if linear_bias is not None:
        biases = linear_bias.flatten(1).unbind(1)
    for weight, bias in zip(weights, biases, strict=True):
        yield {"input": flat, "weight": weight, "bias": bias}


def _targets(
    target: torch.Tensor,
    row_weight: torch.Tensor | None,
    ignore_index: int | None,
    classes: int,
    heads: int,
    dense: bool,
) -> Iterator[dict[str, Any]]:
    """What the rows of every head are compared with, and what each counts."""
    for head in range(heads):
        weight = None if row_weight is None else row_weight.reshape(-1, heads)[:, head]
        soft = None
        if dense:
            soft = target.reshape(-1, classes, heads)[:, :, head]
            labels = torch.full(soft.shape[:1], -1, device=soft.device)
            kept = labels == 0
        else:
            labels, kept = split_target(target.reshape(-1, heads)[:, head], ignore_index, classes)
        yield {"labels": labels, "kept": kept, "probabilities": soft, "row_weight": weight}


def _check_shard(shard: VocabularyShard | None, weight: torch.Tensor | None, dense: bool) -> None:
    if shard is not None and weight is not None and weight.requires_grad:
        raise ValueError("weight must not require gradients where the vocabulary is sharded")
    if dense and shard is not None:
        raise ValueError("target must hold class indices where the vocabulary is sharded")


def row_statistics(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor | None = None,
    *,
    statistics: Sequence[str] | None = None,
    linear_bias: torch.Tensor | None = None,
    ignore_index: int | None = -100,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    impl: str = "auto",
    memory_budget: int | None = None,
    shard: VocabularyShard | None = None,
) -> RowStatistics:
    """What one pass over the logits of a linear layer knows of every row, without keeping them.

    Shapes and dtypes as in `linear_cross_entropy`: `input` (..., D), `linear_weight` (V, D),
    `target` (...) of class indices or None. `statistics` names what is wanted, a subset of
    `lossviz.kernels.STATISTICS`; by default all, without a target all that need none. Each comes
    as an attribute (...) of the result, float32 for half precision, differentiable with respect to
    input, weight and bias; but `argmax` is int64 and `correct` bool. The identity that ties them:
    nll = lse - target_logit. `shard` as in `linear_cross_entropy`.

    Raises as `linear_cross_entropy`, and ValueError for a name that is unknown or needs a target.
    """
    flops.tell_counters()
    transform = check_transform(logit_scale, softcap, temperature)
    check_budget(memory_budget)
    names = _check_names(statistics, target is not None)
    target = replicated("target", target)
    input, linear_weight, linear_bias, shard = _check_head(
        input, linear_weight, linear_bias, None, shard
    )
    if linear_weight.ndim != 2:
        raise ValueError(
            f"linear_weight must have shape (V, D) here, got {tuple(linear_weight.shape)}"
        )
    batch = input.shape[:-1]
    classes = linear_weight.shape[0] if shard is None else shard.num_classes
    if target is None:
        labels = torch.full((math.prod(batch),), -1, device=input.device)
        kept = labels == 0
    else:
        shapes = (batch, torch.Size((*batch, classes)))
        if holds_probabilities(target, *shapes, input):
            raise TypeError(f"target must hold class indices, got dtype {target.dtype}")
        labels, kept = split_target(target.reshape(-1), ignore_index, classes)
    chosen = _choose(impl, (input, linear_weight, linear_bias, target), shard)
    flat = input.reshape(math.prod(batch), input.shape[-1])
    rows = Rows(
        flat,
        linear_weight,
        linear_bias,
        labels,
        kept,
        transform,
        chosen,
        memory_budget,
        shard=shard,
    )
    row = rows.primitives(Want.of(names))
    shaped = Primitives._make(value if value is None else value.reshape(batch) for value in row)
    return RowStatistics(shaped, labels.reshape(batch), kept.reshape(batch), names)


def _check_head(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    linear_bias: torch.Tensor | None,
    weight: torch.Tensor | None,
    shard: VocabularyShard | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, VocabularyShard | None]:
    """Plain tensors of this process, checked and cast as autocast wants, and its shard."""
    if shard is None:
        input, linear_weight, linear_bias, shard = unwrap(input, linear_weight, linear_bias)
    elif not isinstance(shard, VocabularyShard):
        raise TypeError(f"shard must be a VocabularyShard or None, got {type(shard).__name__}")
    check_head(
        input, linear_weight, linear_bias, weight, None if shard is None else shard.num_classes
    )
    if shard is not None:
        shard.check(linear_weight)
    return *under_autocast(input, linear_weight, linear_bias), shard


def _check_names(statistics: Sequence[str] | None, has_target: bool) -> tuple[str, ...]:
    known = tuple(name for name in STATISTICS if has_target or name not in NEED_TARGET)
    if statistics is None:
        return known
    statistics = (statistics,) if isinstance(statistics, str) else tuple(statistics)
    for name in statistics:
        if name not in STATISTICS:
            raise ValueError(f"statistics must be among {STATISTICS}, got {name!r}")
        if name not in known:
            raise ValueError(f"the statistic {name!r} needs a target")
    return statistics


def _choose(
    impl: str, tensors: Sequence[torch.Tensor | None], shard: VocabularyShard | None
) -> str:
    """The path for these tensors: only the reference is differentiable in every way."""
    present = [tensor for tensor in tensors if tensor is not None]
    chosen = planning.choose(impl, present[0].device, present[0].dtype)
    if any(map(is_transformed, present)):
        if impl not in ("auto", "reference"):
            raise ValueError(
                "forward-mode derivatives and torch.func transforms need impl='reference' or "
                f"'auto', got {impl!r}"
            )
        chosen = "reference"
    if shard is not None and chosen == "reference":
        raise ValueError(
            "a sharded vocabulary has no reference path: it has first derivatives only"
        )
    return chosen
