"""The figure of large steps: its numbers are those of the torch algorithms."""

from __future__ import annotations

import pytest
import torch

from lossviz.experiments.perceptron import (
    batch_perceptron,
    first_separation,
    lr_gd_perceptron,
    normalized_lr_gd,
)
from lossviz.widgets import large_steps
from lossviz.widgets.chapters.steps import STEPS, points

from ..rest import rest

pytestmark = pytest.mark.usefixtures("without_stills")
SIGNALS = """async ([signals, wanted]) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  await view.runAsync();
  return wanted.map((name) => view.signal(name));
}"""
ALGORITHMS = {"plain": lr_gd_perceptron, "normalised": normalized_lr_gd}


@pytest.mark.parametrize("descent", ALGORITHMS)
def test_path_losses_and_mistakes_are_those_of_the_torch_functions(descent, show):
    page = show(large_steps(descent=descent).html())
    features, signs = points()
    rival = batch_perceptron(features, signs, steps=STEPS, normalized=descent == "normalised")
    for power in (-1, -0.35, 1, 2.2, 3):
        found = page.evaluate(
            SIGNALS, [{"power": power}, ["walk", "losses", "mistakes", "rival", "readout"]]
        )
        walk, losses, mistakes, drawn = (
            torch.tensor(one, dtype=torch.float64) for one in found[:4]
        )
        expected = ALGORITHMS[descent](features, signs, step_size=10.0**power, steps=STEPS)
        margins = (expected @ features.T) * signs
        torch.testing.assert_close(walk, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            losses, torch.nn.functional.softplus(-margins).mean(1), rtol=1e-9, atol=1e-12
        )
        torch.testing.assert_close(mistakes, (margins <= 0).sum(1).double())
        torch.testing.assert_close(drawn, rival)
        end = first_separation(expected, features, signs)
        if end is None:
            assert f"still mistakes at step {STEPS}" in found[4]
        else:
            assert f"first without a mistake at step {end}, the perceptron" in found[4]
        end = first_separation(rival, features, signs)
        assert f"the perceptron at step {end}." in found[4]


def test_every_control_has_a_label_and_changes_picture_and_words(show):
    figure = large_steps(step_size=3.0, step=2)
    page = show(figure.html())
    for control in figure.controls:
        before = page.locator(".lossviz-stage svg").evaluate("(node) => node.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        field = page.get_by_label(control.label, exact=True)
        if control.kind == "choice":
            field.select_option("normalised")
        else:
            field.press("ArrowRight")
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').innerText !== words", arg=words
        )
        rest(page)
        after = page.locator(".lossviz-stage svg").evaluate("(node) => node.outerHTML")
        assert after != before, control.label


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 0.0}, r"step_size must lie in \[0.1, 1000\], got 0.0"),
        ({"step": 25}, r"step must be an int in \[0, 24\], got 25"),
        ({"descent": "steep"}, "descent must be 'plain' or 'normalised', got 'steep'"),
    ],
)
def test_argument_out_of_range_is_a_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        large_steps(**options)
