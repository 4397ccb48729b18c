"""The figure of two losses on one head: its arrows and cosines are torch's gradients."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import gradient_conflict, without_conflict
from lossviz.losses import binary_kl_norm, cross_entropy, tempered_kl
from lossviz.widgets import shared_head

from .test_live_numbers import read

TEACHER = (0.5, -1.5)
COPYING = {"BinaryKL-Norm": binary_kl_norm, "tempered KL": tempered_kl}
SIMPLEX = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
pytestmark = pytest.mark.usefixtures("without_stills")


def gradients(copying, logits, weight, temperature):
    """Of cross-entropy and of the weighted copying loss, by autograd: (2, N, 2)."""
    logits = logits.clone().requires_grad_()
    target, teacher = torch.zeros(len(logits)).long(), torch.tensor(TEACHER).double()
    copied = COPYING[copying](
        logits, teacher.expand_as(logits), temperature=temperature, reduction="sum"
    )
    values = cross_entropy(logits, target, reduction="sum"), weight * copied
    return torch.stack([torch.autograd.grad(v, logits)[0] for v in values])


@pytest.mark.parametrize("copying", COPYING)
def test_arrows_and_cosines_are_the_gradients_of_torch(copying, show):
    page = show(shared_head(teacher=TEACHER).html())
    for own, rest, power, heat in ((1.6, -1.4, -0.7, 2.0), (3.9, 0.1, 0.5, 0.25), (-1, 1, -2, 8)):
        signals = {"copying": copying, "own": own, "rest": rest, "power": power, "heat": heat}
        drawn = read(
            page, signals, arrows=["pull1", "pull2"], leads=["lead", "cosine", "mended", "behind"]
        )
        weight = 10**power
        place = torch.tensor([[own, rest]], dtype=torch.float64)
        first, other = gradients(copying, place, weight, heat)
        kept = without_conflict(other, first)
        wanted = -torch.cat([first, other, first + other, first + kept])
        got = torch.stack([drawn["arrows"]["pull1"], drawn["arrows"]["pull2"]], -1)
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
        rows = drawn["leads"]
        half = torch.stack([rows["lead"], -rows["lead"]], -1) / 2
        first, other = gradients(copying, (own + rest) / 2 + half, weight, heat)
        pairs = [
            gradient_conflict(SIMPLEX, torch.ones(1, 1).double(), a[None], b[None])
            for a, b in zip(first, other, strict=True)
        ]
        head = torch.stack([pair.head for pair in pairs])
        far = (rows["lead"] - (TEACHER[0] - TEACHER[1])).abs() > 1e-6
        torch.testing.assert_close(rows["cosine"][far], head[far], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            rows["mended"][far], head.clamp_min(0)[far], rtol=1e-9, atol=1e-9
        )
        behind = torch.stack([pair.backbone for pair in pairs])
        torch.testing.assert_close(rows["behind"][far], behind[far])


def test_the_first_state_shows_a_conflict_and_the_student_can_be_dragged_out_of_it(show):
    page = show(shared_head().html())
    words = page.locator(".lossviz-readout").inner_text()
    assert "oppose" in words
    box = page.locator(".lossviz-handle").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 90, y, steps=3)
    page.mouse.up()
    page.wait_for_function(
        "() => document.querySelector('.lossviz-readout').innerText.includes('agree')"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student": (9.0, 0.0)}, r"student must be two logits within 3 of \(1, -1\), got \(9.0"),
        ({"teacher": (0.0,)}, r"teacher must be two logits"),
        ({"weight": 0.0}, r"weight must lie in \[0.01, 10\], got 0.0"),
        ({"temperature": 9.0}, r"temperature must lie in \[0.25, 8\], got 9.0"),
        ({"copying": "MSE"}, "copying must be 'BinaryKL-Norm' or 'tempered KL', got 'MSE'"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        shared_head(**change)
