"""Risk of regression from bags: closed limits, and a simulation that knows nothing of them."""

from __future__ import annotations

import pytest
import torch

from lossviz.theory import aggregate_asymptotic_risk


def test_the_ends_are_the_closed_forms_of_both_losses():
    psi, k, noise, size = 6.0, 3, 0.7, 1.3
    risk = aggregate_asymptotic_risk([0.0, 1.0], psi=psi, k=k, sigma2=noise, theta_norm2=size)
    alpha = 1 - 1 / k
    assert risk.bias2 == pytest.approx([0, size * (alpha**2 + alpha * (1 - alpha) / (psi - 1))])
    assert risk.variance == pytest.approx([noise / (psi / k - 1), noise / (k * (psi - 1))])


def test_bags_of_one_are_least_squares_whatever_rho():
    risk = aggregate_asymptotic_risk([0.0, 0.3, 1.0, 2.0], psi=4.0, k=1, sigma2=0.5)
    assert risk.bias2 == pytest.approx([0] * 4, abs=1e-12)
    assert risk.variance == pytest.approx([0.5 / 3] * 4)


def test_least_squares_on_drawn_bags_has_the_risk():
    d, psi, k, rho, noise = 60, 6, 3, 0.3, 0.5
    generator = torch.Generator().manual_seed(0)
    risks = []
    for _ in range(10):
        x = torch.randn(psi * d // k, k, d, generator=generator, dtype=torch.float64)
        theta = torch.zeros(d, dtype=torch.float64)
        theta[0] = 1.0
        y = x @ theta + noise**0.5 * torch.randn(x.shape[:2], generator=generator).double()
        mean, off = x.mean(1), x - x.mean(1, keepdim=True)
        moments = mean.T @ mean + rho * torch.einsum("mki,mkj->ij", off, off) / k
        fitted = torch.linalg.solve(moments, mean.T @ y.mean(1))
        risks.append((fitted - theta).square().sum())
    limit = sum(aggregate_asymptotic_risk(rho, psi=psi, k=k, sigma2=noise))
    spread = torch.stack(risks).std() / len(risks) ** 0.5
    assert abs(torch.stack(risks).mean() - limit) < 4 * spread + 0.01


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"psi": 0.9}, "psi must be above 1"),
        ({"psi": 2.5, "k": 3}, "above k = 3"),
        ({"sigma2": -1.0}, "sigma2"),
        ({"k": 0}, "k must be"),
    ],
    ids=["psi", "bags", "noise", "size"],
)
def test_numbers_out_of_range_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        aggregate_asymptotic_risk(0.0, **{"psi": 6.0, "k": 2, "sigma2": 1.0, **options})
