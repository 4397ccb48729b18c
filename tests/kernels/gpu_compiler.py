"""Compiles a kernel for a GPU that need not be there, in a process of its own.

Triton either interprets or compiles for as long as a process lives, and the other tests interpret.
So nothing here may import Triton before `compile_for_gpu` is called in that process.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from importlib import import_module
from typing import NamedTuple

from lossviz.kernels.triton_tiling import Tiles

KERNELS = {
    "sums_kernel": "triton_kernels",
    "gradient_kernel": "triton_kernels",
    "row_sums_kernel": "triton_row_kernels",
    "row_gradient_kernel": "triton_row_kernels",
}  # fmt: skip
LAID_OUT = ("x_depth", "weight_depth", "mean_column", "bias_step")  # 1 where rows are contiguous
EVERY_INTEGER = "every integer"
ALWAYS = {
    "x_ptr", "weight_ptr", "label_ptr", "raw_ptr", "out_ptr", "target_ptr", "shift_ptr",
    "total_ptr", "to_gap_ptr",
}  # fmt: skip
MEAN = {"mean_weight_ptr", "mean_ptr", "mass_ptr", "to_mean_ptr"}
POINTED = {
    "x_ptr": "bf16", "weight_ptr": "bf16", "bias_ptr": "bf16", "out_ptr": "bf16",
    "label_ptr": "i64", "best_ptr": "i64", "skip_ptr": "i1",
}  # fmt: skip
SMALL = Tiles(64, 64, 32, 4, 3)


class Code(NamedTuple):
    """What the compiler says of a kernel, in bytes."""

    shared: int
    """Shared memory of a block."""
    stack: int
    """Stack of a thread, where registers go that do not fit."""


def compile_instead_of_interpreting() -> None:
    """Called first in the process that compiles."""
    os.environ.pop("TRITON_INTERPRET", None)
    os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"  # else Triton warns


def compile_for_gpu(
    name: str,
    *,
    everything: bool = False,
    dense: bool = False,
    ones: tuple[str, ...] | str = (),
    tiles: Tiles = SMALL,
    capability: int = 90,
    dtype: str = "bf16",
    hurried: bool = False,
) -> Code:
    """The kernel with every option, with a mean logit of `dense` weights, or of the plain loss.

    Triton makes constants of integers that are 1: those that `ones` names. `hurried` code is not
    optimised by the assembler, which takes most of the time: its stack says nothing.
    """
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(import_module(f"lossviz.kernels.{KERNELS[name]}"), name)
    if ones == EVERY_INTEGER:
        ones = tuple(argument for argument in kernel.arg_names if not argument.endswith("_ptr"))
    constants = {
        "EXACT": False, "FACTOR": {"bf16": tl.bfloat16, "fp32": tl.float32}[dtype],
        "PRECISION": "ieee", "CAPPED": everything, "DENSE": everything or dense,
        "ROWS": tiles.rows, "COLUMNS": tiles.columns, "DEPTH": tiles.depth,
    }  # fmt: skip
    pointers = ALWAYS | MEAN if dense else ALWAYS
    signature, values, hints = {}, {}, {}
    for index, argument in enumerate(kernel.arg_names):
        place = (index,)
        if argument in constants:
            signature[argument], values[place] = "constexpr", constants[argument]
        elif argument.endswith("_ptr") and (everything or argument in pointers):
            signature[argument] = "*" + POINTED.get(argument, "fp32").replace("bf16", dtype)
            hints[place] = [["tt.divisibility", 16]]
        elif argument.endswith("_ptr"):
            signature[argument], values[place] = "constexpr", None
        elif argument in ("inner", "outer"):
            signature[argument] = "fp32"
        elif argument in ones:
            signature[argument], values[place] = "constexpr", 1
        else:
            signature[argument] = "i32"
            hints[place] = [["tt.divisibility", 16]]
    compiled = triton.compile(
        ASTSource(kernel, signature, values, hints),
        target=GPUTarget("cuda", capability, 32),
        options={
            "num_warps": tiles.warps,
            "num_stages": tiles.stages,
            "ptx_options": "--opt-level 0" if hurried else None,
        },
    )
    return Code(compiled.metadata.shared, _stack(compiled.asm["cubin"]))


def _stack(machine_code: bytes) -> int:
    import triton

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(machine_code)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(told.split("STACK:")[1].split()[0])
