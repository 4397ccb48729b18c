"""Compiles every kernel for a GPU that need not be there; run as a program, by test_triton.py.

Its own process, because Triton either interprets or compiles for as long as a process lives.
"""

import os

os.environ.pop("TRITON_INTERPRET", None)
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"  # else Triton warns

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lossviz.kernels.triton_kernels import gradient_kernel, sums_kernel
from lossviz.kernels.triton_row_kernels import row_gradient_kernel, row_sums_kernel

ALWAYS = {
    "x_ptr", "weight_ptr", "label_ptr", "raw_ptr", "out_ptr", "target_ptr", "shift_ptr",
    "total_ptr", "to_gap_ptr",
}  # fmt: skip
POINTED = {
    "x_ptr": "bf16", "weight_ptr": "bf16", "bias_ptr": "bf16", "out_ptr": "bf16",
    "label_ptr": "i64", "best_ptr": "i64", "skip_ptr": "i1",
}  # fmt: skip
CONSTANTS = {
    "EXACT": False, "FACTOR": tl.bfloat16, "PRECISION": "ieee", "ROWS": 64, "COLUMNS": 64,
    "DEPTH": 32,
}  # fmt: skip


def compile_for_gpu(kernel: triton.JITFunction, everything: bool, ones: bool) -> None:
    """With every option or none; Triton makes constants of integers that are 1."""
    constants = {**CONSTANTS, "CAPPED": everything, "DENSE": everything}
    signature, values = {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[(index,)] = "constexpr", constants[name]
        elif name.endswith("_ptr") and (everything or name in ALWAYS):
            signature[name] = "*" + POINTED.get(name, "fp32")
        elif name.endswith("_ptr"):
            signature[name], values[(index,)] = "constexpr", None
        elif name in ("inner", "outer"):
            signature[name] = "fp32"
        elif ones:
            signature[name], values[(index,)] = "constexpr", 1
        else:
            signature[name] = "i32"
    source = ASTSource(kernel, signature, values)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    assert compiled.asm["cubin"], kernel


for kernel in (sums_kernel, gradient_kernel, row_sums_kernel, row_gradient_kernel):
    for everything, ones in ((False, True), (True, False)):
        compile_for_gpu(kernel, everything, ones)
