"""Logits of the first rows lie where the weight gradient will grow: same numbers, less memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.kernels import linear_cross_entropy, plan
from lossviz.kernels.chunked import LEAST_COLUMNS, in_place_tiling
from lossviz.kernels.head import Tiling

from .cases import HALF, make, naive, with_gradients
from .measure import measure

OPTIONS = [
    {},
    {"reduction": "sum"},
    {"label_smoothing": 0.1, "z_loss": 0.01},
    {"loss": "generalized_cross_entropy"},
    {"logit_scale": 1.5, "temperature": 0.7},
]
# a part of the gradient's memory holds the logits, all of it, and none, for rows are too many
SHAPES = [(300, 5000, 512), (320, 6000, 320), (700, 5000, 512)]


def spend(rows, classes, features, dtype=torch.float32, **options):
    head = make(rows, classes, features, dtype)

    def step():
        linear_cross_entropy(*head[:2], head.target, **options).backward()

    spent = measure(step)
    return spent.bytes - sum(tensor.grad.nbytes for tensor in head[:2])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_numbers_are_those_of_materialised_logits(shape, options):
    head = make(*shape)
    head.target[::7] = -100
    found = [
        with_gradients(
            linear_cross_entropy(
                *head[:2], head.target, linear_bias=head.bias, impl=impl, **options
            ),
            head,
        )
        for impl in ("chunked", "reference")
    ]
    for mine, true in zip(*found, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
def test_other_dtypes_make_logits_in_the_float32_gradient(dtype):
    head = make(300, 5000, 320, dtype)
    found = with_gradients(
        linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias), head
    )
    true = head.to(torch.float64)
    for mine, other in zip(found, with_gradients(naive(true), true), strict=True):
        error = (mine - other).abs().max() / other.abs().max()
        assert error < (1e-5 if dtype == torch.float32 else 1e-2)


def test_a_batch_of_no_more_rows_than_features_needs_next_to_no_memory():
    shape = 512, 20_000, 512
    logits = 512 * 20_000 * 4
    told = plan(*shape)
    assert told.bytes < 0.25 * logits
    assert 0.8 * told.bytes <= spend(*shape) <= 1.15 * told.bytes


def test_a_frozen_weight_has_no_gradient_to_make_them_in_and_the_numbers_stay():
    head = make(300, 5000, 320)
    frozen = head.weight.detach()
    ours = linear_cross_entropy(head.input, frozen, head.target, impl="chunked")
    theirs = linear_cross_entropy(head.input, frozen, head.target, impl="reference")
    gradients = [torch.autograd.grad(loss, head.input)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-14)


def test_what_lay_in_that_memory_before_does_not_reach_the_gradient():
    head = make(300, 5000, 512)
    bias = head.bias.detach().index_fill(0, torch.tensor([17]), -torch.inf)
    target = head.target.where(head.target != 17, 18)
    loss = linear_cross_entropy(*head[:2], target, linear_bias=bias)
    _, of_weight = torch.autograd.grad(loss, head[:2])
    assert of_weight.isfinite().all() and not of_weight[17].any()


@given(
    rows=st.integers(1, 3000),
    features=st.integers(0, 3000),
    classes=st.integers(1, 10**5),
    height=st.integers(1, 400),
    width=st.integers(1, 10**4),
)
def test_rows_in_place_fit_the_gradient_and_their_blocks_the_usual_room(
    rows, features, classes, height, width
):
    tiling = Tiling(height, min(width, classes))
    in_place = in_place_tiling(rows, features, classes, tiling, softcap=False)
    assert in_place_tiling(rows, features, classes, tiling, softcap=True) is None
    if in_place is not None:
        assert in_place.rows == rows <= features
        assert LEAST_COLUMNS <= in_place.columns < classes
        assert in_place.rows * in_place.columns <= max(
            height * tiling.columns, rows * LEAST_COLUMNS
        )
