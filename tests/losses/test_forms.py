"""A symbolic form means the same whether probabilities or logits are put in."""

from __future__ import annotations

import pytest
import sympy as sp
import torch

from lossviz.losses import LOSSES

FORMS = [loss for loss in LOSSES.values() if loss.form is not None]
LOGITS = (0.7, -1.1, 0.4)  # they sum to zero

each_form = pytest.mark.parametrize("loss", FORMS, ids=lambda loss: loss.key)


def at(expression, loss):
    return float(expression.subs({p.sympy: p.default for p in loss.parameters}))


@each_form
def test_probabilities_stand_for_the_logits_that_sum_to_zero(loss):
    weights = [sp.exp(sp.Float(z, 30)) for z in LOGITS]
    probabilities = [weight / sp.Add(*weights) for weight in weights]
    for target in range(3):
        torch_value = loss(torch.tensor(LOGITS).double(), torch.tensor(target)).item()
        for expression in (
            loss.form.of_probabilities(probabilities, target),
            loss.form.of_logits([sp.Float(z, 30) for z in LOGITS], target),
        ):
            assert at(expression, loss) == pytest.approx(torch_value, rel=1e-6, abs=1e-9)


@each_form
def test_along_the_target_probability_the_others_share_the_rest(loss):
    share = loss.form.of_probabilities([sp.Rational(1, 2)] + [sp.Rational(1, 6)] * 3, 0)
    along = loss.form.along_target_probability(sp.Rational(1, 2), 4)
    assert at(share, loss) == at(along, loss)
