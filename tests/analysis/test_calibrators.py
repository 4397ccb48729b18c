"""Calibrators find known truths, keep what they should keep, and say when there is no answer."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lossviz.analysis import (
    BetaCalibration,
    DirichletScaling,
    HistogramBinning,
    IsotonicCalibration,
    MatrixScaling,
    OneVersusRest,
    PlattScaling,
    TemperatureScaling,
    VectorScaling,
)
from lossviz.losses import cross_entropy

SCALINGS = (TemperatureScaling, VectorScaling, MatrixScaling, DirichletScaling)
BINARY = (BetaCalibration, PlattScaling, IsotonicCalibration, HistogramBinning)
each_scaling = pytest.mark.parametrize("make", SCALINGS)
each_binary = pytest.mark.parametrize("make", BINARY)


def rows(count=3000, classes=4, temperature=2.5):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    chances = (logits / temperature).softmax(-1)
    return logits, torch.multinomial(chances, 1, generator=generator)[:, 0]


@each_scaling
def test_a_calibrator_lowers_the_log_score_that_it_minimises(make):
    logits, y = rows()
    fitted = make().fit(logits, y)
    assert cross_entropy(fitted.transform(logits), y) < cross_entropy(logits, y) - 0.1


@each_scaling
def test_the_optimum_is_where_no_small_step_helps(make):
    logits, y = rows(400)
    fitted = make().fit(logits, y)
    best = cross_entropy(fitted.transform(logits), y)
    generator = torch.Generator().manual_seed(1)
    for name, value in fitted.parameters.items():
        for size in (1e-3, 1e-1):
            step = size * torch.randn(value.shape, generator=generator, dtype=torch.float64)
            moved = make(**{**fitted.parameters, name: value + step})
            assert cross_entropy(moved.transform(logits), y) >= best - 1e-9


def test_the_temperature_is_the_root_of_its_slope():
    logits, y = rows()
    t = TemperatureScaling().fit(logits, y).parameters["temperature"]
    leaf = t.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(logits / leaf, y), leaf)
    assert abs(slope) < 1e-12
    assert abs(t - 2.5) < 0.2


def test_vector_scaling_contains_temperature_scaling_and_matrix_scaling_contains_both():
    logits, y = rows(400)
    values = [cross_entropy(make().fit(logits, y).transform(logits), y) for make in SCALINGS[:3]]
    assert values[0] >= values[1] >= values[2]


def test_matrix_scaling_is_multinomial_logistic_regression():
    logits, y = rows(300)
    ours = MatrixScaling().fit(logits, y).transform(logits).softmax(-1)
    theirs = LogisticRegression(C=1e8, tol=1e-10, max_iter=5000).fit(logits, y)
    torch.testing.assert_close(
        ours, torch.from_numpy(theirs.predict_proba(logits)), atol=1e-4, rtol=0
    )


@each_scaling
def test_what_is_saved_and_loaded_gives_the_same(make):
    logits, y = rows(300)
    fitted = make().fit(logits, y)
    again = make(**fitted.parameters)
    assert torch.equal(again.transform(logits), fitted.transform(logits))
    assert fitted.transform(logits.float()).dtype == torch.float32
    assert fitted.transform(logits[0]).shape == logits[0].shape


@each_scaling
def test_ignored_rows_do_not_count(make):
    logits, y = rows(400)
    y[::3] = -100
    kept = y >= 0
    a, b = make().fit(logits, y), make().fit(logits[kept], y[kept])
    for name, value in a.parameters.items():
        torch.testing.assert_close(value, b.parameters[name])


@each_scaling
def test_separable_rows_have_no_best_calibrator(make):
    logits = 3 * torch.eye(3, dtype=torch.float64).repeat(4, 1)
    with pytest.raises(RuntimeError, match="hold out more rows"):
        make().fit(logits, torch.arange(3).repeat(4))


def test_logits_that_say_the_opposite_have_no_temperature():
    logits = torch.eye(2, dtype=torch.float64).repeat(5, 1)
    with pytest.raises(RuntimeError, match="infinity"):
        TemperatureScaling().fit(logits, torch.tensor([1, 0]).repeat(5))


def test_equal_logits_have_no_temperature_that_is_better():
    with pytest.raises(RuntimeError, match="all equal"):
        TemperatureScaling().fit(torch.ones(4, 3), torch.arange(4) % 3)


def test_a_penalty_makes_separable_rows_solvable():
    logits = 3 * torch.eye(3, dtype=torch.float64).repeat(4, 1) + 0.1
    y = torch.arange(3).repeat(4)
    y[0] = 1
    free = MatrixScaling(off_diagonal_penalty=0.1, bias_penalty=0.1).fit(logits, y)
    assert all(value.isfinite().all() for value in free.parameters.values())


def chances(count=4000):
    generator = torch.Generator().manual_seed(2)
    p = torch.rand(count, generator=generator, dtype=torch.float64)
    return p, torch.rand(count, generator=generator, dtype=torch.float64) < p**2


@each_binary
def test_a_binary_calibrator_comes_near_the_truth(make):
    p, truth = chances()
    assert (make().fit(p, truth).transform(p) - p**2).abs().mean() < 0.04


def test_beta_calibration_keeps_its_slopes_from_being_negative():
    p, truth = chances()
    fitted = BetaCalibration().fit(p, ~truth)
    a, b, _ = (fitted.parameters[name] for name in "abc")
    assert a == 0
    assert b == 0
    assert fitted.transform(p).std() < 1e-12


def test_platt_scaling_is_beta_calibration_with_equal_slopes():
    p, truth = chances()
    platt = PlattScaling().fit(p, truth).parameters
    same = BetaCalibration(a=platt["a"], b=platt["a"], c=platt["b"])
    torch.testing.assert_close(same.transform(p), PlattScaling(**platt).transform(p))


def test_isotonic_calibration_is_that_of_scikit_learn_also_between_and_beyond():
    from sklearn.isotonic import IsotonicRegression

    p, truth = chances(200)
    p = p * 0.5 + 0.25
    at = torch.linspace(0, 1, 501, dtype=torch.float64)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(p.numpy(), truth.double().numpy())
    ours = IsotonicCalibration().fit(p, truth).transform(at)
    torch.testing.assert_close(ours, torch.from_numpy(theirs.predict(at.numpy())))


@each_binary
def test_probabilities_of_zero_and_one_stay_probabilities(make):
    p, truth = chances(100)
    p[:2], truth[:2] = torch.tensor([0.0, 1.0]), torch.tensor([False, True])
    q = make().fit(p, truth).transform(torch.tensor([0.0, 1.0]))
    assert ((q >= 0) & (q <= 1)).all()


@each_binary
def test_calibrators_are_fitted_in_inference_mode_as_outside(make):
    p, truth = chances(400)
    outside = make().fit(p, truth).transform(p)
    with torch.inference_mode():
        inside = make().fit(p.clone(), truth.clone()).transform(p)
    assert torch.equal(inside, outside)


@each_binary
def test_bad_rows_are_refused_and_an_unfitted_calibrator_says_so(make):
    with pytest.raises(RuntimeError, match="fit"):
        make().transform(torch.tensor([0.5]))
    with pytest.raises(ValueError, match="at least one row"):
        make().fit(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="0, 1"):
        make().fit(torch.tensor([1.5, 0.5]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="NaN"):
        make().fit(torch.tensor([math.nan, 0.5]), torch.tensor([0, 1]))


def test_one_calibrator_for_each_class_gives_distributions():
    logits, y = rows(500)
    p = logits.softmax(-1)
    fitted = OneVersusRest(IsotonicCalibration).fit(p, y)
    torch.testing.assert_close(fitted.transform(p).sum(-1), torch.ones(500).double())
    with pytest.raises(ValueError, match="4 classes"):
        fitted.transform(p[:, :3])


@each_scaling
def test_scalings_are_fitted_in_inference_mode_as_outside(make):
    logits, y = rows(400)
    outside = make().fit(logits, y).transform(logits)
    with torch.inference_mode():
        assert torch.equal(make().fit(logits.clone(), y.clone()).transform(logits), outside)


@pytest.mark.parametrize("make", SCALINGS)
def test_bad_logits_are_refused(make):
    fitted = make().fit(*rows(400))
    with pytest.raises(TypeError, match="logits"):
        fitted.transform(torch.ones(2, 3, dtype=torch.long))
    if fitted.parameters.keys() != {"temperature"}:
        with pytest.raises(ValueError, match="classes of the fit"):
            fitted.transform(torch.zeros(2, 1))
    logits, y = rows(20)
    with pytest.raises(RuntimeError, match="fit"):
        make().transform(logits)
    with pytest.raises(ValueError, match="finite"):
        make().fit(logits * math.nan, y)
    with pytest.raises(ValueError, match="got none"):
        make().fit(logits, torch.full((20,), -100))
