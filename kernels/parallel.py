"""A vocabulary that is spread over processes: each holds some rows of the weight.

Every process makes the sums of its own columns; a few numbers per row are exchanged and merged, and
all processes know the loss of the whole vocabulary. On the way back each forms the gradient of its
own rows of the weight, and the parts of the input's gradient are added up. The input, the target
and what becomes of the loss must be the same on all processes; of these the target is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
import torch.distributed as dist

from lossviz.declaration.numbers import seen

from .head import Head, Needs, Tiling
from .ops import path, refuse_derivatives
from .statistics import Primitives, Sums, Want, finish, merge
from .tiles import Saved, Transform, Upstream

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class VocabularyShard:
    """The classes of this process: `start` to `start` + rows of its weight, of `num_classes`.

    The shards of all processes of `group` (None: of all there are) make up the vocabulary, and all
    processes have the same input and target, as in tensor parallelism. It is not for data
    parallelism, where each has a batch of its own. Raises TypeError for a start or a number
    that is not an int, ValueError for a start outside the vocabulary; in use ValueError, on a GPU a
    device assertion, for shards with gaps or overlaps and for targets that differ.
    """

    group: dist.ProcessGroup | None
    start: int
    num_classes: int

    def __post_init__(self) -> None:
        for name in ("start", "num_classes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {value!r}")
        if not (self.group is None or isinstance(self.group, dist.ProcessGroup)):
            raise TypeError(f"group must be a process group or None, got {self.group!r}")
        if not 0 <= self.start <= self.num_classes:
            raise ValueError(
                f"start must lie in [0, num_classes={self.num_classes}], got {self.start}"
            )

    @property
    def processes(self) -> dist.ProcessGroup:
        """The group; raises ValueError where there is none."""
        return _known(self.group)

    def check(self, linear_weight: torch.Tensor) -> None:
        """Raise ValueError for more rows than the vocabulary has from here."""
        rows = linear_weight.shape[0]
        if self.start + rows > self.num_classes:
            raise ValueError(
                f"linear_weight must end within the shard's num_classes={self.num_classes}, got "
                f"{rows} rows from start={self.start} on"
            )

    @classmethod
    def of(
        cls, linear_weight: torch.Tensor, group: dist.ProcessGroup | None = None
    ) -> VocabularyShard:
        """The shard of `linear_weight` (rows of this process, D); all processes must call this."""
        group = _known(group)
        rows = torch.tensor([linear_weight.shape[0]], device=linear_weight.device)
        sizes = [torch.empty_like(rows) for _ in range(group.size())]
        dist.all_gather(sizes, rows, group=group)
        counts = [int(size) for size in sizes]
        return cls(group, sum(counts[: group.rank()]), sum(counts))


def _known(group: dist.ProcessGroup | None) -> dist.ProcessGroup:
    group = dist.group.WORLD if group is None else group
    if group is None:
        raise ValueError("group must be a process group, got None and no default group")
    return group


def is_dtensor(tensor: object) -> TypeGuard[DTensor]:
    """Whether a tensor is spread over, or repeated on, the processes of a mesh."""
    if not dist.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def unwrap(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, VocabularyShard | None]:
    """Local tensors and the shard that DTensors describe; plain tensors come back as they are.

    A DTensor weight (and bias) is replicated, or sharded by rows over one axis of its mesh and
    replicated over the others; a DTensor input is replicated. ValueError for anything else.
    """
    input = replicated("input", input)
    if not is_dtensor(weight):
        return input, weight, replicated("linear_bias", bias), None
    from torch.distributed.tensor import Replicate, Shard

    mesh, places = weight.device_mesh, tuple(weight.placements)
    if bias is not None and not (is_dtensor(bias) and tuple(bias.placements) == places):
        got = tuple(bias.placements) if is_dtensor(bias) else type(bias).__name__
        raise ValueError(
            f"linear_bias must be a DTensor with the placements of linear_weight, {places}, "
            f"got {got}"
        )
    # not isinstance: a subclass of Shard may deal rows out in another order
    axes = [axis for axis, place in enumerate(places) if place == Shard(0)]
    if len(axes) > 1 or any(place not in (Shard(0), Replicate()) for place in places):
        raise ValueError(
            "linear_weight must be replicated over all axes of its mesh but for one at most, over "
            f"which it has the placement Shard(0), got {places}"
        )
    shard = None
    if axes:
        classes = weight.shape[0]
        rows = -(-classes // mesh.size(axes[0]))  # as torch.chunk cuts
        start = min(rows * mesh.get_local_rank(axes[0]), classes)
        shard = VocabularyShard(mesh.get_group(axes[0]), start, classes)
    return input, weight.to_local(), None if bias is None else bias.to_local(), shard


def replicated(name: str, tensor: Any) -> Any:
    """The local tensor of a DTensor that every process holds whole; anything else as it is.

    Raises ValueError for one that is spread over processes.
    """
    if not is_dtensor(tensor):
        return tensor
    from torch.distributed.tensor import Replicate

    if any(not isinstance(place, Replicate) for place in tensor.placements):
        raise ValueError(f"{name} must be replicated, got placements {tensor.placements}")
    return tensor.to_local()


def primitives(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    mean_weight: torch.Tensor | None,
    transform: Transform,
    want: Want,
    impl: str,
    tiling: Tiling,
    shard: VocabularyShard,
) -> Primitives:
    """`Primitives` over the whole vocabulary, which `labels` and `mean_weight` (V,) speak of."""
    _agree(shard, weight.shape[0], labels)
    stop = shard.start + weight.shape[0]
    if mean_weight is not None:
        mean_weight = mean_weight[shard.start : stop]
    found = _Primitives.apply(
        input, weight, bias, labels, mean_weight, transform, want, impl, tiling, shard
    )
    return Primitives._make(value if value.numel() or not len(input) else None for value in found)


def _agree(shard: VocabularyShard, rows: int, labels: torch.Tensor) -> None:
    """Raise ValueError unless shards make up the vocabulary and all processes have one target.

    On a GPU a device assertion says so, before anything that depends on it is exchanged.
    """
    places = torch.arange(1, len(labels) + 1, device=labels.device)
    checksum = ((labels + 2) * places).sum()
    mine = (shard.start, shard.start + rows, shard.num_classes, len(labels))
    fills = [torch.full((), value, device=labels.device) for value in mine]  # copies would wait
    table = torch.stack(_gather(torch.stack([*fills, checksum]), shard.processes))
    starts, stops = (column.sort().values for column in table.T[:2])
    # as many shards have begun as have ended, but for one, before every class
    apart = (starts[1:] != stops[:-1]).any() | (starts[0] != 0) | (stops[-1] != shard.num_classes)
    apart = apart | (table[:, 2] != shard.num_classes).any()
    differ = (table[:, 3:] != table[:1, 3:]).any()
    for wrong, message in (
        (apart, "the shards of all processes must make up the vocabulary, each class once"),
        (
            differ,
            "target must be the same on all processes of a sharded vocabulary; a weight that is "
            "sharded for data parallelism (FSDP) is for the forward of the module that it wraps, "
            "where it is whole",
        ),
    ):
        if seen(wrong):
            raise ValueError(
                f"{message}; got (start, stop, num_classes, N): {table[:, :4].tolist()}"
            )
        if wrong.device.type == "cuda":
            torch._assert_async(~wrong, message)


class _Primitives(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        mean_weight: torch.Tensor | None,
        transform: Transform,
        want: Want,
        impl: str,
        tiling: Tiling,
        shard: VocabularyShard,
    ) -> tuple[torch.Tensor, ...]:
        head = Head(input, weight, bias, transform, mean_weight)
        local_labels = labels - shard.start
        local_labels = torch.where(
            (local_labels >= 0) & (local_labels < weight.shape[0]), local_labels, -1
        )
        sums = _exchange(
            _local_sums(head, local_labels, want, impl, tiling, shard.start), shard.processes
        )
        row = finish(sums, labels >= 0)
        ctx.save_for_backward(
            input, weight, bias, local_labels, mean_weight, sums.shift, sums.total, row.centre,
            row.square, sums.argmax,
        )  # fmt: skip
        ctx.settings = transform, impl, tiling, shard
        ctx.set_materialize_grads(False)
        missing = labels.new_empty(0)
        outputs = tuple(missing.to(row.gap.dtype) if value is None else value for value in row[:7])
        argmax = missing if row.argmax is None else row.argmax
        ctx.mark_non_differentiable(argmax)
        return (*outputs, argmax)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor | None) -> Any:
        refuse_derivatives(upstream)
        input, weight, bias, labels, mean_weight, *saved = ctx.saved_tensors
        transform, impl, tiling, shard = ctx.settings
        known = Saved._make(saved)
        if known.argmax is not None:
            known = known._replace(argmax=known.argmax - shard.start)
        arriving = Upstream.of(known.total, *upstream[:7])
        needs = Needs(*ctx.needs_input_grad[:3])
        head = Head(input, weight, bias, transform, mean_weight)
        of_input, of_weight, of_bias = _local_gradients(
            head, labels, known, arriving, needs, impl, tiling
        )
        if of_input is not None:  # before it is rounded: parts may cancel
            dist.all_reduce(of_input, group=shard.processes)
            of_input = of_input.to(input.dtype)
        return of_input, of_weight, of_bias, *(None,) * 7


def _local_sums(
    head: Head, labels: torch.Tensor, want: Want, impl: str, tiling: Tiling, start: int
) -> Sums:
    if head.weight.shape[0]:
        sums = path(impl).accumulate(head, labels, want, tiling)
        return sums if sums.argmax is None else sums._replace(argmax=sums.argmax + start)
    zero = torch.zeros(len(head.input), dtype=head.dtype, device=head.input.device)
    return Sums(
        zero,
        zero - torch.inf,
        zero,
        torch.zeros_like(labels) if want.argmax else None,
        zero if want.tilt else None,
        zero if want.square else None,
        zero if want.mean else None,
        zero if want.mean else None,
    )


def _local_gradients(
    head: Head,
    labels: torch.Tensor,
    saved: Saved,
    upstream: Upstream,
    needs: Needs,
    impl: str,
    tiling: Tiling,
) -> Sequence[torch.Tensor | None]:
    if head.weight.shape[0]:
        return path(impl).gradients(
            head, labels, saved, upstream, needs, tiling, input_dtype=head.dtype
        )
    like = (head.input.to(head.dtype), head.weight, head.weight[:, 0])
    return [
        torch.zeros_like(tensor) if needed else None
        for tensor, needed in zip(like, needs, strict=True)
    ]


def _exchange(sums: Sums, group: dist.ProcessGroup) -> Sums:
    """The sums of all processes, merged in the order of their ranks; one message carries them."""
    present = [value for value in sums if value is not None]
    # a column of the vocabulary is exact in float64; in float32 from 2^24 on it would not be
    wide = torch.float64 if sums.argmax is not None else sums.total.dtype
    packed = _gather(torch.stack([value.to(wide) for value in present]), group)

    def unpacked(table: torch.Tensor) -> Sums:
        values = iter(table)
        return Sums._make(None if value is None else next(values).to(value.dtype) for value in sums)

    return merge([unpacked(table) for table in packed])


def _gather(value: torch.Tensor, group: dist.ProcessGroup) -> list[torch.Tensor]:
    parts = [torch.empty_like(value) for _ in range(group.size())]
    dist.all_gather(parts, value, group=group)
    return parts
