"""Five entropies: against enumeration, in half precision, with pads and ruled-out tokens."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis import (
    entropy_bounds,
    fused_token_entropy,
    sampled_nll,
    sequence_nll,
    token_entropy,
    truncated_entropy,
    undecided_tokens,
)

MASK = torch.tensor([[1, 1, 0, 0, 1], [1, 1, 1, 1, 0]])


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_hand(p):
    return -sum(x * math.log(x) for x in p if x > 0)


def test_bfloat16_logits_of_a_large_vocabulary_keep_a_thousandth_of_a_nat():
    z = (8 * normal(1, 2, 152_064, dtype=torch.float32) + 20).bfloat16()
    exact = [by_hand(row.tolist()) for row in z[0].double().softmax(-1)]
    found = token_entropy(z).tokens[0]
    assert found.dtype == torch.float32
    assert (found.double() - torch.tensor(exact).double()).abs().max() < 1e-3


def test_impossible_tokens_add_nothing_to_value_and_gradient():
    z = torch.tensor([[0.0, 0.0, -math.inf], [0.0, math.log(3), -math.inf]], requires_grad=True)
    found = token_entropy(z)
    torch.testing.assert_close(found.tokens, torch.tensor([0.6931472, 0.5623351]))
    found.tokens.sum().backward()
    torch.testing.assert_close(z.grad[1], torch.tensor([0.2059898, -0.2059898, 0.0]))


def test_the_largest_numbers_of_float16_give_entropy_zero():
    z = torch.tensor([[65504.0, -65504.0]], dtype=torch.float16)
    assert token_entropy(z).mean == 0


def test_means_are_over_tokens_that_carry_loss_after_temperature_and_shift():
    z = normal(2, 5, 7)
    found = token_entropy(z, temperature=0.5, mask=MASK, shift=True)
    exact = [
        [by_hand((2 * z[b, t]).softmax(-1).tolist()) if MASK[b, t + 1] else 0.0 for t in range(4)]
        for b in range(2)
    ]
    rows = torch.tensor(exact, dtype=torch.float64)
    torch.testing.assert_close(found.tokens, rows)
    assert found.number == 5
    assert found.mean.item() == pytest.approx(rows.sum().item() / 5)
    means = rows.sum(1) / torch.tensor([2, 3])
    assert found.by_sequence.item() == pytest.approx(means.mean().item())
    assert "at temperature 0.5 over 5 tokens" in found.said


def test_what_does_not_count_may_hold_anything_and_what_counts_keeps_nan():
    z = normal(2, 5, 7)
    poisoned = torch.where(MASK[..., None].bool(), z, math.nan).requires_grad_()
    found = token_entropy(poisoned, mask=MASK)
    torch.testing.assert_close(found.mean, token_entropy(z, mask=MASK).mean)
    found.mean.backward()
    assert (poisoned.grad[~MASK.bool()] == 0).all()
    assert token_entropy(torch.full((1, 3), math.nan)).mean.isnan()


@pytest.mark.parametrize("shift", [False, True])
def test_from_hidden_states_it_is_the_same_without_logits(shift):
    hidden, weight = normal(2, 5, 4).requires_grad_(), normal(11, 4, seed=1).requires_grad_()
    options = {"temperature": 0.7, "mask": MASK, "shift": shift}
    plain = token_entropy(hidden @ weight.T, **options)
    fused = fused_token_entropy(hidden, weight, **options)
    torch.testing.assert_close(fused.tokens, plain.tokens)
    torch.testing.assert_close(fused.by_sequence, plain.by_sequence)
    slopes = [torch.autograd.grad(f.mean, (hidden, weight)) for f in (plain, fused)]
    torch.testing.assert_close(*slopes)


def test_the_mean_surprise_of_drawn_tokens_estimates_their_entropy():
    p = normal(6).softmax(-1)
    drawn = p.multinomial(100_000, replacement=True, generator=torch.Generator().manual_seed(0))
    estimate = sampled_nll(p.log()[drawn])
    spread = p.log()[drawn].std().item() / math.sqrt(100_000)
    assert abs(estimate.item() - by_hand(p.tolist())) < 4 * spread


def test_pads_are_no_part_of_a_likelihood():
    logp = torch.tensor([[-0.5, -0.2, -9999.0, -9999.0]])
    found = sequence_nll(logp, torch.tensor([[1, 1, 0, 0]]))
    assert found.total.item() == pytest.approx(0.7)
    assert found.mean.item() == pytest.approx(0.35)
    sentinels = torch.tensor([[-0.5, -0.2, 1.0, math.nan]])
    assert sequence_nll(sentinels, torch.tensor([[1, 1, 0, 0]])).mean.item() == pytest.approx(0.35)
    with pytest.raises(ValueError, match="at most 0"):
        sequence_nll(torch.tensor([[-0.5, -0.2, 1.0, 1.0]]))


def test_pads_do_not_move_the_threshold_of_the_undecided_tokens():
    entropies = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [4.9226] * 4 + [math.nan]])
    mask = torch.tensor([[1] * 5, [0] * 5])
    found = undecided_tokens(entropies, share=0.4, mask=mask)
    assert found.threshold.item() == pytest.approx(3.4)
    assert found.tokens.tolist() == [[False, False, False, True, True], [False] * 5]
    assert undecided_tokens(entropies[:1], share=1.0).tokens.all()
    for wrong in ({"share": 0.0}, {"mask": mask * 0}, {"mask": mask[0]}, {}):
        with pytest.raises(ValueError, match=r"share|entropies|mask"):
            undecided_tokens(entropies, **wrong)


def test_a_truncated_sampler_has_the_entropy_of_what_is_left():
    z = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
    kept = torch.tensor([True, True, False, False])
    assert truncated_entropy(z, kept).item() == pytest.approx(by_hand([2 / 3, 1 / 3]))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("known", [1, 3, 8])
def test_bounds_from_the_likeliest_tokens_hold_the_entropy(known, seed):
    logp = (2 * normal(8, seed=seed)).log_softmax(-1).sort(descending=True).values
    found = entropy_bounds(logp[:known], vocabulary=8)
    exact = by_hand(logp.exp().tolist())
    assert found.least <= exact + 1e-12
    assert exact <= found.greatest + 1e-12
    if known == 8:
        assert found.greatest.item() == pytest.approx(found.least.item(), abs=1e-9)


def test_the_bounds_are_reached():
    top = [math.log(0.4)]
    found = entropy_bounds(top, vocabulary=10)
    assert found.least.item() == pytest.approx(by_hand([0.4, 0.4, 0.2]))
    assert found.greatest.item() == pytest.approx(by_hand([0.4] + [0.6 / 9] * 9))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: token_entropy(torch.zeros(2, 3, dtype=torch.int64)), TypeError, "floating"),
        (lambda: token_entropy(torch.zeros(3)), ValueError, "logits must be"),
        (lambda: token_entropy(torch.zeros(2, 3), temperature=0.0), ValueError, "temperature"),
        (lambda: token_entropy(torch.zeros(2, 3), mask=torch.ones(3)), ValueError, "mask must"),
        (lambda: token_entropy(torch.zeros(2, 3), mask=torch.full((2,), 2)), ValueError, "0 and 1"),
        (lambda: token_entropy(torch.full((2, 3), -math.inf)), ValueError, "leave a token"),
        (lambda: truncated_entropy(torch.zeros(3), torch.zeros(3)), ValueError, "leave a token"),
        (
            lambda: truncated_entropy(torch.tensor([0.0, -math.inf]), torch.tensor([0, 1])),
            ValueError,
            "leave a token",
        ),
        (lambda: entropy_bounds([-1.0], vocabulary=10.5), ValueError, "whole number"),
        (lambda: truncated_entropy(torch.zeros(3), torch.ones(2)), ValueError, "shape of logits"),
        (lambda: entropy_bounds([0.5], vocabulary=5), ValueError, "at most 0"),
        (lambda: entropy_bounds([-0.1, -0.1], vocabulary=5), ValueError, "sum to at most 1"),
        (lambda: entropy_bounds([-3.0], vocabulary=2), ValueError, "cannot hold"),
        (lambda: entropy_bounds([-1.0, -2.0], vocabulary=1), ValueError, "vocabulary"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_bad_input_is_refused_by_name(call, error, said):
    with pytest.raises(error, match=said):
        call()
