# No `from __future__ import annotations`: torch reads the schemas off the annotations.
"""The operators that autograd and torch.compile see; their bodies are the paths.

`row_sums` and its backward serve every loss per row. `reduced_loss` is the short cut for a sum of
`box_cox` losses, whose gradients are formed while the logits are there. Both have first derivatives
only, and say so when asked for more.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lossviz.declaration.rows import box_cox, softplus

from . import chunked, triton_tiling
from .checks import is_transformed
from .chunked import Head, Needs, Tiling, waiting_dtype
from .statistics import (
    Primitives,
    Sums,
    Want,
    finish,
    relative_lse,
    required,
    widened,
)
from .tiles import Saved, Transform, Upstream, power_of_two, sum_dtype


def path(impl: str) -> ModuleType:
    """The module that walks the tiles."""
    if impl == "triton":
        from . import triton_path

        return triton_path
    return chunked


def _walk_of_whole_rows(input: Tensor) -> Callable[..., Any]:
    """`one_pass` in plain torch, or with Triton's row kernels on a GPU that has them."""
    if input.dtype != torch.float64 and triton_tiling.compiled_for(input.device):
        from . import triton_rows

        return triton_rows.one_pass
    return chunked.one_pass


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if tensor is None else tensor


def _or_none(tensor: Tensor, wanted: bool) -> Tensor | None:
    return tensor if wanted else None


@torch.library.custom_op("lossviz::row_sums", mutates_args=())
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


@row_sums.register_fake
def _(input: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *rest: Any) -> Any:
    argmax, tilt, square, mean = rest[4:8]
    value = input.new_empty(input.shape[0], dtype=sum_dtype(input.dtype))
    optional = [
        torch.empty_like(value) if wanted else value.new_empty(0) for wanted in (tilt, square, mean)
    ]
    best = torch.empty_like(labels) if argmax else labels.new_empty(0)
    always = [torch.empty_like(value) for _ in range(4)]
    return (*always, *optional, best, torch.empty_like(value))


@torch.library.custom_op("lossviz::row_sums_backward", mutates_args=())
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
        return _no_gradients(input, weight, needs, input.dtype, weight.dtype)
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


@row_sums_backward.register_fake
def _(input: Tensor, weight: Tensor, *rest: Any) -> Any:
    needs = rest[8]
    return _fake_gradients(input, weight, needs, input.dtype, weight.dtype)


