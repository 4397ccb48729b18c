"""What a GPU does otherwise, as far as a CPU can tell: products of half precision, its tiles."""

from __future__ import annotations

import pytest
import torch

from lossviz.kernels import chunked, triton_rows, triton_tiling
from lossviz.kernels.head import Head, Needs, Tiling
from lossviz.kernels.statistics import Want, finish
from lossviz.kernels.tiles import Saved, Transform, Upstream

from .cases import make


def test_the_sum_over_half_a_tile_is_in_full_precision():
    head = Head(torch.ones(3000, 2), torch.ones(4, 2), None, Transform())
    grown = chunked.Gradients(head, Needs(False, False, True))
    tile = torch.full((3000, 4), 40.0, dtype=torch.float16)  # 120000 in all, beyond float16
    grown.add(slice(0, 3000), slice(0, 4), head.input, head.weight, tile, None)
    assert grown.bias.tolist() == [120_000.0] * 4


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_float16_gradients_of_products_in_float16_keep_small_classes(monkeypatch, scale):
    """As on a GPU, whose products take half precision: here float16 is rounded to, not used."""
    monkeypatch.setattr(Head, "factor_dtype", property(lambda head: head.input.dtype))

    def product_(out, a, b, *, add=False):
        torch.addmm(out, a.to(out.dtype), b.to(out.dtype), beta=int(add), out=out)

    monkeypatch.setattr(chunked, "product_", product_)
    case = make(64, 3000, 8, torch.float16)
    leaves = [leaf.detach() for leaf in case.leaves]
    head, tiling = Head(*leaves, Transform(scale)), Tiling(64, 3000)
    sums = chunked.accumulate(head, case.target, Want(), tiling)
    gap = finish(sums, case.target >= 0).gap.sigmoid() / 8192  # as in a mean over so many rows
    arguments = case.target, Saved(sums.shift, sums.total), Upstream(gap), Needs(False, True, False)
    found = chunked.gradients(head, *arguments, tiling)[1].double()
    exact = Head(*(leaf.double() for leaf in leaves), Transform(scale))
    true = chunked.gradients(exact, *arguments, tiling)[1]
    others = torch.ones(3000, dtype=torch.bool)
    others[case.target] = False
    handed_back = true.half().double()  # the result itself is float16
    error = (found - handed_back)[others].norm() / handed_back[others].norm()
    assert error < 0.01


@pytest.mark.parametrize("classes", [2, 16, 100, 1000, 8192, 128_256])
def test_a_program_of_the_row_kernels_has_about_as_much_to_do_for_any_vocabulary(classes):
    tile = triton_rows.row_tile(torch.device("cuda"), classes)
    assert tile.columns & (tile.columns - 1) == 0 and tile.rows & (tile.rows - 1) == 0
    assert tile.columns >= min(classes, 8192) and tile.rows * tile.columns <= 8192
    assert classes > 256 or tile.rows > 1


def test_odd_rows_and_dense_weights_take_the_smaller_tiles(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    cuda = torch.device("cuda")
    assert triton_tiling.tile_sizes(torch.bfloat16, cuda) == triton_tiling.HOPPER
    assert triton_tiling.tile_sizes(torch.bfloat16, cuda, plain=False) == triton_tiling.AMPERE
