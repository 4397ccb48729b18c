"""Products of bfloat16 on a CPU whose units make them: AMX or AVX-512 BF16.

The units add in float32, but torch hands out what they make in bfloat16 alone. A second product,
less the first, is what that rounding took: together they have 16 bits, and need a quarter of the
time of a float32 product.
"""

from __future__ import annotations

import torch

LEAST_PRODUCT = 2**26
"""Multiplications of a product below which float32 takes no longer than what else a call does."""

AVAILABLE = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
"""Whether this CPU has such units; asked once, since compiled code cannot ask."""


def used(
    num_rows: int, num_classes: int, num_features: int, dtype: torch.dtype, device: torch.device
) -> bool:
    """Whether a head of that size is multiplied by them."""
    if dtype != torch.bfloat16 or device.type != "cpu" or not AVAILABLE:
        return False
    return num_rows * num_classes * num_features >= LEAST_PRODUCT


def product_(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, add: bool = False) -> None:
    """out = a @ b, or out += a @ b, of bfloat16 in float32, to 16 bits of the product."""
    if out.T.is_contiguous():
        out, a, b = out.T, b.T, a.T
    high = torch.mm(a, b)
    # torch adds tensors of one dtype in half the time
    low = torch.addmm(high, a, b, beta=-1).to(out.dtype)
    if low.sum().isnan():  # inf less inf
        low.nan_to_num_()
    (out.add_ if add else out.copy_)(high)
    out.add_(low)
