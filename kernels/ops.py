# No `from __future__ import annotations`: torch reads the schemas off the annotations.
"""The operators that autograd and torch.compile see; their bodies are the paths.

`row_sums` and its backward serve every loss per row. They have first derivatives only, and say so
when asked for more.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import chunked
from .checks import is_transformed
from .head import Head, Needs, Tiling
from .registration import gradients, named, operator
from .statistics import (
    Want,
    finish,
)
from .tiles import Saved, Transform, Upstream, sum_dtype


def path(impl: str) -> ModuleType:
    """The module that walks the tiles."""
    if impl == "triton":
        from . import triton_path

        return triton_path
    return chunked


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if tensor is None else tensor


def or_none(tensor: Tensor, wanted: bool) -> Tensor | None:
    return tensor if wanted else None


def fake_gradients(
    input: Tensor,
    weight: Tensor,
    needs: list[bool],
    dtype: torch.dtype,
    weight_dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    kinds = (
        (input.shape, dtype), (weight.shape, weight_dtype), (weight.shape[:1], weight_dtype)
    )  # fmt: skip
    of_input, of_weight, of_bias = (
        input.new_empty(shape if needed else (0,), dtype=kind)
        for (shape, kind), needed in zip(kinds, needs, strict=True)
    )
    return of_input, of_weight, of_bias


def no_gradients(
    input: Tensor, weight: Tensor, needs: list[bool], *dtypes: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    of_input, of_weight, of_bias = fake_gradients(input, weight, needs, *dtypes)
    return of_input.zero_(), of_weight.zero_(), of_bias.zero_()


def _fake_row_sums_backward(*inputs: Any) -> Any:
    given = named(row_sums_backward, inputs)
    dtypes = given.input.dtype, given.weight.dtype
    return fake_gradients(given.input, given.weight, given.needs, *dtypes)


@operator(_fake_row_sums_backward)
def row_sums_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    mean_weight: Tensor | None,
    saved: list[Tensor],
    upstream: list[Tensor | None],
    scale: float,
    softcap: float | None,
    temperature: float,
    needs: list[bool],
    impl: str,
    rows: int,
    columns: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input, weight and bias; what is not needed is empty."""
    if len(input) == 0:
        return no_gradients(input, weight, needs, input.dtype, weight.dtype)
    head = Head(input, weight, bias, Transform(scale, softcap, temperature), mean_weight)
    known = Saved._make(value if value.numel() else None for value in saved)
    arriving = Upstream._make(upstream)
    grown = path(impl).gradients(
        head, labels, known, arriving, Needs(*needs), Tiling(rows, columns)
    )
    of_input, of_weight, of_bias = (
        _or_empty(gradient, like)
        for gradient, like in zip(grown, (input, weight, weight), strict=True)
    )
    return of_input, of_weight, of_bias


def _fake_mean_weight_gradient(*inputs: Any) -> Tensor:
    return torch.empty_like(named(mean_weight_gradient, inputs).mean_weight)


@operator(_fake_mean_weight_gradient)
def mean_weight_gradient(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mean_weight: Tensor,
    shift: Tensor,
    upstream: Tensor,
    scale: float,
    softcap: float | None,
    temperature: float,
    rows: int,
    columns: int,
) -> Tensor:
    """Gradient of the weights of the mean logit from that of the mean logit."""
    head = Head(input, weight, bias, Transform(scale, softcap, temperature), mean_weight)
    return chunked.mean_weight_gradient(head, shift, upstream, Tiling(rows, columns))


def _fake_row_sums(*inputs: Any) -> Any:
    given = named(row_sums, inputs)
    value = given.input.new_empty(len(given.input), dtype=sum_dtype(given.input.dtype))
    always = [torch.empty_like(value) for _ in range(4)]
    optional = [
        torch.empty_like(value) if wanted else value.new_empty(0)
        for wanted in (given.tilt, given.square, given.mean)
    ]
    best = torch.empty_like(given.labels) if given.argmax else given.labels.new_empty(0)
    return (*always, *optional, best, torch.empty_like(value))


