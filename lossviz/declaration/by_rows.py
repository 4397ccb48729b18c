"""Functions of rows that do not see each other, with one gradient kept and nothing else.

A loss written plainly makes a dozen tensors of the size of the logits, and autograd keeps most of
them. Here a few rows are taken at a time, so that what is made of them stays in the processor's
cache; their gradient is made at once, and is all that is kept for the backward pass. It is
autograd's of the block, or that of a function which writes it out in fewer passes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.forward_ad import unpack_dual
from torch.autograd.graph import saved_tensors_hooks

from .numbers import possible, row_dtype

Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., torch.Tensor]
Slopes = Callable[..., "Tensors | None"]

# Few enough for a cache, where that is what counts; elsewhere a launch is what costs.
ENTRIES = {"cpu": 2**18}
ENTRIES_ELSEWHERE = 2**24


def by_rows(function: Function, *, slopes: Slopes | None = None) -> Function:
    """The same function of tensors (..., *) with common leading axes, which returns one (...).

    The first tensor is (..., K) and says which axes lead; keywords are handed on. Gradients are
    those of `function`, and so are derivatives of every order and mode. torch.compile gets
    `function` itself, whose passes it fuses.

    `slopes` writes the first gradient by hand: from tensors (R, *), without autograd, to the rows
    and the gradient of each in the first tensors, as many as it knows; or to None where it knows
    none. Autograd serves what is left over.
    """

    @functools.wraps(function)
    def rows(*tensors: torch.Tensor, **options: Any) -> torch.Tensor:
        if torch.compiler.is_compiling():
            return function(*tensors, **options)
        of_tensors = functools.partial(function, **options) if options else function
        # torch.func differentiates the function itself
        plain = torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active()
        wanted = [plain and x.requires_grad for x in tensors]
        # what was made in inference mode cannot be kept for a backward pass
        outside = not torch.is_inference_mode_enabled()
        kept = (x.clone() if outside and x.is_inference() else x for x in tensors)
        by_hand = functools.partial(slopes, **options) if slopes else None
        return _ByRows.apply(of_tensors, by_hand, wanted, *kept)[0]

    return rows


def exact_by_rows(function: Function, *, slopes: Slopes | None = None) -> Function:
    """`by_rows` of a function that gets floating tensors in the dtype of rows: float64.

    For gradients whose terms cancel entry by entry. Only a few rows at a time are held like this.
    """
    return by_rows(_widened(function), slopes=slopes and _widened(slopes))


def _widened(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def exact(*tensors: torch.Tensor, **options: Any) -> Any:
        widened = (x.to(row_dtype(x)) if x.is_floating_point() else x for x in tensors)
        return function(*widened, **options)

    return exact


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(
        function: Function, by_hand: Slopes | None, wanted: Sequence[bool], *tensors: torch.Tensor
    ) -> Tensors:
        lead = tensors[0].shape[:-1]
        places = [i for i, one in enumerate(wanted) if one]
        slopes = [torch.empty(tensors[i].shape).to(tensors[i]) for i in places]
        parts = [
            _with_slopes(function, by_hand, block[: len(tensors)], places, block[len(tensors) :])
            for block in _blocks((*tensors, *slopes))
        ]
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        return rows.reshape(lead), *slopes

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.function, _, _, *tensors = inputs
        _, *slopes = output
        ctx.count, ctx.kept = len(tensors), len(slopes)
        ctx.mark_non_differentiable(*slopes)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *slopes)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        tensors, slopes = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        wanted = ctx.needs_input_grad[3:]
        found: list[torch.Tensor | None] = [None] * ctx.count
        gradient = gradients[0]
        if gradient is not None:
            places = [i for i, one in enumerate(wanted) if one]
            moving = any(unpack_dual(x).tangent is not None for x in (*tensors, gradient))
            if torch.is_grad_enabled() or moving or not slopes:
                with torch.enable_grad():  # tangents are to be seen by all that is made here
                    products = _pull(ctx.function, tensors, places)(gradient)
            else:
                products = [_times(gradient, slope) for slope in slopes]
            for i, product in zip(places, products, strict=True):
                found[i] = product
        return None, None, None, *found

    @staticmethod
    def jvp(ctx: Any, *inputs: Any) -> tuple[Any, ...]:
        _, _, _, *tangents = inputs
        tensors = ctx.saved_tensors
        places = [i for i, tangent in enumerate(tangents) if tangent is not None]
        like = ctx.function(*tensors)
        slopes = _pull(ctx.function, tensors, places)(torch.ones_like(like))
        moves = (
            (slope * tangents[i]).flatten(like.ndim).sum(-1).to(like.dtype)
            for i, slope in zip(places, slopes, strict=True)
        )
        rows = functools.reduce(torch.add, moves)
        return rows, *[None] * ctx.kept

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        # Rows do not see each other, so a batch is one more leading axis.
        batches = (
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs[3:], in_dims[3:], strict=True)
        )
        found = _ByRows.apply(*inputs[:3], *batches)
        return found, (0,) * len(found)


# autograd would work it out at each call, which takes a tenth of the time of a small batch
_ByRows.forward.__signature__ = inspect.signature(_ByRows.forward)  # type: ignore[attr-defined]


def _blocks(tensors: Tensors) -> Iterator[Tensors]:
    """The tensors cut along their leading axes, made one."""
    first = tensors[0]
    axes = first.ndim - 1
    flat = [x.flatten(0, axes - 1) if axes else x.unsqueeze(0) for x in tensors]
    entries = ENTRIES.get(first.device.type, ENTRIES_ELSEWHERE)
    size = max(1, entries // max(1, first.shape[-1]))
    if flat[0].shape[0] <= size:
        yield tuple(flat)
    else:
        yield from zip(*(x.split(size) for x in flat), strict=True)


@contextmanager
def privately() -> Iterator[None]:
    """A graph that ends with the block; the user's hooks are kept out of it."""
    with torch.enable_grad(), saved_tensors_hooks(lambda x: x, lambda x: x):
        yield


