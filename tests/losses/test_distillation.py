"""Plackett-Luce distillation against a loop over ranks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import pld

STUDENT, TEACHER = 2 * torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0)).double()
TARGET = torch.tensor([0, 1, 2, 3, 4, 5, 0])


def loop(student: list[float], teacher: list[float], label: int, temperature: float) -> float:
    worth = [math.exp(t / temperature) for t in teacher]
    left = sorted(range(len(teacher)), key=lambda c: (c != label, -teacher[c], c))
    loss = 0.0
    while left:
        chosen = left[0]
        choices = math.log(sum(math.exp(student[c]) for c in left))
        loss += worth[chosen] / sum(worth) * (choices - student[chosen])
        left = left[1:]
    return loss


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_equals_a_loop_over_ranks(temperature: float) -> None:
    got = pld(STUDENT, TEACHER, TARGET, temperature=temperature, reduction="none")
    rows = zip(STUDENT.tolist(), TEACHER.tolist(), TARGET.tolist(), strict=True)
    assert got.tolist() == pytest.approx([loop(*row, temperature) for row in rows], rel=1e-12)


def test_classes_that_the_teacher_cannot_tell_apart_rank_by_number() -> None:
    teacher = TEACHER.round()
    got = pld(STUDENT, teacher, TARGET, reduction="none")
    rows = zip(STUDENT.tolist(), teacher.tolist(), TARGET.tolist(), strict=True)
    assert got.tolist() == pytest.approx([loop(*row, 1.0) for row in rows], rel=1e-12)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    pld(student, teacher, TARGET).backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("classes", [1, 2, 3, 8, 9, 100])
def test_every_number_of_classes_is_one_ranking(classes: int) -> None:
    student = torch.randn(4, classes, generator=torch.Generator().manual_seed(1)).double()
    label = torch.zeros(4, dtype=torch.int64)
    got = pld(student, -torch.arange(float(classes)).expand(4, -1), label, reduction="none")
    weights = (-torch.arange(float(classes))).softmax(-1)
    terms = [student[:, k:].logsumexp(-1) - student[:, k] for k in range(classes)]
    torch.testing.assert_close(got, torch.stack(terms, -1) @ weights.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_of_second_order_are_finite_where_weights_and_slopes_are_0(
    dtype: torch.dtype,
) -> None:
    sure = 1e4 * F.one_hot(TARGET, 6).to(dtype)
    for student in (STUDENT.to(dtype), 1e4 * STUDENT.to(dtype), torch.zeros(7, 6, dtype=dtype)):
        leaf = student.clone().requires_grad_()
        (slope,) = torch.autograd.grad(pld(leaf, sure, TARGET), leaf, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), leaf)
        assert slope.isfinite().all()
        assert second.isfinite().all()


def test_second_derivatives_are_those_of_finite_differences_at_equal_logits() -> None:
    leaf = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda s: pld(s, TEACHER[:2], TARGET[:2]), leaf)
