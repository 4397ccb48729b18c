"""The exact laboratory: closed forms against autograd, draws against expectations, its methods."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.experiments import updates
from lossviz.experiments.bandits import Tokens, Tree, ascend, group_relative

BANDIT = Tree([[1.0, 0, 0, 1, 0], [0, 1, 0, 0, 0]])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def deep():
    return Tree(normal(2, 3, 3, 3).exp())


METHODS = {
    "reinforce": updates.reinforce(),
    "clipped": updates.clipped(),
    "clip higher, dual": updates.clipped(high=0.28, dual=3.0),
    "cispo": updates.cispo(),
    "gspo": updates.gspo(),
    "W-REINFORCE": updates.signed(0.1, 1.0),
    "Clip-Cov": updates.clip_cov(quantiles=True, bounds=(0.8, 1.0)),
    "KL-Cov": updates.kl_cov(share=0.1),
    "STEER": updates.steer(),
    "80/20": updates.undecided(),
    "bonus": updates.entropy_bonus(0.1),
    "clamped": updates.clamped_bonus(0.1),
    "adaptive": updates.adaptive_bonus(0.5),
    **{
        kind: updates.near(torch.full((2, 5), 0.2).double(), 0.1, divergence=kind)
        for kind in updates.SLOPES
    },
}


@pytest.mark.parametrize("tree", [BANDIT, deep()], ids=["bandit", "tree"])
def test_the_gradient_of_the_expected_reward_is_that_of_autograd(tree):
    z = tree.logits(runs=3, scale=1.0).requires_grad_()
    (slope,) = torch.autograd.grad(tree.expected_reward(z.softmax(-1)).sum(), z)
    torch.testing.assert_close(tree.gradient(z.detach().softmax(-1)), slope)


def test_probabilities_of_answers_and_visits_sum_to_one():
    tree = deep()
    policy = tree.logits(runs=2, scale=1.0).softmax(-1)
    torch.testing.assert_close(tree.answers(policy).sum(-1), torch.ones(2, 2).double())
    torch.testing.assert_close(tree.visits(policy).sum(-1), torch.full((2,), 3.0).double())


def test_answers_are_drawn_as_often_as_they_are_probable():
    tree = deep()
    policy = tree.logits(runs=1, scale=1.0).softmax(-1)
    drawn = tree.draw(policy, 200_000, torch.Generator().manual_seed(0))
    last = drawn.token[..., -1] - tree.arms * (tree.starts[-1])
    for prompt in range(2):
        share = torch.bincount(last[0, prompt], minlength=54).double() / 200_000
        exact = tree.answers(policy)[0].flatten()
        inside = slice(27 * prompt, 27 * (prompt + 1))
        assert (share[inside] - exact[inside]).abs().max() < 4 * math.sqrt(0.25 / 200_000)


@pytest.mark.parametrize("tree", [BANDIT, deep()], ids=["bandit", "tree"])
def test_a_step_over_every_answer_is_the_gradient_and_the_natural_one_the_advantage(tree):
    z = tree.logits(runs=2, scale=1.0)
    p = z.softmax(-1)
    plain, natural = (
        ascend(tree, method, z, steps=1, rate=0.1, draws=None).policies[1]
        for method in (updates.reinforce(), updates.natural())
    )
    torch.testing.assert_close(plain, (z + 0.1 * tree.gradient(p)).softmax(-1))
    torch.testing.assert_close(natural, (z + 0.1 * tree.advantage(p)).softmax(-1))


def surrogate(name, t):
    """The loss of the tokens (negated) by the names of METHODS, as its source writes it."""
    ratio, a = (t.logp - t.old_logp).exp(), t.advantage
    if name == "cispo":
        return ratio.detach().clamp(0, 1.2) * a * t.logp
    if name == "KL-Cov":
        apart = [x - x.mean() for x in (a.expand_as(t.logp), t.logp.detach())]
        covariance = apart[0] * apart[1]
        chosen = torch.zeros_like(covariance).flatten()
        chosen[covariance.flatten().topk(max(1, int(0.1 * len(chosen)))).indices] = 1
        return ratio * a - chosen.view_as(a * ratio) * (t.logp - t.old_logp).abs()
    low, high = (3e-4, 4e-4) if name == "gspo" else (0.2, 0.28 if "higher" in name else 0.2)
    if name == "gspo":
        ratio = (t.logp - t.old_logp).mean(-1, keepdim=True).exp()
    best = torch.minimum(ratio * a, ratio.clamp(1 - low, 1 + high) * a)
    if "dual" in name:
        best = torch.where(a < 0, torch.maximum(best, 3.0 * a), best)
    return best


@pytest.mark.parametrize("name", ["clipped", "clip higher, dual", "cispo", "gspo", "KL-Cov"])
def test_weights_of_tokens_are_the_slopes_of_the_published_surrogate(name):
    tree, count = deep(), 40
    generator = torch.Generator().manual_seed(0)
    old = tree.logits(runs=1, scale=1.0).log_softmax(-1)
    batch = tree.draw(old.exp(), count, generator)
    z = (tree.logits(runs=1, scale=1.0) + 0.6 * normal(1, tree.states, 3, seed=3)).requires_grad_()
    taken = [x.flatten(1).gather(1, batch.token.flatten(1)).view_as(batch.token) for x in (
        z.log_softmax(-1), old)]  # fmt: skip
    advantage = group_relative(batch.reward, batch.chance).unsqueeze(-1)
    t = Tokens(*taken, advantage, torch.zeros_like(taken[1]), batch.chance, True, generator)
    total = surrogate(name, t).expand_as(t.logp)
    if name == "gspo":
        total = total / t.logp.shape[-1]
    (slope,) = torch.autograd.grad(total.sum(), z)
    weight = METHODS[name].weigh(t._replace(logp=taken[0].detach()))
    (ours,) = torch.autograd.grad((weight * z.log_softmax(-1).flatten(1).gather(
        1, batch.token.flatten(1)).view_as(batch.token)).sum(), z)  # fmt: skip
    torch.testing.assert_close(ours, slope)
    assert slope.abs().max() > 0.1


@pytest.mark.parametrize("kind", updates.SLOPES)
def test_the_pull_of_a_divergence_is_its_slope(kind):
    z, q = normal(1, 1, 6).requires_grad_(), normal(1, 1, 6, seed=1).softmax(-1)
    u = z.softmax(-1) / q
    f = {
        "forward KL": u - 1 - u.log(),
        "reverse KL": u * u.log(),
        "Jensen-Shannon": u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        "alpha": (u**0.8 - 0.8 * u - 0.2) / (0.2 * -0.8),
    }[kind]
    (slope,) = torch.autograd.grad((q * f).sum(), z)
    pull = updates.near(q, 3.0, divergence=kind).pull
    found, _ = pull(z.detach().log_softmax(-1), torch.zeros(1, 1, 1))
    torch.testing.assert_close(found, -3.0 * slope)


def test_the_clamped_bonus_is_the_slope_of_the_entropy_among_likely_tokens():
    z = torch.tensor([[[2.0, 1.0, 0.0, -1.0, -2.0]]], dtype=torch.float64, requires_grad=True)
    among = z[..., :2].log_softmax(-1)  # the last three hold 0.12, with the second 0.35
    (slope,) = torch.autograd.grad(-(among.exp() * among).sum(), z)
    found, _ = updates.clamped_bonus(2.0).pull(z.detach().log_softmax(-1), torch.zeros(1, 1, 1))
    torch.testing.assert_close(found, 2.0 * slope)


@pytest.mark.parametrize(("positive", "negative"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.1, 1.0)])
def test_any_signed_reinforcement_is_the_policy_gradient_in_expectation(positive, negative):
    """Up to the length of the step, positive + negative."""
    z = BANDIT.logits(runs=4, scale=1.0)
    signed, plain = (
        ascend(BANDIT, method, z, steps=30, rate=rate, draws=None).policies[-1]
        for method, rate in (
            (updates.signed(positive, negative), 1.0),
            (updates.reinforce(), positive + negative),
        )
    )
    torch.testing.assert_close(signed, plain, rtol=1e-11, atol=1e-14)


def test_a_sequence_ratio_of_one_token_is_the_token_ratio():
    z = BANDIT.logits(runs=3, scale=1.0)
    ends = [
        ascend(BANDIT, method, z, steps=40, rate=1.0, epochs=4).policies[-1]
        for method in (updates.gspo(low=0.2, high=0.2), updates.clipped())
    ]
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_repeats_itself_under_a_seed_and_leaves_the_start_as_it_was(name):
    z = BANDIT.logits(runs=3, scale=1.0)
    before = z.clone()
    one, again, other = (
        ascend(BANDIT, METHODS[name], z, steps=40, rate=0.5, epochs=4, seed=seed).policies
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(z, before)
    assert one.isfinite().all()
    torch.testing.assert_close(one.sum(-1), torch.ones(2, 3, 2).double())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_earns_more_at_the_end(name):
    z = BANDIT.logits(runs=100, scale=0.5)
    course = ascend(BANDIT, METHODS[name], z, steps=200, rate=0.2, epochs=4)
    reward = course.trace(BANDIT.expected_reward).mean(1)
    assert reward[1] > reward[0] + 0.1


def test_covariances_of_micro_batches_choose_other_tokens_than_those_of_the_batch():
    z = BANDIT.logits(runs=20, scale=1.0)
    ends = [
        ascend(BANDIT, updates.kl_cov(share=0.1, parts=parts), z, steps=40, rate=0.5, epochs=4)
        for parts in (1, 4)
    ]
    assert (ends[0].policies[-1] - ends[1].policies[-1]).abs().max() > 1e-3


def test_pass_at_k_is_that_of_independent_answers():
    p = torch.tensor([[[0.1, 0.2, 0.3, 0.0, 0.4], [0.2] * 5]]).double()
    assert BANDIT.pass_at(p, 3).item() == pytest.approx((2 - 0.9**3 - 0.8**3) / 2)
    assert BANDIT.effective_answers(p).item() == pytest.approx(1.0)
    even = torch.full((1, 2, 5), 0.2).double()
    assert BANDIT.effective_answers(even).item() == pytest.approx(1.5)
    assert BANDIT.entropy(even).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Tree([1.0, 2.0]), "reward must be"),
        (lambda: Tree([[1.0]]), "V >= 2"),
        (lambda: Tree([[1.0, math.nan]]), "finite"),
        (lambda: ascend(BANDIT, updates.reinforce(), torch.zeros(1, 2, 4), steps=1, rate=1.0),
         "start must be"),
        (lambda: ascend(BANDIT, updates.reinforce(), BANDIT.logits(), steps=1, rate=0.0), "rate"),
        (lambda: ascend(BANDIT, updates.reinforce(), BANDIT.logits(), steps=0, rate=1.0), "steps"),
        (lambda: ascend(BANDIT, updates.natural(), BANDIT.logits(), steps=1, rate=1.0), "draws"),
        (lambda: ascend(BANDIT, updates.kl_cov(), BANDIT.logits(), steps=1, rate=1.0, draws=None),
         "draws"),
        (lambda: ascend(BANDIT, updates.kl_cov(parts=3), BANDIT.logits(), steps=1, rate=1.0),
         "parts"),
        (lambda: updates.signed(-1.0, 0.0), "negative"),
        (lambda: ascend(Tree([[2.0, 0]]), updates.signed(1.0, 0.0), torch.zeros(1, 1, 2), steps=1,
                        rate=1.0), "0 and 1"),
        (lambda: updates.near(torch.ones(2) / 2, 1.0, divergence="KL"), "divergence"),
    ],
    ids=lambda x: x if isinstance(x, str) else "call",
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()
