"""The edit-invariant sequence loss against a loop over n-grams; padding leaves no trace."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.losses import eisl

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(3, 6, 5, generator=GENERATOR, dtype=torch.float64)
TOKENS = torch.randint(5, (3, 4), generator=GENERATOR)


def loop(
    logits: torch.Tensor, tokens: list[int], ngrams: tuple[int, ...], temperature: float
) -> float:
    """One sequence: each n-gram of the target laid on each place of the output."""
    log_p = logits.log_softmax(-1).tolist()
    losses = []
    for n in ngrams:
        costs = []
        for i in range(len(tokens) - n + 1):
            scores = [
                sum(max(log_p[a + k][tokens[i + k]], -20.0) for k in range(n)) / n
                for a in range(len(log_p) - n + 1)
            ]
            weights = [math.exp(score / temperature) for score in scores]
            pairs = zip(weights, scores, strict=True)
            costs.append(-sum(w * s for w, s in pairs) / sum(weights))
        losses.append(sum(costs) / len(costs))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("ngrams", [(1,), (2, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_equals_a_loop_over_ngrams(ngrams: tuple[int, ...], temperature: float) -> None:
    got = eisl(LOGITS, TOKENS, ngrams=ngrams, temperature=temperature, reduction="none")
    rows = zip(LOGITS, TOKENS.tolist(), strict=True)
    assert got.tolist() == pytest.approx([loop(*r, ngrams, temperature) for r in rows], rel=1e-12)


def test_hopeless_tokens_cost_the_floor_and_get_no_gradient() -> None:
    logits = torch.zeros(1, 3, 5, dtype=torch.float64)
    logits[..., 0] = 500.0
    leaf = logits.requires_grad_()
    loss = eisl(leaf, torch.tensor([[1, 2]]), ngrams=(1, 2))
    loss.backward()
    assert loss.item() == pytest.approx(20.0, rel=1e-12)
    assert leaf.grad is not None
    assert not leaf.grad.any()


def test_weights_are_those_of_a_mean_over_the_ngrams() -> None:
    one, two = (eisl(LOGITS, TOKENS, ngrams=(n,)) for n in (1, 2))
    both = eisl(LOGITS, TOKENS, ngrams=(1, 2), weights=(3.0, 1.0))
    torch.testing.assert_close(both, (3 * one + two) / 4)


def test_a_length_counts_from_that_of_the_output_when_not_positive() -> None:
    assert torch.equal(eisl(LOGITS, TOKENS, ngrams=(-2,)), eisl(LOGITS, TOKENS, ngrams=(4,)))


def test_ngrams_longer_than_target_or_output_are_skipped() -> None:
    expected = eisl(LOGITS, TOKENS, ngrams=(1, 4))
    assert torch.equal(eisl(LOGITS, TOKENS, ngrams=(1, 4, 5)), expected)
    short = eisl(LOGITS[:, :2], TOKENS, ngrams=(1, 2, 3, 4))
    assert torch.equal(short, eisl(LOGITS[:, :2], TOKENS, ngrams=(1, 2)))


def test_padding_leaves_no_trace() -> None:
    """Sequences of different lengths in one batch, padded on both sides of the comparison."""
    tokens = torch.cat([TOKENS, torch.full((3, 2), -100)], 1)
    tokens[1, 2:] = -100
    logits = torch.cat([LOGITS, torch.full((3, 2, 5), 7.0).double()], 1)
    places = torch.arange(8) < torch.tensor([[6], [5], [6]])
    got = eisl(logits, tokens, places=places, reduction="none")
    torch.testing.assert_close(got[0], eisl(LOGITS[:1], TOKENS[:1]))
    torch.testing.assert_close(got[1], eisl(LOGITS[1:2, :5], TOKENS[1:2, :2]))


def test_a_sequence_without_tokens_leaves_the_mean_to_the_others() -> None:
    tokens = TOKENS.clone()
    tokens[1] = -100
    rows = eisl(LOGITS, tokens, reduction="none")
    assert rows[1] == 0
    torch.testing.assert_close(eisl(LOGITS, tokens), (rows[0] + rows[2]) / 2)


def test_a_sequence_without_places_or_without_such_an_ngram_costs_nothing() -> None:
    leaf = LOGITS.clone().requires_grad_()
    places = torch.tensor([[False], [True], [True]]).expand(3, 6)
    broken = TOKENS.clone()
    broken[1, [1, 3]] = -100
    rows = eisl(leaf, broken, places=places, ngrams=(2,), reduction="none")
    assert rows[:2].tolist() == [0.0, 0.0]
    (slope,) = torch.autograd.grad(rows.sum(), leaf)
    assert not slope[:2].any()
    assert slope[2].any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ngrams": 3}, TypeError, "ngrams must be a sequence of ints, got 3"),
        ({"ngrams": (1.0,)}, TypeError, "ngrams must be a sequence of ints"),
        ({"ngrams": (7,)}, ValueError, "an n of at most 4 tokens"),
        ({"weights": (1.0,)}, ValueError, "a positive number for each n"),
        ({"ngrams": (1, 2), "weights": (1.0, 0.0)}, ValueError, "a positive number for each n"),
    ],
)
def test_lengths_and_weights_are_checked(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        eisl(LOGITS, TOKENS, **options)
