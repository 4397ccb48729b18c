# No `from __future__ import annotations`: torch reads the schemas off the annotations.
"""The operator for a scalar loss: a sum of `box_cox` losses, in one walk over whole rows.

Its gradients are formed while the logits are there, so it makes three matrix products.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lossviz.declaration.rows import box_cox, softplus

from . import bfloat16_pass, chunked, triton_tiling
from .checks import is_transformed
from .head import Head, Needs, Tiling, waiting_dtype
from .ops import fake_gradients, no_gradients, or_none, refuse_derivatives
from .registration import gradients, named, operator
from .statistics import Primitives, Sums, Want, exact_gap, finish, relative_lse, required
from .tiles import Transform, Upstream, power_of_two, sum_dtype


def _walk_of_whole_rows(head: Head) -> Callable[..., Any]:
    """`one_pass` in plain torch, or with Triton's row kernels on a GPU that has them."""
    if head.dtype != torch.float64 and triton_tiling.compiled_for(head.input.device):
        from . import triton_rows

        return triton_rows.one_pass
    return bfloat16_pass.one_pass if head.on_units else chunked.one_pass


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
    gap = exact_gap(row)
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


def _times(gradient: Tensor, factor: Tensor) -> Tensor:
    """The product; in place where `factor` is a plain number that nobody traces or transforms."""
    plain = type(factor) is Tensor and not is_transformed(factor)
    if not plain or _get_current_dispatch_mode() is not None:
        return gradient * factor
    if factor.device.type == "cpu" and factor.item() == 1:  # what loss.backward() sends
        return gradient
    return gradient.mul_(factor)


def _fake_reduced_loss(*inputs: Any) -> Any:
    given = named(reduced_loss, inputs)
    dtypes = [waiting_dtype(given.input.dtype)] * 2
    waiting = fake_gradients(given.input, given.weight, given.needs, *dtypes)
    return (given.input.new_empty((), dtype=sum_dtype(given.input.dtype)), *waiting)


def _keep_for_reduced_loss(ctx: Any, inputs: Any, output: Any) -> None:
    given = vars(named(reduced_loss, inputs))
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    ctx.save_for_backward(*tensors.values())
    ctx.tensors = tuple(tensors)
    ctx.settings = {name: value for name, value in given.items() if name not in tensors}
    # a saved tensor that is asked for its dtype comes back from where it waits
    ctx.dtype = given["input"].dtype
    # held by the node alone, so that the first backward may spend them
    ctx.gradients = output[1:]
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _reduced_loss_backward(ctx: Any, upstream: Tensor | None, *_: None) -> Any:
    refuse_derivatives(())
    if upstream is None:
        return gradients(reduced_loss)
    grown, ctx.gradients = ctx.gradients, None
    if grown is None:  # a second backward through a graph that was kept
        tensors = dict(zip(ctx.tensors, ctx.saved_tensors, strict=True))
        grown = reduced_loss(**tensors, **ctx.settings)[1:]
    of_input, of_weight, of_bias = (
        or_none(_times(gradient, upstream).to(ctx.dtype), needed)
        for gradient, needed in zip(grown, ctx.settings["needs"], strict=True)
    )
    return gradients(reduced_loss, input=of_input, weight=of_weight, bias=of_bias)


@operator(_fake_reduced_loss, keep=_keep_for_reduced_loss, backward=_reduced_loss_backward)
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
    compact: bool,
    rows: int,
    columns: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A weighted sum over rows, and its gradients where `needs` says so.

    Row i adds nll_weight_i box_cox(power) + mean_loss_weight_i (mass lse - mean) + lse_weight_i
    lse^2, where mean is the sum of logits weighted by `mean_weight` (V,) and mass that of the
    weights. With `compact` rows without label cost nothing, for which the device is waited for.
    """
    transform = Transform(scale, softcap, temperature)
    kept = None
    if compact:
        kept = (labels >= 0).nonzero()[:, 0]
        kept = kept if len(kept) < len(labels) else None
        picked = input if kept is None else input[kept]
    else:
        picked = torch.where((labels >= 0)[:, None], input, 0.0)  # NaN there stays there
    if kept is not None:
        labels, nll_weight = labels[kept], nll_weight[kept]
        mean_loss_weight = None if mean_loss_weight is None else mean_loss_weight[kept]
        lse_weight = None if lse_weight is None else lse_weight[kept]
    if len(picked) == 0:
        nothing = no_gradients(input, weight, needs, *[waiting_dtype(input.dtype)] * 2)
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
    values, grown = _walk_of_whole_rows(head)(
        head, labels, want, of_rows, Needs(*needs), Tiling(rows, columns)
    )
    if unit is not None:
        values = values * unit
        grown = tuple(value if value is None else value.mul_(unit) for value in grown)
    of_input, of_weight, of_bias = grown
    if kept is not None and of_input is not None:
        of_input = of_input.new_zeros(input.shape).index_copy_(0, kept, of_input)
    missing = input.new_empty(0, dtype=waiting_dtype(input.dtype))
    gradients = (
        missing.clone() if value is None else value for value in (of_input, of_weight, of_bias)
    )
    return values.sum(), *gradients
