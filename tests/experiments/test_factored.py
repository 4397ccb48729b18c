"""The factored last layer takes the gradient steps of the dense one, without touching K rows."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lossviz.experiments.factored import (
    FactoredHead,
    spherical_softmax_of_sums,
    taylor_softmax_of_sums,
    z_loss_of_sums,
)
from lossviz.losses import spherical_softmax, spherical_z_loss, taylor_softmax

PAIRS = {
    "z_loss": (partial(spherical_z_loss, a=2.0, b=0.5), z_loss_of_sums(a=2.0, b=0.5)),
    "taylor": (taylor_softmax, taylor_softmax_of_sums()),
    "spherical": (partial(spherical_softmax, eps=0.1), spherical_softmax_of_sums(eps=0.1)),
}
members = pytest.mark.parametrize("name", PAIRS)


@members
def test_the_loss_of_three_numbers_is_the_loss_of_the_row(name):
    row_loss, of_sums = PAIRS[name]
    scores = torch.randn(7, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.arange(7)
    numbers = scores.sum(1), scores.square().sum(1), scores[torch.arange(7), target]
    expected = row_loss(scores, target, reduction="none")
    torch.testing.assert_close(of_sums(*numbers, 12), expected)


@members
@pytest.mark.parametrize("batch", [1, 5, 20])
def test_steps_are_those_of_automatic_differentiation(name, batch):
    """Also for batches wider than the layer, and with several examples of one class."""
    row_loss, of_sums = PAIRS[name]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    head = FactoredHead(weight, of_sums)
    for step in range(30):
        h = torch.randn(batch, 6, generator=generator, dtype=torch.float64, requires_grad=True)
        y = torch.randint(9, (batch,), generator=generator)
        loss, slope = head.step(h, y, lr=0.2)
        weight.requires_grad_()
        expected = row_loss(h @ weight.T, y)
        by_weight, by_h = torch.autograd.grad(expected, (weight, h))
        weight = (weight - 0.2 * by_weight).detach()
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(slope, by_h)
        torch.testing.assert_close(head.weight, weight)
        if step == 15:
            head.refresh()


def test_the_given_weights_are_left_alone():
    weight = torch.ones(4, 3) + torch.arange(4)[:, None]
    head = FactoredHead(weight, taylor_softmax_of_sums())
    head.step(torch.ones(2, 3), torch.tensor([0, 1]), lr=0.5)
    torch.testing.assert_close(weight, torch.ones(4, 3) + torch.arange(4)[:, None])
    assert not torch.equal(head.weight, weight)


@members
def test_the_work_of_a_step_does_not_depend_on_the_number_of_classes(name):
    def work(num_classes):
        generator = torch.Generator().manual_seed(2)
        weight = torch.randn(num_classes, 8, generator=generator)
        head = FactoredHead(weight, PAIRS[name][1])
        h, y = torch.randn(4, 8, generator=generator), torch.arange(4)
        with FlopCounterMode(display=False) as counter:
            head.step(h, y, lr=0.1)
        return counter.get_total_flops()

    assert 0 < work(10) == work(100_000)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        ([[1.0]], TypeError, "weight must be a torch.Tensor, got list"),
        (torch.ones(3, 2).half(), TypeError, "float32 or float64, got torch.float16"),
        (torch.ones(3), ValueError, r"weight must have shape \(K, d\), got \(3,\)"),
        (torch.ones(0, 3), ValueError, r"weight must have shape \(K, d\), got \(0, 3\)"),
    ],
)
def test_bad_weight_is_named(weight, error, message):
    with pytest.raises(error, match=message):
        FactoredHead(weight, taylor_softmax_of_sums())


@pytest.mark.parametrize(
    ("features", "target", "error", "message"),
    [
        (torch.ones(2, 3).double(), torch.tensor([0, 1]), TypeError, "dtype torch.float32"),
        (torch.ones(2, 4), torch.tensor([0, 1]), ValueError, r"shape \(N, 3\), got \(2, 4\)"),
        (torch.ones(2, 3), torch.tensor([0, 5]), ValueError, r"target must lie in \[0, 5\)"),
        (torch.ones(2, 3), torch.tensor([0, -1]), ValueError, r"\[0, 5\), got -1"),
        (torch.ones(2, 3), torch.tensor([0.0, 1.0]), TypeError, "integer class labels"),
        (torch.ones(2, 3), torch.tensor([0]), ValueError, "target must have the shape"),
    ],
)
def test_bad_batch_is_named(features, target, error, message):
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(3))
    head = FactoredHead(weight, z_loss_of_sums())
    with pytest.raises(error, match=message):
        head.step(features, target, lr=0.1)


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="a must lie in"):
        z_loss_of_sums(a=0.0)
    with pytest.raises(ValueError, match="eps must lie in"):
        spherical_softmax_of_sums(eps=0.0)
