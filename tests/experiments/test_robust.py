"""Training against an adversary, several methods side by side."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lossviz.experiments.attacks import survivors
from lossviz.experiments.datasets import Split
from lossviz.experiments.networks import alone
from lossviz.experiments.robust import (
    PGD_TRAINING,
    PLAIN,
    for_all,
    smooth,
    trades,
    train_against,
)
from lossviz.losses import adv_comp_sum

BOUNDS = (0.0, 1.0)


def split(runs=2, seed=0):
    """Two classes: the first feature tells nine in ten apart widely, the others all by little."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (runs, 120), generator=generator)
    signs = (2 * labels - 1).float()
    x = 0.5 + 0.05 * signs[..., None] + 0.02 * torch.randn(runs, 120, 30, generator=generator)
    agrees = torch.rand(runs, 120, generator=generator) < 0.9
    x[..., 0] = 0.5 + 0.3 * signs * (2 * agrees - 1)
    return Split(x, labels, x, labels)


def trained(methods, epochs=20, seed=0):
    return train_against(
        methods,
        split(),
        (30, 16, 2),
        radius=0.1,
        bounds=BOUNDS,
        epochs=epochs,
        batch=40,
        seed=seed,
    )


def test_a_defended_network_survives_more_than_a_plain_one():
    data = split()
    methods = [PLAIN, PGD_TRAINING, smooth(0.1), trades(3.0)]
    model = trained(methods, epochs=60)
    x, y = (for_all(t, 4) for t in (data.test_features, data.test_labels))
    kept = survivors(model, x, y, radius=0.1, bounds=BOUNDS).float().reshape(4, -1).mean(1)
    assert (kept[1:] > kept[0] + 0.1).all(), kept


def test_a_run_starts_alike_under_every_method_and_a_seed_gives_the_same_networks():
    untrained = trained([PLAIN, smooth(1.0)], epochs=0)
    for parameter in untrained.parameters():
        assert torch.equal(parameter[:2], parameter[2:])
    once, again = trained([PLAIN, smooth(1.0)], epochs=1), trained([PLAIN, smooth(1.0)], epochs=1)
    for one, other in zip(once.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one[:2], one[2:])


def test_the_losses_of_the_methods_are_those_of_the_package():
    generator = torch.Generator().manual_seed(0)
    z, moved = torch.randn(2, 30, 5, generator=generator)
    y = torch.randint(5, (30,), generator=generator)
    stated = adv_comp_sum(z, moved, y, nu=0.3, reduction="none")
    torch.testing.assert_close(smooth(0.3).loss(z, moved, y), stated)
    cross_entropy = F.cross_entropy(z, y, reduction="none")
    torch.testing.assert_close(PLAIN.loss(z, moved, y), cross_entropy)
    divergence = trades(2.0).loss(z, moved, y) - cross_entropy
    torch.testing.assert_close(divergence, 2 * trades(1.0).gain(z, moved, y), rtol=1e-4, atol=1e-5)
    assert (divergence > 0).all()


def test_a_network_taken_out_of_the_stack_gives_the_same_logits():
    data, model = split(), trained([PLAIN, PGD_TRAINING], epochs=1)
    z = model(for_all(data.test_features, 2)).reshape(4, 120, 2)
    for k in range(4):
        one = alone(model.networks, k)
        torch.testing.assert_close(one(data.test_features[k % 2]), z[k])
