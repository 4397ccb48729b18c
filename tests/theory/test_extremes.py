"""Extreme but valid parameters give limits: no overflow, no NaN, no exception."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lossviz import theory

TAUS = st.one_of(
    st.floats(0, 1e308),
    st.floats(0, 3),
    st.sampled_from([0.0, 1.0, 2.0, math.nextafter(2, 0), math.nextafter(2, 3), 60.0]),
)
CLASSES = st.one_of(st.integers(2, 1000), st.integers(2, 10**308))


@settings(max_examples=150, deadline=None)
@given(TAUS, CLASSES, st.floats(0, math.inf), st.floats(0, 1))
@example(60.0, 10**6, 0.5, 0.5)
@example(1e308, 10**308, 0.0, 0.0)
@example(math.nextafter(2, 0), 10**308, 0.0, 0.0)
@example(1e308, 10**308, 5e-324, 5e-324)
def test_transform_and_bound_keep_to_their_ranges(tau, n, t, beta):
    options = {"tau": tau, "n": n}
    surrogate = torch.tensor([0.0, t, math.inf], dtype=torch.float64)
    bound = theory.comp_sum_gamma(surrogate, **options)
    assert bound[0] == 0
    assert bound[2] == 1
    assert 0 <= bound[1] <= 1
    above = theory.comp_sum_gamma_tilde(surrogate, **options)
    assert above[0] == 0
    assert above[2] == math.inf
    assert above[1] >= bound[1] * (1 - 1e-9)
    ends = torch.tensor([0.0, beta, 1.0], dtype=torch.float64)
    curve = theory.comp_sum_transform(ends, **options)
    assert curve[0] == 0
    assert 0 <= curve[1] <= curve[2] < math.inf
    coefficient = theory.comp_sum_growth_coefficient(tau, n=n)
    assert coefficient >= 0
    assert (coefficient == math.inf) == (tau >= 2)


@pytest.mark.parametrize(
    ("tau", "n", "t", "above"),  # (tau - 1) n^(tau - 1) t
    [
        (60.0, 10**6, 0.5, math.inf),
        (60.0, 10**6, 1e-320, 59 * 9.99989e33),  # 1e-320 is subnormal, 9.99989e-321
        (101.0, 10**3, 1e-303, 0.1),
        (3.0, 10**160, 1e-320, 2 * 0.999989),
    ],
)
def test_a_slope_beyond_floats_still_meets_a_small_regret(tau, n, t, above):
    found = theory.comp_sum_gamma_tilde(t, tau=tau, n=n)
    assert found == pytest.approx(above, rel=1e-4)
    assert theory.comp_sum_gamma(t, tau=tau, n=n) == pytest.approx(min(1.0, above), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(TAUS, st.integers(2, 6), st.floats(0, 300), st.integers(0, 99))
@example(1e308, 3, 0.0, 0)
def test_conditional_risks_and_both_sides_of_the_bound_stay_numbers(tau, n, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(4, n, generator=generator, dtype=torch.float64)
    p = scores.flip(0).softmax(-1)
    least = theory.comp_sum_conditional_min(p, tau=tau)
    regret = theory.comp_sum_conditional_regret(p, 0, tau=tau)
    assert not least.isnan().any()
    assert (least >= 0).all()
    assert (regret >= 0).all()
    risk = theory.comp_sum_conditional_risk(p, scores, tau=tau)
    assert (risk >= least - 1e-9 * (1 + least)).all()
    both = theory.consistency_bound(scores, torch.arange(4) % n, tau=tau)
    assert 0 <= both.right <= 1
    assert both.holds or math.isinf(both.surrogate_risk)


def test_a_number_of_classes_beyond_floats_is_refused():
    with pytest.raises(ValueError, match=r"n must be at most 1\.79769e"):
        theory.comp_sum_gamma(0.1, tau=3.0, n=10**400)


def test_a_regret_is_as_accurate_as_the_risks_that_are_subtracted():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(200, generator=generator, dtype=torch.float64).log().neg()
    p = p / p.sum()
    least = float(theory.comp_sum_conditional_min(p, tau=0.0))
    for k in (0, 7, 199):
        weights = p.clone()
        pool, rest = [k], sorted((i for i in range(200) if i != k), key=lambda i: -p[i])
        for i in rest:  # pooled with the classes above its mean
            if p[i] > p[pool].mean():
                pool.append(i)
        weights[pool] = p[pool].mean()
        roots = [math.fsum(w.sqrt().tolist()) ** 2 for w in (weights, p)]
        slack = 1e-14 * (1 + least)
        wanted = roots[0] - roots[1]
        assert theory.comp_sum_conditional_regret(p, k, tau=0.0) == pytest.approx(
            wanted, rel=1e-9, abs=10 * slack
        )
