"""Compiles every kernel for a GPU that need not be there; run as a program, by test_triton.py.

Its own process, because Triton either interprets or compiles for as long as a process lives. With
the tiles planned for a GPU, the kernels of a plain loss must keep everything in registers, and no
option may need more shared memory than there is.
"""

import os
import subprocess
import tempfile

os.environ.pop("TRITON_INTERPRET", None)
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"  # else Triton warns

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lossviz.kernels.triton_kernels import gradient_kernel, sums_kernel
from lossviz.kernels.triton_row_kernels import row_gradient_kernel, row_sums_kernel
from lossviz.kernels.triton_tiling import AMPERE, HOPPER, SINGLE, Tiles

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


def compile_for_gpu(
    kernel: triton.JITFunction,
    *,
    everything: bool = False,
    dense: bool = False,
    ones: tuple[str, ...] = (),
    tiles: Tiles = SMALL,
    capability: int = 90,
    dtype: str = "bf16",
) -> triton.compiler.CompiledKernel:
    """What runs on a GPU, with every option, a mean logit of `dense` weights, or the plain loss.

    Triton makes constants of integers that are 1.
    """
    constants = {
        "EXACT": False, "FACTOR": {"bf16": tl.bfloat16, "fp32": tl.float32}[dtype],
        "PRECISION": "ieee", "CAPPED": everything, "DENSE": everything or dense,
        "ROWS": tiles.rows, "COLUMNS": tiles.columns, "DEPTH": tiles.depth,
    }  # fmt: skip
    pointers = ALWAYS | MEAN if dense else ALWAYS
    signature, values, hints = {}, {}, {}
    for index, name in enumerate(kernel.arg_names):
        place = (index,)
        if name in constants:
            signature[name], values[place] = "constexpr", constants[name]
        elif name.endswith("_ptr") and (everything or name in pointers):
            signature[name] = "*" + POINTED.get(name, "fp32").replace("bf16", dtype)
            hints[place] = [["tt.divisibility", 16]]
        elif name.endswith("_ptr"):
            signature[name], values[place] = "constexpr", None
        elif name in ("inner", "outer"):
            signature[name] = "fp32"
        elif name in ones:
            signature[name], values[place] = "constexpr", 1
        else:
            signature[name] = "i32"
            hints[place] = [["tt.divisibility", 16]]
    return triton.compile(
        ASTSource(kernel, signature, values, hints),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": tiles.warps, "num_stages": tiles.stages},
    )


def spilled(compiled: triton.compiler.CompiledKernel) -> int:
    """Bytes of a thread's stack, where registers go that do not fit."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(told.split("STACK:")[1].split()[0])


LAID_OUT = ("x_depth", "weight_depth", "mean_column", "bias_step")  # 1 where rows are contiguous
for kernel in (sums_kernel, gradient_kernel, row_sums_kernel, row_gradient_kernel):
    integers = tuple(name for name in kernel.arg_names if not name.endswith("_ptr"))
    assert compile_for_gpu(kernel, everything=True), kernel
    assert compile_for_gpu(kernel, ones=integers), kernel
SHARED = {80: 163, 89: 99, 90: 227, 120: 99}  # KiB a block may have
for kernel in (sums_kernel, gradient_kernel):
    for tiles, capability, dtype in (
        (HOPPER, 90, "bf16"),
        (AMPERE, 80, "bf16"),
        (AMPERE, 89, "bf16"),
        (AMPERE, 120, "bf16"),
        (SINGLE, 90, "fp32"),
    ):
        sizes = {"tiles": tiles, "capability": capability, "dtype": dtype}
        plain = compile_for_gpu(kernel, ones=LAID_OUT, **sizes)
        assert spilled(plain) == 0, (kernel, tiles, capability)
        if tiles is not HOPPER:  # which dense weights are not given
            dense = compile_for_gpu(kernel, dense=True, ones=LAID_OUT, **sizes)
            assert spilled(dense) < 1024, (kernel, tiles, capability)
        rich = compile_for_gpu(kernel, everything=True, ones=LAID_OUT[:2], **sizes)
        for compiled in (plain, rich):
            assert compiled.metadata.shared <= SHARED[capability] * 2**10, (kernel, tiles)
