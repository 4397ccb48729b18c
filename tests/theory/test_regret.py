"""The conditional regret in closed form against a search that does not know it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lossviz.losses import comp_sum
from lossviz.theory import (
    bounded_scores_counterexample,
    brute_force_conditional_min,
    comp_sum_conditional_min,
    comp_sum_conditional_min_bounded,
    comp_sum_conditional_regret,
    comp_sum_conditional_risk,
    comp_sum_extremal_distribution,
    hcons_bounded_ce_binary,
)

from .distributions import BETAS, TAUS, with_lead


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("tau", TAUS)
def test_closed_form_regret_equals_the_brute_force(tau: float, n: int) -> None:
    """At random distributions and at the extremal ones, for 22 leads, whatever class is forced."""
    unit = torch.rand(len(BETAS), max(n - 2, 1), generator=seeded(n)).double()
    p = torch.cat([with_lead(BETAS, n, unit), comp_sum_extremal_distribution(BETAS, tau=tau, n=n)])
    every = torch.stack([brute_force_conditional_min(p, k, tau=tau) for k in range(n)])
    closed = torch.stack([comp_sum_conditional_regret(p, k, tau=tau) for k in range(n)])
    least = every.amin(0)
    torch.testing.assert_close(comp_sum_conditional_min(p, tau=tau), least, rtol=0, atol=1e-9)
    torch.testing.assert_close(closed, every - least, rtol=0, atol=1e-9)


def test_regret_and_minimum_have_the_values_of_the_specification() -> None:
    p = [0.42, 0.35, 0.15, 0.08]
    least = [2.6474242551354257, 1.768141823504239, 1.2184142712880635, 0.854923583336029,
             0.6374037037840325, 0.58, 0.29]  # fmt: skip
    regret = [0.004911106113845154, 0.003609653430350246, 0.0031862154041308877,
              0.004287216154078122, 0.015224686284178057, 0.035, 0.035]  # fmt: skip
    for tau, low, excess in zip(TAUS, least, regret, strict=True):
        assert comp_sum_conditional_min(p, tau=tau) == pytest.approx(low, rel=1e-14)
        assert comp_sum_conditional_regret(p, 1, tau=tau) == pytest.approx(excess, rel=1e-11)


@pytest.mark.parametrize("tau", [0, 1 - 1e-10, 1, 1 + 1e-10, 1.5, 2 - 1e-12, 2, 5])
def test_no_scores_do_better_than_the_minimum_for_their_prediction(tau: float) -> None:
    p = torch.distributions.Dirichlet(torch.ones(40).double()).sample((200,))
    scores = p.log() + 0.3 * torch.randn(200, 40, generator=seeded()).double()
    excess = comp_sum_conditional_risk(p, scores, tau=tau) - comp_sum_conditional_min(p, tau=tau)
    regret = comp_sum_conditional_regret(p, scores.argmax(1), tau=tau)
    assert (excess >= regret - 1e-12 * excess.abs().clamp(min=1)).all()
    assert (regret[scores.argmax(1) != p.argmax(1)] > 0).all()


@pytest.mark.parametrize("tau", TAUS)
def test_predicting_a_most_probable_class_costs_nothing(tau: float) -> None:
    p = torch.distributions.Dirichlet(torch.ones(6).double()).sample((50,))
    assert (comp_sum_conditional_regret(p, p.argmax(1), tau=tau) < 1e-14).all()


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 1.9])
def test_minimum_is_attained_at_the_escort_distribution(tau: float) -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    risk = comp_sum_conditional_risk(p, p.log() / (2 - tau), tau=tau)
    assert risk == pytest.approx(comp_sum_conditional_min(p, tau=tau).item(), rel=1e-13)


def test_conditional_risk_is_the_expected_loss() -> None:
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    scores = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    for tau in TAUS:
        losses = comp_sum(scores.expand(3, 3), torch.arange(3), tau=tau, reduction="none")
        torch.testing.assert_close(comp_sum_conditional_risk(p, scores, tau=tau), p @ losses)


@pytest.mark.parametrize("tau", TAUS)
def test_bounded_minimum_equals_a_grid_over_the_box(tau: float) -> None:
    p = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64)).sample((6,))
    p[0] = torch.tensor([0.7, 0.3, 0.0])
    for bound in (0.2, 1.0):
        axis = torch.linspace(-bound, bound, 81, dtype=torch.float64)
        box = torch.cartesian_prod(axis, axis, axis)
        grid = comp_sum_conditional_risk(p[:, None], box, tau=tau).amin(1)
        found = comp_sum_conditional_min_bounded(p, bound, tau=tau)
        assert (found <= grid + 1e-12).all()
        assert (found >= grid - 2 * bound**2 / 80**2 * (1 + found)).all()


@pytest.mark.parametrize("tau", TAUS)
def test_bounded_minimum_has_its_known_ends(tau: float) -> None:
    """Bound 0 is the uniform softmax, no bound the free minimum, one sure label the best margin."""
    p = torch.tensor([0.42, 0.35, 0.15, 0.08], dtype=torch.float64)
    uniform = comp_sum_conditional_risk(p, torch.zeros(4).double(), tau=tau)
    torch.testing.assert_close(comp_sum_conditional_min_bounded(p, 0.0, tau=tau), uniform)
    free = comp_sum_conditional_min(p, tau=tau)
    torch.testing.assert_close(comp_sum_conditional_min_bounded(p, 60.0, tau=tau), free)
    assert comp_sum_conditional_min_bounded(p, math.inf, tau=tau) == free
    u = 3 * math.exp(-2 * 0.7)
    phi = math.log1p(u) if tau == 1 else ((1 + u) ** (1 - tau) - 1) / (1 - tau)
    sure = comp_sum_conditional_min_bounded([0, 1, 0, 0], 0.7, tau=tau)
    assert sure == pytest.approx(phi, rel=1e-12)


def test_bounded_binary_transform_is_exact() -> None:
    """Two classes: the least regret of scores in the box that predict the less likely class."""
    beta = torch.linspace(0.01, 1, 25, dtype=torch.float64)
    p = torch.stack([(1 + beta) / 2, (1 - beta) / 2], -1)
    for bound in (0.3, 1.5):
        tied = comp_sum_conditional_risk(p, torch.zeros(2).double(), tau=1)
        excess = tied - comp_sum_conditional_min_bounded(p, bound, tau=1)
        torch.testing.assert_close(
            excess, hcons_bounded_ce_binary(beta, Lambda=bound), rtol=1e-9, atol=1e-13
        )


def test_bounded_transform_fails_for_three_classes() -> None:
    regrets = []
    for epsilon in (1e-2, 1e-4, 1e-6, 1e-8):
        p, scores = bounded_scores_counterexample(0.3, epsilon)
        assert scores.abs().max() <= 0.3
        assert p.max() - p[scores.argmax()] == pytest.approx(0.1)
        least = comp_sum_conditional_min_bounded(p, 0.3, tau=1)
        regrets.append((comp_sum_conditional_risk(p, scores, tau=1) - least).item())
    assert (np.diff(regrets) < 0).all()
    # With two classes the same zero-one regret would cost at least this much.
    assert regrets[-1] < 1e-8 < hcons_bounded_ce_binary(0.1, Lambda=0.3)


def test_batches_keep_their_shape() -> None:
    p = torch.full((2, 3, 4), 0.25)
    assert comp_sum_conditional_regret(p, torch.zeros(2, 3, dtype=torch.int64), tau=1).shape == (
        2,
        3,
    )
    assert comp_sum_conditional_min(p, tau=1).dtype == torch.float32
    assert comp_sum_conditional_min_bounded(p, [[0.1, 0.2, 0.3]], tau=1.5).shape == (2, 3)
