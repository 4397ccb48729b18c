"""Calibrators on shifted copies: bins, errors and scores are those of `lossviz.analysis`."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import ece, equal_width, sums_in_bins, top_label
from lossviz.losses import cross_entropy
from lossviz.widgets import LiveFigure, calibrators

from .controls import move_each
from .test_live_numbers import read

SHIFTS = {"rotation": ("0°", "20°", "40°"), "noise": ("none", "some", "much")}
BINS = 10
CELL = """
() => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  const {accuracy, said, error, score} = view.signal('now');
  return [accuracy, said, error, score];
}"""


def sample() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Logits that get worse with the strength, hotter and cooler; some rows lie on an edge."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(3, (60,), generator=generator)
    logits = 2 * torch.randn(2, 3, 60, 3, generator=generator, dtype=torch.float64)
    hint = torch.nn.functional.one_hot(target, 3) * torch.tensor([4.0, 2.0, 0.5])[:, None, None]
    logits += hint
    logits[..., ::6, :] = torch.tensor([0.0, 0.0, -80.0], dtype=torch.float64)
    return {"as trained": logits, "cool": logits / 3, "hot": 2 * logits}, target


def figure() -> LiveFigure:
    logits, target = sample()
    return calibrators(logits, target, shifts=SHIFTS, calibrator="cool", strength=1)


def test_bins_scores_and_curves_are_those_of_the_analysis(show):
    logits, target = sample()
    page = show(figure().html())
    for name, z in logits.items():
        for number, kind in enumerate(SHIFTS):
            for strength in range(3):
                signals = {"calibrator": name, "shift": kind, "strength": strength}
                drawn = read(
                    page, signals, bins=["rows", "said", "right"], scores=["score", "before"]
                )
                truth = top_label(z[number, strength], target, kind="logits")
                sums = sums_in_bins(*truth, equal_width(BINS, truth.confidence))
                held = sums.rows > 0
                order = drawn["bins"]["said"].argsort()
                wanted = {
                    "rows": sums.rows[held].double(),
                    "said": (sums.confidence / sums.rows)[held],
                    "right": (sums.correct / sums.rows)[held],
                }
                for key, want in wanted.items():
                    found = drawn["bins"][key][order]
                    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-9)
                score = cross_entropy(z[number, strength], target).item()
                before = cross_entropy(logits["as trained"][number, strength], target).item()
                assert drawn["scores"]["score"][strength].item() == pytest.approx(score, abs=1e-9)
                assert drawn["scores"]["before"][strength].item() == pytest.approx(before, abs=1e-9)
                cell = (
                    truth.correct.double().mean().item(),
                    truth.confidence.mean().item(),
                    ece(*truth, bins=BINS).item(),
                    score,
                )
                assert page.evaluate(CELL) == pytest.approx(cell, abs=1e-9)


def test_every_control_changes_picture_and_words(show):
    drawn = figure()
    page = show(drawn.html())
    move_each(page, drawn, "ArrowRight")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibrator": "warm"}, "calibrator must be one of .*, got 'warm'"),
        ({"strength": 3}, r"strength must be an int in \[0, 2\], got 3"),
        ({"target": torch.zeros(5, dtype=torch.long)}, r"must have shape \(2, 3, 5, K\)"),
        ({"logits": {"sure": torch.full((2, 3, 60, 3), -torch.inf)}}, "finite largest"),
        (
            {"logits": {"no": torch.tensor([0, 0, -torch.inf]).expand(2, 3, 60, 3)}},
            "the log score of 'no' must be finite",
        ),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    logits, target = sample()
    with pytest.raises(ValueError, match=message):
        calibrators(**{"logits": logits, "target": target, "shifts": SHIFTS, **change})
