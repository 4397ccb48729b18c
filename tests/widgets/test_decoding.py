"""Mirostat in the page draws the words that `lossviz.analysis.Mirostat` draws."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import Mirostat
from lossviz.experiments.text import commonest, genesis, sentence, word_pairs
from lossviz.widgets import decoding
from lossviz.widgets.chapters.decoding import LENGTH, followers, uniforms

from .test_live_numbers import read


def pairs():
    tokens = genesis()
    return word_pairs(tokens, commonest(tokens, 120))


def drawn(target: float, rate: float, number: int) -> tuple[torch.Tensor, ...]:
    """Words, their surprise and the threshold before each."""
    known, state = pairs(), Mirostat(target, rate=rate or 1.0)
    logits = torch.full(known.counts.shape, -torch.inf, dtype=torch.float64)
    for word, (following, mass) in enumerate(zip(*followers(known), strict=True)):
        logits[word, following] = torch.tensor(mass).diff().double().log()
    word, steps = torch.tensor(known.first), []
    for uniform in uniforms(0)[number - 1]:
        mu = state.mu
        step = state.step(logits[word], uniform)
        if rate == 0:
            state.mu = mu
        word = step.token
        steps.append((word, step.surprise, mu))
    return tuple(torch.stack(column) for column in zip(*steps, strict=True))


@pytest.fixture
def figure(without_stills):
    return decoding(pairs())


def test_words_surprise_and_threshold_are_those_of_the_analysis(figure, show):
    page = show(figure.html())
    known = pairs()
    for target in (0.5, 2.0, 3.0, 4.5, 6.0):
        for rate in (0.0, 0.35, 1.0):
            for number in (1, 5):
                signals = {"target": target, "rate": rate, "number": number}
                found = read(page, signals, steps=["surprise", "mu", "mean"])["steps"]
                words, surprise, mu = drawn(target, rate, number)
                torch.testing.assert_close(found["surprise"], surprise, rtol=1e-9, atol=1e-10)
                torch.testing.assert_close(found["mu"], mu, rtol=1e-9, atol=1e-10)
                mean = surprise.cumsum(0) / torch.arange(1, LENGTH + 1)
                torch.testing.assert_close(found["mean"], mean, rtol=1e-9, atol=1e-10)
                read_out = page.locator(".lossviz-readout").inner_text()
                assert sentence(known.words, words) in " ".join(read_out.split())


def test_every_control_changes_picture_and_words(figure, show):
    page = show(figure.html())
    stage = page.locator(".lossviz-stage")
    for control in figure.controls:
        before = stage.locator("svg").evaluate("(svg) => svg.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        key = "ArrowRight" if control.signal == "number" else "ArrowLeft"
        page.get_by_label(control.label, exact=True).press(key)
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words", arg=words
        )
        assert stage.locator("svg").evaluate("(svg) => svg.outerHTML") != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 0.0}, "target must lie in"),
        ({"rate": 1.5}, "rate in"),
        ({"pairs": pairs()._replace(counts=torch.zeros(120, 120).long())}, "followed by one"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        decoding(**{"pairs": pairs(), **change})
