"""The text of the book, its word pairs, and texts that are drawn from them."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis import top_k
from lossviz.experiments.text import (
    by_inversion,
    commonest,
    genesis,
    sentence,
    smoothed,
    surprises,
    word_pairs,
    written,
)

TOKENS = ["a", "b", ".", "a", "c", ".", "a", "b", "a", "b"]


def test_the_text_is_genesis_in_words_and_marks():
    tokens = genesis()
    assert tokens[:4] == ["in", "the", "beginning", "god"]
    assert tokens[-4:] == ["coffin", "in", "egypt", "."]
    assert len(tokens) == 44_699


def test_pairs_are_counted_within_the_words_that_are_known():
    assert commonest(TOKENS, 3) == ("a", "b", ".")
    counts = word_pairs(TOKENS, ("a", "b", ".")).counts
    assert counts.tolist() == [[0, 3, 0], [1, 0, 1], [2, 0, 0]]


def test_smoothing_moves_from_the_counts_to_the_frequencies_of_words():
    counts = word_pairs(TOKENS, ("a", "b", ".")).counts
    torch.testing.assert_close(smoothed(counts, 1.0).exp().sum(1), torch.ones(3).double())
    share = torch.tensor([4.0, 4.0, 2.0]).double() / 10
    torch.testing.assert_close(smoothed(counts, 1e9).exp(), share.expand(3, 3), atol=1e-6, rtol=0)
    near = counts / counts.sum(1, keepdim=True)
    torch.testing.assert_close(smoothed(counts, 1e-9).exp(), near.double(), atol=1e-6, rtol=0)


def test_texts_follow_the_probabilities_that_they_are_drawn_from():
    logits = smoothed(word_pairs(TOKENS, ("a", "b", ".")).counts, 1.0)
    sums = logits.exp().cumsum(-1)
    text = written(sums, by_inversion, texts=20_000, length=2, first=2, seed=0)
    one = logits[2].exp()
    share = torch.bincount(text[0], minlength=3) / 20_000
    torch.testing.assert_close(share, one.float(), atol=0.015, rtol=0)
    share = torch.bincount(text[1], minlength=3) / 20_000
    torch.testing.assert_close(share, (one @ logits.exp()).float(), atol=0.015, rtol=0)


def test_what_is_ruled_out_is_never_drawn():
    cut = top_k(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)), 2)
    uniform = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - 1e-16], dtype=torch.float64)
    for u in uniform:
        words = by_inversion(cut.probabilities.cumsum(-1), u.expand(5))
        assert cut.kept[torch.arange(5), words].all()


def test_surprise_is_that_of_each_word_after_the_one_before_in_bits():
    logits = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).double().log()
    found = surprises(logits, torch.tensor([[1], [1], [0]]), first=0)
    assert found[:, 0].tolist() == pytest.approx([2.0, 1.0, 1.0])
    assert math.isclose(surprises(logits + 3, torch.tensor([[1]]), 0).item(), 2.0)


def test_marks_stand_without_a_space_before_them():
    assert sentence(("a", "b", "."), torch.tensor([0, 1, 2])) == "a b."
