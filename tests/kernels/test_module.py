"""The module: a linear layer and its loss, with everything that modules do."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from lossviz.kernels import LinearCrossEntropyLoss

from .cases import refuses

OPTIONS = {"bias": True, "label_smoothing": 0.1, "ignore_index": 3, "z_loss": 0.01}


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(9, 4, generator=generator), torch.randint(0, 6, (9,), generator=generator)


def test_it_is_the_loss_of_the_layer_that_it_holds():
    torch.manual_seed(0)
    module = LinearCrossEntropyLoss(4, 6, bias=True, label_smoothing=0.1)
    x, target = batch()
    true = F.cross_entropy(module.linear(x), target, label_smoothing=0.1)
    loss = module(x, target)
    torch.testing.assert_close(loss, true)
    parameters = tuple(module.parameters())
    assert len(parameters) == 2
    found = torch.autograd.grad(loss, parameters)
    torch.testing.assert_close(found, torch.autograd.grad(true, parameters))


def test_a_tied_weight_learns_from_both_ends():
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(6, 4)
    head = LinearCrossEntropyLoss(4, 6)
    head.linear.weight = embedding.weight
    assert list(torch.nn.ModuleList([embedding, head]).parameters()) == [embedding.weight]
    _, target = batch()
    head(embedding(target[:-1]), target[1:]).backward()
    other = embedding.weight.detach().clone().requires_grad_()
    F.cross_entropy(F.linear(F.embedding(target[:-1], other), other), target[1:]).backward()
    torch.testing.assert_close(embedding.weight.grad, other.grad)


def test_its_state_goes_into_another_and_into_a_copy():
    weight = torch.arange(1.0, 7.0)
    module = LinearCrossEntropyLoss(4, 6, weight=weight, **OPTIONS)
    assert list(module.state_dict()) == ["weight", "linear.weight", "linear.bias"]
    x, target = batch()
    other = LinearCrossEntropyLoss(4, 6, weight=torch.ones(6), **OPTIONS)
    assert other(x, target) != module(x, target)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x, target), module(x, target))
    assert torch.equal(copy.deepcopy(module)(x, target), module(x, target))
    plain = LinearCrossEntropyLoss(4, 6)
    assert list(plain.state_dict()) == ["linear.weight"]


def test_class_weights_move_with_the_module_and_are_not_trained():
    module = LinearCrossEntropyLoss(4, 6, weight=torch.ones(6), dtype=torch.float32).double()
    assert module.weight.dtype == torch.float64
    assert "weight" not in dict(module.named_parameters())
    assert module.to("meta").weight.is_meta
    x, target = batch()
    half = LinearCrossEntropyLoss(4, 6, weight=torch.ones(6), dtype=torch.bfloat16)
    assert half(x.bfloat16(), target).dtype == torch.float32


def test_it_says_what_it_was_given():
    module = LinearCrossEntropyLoss(4, 6, label_smoothing=0.1, reduction="sum")
    text = repr(module)
    assert "label_smoothing=0.1, reduction='sum'" in text
    assert "in_features=4, out_features=6, bias=False" in text


def test_an_option_that_does_not_exist_is_refused_at_once():
    with refuses(TypeError, "label_smothing"):
        LinearCrossEntropyLoss(4, 6, label_smothing=0.1)
    with refuses(TypeError, "linear_bias"):
        LinearCrossEntropyLoss(4, 6, linear_bias=torch.zeros(6))
