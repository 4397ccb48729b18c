"""Attempts before an imperfect judge: curves and words are those of the law and the analysis."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import pass_at_n, resampling_reward
from lossviz.theory import resampling_ceiling
from lossviz.widgets import resampling
from lossviz.widgets.chapters.resampling import MOST

from .test_live_numbers import assert_same, read

SIGNALS = """
() => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  return ['found', 'fluke', 'perfect', 'ceiling'].map((name) => view.signal(name));
}"""


def test_curves_and_words_are_those_of_the_law_and_of_the_analysis(show):
    page = show(resampling().html())
    for wrongly, right in ((0.1, 0.2), (0, 0.5), (1, 0.02), (0.37, 0.98)):
        signals = {"wrongly": wrongly, "right": right, "attempts": 5}
        drawn = read(page, signals, tries=["found", "fluke", "perfect"], law=["right", "ceiling"])
        for name, worth in (("found", (1.0, 0.0)), ("fluke", (0.0, 1.0))):
            truth = resampling_reward(
                [right], [1.0], attempts=MOST, soundness=1 - wrongly,
                value_correct=worth[0], value_fluke=worth[1],
            )  # fmt: skip
            assert_same(drawn["tries"][name], truth.reward)
        chance = torch.tensor([right], dtype=torch.float64)
        perfect = torch.cat([pass_at_n(chance, n) for n in range(1, MOST + 1)])
        assert_same(drawn["tries"]["perfect"], perfect)
        ceiling = resampling_ceiling(drawn["law"]["right"], completeness=1.0, soundness=1 - wrongly)
        assert_same(drawn["law"]["ceiling"], ceiling)
        said = torch.tensor(page.evaluate(SIGNALS), dtype=torch.float64)
        now = [drawn["tries"][name][4] for name in ("found", "fluke", "perfect")]
        here = resampling_ceiling(chance, completeness=1.0, soundness=1 - wrongly)
        assert_same(said, torch.cat([torch.stack(now), here]))


def test_every_control_changes_picture_and_words(show):
    drawn = resampling()
    page = show(drawn.html())
    stage = page.locator(".lossviz-stage")
    for control in drawn.controls:
        before = stage.locator("svg").evaluate("(svg) => svg.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        page.get_by_label(control.label, exact=True).press("ArrowRight")
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words", arg=words
        )
        assert stage.locator("svg").evaluate("(svg) => svg.outerHTML") != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"false_positive": 1.1}, r"false_positive must lie in \[0, 1\], got 1.1"),
        ({"right": 0}, r"right must lie in \[0.02, 0.98\], got 0"),
        ({"attempts": 65}, r"attempts must lie in \[1, 64\], got 65"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        resampling(**change)
