"""What losses of class logits keep for the backward pass, and how wide their numbers are.

No wall time: bytes and dtypes are the same on every machine.
"""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lossviz.declaration.inputs import BATCH
from lossviz.losses import LOSSES, cross_entropy

from .examples import (
    ALL,
    arguments,
    cast,
    corners,
    gradients,
    learnt,
    make,
    parametrize,
    with_gradients,
)
from .test_masked_rows import MASKED

# Forward mode in torch calls what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BLOCKS = sys.modules["lossviz.declaration.by_rows"]
OF_CLASS_LOGITS = [
    loss
    for loss in ALL
    if loss.inputs.rows == (BATCH,)
    and all(
        a.kind.shifts and len(a.letters) == 2
        for a in map(arguments(loss).__getitem__, learnt(loss))
    )
]
each_loss_of_class_logits = parametrize(OF_CLASS_LOGITS)


def wide(loss, dtype=torch.float32):
    letter = arguments(loss)[learnt(loss)[0]].letters[-1]
    return with_gradients(loss, cast(make(loss, 16, scale=1.0, **{letter: 1000}), dtype))


def kept_bytes(call, leaves):
    """The bytes that autograd keeps beyond the leaves, each storage once."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = call()
    own = {leaf.untyped_storage().data_ptr() for leaf in leaves}
    total = sum(storage.nbytes() for place, storage in kept.items() if place not in own)
    assert value.requires_grad
    return total


def few(logits):
    """Bytes of a few numbers for each row and each class: labels, weights, counts."""
    return 16 * sum(logits.shape)


@each_loss_of_class_logits
def test_no_more_than_twice_the_logits_are_kept_for_the_backward_pass(loss):
    inputs = wide(loss)
    leaves = [inputs[i] for i in learnt(loss)]
    logits = sum(leaf.nbytes for leaf in leaves)
    assert kept_bytes(lambda: loss(*inputs), inputs) <= 2 * logits + few(inputs[0])


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"weight": torch.ones(1000)}])
def test_cross_entropy_keeps_no_more_with_its_options(options):
    logits, target = wide(LOSSES["cross_entropy"])
    probabilities = logits.detach().softmax(-1)
    for wanted in (target, probabilities):
        found = kept_bytes(lambda wanted=wanted: cross_entropy(logits, wanted, **options), [logits])
        assert found <= 2 * logits.nbytes + few(logits)


class Widest(TorchDispatchMode):
    """Notes the largest number of entries of a float64 tensor that is made."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for made in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(made, torch.Tensor) and made.dtype == torch.float64:
                self.entries = max(self.entries, made.untyped_storage().nbytes() // 8)
        return found


@each_loss_of_class_logits
def test_float64_is_held_of_a_few_rows_at_a_time(loss, monkeypatch):
    """Whatever the number of rows: here four of sixteen."""
    monkeypatch.setitem(BLOCKS.ENTRIES, "cpu", 4000)
    inputs = wide(loss)
    with Widest() as widest:
        gradients(loss, inputs)
    assert widest.entries <= 4000


@parametrize(OF_CLASS_LOGITS, corners)
def test_a_gradient_that_is_written_out_is_that_of_the_formula(loss, parameters):
    """torch.func differentiates the formula itself."""
    for scale in (0.1, 3.0, 30.0):
        inputs = make(loss, 7, scale=scale, **{"K": 6, "J": 6})
        if loss in MASKED:  # a class of the second row is ruled out
            inputs[0][1, (labels_of(loss, inputs)[1] + 1) % 6] = -torch.inf
        found = gradients(loss, inputs, **parameters)

        def total(*inputs):
            return loss(*inputs, **parameters, reduction="sum")

        wanted = torch.func.grad(total, argnums=tuple(learnt(loss)))(*inputs)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-13)


def labels_of(loss, inputs):
    return next(x for x, a in zip(inputs, arguments(loss), strict=True) if a.kind.counts)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@each_loss_of_class_logits
def test_inputs_are_left_as_they_were(loss, dtype):
    inputs = with_gradients(loss, cast(make(loss, 5), dtype))
    before = [x.detach().clone() for x in inputs]
    gradients(loss, inputs)
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


def test_what_has_no_gradient_written_out_is_left_to_autograd():
    """Counts and class weights that are learnt, steep rows whose factors would overflow."""
    logits, target = make(LOSSES["cross_entropy"], 5)
    counts = torch.arange(1.0, 6.0).double().requires_grad_()
    balanced = LOSSES["balanced_softmax_ce"]
    (found,) = torch.autograd.grad(balanced(logits, target, counts), counts)
    wanted = torch.func.grad(lambda counts: balanced(logits, target, counts))(counts.detach())
    torch.testing.assert_close(found, wanted)
    leaf = torch.tensor([[-50.0, 50.0, -100.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(LOSSES["comp_sum"](leaf, torch.tensor([0]), tau=0.5), leaf)
    exact = torch.tensor([[-50.0, 50.0, -100.0]]).double().exp()
    wanted = (exact / exact.sum()).sub(torch.tensor([1.0, 0, 0])) * (100 / 2 * torch.ones(())).exp()
    torch.testing.assert_close(slope.double(), wanted.double(), rtol=1e-6, atol=1e-44)


@each_loss_of_class_logits
def test_blocks_of_rows_change_no_number(loss, monkeypatch):
    inputs = make(loss, 7, **{"K": 5, "J": 5})
    whole = loss(*inputs, reduction="none"), gradients(loss, inputs)
    monkeypatch.setitem(BLOCKS.ENTRIES, "cpu", 10)
    for one, other in zip(whole[1], gradients(loss, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(loss(*inputs, reduction="none"), whole[0], rtol=1e-13, atol=1e-15)


@each_loss_of_class_logits
def test_derivatives_of_derivatives_see_through_the_kept_gradient(loss):
    """Reverse over reverse, forward over reverse and torch.func give one product with a vector."""
    inputs = with_gradients(loss, make(loss, 3))
    place = learnt(loss)[0]
    leaf = inputs[place]
    vector = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(1)).double()

    def f(x):
        return loss(*inputs[:place], x, *inputs[place + 1 :]).square()

    (slope,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
    (twice,) = torch.autograd.grad((slope * vector).sum(), leaf)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(leaf, vector)
        (moved,) = torch.autograd.grad(f(dual), dual)
        forward = torch.autograd.forward_ad.unpack_dual(moved).tangent
    torch.testing.assert_close(forward, twice)
    plain = leaf.detach()
    through = torch.func.jvp(torch.func.grad(f), (plain,), (vector,))[1]
    torch.testing.assert_close(through, twice)


def test_targets_made_in_inference_mode_are_taken():
    with torch.inference_mode():
        target = torch.randn(3, 5).softmax(-1)
    logits = torch.zeros(3, 5, requires_grad=True)
    cross_entropy(logits, target).backward()
    torch.testing.assert_close(logits.grad, (0.2 - target.clone()) / 3)


def test_hooks_of_the_user_see_what_is_kept_and_nothing_else():
    seen = []
    logits = torch.randn(4, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: seen.append(x.shape) or x, lambda x: x):
        LOSSES["symmetric_ce"](logits, logits.detach())
    assert seen.count(logits.shape) == 3  # both logits and one gradient
