"""Collapse and dimension over a stream: exact, mergeable, with the classes that are there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lossviz.analysis import (
    Reservoir,
    cdnv,
    centred_effective_rank,
    class_distance_variance,
    class_geometry,
    class_rows,
    class_statistics,
    class_variances,
    covariance_effective_rank,
    covariance_rank,
    diffusion_entropy,
    diffusion_information,
    diffusion_label_information,
    diffusion_spectrum,
    effective_rank,
    icnn_score,
    mean_cdnv,
    nc1,
    nc2,
    nc3,
    nc4,
    nc4_of_logits,
    nc5,
    nearest_mean,
    nearest_mean_disagreement,
    neighbour_agreement,
    normalised_std,
    one_vs_rest_margins,
    power_law,
    rankme,
    self_duality,
    simplex_distance,
    simplex_frame,
    softmax_code_margin,
    spectral_decay,
    spectrum,
    uniformity,
    variability_collapse,
    variability_index,
    vci,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def streamed(measure, x, y=None, batch=97, **options):
    stream = measure.stream(**options)
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        stream.update(x[rows]) if y is None else stream.update(x[rows], y[rows])
    return stream


@pytest.mark.parametrize("offset", [0.0, 3e4])
def test_streams_of_labelled_rows_give_the_functions_of_the_whole(offset):
    x, y = normal(1000, 12), torch.arange(1000) % 7
    x = x + 3 * normal(7, 12, seed=1)[y]
    whole = class_statistics(x, y, classes=7)
    for measure, function in (
        (variability_collapse, nc1),
        (simplex_distance, nc2),
        (variability_index, vci),
        (class_distance_variance, mean_cdnv),
    ):
        got = streamed(measure, x + offset, y).compute()
        rtol = 1e-10 if offset == 0 else 1e-8  # the offset alone costs the input four digits
        torch.testing.assert_close(got, function(whole), rtol=rtol, atol=0)
    rows = class_rows(whole)
    expected = torch.stack([rows.rows, rows.variance, rows.length, rows.angle])
    torch.testing.assert_close(
        streamed(class_geometry, x, y).compute(), expected, rtol=1e-10, atol=0
    )


def test_a_single_precision_stream_far_from_the_origin_keeps_its_variance():
    """Added up naively in float32, moments with this offset are wrong by a factor of a hundred."""
    x, y = normal(2000, 5).float() + 3e4, torch.arange(2000) % 4
    got = streamed(class_geometry, x, y).compute()[1]
    torch.testing.assert_close(got, class_variances(class_statistics(x, y, classes=4)))
    assert 4 < got.mean() < 6


def test_ranks_of_a_stream_are_those_of_the_rows():
    full = normal(600, 20)
    low = normal(600, 3) @ normal(3, 20, seed=1)
    for x, rtol in ((full, 1e-10), (low, 1e-6), (full + 5, 1e-10)):
        for measure, expected in (
            (effective_rank, rankme(x)),
            (centred_effective_rank, rankme(x, centred=True)),
            (covariance_effective_rank, covariance_rank(x)),
        ):
            got = streamed(measure, x).compute()
            torch.testing.assert_close(got, expected, rtol=rtol, atol=0)
    expected = power_law(spectrum(full), ranks=(2, 15))
    got = streamed(spectral_decay, full, first=2, last=15).compute()
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=0)


def test_the_decay_stops_at_the_last_eigenvalue_above_rounding():
    low = normal(600, 3) @ normal(3, 20, seed=1)
    expected = power_law(spectrum(low), ranks=(1, 3))
    torch.testing.assert_close(spectral_decay(low), expected, rtol=1e-9, atol=0)
    assert spectral_decay(low, first=3.0).isnan()


def test_massive_activations_show_in_one_rank_and_not_in_the_other():
    """The known values 31.7369 and 727.1514 are of the whole arrays, in test_collapse."""
    x = normal(300, 40)
    x[:, 0] += 1000
    assert effective_rank(x) < 3
    assert centred_effective_rank(x) > 35


def test_rows_that_do_not_vary_have_no_centred_dimension():
    x = torch.full((7, 3), 0.1, dtype=torch.float64)
    for measure in (centred_effective_rank, covariance_effective_rank):
        assert streamed(measure, x, batch=2).compute() == 0
    assert streamed(spectral_decay, x, batch=2).compute().isnan()
    assert effective_rank(x).item() == pytest.approx(1)
    assert effective_rank(0 * x) == 0


def test_an_absent_class_does_not_count_in_a_stream():
    """A mean of zero for class 2 would give a distance of 0.5636."""
    y = torch.tensor([0, 1, 3]).repeat(5)
    frame = (torch.eye(4).double() - 1 / 4)[y]
    stream = simplex_distance.stream().update(simplex_frame(3)[torch.arange(3).repeat(5)], y)
    assert stream.compute() < 1e-12
    assert stream.sums.rows.tolist() == [5, 5, 0, 5]
    assert len(stream.sums.present().rows) == 3
    assert class_geometry(frame, y).shape == (4, 3)
    weight = normal(4, 4)
    there = torch.tensor([0, 1, 3])
    expected = nc3(weight[there], class_statistics(frame, y, classes=4).present())
    torch.testing.assert_close(self_duality(frame, y, weight), expected)


def test_labels_may_be_ignored_and_negative_ones_are_told():
    x, y = normal(30, 4), torch.arange(30) % 3
    held = y.clone()
    held[::5] = -100
    kept = held >= 0
    expected = variability_collapse(x[kept], y[kept])
    torch.testing.assert_close(variability_collapse(x, held), expected)
    with pytest.raises(
        ValueError, match=r"target must be 0 or above or equal ignore_index, got -1"
    ):
        variability_collapse(x, y - 1)
    with pytest.raises(TypeError, match="integer class labels"):
        variability_collapse(x, y.double())
    for names in (["cat"] * 30, np.array(["cat"] * 30)):
        with pytest.raises(TypeError, match=r"target .* of names; numpy\.unique"):
            variability_collapse(x, names)
    with pytest.raises(TypeError, match="target"):
        variability_collapse(x, None)
    for function in (diffusion_information, Reservoir(4).add):
        with pytest.raises(ValueError, match="target must be 0 or above, got -100"):
            function(x, held)
        with pytest.raises(ValueError, match="finite"):
            function(x * math.nan, y)


@pytest.mark.parametrize(
    "measure",
    [variability_collapse, variability_index, simplex_distance, class_distance_variance],
    ids=lambda measure: measure.key,
)
def test_degenerate_rows_are_nan_and_bad_ones_refused(measure):
    x, y = normal(12, 3), torch.arange(12) % 3
    assert measure(x, 0 * y).isnan()  # one class
    assert measure(0 * x, y).isnan()  # zeros
    assert measure(0 * x + 0.1, y).isnan() or measure is class_distance_variance
    with pytest.raises(ValueError, match="finite"):
        measure(x * math.nan, y)
    with pytest.raises(ValueError, match="target"):
        measure(x, y[:5])
    with pytest.raises(ValueError, match="features must have shape"):
        measure(x[0], y)
    single = measure(x[:4], torch.tensor([0, 1, 2, 2]))  # one row in two of three classes
    assert single.isfinite()


def test_half_precision_whose_squares_overflow_is_measured():
    x, y = (300 * normal(40, 4)).half(), torch.arange(40) % 4
    assert x.square().isinf().any()
    for measure in (variability_collapse, class_distance_variance):
        torch.testing.assert_close(measure(x, y), measure(x.double(), y))
    torch.testing.assert_close(effective_rank(x), effective_rank(x.double()))
    torch.testing.assert_close(normalised_std(x), normalised_std(x.double()))


def test_one_stream_has_one_classifier():
    x, y, w = normal(10, 4), torch.arange(10) % 5, normal(5, 4)
    stream = self_duality.stream().update(x, y, w)
    with pytest.raises(ValueError, match="weight must be the same"):
        stream.update(x, y, 2 * w)


def test_nc4_in_two_passes_is_that_of_the_head_and_counts_its_bias():
    frame = torch.eye(4).double() - 1 / 4
    y = torch.arange(4).repeat_interleave(50)
    stats = class_statistics(frame[y], y, classes=4)
    bias = torch.tensor([2.0, 0, 0, 0])
    logits = frame[y] @ frame.mT + bias
    stream = nearest_mean_disagreement.stream()
    for start in range(0, 200, 60):
        rows = slice(start, start + 60)
        stream.update(frame[y][rows], logits[rows], stats.means)
    for value in (
        stream.compute(),
        nc4(frame, bias, stats, frame[y]),
        nc4_of_logits(logits, stats, frame[y]),
    ):
        assert value.item() == 0.75
    with pytest.raises(ValueError, match=r"logits must have shape \(200, 4\)"):
        nc4_of_logits(logits[:, :3], stats, frame[y])


def test_the_nearest_mean_is_found_far_from_the_origin_in_single_precision():
    """Squares of 3e4 in float32 leave no digits to tell the classes apart."""
    frame = torch.eye(4)
    y = torch.arange(4).repeat(25)
    x = (frame[y] + torch.tensor([3e4, 0, 0, 0])).float()
    stats = class_statistics(x, y, classes=4)
    assert torch.equal(nearest_mean(x, stats), y)
    assert torch.equal(nearest_mean(stats.means[:1] * 0 + stats.means.mean(0), stats), y[:1])


def test_flavours_of_nc1_agree_where_they_must():
    x, y = normal(90, 4), torch.arange(90) % 3
    x[:, :2] += 5 * normal(3, 2, seed=2)[y]
    stats = class_statistics(x, y, classes=3)
    torch.testing.assert_close(nc1(stats, flavour="svd"), nc1(stats))
    means = stats.centred("classes")
    expected = stats.within.trace() / 90 / (means.square().sum() / 3)
    torch.testing.assert_close(nc1(stats, flavour="quotient"), expected)
    many = class_statistics(x, torch.arange(90) % 9, classes=9)  # K - 1 above D
    torch.testing.assert_close(nc1(many, flavour="svd"), nc1(many))
    with pytest.raises(ValueError, match="flavour must be"):
        nc1(stats, flavour="inv")


def test_the_index_is_a_share_that_no_linear_map_changes():
    x, y = normal(300, 5), torch.arange(300) % 4
    x = x + normal(4, 5, seed=1)[y]
    index = vci(class_statistics(x, y, classes=4))
    mapped = x @ normal(5, 5, seed=3)
    torch.testing.assert_close(vci(class_statistics(mapped, y, classes=4)), index)
    assert 0 < index < 1
    mixed = vci(class_statistics(x, torch.randperm(300) % 4, classes=4))
    assert mixed > index


def test_below_k_minus_1_dimensions_the_distance_to_a_simplex_has_a_floor():
    for classes, dimensions in ((4, 2), (10, 3), (6, 4)):
        floor = math.sqrt(2 - 2 * math.sqrt(dimensions / (classes - 1)))
        angles = torch.arange(classes) * 2 * math.pi / classes
        tight = torch.linalg.eigh(simplex_frame(classes)).eigenvectors[:, -dimensions:]
        for means in (tight, normal(classes, dimensions)):
            stats = class_statistics(means, torch.arange(classes), classes=classes)
            assert nc2(stats) > floor - 1e-12
        stats = class_statistics(tight, torch.arange(classes), classes=classes)
        assert nc2(stats).item() == pytest.approx(floor)
        if dimensions == 2:
            circle = torch.stack([angles.cos(), angles.sin()], 1).double()
            stats = class_statistics(circle, torch.arange(classes), classes=classes)
            assert nc2(stats).item() == pytest.approx(floor)


def test_the_mean_over_pairs_needs_no_matrix_of_pairs():
    x, y = normal(90, 4), torch.arange(90) % 9
    stats = class_statistics(x, y, classes=9)
    torch.testing.assert_close(mean_cdnv(stats), cdnv(stats).nanmean())
    assert mean_cdnv(class_statistics(x, 0 * y, classes=1)).isnan()


def test_other_data_at_right_angles_to_all_classes_have_nc5_0():
    x, y = torch.eye(5).double()[torch.arange(12) % 3], torch.arange(12) % 3
    stats = class_statistics(x, y, classes=3)
    assert nc5(stats, torch.eye(5)[3:]) == 0
    assert nc5(stats, torch.ones(2, 5)).item() == pytest.approx(5**-0.5)
    assert nc5(stats, torch.zeros(2, 5)).isnan()
    for outside in (torch.ones(2, 4), torch.ones(0, 5)):
        with pytest.raises(ValueError, match="outside must have rows with 5 features"):
            nc5(stats, outside)


def test_margins_are_distances_to_the_hull_of_the_others():
    circle = torch.arange(7).double() * 2 * math.pi / 7
    points = torch.stack([circle.cos(), circle.sin()], 1)
    for rows, classes, dimensions in (
        (simplex_frame(5), 5, 4),
        (points, 7, 2),
        (torch.cat([torch.eye(3), -torch.eye(3)]), 6, 3),
    ):
        margins = one_vs_rest_margins(3 * rows.double())
        best = softmax_code_margin(classes, dimensions)
        torch.testing.assert_close(margins, torch.full_like(margins, best), rtol=1e-9, atol=0)
    assert math.isnan(softmax_code_margin(100, 10))
    assert softmax_code_margin(3, 1) == 0
    mixture = torch.cat([torch.eye(2), torch.ones(1, 2)])
    assert one_vs_rest_margins(mixture)[2].item() == pytest.approx(1 - 0.5**0.5)


def test_no_random_directions_have_a_larger_margin_than_the_code():
    for seed in range(20):
        for classes, dimensions in ((4, 3), (6, 2), (7, 4)):
            margin = one_vs_rest_margins(normal(classes, dimensions, seed=seed)).min()
            assert margin <= softmax_code_margin(classes, dimensions) + 1e-9


@pytest.mark.parametrize("kernel", ["gaussian", "log", "riesz"])
def test_uniformity_is_a_mean_over_pairs_and_least_for_a_simplex(kernel, monkeypatch):
    rows = normal(9, 4)
    unit = torch.nn.functional.normalize(rows, dim=-1)
    distance = torch.pdist(unit)
    expected = {
        "gaussian": (-2 * distance.square()).exp().mean().log(),
        "log": -distance.log().mean(),
        "riesz": (1 / distance).mean(),
    }[kernel]
    monkeypatch.setattr("lossviz.analysis.crowded.TILE", 4)
    torch.testing.assert_close(uniformity(rows, kernel), expected)
    assert uniformity(simplex_frame(5), kernel) < uniformity(normal(5, 5), kernel)
    for bad in (rows[:1], 0 * rows, rows * math.nan):
        with pytest.raises(ValueError, match="at least two finite rows"):
            uniformity(bad, kernel)
    with pytest.raises(ValueError, match="kernel must be one of"):
        uniformity(rows, "cosine")


def test_normalised_features_spread_between_a_point_and_the_sphere():
    assert normalised_std(torch.arange(1.0, 6.0)[:, None] * torch.ones(4)) < 1e-12
    assert normalised_std(normal(4000, 16)).item() == pytest.approx(16**-0.5, rel=0.02)


def test_a_reservoir_keeps_everything_while_there_is_room():
    x, y = normal(30, 4), torch.arange(30) % 3
    kept = Reservoir(30).add(x[:7], y[:7]).add(x[7:], y[7:])
    place = (kept.features[:, None] == x).all(-1).double().argmax(-1)
    assert sorted(place.tolist()) == list(range(30))
    assert torch.equal(kept.target, y[place])
    torch.testing.assert_close(diffusion_entropy(kept.features), diffusion_entropy(x))


def test_a_reservoir_depends_on_the_rows_alone_and_says_how_many_it_saw():
    x, y = normal(500, 2).float(), torch.arange(500) % 3
    whole = Reservoir(40, seed=3).add(x, y)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    halves = Reservoir(40, seed=3), Reservoir(40, seed=3)
    for number, rows in enumerate(order.split(33)):
        halves[number % 2].add(x[rows], y[rows])
    cut = halves[1].merge(halves[0])
    assert torch.equal(cut.features, whole.features)
    assert torch.equal(cut.target, whole.target)
    assert (cut.seen, len(cut.features), len(cut.target)) == (500, 40, 40)
    assert not torch.equal(Reservoir(40, seed=4).add(x, y).features, whole.features)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_row_of_a_reservoir_is_equally_likely(dtype):
    """0.2 is expected of each of 50 rows: over 2,000 seeds its share has a deviation of 0.009.

    Whole numbers in few bits are what a hash of the bits mixes worst.
    """
    counts = torch.zeros(50)
    x, y = torch.arange(50, dtype=dtype)[:, None], torch.zeros(50).long()
    for seed in range(2000):
        counts[Reservoir(10, seed=seed).add(x, y).features.flatten().long()] += 1
    assert (counts / 2000 - 0.2).abs().max() < 0.045


def test_pairs_of_rows_are_kept_as_if_drawn_apart():
    """For one seed too: 0.5 of 100,000 rows of a lattice, and of each of its lines."""
    x = torch.cartesian_prod(torch.arange(100), torch.arange(1000)).float()
    kept = Reservoir(50_000).add(x, torch.zeros(100_000).long()).features
    for column, lines, rows in ((0, 100, 1000), (1, 1000, 100)):
        shares = torch.bincount(kept[:, column].long(), minlength=lines) / rows
        assert (shares - 0.5).abs().max() < 5 * 0.5 / rows**0.5
        assert shares.std() > 0.5 * 0.5 / rows**0.5


def test_reservoirs_refuse_what_cannot_be_merged_or_added():
    x, y = normal(9, 2), torch.arange(9) % 3
    one = Reservoir(4, seed=0).add(x, y)
    for other in (Reservoir(4, seed=1).add(x, y), Reservoir(5, seed=0)):
        with pytest.raises(ValueError, match="other must have size 4 and seed 0, got"):
            one.merge(other)
    with pytest.raises(ValueError, match="2 columns"):
        one.add(x[:, :1], y)
    with pytest.raises(ValueError, match="target"):
        one.add(x, y[:3])
    with pytest.raises(ValueError, match="size"):
        Reservoir(0)
    assert one.merge(Reservoir(4)).seen == 9
    assert len(Reservoir(4).features) == len(Reservoir(4).target) == 0


def test_measures_of_a_sample_are_those_of_what_a_reservoir_keeps():
    x, y = normal(300, 5), torch.arange(300) % 3
    x = x + 2 * normal(3, 5, seed=1)[y]
    kept = Reservoir(100, seed=7).add(x, y)
    options = {"size": 100, "seed": 7}
    torch.testing.assert_close(
        streamed(neighbour_agreement, x, y, **options).compute(),
        icnn_score(kept.features, kept.target).score,
    )
    torch.testing.assert_close(
        streamed(diffusion_label_information, x, y, **options).compute(),
        diffusion_information(kept.features, kept.target),
    )
    alike = Reservoir(100, seed=7).add(x, 0 * y)
    torch.testing.assert_close(
        streamed(diffusion_spectrum, x, **options).compute(), diffusion_entropy(alike.features)
    )
    for measure, tensors in (
        (neighbour_agreement, (x, y)),
        (diffusion_label_information, (x, y)),
        (diffusion_spectrum, (x,)),
    ):
        with pytest.raises(ValueError, match="finite"):
            measure(tensors[0] * math.nan, *tensors[1:])
