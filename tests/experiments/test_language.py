"""The synthetic language has the entropy that it states, and its model a vector for each part."""

import math
from collections import Counter

import pytest
import torch

from lossviz.experiments.language import CharacterModels, NextWord, python_manual, zipf_language


def test_without_preference_the_entropy_is_that_of_all_words_and_a_steep_law_has_less():
    assert zipf_language(32, 5, exponent=0.0)[1] == pytest.approx(math.log(32))
    entropies = [zipf_language(32, 5, exponent=e)[1] for e in (0.0, 1.0, 2.0, 8.0)]
    assert entropies == sorted(entropies, reverse=True)
    assert entropies[-1] < 0.05


def test_the_text_has_the_stated_entropy_given_the_ending_of_the_word_before():
    text, entropy = zipf_language(16, 60_000, endings=4, seed=1)
    pairs = Counter(zip((text[:-1] % 4).tolist(), text[1:].tolist(), strict=True))
    endings = Counter((text[:-1] % 4).tolist())
    measured = -sum(n / 60_000 * math.log(n / endings[e]) for (e, _), n in pairs.items())
    assert measured == pytest.approx(entropy, abs=0.01)


def test_each_ending_prefers_words_of_its_own():
    text, _ = zipf_language(64, 20_000, endings=4, exponent=2.0)
    favourites = {int(text[1:][text[:-1] % 4 == ending].mode().values) for ending in range(4)}
    assert len(favourites) > 1


def test_the_seed_fixes_the_text():
    texts = [zipf_language(16, 100, seed=seed)[0] for seed in (1, 1, 2)]
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])
    assert texts[0].shape == (101,) and texts[0].min() >= 0 and texts[0].max() < 16


def test_words_of_one_stem_or_one_ending_share_their_vectors():
    model = NextWord(32, 6, endings=4)
    hidden = model(torch.arange(32)).atanh()
    stem = hidden[4:8] - hidden[0:4]  # the next stem, the same four endings
    torch.testing.assert_close(stem, stem[:1].expand(4, -1), rtol=1e-4, atol=1e-4)
    assert model.weight.shape == (32, 6) and not model.bias.any()


def test_the_manual_is_read_character_by_character():
    labels, alphabet = python_manual(3000)
    text = "".join(alphabet[label] for label in labels.tolist())
    assert len(text) == 3000
    assert "assert" in text
    assert sorted(set(alphabet)) == list(alphabet)
    for count in (0, 10**9):
        with pytest.raises(ValueError, match="characters"):
            python_manual(count)


def test_character_models_side_by_side_share_nothing():
    models = CharacterModels(5, 7, runs=3, context=2, embedding=4)
    contexts = torch.arange(4).reshape(1, 2, 2).expand(3, -1, -1)
    logits = models(contexts)
    assert models.hidden(contexts).shape == (3, 2, 7)
    assert logits.shape == (3, 2, 5)
    logits[1].sum().backward()
    for parameter in models.parameters():
        assert parameter.grad[1].any()
        assert not parameter.grad[[0, 2]].any()
    joined = torch.cat([models.embedding[2, 2], models.embedding[2, 3]])
    hidden = torch.tanh(joined @ models.inner[2] + models.inner_bias[2, 0])
    expected = hidden @ models.outer[2] + models.outer_bias[2, 0]
    torch.testing.assert_close(logits[2, 1], expected)
