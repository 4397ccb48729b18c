"""Where probabilities round to 1, values and gradients keep their digits."""

from __future__ import annotations

import mpmath
import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import cross_entropy, poly_1, symmetric_ce

FAR = torch.tensor([[40.0, 0.0, -1.0]])


def value_and_gradient(loss, logits, *rest, **parameters):
    logits = logits.clone().requires_grad_()
    value = loss(logits, *rest, **parameters)
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_hot_probabilities_equal_labels_at_40_nats(dtype):
    label = torch.tensor([0])
    of_label = value_and_gradient(cross_entropy, FAR.to(dtype), label)
    of_one_hot = value_and_gradient(cross_entropy, FAR.to(dtype), F.one_hot(label, 3).to(dtype))
    assert of_label[0] > 0
    torch.testing.assert_close(of_one_hot, of_label, rtol=1e-6, atol=0)


@pytest.mark.parametrize("margin", [5.0, 20.0, 40.0])
def test_poly_1_without_its_linear_term_keeps_its_digits(margin):
    logits = torch.tensor([[margin, 0.0]])
    value, gradient = value_and_gradient(poly_1, logits, torch.tensor([0]), epsilon=-1.0)
    with mpmath.workdps(60):
        p = 1 / (1 + mpmath.exp(-margin))
        rest, slope = float(-mpmath.log(p) - (1 - p)), float(-((1 - p) ** 2))
    assert value.item() == pytest.approx(rest, rel=1e-6)
    assert gradient[0, 0].item() == pytest.approx(slope, rel=1e-6)


def test_symmetric_ce_gradient_sums_to_zero_at_40_nats():
    teacher = torch.tensor([[38.0, 0.0, 0.0]])
    _, gradient = value_and_gradient(symmetric_ce, FAR.double(), teacher.double(), alpha=0.0)
    assert abs(gradient.sum().item()) < 1e-6 * gradient.abs().max().item()
