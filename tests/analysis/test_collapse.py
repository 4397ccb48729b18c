"""Collapse and geometry: exact frames, streams, peers' silent faults, theorems found by search."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lossviz.analysis import (
    cdnv,
    cell_entropy,
    class_rows,
    class_statistics,
    class_variances,
    covariance_rank,
    diffusion_entropy,
    diffusion_information,
    nc1,
    nc2,
    nc2_of_weight,
    nc3,
    nc3_distance,
    nc4,
    nearest_mean_disagreement,
    power_law,
    rankme,
    rankme_of_moments,
    simplex_frame,
    spectrum,
    vci,
)
from lossviz.theory import cross_entropy_optimum, squared_error_optimum

SIZES = (300, 100, 20, 5)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def collapsed(sizes=SIZES, offset=0.0):
    """Rows on the corners of a simplex, and the corners."""
    frame = torch.eye(len(sizes), dtype=torch.float64) - 1 / len(sizes)
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return frame[y] + offset, y, frame


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_exact_collapse_is_zero_around_the_mean_of_classes_whatever_their_sizes(offset):
    x, y, frame = collapsed(offset=offset)
    stats = class_statistics(x, y, classes=4)
    for value in (nc1(stats), nc2(stats), nc3(frame, stats), nc3_distance(frame, stats)):
        assert abs(value) < 1e-9 if offset else abs(value) < 1e-12
    assert nc4(frame, None, class_statistics(x - offset, y, classes=4), x - offset) == 0


def test_the_centre_of_all_rows_is_another_one():
    x, y, _ = collapsed()
    stats = class_statistics(x, y, classes=4)
    assert nc2(stats, centre="samples").item() == pytest.approx(0.828014, abs=1e-6)
    with pytest.raises(ValueError, match="centre must be"):
        nc2(stats, centre="mean")


def test_streamed_and_merged_statistics_are_those_of_the_whole():
    x, y = normal(200, 6) + 1e3, torch.arange(200) % 5
    whole = class_statistics(x, y, classes=5)
    cuts = ((0, 7), (7, 60), (60, 200))
    parts = [class_statistics(x[a:b], y[a:b], classes=5) for a, b in cuts]
    merged = parts[2].merge(parts[0]).merge(parts[1])
    empty = class_statistics(x[:0], y[:0], classes=5)
    for joined in (merged, empty.merge(whole), whole.merge(empty)):
        for name in ("rows", "means", "within", "squares"):
            got, expected = getattr(joined, name), getattr(whole, name)
            torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="means of shape"):
        whole.merge(class_statistics(x[:, :2], y, classes=5))


def test_nc1_is_the_trace_with_the_pseudo_inverse():
    x, y = normal(60, 4), torch.arange(60) % 3
    stats = class_statistics(x, y, classes=3)
    means = np.stack([x[y == k].numpy().mean(0) for k in range(3)])
    within = sum((x[y == k].numpy() - means[k]).T @ (x[y == k].numpy() - means[k])
                 for k in range(3)) / 60  # fmt: skip
    around = means - means.mean(0)
    between = around.T @ around / 3
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / 3
    assert nc1(stats).item() == pytest.approx(expected, rel=1e-9)


def test_nc1_of_single_precision_features_far_from_the_origin_stays_positive():
    """numpy's pseudo-inverse in float32 gives -24,863.9 here."""
    generator = np.random.default_rng(0)
    means = generator.normal(size=(10, 512))
    y = np.repeat(np.arange(10), 100)
    x = (means[y] + 0.01 * generator.normal(size=(1000, 512))).astype(np.float32)
    stats = class_statistics(torch.from_numpy(x), torch.from_numpy(y), classes=10)
    assert nc1(stats).item() == pytest.approx(1.77272e-6, rel=1e-4)


