"""What samplers leave of a distribution: by their definitions, with ties, limits and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz import analysis
from lossviz.analysis import Mirostat

INF = math.inf
SAMPLERS = {
    "at_temperature": (0.0, 0.3, 1.0, 2.0, INF),
    "top_k": (1, 2, 5, 100),
    "top_p": (1e-9, 0.3, 0.9, 1.0),
    "min_p": (0.0, 0.05, 0.5, 1.0),
    "typical": (1e-9, 0.3, 0.9, 1.0),
    "eta": (0.0, 1e-3, 0.2, 0.9),
    "top_n_sigma": (0.0, 1.0, 3.0, INF),
    "top_h": (1e-9, 0.4, 0.9, 1.0),
}
CUTS_NOTHING = {
    "top_k": 100, "top_p": 1.0, "min_p": 0.0, "typical": 1.0, "eta": 0.0, "top_n_sigma": INF,
    "top_h": 1.0, "at_temperature": 1.0,
}  # fmt: skip
EVERY = [(name, value) for name, values in SAMPLERS.items() for value in values]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sampler(name):
    return getattr(analysis, name)


def left(name, probabilities, value):
    """The tokens that a sampler keeps of one distribution."""
    found = sampler(name)(torch.tensor(probabilities, dtype=torch.float64).log(), value)
    return found.kept.nonzero()[:, 0].tolist()


@pytest.mark.parametrize(("name", "value"), EVERY)
def test_what_is_left_is_a_distribution_in_the_old_proportions_and_its_entropy(name, value):
    z = 2 * normal(3, 4, 12)
    z[..., 3] = -INF  # ruled out before
    found = sampler(name)(z, value)
    p = found.probabilities
    torch.testing.assert_close(p.sum(-1), torch.ones(3, 4).double())
    entropy = torch.distributions.Categorical(probs=p).entropy()
    torch.testing.assert_close(found.entropy, entropy, rtol=1e-9, atol=1e-12)
    assert (found.kept == (p > 0)).all() and not found.kept[..., 3].any()
    if name != "at_temperature":
        torch.testing.assert_close(p, (z.softmax(-1) * found.kept) / (
            z.softmax(-1) * found.kept).sum(-1, keepdim=True))  # fmt: skip


@pytest.mark.parametrize(("name", "value"), EVERY)
def test_rows_names_of_tokens_and_a_constant_change_nothing(name, value):
    z = normal(5, 9)
    found = sampler(name)(z, value)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sampler(name)(z[:, order], value).kept, found.kept[:, order])
    moved = sampler(name)(z + 3.0, value)
    torch.testing.assert_close(moved.entropy, found.entropy, rtol=1e-9, atol=1e-12)
    for row, entropy in zip(z, found.entropy, strict=True):
        torch.testing.assert_close(sampler(name)(row, value).entropy, entropy)


@pytest.mark.parametrize(("name", "value"), CUTS_NOTHING.items())
def test_the_widest_setting_leaves_the_softmax_as_it_is(name, value):
    z = torch.cat([torch.tensor([0.0, 40.0, -700.0, -800.0]), 5 * normal(40)])
    torch.testing.assert_close(sampler(name)(z, value).log_probabilities, z.log_softmax(-1))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("top_k", 2, [0, 1]),
        ("top_p", 0.4, [0]),  # a mass that is met exactly is enough
        ("top_p", 0.7, [0, 1]),
        ("top_p", 0.71, [0, 1, 2]),
        ("min_p", 0.5, [0, 1, 2]),
        ("min_p", 0.51, [0, 1]),
        ("typical", 0.2, [1]),  # H = 1.28: surprises 0.92, 1.20, 1.61 and 2.30
        ("typical", 0.4, [1, 2]),
        ("typical", 0.6, [0, 1, 2]),
        ("eta", 0.3, [0, 1, 2]),  # sqrt(0.3) e^-H = 0.152
        ("eta", 0.1, [0, 1, 2, 3]),  # 0.088
        ("top_n_sigma", 0.5, [0, 1]),  # sigma = 0.595, steps 0.288, 0.693 and 1.386
        ("top_n_sigma", 2.0, [0, 1, 2]),
        ("top_h", 0.5, [0]),  # entropies 0, 0.68, 1.06 and 1.28
        ("top_h", 0.6, [0, 1]),
        ("top_h", 0.9, [0, 1, 2]),
    ],
)
def test_four_tokens_are_cut_as_reckoned_by_hand(name, value, expected):
    assert left(name, [0.4, 0.3, 0.2, 0.1], value) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("at_temperature", 0.0, [1, 2]),  # thresholds treat equals alike
        ("min_p", 1.0, [1, 2]),
        ("top_n_sigma", 0.0, [1, 2]),
        ("top_k", 1, [1]),  # numbers of tokens and masses take no more than they need
        ("top_p", 0.3, [1]),
        ("top_h", 1e-9, [1]),
    ],
)
def test_equals_are_kept_together_or_taken_in_order(name, value, expected):
    assert left(name, [0.2, 0.4, 0.4], value) == expected


def test_the_entropy_of_top_h_stays_below_its_bound():
    p = torch.tensor([0.05] * 10 + [0.00625] * 80, dtype=torch.float64)
    found = analysis.top_h(p.log(), 0.3)
    assert found.kept.sum() == 3
    assert found.entropy <= 0.3 * analysis.top_h(p.log(), 1.0).entropy


@given(st.integers(0, 200), st.floats(0.01, 1.0))
def test_top_h_takes_the_most_that_its_bound_allows(seed, share):
    z = 3 * normal(12, seed=seed)
    whole = analysis.top_k(z, 12).entropy
    each = torch.stack([analysis.top_k(z, k).entropy for k in range(1, 13)])
    assert (each.diff() > 0).all()
    kept = int(analysis.top_h(z, share).kept.sum())
    assert kept == max(1, int((each <= share * whole + 1e-11).sum()))


@given(st.integers(0, 200), st.floats(1e-6, 0.999))
def test_no_fewer_tokens_have_the_mass_of_a_nucleus(seed, mass):
    p = (2 * normal(10, seed=seed)).softmax(-1)
    kept = analysis.top_p(p.log(), mass).kept
    assert p[kept].sum() >= mass - 1e-12
    assert p.sort(descending=True).values[: int(kept.sum()) - 1].sum() < mass


def test_a_cut_can_be_cut_again():
    once = analysis.top_k(normal(8), 1)
    again = analysis.top_p(once.log_probabilities, 0.8)
    assert again.kept.sum() == 1 and again.probabilities.max() == 1


def test_temperature_does_not_move_the_cut_in_logits():
    z = normal(50)
    wide, narrow = (analysis.top_n_sigma(z / t, 1.5).kept for t in (0.1, 10.0))
    assert torch.equal(wide, narrow)


def test_tokens_that_are_ruled_out_do_not_widen_the_deviation():
    z = normal(6)
    masked = torch.cat([z, torch.full((20,), -INF).double()])
    for name, value in (("top_n_sigma", 1.0), ("top_h", 0.6), ("typical", 0.5), ("eta", 0.3)):
        assert torch.equal(sampler(name)(masked, value).kept[:6], sampler(name)(z, value).kept)
    alone = torch.tensor([-INF, 2.0, -INF])
    for name, value in EVERY:
        assert sampler(name)(alone, value).probabilities.tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("logits", "said"),
    [
        ([1.0], r"\(\.\.\., V\) with V >= 2, got \(1,\)"),
        ([], "V >= 2"),
        (torch.zeros(0, 4), r"got \(0, 4\)"),
        ([[0.0, 1.0], [-INF, -INF]], "a row of -inf"),
        ([0.0, math.nan], "NaN"),
        ([0.0, INF], r"\+inf"),
    ],
)
def test_logits_without_a_distribution_are_refused(name, logits, said):
    with pytest.raises(ValueError, match=said):
        sampler(name)(logits, SAMPLERS[name][1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("at_temperature", -1.0),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("typical", 0.0),
        ("eta", 1.0),
        ("top_n_sigma", -1.0),
        ("top_h", 0.0),
    ],
)
@pytest.mark.parametrize("nan", [False, True])
def test_parameters_out_of_range_are_refused_with_their_value(name, value, nan):
    value = math.nan if nan and name != "top_k" else value
    with pytest.raises(ValueError, match=f"got {value!r}"):
        sampler(name)(normal(4), value)


def test_mirostat_keeps_what_is_no_more_surprising_than_mu_in_bits_or_in_nats():
    z = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
    for unit, bits in (("bits", 1.0), ("nats", math.log(2))):
        state = Mirostat(1.0, unit=unit)
        state.mu = torch.tensor(2.1 * bits, dtype=torch.float64)
        found = state.truncated(z)
        assert found.kept.tolist() == [True, True, False, False]
        step = state.step(z, 0.9)
        assert (step.kept, step.token) == (2, 1)
        assert step.surprise.item() == pytest.approx(2 * bits)
        assert step.mu.item() == pytest.approx(2.1 * bits - (2 * bits - 1.0))


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_draws_from_what_it_says_it_draws_from(version):
    z = 2 * normal(1, 30)
    state = Mirostat(1.5, version=version)
    mu, law = state.mu, state.truncated(z)[0].exp()
    uniform = (torch.arange(20_000).double() + 0.5) / 20_000
    token = state.step(z.expand(20_000, -1), uniform).token
    share = torch.bincount(token, minlength=30) / 20_000
    torch.testing.assert_close(share, law[0], rtol=0, atol=1e-4, check_dtype=False)
    assert mu == 3.0 and state.mu.shape == (20_000,)


@pytest.mark.parametrize("version", [1, 2])
def test_rows_of_mirostat_do_not_know_of_one_another(version):
    steps, uniform = normal(4, 3, 25), torch.rand(4, 3, dtype=torch.float64)
    together = Mirostat(2.0, version=version)
    alone = [Mirostat(2.0, version=version) for _ in range(3)]
    for z, u in zip(steps, uniform, strict=True):
        found = together.step(z, u)
        for row, state in enumerate(alone):
            assert state.step(z[row], u[row]).token == found.token[row]
    torch.testing.assert_close(together.mu, torch.stack([state.mu for state in alone]))


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_keeps_at_least_one_token_and_no_ruled_out_one(version):
    state = Mirostat(3.0, version=version)
    for mu in (-1e4, 1e4):
        for z in ([math.log(0.25), math.log(0.75)], [-INF, 1.0], [0.0, 0.0], [-INF, 0.0, -INF]):
            state.mu = torch.tensor(mu, dtype=torch.float64)
            likeliest = len(z) - 1 if z[0] != z[-1] else int(z[1] == 0 and len(z) == 3)
            if mu < 0:
                assert state.truncated(z).kept.nonzero()[:, 0].tolist() == [likeliest]
            assert z[int(state.step(z, 0.999).token)] > -INF


def zipf_source(steps, runs, seed):
    """Logits of 3,000 tokens whose Zipf exponent changes with each token, as in the spec's echo."""
    generator = torch.Generator().manual_seed(seed)
    rank = torch.arange(1, 3001).double().log()
    for _ in range(steps):
        exponent = 1.05 + 0.55 * torch.rand(runs, 1, generator=generator, dtype=torch.float64)
        yield -exponent * rank, torch.rand(runs, generator=generator, dtype=torch.float64)


