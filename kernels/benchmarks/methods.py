"""What is timed: ours, the peers that are installed, and the bare matrix products.

Each entry of `METHODS` takes (input, weight, target) and returns the function to time: a forward
and backward pass of a mean cross-entropy (per row where the name says so) that leaves gradients in
`.grad`. It raises ImportError or ValueError where it cannot run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from lossviz.kernels import linear_cross_entropy
from lossviz.kernels.tiles import blocks

Step = Callable[[], None]
Method = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Step]


def _backward(input: torch.Tensor, weight: torch.Tensor, loss: Callable[[], torch.Tensor]) -> Step:
    def step() -> None:
        input.grad = weight.grad = None
        value = loss()
        if value.ndim:
            value.backward(torch.full_like(value, 1 / len(value)))
        else:
            value.backward()

    return step


def _ours(impl: str, reduction: str = "mean", **options: object) -> Method:
    def method(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
        def loss() -> torch.Tensor:
            return linear_cross_entropy(
                input, weight, target, impl=impl, reduction=reduction, **options
            )

        return _backward(input, weight, loss)

    return method


def _eager(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
    return _backward(input, weight, lambda: F.cross_entropy(F.linear(input, weight), target))


def _compiled(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
    loss = torch.compile(lambda x, w, y: F.cross_entropy(F.linear(x, w), y))
    return _backward(input, weight, lambda: loss(input, weight, target))


def _torch_chunked(rows: int | None) -> Method:
    def method(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
        from torch.nn import LinearCrossEntropyOptions  # torch 2.13

        options = LinearCrossEntropyOptions()
        if rows is not None:
            options = LinearCrossEntropyOptions(batch_chunk_size=rows, chunking_method=None)

        def loss() -> torch.Tensor:
            return F.linear_cross_entropy(input, weight, target, options=options)

        return _backward(input, weight, loss)

    return method


def _products(rows: int | None) -> Method:
    """The three matrix products alone, over chunks of rows or at once."""

    def method(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
        x, w = input.detach(), weight.detach()

        def step() -> None:
            of_input, of_weight = torch.empty_like(x), torch.empty_like(w)
            for block in blocks(len(x), rows or len(x)):
                tile = x[block] @ w.T
                torch.mm(tile, w, out=of_input[block])
                torch.addmm(of_weight, tile.T, x[block], beta=int(block.start > 0), out=of_weight)

        return step

    return method


def _forward_product(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
    x, w = input.detach(), weight.detach()

    def step() -> None:
        torch.mm(x, w.T)

    return step


def _cut_cross_entropy(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
    from cut_cross_entropy import linear_cross_entropy as cce

    return _backward(input, weight, lambda: cce(input, weight, target))


def _liger(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    if input.device.type != "cuda":
        raise ValueError("needs a GPU")
    loss = LigerFusedLinearCrossEntropyLoss()
    return _backward(input, weight, lambda: loss(weight, input, target))


def _quack(input: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Step:
    from quack.linear_cross_entropy import chunked_linear_cross_entropy

    return _backward(input, weight, lambda: chunked_linear_cross_entropy(input, weight, target))


METHODS: dict[str, Method] = {
    "products": _products(None),
    "products, 256 rows": _products(256),
    "forward product": _forward_product,
    "eager": _eager,
    "torch.compile": _compiled,
    "torch chunked, auto": _torch_chunked(None),
    "torch chunked, 256 rows": _torch_chunked(256),
    "torch chunked, 512 rows": _torch_chunked(512),
    "cut-cross-entropy": _cut_cross_entropy,
    "liger": _liger,
    "quack": _quack,
    "lossviz": _ours("chunked"),
    "lossviz, per row": _ours("chunked", "none"),
    "lossviz, triton": _ours("triton"),
    "lossviz, triton per row": _ours("triton", "none"),
}
