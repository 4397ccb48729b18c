"""Two classes in closed form against a search that knows the loss alone."""

from __future__ import annotations

import pytest
import sympy as sp
import torch
import torch.nn.functional as F

from lossviz.theory import MARGIN_LOSSES, comp_sum_transform, margin_transform
from lossviz.theory.margin_losses import SCORE
from lossviz.theory.symbolic import BETA

BETAS = torch.linspace(0, 1, 41, dtype=torch.float64)
each_loss = pytest.mark.parametrize("loss", MARGIN_LOSSES.values(), ids=list(MARGIN_LOSSES))


PHI = {
    "cross-entropy": lambda s: F.softplus(-s, threshold=60),
    "exponential": lambda s: (-s).exp(),
    "squared hinge": lambda s: F.relu(1 - s).square(),
    "hinge": lambda s: F.relu(1 - s),
    "rounded hinge": lambda s: torch.where(s <= 0.5, 1 - s, F.relu(1.5 - s).square() / 2),
}


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_the_transform_is_what_the_search_finds(name):
    transform = MARGIN_LOSSES[name].transform
    stated = torch.tensor([float(transform.subs(BETA, b)) for b in BETAS.tolist()]).double()
    found = margin_transform(PHI[name], BETAS)
    torch.testing.assert_close(stated, found, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_the_form_is_the_torch_function(name):
    scores = torch.linspace(-4, 4, 81, dtype=torch.float64)
    phi = sp.lambdify(SCORE, MARGIN_LOSSES[name].phi, "math")
    stated = torch.tensor([phi(s) for s in scores.tolist()], dtype=torch.float64)
    torch.testing.assert_close(stated, PHI[name](scores))


@each_loss
def test_no_score_on_a_grid_is_better_than_the_minimiser(loss):
    risk = sp.lambdify((SCORE, BETA), loss.conditional_risk(), "math")
    for beta in (0.04, 0.3, 0.8, 0.99):
        best = float(loss.minimiser.subs(BETA, beta))
        least = risk(best, beta)
        grid = torch.linspace(-6, 6, 2401).tolist()
        assert min(risk(score, beta) for score in grid) >= least - 1e-12
        assert least == pytest.approx(
            float(loss.phi.subs(SCORE, 0)) - float(loss.transform.subs(BETA, beta)), abs=1e-12
        )


@each_loss
def test_a_wrong_sign_costs_least_at_the_tie(loss):
    risk = sp.lambdify((SCORE, BETA), loss.conditional_risk(), "math")
    tied = risk(0.0, 0.3)
    assert all(risk(-score, 0.3) >= tied for score in torch.linspace(0, 6, 121).tolist())


def test_cross_entropy_has_the_transform_of_the_family():
    form = MARGIN_LOSSES["cross-entropy"].transform
    stated = torch.tensor([float(form.subs(BETA, b)) for b in BETAS.tolist()]).double()
    torch.testing.assert_close(
        stated, comp_sum_transform(BETAS, tau=1.0, n=7), rtol=1e-6, atol=1e-7
    )


def test_rounding_the_corner_of_the_hinge_leaves_the_bound_linear():
    form = MARGIN_LOSSES["rounded hinge"].transform
    assert sp.limit(form / BETA, BETA, 0) == sp.Rational(1, 2)
    assert sp.limit(MARGIN_LOSSES["cross-entropy"].transform / BETA, BETA, 0) == 0