def test_the_second_version_holds_two_and_four_bits_and_falls_short_of_six():
    """20 seeds of 2,000 tokens each, for three targets; takes some 15 seconds.

    Short of six bits because the source often has less to give: its entropy is 5.7 bits on average.
    """
    states = {target: Mirostat(target) for target in (2.0, 4.0, 6.0)}
    total = dict.fromkeys(states, 0.0)
    for z, u in zipf_source(2000, 20, seed=0):
        for target, state in states.items():
            total[target] += state.step(z, u).surprise.mean().item() / 2000
    assert total[2.0] == pytest.approx(2.0, rel=0.02)
    assert total[4.0] == pytest.approx(4.0, rel=0.02)
    assert 5.0 < total[6.0] < 6.0 * 0.98


def rows_change(state):
    state.step(torch.zeros(2, 3), torch.zeros(2))
    state.step(torch.zeros(3, 3), torch.zeros(3))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Mirostat(0.0), "target"),
        (lambda: Mirostat(-1.0), "target"),
        (lambda: Mirostat(INF), "target"),
        (lambda: Mirostat(1.0, rate=0.0), "rate"),
        (lambda: Mirostat(1.0, version=3), "version"),
        (lambda: Mirostat(1.0, unit="bit"), "unit"),
        (lambda: Mirostat(1.0, version=1, most=0), "most"),
        (lambda: Mirostat(1.0, version=1, vocabulary=1), "vocabulary"),
        (lambda: rows_change(Mirostat(1.0)), "keep their rows"),
        (lambda: Mirostat(3.0).step([0.5, 0.5], 1.0), "uniform"),
        (lambda: Mirostat(3.0).step(torch.zeros(2, 3), 0.5), "uniform"),
        (lambda: Mirostat(3.0).step([-INF, -INF], 0.5), "logits"),
        (lambda: Mirostat(3.0).truncated([0.0]), "logits"),
    ],
)
def test_what_mirostat_cannot_do_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()
