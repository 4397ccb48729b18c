"""Large pages change the cost of memory and nothing else; slices cover what they cut."""

from __future__ import annotations

import itertools
import mmap
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.kernels import linear_cross_entropy, memory
from lossviz.kernels.tiles import UNIT, blocks

from .cases import make

CPU = torch.device("cpu")
POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture
def requested(monkeypatch):
    """Every (start, length) for which large pages are asked."""
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(memory, "_ask_for_large_pages", lambda: lambda *span: seen.append(span))
    return seen


def test_only_large_tensors_ask_and_only_for_whole_pages_of_their_own(requested):
    small = memory.empty(memory.LARGE // 4 - 1, torch.float32, CPU)
    assert small.nbytes < memory.LARGE and requested == []
    large = memory.empty((memory.LARGE // 4, 2), torch.float32, CPU)
    ((start, length),) = requested
    assert start % mmap.PAGESIZE == 0
    assert large.data_ptr() <= start < large.data_ptr() + mmap.PAGESIZE
    assert length % mmap.PAGESIZE == 0
    end = large.data_ptr() + large.nbytes
    assert end - mmap.PAGESIZE < start + length <= end


def test_a_tensor_in_large_pages_is_as_torch_would_give_it():
    tensor = memory.empty((5, memory.LARGE), torch.float64, CPU)
    assert (tensor.shape, tensor.dtype) == ((5, memory.LARGE), torch.float64)
    assert tensor.is_contiguous() and tensor.device == CPU and not tensor.requires_grad


def test_where_the_system_knows_no_large_pages_tensors_come_all_the_same(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    memory._ask_for_large_pages.cache_clear()
    try:
        assert memory.empty(memory.LARGE, torch.float32, CPU).fill_(2).sum() == 2 * memory.LARGE
    finally:
        memory._ask_for_large_pages.cache_clear()


@pytest.mark.skipif(
    not (sys.platform == "linux" and POLICY.exists() and "[madvise]" in POLICY.read_text()),
    reason="this system gives large pages to all or to none",
)
def test_the_system_gives_large_pages_where_they_are_asked_for():
    def in_large_pages() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "AnonHugePages" in line)

    before = in_large_pages()
    held = memory.empty(16 * memory.LARGE, torch.float32, CPU).zero_()
    assert in_large_pages() - before >= held.nbytes // 2


def test_the_large_results_of_a_call_are_asked_for_in_large_pages(requested):
    head = make(256, 20_000, 60, torch.float32)
    linear_cross_entropy(*head[:2], head.target).backward()
    lengths = {length for _, length in requested}
    weight = head[1].nbytes
    assert any(weight - 2 * mmap.PAGESIZE <= length <= weight for length in lengths)


@given(length=st.integers(0, 5000), size=st.integers(1, 600))
def test_blocks_cover_a_range_in_nearly_equal_parts(length, size):
    parts = list(blocks(length, size))
    assert parts[0].start == 0 and parts[-1].stop == length
    assert all(left.stop == right.start for left, right in itertools.pairwise(parts))
    sizes = [part.stop - part.start for part in parts]
    unit = UNIT if size >= UNIT else 1
    assert max(sizes) <= size and (min(sizes) > 0 or length == 0)
    assert all(size % unit == 0 for size in sizes[:-1])
    assert max(sizes) - min(sizes[:-1] or sizes) <= unit
    fewest = 1 if length <= size else -(-length // (size // unit * unit))
    assert len(parts) == fewest
