"""Corners that a random search found: default dtypes, zero weights, masks, traced gradients."""

from __future__ import annotations

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from lossviz.kernels import (
    VocabularyShard,
    filtered_linear_cross_entropy,
    linear_cross_entropy,
    row_statistics,
)
from lossviz.kernels.row_losses import EntropyBonus, Renyi2Bonus

from .cases import each_path, make, naive, refuses

every_path = pytest.mark.parametrize("impl", ["chunked", "reference", "triton"])


@pytest.fixture
def default_dtype(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@every_path
@pytest.mark.parametrize("default_dtype", [torch.bfloat16, torch.float64], indirect=True)
def test_the_default_dtype_decides_nothing(default_dtype, impl):
    head = make(9, 30, 6, torch.float32)
    true = naive(head.to(torch.float64))
    for options in ({}, {"loss": "brier"}, {"loss": "entropy_bonus"}):
        found = linear_cross_entropy(
            *head[:2], head.target, linear_bias=head.bias, impl=impl, **options
        )
        assert found.dtype == torch.float32
        if not options:
            torch.testing.assert_close(found.double(), true, rtol=1e-6, atol=0)


@each_path
def test_a_probability_of_0_has_the_gradient_of_any_other(impl):
    head = make(6, 5, 3)
    target = F.one_hot(head.target, 5).double().requires_grad_()
    ours = linear_cross_entropy(*head[:2], target, linear_bias=head.bias, impl=impl)
    theirs = F.cross_entropy(F.linear(*head.leaves), target)
    found, true = (torch.autograd.grad(loss, target)[0] for loss in (ours, theirs))
    torch.testing.assert_close(found, true)


@each_path
def test_a_class_weight_of_0_can_learn_under_label_smoothing(impl):
    head = make(6, 5, 3)
    weight = torch.tensor([0.0, 1.0, 0.5, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    ours = linear_cross_entropy(
        *head[:2], head.target, linear_bias=head.bias, weight=weight, label_smoothing=0.2,
        impl=impl, reduction="sum",
    )  # fmt: skip
    nll = -F.linear(*head.leaves).log_softmax(1)
    theirs = 0.8 * (weight[head.target] * nll.gather(1, head.target[:, None])[:, 0]).sum()
    theirs = theirs + 0.2 * (weight * nll).sum() / 5
    found, true = (torch.autograd.grad(loss, weight)[0] for loss in (ours, theirs))
    torch.testing.assert_close(found, true)


def test_class_weights_learn_beside_a_class_that_is_masked_and_weighs_0():
    head = make(6, 5, 3)
    bias = head.bias.detach().clone()
    bias[4] = -torch.inf
    weight = torch.tensor([1.0, 1.0, 0.5, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    found = []
    for impl in ("chunked", "reference"):
        loss = linear_cross_entropy(
            *head[:2], head.target % 4, linear_bias=bias, weight=weight, label_smoothing=0.2,
            impl=impl,
        )  # fmt: skip
        found.append(torch.autograd.grad(loss, weight)[0])
    assert found[1].isfinite().all()
    torch.testing.assert_close(*found)


@every_path
@pytest.mark.parametrize("mask", [torch.finfo(torch.float32).min, -1e38, -1e9, -torch.inf])
def test_masked_classes_leave_the_entropy_of_the_others(mask, impl):
    head = make(3, 700, 4, torch.float32)
    bias = head.bias.detach().clone()
    bias[5:] = mask
    target = torch.tensor([0, 1, 4])
    row = row_statistics(
        head.input, head.weight, target, linear_bias=bias, statistics=("entropy",), impl=impl,
        memory_budget=2048,
    )  # fmt: skip
    few = F.linear(head.input, head.weight[:5], bias[:5]).double()
    true = torch.distributions.Categorical(logits=few).entropy()
    torch.testing.assert_close(row.entropy.double(), true, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(row.entropy.sum(), head.weight)
    assert gradient[:5].isfinite().all()
    assert not gradient[5:].any()


@each_path
@pytest.mark.parametrize("budget", [None, 5 * 8 * 8])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"z_loss": 0.1}], ids=str)
def test_where_no_weight_is_left_the_mean_is_nan_and_its_gradient_is_not(options, budget, impl):
    head = make(40, 5, 3)
    weight = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    loss = linear_cross_entropy(
        *head[:2], head.target % 3, weight=weight, impl=impl, memory_budget=budget, **options
    )
    assert loss.isnan()
    for gradient in torch.autograd.grad(loss, head[:2]):
        assert gradient.isfinite().all()
        assert options or not gradient.any()


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
        with pytest.raises(RuntimeError, match="out of bounds"):
            torch.func.vmap(mapped)(targets)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_empty_batch_passes_the_filter(dtype):
    head = make(0, 11, 3, dtype)
    found = filtered_linear_cross_entropy(
        *head[:2], head.target, filter_eps=2**-12, reduction="sum"
    )
    found.loss.backward()
    assert not head.weight.grad.any()


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


def test_a_shard_lies_within_its_vocabulary():
    with refuses(ValueError, "start", "num_classes=11", "-4"):
        VocabularyShard(None, -4, 11)
    head = make(8, 11, 3)
    with refuses(ValueError, "linear_weight", "num_classes=11", "11 rows", "start=3"):
        linear_cross_entropy(*head[:2], head.target, shard=VocabularyShard(None, 3, 11))
    with refuses(ValueError, "group"):
        linear_cross_entropy(*head[:2], head.target, shard=VocabularyShard(None, 0, 11))
    with refuses(ValueError, "group"):
        VocabularyShard.of(head.weight)


def test_what_is_no_number_or_no_name_is_refused():
    head = make(8, 11, 3)
    for bonus in (EntropyBonus, Renyi2Bonus):
        with refuses(TypeError, "beta", "None"):
            bonus(None)
        with refuses(ValueError, "beta", "nan"):
            bonus(float("nan"))
    with refuses(ValueError, "temperature"):
        linear_cross_entropy(*head[:2], head.target, temperature=10**400)
    with refuses(TypeError, "loss", "torch.bool"):
        linear_cross_entropy(*head[:2], head.target, loss=lambda row: row.nll > 1)
    names = (name for name in ("nll", "lse"))
    assert row_statistics(*head[:2], head.target, statistics=names).names == ("nll", "lse")
    with torch.autocast("cpu", torch.bfloat16), refuses(TypeError, "linear_weight", "float64"):
        linear_cross_entropy(head.input.float(), head.weight, head.target)
