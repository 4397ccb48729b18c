"""The coupling in the picture is that of `lossviz.analysis.information`."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis.information import entropy_bits, greedy_bottleneck, greedy_coupling
from lossviz.widgets import coupled
from lossviz.widgets.chapters.coupled import RATES, SYMBOLS, masses

from .controls import move_each
from .test_live_numbers import read


@pytest.fixture(scope="module")
def figure():
    return coupled()


def test_coupling_and_information_are_those_of_the_analysis(figure, show, without_stills):
    page = show(figure.html())
    for first, second, rate in ((0, 0, 2.6), (0.3, 0.5, 1.6), (0.7, 0.7, 2.6), (1, 0.2, 0.9)):
        signals = {"first": first, "second": second, "rate": rate, "pairing": "greedily"}
        drawn = read(page, signals, cells=["mass"], rates=["rate", "entropy", "told"])
        p, q = masses(first), masses(second)
        t = greedy_bottleneck(p, rate_bits=rate)
        joint = torch.nn.functional.pad(greedy_coupling(t, q).joint, (0, 0, 0, SYMBOLS - len(t)))
        torch.testing.assert_close(drawn["cells"]["mass"], joint.flatten(), rtol=1e-9, atol=1e-12)
        for place in range(0, RATES + 1, 4):
            t = greedy_bottleneck(p, rate_bits=place / 10)
            wanted = torch.stack([entropy_bits(t), greedy_coupling(t, q).information_bits])
            found = torch.stack([drawn["rates"][field][place] for field in ("entropy", "told")])
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_independent_pairs_are_the_product_and_tell_nothing(figure, show, without_stills):
    page = show(figure.html())
    signals = {"first": 0.3, "second": 0.5, "rate": 2.6, "pairing": "independently"}
    drawn = read(page, signals, cells=["mass"], rates=["told"])
    product = masses(0.3).sort(descending=True).values[:, None] * masses(0.5)
    torch.testing.assert_close(drawn["cells"]["mass"], product.flatten(), rtol=1e-9, atol=1e-12)
    assert (drawn["rates"]["told"] == 0).all()


def test_every_control_changes_picture_and_words(figure, show, without_stills):
    page = show(figure.html())
    move_each(page, figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": 1.5}, "first and second must lie in"),
        ({"rate": 3.0}, "rate in"),
        ({"pairing": "none"}, "pairing must be one of"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        coupled(**change)
