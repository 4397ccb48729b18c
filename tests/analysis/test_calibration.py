"""Calibration errors and proper scores: known values, other definitions, edges and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from lossviz import analysis
from lossviz.analysis import (
    auroc,
    brier_decomposition,
    brier_score,
    calibrated_null,
    cell_entropy,
    class_probabilities,
    class_statistics,
    classwise_ece,
    ece,
    ece_equal_mass,
    ece_left_closed,
    equal_width,
    every_class,
    kde_ece,
    log_score,
    mce,
    of_class,
    rmsce,
    smooth,
    smooth_ece,
    squared_calibration_error,
    sums_in_bins,
    top_label,
)


def drawn(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    c = torch.rand(rows, generator=generator, dtype=torch.float64)
    return c, torch.rand(rows, generator=generator, dtype=torch.float64) < c


def by_hand(c, a, bins):
    """The right-closed error, a row at a time."""
    held = {}
    for x, hit in zip(c.tolist(), a.tolist(), strict=True):
        place = next(k for k in range(bins) if x <= (k + 1) / bins)
        held.setdefault(place, []).append((x, hit))
    gaps = [
        (len(rows), abs(sum(x for x, _ in rows) - sum(hit for _, hit in rows)) / len(rows))
        for rows in held.values()
    ]
    return sum(n * gap for n, gap in gaps) / len(c), max(gap for _, gap in gaps)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 99))
def test_binned_errors_are_those_of_rows_sorted_by_hand(rows, bins, seed):
    c, a = drawn(rows, seed)
    c = (c * 20).round() / 20  # many on edges
    mean, largest = by_hand(c, a, bins)
    assert ece(c, a, bins=bins).item() == pytest.approx(mean, abs=1e-12)
    assert mce(c, a, bins=bins).item() == pytest.approx(largest, abs=1e-12)


def test_a_confidence_of_one_is_in_the_last_bin():
    c, a = torch.tensor([0.95, 1.0]), torch.tensor([True, False])
    for error in (ece, ece_left_closed):
        assert error(c, a, bins=10).item() == pytest.approx(0.475, abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_edge_is_an_edge_in_every_dtype(dtype):
    """0.6 belongs to (0.4, 0.6] or to [0.6, 0.8), whatever its binary digits."""
    c, a = torch.tensor([0.6, 0.55, 0.7], dtype=dtype), torch.tensor([False, True, True])
    right = abs(0.6 + 0.55 - 1) / 3 + abs(0.7 - 1) / 3
    left = abs(0.55 - 1) / 3 + abs(0.6 + 0.7 - 1) / 3
    assert ece(c, a, bins=5).item() == pytest.approx(right, abs=1e-6)
    assert ece_left_closed(c, a, bins=5).item() == pytest.approx(left, abs=1e-6)


def test_sums_of_many_single_precision_rows_keep_their_digits():
    rows = 4_000_000
    c = torch.full((rows,), 0.95)
    a = torch.arange(rows) >= rows // 10
    exact = abs(np.float64(np.float32(0.95)) - 0.9)
    assert ece(c, a).item() == pytest.approx(exact, rel=1e-9)


def test_weights_count_as_repeated_rows():
    c, a = drawn(40)
    times = torch.arange(40) % 4
    more = (c.repeat_interleave(times), a.repeat_interleave(times))
    for error in (ece, ece_left_closed, rmsce, mce):
        weighted = error(c, a, weight=times.double())
        torch.testing.assert_close(weighted, error(*more))


def test_a_calibrated_model_has_an_error_that_the_null_expects():
    c, a = drawn(2000, seed=3)
    fair = calibrated_null(ece, c, a, repeats=200)
    assert fair.low < fair.value < fair.high
    assert fair.p_value > 0.05
    assert fair.mean > 0.01  # above zero, though nothing is wrong
    unfair = calibrated_null(ece, c, a & (torch.arange(2000) % 3 > 0), repeats=200)
    assert unfair.p_value < 0.01


def test_a_confidence_of_nan_makes_errors_and_the_chance_of_them_nan():
    c, a = drawn(40)
    c[3] = math.nan
    for error in (ece, ece_left_closed, rmsce, mce):
        assert error(c, a).isnan()
    assert calibrated_null(mce, c, a, repeats=9).p_value.isnan()


def test_no_number_depends_on_the_default_dtype():
    """torch divides two integers in it."""
    c, a = drawn(3001)
    x = torch.stack((c, c.square()), -1)
    halves = [class_statistics(part, (part[:, 0] < 0.3).long(), classes=2) for part in x.split(999)]
    numbers = (
        lambda: torch.stack([error(c, a) for error in (ece, rmsce, mce, smooth_ece)]),
        lambda: torch.stack(squared_calibration_error(c, a, bins=7)),
        lambda: auroc(c, a),
        lambda: cell_entropy(x, bins=5),
        lambda: halves[0].merge(halves[1]).merge(halves[2]).within,
        lambda: calibrated_null(ece, c, a, repeats=9).p_value,
    )
    usual = [number() for number in numbers]
    torch.set_default_dtype(torch.float16)
    try:
        for number, expected in zip(numbers, usual, strict=True):
            torch.testing.assert_close(number(), expected, rtol=1e-12, atol=0)
    finally:
        torch.set_default_dtype(torch.float32)


def test_bins_of_equal_mass_do_not_depend_on_the_order_of_the_rows():
    c, a = drawn(200)
    c = (c * 10).round() / 10
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    assert ece_equal_mass(c, a, bins=7) == pytest.approx(
        ece_equal_mass(c[order], a[order], bins=7).item(), abs=1e-12
    )
    with pytest.raises(ValueError, match="number of rows"):
        ece_equal_mass(c[:3], a[:3], bins=4)


def test_the_shares_of_bins_keep_their_digits():
    c = torch.tensor([0.1, 0.2, 0.9], dtype=torch.float64)
    share = sums_in_bins(c, c > 0.5, equal_width(2, c)).share
    assert share.tolist() == [2 / 3, 1 / 3]


def test_the_debiased_square_is_unbiased_for_a_calibrated_model():
    found = [squared_calibration_error(*drawn(300, seed), bins=10) for seed in range(200)]
    debiased = torch.stack([each.debiased for each in found])
    plugin = torch.stack([each.plugin for each in found])
    assert debiased.mean().abs() < 4 * debiased.std() / math.sqrt(200)
    assert plugin.mean() > 10 * debiased.mean().abs()


@pytest.mark.parametrize("width", [None, 0.01, 0.1, 0.5, 1.0])
def test_the_smooth_error_keeps_the_mass_that_is_reflected(width):
    """90 certain and right, 10 that say 0.6 and are wrong: 0.06 at every width."""
    c = torch.tensor([1.0] * 90 + [0.6] * 10, dtype=torch.float64)
    a = torch.tensor([True] * 90 + [False] * 10)
    assert smooth_ece(c, a, bandwidth=width).item() == pytest.approx(0.06, abs=1e-9)


@pytest.mark.parametrize("width", [0.03, 0.2])
def test_the_smooth_error_is_the_integral(width):
    c, a = drawn(30)
    at = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    height = torch.zeros_like(at)
    for place, residual in zip(c.tolist(), (a.double() - c).tolist(), strict=True):
        for image in (place, -place, 2 - place, 2 + place, -2 + place):
            height += residual * torch.exp(-(((at - image) / width) ** 2) / 2)
    by_sum = torch.trapezoid(height.abs(), at) / width / math.sqrt(2 * math.pi) / len(c)
    assert smooth_ece(c, a, bandwidth=width).item() == pytest.approx(by_sum.item(), abs=1e-7)


def test_a_narrow_kernel_keeps_neighbours_apart_and_a_wide_one_sees_the_average_alone():
    c, a = torch.tensor([0.5001, 0.50011]).double(), torch.tensor([True, False])
    apart = ((1 - c[0]) + c[1]) / 2
    torch.testing.assert_close(smooth_ece(c, a, bandwidth=1e-7), apart)
    c, a = torch.tensor([0.1, 0.3, 0.6]).double(), torch.tensor([True, False, False])
    for bandwidth in (0.01, 0.003, 0.001):
        torch.testing.assert_close(
            smooth_ece(c, a, bandwidth=bandwidth), (c - a.double()).abs().mean()
        )
    for bandwidth in (30.0, 1e9, 1e300):
        torch.testing.assert_close(smooth_ece(c, a, bandwidth=bandwidth), ece(c, a, bins=1))


def test_the_smooth_error_without_a_width_is_its_own_width():
    c, a = drawn(300)
    error = smooth_ece(c, a)
    torch.testing.assert_close(smooth_ece(c, a, bandwidth=error.item()), error, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("width", [1e-3, 0.01, 0.1])
def test_sums_of_kernels_and_of_cosines_are_one_integral(width, monkeypatch):
    c, a = drawn(500)
    found = []
    for wide in (0.0, 10.0):
        monkeypatch.setattr(smooth, "WIDE", wide)
        found.append(smooth_ece(c, a, bandwidth=width))
    torch.testing.assert_close(*found, rtol=1e-10, atol=0.0)


@pytest.mark.parametrize("gap", [0.0, 1e-4, 0.4])
def test_the_own_width_of_any_error_takes_few_steps(gap, monkeypatch):
    """Every row is off by as much, to one side: the error is the gap, whatever the width."""
    c = torch.linspace(0.2, 0.5, 11, dtype=torch.float64).repeat_interleave(10_000)
    right = ((c[::10_000] + gap) * 10_000).round()
    a = torch.arange(10_000) < right[:, None]
    widths = []
    smoothed = smooth._smoothed
    monkeypatch.setattr(smooth, "_smoothed", lambda *x: widths.append(x[2]) or smoothed(*x))
    found = smooth_ece(c, a.flatten())
    residual = (a.double().mean(1) - c[::10_000]).mean().abs()
    assert abs(float(found) - float(residual)) < 1e-6
    assert len(widths) < 40


def test_many_rows_are_gathered_into_cells_with_a_small_error(monkeypatch):
    c, a = drawn(20_000)
    coarse = smooth_ece(c, a, bandwidth=0.1)
    monkeypatch.setattr("lossviz.analysis.smooth.CELLS", 30_000)
    assert coarse.item() == pytest.approx(smooth_ece(c, a, bandwidth=0.1).item(), abs=1e-5)


def test_the_kernel_error_has_its_two_limits():
    c, a = drawn(50)
    wide = kde_ece(c, a, bandwidth=1e3)
    narrow = kde_ece(c, a, bandwidth=1e-6)
    torch.testing.assert_close(wide, (c.mean() - a.double().mean()).abs(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(narrow, (a.double() - c).abs().mean())


def forecasts(rows=200, classes=4):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (rows,), generator=generator)


def test_scores_are_those_of_scikit_learn():
    logits, y = forecasts()
    p = logits.softmax(-1)
    assert log_score(p, y).item() == pytest.approx(log_loss(y, p), rel=1e-12)
    two, hit = p[:, :2] / p[:, :2].sum(-1, keepdim=True), y % 2
    positive = brier_score_loss(hit, two[:, 1])
    assert brier_score(two, hit).item() == pytest.approx(2 * positive, rel=1e-12)


@pytest.mark.parametrize("bins", [None, 1, 5, 1000])
def test_the_parts_of_the_brier_score_add_up(bins):
    logits, y = forecasts()
    found = brier_decomposition(logits, y, kind="logits", bins=bins)
    whole = found.reliability - found.resolution + found.uncertainty + found.within
    torch.testing.assert_close(whole, brier_score(logits.softmax(-1), y))
    assert found.reliability >= 0
    assert found.resolution >= 0


def test_groups_of_identical_forecasts_leave_nothing_over():
    logits, y = forecasts(rows=60)
    coarse = logits[torch.arange(60) % 5]
    assert brier_decomposition(coarse, y, kind="logits").within.abs() < 1e-12


def test_what_a_prediction_holds_is_asked_for():
    values = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    y = torch.tensor([0, 0])
    as_logits = top_label(values, y, kind="logits")
    as_probabilities = top_label(values, y, kind="probabilities")
    assert (as_logits.confidence < as_probabilities.confidence).all()
    with pytest.raises(TypeError):
        top_label(values, y)
    with pytest.raises(ValueError, match="kind must be one of"):
        top_label(values, y, kind="auto")


def test_top_label_and_class_are_two_questions():
    p, y = torch.tensor([[0.7, 0.3], [0.3, 0.7]]), torch.tensor([1, 1])
    positive = of_class(p, y, 1, kind="probabilities")
    assert ece(*positive, bins=10).item() == pytest.approx(0.5, abs=1e-7)
    assert ece(*top_label(p, y, kind="probabilities"), bins=10).item() == pytest.approx(0.2)
    score = of_class(p[:, 1], y, 1, kind="binary score")
    torch.testing.assert_close(score.confidence, positive.confidence)


def test_every_class_is_what_the_classwise_error_sees():
    logits, y = forecasts()
    c, a = every_class(logits, y, kind="logits")
    each = torch.stack([ece(c[:, k], a[:, k]) for k in range(4)])
    torch.testing.assert_close(classwise_ece(class_probabilities(logits, kind="logits"), y),
                               each.mean())  # fmt: skip


def test_ignored_rows_do_not_count():
    logits, y = forecasts()
    y[::3] = -100
    kept = y >= 0
    whole = top_label(logits, y, kind="logits")
    part = top_label(logits[kept], y[kept], kind="logits")
    torch.testing.assert_close(whole.confidence, part.confidence)
    p = logits.softmax(-1)
    for measure in (classwise_ece, brier_score, log_score):
        torch.testing.assert_close(measure(p, y), measure(p[kept], y[kept]))


@pytest.mark.parametrize(
    ("predictions", "kind", "said"),
    [
        (torch.tensor([[0.5, 0.5], [0.9, 0.3]]), "probabilities", "row 1 sums to 1.2"),
        (torch.tensor([[0.5, 0.5], [math.nan, 0.3]]), "probabilities", "NaN, got one in row 1"),
        (torch.tensor([[0.0, 0.0]]), "log-probabilities", "row 0 sums to 2"),
        (torch.tensor([[math.inf, 0.0]]), "logits", "finite"),
        (torch.tensor([0.5, 1.5]), "binary score", r"lie in \[0, 1\]"),
    ],
)
def test_rows_that_are_not_what_kind_says_are_named(predictions, kind, said):
    y = torch.zeros(len(predictions), dtype=torch.long)
    with pytest.raises(ValueError, match=said):
        of_class(predictions, y, 1, kind=kind)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rounded_probabilities_are_a_distribution(dtype):
    p = torch.randn(200, 50, generator=torch.Generator().manual_seed(2)).softmax(-1).to(dtype)
    assert class_probabilities(p, kind="probabilities").dtype == torch.float64


def test_bins_that_are_no_whole_number_and_no_rows_are_told():
    c, a = drawn(5)
    with pytest.raises(ValueError, match="bins must be a whole number"):
        ece(c, a, bins=2.5)
    with pytest.raises(ValueError, match="bins must lie in"):
        ece(c, a, bins=0)
    for error in (smooth_ece, kde_ece, ece_equal_mass):
        with pytest.raises(ValueError, match="at least one row"):
            error(c[:0], a[:0])
        with pytest.raises(ValueError, match="NaN"):
            error(c * math.nan, a)


@pytest.mark.parametrize(
    "call",
    [
        lambda: analysis.sums_in_bins([0.5], torch.ones(1), torch.ones(1)),
        lambda: analysis.equal_mass([0.5, 0.6], 1),
        lambda: analysis.bootstrap(torch.mean, [1.0, 2.0]),
        lambda: analysis.calibrated_null(ece, [0.5], torch.ones(1)),
        lambda: analysis.clopper_pearson(3, 10),
        lambda: analysis.by_group(torch.mean, [0, 1], torch.ones(2)),
        lambda: analysis.dc_pdd([0], -torch.ones(1), torch.ones(2)),
        lambda: (
            analysis.OneVersusRest(analysis.HistogramBinning)
            .fit(torch.full((4, 2), 0.5), torch.arange(4) % 2)
            .transform([[0.5, 0.5]])
        ),
    ],
    ids=["bins", "mass", "bootstrap", "null", "exact", "groups", "tokens", "calibrator"],
)
def test_what_is_no_tensor_is_told_by_name(call):
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got (list|int)"):
        call()


def test_every_public_name_exists():
    assert all(hasattr(analysis, name) for name in analysis.__all__ if name != "MeasureMetric")
