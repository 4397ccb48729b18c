"""A linear layer before a softmax, and the products that its logits and gradients are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import torch

from . import bfloat16_units, memory
from .tiles import Transform, sum_dtype, without_autocast

Rest = ParamSpec("Rest")
Result = TypeVar("Result")


class Tiling(NamedTuple):
    """Rows and columns of one tile of logits."""

    rows: int
    columns: int


class Needs(NamedTuple):
    """Which gradients are asked for."""

    input: bool
    weight: bool
    bias: bool


class Head(NamedTuple):
    """A linear layer before a softmax: input (N, D), weight (V, D), bias (V,) or None.

    `mean_weight` (V,) or (N, V) weighs the mean logit; None where nobody asks for it.
    """

    input: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    transform: Transform
    mean_weight: torch.Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of logits, sums and growing gradients."""
        return sum_dtype(self.input.dtype)

    @property
    def factor_dtype(self) -> torch.dtype:
        """Dtype of the factors of matrix products."""
        # of half factors only these devices make a product in float32
        halves = self.input.device.type in ("cuda", "xpu") or self.on_units
        return self.weight.dtype if halves else self.dtype

    @property
    def on_units(self) -> bool:
        """Whether a CPU's units for bfloat16 make the products."""
        rows, (classes, features) = len(self.input), self.weight.shape
        return bfloat16_units.used(rows, classes, features, self.weight.dtype, self.input.device)

    def tile(self, tiling: Tiling) -> torch.Tensor:
        """Room for the logits of one tile."""
        size = min(tiling.rows, len(self.input)) * min(tiling.columns, len(self.weight))
        return memory.empty(size, self.dtype, self.input.device)

    def logits_(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        columns: slice,
        out: torch.Tensor,
        slope: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Write logits of the rows `x` and the classes `columns` (with their `weight`) to `out`.

        And to `slope`, for a head with a cap, the slopes of the cap there.
        """
        product_(out, x, weight.T)
        if self.bias is not None:
            out.add_(self.bias[columns])
        if slope is not None:
            self.transform.cap_slope_(out, slope)
        return self.transform.apply_(out)

    def slope_room(self, logits: torch.Tensor) -> torch.Tensor | None:
        """Room for the slopes of the cap; None without one."""
        return None if self.transform.softcap is None else torch.empty_like(logits)

    def mean_of(self, rows: slice, columns: slice) -> torch.Tensor | None:
        """Weights of the mean logit in a tile."""
        weight = self.mean_weight
        if weight is None or weight.ndim == 1:
            return None if weight is None else weight[columns]
        return weight[rows, columns]


def product_(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, add: bool = False) -> None:
    """out = a @ b, or out += a @ b; half factors give the full precision of `out`."""
    if a.dtype == out.dtype:
        torch.addmm(out, a, b, beta=int(add), out=out)
    elif out.device.type == "cpu":
        bfloat16_units.product_(out, a, b, add=add)
    elif add:
        torch.addmm(out, a, b, out_dtype=out.dtype, out=out)
    else:
        torch.mm(a, b, out_dtype=out.dtype, out=out)


def waiting_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype of gradients that lack a factor yet, as of a loss scaler: float16 lacks the range."""
    return torch.float32 if dtype == torch.float16 else dtype


def as_typed(
    walk: Callable[Concatenate[Head, Rest], Result],
) -> Callable[Concatenate[Head, Rest], Result]:
    """A walk in the dtypes of its tensors, whatever autocast says: it heeds that at the door."""

    @functools.wraps(walk)
    def walk_as_typed(head: Head, /, *rest: Rest.args, **options: Rest.kwargs) -> Result:
        with without_autocast(head.input.device):  # it would take half precision for sums
            return walk(head, *rest, **options)

    return walk_as_typed


def shaped(room: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Room for the logits of (rows, columns)."""
    return room[: rows * columns].view(rows, columns)


def shaped_in_blocks(room: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Room of which a block of columns lies in one piece: on a CPU products write it faster."""
    if room.device.type == "cpu":
        return room[: rows * columns].view(columns, rows).T
    return shaped(room, rows, columns)
