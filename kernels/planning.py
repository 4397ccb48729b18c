"""Which path will run, with what tiles, and what it will cost: before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossviz.declaration.numbers import DTYPES

from . import bfloat16_units, triton_tiling
from .checks import check_budget
from .chunked import LEAST_COLUMNS, in_place_tiling
from .head import Needs, Tiling
from .tiles import UNIT, sum_dtype

IMPLEMENTATIONS = ("auto", "reference", "chunked", "triton")
THIN = 208
"""Rows below which matrix products starve (measured: 1.05x the time at 128 rows, 2x at 32)."""
THIN_ON_GPU = 1024
"""The same on a GPU, by arithmetic: with fewer, products wait for the float32 weight gradient."""
THICK = 512
"""Rows from which on more gain nothing on a CPU; on a GPU they do not from `THIN_ON_GPU` on."""
THICK_ON_UNITS = 1024
"""The same with units for bfloat16: what each chunk adds to the weight gradient takes longer."""
PARTS = 12
"""Chunks that a batch is cut into when the budget is ours: a twelfth of the logits."""
BLOCK_BYTES = 4 * 2**20
"""Bytes of the logits that one product writes on the CPU: as many as its cache takes."""
TILE_BYTES = 16 * 2**20
"""Bytes of a tile that is made twice on the CPU: larger ones are not faster."""
TILE_BYTES_ON_GPU = 24 * 2**20
"""The same on a GPU, by arithmetic: plain torch passes over a tile a dozen times, and what fits the
cache (40 MB on an A100, 50 MB on an H100) is not fetched for each."""
LEAST_ACROSS = 256
"""Columns of a tile of all rows, below which a tile of fewer rows is better."""
MOST_AT_ONCE = 256 * 2**20
"""Bytes on a GPU beyond which half precision makes its logits twice: in one pass the weight
gradient grows in float32, and for a large head that is twice the gradient itself."""
MOST_TILES, TINY = 2**12, 2**14
"""Tiles of fewer than `TINY` logits cost their overhead alone; more of them are refused."""
WORKSPACE = 128 * 2**20
"""Bytes of logit gradients that the Triton path keeps."""


def triton_runs(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the Triton path takes that: a GPU with triton, or its interpreter; no float64."""
    return dtype in triton_tiling.DTYPES and triton_tiling.available(device)


@dataclass(frozen=True)
class Plan:
    """What `plan` foresees.

    `bytes` is peak memory beyond the inputs and the gradients handed back, `flops` those of the
    matrix products, `floor_flops` those of the fewest products that any method needs, each 2 N V D,
    and `logits_bytes` the size of the logits that eager torch makes, in the dtype of the input.
    `on_units`: a CPU's units for bfloat16 (AMX, AVX-512) make the products, each logit in two.
    """

    impl: str
    tiling: Tiling
    products: int
    bytes: int
    flops: int
    floor_flops: int
    logits_bytes: int
    on_units: bool = False

    def __str__(self) -> str:
        units = " on the CPU's bfloat16 units" if self.on_units else ""
        share = self.bytes / self.logits_bytes if self.logits_bytes else 0.0
        return (
            f"{self.impl}: tiles of {self.tiling.rows} x {self.tiling.columns}, "
            f"{self.products} matrix products ({self.flops / 1e12:.3g} TFLOP){units}, "
            f"{self.bytes / 2**20:,.0f} MiB beyond inputs and gradients "
            f"({share:.1%} of eager's logits)"
        )


