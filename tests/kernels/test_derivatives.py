"""Derivatives: right to first order on every path, of any kind on the reference, else an error."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from lossviz.kernels import STATISTICS, linear_cross_entropy, ops, reduced, row_statistics

from .cases import Head, each_path, logits_of, make, naive, refuses

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script`:DeprecationWarning",  # forward mode in torch itself
    "ignore:There is a performance drop:UserWarning",  # vmap in torch itself
)
OPTIONS = {
    "plain": {},
    "none": {"reduction": "none"},
    "sum": {"reduction": "sum", "logit_scale": -0.7},
    "smoothing": {"label_smoothing": 0.1},
    "z-loss": {"z_loss": 0.3},
    "cap": {"softcap": 1.5, "temperature": 0.6},
    "everything": {
        "label_smoothing": 0.2, "z_loss": 0.1, "softcap": 2.0, "temperature": 1.4,
        "reduction": "none", "logit_scale": 1.2,
    },
    "focal": {"loss": "focal"},
    "brier": {"loss": "brier", "reduction": "none"},
    "entropy": {"loss": "entropy_bonus", "softcap": 1.5},
}  # fmt: skip
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
REAL = tuple(name for name in STATISTICS if name not in ("argmax", "correct"))


def small() -> Head:
    head = make(4, 5, 2)
    head.target[2] = -100
    return head


def of_leaves(head: Head, **options):
    def loss(*leaves):
        x, w, b = leaves
        return linear_cross_entropy(x, w, head.target, linear_bias=b, **options)

    return loss


@each_path
@each_option
@pytest.mark.parametrize("budget", [None, 8 * 8])
def test_gradients_are_those_of_differences(options, budget, impl):
    head = small()
    if "loss" not in options:
        options = {**options, "weight": torch.linspace(0.2, 2, 5, dtype=torch.float64)}
    loss = of_leaves(head, impl=impl, memory_budget=budget, **options)
    assert gradcheck(loss, head.leaves)


@each_path
@pytest.mark.parametrize("budget", [None, 8 * 8])
@pytest.mark.parametrize("name", REAL)
def test_gradients_of_statistics_are_those_of_differences(name, budget, impl):
    head = small()

    def statistic(x, w, b):
        row = row_statistics(x, w, head.target, linear_bias=b, statistics=(name,), impl=impl,
                             memory_budget=budget, softcap=3.0)  # fmt: skip
        return getattr(row, name)

    assert gradcheck(statistic, head.leaves)


@each_path
def test_gradients_for_probability_targets_are_those_of_differences(impl):
    head = small()
    soft = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(x, w, b):
        return linear_cross_entropy(x, w, soft, linear_bias=b, label_smoothing=0.1, impl=impl)

    assert gradcheck(loss, head.leaves)


@pytest.mark.parametrize("options", [{}, {"reduction": "none", "z_loss": 0.1}, {"loss": "focal"}])
def test_the_reference_has_second_derivatives(options):
    head = small()
    assert gradgradcheck(of_leaves(head, impl="reference", **options), head.leaves)


@each_path
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("budget", [None, 8 * 8])
def test_class_weights_and_probability_targets_are_learned(budget, reduction, impl):
    head = small()
    generator = torch.Generator().manual_seed(0)
    weight = torch.linspace(0.2, 2, 5, dtype=torch.float64).requires_grad_()
    soft = torch.rand(4, 5, dtype=torch.float64, generator=generator).softmax(1).requires_grad_()
    options = {"reduction": reduction, "label_smoothing": 0.1, "impl": impl,
               "memory_budget": budget}  # fmt: skip

    def of_weight(x, weight):
        return linear_cross_entropy(x, head.weight, head.target, weight=weight, **options)

    def of_target(x, soft):
        return linear_cross_entropy(x, head.weight, soft, **options)

    assert gradcheck(of_weight, (head.input, weight))
    assert gradcheck(of_target, (head.input, soft))


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"loss": "brier"}])
def test_second_derivatives_of_the_other_paths_are_refused(options):
    head = small()
    for impl in ("auto", "chunked"):
        loss = of_leaves(head, impl=impl, **options)(*head.leaves).sum()
        with refuses(RuntimeError, "first derivatives", "impl='reference'"):
            torch.autograd.grad(loss, head.leaves, create_graph=True)


def test_transforms_of_functions_take_the_reference_by_themselves():
    head = small()
    x, w, b = (tensor.detach() for tensor in head.leaves)

    def ours(x, **options):
        return linear_cross_entropy(x, w, head.target, linear_bias=b, **options)

    def plain(x):
        return naive(Head(x, w, b, head.target))

    torch.testing.assert_close(torch.func.grad(ours)(x), torch.func.grad(plain)(x))
    torch.testing.assert_close(torch.func.hessian(ours)(x), torch.func.hessian(plain)(x))
    torch.testing.assert_close(torch.func.jvp(ours, (x,), (x,)), torch.func.jvp(plain, (x,), (x,)))
    rows = torch.func.vmap(lambda x, t: linear_cross_entropy(x, w, t, linear_bias=b))(
        x[:2], head.target[:2]
    )
    torch.testing.assert_close(rows, F.cross_entropy(F.linear(x, w, b)[:2], head.target[:2],
                                                     reduction="none"))  # fmt: skip
    for transform in (
        lambda f: torch.func.grad(f)(x),
        lambda f: torch.func.hessian(f)(x),
        lambda f: torch.func.jvp(f, (x,), (x,)),
        lambda f: torch.func.vjp(f, x),
    ):
        with refuses(ValueError, "impl='reference'", "'chunked'"):
            transform(lambda x: ours(x, impl="chunked"))


def test_gradients_per_example_come_from_vmap():
    head = small()
    x, w, b = (tensor.detach() for tensor in head.leaves)
    target = head.target.clamp(min=0)

    def one(w, x, target):
        return linear_cross_entropy(x, w, target, linear_bias=b)

    found = torch.func.vmap(torch.func.grad(one), (None, 0, 0))(w, x, target)
    p = (F.linear(x, w, b).softmax(1) - F.one_hot(target, 5))[:, :, None]
    torch.testing.assert_close(found, p * x[:, None])


def test_statistics_have_forward_derivatives_on_the_reference():
    head = small()
    x, w, b = (tensor.detach() for tensor in head.leaves)

    def ours(x):
        return row_statistics(x, w, head.target, linear_bias=b, statistics=("entropy",)).entropy

    def plain(x):
        log_p = logits_of(Head(x, w, b, head.target)).log_softmax(1)
        return -(log_p.exp() * log_p).sum(1)

    torch.testing.assert_close(torch.func.jvp(ours, (x,), (x,)), torch.func.jvp(plain, (x,), (x,)))


def operator_calls(head: Head, mean_weight: torch.Tensor | None):
    """Arguments of each operator, with ignored rows and strided tensors among them."""
    x, w, b = head.leaves
    labels = torch.where(head.target == -100, -1, head.target)
    rows = len(labels)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    walk = ("chunked", 3, 4)
    mean = mean_weight is not None
    yield ops.row_sums, (x, w, b, labels, mean_weight, 1.0, 2.0, 1.0, True, True, True, mean, *walk)
    yield ops.row_sums, (
        x, w, None, labels, None, 1.0, None, 1.0, False, False, False, False, *walk,
    )  # fmt: skip
    ones = torch.ones(rows, dtype=wide)
    saved = [torch.zeros_like(ones), 7 * ones, ones, -ones, torch.zeros_like(labels)]
    upstream = [ones, None, ones, None, ones if mean else None, ones]
    yield ops.row_sums_backward, (
        x.detach(), w.detach(), b.detach(), labels, mean_weight, saved, upstream,
        1.0, None, 1.0, [True, False, True], *walk,
    )  # fmt: skip
    kept = (labels >= 0).to(wide)
    yield reduced.reduced_loss, (
        x, w, b, labels, mean_weight, kept, kept if mean else None, kept,
        1.0, 1.0, None, 1.0, [True, True, True], True, 3, 5,
    )  # fmt: skip
    yield reduced.reduced_loss, (
        x, w.detach(), None, labels, None, kept, None, None,
        0.5, 1.0, 2.0, 1.0, [True, False, False], False, 3, 5,
    )  # fmt: skip
    if mean_weight is not None:
        for weights in (mean_weight, mean_weight.repeat(rows, 1)):
            yield ops.mean_weight_gradient, (
                x.detach(), w.detach(), b.detach(), weights, saved[0], ones, 1.0, 2.0, 1.0, 3, 4,
            )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dtype", "strided"), [(torch.float64, False), (torch.float16, True)])
def test_operators_pass_torchs_own_check(dtype, strided):
    head = small().to(dtype)
    if strided:
        x, w = (tensor.detach().T.contiguous().T.requires_grad_() for tensor in head[:2])
        head = head._replace(input=x, weight=w)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for mean_weight in (None, torch.full((5,), 1 / 5, dtype=wide)):
        for operator, arguments in operator_calls(head, mean_weight):
            torch.library.opcheck(operator, arguments)


@each_path
def test_a_batch_of_factors_arriving_at_a_mean_scales_its_gradient(impl):
    head = small()
    loss = of_leaves(head, impl=impl)(*head.leaves)
    factors = torch.tensor([1.0, -2.0, 0.0], dtype=loss.dtype)
    batched = torch.autograd.grad(loss, head.leaves, factors, is_grads_batched=True)
    once = torch.autograd.grad(of_leaves(head, impl=impl)(*head.leaves), head.leaves)
    for many, one in zip(batched, once, strict=True):
        torch.testing.assert_close(many, factors.view(-1, *[1] * one.ndim) * one)


def test_gradients_of_a_kept_graph_are_not_those_handed_out_before():
    head = small()
    loss = of_leaves(head)(*head.leaves)
    first = torch.autograd.grad(loss, head.leaves, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    for gradient in first:
        gradient.fill_(torch.nan)  # an optimiser may do anything with them
    second = torch.autograd.grad(loss, head.leaves)
    torch.testing.assert_close(list(second), kept)
