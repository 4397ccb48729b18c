"""Scores of the whole softmax in float32, at margins up to 60 nats, against their forms."""

from __future__ import annotations

from functools import cache

import mpmath
import pytest
import sympy as sp
import torch

from lossviz.losses import LOSSES, Loss

KEYS = ("unlikelihood", "brier", "spherical_score", "entropy_bonus", "renyi_2_bonus")
each_score = pytest.mark.parametrize("key", KEYS)


@cache
def written_out(key: str, classes: int):
    """The declared form and its derivatives, for mpmath, with class 0 as the target."""
    loss = LOSSES[key]
    logits = sp.symbols(f"z0:{classes}", real=True)
    value = loss.form.of_logits(logits, 0)
    arguments = [*logits, *(p.sympy for p in loss.parameters)]
    return sp.lambdify(arguments, [value, *(value.diff(z) for z in logits)], "mpmath", cse=True)


def exact(loss: Loss, logits: torch.Tensor, parameters: dict[str, float]) -> torch.Tensor:
    """Value and gradient of every row, (N, 1 + K), with 200 digits: up to 110 cancel."""
    meaning = written_out(loss.key, logits.shape[1])
    with mpmath.workdps(200):
        rows = [
            [float(x) for x in meaning(*map(mpmath.mpf, row), *parameters.values())]
            for row in logits.tolist()
        ]
    return torch.tensor(rows, dtype=torch.float64)


def value_and_gradient(
    loss: Loss, logits: torch.Tensor, parameters: dict[str, float]
) -> torch.Tensor:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, torch.zeros(len(leaf), dtype=torch.long), **parameters, reduction="none")
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return torch.cat([value.detach()[:, None], gradient], 1)


MARGINS = (-60.0, -35.0, -17.0, -4.0, 0.0, 4.0, 17.0, 35.0, 60.0)


@each_score
@pytest.mark.parametrize("others", [[0.0], [0.0, 0.5], [0.0, -40.0, -5.0, 12.0]], ids=len)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_value_and_gradient_in_float32_are_right_at_margins_of_60_nats(key, others, offset):
    loss = LOSSES[key]
    logits = torch.tensor([[margin, *others] for margin in MARGINS]) + offset
    for step in (0.1, 1.0):
        parameters = {
            p.name: p.slider[0] + step * (p.slider[1] - p.slider[0]) for p in loss.parameters
        }
        found = value_and_gradient(loss, logits, parameters)
        torch.testing.assert_close(
            found.double(), exact(loss, logits.double(), parameters), rtol=1e-6, atol=1e-44
        )


def test_second_derivatives_are_numbers_where_one_class_leads_by_thousands():
    logits = torch.tensor([[8000.0, -400.0, 8100.0], [0.0, 9000.0, 1.0]]).double()
    for key in KEYS:
        loss = LOSSES[key]
        hessian = torch.autograd.functional.hessian(
            lambda z, loss=loss: loss(z, torch.tensor([1, 1])), logits
        )
        assert hessian.isfinite().all()


@each_score
def test_one_class_and_ignored_rows_have_numbers(key):
    loss = LOSSES[key]
    if key != "unlikelihood":
        assert value_and_gradient(loss, torch.zeros(2, 1), {}).isfinite().all()
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.tensor([0, -100, 2, -100])
    loss(logits, target).backward()
    assert (logits.grad[1::2] == 0).all()
    assert logits.grad.isfinite().all()


def test_the_only_class_of_one_cannot_be_avoided():
    with pytest.raises(ValueError, match=r"logits must have .* K >= 2 classes, got \(2, 1\)"):
        LOSSES["unlikelihood"](torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
