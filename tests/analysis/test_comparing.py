"""Structured and correctness-aware calibrators, and comparisons on held-out rows."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis import (
    CorrectnessAware,
    DirichletScaling,
    IsotonicCalibration,
    OneVersusRest,
    StructuredScaling,
    TemperatureScaling,
    ca_features,
    compare_calibrators,
    cross_fit,
    refinement,
    top_label,
)
from lossviz.losses import ca_loss, cross_entropy

from .test_calibrators import rows


def test_structured_scaling_lies_between_temperature_and_dirichlet_scaling():
    z, y = rows(600)
    hard, free = StructuredScaling(ridge=1e9).fit(z, y), StructuredScaling(ridge=0.0).fit(z, y)
    temperature = TemperatureScaling().fit(z, y).parameters["temperature"]
    torch.testing.assert_close(1 / hard.parameters["scale"], temperature, rtol=1e-5, atol=0)
    least = cross_entropy(DirichletScaling().fit(z, y).transform(z), y)
    torch.testing.assert_close(cross_entropy(free.transform(z), y), least, rtol=1e-7, atol=0)
    usual = cross_entropy(StructuredScaling().fit(z, y).transform(z), y)
    assert least < usual < cross_entropy(hard.transform(z), y)


def test_structured_scaling_stays_near_temperature_scaling_on_few_rows_and_leaves_it_on_many():
    z, y = rows(20_000)
    skewed = z + torch.tensor([2.0, 0.0, 0.0, 0.0])  # one bias that no temperature mends
    sizes = []
    for count in (40, 20_000):
        fitted = StructuredScaling(ridge=10.0).fit(skewed[:count], y[:count])
        sizes.append(fitted.parameters["bias"].abs().max())
    assert sizes[0] < 0.2 < 0.5 < sizes[1]


def test_features_are_the_copies_probabilities_of_the_inputs_likeliest_classes():
    views = torch.tensor([[0.1, 0.6, 0.3], [0.2, 0.3, 0.5], [0.9, 0.1, 0.0]])
    expected = torch.tensor([0.3, 0.5, 0.1, 0.0]).double()
    torch.testing.assert_close(ca_features(views, top=2), expected, rtol=0, atol=1e-7)
    assert ca_features(views).shape == (6,)  # three classes are all there are
    assert ca_features(views[:, None].expand(3, 7, 3)).shape == (7, 6)
    with pytest.raises(ValueError, match="with V"):
        ca_features(views[:1])


def copied(count=2000, seed=0):
    """Rows that are right where a noisy copy agrees, and logits that do not show it."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 4, generator=generator).double()
    agrees = torch.rand(count, generator=generator) < 0.6
    z = z + 4 * torch.nn.functional.one_hot(z.argmax(-1), 4)
    best = z.argmax(-1)
    other = (best + 1 + torch.randint(3, (count,), generator=generator)) % 4
    label = torch.where(agrees, best, other)
    copies = torch.nn.functional.one_hot(label, 4).double()[None] * 3 + torch.randn(
        2, count, 4, generator=generator
    )
    return z, label, copies


def test_with_copies_that_show_mistakes_wrong_rows_become_unsure_and_right_ones_sure():
    z, y, copies = copied()
    half = len(z) // 2
    fitted = CorrectnessAware().fit(z[:half], y[:half], copies=copies[:, :half])
    new, seen, label = z[half:], copies[:, half:], y[half:]
    after = fitted.transform(new, copies=seen)
    assert torch.equal(after.argmax(-1), new.argmax(-1))
    alone = TemperatureScaling().fit(z[:half], y[:half]).transform(new)
    assert ca_loss(after, label) < 0.6 * ca_loss(alone, label)
    c, right = top_label(after, label, kind="logits")
    assert c[right].mean() - c[~right].mean() > 0.4
    t = fitted.temperatures(new, copies=seen)
    assert 0.1 <= t.min() < 1 < t.max() <= 10


