"""The smooth adversarial loss bounds the adversarial one; it and TRADES keep their promises."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from lossviz import losses
from lossviz.losses import (
    adv_comp_sum,
    adv_comp_sum_at,
    comp_sum,
    trades_at,
    train_adv_comp_sum,
    train_trades,
)

from .test_bad_input import refuses


def linear(seed=0, classes=4, features=3):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    x = 2 * torch.randn(6, features, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (6,), generator=generator)
    return (lambda x: x @ weight.T), x, target


def corners(x, gamma):
    """All corners of the maximum-norm ball: a convex function is largest at one of them."""
    for signs in itertools.product((-1.0, 1.0), repeat=x.shape[1]):
        yield x + gamma * torch.tensor(signs, dtype=x.dtype)


@pytest.mark.parametrize("seed", range(4))
def test_the_attack_finds_the_exact_worst_case_of_a_linear_model(seed):
    model, x, target = linear(seed)
    exact = torch.stack(
        [adv_comp_sum(model(x), model(c), target, reduction="none") for c in corners(x, 0.3)]
    ).amax(0)
    found = adv_comp_sum_at(
        model,
        x,
        target,
        gamma=0.3,
        reduction="none",
        restarts=6,
        generator=torch.Generator().manual_seed(seed),
    )
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0])
def test_it_bounds_the_adversarial_ramp_loss_from_above(tau, rho):
    """For nu = sqrt(K - 1)/rho, at the worst place of the ball by far more than by luck."""
    nu = math.sqrt(3) / rho
    for seed in range(10):
        model, x, target = linear(seed)
        places = list(corners(x, 0.3))
        bound = torch.stack(
            [
                adv_comp_sum(model(x), model(c), target, tau=tau, rho=rho, nu=nu, reduction="none")
                for c in places
            ]
        ).amax(0)
        generator = torch.Generator().manual_seed(seed)
        moves = 2 * torch.rand(50, *x.shape, generator=generator, dtype=x.dtype) - 1
        for place in [*places, *(x + 0.3 * moves)]:
            z = model(place)
            lead = z.gather(1, target[:, None]) - z
            ramps = (1 - lead / rho).clamp(0, 1)
            total = ramps.sum(1) - 1  # the target's own ramp is 1
            power = tau - 1
            phi = total.log1p() if power == 0 else (1 - (1 + total) ** -power) / power
            assert (phi <= bound + 1e-12).all()


@pytest.mark.parametrize("tau", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0])
def test_from_tau_1_on_it_bounds_the_worst_comp_sum_loss_whatever_the_number_of_classes(tau, rho):
    for seed in range(10):
        model, x, target = linear(seed, classes=9)
        for place in corners(x, 0.3):
            z, moved = model(x), model(place)
            bound = adv_comp_sum(z, moved, target, tau=tau, rho=rho, nu=1 / rho, reduction="none")
            assert (comp_sum(moved / rho, target, tau=tau, reduction="none") <= bound + 1e-12).all()


def test_a_norm_of_nothing_has_value_and_slope_zero():
    logits = torch.tensor([[1.0, 2.0, -1.0]], requires_grad=True)
    other = logits.detach().clone().requires_grad_()
    target = torch.tensor([0])
    loss = adv_comp_sum(logits, other, target, nu=3.0)
    loss.backward()
    torch.testing.assert_close(loss, comp_sum(logits, target))
    assert (other.grad == 0).all()
    assert logits.grad.isfinite().all()


def test_huge_shifts_do_not_overflow():
    z = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.float64)
    far = torch.tensor([[0.0, 3e200, 4e200]], dtype=torch.float64)
    torch.testing.assert_close(
        adv_comp_sum(z, far, torch.tensor([0])), torch.tensor(5e200, dtype=torch.float64)
    )


def test_ignored_rows_count_for_nothing():
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    far, target = z.flip(0), torch.tensor([0, -100, 2, -100])
    keep = target >= 0
    torch.testing.assert_close(
        adv_comp_sum(z, far, target), adv_comp_sum(z[keep], far[keep], target[keep])
    )


def moons(count=120):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 2, generator=generator)
    target = (x[:, 0] + 0.5 * x[:, 1] > 0).long() + (x[:, 1] > 1).long()
    return x, target


def small_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))


def fit(nu, passes=25):
    model = small_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-4)
    x, target = moons()
    batches = list(zip(x.split(40), target.split(40), strict=True))
    generator = torch.Generator().manual_seed(0)
    means = []
    for _ in range(passes):
        losses = train_adv_comp_sum(
            model, batches, optimizer, gamma=0.2, nu=nu, steps=3, generator=generator
        )
        means.append(sum(losses) / len(losses))
    return model, means


def test_training_lowers_its_loss_and_weighing_the_shift_makes_it_smaller():
    def shift(model):
        x, target = moons()
        options = {"gamma": 0.2, "restarts": 2, "generator": torch.Generator().manual_seed(1)}
        with torch.no_grad():
            both = [adv_comp_sum_at(model, x, target, nu=nu, **options) for nu in (1.0, 0.0)]
        return both[0] - both[1]

    plain, _ = fit(nu=0.0)
    smooth, means = fit(nu=1.0)
    assert means[-1] < 0.9 * means[0]
    assert shift(smooth) < 0.6 * shift(plain)


def test_evaluating_the_loss_leaves_an_evaluated_model_as_it_was():
    model = small_network().eval()
    before = copy.deepcopy(model.state_dict())
    x, target = moons(10)
    adv_comp_sum_at(model, x, target, gamma=0.2)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("options", [{"beta": 0.0, "gamma": 0.3}, {"gamma": 0.0}])
def test_trades_without_weight_or_without_adversary_is_cross_entropy(options):
    model, x, target = linear()
    ours = trades_at(model, x, target, reduction="none", **options)
    torch.testing.assert_close(ours, F.cross_entropy(model(x), target, reduction="none"))


@pytest.mark.parametrize("seed", range(3))
def test_trades_adds_the_largest_divergence_in_the_ball(seed):
    """Of two classes the divergence falls and then rises along any line: a corner is worst."""
    model, x, target = linear(seed, classes=2)
    p = model(x).softmax(1)
    divergences = [(p * (p / model(c).softmax(1)).log()).sum(1) for c in corners(x, 0.3)]
    expected = F.cross_entropy(model(x), target, reduction="none")
    expected = expected + 2.5 * torch.stack(divergences).amax(0)
    generator = torch.Generator().manual_seed(seed)
    found = trades_at(
        model,
        x,
        target,
        gamma=0.3,
        beta=2.5,
        reduction="none",
        restarts=6,
        generator=generator,
    )
    torch.testing.assert_close(found, expected)


def test_trades_has_the_gradient_of_both_its_places():
    _, x, target = linear(classes=2)
    weight = torch.randn(3, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    weight.requires_grad_()

    def loss(weight):
        generator = torch.Generator().manual_seed(0)
        return trades_at(lambda x: x @ weight, x, target, gamma=0.3, generator=generator)

    # the worst place is a corner, and stays the same corner for a small change of the weights
    assert torch.autograd.gradcheck(loss, weight)


def test_trades_leaves_ignored_rows_out():
    model, x, target = linear()
    target[1] = -100
    rows, mean = (
        trades_at(model, x, target, gamma=0.3, reduction=reduction, generator=generator)
        for reduction, generator in (
            ("none", torch.Generator().manual_seed(0)),
            ("mean", torch.Generator().manual_seed(0)),
        )
    )
    assert rows[1] == 0
    torch.testing.assert_close(mean, rows[target >= 0].mean())


def test_training_with_trades_lowers_its_loss_and_moves_probabilities_less():
    def trained(beta):
        model, (x, target) = small_network(), moons()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        generator = torch.Generator().manual_seed(0)
        losses = train_trades(
            model,
            [(x, target)] * 60,
            optimizer,
            gamma=0.2,
            beta=beta,
            steps=3,
            generator=generator,
        )
        generator.manual_seed(1)
        with torch.no_grad():
            one, none = (
                trades_at(model, x, target, gamma=0.2, beta=b, generator=generator)
                for b in (1.0, 0.0)
            )
        return one - none, losses

    moved, losses = trained(6.0)
    assert losses[-1] < 0.8 * losses[0]
    assert moved < 0.5 * trained(0.0)[0]


def test_bad_input_is_refused_by_name():
    model, x, target = linear()
    with refuses(ValueError, "beta", "[0, ∞)", "-1.0"):
        trades_at(model, x, target, gamma=0.1, beta=-1)
    with refuses(ValueError, "radius", "-0.1"):
        trades_at(model, x, target, gamma=-0.1)
    with refuses(ValueError, "radius", "-0.1"):
        adv_comp_sum_at(model, x, target, gamma=-0.1)
    with refuses(ValueError, "norm", "'l3'"):
        adv_comp_sum_at(model, x, target, gamma=0.1, norm="l3")
    z = model(x)
    with refuses(ValueError, "logits", "adversarial", "(6, 4)", "(5, 4)"):
        adv_comp_sum(z, z[:5], target)
    with refuses(TypeError, "adversarial", "list"):
        adv_comp_sum(z, z.tolist(), target)
    with refuses(ValueError, "target", "[0, 4)", "4"):
        adv_comp_sum(z, z, torch.full((6,), 4))
    with refuses(ValueError, "rho", "(0, ∞)", "0.0"):
        adv_comp_sum(z, z, target, rho=0)
    with refuses(ValueError, "nu", "[0, ∞)", "-1.0"):
        adv_comp_sum(z, z, target, nu=-1)


@pytest.mark.parametrize("train", [losses.train_trades, losses.train_adv_comp_sum])
def test_an_optimizer_that_needs_a_closure_is_refused_before_anything_moves(train):
    model = torch.nn.Linear(4, 3)
    before = model.weight.detach().clone()
    with pytest.raises(TypeError, match="without a closure, got LBFGS"):
        train(
            model,
            [(torch.rand(2, 4), torch.tensor([0, 1]))],
            torch.optim.LBFGS(model.parameters()),
            gamma=0.1,
        )
    assert torch.equal(model.weight, before)
