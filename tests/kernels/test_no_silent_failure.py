"""No silent failure: what goes wrong unnoticed in other implementations is right here."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F

from lossviz.kernels import linear_cross_entropy

from .cases import Head, each_path, make, naive, refuses, with_gradients
from .measure import measure

each_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def ours(head: Head, **options) -> torch.Tensor:
    return linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, **options)


@each_path
@each_reduction
@pytest.mark.parametrize("trained", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_frozen_tensors_leave_the_gradients_of_the_others_whole(trained, reduction, impl):
    head = make(8, 11, 5)
    full = torch.autograd.grad(naive(head, reduction=reduction).sum(), head.leaves)
    some = Head(*(tensor.detach().requires_grad_(place in trained)
                  for place, tensor in enumerate(head.leaves)), head.target)  # fmt: skip
    ours(some, reduction=reduction, impl=impl).sum().backward()
    for place, tensor in enumerate(some.leaves):
        if place in trained:
            torch.testing.assert_close(tensor.grad, full[place])
        else:
            assert tensor.grad is None


@each_path
@each_reduction
def test_a_graph_that_is_kept_gives_the_same_gradient_again(reduction, impl):
    head = make(8, 11, 5)
    loss = 2 * ours(head, reduction=reduction, impl=impl).sum()
    expected = torch.autograd.grad(2 * naive(head, reduction=reduction).sum(), head.leaves)
    for _ in range(3):
        found = torch.autograd.grad(loss, head.leaves, retain_graph=True)
        torch.testing.assert_close(found, expected)


def test_two_losses_of_one_head_keep_their_gradients_apart():
    head = make(8, 11, 5)
    first, second = ours(head), ours(head, label_smoothing=0.3)
    (3 * first - second).backward()
    plain = make(8, 11, 5)
    (3 * naive(plain) - naive(plain, label_smoothing=0.3)).backward()
    for tensor, other in zip(head.leaves, plain.leaves, strict=True):
        torch.testing.assert_close(tensor.grad, other.grad)


@each_path
@each_reduction
def test_a_transposed_weight_and_a_scaled_loss_give_the_scaled_gradient(reduction, impl):
    head = make(8, 11, 5)
    transposed = head.weight.detach().T.contiguous().T.requires_grad_()
    assert not transposed.is_contiguous()
    loss = 7 * ours(head._replace(weight=transposed), reduction=reduction, impl=impl).sum()
    expected = torch.autograd.grad(7 * naive(head, reduction=reduction).sum(), head.weight)
    torch.testing.assert_close(torch.autograd.grad(loss, transposed), expected)


@each_path
@each_reduction
@pytest.mark.parametrize("wrong", [11, 12, 10**9, -1, -99])
def test_a_target_out_of_range_is_refused(wrong, reduction, impl):
    head = make(8, 11, 5)
    head.target[5] = wrong
    with refuses(ValueError, "target", "[0, 11)", wrong):
        ours(head, reduction=reduction, impl=impl)


@each_path
@pytest.mark.parametrize("features", [257, 600])
def test_a_bias_counts_once_however_many_features_there_are(features, impl):
    head = make(6, 9, features)
    for options in ({}, {"memory_budget": 100}, {"reduction": "none"}):
        found = with_gradients(ours(head, impl=impl, **options), head)
        plain = {name: value for name, value in options.items() if name == "reduction"}
        torch.testing.assert_close(found, with_gradients(naive(head, **plain), head))


@each_path
@pytest.mark.parametrize("classes", [20, 33, 127])
def test_columns_that_pad_a_ragged_vocabulary_stay_out_of_a_capped_softmax(classes, impl):
    head = make(6, classes, 5)
    for options in ({}, {"memory_budget": 8 * 16 * 6}, {"reduction": "none"}):
        found = with_gradients(ours(head, impl=impl, softcap=0.5, **options), head)
        plain = {name: value for name, value in options.items() if name == "reduction"}
        torch.testing.assert_close(found, with_gradients(naive(head, softcap=0.5, **plain), head))


@each_path
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1, "z_loss": 0.1}, {"loss": "focal"}, {"softcap": 2.0}]
)
def test_a_batch_that_is_ignored_as_a_whole_has_gradients_of_0(options, reduction, impl):
    head = make(8, 11, 5, torch.float32)
    head.target[:] = -100
    for budget in (None, 64):
        loss = ours(head, reduction=reduction, impl=impl, memory_budget=budget, **options)
        assert loss.isnan() if reduction == "mean" else loss == 0
        for gradient in torch.autograd.grad(loss, head.leaves):
            assert (gradient == 0).all()


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch.func's own
def test_a_forward_derivative_is_never_a_silent_0():
    head = make(8, 11, 5)
    inputs = (tuple(tensor.detach() for tensor in head.leaves),) * 2

    def loss(*leaves, **options):
        return ours(Head(*leaves, head.target), **options)

    true = torch.func.jvp(lambda *leaves: naive(Head(*leaves, head.target)), *inputs)
    torch.testing.assert_close(torch.func.jvp(loss, *inputs), true)
    assert true[1].abs() > 0.1
    for options in ({"impl": "chunked"}, {"impl": "chunked", "reduction": "none"}):
        chunked = functools.partial(loss, **options)
        with refuses(ValueError, "impl='reference'", "'chunked'"):
            torch.func.jvp(chunked, *inputs)
        with torch.autograd.forward_ad.dual_level(), refuses(ValueError, "impl='reference'"):
            chunked(*map(torch.autograd.forward_ad.make_dual, *inputs))


def test_a_bfloat16_loss_is_right_over_many_chunks():
    # 512 chunks of one row, each of about 9.5 nats: a bfloat16 sum stands still at 4
    rows, classes = 512, 4096
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 16, generator=generator).bfloat16()
    w = torch.randn(classes, 16, generator=generator).bfloat16() / 2
    target = torch.randint(0, classes, (rows,), generator=generator)
    true = F.cross_entropy(x.double() @ w.double().T, target).item()
    for budget in (4 * classes * 192, 4 * classes):
        found = linear_cross_entropy(x, w, target, memory_budget=budget)
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(true, rel=1e-6)


def test_a_bfloat16_weight_gradient_is_right_over_many_chunks():
    head = make(1024, 12, 8, torch.bfloat16)
    judge = head.to(torch.float64)
    (true,) = torch.autograd.grad(naive(judge), judge.weight)
    for budget in (None, 4 * 12 * 192, 4 * 12):
        (found,) = torch.autograd.grad(ours(head, memory_budget=budget), head.weight)
        assert found.dtype == torch.bfloat16
        # one rounding, 2^-9 at most; adding 1024 chunks in bfloat16 would err by several percent
        assert ((found.double() - true).norm() / true.norm()).item() < 2.0**-8


def test_smoothed_labels_make_no_logits():
    head = make(16384, 2000, 8, torch.float32)
    logits = 4 * 16384 * 2000
    spent = measure(lambda: ours(head, label_smoothing=0.1).backward())
    assert spent.bytes < logits / 8


@each_path
@pytest.mark.parametrize("budget", [None, 8])
def test_a_margin_of_17_nats_has_a_loss_and_a_gradient(budget, impl):
    # two other classes: the truth is 2 exp(-17); torch's own cross-entropy says 0 and 0
    bias = torch.tensor([17.0, 0.0, 0.0], requires_grad=True)
    eager = F.cross_entropy(bias[None], torch.tensor([0]))
    assert eager == 0 and torch.autograd.grad(eager, bias)[0][0] == 0
    loss = linear_cross_entropy(
        torch.zeros(1, 1), torch.zeros(3, 1), torch.tensor([0]),
        linear_bias=bias, impl=impl, memory_budget=budget,
    )  # fmt: skip
    assert loss.item() == pytest.approx(8.2798753e-8, rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, bias)
    expected = torch.tensor([-8.2798750e-8, 4.1399375e-8, 4.1399375e-8])
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=0)


@each_path
def test_rows_with_a_weight_of_their_own_get_gradients_of_their_own(impl):
    head = make(8, 11, 5)
    weights = torch.linspace(-1, 2, 8, dtype=torch.float64)
    found = torch.autograd.grad(
        (weights * ours(head, reduction="none", impl=impl)).sum(), head.leaves
    )
    true = torch.autograd.grad((weights * naive(head, reduction="none")).sum(), head.leaves)
    torch.testing.assert_close(found, true)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "reduction": "sum"}], ids=str)
def test_what_was_offloaded_is_fetched_only_for_a_second_backward(options):
    head = make(20, 30, 4)
    fetched = []

    def fetch(tensor: torch.Tensor) -> torch.Tensor:
        fetched.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, fetch):
        loss = ours(head, **options)
    once = torch.autograd.grad(loss, head.leaves, retain_graph=True)
    assert not any(tensor is head.weight for tensor in fetched)
    again = torch.autograd.grad(loss, head.leaves)
    assert any(tensor is head.weight for tensor in fetched)
    torch.testing.assert_close(once, again)
