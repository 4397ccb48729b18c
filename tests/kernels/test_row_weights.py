"""Weights of rows that are known in advance: tokens that count more, advantages, masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lossviz.kernels import LinearCrossEntropyLoss, linear_cross_entropy
from lossviz.kernels.row_losses import Focal

ROWS, FEATURES, CLASSES = 9, 5, 7
PATHS = pytest.mark.parametrize(
    ("impl", "dtype"),
    [
        ("chunked", torch.float64),
        ("chunked", torch.float32),
        ("reference", torch.float64),
        ("triton", torch.float32),
    ],
)
TIMES = torch.tensor([2, 0, 1, 3, 1, 1, 2, 5, 1])
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "class weights and smoothing": {"weight": torch.arange(1.0, 8.0), "label_smoothing": 0.1},
    "z-loss and soft cap": {"z_loss": 0.01, "softcap": 2.0},
    "everything": {"weight": torch.arange(1.0, 8.0), "label_smoothing": 0.2, "z_loss": 0.1},
    "another loss": {"loss": Focal(gamma=2.0), "z_loss": 0.1},
}


def case(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((ROWS, FEATURES), (CLASSES, FEATURES), (CLASSES,))
    tensors = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    target = torch.randint(CLASSES, (ROWS,), generator=generator)
    target[4] = -100
    return *(x.to(dtype).requires_grad_() for x in tensors), target


def same_with_gradients(one: torch.Tensor, other: torch.Tensor, *leaves: torch.Tensor) -> None:
    torch.testing.assert_close(one, other)
    for mine, theirs in zip(
        torch.autograd.grad(one, leaves), torch.autograd.grad(other, leaves), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@PATHS
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_whole_weight_is_that_many_rows(
    name: str, reduction: str, impl: str, dtype: torch.dtype
) -> None:
    x, w, b, y = case(dtype)
    options = {**OPTIONS[name], "linear_bias": b, "reduction": reduction}
    weighted = linear_cross_entropy(x, w, y, row_weight=TIMES, impl=impl, **options)
    repeated = linear_cross_entropy(
        x.repeat_interleave(TIMES, 0), w, y.repeat_interleave(TIMES), **options
    )
    same_with_gradients(weighted, repeated, x, w, b)


@PATHS
def test_weights_of_either_sign_multiply_the_loss_of_each_row(
    impl: str, dtype: torch.dtype
) -> None:
    x, w, b, y = case(dtype)
    advantages = torch.linspace(-2, 2, ROWS, dtype=dtype)
    rows = F.cross_entropy(F.linear(x, w, b), y, reduction="none")
    options = {"linear_bias": b, "row_weight": advantages, "impl": impl}
    total = linear_cross_entropy(x, w, y, reduction="sum", **options)
    same_with_gradients(total, (advantages * rows).sum(), x, w, b)
    each = linear_cross_entropy(x, w, y, reduction="none", **options)
    torch.testing.assert_close(each, advantages * rows)


def test_probabilities_heads_and_shifted_positions_have_weights() -> None:
    x, w, _, _ = case()
    soft = torch.linspace(0, 3, ROWS * CLASSES).double().reshape(ROWS, CLASSES).softmax(-1)
    weights = torch.linspace(0.5, 3, ROWS).double()
    rows = F.cross_entropy(F.linear(x, w), soft, reduction="none")
    expected = (weights * rows).sum() / weights.sum()
    same_with_gradients(linear_cross_entropy(x, w, soft, row_weight=weights), expected, x, w)

    heads = torch.stack([w, -w], 1)
    target = torch.stack([torch.arange(ROWS) % CLASSES, torch.arange(ROWS) % 3], 1)
    two = torch.stack([weights, weights.flip(0)], 1)
    logits = torch.einsum("nd,vkd->nvk", x, heads)
    rows = F.cross_entropy(logits, target, reduction="none")
    expected = (two * rows).sum() / two.sum()
    same_with_gradients(linear_cross_entropy(x, heads, target, row_weight=two), expected, x, w)

    sequence, tokens = x.reshape(3, 3, FEATURES), target[:, 0].reshape(3, 3)
    counted = weights.reshape(3, 3)
    rows = F.cross_entropy(
        F.linear(sequence[:, :-1], w).flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    expected = (counted[:, 1:].flatten() * rows).sum() / counted[:, 1:].sum()
    found = linear_cross_entropy(sequence, w, tokens, row_weight=counted, shift=True)
    same_with_gradients(found, expected, x, w)


def test_a_learned_weight_gets_the_loss_of_its_row_as_gradient() -> None:
    x, w, b, y = case()
    weights = torch.linspace(0.5, 2, ROWS).double().requires_grad_()
    total = linear_cross_entropy(x, w, y, linear_bias=b, row_weight=weights, reduction="sum")
    rows = F.cross_entropy(F.linear(x, w, b), y, reduction="none")
    same_with_gradients(total, (weights * rows).sum(), x, w, b, weights)


def test_known_weights_cost_no_product() -> None:
    x, w, _, y = case()

    def operations(**options: Any) -> int:
        with FlopCounterMode(display=False) as counter:
            linear_cross_entropy(x, w, y, impl="chunked", **options).backward()
        return counter.get_total_flops()

    plain = operations()
    assert plain == 3 * 2 * ROWS * FEATURES * CLASSES
    assert operations(row_weight=TIMES) == plain


def test_what_an_ignored_row_weighs_is_not_looked_at_and_no_weight_at_all_is_no_mean() -> None:
    x, w, _, y = case()
    weights = torch.where(y == -100, torch.nan, 2.0)
    same_with_gradients(
        linear_cross_entropy(x, w, y, row_weight=weights), linear_cross_entropy(x, w, y), x, w
    )
    nothing = linear_cross_entropy(x, w, y, row_weight=torch.zeros(ROWS), z_loss=0.1)
    assert nothing.isnan()
    for gradient in torch.autograd.grad(nothing, (x, w)):
        assert gradient.count_nonzero() == 0


@pytest.mark.parametrize(
    ("row_weight", "error", "message"),
    [
        ([1.0] * ROWS, TypeError, "row_weight must be a torch.Tensor, got list"),
        (torch.ones(ROWS, 1), ValueError, r"shape \(9,\), got \(9, 1\)"),
        (torch.ones(ROWS, dtype=torch.complex64), TypeError, "row_weight must hold real numbers"),
    ],
)
def test_weights_of_another_kind_are_refused(
    row_weight: Any, error: type[Exception], message: str
) -> None:
    x, w, _, y = case()
    with pytest.raises(error, match=message):
        linear_cross_entropy(x, w, y, row_weight=row_weight)


def test_the_module_takes_them_with_the_batch_they_belong_to() -> None:
    x, w, b, y = case()
    head = LinearCrossEntropyLoss(FEATURES, CLASSES, bias=True, z_loss=0.1).double()
    with torch.no_grad():
        head.linear.weight.copy_(w)
        head.linear.bias.copy_(b)
    expected = linear_cross_entropy(x, w, y, linear_bias=b, z_loss=0.1, row_weight=TIMES)
    torch.testing.assert_close(head(x, y, row_weight=TIMES), expected)
    with pytest.raises(TypeError, match="row_weight"):
        LinearCrossEntropyLoss(FEATURES, CLASSES, row_weight=TIMES)
