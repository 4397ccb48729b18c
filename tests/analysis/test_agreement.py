"""Other libraries' numbers: ours where conventions coincide, and why they differ where they do not.

torchmetrics and scikit-learn are there for other tests; uncertainty-calibration and netcal where
installed. Confidences keep clear of bin edges and of 1, where conventions part.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
    multiclass_accuracy,
    multiclass_calibration_error,
)

from lossviz.analysis import (
    auroc,
    bootstrap,
    brier_score,
    ece,
    ece_equal_mass,
    ece_interval,
    ece_left_closed,
    equal_width,
    fine_auroc,
    log_score,
    mce,
    of_class,
    rmsce,
    squared_calibration_error,
    sums_in_bins,
    top_label,
    top_label_accuracy,
)

ROWS = 3000


@pytest.fixture(scope="module")
def predictions():
    """Probabilities (N, 4) and labels drawn from sharper ones."""
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(ROWS, 4, generator=generator, dtype=torch.float64)
    labels = torch.multinomial((logits / 1.7).softmax(-1), 1, generator=generator)[:, 0]
    return logits.softmax(-1), labels


def close(ours, theirs, atol=1e-6):
    torch.testing.assert_close(ours.double(), torch.as_tensor(theirs).double(), rtol=0, atol=atol)


@pytest.mark.parametrize(("norm", "ours"), [("l1", ece), ("l2", rmsce), ("max", mce)])
@pytest.mark.parametrize("bins", [5, 15, 30])
def test_torchmetrics_top_label_errors(predictions, norm, ours, bins):
    p, y = predictions
    theirs = multiclass_calibration_error(p, y, num_classes=4, n_bins=bins, norm=norm)
    close(ours(*top_label(p, y, kind="probabilities"), bins=bins), theirs)


@pytest.mark.parametrize(("norm", "ours"), [("l1", ece), ("l2", rmsce), ("max", mce)])
def test_torchmetrics_binary_error_is_that_of_the_positive_class(predictions, norm, ours):
    p, y = predictions[0][:, 1].contiguous(), predictions[1] == 1
    close(ours(*of_class(predictions[0], predictions[1], 1, kind="probabilities")),
          binary_calibration_error(p, y.long(), norm=norm, n_bins=15))  # fmt: skip


def test_torchmetrics_accuracy_and_area_under_the_curve(predictions):
    p, y = predictions
    c, a = top_label(p, y, kind="probabilities")
    close(top_label_accuracy(p, y), multiclass_accuracy(p, y, num_classes=4, average="micro"))
    for ours in (auroc, fine_auroc):
        close(ours(c, a), binary_auroc(c, a.long()), atol=2e-5 if ours is fine_auroc else 1e-6)


def test_scikit_learn_scores_and_reliability_curve(predictions):
    p, y = predictions
    c, a = top_label(p, y, kind="probabilities")
    close(log_score(p, y), log_loss(y, p))
    # one class of two: half of the sum over both
    two = torch.stack((1 - c, c), -1)
    close(brier_score(two, a.long()) / 2, brier_score_loss(a, c))
    close(auroc(c, a), roc_auc_score(a, c))
    share, said = calibration_curve(a, c, n_bins=10)
    sums = sums_in_bins(c, a, equal_width(10, c))
    held = sums.rows > 0
    close((sums.correct / sums.rows)[held], share)
    close((sums.confidence / sums.rows)[held], said)


def test_uncertainty_calibration_equal_mass_and_debiased(predictions):
    peer = pytest.importorskip("calibration")
    p, y = predictions
    c, a = top_label(p, y, kind="probabilities")
    pairs, hits = c.numpy(), a.long().numpy()
    edges = peer.utils.get_equal_bins(pairs, num_bins=15)
    binned = peer.utils.bin([*zip(pairs, hits, strict=True)], edges)
    ours = squared_calibration_error(c, a, bins=15)
    close(ours.plugin.sqrt(), peer.utils.plugin_ce(binned))
    close(ours.debiased, peer.utils.unbiased_square_ce(binned))
    theirs = peer.get_ece_em(p.numpy(), y.numpy(), num_bins=15)
    close(ece_equal_mass(c, a, bins=15), theirs)
    close(ece(c, a, bins=15), peer.get_ece(p.numpy(), y.numpy(), num_bins=15))


def test_where_torchmetrics_differs_and_why():
    """A confidence of 1 has a bin of its own there, and is in the last one here (#3510)."""
    c, a = torch.tensor([0.95, 1.0]), torch.tensor([True, False])
    close(ece(c, a, bins=10), 0.475)
    close(binary_calibration_error(c, a.long(), n_bins=10), 0.525)
    # sums in single precision: a million rows in one bin
    generator = torch.Generator().manual_seed(0)
    c = 0.97 + 0.02 * torch.rand(10**6, generator=generator)
    a = torch.rand(10**6, generator=generator) < c
    exact = (c.double().mean() - a.double().mean()).abs()
    close(ece(c, a, bins=10), exact, atol=1e-9)
    assert (binary_calibration_error(c, a.long(), n_bins=10) - exact).abs() > 1e-3


def test_the_interval_of_one_pass_is_the_bootstraps():
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(20_000, generator=generator, dtype=torch.float64)
    a = torch.rand(20_000, generator=generator) < c**1.2
    quick = ece_interval(c, a, repeats=4000)
    slow = bootstrap(ece, c, a, repeats=400)
    close(quick.value, ece(c, a), atol=1e-12)
    width = slow.high - slow.low
    assert (quick.low - slow.low).abs() < 0.15 * width
    assert (quick.high - slow.high).abs() < 0.15 * width


@pytest.mark.parametrize("bins", [1, 5, 7, 10, 15, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_pass_puts_rows_on_edges_and_beside_them_where_ece_does(bins, dtype):
    edges = torch.cat([equal_width(bins, torch.zeros(1, dtype=dtype)), torch.tensor([0.0, 1.0])])
    near = [edges, edges.nextafter(edges + 1), edges.nextafter(edges - 1)]
    c = torch.cat(near).to(dtype).clamp(0, 1).repeat(3)
    a = torch.arange(len(c)) % 5 < 2
    before = c.clone()
    close(ece_interval(c, a, bins=bins, repeats=10).value, ece(c, a, bins=bins), atol=1e-12)
    assert torch.equal(c, before)
    assert ece_interval(c.new_tensor([torch.nan]), a[:1]).value.isnan()
    with pytest.raises(ValueError, match="confidence"):
        ece_interval(c + 1, a)


def test_the_interval_refuses_and_takes_what_ece_does():
    c, a = torch.rand(100, generator=torch.Generator().manual_seed(0)), torch.arange(100) % 2 == 0
    with pytest.raises(ValueError, match="bins"):
        ece_interval(c, a, bins=65537)
    with pytest.raises(TypeError, match="confidence"):
        ece_interval(c.tolist(), a)
    found = ece_interval(c.requires_grad_(), a, repeats=10).value
    assert not found.requires_grad and found == ece(c.detach(), a)


def test_netcal_errors_are_those_of_left_closed_bins(predictions):
    peer = pytest.importorskip("netcal.metrics")
    p, y = predictions
    c, a = top_label(p, y, kind="probabilities")
    for bins in (10, 15):
        close(ece_left_closed(c, a, bins=bins), peer.ECE(bins).measure(p.numpy(), y.numpy()))
        close(mce(c, a, bins=bins), peer.MCE(bins).measure(p.numpy(), y.numpy()))
        theirs = peer.ECE(bins, equal_intervals=False).measure(p.numpy(), y.numpy())
        close(ece_equal_mass(c, a, bins=bins), theirs)


def test_where_netcal_differs_and_why():
    """Its edges are linspace's, 0.6000000000000001 for 3/5, so 0.6 falls one bin lower.

    Its rule is written out here; 0.45 is what version 1.4.0 gave. Its ACE is the mean gap over
    bins that hold rows, and its TemperatureScaling keeps 1/T under the name of the temperature.
    """
    c, a = torch.tensor([0.6, 0.7], dtype=torch.float64), torch.tensor([False, True])
    place = np.digitize(c, np.linspace(0, 1, 6)[1:-1])
    gaps = np.bincount(place, c - a.double())
    close(torch.as_tensor(np.abs(gaps).sum() / 2), 0.45)
    close(ece_left_closed(c, a, bins=5), 0.15)


def test_forty_million_rows_are_counted_exactly_in_any_batches():
    """Confidences of .95, nine in ten right: in float32 sums they would be lost."""
    count = 10**7
    c = torch.full((count,), 0.95)
    a = torch.arange(count) % 10 != 0
    held = float(torch.tensor(0.95).double())
    stream = ece.stream(bins=15)
    for _ in range(4):
        stream.update(c, a)
        assert abs(float(stream.compute()) - (held - 0.9)) < 1e-9 * (held - 0.9)
    assert stream.sums.rows.sum() == 4 * count
    assert abs(float(ece_interval(c, a).value) - (held - 0.9)) < 1e-9 * (held - 0.9)
