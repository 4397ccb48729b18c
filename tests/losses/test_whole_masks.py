"""Masks as wholes: skeletons, the score of thin lines, clouds of masks, topology, transduction."""

from __future__ import annotations

import pytest
import torch

from lossviz import losses


def picture(*rows):
    return torch.tensor([[c == "#" for c in row] for row in rows])


def cloud(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_thick_bar_is_thinned_to_a_line_inside_it():
    bar = picture("........", ".######.", ".######.", ".######.", "........")
    line = losses.skeletonise(bar)
    assert torch.equal(line, picture("........", ".....#..", ".####...", "........", "........"))
    tube = losses.tubed_skeleton(bar)
    assert (tube <= bar).all() and (line <= tube).all()
    assert torch.equal(losses.tubed_skeleton(bar, dilations=0), line)


def test_a_ring_stays_round_by_its_corners_and_a_point_stays():
    ring = picture(".....", ".###.", ".#.#.", ".###.", ".....")
    diamond = picture(".....", "..#..", ".#.#.", "..#..", ".....")
    assert torch.equal(losses.skeletonise(ring), diamond)
    point = picture("...", ".#.", "...")
    assert torch.equal(losses.skeletonise(point), point)
    assert not losses.skeletonise(point & False).any()


def test_skeletons_of_a_batch_are_those_of_its_images():
    masks = cloud(3, 2, 9, 7) < 0.7
    each = torch.stack([torch.stack([losses.skeletonise(m) for m in pair]) for pair in masks])
    assert torch.equal(losses.skeletonise(masks), each)


def test_a_gap_costs_the_score_of_lines_and_empty_masks_score_0():
    line = picture("......", "######", "......")
    broken = picture("......", "###.##", "......")
    assert losses.cldice_score(line, line) == 1
    assert losses.cldice_score(broken, line) == pytest.approx(10 / 11)
    assert losses.cldice_score(line & False, line) == 0
    assert losses.cldice_score(line & False, line & False) == 0


@pytest.mark.parametrize("name", ["energy_distance", "sinkhorn_divergence", "frechet_distance"])
def test_clouds_are_at_distance_0_from_themselves_and_symmetric(name):
    distance = getattr(losses, name)
    x, y = cloud(4, 6), cloud(3, 6, seed=1)
    assert distance(x, x).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(distance(x, y), distance(y, x))
    assert distance(x, y) > 0
    leaf = x.clone().requires_grad_()
    for other in (y, x):
        (slope,) = torch.autograd.grad(distance(leaf, other), leaf)
        assert slope.isfinite().all()


def test_two_single_masks_are_at_their_own_distance():
    x, y = cloud(1, 6), cloud(1, 6, seed=1)
    apart = (x - y).norm()
    torch.testing.assert_close(losses.energy_distance(x, y, least=0.0), apart)
    torch.testing.assert_close(losses.sinkhorn_divergence(x, y), apart**2 / 2)


def test_many_small_steps_converge_to_the_sinkhorn_divergence():
    x, y = cloud(5, 3), cloud(4, 3, seed=1)
    fine, finer = (
        losses.sinkhorn_divergence(x, y, blur=0.3, scaling=scaling) for scaling in (0.98, 0.99)
    )
    torch.testing.assert_close(fine, finer, rtol=1e-3, atol=0)


def test_frechet_distance_is_that_of_the_fitted_gaussians():
    x, y = cloud(9, 3), cloud(8, 3, seed=1)
    one, other = x.T.cov(), y.T.cov()
    root = torch.linalg.eigvals(one @ other).sqrt().sum().real
    wanted = (x.mean(0) - y.mean(0)).square().sum() + one.trace() + other.trace() - 2 * root
    torch.testing.assert_close(losses.frechet_distance(x, y), wanted)


def test_a_cloud_without_points_or_of_another_width_is_refused():
    with pytest.raises(ValueError, match="samples must have at least one row"):
        losses.energy_distance(cloud(0, 3), cloud(2, 3))
    with pytest.raises(ValueError, match="raters"):
        losses.sinkhorn_divergence(cloud(2, 3), cloud(2, 4))
    with pytest.raises(ValueError, match="at least two rows"):
        losses.frechet_distance(cloud(1, 3), cloud(2, 3))


def test_equal_images_match_and_the_gradient_is_that_of_the_value():
    image, target = cloud(5, 6), cloud(5, 6, seed=1)
    same = losses.betti_matching(image, image)
    assert same.loss == 0 and same.unmatched_prediction == same.unmatched_target == 0
    leaf = image.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.betti_matching(x, target).loss, (leaf,))


def test_a_second_component_and_a_hole_cost_their_squared_lengths():
    plain = picture(".....", ".....", "...#.").double() * 0.9
    another = plain.clone()
    another[0, 0] = 0.5
    assert losses.betti_matching(another, plain).loss == pytest.approx(0.25)
    disc = picture("###", "###", "###").double()
    ring = disc.clone()
    ring[1, 1] = 0.2
    found = losses.betti_matching(ring, disc)
    assert found.loss == pytest.approx(0.64)
    assert (found.matched, found.unmatched_prediction, found.unmatched_target) == (1, 1, 0)


def test_dark_pixels_first_is_bright_pixels_first_of_the_negative():
    image, target = cloud(4, 5), cloud(4, 5, seed=1)
    dark = losses.betti_matching(1 - image, 1 - target, superlevel=False)
    torch.testing.assert_close(dark.loss, losses.betti_matching(image, target).loss)


def test_ties_change_the_loss_in_an_example_unless_empty_images_do_not_match():
    image, target = cloud(4, 4), cloud(4, 4, seed=100)
    ties = torch.Generator().manual_seed(0)
    counts = [
        len(
            {
                losses.betti_matching(image, target, ties=ties, empty=e).loss.item()
                for _ in range(20)
            }
        )
        for e in (True, False)
    ]
    assert counts[0] > 1 and counts[1] == 1


def test_an_order_is_asked_of_numbers_only():
    image = cloud(3, 3)
    with pytest.raises(ValueError, match="target must not hold NaN"):
        losses.betti_matching(image, image * torch.nan)


def test_transductive_terms_are_those_of_their_definitions():
    support, mask = cloud(5), torch.tensor([1, 0, 1, 1, 0])
    query, prior = cloud(7, seed=1), torch.tensor([0.7, 0.3]).double()
    terms = losses.repri(support, mask, query, prior)
    cross = torch.nn.functional.binary_cross_entropy
    torch.testing.assert_close(terms.ce, cross(support, mask.double()))
    torch.testing.assert_close(terms.entropy, cross(query, query))
    wanted = (terms.marginal * (terms.marginal / prior).log()).sum()
    torch.testing.assert_close(terms.kl, wanted)
    assert terms.loss(kl_weight=0.0, entropy_weight=0.0) == terms.ce
    sure = losses.repri(support, mask, query.round(), prior)
    assert sure.entropy == 0 and sure.kl.isfinite()
    with pytest.raises(ValueError, match="prior"):
        losses.repri(support, mask, query, torch.ones(3) / 3)
