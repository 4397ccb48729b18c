"""Where the Triton kernels run, and with what tiles: before anything is computed."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import NamedTuple

import torch

from .head import Needs, Tiling

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
MAX_SPLITS = 64


@functools.cache
def _interpreted() -> bool | None:
    """Whether the kernels run in the interpreter; None without Triton."""
    if importlib.util.find_spec("triton") is None:
        return None
    import triton

    from . import triton_kernels

    ours, theirs = triton_kernels.sums_kernel, triton.language.max
    return not any(isinstance(function, triton.JITFunction) for function in (ours, theirs))


@functools.cache
def _compiles() -> bool:
    """Whether Triton finds what it needs to launch kernels; it says so once where it does not."""
    import triton

    try:
        triton.runtime.driver.active.get_current_target()
    except Exception as error:  # a compiler, headers or a cache may be missing: it has no one type
        warnings.warn(f"Triton kernels cannot be launched here: {error}", stacklevel=2)
        return False
    return True


def available(device: torch.device) -> bool:
    """Whether the kernels can run on tensors of `device`: a GPU, or any with the interpreter."""
    interpreted = _interpreted()
    return interpreted is not None and (interpreted or compiled_for(device))


def compiled_for(device: torch.device) -> bool:
    """Whether the kernels run on `device` as machine code, not in the interpreter."""
    if device.type != "cuda" or _interpreted() is not False:
        return False
    return not torch.cuda.is_available() or _compiles()  # a plan is made for GPUs elsewhere


class Tiles(NamedTuple):
    """Rows, columns and depth of the tiles of a matrix product, warps and pipeline stages."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


INTERPRETED = Tiles(128, 256, 256, 4, 1)
"""In the interpreter a program costs more than its arithmetic."""
SINGLE = Tiles(64, 128, 32, 4, 3)
"""float32 without tensor cores is bound by arithmetic, and small tiles leave registers to it."""
HOPPER = Tiles(128, 256, 64, 8, 3)
"""Half precision there is bound by what tiles fetch, NVD (1 / rows + 1 / columns) elements.

So they are as large as the float32 accumulators of two warpgroups allow: 128 registers per thread,
of which the compiler uses 254 without spilling any (a cap spills a few hundred bytes per tile).
Three stages of 48 KB fit the shared memory.
"""
AMPERE = Tiles(128, 128, 32, 8, 3)
"""Half precision elsewhere: three stages of 16 KB."""


def tile_sizes(dtype: torch.dtype, device: torch.device, *, plain: bool = True) -> Tiles:
    """Tiles for a device: chosen by reasoning and by what the compiler says, not yet measured.

    Rows that begin at odd places in memory, and weights of the mean that differ from row to row,
    are not `plain`: they take registers that the largest tiles do not have.
    """
    if device.type == "cpu":
        return INTERPRETED
    if dtype == torch.float32:
        return SINGLE
    major, _ = torch.cuda.get_device_capability(device)
    large = major in (9, 10) and torch.version.hip is None  # 12, a desktop, has less memory
    return HOPPER if large and plain else AMPERE


def split_count(row_blocks: int, column_tiles: int, processors: int) -> int:
    """The fewest splits of the vocabulary that keep 95% of the processors busy to the end."""

    def busy(splits: int) -> float:
        waves = -(-row_blocks * splits // processors)
        return row_blocks * splits / (waves * processors)

    candidates = range(1, min(column_tiles, MAX_SPLITS) + 1)
    return next(
        (splits for splits in candidates if busy(splits) >= 0.95), max(candidates, key=busy)
    )


@functools.cache
def processors(device: torch.device) -> int:
    """How many programs run at a time."""
    if device.type == "cpu":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def plan_tiling(rows: int, classes: int, dtype: torch.dtype, budget: int) -> Tiling:
    """Rows and classes of the chunk of logit gradients that `budget` bytes hold.

    All rows at once as long as a chunk keeps 2048 classes, so that the weight gradient is written
    once; a multiple of 256 classes, so that chunks end where tiles do.
    """
    elements = max(budget // dtype.itemsize, 1)
    width = min(elements // max(rows, 1), classes)
    if width < min(2048, classes):
        width = min(2048, classes)
        rows = max(elements // width, 128)
    return Tiling(max(rows, 1), max(width // 256 * 256, 256))


def workspace_bytes(
    rows: int, classes: int, depth: int, dtype: torch.dtype, needs: Needs, tiling: Tiling
) -> int:
    """Bytes at the peak beyond inputs, statistics and the gradients themselves."""
    height, width = min(tiling.rows, rows), min(tiling.columns, classes)
    chunk = height * width * dtype.itemsize
    narrow = dtype != torch.float32
    grown_input = rows * depth * 4 if needs.input and narrow else 0
    partly = height < rows or dtype == torch.float16
    grown_weight = classes * depth * 4 if needs.weight and narrow and partly else 0
    bias = -(-height // 64) * width * 4 if needs.bias else 0
    return chunk + grown_input + grown_weight + bias