def _fake_gradients(
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


def _keep_for_row_sums(ctx: Any, inputs: Any, output: Any) -> None:
    (input, weight, bias, labels, mean_weight, *transform) = inputs[:8]
    shift, _, _, _, centre, square, _, argmax, total = output
    ctx.save_for_backward(
        input, weight, bias, labels, mean_weight, shift, total, centre, square, argmax
    )
    ctx.transform = transform
    ctx.want = Want(*inputs[8:12])
    ctx.walk = inputs[12:]
    ctx.mark_non_differentiable(argmax, total)
    ctx.set_materialize_grads(False)


def _row_sums_backward(ctx: Any, *upstream: Tensor | None) -> Any:
    refuse_derivatives(upstream)
    input, weight, bias, labels, mean_weight, *saved = ctx.saved_tensors
    shift, target, gap, rest, centre, square, mean, _, _ = upstream
    # what was not wanted is empty, and so is the gradient that may still arrive there
    shift = shift if ctx.want.argmax else None
    centre = centre if ctx.want.tilt else None
    square = square if ctx.want.square else None
    mean = mean if ctx.want.mean else None
    grown = row_sums_backward(
        input,
        weight,
        bias,
        labels,
        mean_weight,
        list(saved),
        list(Upstream.of(saved[1], shift, target, gap, rest, centre, square, mean)),
        *ctx.transform,
        [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.needs_input_grad[2]],
        *ctx.walk,
    )
    gradients = (
        _or_none(gradient, needed)
        for gradient, needed in zip(grown, ctx.needs_input_grad[:3], strict=True)
    )
    of_mean_weight = None
    if ctx.needs_input_grad[4] and mean is not None:
        of_mean_weight = mean_weight_gradient(
            input, weight, bias, mean_weight, saved[0], mean, *ctx.transform, *ctx.walk[1:]
        )
    return (*gradients, None, of_mean_weight, *(None,) * 10)


@torch.library.custom_op("lossviz::mean_weight_gradient", mutates_args=())
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


@mean_weight_gradient.register_fake
def _(input: Tensor, weight: Tensor, bias: Tensor | None, mean_weight: Tensor, *rest: Any) -> Any:
    return torch.empty_like(mean_weight)


row_sums.register_autograd(_row_sums_backward, setup_context=_keep_for_row_sums)


@torch.library.custom_op("lossviz::reduced_loss", mutates_args=())
def reduced_loss(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    mean_weight: Tensor | None,
    nll_weight: Tensor,
    mean_loss_weight: Tensor | None,
    lse_weight: Tensor | None,
    power: float,
    scale: float,
    softcap: float | None,
    temperature: float,
    needs: list[bool],
    rows: int,
    columns: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A weighted sum over rows, and its gradients where `needs` says so.

    Row i adds nll_weight_i box_cox(power) + mean_loss_weight_i (mass lse - mean) + lse_weight_i
    lse^2, where mean is the sum of logits weighted by `mean_weight` and mass that of the weights.
    """
    transform = Transform(scale, softcap, temperature)
    busy = None
    if input.device.type == "cpu" and (mean_weight is None or mean_weight.ndim == 1):
        # ignored rows cost nothing; on a GPU counting them would wait for the device
        busy = (labels >= 0).nonzero()[:, 0]
    picked = input
    if busy is None:
        picked = torch.where((labels >= 0)[:, None], input, 0.0)  # NaN there stays there
    elif len(busy) < len(labels):
        picked, labels, nll_weight = input[busy], labels[busy], nll_weight[busy]
        mean_loss_weight = None if mean_loss_weight is None else mean_loss_weight[busy]
        lse_weight = None if lse_weight is None else lse_weight[busy]
    if len(picked) == 0:
        nothing = _no_gradients(input, weight, needs, *[waiting_dtype(input.dtype)] * 2)
        return (input.new_zeros((), dtype=sum_dtype(input.dtype)), *nothing)
    head = Head(picked, weight, bias, transform, mean_weight)
    unit = None
    if head.factor_dtype == torch.float16:
        slope = torch.full((), transform.factor, device=input.device)
        unit = power_of_two((nll_weight, mean_loss_weight, lse_weight)) * power_of_two((slope,))
        nll_weight = nll_weight / unit
        mean_loss_weight = None if mean_loss_weight is None else mean_loss_weight / unit
        lse_weight = None if lse_weight is None else lse_weight / unit

    def of_rows(block: slice, sums: Sums) -> tuple[Tensor, Upstream]:
        return _values_and_upstream(
            finish(sums, labels[block] >= 0),
            labels[block] >= 0,
            sums.mass,
            power,
            nll_weight[block],
            None if mean_loss_weight is None else mean_loss_weight[block],
            None if lse_weight is None else lse_weight[block],
        )

    want = Want(mean=mean_loss_weight is not None)
    values, grown = _walk_of_whole_rows(input)(
        head, labels, want, of_rows, Needs(*needs), Tiling(rows, columns)
    )
    if unit is not None:
        values = values * unit
        grown = tuple(value if value is None else value.mul_(unit) for value in grown)
    of_input, of_weight, of_bias = grown
    if busy is not None and of_input is not None and len(picked) < len(input):
        of_input = of_input.new_zeros(input.shape).index_copy_(0, busy, of_input)
    missing = input.new_empty(0, dtype=waiting_dtype(input.dtype))
    gradients = (
        missing.clone() if value is None else value for value in (of_input, of_weight, of_bias)
    )
    return values.sum(), *gradients


def _values_and_upstream(
    row: Primitives,
    kept: Tensor,
    mass: Tensor | None,
    power: float,
    nll_weight: Tensor,
    mean_loss_weight: Tensor | None,
    lse_weight: Tensor | None,
) -> tuple[Tensor, Upstream]:
    dtype = nll_weight.dtype
    gap = widened(row).gap
    against, nll = gap.sigmoid(), softplus(gap)
    slope = _slope(nll, power, dtype)
    # a row without target may carry anything as its nll, with weight 0
    values = torch.where(kept, nll_weight * box_cox(nll, power), 0.0).to(dtype)
    to_gap = torch.where(kept, nll_weight * slope * against, 0.0).to(dtype)
    if mean_loss_weight is None and lse_weight is None:
        return values, Upstream(to_gap)
    lse = relative_lse(row, kept)
    to_lse = torch.zeros_like(lse)
    to_mean = None
    if mean_loss_weight is not None:
        values = values + mean_loss_weight * (required(mass) * lse - required(row.mean))
        to_lse = to_lse + mean_loss_weight * required(mass)
        to_mean = -mean_loss_weight
    if lse_weight is not None:
        whole = row.offset + lse
        values = values + lse_weight * whole.square()
        to_lse = to_lse + 2 * lse_weight * whole
    others = to_gap + to_lse * torch.where(kept, against, 1.0).to(dtype)
    own = torch.where(kept, to_lse * (-gap).sigmoid().to(dtype) - to_gap, 0.0)
    return values, Upstream(others, own, mean=to_mean)


def _slope(nll: Tensor, power: float, dtype: torch.dtype) -> Tensor | float:
    """p^power, the derivative of `box_cox` in the negative log-likelihood, finite in `dtype`."""
    return 1.0 if power == 0 else torch.exp(-power * nll).clamp(max=torch.finfo(dtype).max)


def _no_gradients(
    input: Tensor, weight: Tensor, needs: list[bool], *dtypes: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    of_input, of_weight, of_bias = _fake_gradients(input, weight, needs, *dtypes)
    return of_input.zero_(), of_weight.zero_(), of_bias.zero_()


@reduced_loss.register_fake
def _(input: Tensor, weight: Tensor, *rest: Any) -> Any:
    needs = rest[10]
    waiting = _fake_gradients(input, weight, needs, *[waiting_dtype(input.dtype)] * 2)
    return (input.new_empty((), dtype=sum_dtype(input.dtype)), *waiting)


def _keep_for_reduced_loss(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:8])
    ctx.settings = inputs[8:]
    ctx.dtype = inputs[0].dtype  # to ask a saved tensor would bring it back from where it waits
    # held by the node alone, so that the first backward may spend them
    ctx.gradients = output[1:]
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _reduced_loss_backward(ctx: Any, upstream: Tensor | None, *_: None) -> Any:
    refuse_derivatives(())
    if upstream is None:
        return (None,) * 15
    gradients, ctx.gradients = ctx.gradients, None
    if gradients is None:  # a second backward through a graph that was kept
        gradients = reduced_loss(*ctx.saved_tensors, *ctx.settings)[1:]
    needs = ctx.settings[4]
    scaled = (_times(gradient, upstream).to(ctx.dtype) for gradient in gradients)
    wanted = (_or_none(gradient, needed) for gradient, needed in zip(scaled, needs, strict=True))
    return (*wanted, *(None,) * 12)


def _times(gradient: Tensor, factor: Tensor) -> Tensor:
    """The product; in place where `factor` is a plain number that nobody traces or transforms."""
    plain = type(factor) is Tensor and not is_transformed(factor)
    if not plain or _get_current_dispatch_mode() is not None:
        return gradient * factor
    if factor.device.type == "cpu" and factor.item() == 1:  # what loss.backward() sends
        return gradient
    return gradient.mul_(factor)


reduced_loss.register_autograd(_reduced_loss_backward, setup_context=_keep_for_reduced_loss)


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
