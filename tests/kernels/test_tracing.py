"""Compilers, exporters, vmap and forward mode get through the loss, or are refused."""

from __future__ import annotations

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from lossviz.kernels import (
    filtered_linear_cross_entropy,
    linear_cross_entropy,
    row_statistics,
)

from .cases import each_path, make, refuses


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("shape", [(30, 12, 5), (1100, 1100, 4)], ids=str)
def test_learned_class_weights_compile(shape):
    head = make(*shape, torch.float32)
    head.target[::7] = -100

    def loss(x, w, weight):
        return linear_cross_entropy(x, w, head.target, weight=weight, label_smoothing=0.1)

    leaves = (*head[:2], torch.linspace(0.5, 2, shape[1], requires_grad=True))
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(*leaves)
    found, true = (torch.autograd.grad(each, leaves) for each in (compiled, loss(*leaves)))
    torch.testing.assert_close(list(found), list(true))


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("primal", [1.0, 2.0])
def test_a_factor_with_a_tangent_gives_the_gradient_a_tangent(primal):
    head = make(8, 11, 3)
    once = torch.autograd.grad(linear_cross_entropy(*head[:2], head.target), head.input)[0]
    with forward_ad.dual_level():
        factor = forward_ad.make_dual(torch.tensor(primal), torch.tensor(1.0))
        loss = linear_cross_entropy(*head[:2], head.target) * factor
        (gradient,) = torch.autograd.grad(loss, head.input)
        torch.testing.assert_close(forward_ad.unpack_dual(gradient).tangent, once)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_a_tangent_of_the_gradients_of_rows_is_refused_not_0():
    head = make(8, 11, 3)
    loss = linear_cross_entropy(*head[:2], head.target, reduction="none", impl="chunked")
    with forward_ad.dual_level():
        arriving = forward_ad.make_dual(torch.ones_like(loss), torch.ones_like(loss))
        with refuses(RuntimeError, "forward-mode", "impl='reference'"):
            torch.autograd.grad(loss, head.input, arriving)
        single = head.to(torch.float32)
        filtered = filtered_linear_cross_entropy(*single[:2], head.target, filter_eps=0.0)
        with refuses(RuntimeError, "forward-mode", "linear_cross_entropy"):
            torch.autograd.grad(filtered.loss * arriving[0].float(), single.input)


def test_a_gradient_can_be_traced_into_a_graph():
    head = make(8, 11, 3)

    def gradient(x):
        return torch.autograd.grad(linear_cross_entropy(x, head.weight, head.target), x)[0]

    graph = make_fx(gradient)(head.input)
    torch.testing.assert_close(graph(head.input), gradient(head.input))


@pytest.mark.parametrize("wrong", [-5, 11])
def test_a_target_out_of_range_is_refused_where_it_is_mapped(wrong):
    head = make(8, 11, 3)
    targets = torch.full((2, 8), wrong)
    x, w = (tensor.detach() for tensor in head[:2])
    for mapped in (
        lambda y: linear_cross_entropy(x, w, y),
        lambda y: row_statistics(x, w, y, statistics=("nll",)).nll,
    ):
        with pytest.raises(ValueError, match=f"target must .*got {wrong}"):
            torch.func.vmap(mapped)(targets)


def test_a_batch_can_be_exported_with_any_number_of_rows():
    class Loss(torch.nn.Module):
        def forward(self, x, w, y):
            return linear_cross_entropy(x, w, y)

    head = make(40, 11, 3, torch.float32)
    arguments = (head.input.detach(), head.weight.detach(), head.target)
    rows = torch.export.Dim("rows", min=2, max=1000)
    exported = torch.export.export(
        Loss(), arguments, dynamic_shapes=({0: rows}, None, {0: rows}), strict=False
    ).module()
    other = make(17, 11, 3, torch.float32)
    found = exported(other.input.detach(), arguments[1], other.target)
    true = linear_cross_entropy(other.input, arguments[1], other.target)
    torch.testing.assert_close(found, true.detach())


@each_path
def test_shapes_can_be_asked_for_without_numbers(impl):
    head = make(8, 11, 3, torch.float32)
    x, w, y = (tensor.to("meta") for tensor in (*head[:2], head.target))
    assert linear_cross_entropy(x, w, y, impl=impl).shape == ()
    assert linear_cross_entropy(x, w, y, reduction="none", impl=impl).shape == (8,)


def test_statistics_can_be_mapped():
    head = make(6, 7, 3)
    both = head.input.detach().view(2, 3, 3)
    mapped = torch.func.vmap(lambda x: row_statistics(x, head.weight, statistics=("lse",)))(both)
    torch.testing.assert_close(mapped.lse.flatten(), (head.input @ head.weight.T).logsumexp(1))
