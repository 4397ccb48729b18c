"""Memory for large results, in large pages where Linux has them.

A fresh tensor is mapped 4 KiB at a time, when each page is first touched: for the gradient of a
language-model head that takes as long as several passes over it. The kernel maps 2 MiB at a time
where a program asks for it (`madvise`), which changes no value and no address.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable

import torch

LARGE = 4 * 2**20
"""Bytes from which on asking is worth it."""


def empty(size: int | tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """`torch.empty`; on the CPU of a Linux machine large ones ask for large pages."""
    tensor = torch.empty(size, dtype=dtype, device=device)
    if device.type == "cpu" and type(tensor) is torch.Tensor and tensor.nbytes >= LARGE:
        start, page = tensor.data_ptr(), mmap.PAGESIZE
        first, last = -(-start // page) * page, (start + tensor.nbytes) // page * page
        _ask_for_large_pages()(first, last - first)
    return tensor


@functools.cache
def _ask_for_large_pages() -> Callable[[int, int], object]:
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return lambda start, length: None
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return lambda start, length: advise(start, length, advice)  # refused: pages stay small