@pytest.mark.parametrize("centred", [True, False])
def test_shares_of_a_spectrum_are_those_of_eigenvalues_around_the_mean_or_around_0(centred):
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).double() + 2
    around = x - x.mean(0) if centred else x
    shares = torch.linalg.eigvalsh(around.mT @ around).flip(0)
    shares = shares / shares.sum()
    torch.testing.assert_close(spectrum(x, centred=centred), shares)
    rank = torch.distributions.Categorical(probs=shares).entropy().exp()
    torch.testing.assert_close(covariance_rank(x, centred=centred), rank)


def test_equal_rows_do_not_vary_though_their_mean_is_rounded():
    x = torch.full((7, 3), 0.1, dtype=torch.float64)
    stats = class_statistics(x, torch.tensor([0, 1, 1, 2, 2, 2, 2]), classes=3)
    assert nc1(stats).isnan()
    assert nc2(stats).isnan()
    assert covariance_rank(x) == rankme(x, centred=True) == 0
    assert spectrum(x).isnan().all()
    assert diffusion_information(x, torch.arange(7) % 2) == 0
    assert diffusion_information(x[:1], torch.tensor([0])) == 0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_shares_of_the_variance_do_not_depend_on_the_scale(scale):
    x = normal(9, 4)
    torch.testing.assert_close(spectrum(x * scale), spectrum(x))


@pytest.mark.parametrize("decay", [1e-150, 1e-50, 1e100, 1e200])
def test_optima_under_decays_of_any_size_are_numbers(decay):
    for depth in (1, 2, 5, 50):
        found = squared_error_optimum((5, 7), depth=depth, lambda_w=decay, lambda_h=decay)
        for value in (found.weight_norm, found.feature_norm, found.product, found.objective):
            assert value.isfinite().all()
        if decay < 1:
            assert found.product == pytest.approx(1.0, abs=1e-9)
    found = cross_entropy_optimum(3, 2, lambda_w=decay, lambda_h=decay)
    assert all(math.isfinite(value) for value in found)
    with pytest.raises(ValueError, match="too small"):
        squared_error_optimum((5, 7), lambda_w=1e-200, lambda_h=1e-200)
    third = math.nextafter(1 / 3, 0)
    assert cross_entropy_optimum(3, 1, lambda_w=third, lambda_h=third).gap < 1e-15


def test_total_collapse_has_no_shape():
    stats = class_statistics(torch.ones(6, 3), torch.arange(6) % 3, classes=3)
    assert nc1(stats).isnan()
    assert nc2(stats).isnan()
    assert nc2_of_weight(torch.zeros(3, 3)).isnan()


@pytest.mark.parametrize("sizes", [SIZES, (5, 5, 5), (1, 40)])
def test_on_an_exact_frame_every_class_is_a_point_at_the_widest_angle(sizes):
    x, y, frame = collapsed(sizes, offset=3.0)
    stats = class_statistics(x, y, classes=len(sizes))
    rows = class_rows(stats, 7 * frame + 1)
    assert rows.rows.tolist() == list(sizes)
    assert rows.variance.max() < 1e-24
    assert rows.length.diff().abs().max() < 1e-12
    widest = math.acos(-1 / (len(sizes) - 1))
    torch.testing.assert_close(rows.angle, torch.full_like(rows.angle, widest), rtol=1e-7, atol=0)
    torch.testing.assert_close(rows.own_weight, torch.ones_like(rows.length))
    assert cdnv(stats).nan_to_num().max() < 1e-24
    assert cdnv(stats).diagonal().isnan().all()


def test_rows_and_cdnv_are_their_definitions_class_by_class():
    x, y = normal(90, 4), (torch.arange(90) % 9).clamp_max(2)
    weight = normal(3, 4, seed=1)
    stats = class_statistics(x, y, classes=3)
    rows, ratios = class_rows(stats, weight), cdnv(stats)
    means = torch.stack([x[y == k].mean(0) for k in range(3)])
    variance = torch.stack([(x[y == k] - means[k]).square().sum(-1).mean() for k in range(3)])
    torch.testing.assert_close(class_variances(stats), variance)
    around, heads = means - means.mean(0), weight - weight.mean(0)
    cosine = torch.nn.functional.cosine_similarity
    for k in range(3):
        others = [j for j in range(3) if j != k]
        assert rows.length[k].item() == pytest.approx(around[k].norm().item())
        nearest = max(cosine(around[k], around[j], 0).item() for j in others)
        assert rows.angle[k].item() == pytest.approx(math.acos(nearest))
        own = cosine(around[k], heads[k], 0).item()
        assert rows.own_weight[k].item() == pytest.approx(own)
        for j in others:
            apart = (means[k] - means[j]).square().sum()
            expected = ((variance[k] + variance[j]) / (2 * apart)).item()
            assert ratios[k, j].item() == pytest.approx(expected)


