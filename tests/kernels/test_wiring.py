"""The door takes every path through the same walls: Triton, row kernels, shards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lossviz.kernels import chunked, linear_cross_entropy, planning, triton_rows
from lossviz.kernels.head import Head, Needs, Tiling
from lossviz.kernels.statistics import Want, finish, softplus
from lossviz.kernels.tiles import Transform, Upstream, power_of_two

pytestmark = pytest.mark.skipif(
    not planning.triton_runs(torch.device("cpu"), torch.float32),
    reason="needs Triton's interpreter, which a GPU run does without",
)
ROWS, CLASSES, FEATURES = 70, 301, 24


def case(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, FEATURES, generator=generator).to(dtype)
    w = (torch.randn(CLASSES, FEATURES, generator=generator) / 4).to(dtype)
    b = torch.randn(CLASSES, generator=generator).to(dtype)
    y = torch.randint(0, CLASSES, (ROWS,), generator=generator)
    y[5] = -1
    return x, w, b, y


def mean_of_nll(rows: slice, sums: object) -> tuple[torch.Tensor, Upstream]:
    y = case()[3][rows]
    row = finish(sums, y >= 0)
    weight = (y >= 0) / ROWS
    return weight * softplus(row.gap), Upstream(weight * row.gap.sigmoid())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_row_kernels_between_the_products_give_what_plain_torch_gives(softcap, dtype):
    x, w, b, y = case(dtype)
    head = Head(x, w, b, Transform(1.5, softcap, 0.8))
    arguments = (head, y, Want(), mean_of_nll, Needs(True, True, True), Tiling(32, CLASSES))
    loss, gradients = triton_rows.one_pass(*arguments)
    expected, theirs = chunked.one_pass(*arguments)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for mine, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"loss": "brier"}, {"z_loss": 0.1}])
def test_the_door_gives_the_same_by_triton_as_by_chunks(options):
    x, w, b, y = case()
    found = []
    for impl in ("triton", "chunked"):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, w, b)]
        loss = linear_cross_entropy(
            *leaves[:2], y, linear_bias=leaves[2], ignore_index=-1, impl=impl, **options
        )
        found.append([loss, *torch.autograd.grad(loss.sum(), leaves)])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_probability_targets_go_through_triton():
    x, w, _, _ = case()
    soft = torch.softmax(torch.randn(ROWS, CLASSES), -1)
    found = linear_cross_entropy(x, w, soft, impl="triton")
    torch.testing.assert_close(found, F.cross_entropy(x @ w.T, soft), rtol=1e-5, atol=1e-6)


def test_triton_takes_no_float64_and_says_so_at_the_door():
    x, w, _, y = case(torch.float64)
    with pytest.raises(ValueError, match="float64"):
        linear_cross_entropy(x, w, y, ignore_index=-1, impl="triton")


@pytest.mark.parametrize(
    ("values", "power"),
    [([3.0, -5.0], 8.0), ([0.0], 1.0), ([torch.inf], 1.0), ([2.0**-20], 2.0**-19)],
)
def test_the_power_of_two_next_to_a_magnitude(values, power):
    assert power_of_two([torch.tensor(values), None]).item() == power
