"""What confidence is used for: abstaining, sets of labels, sequences, several attempts."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from lossviz.analysis import (
    adaptive_scores,
    area_under_risk_coverage,
    auroc,
    bootstrap,
    by_group,
    clopper_pearson,
    conformal_threshold,
    dc_pdd,
    greedy_nll,
    likelihood_ratio,
    mean_entropy,
    of_label,
    pass_at_k,
    pass_at_n,
    prediction_sets,
    resampling_reward,
    risk_at_coverage,
    risk_coverage,
    sequence_confidence,
    threshold_scores,
)
from lossviz.theory import resampling_ceiling


def scored(rows, seed, levels=7):
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(levels, (rows,), generator=generator).double()
    return score, torch.rand(rows, generator=generator) < 0.6


@given(st.integers(1, 6), st.integers(0, 99))
def test_the_risk_of_tied_rows_is_the_mean_over_their_orders(rows, seed):
    score, correct = scored(rows, seed, levels=3)
    curves = []
    for order in itertools.permutations(range(rows)):
        best = sorted(order, key=lambda i: -score[i].item())  # stable: ties as in this order
        wrong = (~correct[torch.tensor(best)]).double().cumsum(0)
        curves.append(wrong / torch.arange(1, rows + 1))
    found = risk_coverage(score, correct)
    torch.testing.assert_close(found.risk, torch.stack(curves).mean(0))
    torch.testing.assert_close(area_under_risk_coverage(score, correct), found.risk.mean())
    torch.testing.assert_close(risk_at_coverage(score, correct, 1.0), (~correct).double().mean())


def test_the_area_does_not_depend_on_the_order_of_tied_rows():
    same = torch.full((4,), 0.9)
    for correct in ([1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]):
        assert area_under_risk_coverage(same, torch.tensor(correct)) == 0.5


@given(st.integers(2, 50), st.integers(0, 99))
def test_auroc_is_that_of_scikit_learn(rows, seed):
    score, truth = scored(rows, seed)
    if truth.all() or not truth.any():
        assert auroc(score, truth).isnan()
    else:
        assert auroc(score, truth).item() == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_a_label_that_is_no_class_has_no_score():
    for label in (-100, -1, 3):
        with pytest.raises(ValueError, match="target"):
            of_label(torch.rand(2, 3), torch.tensor([0, label]))


@pytest.mark.parametrize("scores", [threshold_scores, adaptive_scores])
def test_sets_hold_the_label_as_often_as_asked(scores):
    """Over many splits: the mean coverage is at least 1 - alpha, up to its own error."""
    generator = torch.Generator().manual_seed(0)
    covered = []
    for _ in range(200):
        logits = torch.randn(120, 5, generator=generator, dtype=torch.float64)
        chances = (2 * logits).softmax(-1)  # the model is wrong, the promise holds
        y = torch.multinomial(chances, 1, generator=generator)[:, 0]
        each = scores(logits, kind="logits")
        limit = conformal_threshold(of_label(each[:60], y[:60]), alpha=0.2)
        sets = prediction_sets(each[60:], limit)
        covered.append(sets.gather(1, y[60:, None]).double().mean())
    rate = torch.stack(covered)
    assert rate.mean() > 0.8 - 3 * rate.std() / math.sqrt(200)


def test_the_threshold_is_an_order_statistic_or_there_is_none():
    scores = torch.arange(1.0, 10.0)
    assert conformal_threshold(scores, alpha=0.1) == 9
    assert conformal_threshold(scores, alpha=0.5) == 5
    assert conformal_threshold(scores[:8], alpha=0.1) == math.inf
    assert conformal_threshold(scores[:0], alpha=0.5) == math.inf
    with pytest.raises(ValueError, match="alpha"):
        conformal_threshold(scores, alpha=1.0)


def test_exact_intervals_are_those_of_scipy():
    hit, rows = torch.tensor([0, 3, 10, 7, 0]), torch.tensor([10, 10, 10, 9, 0])
    low, high = clopper_pearson(hit, rows)
    for k, n, a, b in zip(hit.tolist(), rows.tolist(), low.tolist(), high.tolist(), strict=True):
        if n:
            theirs = binomtest(k, n).proportion_ci(0.95, method="exact")
            assert (a, b) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        else:
            assert (a, b) == (0, 1)


def test_the_bootstrap_repeats_itself_and_leaves_the_random_state_alone():
    x = torch.randn(100, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    found = bootstrap(torch.mean, x, repeats=500)
    assert torch.equal(torch.get_rng_state(), before)
    assert found == bootstrap(torch.mean, x, repeats=500)
    half = 1.96 * x.std() / 10
    assert (found.high - found.low).item() == pytest.approx(2 * half.item(), rel=0.2)
    with pytest.raises(ValueError, match="first axis"):
        bootstrap(torch.mean, x[:0])


def test_groups_have_a_number_each():
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    groups = torch.arange(20) % 2
    found = by_group(mean_entropy, groups, logits)
    assert found[1] == mean_entropy(logits[1::2])
    with pytest.raises(ValueError, match="20 rows"):
        by_group(mean_entropy, groups[:3], logits)


def test_padding_is_said_by_a_mask_and_never_by_a_value():
    logp = torch.tensor([[-0.5, -0.2, 0.0, 0.0]])
    found = sequence_confidence(logp, torch.tensor([[True, True, False, False]]))
    assert found.total.item() == pytest.approx(-0.7)
    assert found.mean.item() == pytest.approx(-0.35)
    assert found.least.item() == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="at most 0"):
        sequence_confidence(torch.tensor([[-0.5, 1.0]]))
    with pytest.raises(ValueError, match="NaN"):
        sequence_confidence(torch.tensor([[math.nan]]))
    with pytest.raises(ValueError, match="kept"):
        sequence_confidence(logp, torch.ones(4))


def test_the_greedy_answer_and_the_ratio_add_up_over_tokens():
    steps = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    greedy = sequence_confidence(steps.amax(-1))
    torch.testing.assert_close(greedy_nll(steps), -greedy.total)
    ratio = likelihood_ratio(steps[:, 0], steps[:, 1])
    torch.testing.assert_close(ratio.total, (steps[:, 0].double() - steps[:, 1].double()).sum())


def test_a_token_counts_once_and_rare_ones_more():
    counts = torch.tensor([100, 10, 1, 0])
    logp = torch.tensor([-1.0, -0.2, -0.1])
    once = dc_pdd(torch.tensor([2, 0, 1]), logp, counts, clip=10.0)
    frequency = (counts + 1) / 115
    terms = logp.exp() * -frequency[[2, 0, 1]].log()
    torch.testing.assert_close(once, terms.mean().double())
    repeated = dc_pdd(torch.tensor([2, 2, 1]), logp, counts, clip=10.0)
    assert repeated.item() == pytest.approx(
        ((-1.0 * 0 + math.exp(-1)) * -frequency[2].log() + math.exp(-0.1) * -frequency[1].log())
        .item() / 2
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        dc_pdd(torch.tensor([4]), logp[:1], counts)


@given(st.integers(1, 12), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(n, data):
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    subsets = list(itertools.combinations(range(n), k))
    share = sum(min(subset) < c for subset in subsets) / len(subsets)
    assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_of_many_samples_keeps_its_digits_and_more_than_were_drawn_is_refused():
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5, abs=1e-12)
    for n, c, k in ((2, 0, 5), (164, 50, 165), (3, 4, 1), (0, 0, 1)):
        with pytest.raises(ValueError, match="must be"):
            pass_at_k(n, c, k)


def test_independent_attempts_miss_together():
    assert pass_at_n(0.1, 3) == pytest.approx(1 - 0.9**3)
    assert pass_at_n([0.0, 1.0], 5).tolist() == [0, 1]
    tiny = pass_at_n(1e-18, 1000)
    assert tiny == pytest.approx(1e-15, rel=1e-12)


def test_a_judge_sets_a_ceiling_that_many_attempts_reach():
    r, c, s = 0.3, 0.9, 0.75
    many = resampling_reward([r], [1.0], attempts=400, completeness=c, soundness=s, value_fluke=0.0)
    torch.testing.assert_close(many.reward[-1].item(), resampling_ceiling(
        r, completeness=c, soundness=s).item())  # fmt: skip
    dear = resampling_reward([0.9, 0.1], [0.5, 0.5], attempts=50, soundness=0.75, value_fluke=-2.0)
    assert dear.best < 5
    with pytest.raises(ValueError, match="sum to 1"):
        resampling_reward([0.5, 0.5], [0.5, 0.6], attempts=3)
