"""The reliability diagram: its bins and its null are those of `lossviz.analysis`."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import (
    Confidence,
    calibrated_null,
    ece,
    ece_equal_mass,
    equal_mass,
    equal_width,
    sums_in_bins,
    top_label,
)
from lossviz.widgets import reliability
from lossviz.widgets.chapters.reliability import DIGITS, MOST, TEMPERATURES

from .controls import move_each
from .test_live_numbers import read

ERRORS = {"equal width": ece, "equal mass": ece_equal_mass}
EDGES = {
    "equal width": lambda c, bins: equal_width(bins, c),
    "equal mass": lambda c, bins: equal_mass(c, bins),
}


def sample(rows: int = 330) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels that they do not foresee well; many rows are equal."""
    generator = torch.Generator().manual_seed(0)
    logits = (2 * torch.randn(rows, 3, generator=generator)).round(decimals=1)
    logits[::5] = torch.tensor([0.0, 0.0, -80.0])  # a confidence of 1/2, which is an edge
    logits[1::7] = torch.tensor([0.0, 90.0, 0.0])  # and one of 1
    return logits, torch.randint(3, (rows,), generator=generator)


def rounded(logits: torch.Tensor, target: torch.Tensor, number: int, size: int) -> Confidence:
    """The confidences that the figure is drawn from."""
    found = top_label(logits.double() / TEMPERATURES[number], target, kind="logits")
    return Confidence(found.confidence[:size].round(decimals=DIGITS), found.correct[:size])


@pytest.fixture
def figure():
    return reliability(*sample())


@pytest.mark.parametrize("rule", ERRORS)
def test_bins_and_their_error_are_those_of_the_analysis(rule, figure, show):
    logits, target = sample()
    page = show(figure.html())
    for number in (0, 2, 5, 6):
        for rows, size in ((0, 41), (2, 165), (3, 330)):
            truth = rounded(logits, target, number, size)
            for bins in (1, 2, 3, 10, 15, 37, MOST):
                signals = {"edges": rule, "temperature": (number - 2) / 2, "rows": rows}
                signals["bins"] = bins
                drawn = read(page, signals, bins=["bin", "rows", "said", "right"], total=["error"])
                sums = sums_in_bins(*truth, EDGES[rule](truth.confidence, bins))
                held = sums.rows > 0
                order = drawn["bins"]["bin"].argsort()
                wanted = {
                    "rows": sums.rows[held].double(),
                    "said": (sums.confidence / sums.rows)[held],
                    "right": (sums.correct / sums.rows)[held],
                }
                for name, want in wanted.items():
                    found = drawn["bins"][name][order]
                    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)
                want = ERRORS[rule](*truth, bins=bins)
                assert drawn["total"]["error"].item() == pytest.approx(want.item(), abs=1e-9)


@pytest.mark.parametrize("rule", ERRORS)
def test_curves_are_the_measured_errors_and_those_of_a_calibrated_model(rule, figure, show):
    page = show(figure.html())
    truth = rounded(*sample(), number=4, size=165)
    signals = {"edges": rule, "temperature": 1, "rows": 2}
    curves = read(page, signals, over_bins=["count", "measured", "mean", "high"])["over_bins"]
    for bins in (1, 7, 15, MOST):

        def error(c, a, bins=bins):
            return ERRORS[rule](c, a, bins=bins)

        null = calibrated_null(error, *truth, repeats=400, level=0.9, seed=1)
        assert curves["count"][bins - 1] == bins
        assert curves["measured"][bins - 1].item() == pytest.approx(null.value.item(), abs=5.1e-5)
        # two samples of 400 draws
        assert curves["mean"][bins - 1].item() == pytest.approx(null.mean.item(), rel=0.1)
        assert curves["high"][bins - 1].item() == pytest.approx(null.high.item(), rel=0.15)


def test_every_control_changes_picture_and_words(figure, show):
    page = show(figure.html())
    move_each(page, figure)


def test_still_picture_is_small_and_the_global_generator_stays(figure):
    assert len(figure.still()) < 30_000
    before = torch.get_rng_state()
    reliability(*sample(), draws=2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 41}, r"bins must be an int in \[1, 40\], got 41"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"logits": torch.zeros(319, 3)}, r"at least 320 rows, got \(319, 3\)"),
        ({"logits": torch.full((330, 3), torch.nan)}, "predictions must not hold NaN"),
        ({"target": torch.full((330,), 3)}, "3"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    logits, target = sample()
    with pytest.raises(ValueError, match=message):
        reliability(**{"logits": logits, "target": target, **change})
