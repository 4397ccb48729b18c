"""Products by a CPU's units for bfloat16, here of any size and on any CPU: torch emulates them."""

from __future__ import annotations

import pytest
import torch

from lossviz.kernels import bfloat16_units, linear_cross_entropy, plan, row_statistics

from .cases import complement, make, naive, with_gradients
from .measure import measure
from .test_exactness import OPTIONS, SHAPES, assert_accepted, confident, error, ours

HALF = torch.bfloat16


@pytest.fixture(autouse=True)
def use_units(monkeypatch):
    monkeypatch.setattr(bfloat16_units, "AVAILABLE", True)
    monkeypatch.setattr(bfloat16_units, "LEAST_PRODUCT", 0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("budget", [None, 40_000, 4096])
def test_errors_are_at_most_those_of_plain_torch(budget, options):
    for shape in SHAPES:
        head = make(*shape, HALF)
        judge = head.to(torch.float64)
        true = with_gradients(naive(judge, **options), judge)
        plain = with_gradients(naive(head, **options), head)
        assert_accepted(ours(head, "chunked", budget, **options), plain, true, HALF)


def test_a_product_has_16_bits():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 70, generator=generator).to(HALF) for n in (50, 90))
    true = a.double() @ b.double().T
    for out in (torch.ones(50, 90), torch.ones(90, 50).T):
        bfloat16_units.product_(out, a, b.T)
        assert error(out, true) <= 2.0**-16
        bfloat16_units.product_(out, a, b.T, add=True)
        assert error(out, 2 * true) <= 2.0**-16


@pytest.mark.parametrize("chunk", [300, 100])
def test_gradients_have_few_digits_less_than_one_rounding(chunk):
    head = make(300, 400, 30, HALF)
    judge = head.to(torch.float64)
    true = with_gradients(naive(judge), judge)
    plain = with_gradients(naive(head), head)
    found = ours(head, "chunked", chunk * 400 * 4)
    for mine, theirs, right in zip(found[1:], plain[1:], true[1:], strict=True):
        assert error(mine, right) <= min(error(theirs, right), 2.0**-8)


@pytest.mark.parametrize("margin", [17.0, 24.0, 40.0, 80.0])
def test_confident_rows_keep_every_digit_of_exact_logits(margin):
    head = confident(margin, HALF)
    judge = head.to(torch.float64)
    true = with_gradients(complement(judge), judge)
    found = ours(head, "chunked", None)
    assert error(found[0], true[0]) <= (4 + margin) * torch.finfo(torch.float32).eps
    for mine, right in zip(found[1:], true[1:], strict=True):
        assert error(mine, right) <= 2 * torch.finfo(HALF).eps


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_classes_without_probability_stay_so_and_nan_stays_nan(reduction):
    head = make(20, 12, 4, HALF)
    with torch.no_grad():
        head.input.abs_()
        head.weight[11, 0] = -torch.inf
    head = head._replace(target=head.target % 11)
    found = linear_cross_entropy(*head[:2], head.target, reduction=reduction)
    fewer = linear_cross_entropy(head.input, head.weight[:11], head.target, reduction=reduction)
    torch.testing.assert_close(found, fewer)
    with torch.no_grad():
        head.input[3, 1] = torch.nan
    rows = linear_cross_entropy(*head[:2], head.target, reduction="none")
    assert rows.isnan().nonzero().flatten().tolist() == [3]


def test_statistics_are_those_of_float32_to_16_bits():
    head = make(40, 60, 20, HALF)
    found = row_statistics(*head[:2], head.target).as_dict()
    exact = row_statistics(*(leaf.double() for leaf in head[:2]), head.target).as_dict()
    for name, value in found.items():
        torch.testing.assert_close(value.double(), exact[name].double(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("rows", [700, 1500])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_bytes_are_as_foreseen(rows, softcap):
    shape = (rows, 3000, 24)
    told = plan(*shape, HALF, softcap=softcap is not None)
    assert told.on_units
    assert "units" in str(told)
    head = make(*shape, HALF)
    spent = measure(
        lambda: linear_cross_entropy(*head[:2], head.target, softcap=softcap).backward()
    )
    beyond = spent.bytes - sum(leaf.grad.nbytes for leaf in head[:2])
    assert 0.75 * told.bytes <= beyond <= 1.15 * told.bytes


def test_only_large_heads_in_bfloat16_on_a_cpu_that_has_them_use_units(monkeypatch):
    sizes = (512, 4000, 64)
    monkeypatch.setattr(bfloat16_units, "LEAST_PRODUCT", 2**26)
    assert plan(*sizes, HALF).on_units
    assert not plan(64, 1000, 32, HALF).on_units
    assert not plan(*sizes).on_units
    assert not plan(*sizes, HALF, "cuda").on_units
    monkeypatch.setattr(bfloat16_units, "AVAILABLE", False)
    assert not plan(*sizes, HALF).on_units
    assert "units" not in str(plan(*sizes, HALF))