def plan(
    num_rows: int,
    num_classes: int,
    num_features: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    *,
    impl: str = "auto",
    per_row: bool = False,
    softcap: bool = False,
    memory_budget: int | None = None,
) -> Plan:
    """The path, tiles, bytes and FLOPs of a forward and backward pass.

    `num_rows` N >= 0, `num_classes` V >= 1, `num_features` D >= 1. `per_row`: the loss is returned
    per row, is a function of row statistics or has probability targets, several heads or learned
    class weights, so logits are made twice (4 products); else a scalar comp-sum loss, whose
    gradients are formed on the way (3, but for impl="triton").

    `memory_budget` in bytes bounds the tiles of logits, 4 bytes for each (8 with a soft cap). By
    default a scalar loss has whole rows: a twelfth of them, but 208 to 512 (more where they take
    less than 4 MiB), and on the CPU all of
    up to D, in memory that the weight gradient does not need yet; on a GPU, and where a CPU's units
    for bfloat16 make the products, 1024. A budget for less
    makes the logits twice, and so does half precision by default where one pass took more than
    256 MiB on a GPU: its weight gradient would grow in float32. Tiles that are made twice have 16
    MiB (24 MiB on a GPU); in half precision they are as high as the batch, so that each piece of
    the weight gradient is written once. impl="triton" keeps 128 MiB of logit gradients, and never
    less than 128 rows of 2048 classes.

    Raises ValueError for sizes, an `impl` or a budget out of range (also one that cuts the logits
    into thousands of tiny tiles), TypeError for a wrong type.
    """
    for name, size, least in (
        ("num_rows", num_rows, 0),
        ("num_classes", num_classes, 1),
        ("num_features", num_features, 1),
    ):
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"{name} must be an int, got {size!r}")
        if size < least:
            raise ValueError(f"{name} must be at least {least}, got {size}")
    if dtype not in DTYPES:
        raise TypeError(f"dtype must be one of {DTYPES}, got {dtype}")
    check_budget(memory_budget)
    device = _device(device)
    impl = choose(impl, device, dtype)
    wide = sum_dtype(dtype).itemsize
    half = dtype.itemsize < wide
    tiling, single = tile_sizes(
        num_rows,
        num_classes,
        num_features,
        dtype,
        device,
        impl,
        per_row=per_row,
        softcap=softcap,
        memory_budget=memory_budget,
    )
    product = 2 * num_rows * num_classes * num_features
    products = 3 if single or impl == "reference" else 4
    logits = num_rows * num_classes * dtype.itemsize
    on_units = impl == "chunked" and bfloat16_units.used(
        num_rows, num_classes, num_features, dtype, device
    )
    if impl == "reference":
        spent = 4 * num_rows * num_classes * wide
    elif impl == "triton":
        needs = Needs(input=True, weight=True, bias=False)
        spent = triton_tiling.workspace_bytes(
            num_rows, num_classes, num_features, dtype, needs, tiling
        )
    elif on_units and single:  # logits in half precision, and blocks in full beside their products
        spent = tiling.rows * num_classes * dtype.itemsize
        spent += tiling.rows * tiling.columns * (wide + 2 * dtype.itemsize)
        if softcap:
            spent += tiling.rows * (num_classes * dtype.itemsize + tiling.columns * wide)
        if tiling.rows < num_rows:  # the weight gradient grows
            spent += num_classes * num_features * wide
    else:
        rows, columns = tiling.rows, num_classes if single else tiling.columns
        if single and device.type == "cpu":
            in_place = in_place_tiling(num_rows, num_features, num_classes, tiling, softcap=softcap)
            if in_place is not None:
                rows, columns = tiling = in_place
        spent = rows * columns * wide * (2 if softcap else 1)
        # gradients grow in float32 and are handed back in half, but a piece that is whole at once
        across = half and not single and rows >= num_rows
        grown = num_rows + (columns if across else num_classes)
        spent += grown * num_features * wide if half else 0
        if not across:
            spent += rows * num_features * wide
        elif device.type == "cpu":  # rows widened, and these scaled
            spent += rows * num_features * wide * (1 if softcap else 2)
        if half and device.type == "cpu" and not on_units:  # widened weights, and the last
            spent += min(num_classes, 2 * tiling.columns) * num_features * wide
        elif across:  # what products take
            spent += rows * columns * dtype.itemsize
    flops = products * product
    return Plan(impl, tiling, products, spent, flops, 3 * product, logits, on_units)


