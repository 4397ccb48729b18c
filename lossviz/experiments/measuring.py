"""What a computation costs: bytes alive at once, multiplications, milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

Step = Callable[[], object]


def profiled(step: Step) -> tuple[int, int]:
    """Most bytes that torch has allocated on the CPU at a time during `step`, beyond those before
    it, and the FLOPs (two for each multiplication) of its matrix products; seen by torch's
    profiler, inside operators too.
    """
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, record_shapes=True, with_flops=True
    ) as record:
        step()
    events = record.profiler.kineto_results.events()
    allocations = [event for event in events if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(allocations, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    products = [e for e in record.events() if e.name in ("aten::mm", "aten::addmm")]
    return peak, sum(e.flops for e in products)


def multiplications(step: Step) -> float:
    """Multiplications in the matrix products of `step`, by torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 2


def milliseconds(step: Step, repeats: int = 7) -> float:
    """Median wall time of `step` over so many repeats, after one that does not count."""
    step()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - begun))
    return sorted(times)[repeats // 2]
