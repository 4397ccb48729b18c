"""The figure of effective ranks: its numbers are those of `lossviz.analysis`."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import covariance_rank, rankme
from lossviz.widgets import dimensions
from lossviz.widgets.chapters.dimensions import DECAYS, OFFSETS, ROWS, dimension_features

from .test_live_numbers import read


@pytest.fixture(scope="module")
def figure():
    return dimensions()


def test_ranks_and_shares_are_those_of_the_features(figure, show):
    page = show(figure.html())
    for decay in DECAYS:
        for number, rows in enumerate(ROWS):
            for place in (0, 4, 8):
                x = dimension_features(decay, rows, OFFSETS[place])
                drawn = read(
                    page,
                    {"decay": decay, "rows": number, "massive": place - 2},
                    raw=["share"],
                    over_offsets=["offset", "raw", "centred", "covariance"],
                )
                ranks = drawn["over_offsets"]
                assert ranks["offset"][place].item() == OFFSETS[place]
                for name, value in (
                    ("raw", rankme(x)),
                    ("centred", rankme(x, centred=True)),
                    ("covariance", covariance_rank(x)),
                ):
                    torch.testing.assert_close(ranks[name][place], value, rtol=1e-9, atol=0)
                values = torch.linalg.svdvals(x)[: len(drawn["raw"]["share"])]
                torch.testing.assert_close(
                    drawn["raw"]["share"], values / values.sum(), rtol=1e-5, atol=0
                )


def test_what_is_added_to_one_feature_leaves_the_centred_numbers_alone():
    for offset in OFFSETS:
        x = dimension_features(0.5, 64, offset)
        plain = dimension_features(0.5, 64)
        torch.testing.assert_close(rankme(x, centred=True), rankme(plain, centred=True))
        torch.testing.assert_close(covariance_rank(x), covariance_rank(plain))


def test_every_control_changes_picture_and_words(figure, show):
    page = show(figure.html())
    stage = page.locator(".lossviz-stage")
    for control in figure.controls:
        before = stage.locator("svg").evaluate("(svg) => svg.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        key = "ArrowLeft" if control.value > control.start else "ArrowRight"
        page.get_by_label(control.label, exact=True).press(key)
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words", arg=words
        )
        assert stage.locator("svg").evaluate("(svg) => svg.outerHTML") != before


def test_the_still_picture_is_small_and_the_global_generator_stays(figure):
    assert len(figure.still()) < 40_000
    before = torch.get_rng_state()
    dimensions()
    assert torch.equal(torch.get_rng_state(), before)
