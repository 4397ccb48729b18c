"""The row of attention in the picture is torch's."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis.entropies import entropy
from lossviz.widgets import attention_row
from lossviz.widgets.chapters.attending import FEWEST, HIGH, LOW, MOST, PARTS, row

from .test_live_numbers import assert_same, read


@pytest.mark.parametrize("keys", [FEWEST, 4, MOST])
def test_weights_and_curves_are_those_of_the_softmax(keys, show, without_stills):
    page = show(attention_row().html())
    scores = row(keys)
    stops = torch.arange(round((HIGH - LOW) * PARTS) + 1).double() / PARTS + LOW
    rows = stops.exp2()[:, None] * scores
    for scale in (LOW, 0.0, 1.125, HIGH):
        signals = {"keys": keys, "scale": scale}
        drawn = read(page, signals, keys=["score", "weight"], curve=["share", "through"])
        assert_same(drawn["keys"]["score"], scores)
        assert_same(drawn["keys"]["weight"], (2**scale * scores).softmax(-1))
        assert_same(drawn["curve"]["share"], entropy(rows) / math.log(2**keys))
        assert_same(drawn["curve"]["through"], 1 - rows.softmax(-1).square().sum(-1))


def test_the_slope_in_words_is_minus_the_derivative_of_the_entropy(show, without_stills):
    page = show(attention_row(scale=0.5, keys=5).html())
    log_scale = torch.tensor(0.5 * math.log(2)).double().requires_grad_()
    entropy(log_scale.exp() * row(5)).backward()
    words = page.locator(".lossviz-readout").inner_text()
    assert f"would take {-math.log(2) * log_scale.grad.item():.3f} nats" in words


def test_every_control_changes_picture_and_words(show, without_stills):
    figure = attention_row()
    page = show(figure.html())
    stage = page.locator(".lossviz-stage")
    for control in figure.controls:
        before = stage.locator("svg").evaluate("(svg) => svg.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        page.get_by_label(control.label, exact=True).press("ArrowLeft")
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words", arg=words
        )
        assert stage.locator("svg").evaluate("(svg) => svg.outerHTML") != before


@pytest.mark.parametrize("change", [{"scale": 5.0}, {"keys": 1}, {"keys": 2.5}])
def test_bad_input_is_a_clear_error(change):
    with pytest.raises(ValueError, match="scale must lie in"):
        attention_row(**change)
