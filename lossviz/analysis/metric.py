"""A measure as a `torchmetrics.Metric`, for trainers that expect one.

Imported when `lossviz.analysis.MeasureMetric` is asked for: torchmetrics is optional
(``pip install "lossviz[metrics]"``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from ..declaration import Measure


class MeasureMetric(Metric):
    """A measure with update, compute, reset and synchronisation over processes.

    `options` are the measure's parameters. The sums of all processes are merged as the measure
    merges them, so that any number of processes gives the number of the whole; a process that has
    seen no batch may take part.

    Raises TypeError for what is not a measure, and as `Measure.stream` does.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, measure: Measure[Any], **options: Any) -> None:
        if not isinstance(measure, Measure):
            raise TypeError(f"measure must be a Measure, got {type(measure).__name__}")
        super().__init__()
        self.measure = measure
        better = {"higher": True, "lower": False, "neither": None}[measure.better]
        vars(self)["higher_is_better"] = better  # a constant of the class elsewhere
        self.options = measure.stream(**options).numbers
        self.kind: type[Any] | None = None
        self.parts: list[torch.Tensor]
        # The sums of one batch, then of another: a list, because torchmetrics copies, moves and
        # restores it, and joins two by appending.
        self.add_state("parts", default=[], dist_reduce_fx=None)

    def update(self, *tensors: Any, **named: Any) -> None:
        """Add a batch."""
        new = self.measure.sums(tensors, named, self.options)
        self.kind = type(new)
        self.parts.extend(new)
        self.parts = list(self._merged())

    def compute(self) -> torch.Tensor:
        """The number of everything seen so far by all processes."""
        stream = self.measure.stream(**self.options)
        stream.sums = self._merged() if self.parts else None
        return stream.compute()

    def _merged(self) -> Any:
        assert self.kind is not None
        width = len(self.kind._fields)
        batches = [
            self.kind(*self.parts[i : i + width]) for i in range(0, len(self.parts), width)
        ]  # fmt: skip
        merged = batches[0]
        for batch in batches[1:]:
            merged = self.measure.merge(merged, batch)
        return merged

    def _sync_dist(
        self,
        dist_sync_fn: Callable[..., Any] = gather_all_tensors,
        process_group: Any | None = None,
    ) -> None:
        """Gather the sums as objects: tensors of any shape, also from a process without a batch."""
        group = process_group or self.process_group
        everyone: list[Any] = [None] * torch.distributed.get_world_size(group)
        mine = (self.kind, [part.cpu() for part in self.parts])
        torch.distributed.all_gather_object(everyone, mine, group=group)
        self.kind = next((kind for kind, _ in everyone if kind is not None), None)
        self.parts = [part.to(self.device) for _, parts in everyone for part in parts]
