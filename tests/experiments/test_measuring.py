"""Bytes and products are counted as they are made."""

import pytest
import torch

from lossviz.experiments.measuring import milliseconds, multiplications, profiled


def test_the_products_of_a_linear_step_are_counted_twice_their_multiplications():
    x, w = torch.randn(8, 5), torch.randn(5, 3)
    assert multiplications(lambda: x @ w) == 8 * 5 * 3
    assert profiled(lambda: x @ w)[1] == 2 * 8 * 5 * 3


def test_the_peak_is_of_what_lives_at_once():
    def one_after_the_other():
        for _ in range(3):
            torch.empty(1000, dtype=torch.float64)

    def together():
        return [torch.empty(1000, dtype=torch.float64) for _ in range(3)]

    assert profiled(one_after_the_other)[0] == pytest.approx(8000, rel=0.05)
    assert profiled(together)[0] == pytest.approx(24000, rel=0.05)


def test_a_step_is_run_once_more_than_it_is_timed():
    calls = []
    assert milliseconds(lambda: calls.append(1), repeats=5) >= 0
    assert len(calls) == 6
