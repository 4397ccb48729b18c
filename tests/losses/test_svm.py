"""L2-SVM: the regulariser, the expected minimiser, and what deciding by the sign would answer."""

from __future__ import annotations

import torch

from lossviz.losses import l2_svm

from .test_bad_input import refuses


def test_the_expected_loss_is_least_at_twice_the_probability_minus_one():
    q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    best = (2 * q - 1).requires_grad_()
    risk = q @ l2_svm(best.expand(3, 3), torch.arange(3), reduction="none")
    (slope,) = torch.autograd.grad(risk, best)
    torch.testing.assert_close(slope, torch.zeros(3).double(), rtol=0, atol=1e-15)


def test_trap_the_sign_of_scores_answers_class_0_when_all_signs_agree():
    scores = torch.tensor([[0.2, 3.0], [-5.0, -0.1]])
    assert scores.argmax(-1).tolist() == [1, 1]
    assert scores.sign().argmax(-1).tolist() == [0, 0]


def test_a_mean_needs_c_times_n_for_the_papers_sum():
    scores = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target, weight = torch.arange(8) % 3, torch.ones(3, 4, dtype=torch.float64)
    paper = l2_svm(scores, target, C=0.5, weight=weight, reduction="sum")
    torch.testing.assert_close(l2_svm(scores, target, C=4.0, weight=weight), paper)


def test_the_regulariser_has_the_weight_itself_as_gradient():
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    l2_svm(torch.zeros(2, 3), torch.tensor([0, 1]), weight=weight).backward()
    torch.testing.assert_close(weight.grad, weight.detach())


def test_bad_input_is_refused_by_name():
    scores, target = torch.zeros(2, 3), torch.tensor([0, 1])
    with refuses(TypeError, "weight", "list"):
        l2_svm(scores, target, weight=[1.0])
    with refuses(ValueError, "weight", "'none'"):
        l2_svm(scores, target, weight=torch.ones(3), reduction="none")
    with refuses(ValueError, "target", "shape of output", "(2,)", "(3,)"):
        l2_svm(scores, torch.tensor([0, 1, 2]))
