"""What happens to one tile of logits: sums on the way forward, gradients on the way back.

Nothing here knows autograd, reductions or ignored rows. The Triton kernels do the same per tile in
registers; these are the functions they are tested against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch

from .statistics import FAR, Sums, Want, finite_shift, required


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype of logits, sums and losses: float64 for an input of float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Arithmetic in the dtypes that tensors have: autocast has been heeded before."""
    kind = device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):  # meta
        return nullcontext()
    return torch.autocast(kind, enabled=False)


class Transform(NamedTuple):
    """What turns a raw logit r = x . w + b into a logit: z = cap(scale * r) / temperature.

    The cap is softcap * tanh(./softcap), nothing when `softcap` is None.
    """

    scale: float = 1.0
    softcap: float | None = None
    temperature: float = 1.0

    @property
    def factor(self) -> float:
        """dz/dr, but for the slope of the cap."""
        return self.scale / self.temperature

    def apply(self, raw: torch.Tensor) -> torch.Tensor:
        """Logits from raw logits, differentiable."""
        logits = raw * self.scale
        if self.softcap is not None:
            logits = self.softcap * _tanh(logits / self.softcap)
        return logits / self.temperature

    def apply_(self, raw: torch.Tensor) -> torch.Tensor:
        """The same in place."""
        if self.softcap is not None:
            raw.mul_(self.scale / self.softcap).tanh_().mul_(self.softcap / self.temperature)
        elif self.factor != 1:
            raw.mul_(self.factor)
        return raw

    def cap_slope_(self, raw: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Write the slope of the cap, which there is, at raw logits to `out`."""
        # 1 - tanh^2 has few digits where the cap is near: it is 4 s (1 - s), s = sigmoid(-2 |r|)
        assert self.softcap is not None
        torch.mul(raw, 2 * self.scale / self.softcap, out=out).abs_().neg_().sigmoid_()
        return out.addcmul_(out, out, value=-1).mul_(4)


def _tanh(x: torch.Tensor) -> torch.Tensor:
    """tanh with derivatives that keep their digits where it is near 1, and 1 - tanh^2 has none."""
    rest = torch.where(x < 0, 2 * torch.sigmoid(2 * x), -2 * torch.sigmoid(-2 * x))
    return torch.tanh(x).detach() + (rest - rest.detach())


class Saved(NamedTuple):
    """What a backward pass knows of every row, each (N,): see `Sums` and `Primitives`."""

    shift: torch.Tensor
    total: torch.Tensor
    centre: torch.Tensor | None = None
    square: torch.Tensor | None = None
    argmax: torch.Tensor | None = None

    def rows(self, block: slice) -> Saved:
        """The values of some rows."""
        return Saved._make(value if value is None else value[block] for value in self)


class Upstream(NamedTuple):
    """What the gradients that arrive at `Primitives` make of a row of logits, each (N,) or None.

    `others` is the multiple of q that the other classes get; `own` is the gradient at the target's
    logit, -others where it is None. The two are kept apart because 1 - (1 - p_y) has no digits of
    a small p_y. What arrives at the others, None for "nothing": see `spread_`.
    """

    others: torch.Tensor
    own: torch.Tensor | None = None
    centre: torch.Tensor | None = None
    square: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    shift: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        total: torch.Tensor,
        shift: torch.Tensor | None,
        target: torch.Tensor | None,
        gap: torch.Tensor | None,
        rest: torch.Tensor | None,
        centre: torch.Tensor | None,
        square: torch.Tensor | None,
        mean: torch.Tensor | None,
    ) -> Upstream:
        """From the gradients of `Primitives`, in their order.

        The gradient of gap is q, and -1 at the target, that of rest q, of target 1 at the target,
        of centre q_j (1 + z_j - m - centre).
        """
        others = gap = torch.zeros_like(total) if gap is None else gap
        for value in (rest, centre):
            others = others if value is None else others + value
        own = None
        if target is not None or others is not gap:
            own = -gap if target is None else target - gap
        return cls(others, own, centre, square, mean, shift)

    @property
    def is_gap_alone(self) -> bool:
        """Whether the logit gradient is others * (q - e_y): then only rows are scaled."""
        return all(value is None for value in self[1:])

    @property
    def bends(self) -> bool:
        """Whether the logit gradient is more than a multiple of q off the target."""
        return self.centre is not None or self.square is not None

    def rows(self, block: slice) -> Upstream:
        """The gradients of some rows."""
        return Upstream._make(value if value is None else value[block] for value in self)

    def times(self, factor: float) -> Upstream:
        """The gradients times a number."""
        if factor == 1:
            return self
        return Upstream._make(value if value is None else value * factor for value in self)


def power_of_two(values: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """A power of two next to the largest magnitude, 1 for 0, inf or NaN.

    A mean over thousands of rows makes gradients below what float16 resolves; dividing by a power
    of two and multiplying later costs no digit.
    """
    largest = torch.stack([value.abs().amax() for value in values if value is not None]).amax()
    sound = torch.isfinite(largest) & (largest > 0)
    power = torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)
    return torch.where(sound, power, 1.0)


def in_range(upstream: Upstream, dtype: torch.dtype) -> tuple[Upstream, torch.Tensor | None]:
    """Upstream gradients over a power of two near the largest, and that power, for float16.

    That is for factors of matrix products in `dtype`; others have the range for them as they are.
    """
    if dtype != torch.float16 or not len(upstream.others):
        return upstream, None
    unit = power_of_two(upstream)
    return Upstream._make(v if v is None else v / unit for v in upstream), unit


UNIT = 16
"""Rows that heights of chunks are multiples of: matrix products of others take longer."""


def blocks(length: int, size: int) -> Iterator[slice]:
    """Nearly equal slices of at most `size` that cover range(length); an empty one for none.

    But for the last, their lengths are multiples of `UNIT` where `size` allows it.
    """
    unit = UNIT if size >= UNIT else 1
    units = max(1, -(-length // unit))
    count = 1 if length <= size else -(-units // (size // unit))
    start = 0
    for part in range(1, count + 1):
        stop = min(length, unit * (units * part // count))
        yield slice(start, stop)
        start = stop


def locate(labels: torch.Tensor, first: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each label lies in a tile, (n, 1), and whether it does; a safe place where not."""
    local = (labels - first)[:, None]
    inside = (local >= 0) & (local < columns)
    return torch.where(inside, local, 0), inside


def accumulate_(
    logits: torch.Tensor,
    labels: torch.Tensor,
    first: int,
    want: Want,
    mean_weight: torch.Tensor | None,
) -> Sums:
    """Sums of a tile of logits (n, k) whose columns start at class `first`.

    `labels` (n,) are classes, negative for "no target"; `mean_weight` (k,) or (n, k) weighs the
    mean. The tile is spent: it holds exp(z_j - m) afterwards, 0 in the target's column.
    """
    place, inside = locate(labels, first, logits.shape[1])
    target_logit = logits.gather(1, place)
    logits.scatter_(1, place, torch.where(inside, -torch.inf, target_logit))
    if want.argmax:
        shift, argmax = logits.max(1, keepdim=True)
        argmax = argmax[:, 0] + first
    else:
        shift, argmax = _largest(logits)[:, None], None
    offset = finite_shift(shift)
    below = logits.sub_(offset)
    tilt = square = mean = mass = None
    if want.mean and mean_weight is not None:
        # the target's own logit is not -inf, and -inf times a weight of 0 is 0
        below.scatter_(1, place, torch.where(inside, target_logit - offset, below.gather(1, place)))
        below.clamp_(min=torch.where(mean_weight == 0, FAR, -torch.inf))
        whole = mean_weight.ndim == 1
        mean = below @ mean_weight if whole else torch.linalg.vecdot(below, mean_weight)
        mass = mean_weight.sum(-1).expand_as(mean)
        below.scatter_(1, place, torch.where(inside, -torch.inf, below.gather(1, place)))
    if want.tilt:
        exponentials = below.exp()
        tilt = torch.linalg.vecdot(exponentials, below.clamp_(min=FAR))
        logits.copy_(exponentials)
    else:
        logits.exp_()
    if want.square:
        square = torch.linalg.vecdot(logits, logits)
    target = torch.where(inside, target_logit, 0.0)
    return Sums(target[:, 0], shift[:, 0], logits.sum(1), argmax, tilt, square, mean, mass)


def _largest(logits: torch.Tensor) -> torch.Tensor:
    """The largest of every row of (n, k) logits, (n,)."""
    rows, columns = logits.shape
    if columns < 2 or not logits.T.is_contiguous():
        return logits.amax(1)
    # torch looks down 32 rows at a time, the rest one by one: two columns as one leave less of it
    # (208 x 32,000: 2.5 ms in place of 4.9, a hundredth of the products of that chunk)
    pairs = logits.T[: columns // 2 * 2].reshape(columns // 2, 2 * rows).amax(0).view(2, rows)
    return torch.maximum(pairs.amax(0), logits[:, -1])


def row_factors(saved: Saved, upstream: Upstream) -> torch.Tensor:
    """What exp(z_j - m) is multiplied by, (n, 1), where the gradient is a multiple of q."""
    empty = saved.total == 0
    return torch.where(empty, 0.0, upstream.others / torch.where(empty, 1.0, saved.total))[:, None]


def spread_(
    tile: torch.Tensor,
    labels: torch.Tensor,
    first: int,
    saved: Saved,
    upstream: Upstream,
    mean_weight: torch.Tensor | None,
    slope: torch.Tensor | None,
    *,
    exponentials: bool = False,
    scaled_later: bool = False,
) -> None:
    """Turn a tile of logits (n, k) into the gradient with respect to them, in place.

    Off the target dz_j = q_j (g_others + g_centre (z_j - m - centre) + 2 g_square (q_j / sum q^2 -
    1)), at the target g_own; to both come g_mean times the weight of the column and, in the column
    of the largest, g_shift. `slope` (n, k) multiplies the whole. With `exponentials` the tile is
    what `accumulate_` left, and `upstream` may not bend.

    With `scaled_later`, where rows only need scaling (`upstream.is_gap_alone`, no slope), the tile
    is left without the factors `row_factors`: a matrix product takes them on its thinner side.
    """
    if not exponentials:
        tile.sub_(finite_shift(saved.shift)[:, None])
    if upstream.bends:
        q = tile.exp().div_(torch.where(saved.total == 0, 1.0, saved.total)[:, None])
        rate = upstream.others[:, None]
        if upstream.centre is not None:
            off_centre = tile.clamp_(min=FAR).sub_(required(saved.centre)[:, None])
            rate = off_centre.mul_(upstream.centre[:, None]).add_(rate)
        if upstream.square is not None:
            relative = q * torch.exp(-required(saved.square))[:, None]
            rate = rate + 2 * upstream.square[:, None] * (relative - 1)
        torch.mul(q, rate, out=tile)
    elif not exponentials:
        tile.exp_()
    if not upstream.bends and not scaled_later:
        tile.mul_(row_factors(saved, upstream))
    own = -upstream.others if upstream.own is None else upstream.own
    at_target = -saved.total if scaled_later else own
    place, inside = locate(labels, first, tile.shape[1])
    tile.scatter_(1, place, torch.where(inside, at_target[:, None], tile.gather(1, place)))
    if upstream.mean is not None and mean_weight is not None:
        tile.addcmul_(upstream.mean[:, None], mean_weight)
    if upstream.shift is not None and saved.argmax is not None:
        place, inside = locate(saved.argmax, first, tile.shape[1])
        tile.scatter_add_(1, place, torch.where(inside, upstream.shift[:, None], 0.0))
    if slope is not None:
        tile.mul_(slope)