def test_a_saved_correctness_aware_calibrator_gives_the_same_logits():
    z, y, copies = copied(300)
    one = CorrectnessAware(steps=50).fit(z, y, copies=copies)
    again = CorrectnessAware(steps=50).fit(z, y, copies=copies)
    saved = CorrectnessAware(**{name: value.clone() for name, value in one.parameters.items()})
    for other in (again, saved):
        assert torch.equal(other.transform(z, copies=copies), one.transform(z, copies=copies))
    alone = CorrectnessAware(steps=50).fit(z, y)
    assert alone.transform(z.float()).dtype == torch.float32
    with pytest.raises(ValueError, match="right and rows"):
        CorrectnessAware(balanced=True).fit(z, z.argmax(-1))


@pytest.mark.parametrize(("fitted", "given"), [(0, 1), (2, 0), (2, 1)])
def test_only_as_many_copies_as_were_fitted_are_taken(fitted, given):
    z, y, copies = copied(60)
    seen = [copies[:count] if count else None for count in (fitted, given)]
    calibrator = CorrectnessAware(steps=1).fit(z, y, copies=seen[0])
    saved = CorrectnessAware(**calibrator.parameters)
    for one in (calibrator, saved):
        with pytest.raises(ValueError, match=f"as many as in the fit, {fitted}, got {given}"):
            one.transform(z, copies=seen[1])


def test_ignored_rows_change_no_fit():
    z, y, copies = copied(300)
    gap = torch.arange(300) % 3 == 0
    marked = torch.where(gap, -100, y)
    one = CorrectnessAware(steps=20).fit(z, marked, copies=copies)
    other = CorrectnessAware(steps=20).fit(z[~gap], y[~gap], copies=copies[:, ~gap])
    assert torch.equal(one.transform(z, copies=copies), other.transform(z, copies=copies))


def test_cross_fitting_calibrates_each_row_by_the_others():
    z, y = rows(200)
    p = cross_fit(TemperatureScaling, z, y, folds=200)  # leave one out
    others = torch.arange(200) != 7
    by_hand = TemperatureScaling().fit(z[others], y[others]).transform(z[7]).softmax(-1)
    torch.testing.assert_close(p[7], by_hand, rtol=1e-10, atol=0)
    with pytest.raises(ValueError, match="folds"):
        cross_fit(TemperatureScaling, z[:3], y[:3])


CALIBRATORS = {
    "isotonic": lambda: OneVersusRest(IsotonicCalibration),
    "temperature": TemperatureScaling,
}


def test_the_calibrator_that_was_hidden_wins_and_its_gain_is_the_calibration_part():
    z, y = rows(4000)
    found = compare_calibrators(z, y, CALIBRATORS, repeats=200)
    assert [*found] == ["temperature", "isotonic"]
    gain = found["temperature"].gain
    assert 0 < gain.low < gain.value < gain.high
    truth = cross_entropy(z, y) - cross_entropy(z / 2.5, y)
    assert abs(gain.value - truth) < 0.002
    parts = refinement(z, y, CALIBRATORS, repeats=200)
    assert parts.calibrator == "temperature"
    torch.testing.assert_close(parts.calibration.value, gain.value)
    torch.testing.assert_close(
        parts.refinement.value + parts.calibration.value, cross_entropy(z, y)
    )


@pytest.mark.parametrize("score", ["log", "brier"])
def test_calibrated_predictions_have_nothing_to_gain(score):
    z, y = rows(4000, temperature=1.0)
    parts = refinement(z, y, {"temperature": TemperatureScaling}, score=score, repeats=200)
    assert 0 <= parts.calibration.value < 1e-3
    assert parts.score.value - parts.refinement.value < 1e-3


def test_a_calibrator_without_an_optimum_comes_last_and_says_why():
    z, y = rows(100)
    found = compare_calibrators(
        30 * torch.nn.functional.one_hot(y).double(), y, CALIBRATORS, repeats=10
    )
    assert [*found] == ["isotonic", "temperature"]
    assert "goes to 0" in found["temperature"].failure
    assert math.isnan(found["temperature"].gain.value)
    with pytest.raises(ValueError, match="score"):
        refinement(z, y, CALIBRATORS, score="accuracy")


@pytest.mark.parametrize("shape", [(49,), (50, 1)])
def test_the_correctness_aware_calibrator_refuses_a_target_of_another_shape(shape):
    with pytest.raises(ValueError, match="target must have the shape of logits"):
        CorrectnessAware(steps=1).fit(torch.zeros(50, 4), torch.zeros(shape, dtype=torch.int64))