def _device(device: torch.device | str) -> torch.device:
    if not isinstance(device, torch.device | str):
        raise TypeError(f"device must be a torch.device or its name, got {device!r}")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be the name of one, got {device!r}: {error}") from None


def choose(impl: str, device: torch.device, dtype: torch.dtype) -> str:
    """The path that `impl` means on a device; raises ValueError where it cannot run."""
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {IMPLEMENTATIONS}, got {impl!r}")
    if impl == "triton" and not triton_runs(device, dtype):
        raise ValueError(
            "impl='triton' needs a GPU with triton installed (or TRITON_INTERPRET=1 set before "
            "triton is imported, which is slow) and float32 or half precision, got device "
            f"{str(device)!r} and {dtype}"
        )
    return "chunked" if impl == "auto" else impl


def tile_sizes(
    num_rows: int,
    num_classes: int,
    num_features: int,
    dtype: torch.dtype,
    device: torch.device,
    impl: str,
    *,
    per_row: bool,
    softcap: bool,
    memory_budget: int | None,
) -> tuple[Tiling, bool]:
    """Tiles of a walk, and whether one pass over whole rows suffices."""
    if impl == "triton":
        return triton_tiling.plan_tiling(
            num_rows, num_classes, dtype, memory_budget or WORKSPACE
        ), False
    wide = sum_dtype(dtype).itemsize
    row_bytes = num_classes * wide * (2 if softcap else 1)
    if not per_row and impl == "chunked":
        on_cpu = device.type == "cpu"
        on_units = bfloat16_units.used(num_rows, num_classes, num_features, dtype, device)
        thin, thick = (THIN, THICK) if on_cpu else (THIN_ON_GPU, THIN_ON_GPU)
        if on_units and memory_budget is None:
            thin = thick = THICK_ON_UNITS
        rows = min(max(num_rows // PARTS // UNIT * UNIT, thin), thick)
        if on_cpu:  # a chunk costs calls as well
            rows = max(rows, BLOCK_BYTES // row_bytes)
        enough = True
        if memory_budget is not None:
            rows = memory_budget // row_bytes
            enough = rows >= min(num_rows, thin)
        elif dtype.itemsize < wide and not on_cpu:
            height = min(rows, num_rows)
            grown = (num_classes + num_rows + height) * num_features * wide
            enough = height * row_bytes + grown <= MOST_AT_ONCE
        if enough:
            rows = max(1, min(rows, num_rows))
            columns = num_classes
            if on_cpu:
                columns = max(LEAST_COLUMNS, BLOCK_BYTES // (rows * wide))
                if dtype.itemsize < wide and not on_units:  # weights of as many classes are widened
                    columns = min(
                        columns, max(LEAST_COLUMNS, TILE_BYTES // (max(1, num_features) * wide))
                    )
                columns = min(num_classes, columns)
            return Tiling(rows, columns), True
    usual = TILE_BYTES if device.type == "cpu" else TILE_BYTES_ON_GPU
    cells = (memory_budget or usual) // (wide * (2 if softcap else 1))
    if dtype.itemsize < wide and num_rows:
        columns = cells // num_rows
        if memory_budget is None:
            columns = max(columns, LEAST_ACROSS)
        if columns >= LEAST_ACROSS:
            return Tiling(num_rows, min(columns, num_classes)), False
    rows = max(1, min(num_rows, 1024))
    columns = max(1, min(num_classes, cells // rows))
    if columns < LEAST_COLUMNS:
        rows = max(1, min(rows, cells // max(1, min(num_classes, LEAST_COLUMNS))))
        columns = max(1, min(num_classes, cells // rows))
    tiles = -(-num_rows // rows) * -(-num_classes // columns)
    if tiles > MOST_TILES and rows * columns < TINY:
        raise ValueError(
            f"memory_budget is in bytes: {memory_budget} would cut logits of {num_rows} x "
            f"{num_classes} into {tiles:,} tiles of {rows} x {columns}; give "
            f"{TINY * row_bytes // num_classes:,} or more"
        )
    return Tiling(rows, columns), False
