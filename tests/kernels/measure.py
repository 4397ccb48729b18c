"""What a call really allocates and multiplies, as torch's profiler sees it inside operators too."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import NamedTuple

from torch.profiler import ProfilerActivity, profile


class Spent(NamedTuple):
    """Peak bytes above what was there before, FLOPs of matrix products, and what was called."""

    bytes: int
    flops: int
    operators: frozenset[str]


def measure(call: Callable[[], object]) -> Spent:
    """Run `call` once and see what it spends."""
    gc.collect()
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, with_flops=True, record_shapes=True
    ) as seen:
        call()
    events = seen.profiler.kineto_results.events()
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    products = ("aten::mm", "aten::addmm")
    flops = sum(event.flops() for event in events if event.name() in products)
    return Spent(peak, flops, frozenset(event.name() for event in events))