def _keep_for_row_sums(ctx: Any, inputs: Any, output: Any) -> None:
    given = named(row_sums, inputs)
    shift, _, _, _, centre, square, _, argmax, total = output
    ctx.save_for_backward(
        given.input, given.weight, given.bias, given.labels, given.mean_weight,
        shift, total, centre, square, argmax,
    )  # fmt: skip
    ctx.given = {
        name: getattr(given, name)
        for name in ("scale", "softcap", "temperature", "rows", "columns")
    }
    ctx.want = Want(given.argmax, given.tilt, given.square, given.mean)
    ctx.impl = given.impl
    ctx.mark_non_differentiable(argmax, total)
    ctx.set_materialize_grads(False)


def _row_sums_backward(ctx: Any, *upstream: Tensor | None) -> Any:
    refuse_derivatives(upstream)
    input, weight, bias, labels, mean_weight, *saved = ctx.saved_tensors
    head = {"input": input, "weight": weight, "bias": bias, "mean_weight": mean_weight}
    shift, target, gap, rest, centre, square, mean, _, _ = upstream
    # what was not wanted is empty, and so is the gradient that may still arrive there
    shift = shift if ctx.want.argmax else None
    centre = centre if ctx.want.tilt else None
    square = square if ctx.want.square else None
    mean = mean if ctx.want.mean else None
    needs = named(row_sums, ctx.needs_input_grad)
    grown = row_sums_backward(
        **head,
        labels=labels,
        saved=list(saved),
        upstream=list(Upstream.of(saved[1], shift, target, gap, rest, centre, square, mean)),
        needs=[needs.input, needs.weight, needs.bias],
        impl=ctx.impl,
        **ctx.given,
    )
    of_mean_weight = None
    if needs.mean_weight and mean is not None:
        of_mean_weight = mean_weight_gradient(**head, shift=saved[0], upstream=mean, **ctx.given)
    return gradients(
        row_sums,
        input=or_none(grown[0], needs.input),
        weight=or_none(grown[1], needs.weight),
        bias=or_none(grown[2], needs.bias),
        mean_weight=of_mean_weight,
    )


@operator(_fake_row_sums, keep=_keep_for_row_sums, backward=_row_sums_backward)
def row_sums(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    mean_weight: Tensor | None,
    scale: float,
    softcap: float | None,
    temperature: float,
    argmax: bool,
    tilt: bool,
    square: bool,
    mean: bool,
    impl: str,
    rows: int,
    columns: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`Primitives` of every row and the total; what is not wanted is empty.

    In the order shift, target, gap, rest, centre, square, mean, argmax, total.
    """
    head = Head(input, weight, bias, Transform(scale, softcap, temperature), mean_weight)
    want = Want(argmax, tilt, square, mean)
    sums = path(impl).accumulate(head, labels, want, Tiling(rows, columns))
    row = finish(sums, labels >= 0)
    optional = (row.centre, row.square, row.mean)
    return (
        row.shift,
        row.target,
        row.gap,
        row.rest,
        *(_or_empty(value, row.gap) for value in optional),
        _or_empty(row.argmax, labels),
        sums.total,
    )


def refuse_derivatives(upstream: Sequence[Tensor | None]) -> None:
    """Raise in a backward pass that is itself differentiated or mapped over what arrives."""
    mapped = any(value is not None and is_transformed(value) for value in upstream)
    if mapped or torch.is_grad_enabled():
        what = (
            "forward-mode derivatives and vmap of a gradient"
            if mapped
            else ("second derivatives (create_graph=True)")
        )
        raise RuntimeError(
            f"this path has first derivatives only; {what} need linear_cross_entropy or "
            "row_statistics with impl='reference' and the whole vocabulary in one process"
        )
