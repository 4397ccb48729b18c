"""Weights of rows: of every number that takes them, and of every fit."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from lossviz import analysis
from lossviz.analysis import (
    area_under_risk_coverage,
    auroc,
    bootstrap,
    brier_decomposition,
    brier_score,
    by_group,
    classwise_ece,
    ece,
    ece_equal_mass,
    ece_left_closed,
    equal_mass,
    kde_ece,
    log_score,
    mce,
    risk_at_coverage,
    risk_coverage,
    rmsce,
    smooth,
    smooth_ece,
    sums_in_bins,
)

ROWS = 60


def pairs(seed):
    """Confidences, many of them equal, and whether they were right."""
    generator = torch.Generator().manual_seed(seed)
    c = (torch.rand(ROWS, generator=generator, dtype=torch.float64) * 40).round() / 40
    return c, torch.rand(ROWS, generator=generator, dtype=torch.float64) < c


def forecasts(seed):
    """Probabilities of three classes, some rows of them alike, and labels."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64).softmax(-1)
    p = torch.cat((p[: ROWS // 2], p[: ROWS // 2]))
    return p, torch.multinomial(p, 1, generator=generator)[:, 0]


def whole_weights(seed):
    """From 0 to 3, as many in sum as the bins of the tests divide."""
    times = torch.randint(4, (ROWS,), generator=torch.Generator().manual_seed(seed))
    times[-1] += -int(times.sum()) % 5
    return times


def parts_of_brier(p, y, **options):
    return torch.stack(brier_decomposition(p, y, kind="probabilities", **options))


OF_ROWS = {
    "ece": (pairs, ece),
    "ece_left_closed": (pairs, ece_left_closed),
    "rmsce": (pairs, rmsce),
    "mce": (pairs, mce),
    "ece_equal_mass": (pairs, partial(ece_equal_mass, bins=5)),
    "kde_ece": (pairs, kde_ece),
    "smooth_ece": (pairs, smooth_ece),
    "auroc": (pairs, auroc),
    "classwise_ece": (forecasts, classwise_ece),
    "brier_score": (forecasts, brier_score),
    "log_score": (forecasts, log_score),
    "brier_decomposition": (forecasts, parts_of_brier),
    "brier_decomposition in bins": (forecasts, partial(parts_of_brier, bins=4)),
}
IN_STEPS = {
    "area_under_risk_coverage": (pairs, area_under_risk_coverage),
    "risk_at_coverage": (pairs, partial(risk_at_coverage, coverage=0.3)),
}
FITS = {
    "TemperatureScaling": (forecasts, analysis.TemperatureScaling),
    "VectorScaling": (forecasts, partial(analysis.VectorScaling, bias_penalty=0.1)),
    "MatrixScaling": (forecasts, partial(analysis.MatrixScaling, off_diagonal_penalty=0.1)),
    "DirichletScaling": (forecasts, analysis.DirichletScaling),
    "StructuredScaling": (forecasts, partial(analysis.StructuredScaling, ridge=0.0)),
    "BetaCalibration": (pairs, analysis.BetaCalibration),
    "PlattScaling": (pairs, analysis.PlattScaling),
    "IsotonicCalibration": (pairs, analysis.IsotonicCalibration),
    "HistogramBinning": (pairs, analysis.HistogramBinning),
    "OneVersusRest": (forecasts, lambda: analysis.OneVersusRest(analysis.PlattScaling)),
}


def calibrated(make, given, y, **options):
    """What a fitted calibrator makes of its own rows, as probabilities."""
    calibrator = make()
    logits = getattr(calibrator, "of_logits", False)
    x = 3 * given.log() if logits else given
    fitted = calibrator.fit(x[: len(y)], y, **options)
    return fitted.transform(x).softmax(-1) if logits else fitted.transform(x)


each_number = pytest.mark.parametrize("name", OF_ROWS)
each_fit = pytest.mark.parametrize("name", FITS)
each_seed = pytest.mark.parametrize("seed", range(3))


@each_number
@each_seed
def test_whole_weights_are_repeated_rows(name, seed):
    draw, number = OF_ROWS[name]
    x, y = draw(seed)
    times = whole_weights(seed)
    repeated = number(x.repeat_interleave(times, 0), y.repeat_interleave(times))
    torch.testing.assert_close(number(x, y, weight=times), repeated, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", OF_ROWS | IN_STEPS)
def test_equal_weights_change_nothing_and_the_scale_of_weights_neither(name):
    draw, number = (OF_ROWS | IN_STEPS)[name]
    x, y = draw(0)
    same = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)
    same(number(x, y, weight=torch.ones(ROWS)), number(x, y))
    w = torch.rand(ROWS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    w[::7] = 0
    weighted = number(x, y, weight=w)
    assert not torch.allclose(weighted, number(x, y), rtol=1e-6)
    for scale in (1e-9, 0.1, 3e7):
        same(number(x, y, weight=scale * w), weighted)
    rows = w > 0
    same(number(x[rows], y[rows], weight=w[rows]), weighted)


@each_seed
def test_steps_of_risk_are_among_those_of_repeated_rows(seed):
    c, a = pairs(seed)
    c = c + torch.arange(ROWS) * 1e-6  # all different
    times = whole_weights(seed)
    curve = risk_coverage(c, a, weight=times)
    every = risk_coverage(c.repeat_interleave(times), a.repeat_interleave(times))
    at = (curve.coverage * times.sum()).round().long() - 1
    torch.testing.assert_close(curve.coverage, every.coverage[at], rtol=1e-12, atol=0)
    torch.testing.assert_close(curve.risk, every.risk[at], rtol=1e-10, atol=1e-12)
    assert len(curve.risk) == (times > 0).sum()


def test_weights_of_measures_add_up_over_batches():
    p, y = forecasts(0)
    y[3] = -100
    w = whole_weights(0) + 0.5
    for number in (classwise_ece, brier_score, log_score):
        stream = number.stream()
        for rows in torch.arange(ROWS).split(17):
            stream.update(p[rows], y[rows], weight=w[rows])
        torch.testing.assert_close(stream.compute(), number(p, y, weight=w))


def test_many_confidences_are_moved_to_the_weighted_mean_of_their_cell(monkeypatch):
    c, a = torch.rand(ROWS, dtype=torch.float64), torch.arange(ROWS) % 3 > 0
    times = whole_weights(1)
    monkeypatch.setattr(smooth, "CELLS", 16)
    repeated = smooth_ece(c.repeat_interleave(times), a.repeat_interleave(times))
    torch.testing.assert_close(smooth_ece(c, a, weight=times), repeated, rtol=1e-8, atol=1e-10)


def test_bins_of_equal_mass_have_equal_weight_and_a_row_across_an_edge_is_in_the_lower_one():
    c = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    edges = equal_mass(c, 2, weight=torch.tensor([1, 1, 1, 3]))
    torch.testing.assert_close(edges, torch.tensor([0.35]).double())
    assert not len(equal_mass(c, 2, weight=torch.tensor([1, 1, 1, 9])))
    w = 0.1 * torch.ones(30, dtype=torch.float64)  # sums of it are off by rounding
    c = torch.arange(30).double() / 30
    assert torch.equal(equal_mass(c, 10, weight=w), equal_mass(c, 10))


@each_fit
def test_a_fit_to_whole_weights_is_that_to_repeated_rows_at_any_scale(name):
    draw, make = FITS[name]
    x, y = draw(2)
    times = whole_weights(2)
    repeated = calibrated(
        make,
        torch.cat((x.repeat_interleave(times, 0), x)),
        y.repeat_interleave(times),
    )[-ROWS:]
    for scale in (1, 1e-3):
        weighted = calibrated(make, x, y, weight=scale * times)
        torch.testing.assert_close(weighted, repeated, rtol=1e-5, atol=1e-6)
    plain = calibrated(make, x, y)
    assert not torch.allclose(weighted, plain, atol=1e-4)
    even = calibrated(make, x, y, weight=torch.full((ROWS,), 2.0))
    torch.testing.assert_close(even, plain, rtol=1e-5, atol=1e-6)


def test_weights_and_ignored_labels_leave_out_rows_together():
    p, y = forecasts(0)
    z, w = p.log(), whole_weights(0)
    y[::5] = -100
    kept = y != -100
    found = analysis.TemperatureScaling().fit(z, y, weight=w).parameters
    assert found == analysis.TemperatureScaling().fit(z[kept], y[kept], weight=w[kept]).parameters


def test_a_bootstrap_draws_rows_with_their_weights():
    c, a = pairs(0)
    w = whole_weights(0)
    found = bootstrap(ece, c, a, weight=w, repeats=50)
    assert found.value == ece(c, a, weight=w)
    rows = w > 0
    by_hand = bootstrap(lambda c, a, w: ece(c, a, weight=w), c[rows], a[rows], w[rows], repeats=50)
    assert found == by_hand
    assert found.low < found.value < found.high


def test_groups_have_their_own_weights():
    c, a = pairs(0)
    w, groups = whole_weights(0) + 1, torch.arange(ROWS) % 2
    found = by_group(ece, groups, c, a, weight=w, bins=10)
    assert found[1] == ece(c[1::2], a[1::2], weight=w[1::2], bins=10)
    with pytest.raises(ValueError, match="groups must have 3 rows"):
        by_group(ece, groups, c, a, weight=w[:3])


REFUSED = {
    "negative": (torch.arange(ROWS) - 1.0, ValueError, "weight must be .*not negative.* got -1.0 "),
    "nan": (torch.full((ROWS,), math.nan), ValueError, "weight must be finite.* got nan"),
    "infinite": (torch.full((ROWS,), math.inf), ValueError, "weight must be finite.* got inf"),
    "nothing": (torch.zeros(ROWS), ValueError, "weight must be .*not all 0, got 0.0"),
    "short": (torch.ones(ROWS - 1), ValueError, "weight.* shape"),
    "truth": (torch.ones(ROWS).bool(), TypeError, "weight must hold real numbers"),
    "list": ([1.0] * ROWS, TypeError, "weight must be a torch.Tensor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_weight_is_refused_by_name(case):
    w, error, said = REFUSED[case]
    for draw, number in (*OF_ROWS.values(), *IN_STEPS.values()):
        x, y = draw(0)
        with pytest.raises(error, match=said):
            number(x, y, weight=w)
    for draw, make in FITS.values():
        x, y = draw(0)
        with pytest.raises(error, match=said):
            make().fit(x, y, weight=w)
    with pytest.raises(error, match=said):
        bootstrap(ece, *pairs(0), weight=w)
    with pytest.raises(error, match=said):
        equal_mass(pairs(0)[0], 3, weight=w)
    with pytest.raises(error, match=said):
        sums_in_bins(*pairs(0), torch.tensor([0.5]), weight=w)
