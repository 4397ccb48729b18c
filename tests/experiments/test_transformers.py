"""Small transformers read only what came before, and do not disturb each other."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.experiments.transformers import Transformers, genesis_characters, learn

CONTEXT, ALPHABET = 6, 5


def model(**options):
    return Transformers(ALPHABET, CONTEXT, width=8, **options)


def labels(*shape):
    return torch.randint(ALPHABET, shape, generator=torch.Generator().manual_seed(3))


def course(rates, **options):
    text = labels(60)
    held_out = text[:14].unfold(0, CONTEXT + 1, 1)
    net = model(starts=2, copies=len(rates))
    rates = torch.tensor(rates)
    return learn(net, text, held_out, rates, steps=4, batch=3, looks=(0, 2), **options)


@pytest.mark.parametrize("normed", [False, True])
def test_no_score_depends_on_a_later_character(normed):
    net, read = model(starts=2, qk_layernorm=normed), labels(2, 3, CONTEXT)
    changed = read.clone()
    changed[..., -1] = (read[..., -1] + 1) % ALPHABET
    one, other = net(read).logits, net(changed).logits
    torch.testing.assert_close(one[:, :, :-1], other[:, :, :-1])
    assert not torch.allclose(one[:, :, -1], other[:, :, -1])


def test_normed_scores_stay_within_the_root_of_the_width_of_a_head():
    scores = model(qk_layernorm=True)(labels(1, 50, CONTEXT)).scores
    largest = max(s[s.isfinite()].abs().max().item() for s in scores)
    assert 1 < largest <= math.sqrt(4) + 1e-4


def test_a_run_goes_its_way_beside_one_that_fails():
    alone, beside = course([0.01]), course([0.01, math.inf])
    assert alone.steps == beside.steps == (0, 2, 4)
    torch.testing.assert_close(beside.loss.view(3, 2, 2)[..., 0], alone.loss)
    assert beside.loss.view(3, 2, 2)[-1, :, 1].isnan().all()


@pytest.mark.parametrize("options", [{"clip": 0.01}, {"warm_up": 0.5}, {"z_loss": 1.0}])
def test_every_remedy_changes_the_course(options):
    assert not torch.allclose(course([0.1], **options).loss[-1], course([0.1]).loss[-1])


def test_the_text_is_that_of_genesis():
    text, alphabet = genesis_characters()
    assert "".join(alphabet[c] for c in text[:16]) == "in the beginning"
    assert len(set(alphabet)) == len(alphabet) == text.max() + 1
