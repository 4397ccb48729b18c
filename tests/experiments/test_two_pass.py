"""The two-pass softmax against torch's and against exact arithmetic."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.experiments.two_pass import (
    LANES,
    Scaled,
    add,
    scaled_exp,
    sum_of_exp,
    two_pass_log_sum_exp,
    two_pass_softmax,
)

DTYPES = (torch.float32, torch.float64)


def exact(scaled: Scaled) -> mpmath.mpf:
    """The number a pair stands for, to 50 digits."""
    return mpmath.ldexp(mpmath.mpf(float(scaled.mantissa)), int(scaled.exponent))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("x", [0.0, 1.0, -0.34657, 88.8, -103.9, 710.0, 1000.0, -9999.5, 1e4])
def test_the_exponential_keeps_its_digits_far_beyond_overflow(dtype: torch.dtype, x: float) -> None:
    point = torch.tensor(x, dtype=dtype)
    pair = scaled_exp(point)
    assert math.sqrt(0.5) * 0.999 < float(pair.mantissa) < math.sqrt(2) * 1.001
    with mpmath.workdps(50):
        error = abs(exact(pair) / mpmath.exp(mpmath.mpf(float(point))) - 1)
    assert error < 12 * torch.finfo(dtype).eps


@given(st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_pairs_add_as_numbers_do(x: float, y: float) -> None:
    a, b = (scaled_exp(torch.tensor(value, dtype=torch.float64)) for value in (x, y))
    with mpmath.workdps(50):
        error = abs(exact(add(a, b)) / (exact(a) + exact(b)) - 1)
    assert error < 2e-16


def test_zero_is_neutral() -> None:
    zero = scaled_exp(torch.tensor(-torch.inf))
    one = scaled_exp(torch.tensor(0.3))
    assert add(zero, one) == one and add(one, zero) == one
    assert float(add(zero, zero).log()) == -math.inf


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("classes", [1, 2, 3, LANES - 1, LANES, LANES + 1, 5 * LANES + 7])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_it_is_the_softmax(dtype: torch.dtype, classes: int, spread: float) -> None:
    logits = spread * torch.randn(6, classes, generator=torch.Generator().manual_seed(0))
    logits = logits.to(dtype)
    truth = torch.softmax(logits.double(), -1)
    eps = torch.finfo(dtype).eps
    close = {"rtol": 64 * eps, "atol": torch.finfo(dtype).tiny}
    torch.testing.assert_close(two_pass_softmax(logits).double(), truth, **close)
    lse = torch.logsumexp(logits.double(), -1)
    torch.testing.assert_close(
        two_pass_log_sum_exp(logits).double(), lse, rtol=8 * eps, atol=8 * eps
    )


def test_an_offset_that_overflows_the_plain_exponential_changes_nothing() -> None:
    logits = torch.tensor([2.0, 1.5, -8.0])
    assert torch.exp(logits + 998).isinf().all()
    torch.testing.assert_close(two_pass_softmax(logits + 998), torch.softmax(logits, -1))
    torch.testing.assert_close(two_pass_softmax(logits - 9998), torch.softmax(logits, -1))


def test_classes_of_probability_zero() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 1.0], [-torch.inf] * 3])
    ours, theirs = two_pass_softmax(logits), torch.softmax(logits, -1)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
    assert float(two_pass_log_sum_exp(logits)[1]) == -math.inf


def test_nan_comes_through() -> None:
    logits = torch.tensor([0.0, torch.nan, 1.0])
    assert two_pass_softmax(logits).isnan().all() and two_pass_log_sum_exp(logits).isnan()


@pytest.mark.parametrize("mask", [-1e30, torch.finfo(torch.float32).min, -torch.inf])
def test_masked_entries_count_as_0(mask: float) -> None:
    logits = torch.tensor([1.0, 2.0, mask])
    torch.testing.assert_close(two_pass_softmax(logits), torch.softmax(logits, -1))
    torch.testing.assert_close(two_pass_log_sum_exp(logits), torch.logsumexp(logits, -1))
    if mask > -torch.inf:
        torch.testing.assert_close(two_pass_softmax(torch.full((2,), mask)), torch.full((2,), 0.5))


def test_an_infinite_entry_is_the_whole_sum() -> None:
    logits = torch.tensor([torch.inf, 1.0])
    assert two_pass_log_sum_exp(logits) == torch.inf
    assert two_pass_softmax(logits)[0].isnan()


def test_it_compiles_in_one_graph() -> None:
    logits = torch.randn(3, 700)
    compiled = torch.compile(two_pass_softmax, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits), two_pass_softmax(logits))


def test_gradients_are_those_of_the_softmax() -> None:
    logits = torch.randn(3, 300, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 300, dtype=torch.float64)
    for ours, theirs in (
        (two_pass_softmax(logits), torch.softmax(logits, -1)),
        (two_pass_log_sum_exp(logits)[:, None], torch.logsumexp(logits, -1, keepdim=True)),
    ):
        gradients = [torch.autograd.grad((weight * v).sum(), logits)[0] for v in (ours, theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_the_sum_reads_its_input_once() -> None:
    class Counting(torch.Tensor):
        """Counts the elements handed out in blocks."""

        read = 0

        def split(self, size: int, dim: int = 0) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
            blocks = self.as_subclass(torch.Tensor).split(size, dim)
            Counting.read += sum(block.numel() for block in blocks)
            return blocks

    logits = torch.randn(2, 1000).as_subclass(Counting)
    sum_of_exp(logits)
    assert Counting.read == logits.numel()


@pytest.mark.parametrize(
    ("logits", "error"),
    [
        (torch.zeros(3, dtype=torch.float16), TypeError),
        (torch.zeros(3, dtype=torch.int64), TypeError),
        (torch.tensor(1.0), ValueError),
        (torch.zeros(2, 0), ValueError),
    ],
)
def test_bad_logits_are_named(logits: torch.Tensor, error: type[Exception]) -> None:
    for function in (two_pass_softmax, two_pass_log_sum_exp):
        with pytest.raises(error, match="logits"):
            function(logits)
