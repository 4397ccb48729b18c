"""The module: a linear layer and its loss, with everything that modules do."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrizations, prune
from torch.testing._internal.two_tensor import TwoTensor

from lossviz.kernels import LinearCrossEntropyLoss, RowStatistics

from .cases import make, refuses

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


class Learned(torch.nn.Module):
    """A loss with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(0.3))

    def forward(self, row: RowStatistics) -> torch.Tensor:
        return row.nll + self.a * row.entropy


def test_a_loss_that_is_a_module_is_trained_saved_and_moved():
    module = LinearCrossEntropyLoss(4, 6, loss=Learned())
    assert [name for name, _ in module.named_parameters()] == ["linear.weight", "loss.a"]
    assert "loss.a" in module.state_dict()
    assert module.double().loss.a.dtype == torch.float64
    head = make(9, 6, 4)
    loss = module(head.input.detach(), head.target)
    loss.backward()
    entropy = torch.distributions.Categorical(logits=module.linear(head.input)).entropy()
    torch.testing.assert_close(module.loss.a.grad, entropy.mean())
    assert "Learned" in repr(module) and "loss='focal'" in repr(
        LinearCrossEntropyLoss(4, 6, loss="focal")
    )


def test_logits_of_the_module_are_those_of_its_loss():
    options = {"logit_scale": 2.0, "softcap": 3.0, "temperature": 0.5}
    module = LinearCrossEntropyLoss(4, 6, bias=True, dtype=torch.float64, **options)
    head = make(9, 6, 4)
    loss = F.cross_entropy(module.logits(head.input), head.target)
    torch.testing.assert_close(module(head.input, head.target), loss)


def test_logits_of_a_wrong_shape_are_refused_by_name():
    with refuses(ValueError, "input", "linear_weight"):
        LinearCrossEntropyLoss(4, 6).logits(torch.zeros(2, 3))


class LowRank(torch.nn.Linear):
    """What LoRA libraries make of a layer: one with a forward of its own."""

    def __init__(self) -> None:
        super().__init__(4, 6, bias=False)
        self.down = torch.nn.Parameter(torch.randn(2, 4))
        self.up = torch.nn.Parameter(torch.randn(6, 2))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + input @ self.down.T @ self.up.T


def with_forward(linear: torch.nn.Linear) -> torch.nn.Linear:
    """As accelerate patches a layer that it offloads."""
    plain = linear.forward
    linear.forward = lambda input: 2 * plain(input)
    return linear


def with_hook(register: str) -> torch.nn.Linear:
    linear = torch.nn.Linear(4, 6, bias=False)
    getattr(linear, register)(lambda *_: None)
    return linear


MORE_THAN_A_WEIGHT = {
    "another module": lambda: torch.nn.Sequential(torch.nn.Linear(4, 6)),
    "low rank": LowRank,
    "forward of the instance": lambda: with_forward(torch.nn.Linear(4, 6)),
    **{
        name: functools.partial(with_hook, f"register_{name}")
        for name in (
            "forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"
        )
    },
    "pruned": lambda: prune.l1_unstructured(torch.nn.Linear(4, 6), "weight", 3),
    "not yet sized": lambda: torch.nn.LazyLinear(6),
    "a quantised weight": lambda: with_weight(TwoTensor(torch.zeros(6, 4), torch.zeros(6, 4))),
}  # fmt: skip


def with_weight(weight: torch.Tensor) -> torch.nn.Linear:
    linear = torch.nn.Linear(4, 6, bias=False)
    linear.weight = torch.nn.Parameter(weight)
    return linear


@pytest.mark.parametrize("make_layer", MORE_THAN_A_WEIGHT.values(), ids=MORE_THAN_A_WEIGHT)
def test_a_layer_that_is_more_than_its_weight_is_refused(make_layer):
    module = LinearCrossEntropyLoss(4, 6)
    module.linear = make_layer()
    x, target = batch()
    for call in (lambda: module(x, target), lambda: module.logits(x)):
        with refuses(TypeError, "linear", type(module.linear).__name__):
            call()


class Renamed(torch.nn.Linear):
    """A layer that is its weight all the same."""


@pytest.mark.parametrize("make_layer", [
    lambda: Renamed(4, 6),
    lambda: parametrizations.weight_norm(torch.nn.Linear(4, 6)),
    lambda: parametrizations.orthogonal(torch.nn.Linear(4, 6, bias=False)),
], ids=["subclass", "weight norm", "orthogonal"])  # fmt: skip
def test_a_layer_that_makes_its_weight_is_trained_through_it(make_layer):
    torch.manual_seed(0)
    module = LinearCrossEntropyLoss(4, 6)
    module.linear = make_layer()
    x, target = batch()
    true = F.cross_entropy(module.linear(x), target)
    loss = module(x, target)
    torch.testing.assert_close(loss, true)
    torch.testing.assert_close(module.logits(x), module.linear(x))
    parameters = tuple(module.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(true, parameters)
    )


def test_tying_by_the_name_of_the_class_weights_says_how_it_is_done():
    head = LinearCrossEntropyLoss(4, 6)
    with refuses(ValueError, "class weights", "linear.weight"):
        head.weight = torch.nn.Embedding(6, 4).weight
    head.weight = torch.ones(6)
    x, target = batch()
    torch.testing.assert_close(head(x, target), F.cross_entropy(head.linear(x), target))