def test_a_minority_on_another_class_shows_in_its_row_alone():
    frame = torch.eye(4, dtype=torch.float64)
    frame[3] = frame[2]
    y = torch.arange(4).repeat_interleave(torch.tensor(SIZES))
    stats = class_statistics(frame[y] + 0.01 * normal(len(y), 4), y, classes=4)
    angle = class_rows(stats).angle
    assert angle[2:].max() < 0.1
    assert angle[:2].min() > 1
    assert cdnv(stats)[2, 3] > 100 * cdnv(stats)[0, 1]


def test_rows_of_bad_input_are_refused_or_nan():
    x, y, frame = collapsed()
    absent = class_statistics(x[y < 3], y[y < 3], classes=4)
    for function in (cdnv, class_rows):
        with pytest.raises(ValueError, match=r"none of the classes \[3\]"):
            function(absent)
    assert class_variances(absent)[3].isnan()
    with pytest.raises(ValueError, match="weight must have the shape"):
        class_rows(class_statistics(x, y, classes=4), frame[:3])
    alone = class_rows(class_statistics(x, 0 * y, classes=1))
    assert alone.angle.isnan().all()
    assert class_rows(class_statistics(x, y, classes=4)).own_weight is None


def test_an_absent_class_is_told_and_never_counted_as_a_mean_of_zero():
    x, y, _ = collapsed()
    stats = class_statistics(x[y < 3], y[y < 3], classes=4)
    for value in (nc1, nc2):
        with pytest.raises(ValueError, match=r"none of the classes \[3\]"):
            value(stats)


def test_a_classifier_of_other_classes_or_features_is_refused():
    x, y, frame = collapsed()
    stats = class_statistics(x, y, classes=4)
    for value in (nc3, nc3_distance, lambda weight, stats: nc4(weight, None, stats, x)):
        with pytest.raises(ValueError, match="weight must have the shape of the class means"):
            value(frame[:, :3], stats)
    with pytest.raises(ValueError, match="features must have 4 columns"):
        nc4(frame, None, stats, x[:, :3])
    with pytest.raises(ValueError, match="squares"):
        nc2_of_weight(frame, torch.ones(5))
    with pytest.raises(TypeError, match="weight"):
        nc2_of_weight([[1.0]])


def test_what_would_broadcast_or_compare_as_nothing_is_refused_or_nan():
    x, y, frame = collapsed()
    stats = class_statistics(x, y, classes=4)
    for bias in (torch.zeros(5), torch.zeros(len(x), 1)):
        with pytest.raises(ValueError, match="bias must have shape"):
            nc4(frame, bias, stats, x)
    with pytest.raises(ValueError, match="scale must have shape"):
        nc3_distance(frame, stats, scale=torch.ones(1))
    with pytest.raises(ValueError, match="finite"):
        nc4(frame, None, stats, x * math.nan)
    assert nc4(frame, torch.full((4,), math.nan), stats, x).isnan()
    unknown = (x @ frame).masked_fill(torch.eye(4, dtype=torch.bool)[y], math.nan)
    assert nearest_mean_disagreement(x, unknown, frame).isnan()
    for classes in (0, -3, 2.5):
        with pytest.raises(ValueError, match="classes must be"):
            simplex_frame(classes)


