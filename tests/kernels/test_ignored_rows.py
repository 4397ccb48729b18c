"""Ignored rows leave no trace, and where they are left out they cost nothing."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lossviz.kernels import linear_cross_entropy

from .cases import make, refuses, with_gradients

PATHS = ("chunked", "reference", "triton")
each_path = pytest.mark.parametrize("impl", PATHS)
each_option = pytest.mark.parametrize(
    "options",
    [
        {"reduction": "none"},
        {"reduction": "sum", "z_loss": 0.1},
        {"label_smoothing": 0.1},
        {"loss": "entropy_bonus", "softcap": 3.0},
        {"loss": lambda row: row.nll * row.entropy + row.max},
    ],
    ids=["per row", "sum", "smoothed", "entropy bonus", "own function"],
)


def masked(ignored: slice):
    head = make(9, 12, 4, torch.float32)
    head.target[ignored] = -100
    return head


@each_path
@each_option
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.parametrize("ignored", [slice(0, 0), slice(0, 9, 2), slice(None)], ids=str)
def test_left_out_or_not_the_loss_and_its_gradients_are_the_same(ignored, wrong, options, impl):
    found = []
    for compact in (True, False):
        head = masked(ignored)
        head.input.data[head.target < 0] = wrong
        loss = linear_cross_entropy(
            *head[:2], head.target, linear_bias=head.bias, impl=impl, compact=compact, **options
        )
        found.append(with_gradients(loss, head))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert all(gradient.isfinite().all() for gradient in found[0][1:])


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"loss": "focal"}], ids=str)
@pytest.mark.parametrize(("compact", "share"), [(None, 1 / 3), (True, 1 / 3), (False, 1)])
def test_a_row_that_is_left_out_is_in_no_product(compact, share, options):
    def flops(head, **more):
        with FlopCounterMode(display=False) as counter:
            linear_cross_entropy(*head[:2], head.target, **options, **more).sum().backward()
        return counter.get_total_flops()

    whole, part = make(9, 12, 4), masked(slice(0, 6))
    counted = flops(part, compact=compact)
    if options:  # of the operator for a scalar loss the counter sees what goes in
        assert counted == pytest.approx(share * flops(whole))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"reduction": "none"}], ids=str)
def test_compiled_code_takes_the_option(options):
    head = masked(slice(0, 6))

    def loss(x, w):
        return linear_cross_entropy(x, w, head.target, compact=True, **options)

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*head[:2]), loss(*head[:2]))


def test_an_option_of_another_type_is_refused():
    head = make(3, 5, 2)
    with refuses(TypeError, "compact", "bool", "1"):
        linear_cross_entropy(*head[:2], head.target, compact=1)