def _with_slopes(
    function: Function,
    by_hand: Slopes | None,
    tensors: Tensors,
    places: list[int],
    into: Tensors,
) -> torch.Tensor:
    """The rows; their gradients at these places are written `into` tensors of their shapes."""
    if not places:
        return function(*tensors)
    known = by_hand(*tensors) if by_hand else None
    if known is not None and len(known) > 1 + places[-1]:
        for one, i in zip(into, places, strict=True):
            one.copy_(known[1 + i])
        return known[0]
    with privately():
        leaves = [x.detach() for x in tensors]
        moved = [leaves[i].requires_grad_() for i in places]
        rows = function(*leaves)
        slopes = torch.autograd.grad(rows.sum(), moved, materialize_grads=True)
    for one, slope in zip(into, slopes, strict=True):
        one.copy_(slope)
    return rows.detach()


def _times(gradient: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """The gradient (...) of rows times the slope (..., *) of each.

    An ignored row arrives with gradient 0 and leaves with 0, whatever its own slope.
    """
    factor = gradient.to(slope.dtype).reshape(gradient.shape + (1,) * (slope.ndim - gradient.ndim))
    product = factor * slope
    ignored = factor == 0
    return torch.where(ignored, 0.0, product) if possible(ignored) else product


def _pull(function: Function, tensors: Tensors, places: list[int]) -> Any:
    """The pull-back of gradients to the tensors at these places, itself differentiable."""

    def of_wanted(*moved: torch.Tensor) -> torch.Tensor:
        changed = dict(zip(places, moved, strict=True))
        return function(*(changed.get(i, x) for i, x in enumerate(tensors)))

    return torch.func.vjp(of_wanted, *(tensors[i] for i in places))[1]