def test_vci_has_the_digits_of_double_precision():
    x, y = normal(60, 5), torch.arange(60) % 3
    means = torch.stack([x[y == k].mean(0) for k in range(3)])
    between = torch.cov(means.T, correction=0)
    expected = 1 - torch.linalg.solve(torch.cov(x.T, correction=0), between).trace() / 2
    assert vci(class_statistics(x, y, classes=3)).item() == pytest.approx(
        expected.item(), abs=1e-13
    )


def test_bad_rows_are_refused():
    x, y = normal(5, 2), torch.arange(5) % 2
    for features, target, classes, said in (
        (x * math.nan, y, 2, "finite"),
        (x, y[:3], 2, "shape"),
        (x, y + 1, 2, r"\[0, 2\)"),
        (x, y - 100, 2, r"\[0, 2\)"),
        (x, y, 0, "classes"),
    ):
        with pytest.raises(ValueError, match=said):
            class_statistics(features, target, classes=classes)


def test_orthogonal_frames_of_given_lengths_are_at_distance_zero():
    basis = torch.linalg.qr(normal(5, 5)).Q[:3]
    lengths = torch.tensor([3.0, 2.0, 0.5]).double()
    weight = lengths[:, None] * basis
    assert nc2_of_weight(basis, "orthogonal") < 1e-12
    assert nc2_of_weight(weight, lengths**2) < 1e-12
    assert nc2_of_weight(weight, "orthogonal") > 0.3
    torch.testing.assert_close(simplex_frame(4).norm().item(), 1.0)


