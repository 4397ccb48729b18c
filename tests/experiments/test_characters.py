"""Counting characters: chances that sum to one, by hand on a word, and windows of a text."""

from __future__ import annotations

import pytest
import torch

from lossviz.experiments.characters import CharacterModel, windows


def test_chances_of_all_characters_sum_to_one_after_any_context():
    model = CharacterModel([("abracadabra", 1.0), ("banana", 2.5)], order=3, strength=0.7)
    for context in ("", "a", "ab", "zz", "bra"):
        total = sum(model.chance(context, chr(code)) for code in range(model.SYMBOLS))
        assert total == pytest.approx(1, abs=1e-12)


def test_counts_back_off_as_the_formula_says():
    model = CharacterModel([("abab", 1.0)], order=2, strength=1.0)
    even = 1 / 128
    alone = (2 + even) / (4 + 1)
    assert model.chance("", "b") == pytest.approx(alone)
    assert model.chance("xa", "b") == pytest.approx((2 + alone) / (2 + 1))
    assert model.chance("x", "b") == pytest.approx(alone)


def test_log_probabilities_are_those_of_the_chances_from_the_start_that_is_asked_for():
    model = CharacterModel([("abracadabra", 1.0)], order=3)
    found = model.log_probability("cadé", start=1)
    wanted = [model.chance("c", "a"), model.chance("ca", "d"), model.chance("ad", "?")]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64).log())


def test_windows_lie_in_the_text_and_depend_on_the_seed():
    text = "".join(map(chr, range(40, 100)))
    found = windows(text, 7, 20, seed=1)
    assert all(len(one) == 7 and one in text for one in found)
    assert found == windows(text, 7, 20, seed=1)
    assert found != windows(text, 7, 20, seed=2)


@pytest.mark.parametrize("change", [{"order": 0}, {"strength": 0.0}])
def test_bad_input_is_a_clear_error(change):
    with pytest.raises(ValueError, match="must be positive"):
        CharacterModel([("a", 1.0)], **{"order": 2, **change})