def ufm_value(sizes, depth, lambda_w, lambda_h, seed, width=4):
    """The least objective that direct descent finds, with the lengths it ends at."""
    y = torch.eye(len(sizes), dtype=torch.float64).repeat_interleave(torch.tensor(sizes), 0)
    total = sum(sizes)
    shapes = [(width, width)] * (depth - 1) + [(len(sizes), width), (total, width)]
    leaves = [normal(*s, seed=seed * 10 + i).requires_grad_() for i, s in enumerate(shapes)]
    search = torch.optim.LBFGS(
        leaves, max_iter=3000, history_size=30, tolerance_grad=1e-10, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def value():
        *layers, features = leaves
        weight = layers[-1]
        for layer in reversed(layers[:-1]):
            weight = weight @ layer
        misfit = (features @ weight.mT - y).square().sum() / (2 * total)
        decay = lambda_w / 2 * sum(layer.square().sum() for layer in layers)
        return misfit + decay + lambda_h / 2 * features.square().sum(), weight

    def closure():
        search.zero_grad()
        loss = value()[0]
        loss.backward()
        return loss

    search.step(closure)
    loss, weight = value()
    return loss.item(), weight.detach().norm(dim=-1)


@pytest.mark.parametrize(("depth", "sizes"), [(1, (4, 2, 1)), (2, (4, 4, 4)), (2, (6, 3, 1))])
def test_no_descent_goes_below_the_optimum_of_squared_error_and_the_best_reaches_it(depth, sizes):
    best = squared_error_optimum(sizes, depth=depth, lambda_w=0.02, lambda_h=0.03)
    found = [ufm_value(sizes, depth, 0.02, 0.03, seed) for seed in range(6)]
    values = [value for value, _ in found]
    assert min(values) > best.objective - 1e-9
    assert min(values) < best.objective + 1e-6
    lengths = min(found, key=lambda pair: pair[0])[1]
    torch.testing.assert_close(lengths, best.weight_norm, atol=1e-3, rtol=0)


def test_a_class_at_the_threshold_vanishes_though_the_slope_has_a_root():
    """Sizes 10, 10, 5 at depth 2: the published solver returns a length of 0.856."""
    balanced = squared_error_optimum((10, 10, 5), depth=2, lambda_w=0.1, lambda_h=0.1)
    scale = 0.55 / balanced.load[2].item()
    best = squared_error_optimum((10, 10, 5), depth=2, lambda_w=0.1 * scale, lambda_h=0.1)
    assert best.load[2] > best.threshold > best.load[0]
    assert best.weight_norm[2] == 0
    assert best.weight_norm[0] > 0


def test_the_optimum_of_cross_entropy_is_where_descent_ends():
    classes, rows, decay = 3, 4, 0.01
    best = cross_entropy_optimum(classes, rows, lambda_w=decay, lambda_h=decay)
    weight, features = normal(3, 4).requires_grad_(), normal(12, 4, seed=1).requires_grad_()
    y = torch.arange(3).repeat_interleave(rows)
    search = torch.optim.LBFGS([weight, features], max_iter=2000, tolerance_grad=1e-12,
                               tolerance_change=1e-15, line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        search.zero_grad()
        loss = torch.nn.functional.cross_entropy(features @ weight.mT, y)
        loss = loss + decay / 2 * (weight.square().sum() + features.square().sum())
        loss.backward()
        return loss

    value = search.step(closure)
    assert closure().item() == pytest.approx(best.value, abs=1e-8)
    assert value is not None
    assert nc2_of_weight(weight.detach()) < 1e-3
    torch.testing.assert_close(
        weight.detach().norm(dim=-1), torch.full((3,), best.weight_norm).double(), atol=1e-4, rtol=0
    )
    assert cross_entropy_optimum(3, 4, lambda_w=0.2, lambda_h=0.2).gap == 0


def test_ranks_of_low_rank_features_and_of_massive_activations():
    generator = np.random.default_rng(2)
    low = torch.from_numpy(generator.normal(size=(2048, 4)) @ generator.normal(size=(4, 768)))
    assert rankme(low).item() == pytest.approx(3.9948267, abs=1e-6)
    assert rankme(low, eps=1e-7).item() == pytest.approx(3.99975, abs=1e-5)
    wide = torch.from_numpy(np.random.default_rng(3).normal(size=(2048, 768)))
    wide[:, 0] += 1000
    assert rankme(wide).item() == pytest.approx(31.7369, abs=1e-3)
    assert rankme(wide, centred=True).item() == pytest.approx(727.1514, abs=1e-3)
    assert 600 < covariance_rank(wide) < 700
    assert rankme(torch.zeros(10, 5)) == 0
    assert spectrum(wide).sum().item() == pytest.approx(1)
    for x in (low, wide):
        assert rankme_of_moments(x.mT @ x).item() == pytest.approx(rankme(x).item(), rel=1e-6)
    assert rankme_of_moments(torch.zeros(5, 5)) == 0


def test_a_power_law_is_found_and_its_argument_left_alone():
    shares = torch.arange(1, 200, dtype=torch.float64) ** -1.3
    before = shares.clone()
    for _ in range(2):
        assert power_law(shares, ranks=(12, 100)).item() == pytest.approx(1.3)
    assert torch.equal(shares, before)
    with pytest.raises(ValueError, match="ranks"):
        power_law(shares, ranks=(12, 300))


def test_diffusion_entropy_has_its_ends_and_the_median_makes_it_free_of_scale():
    x = normal(60, 3)
    assert diffusion_entropy(torch.ones(8, 2)) == 0
    assert diffusion_entropy(x, sigma=1e-6).item() == pytest.approx(math.log2(60), abs=1e-6)
    assert diffusion_entropy(x, sigma=1e6) < 1e-6
    values = [diffusion_entropy(c * x).item() for c in (1, 10, 100)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-9)


def test_labels_that_say_nothing_carry_no_information_and_clusters_do():
    x = torch.cat([normal(20, 2), normal(20, 2, seed=1) + 20])
    y = torch.arange(40) // 20
    told = diffusion_information(x, y, sigma=3.0)
    mixed = diffusion_information(x, torch.arange(40) % 2, sigma=3.0)
    assert told > 0.5
    assert abs(mixed) < 0.1 * told
    subsets = [[range(20)], [range(20, 40)]]
    assert abs(diffusion_information(x, y, sigma=3.0, subsets=subsets)) < 1e-12


def test_the_histogram_gives_every_point_a_cell_of_its_own_in_many_dimensions():
    assert cell_entropy(normal(64, 50)).item() == pytest.approx(6.0)
    assert cell_entropy(torch.ones(5, 2)).isnan()
