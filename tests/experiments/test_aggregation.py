"""CrossMax: what it does not see, what it cannot exceed, and what it refuses."""

import re

import pytest
import torch

from lossviz.experiments.aggregation import crossmax


def logits(predictors=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(5, predictors, 4, generator=generator, dtype=torch.float64)


def by_loops(z, k):
    """The definition, one number at a time."""
    z = [[value - max(row) for value in row] for row in z.tolist()]
    highest = [max(row[c] for row in z) for c in range(len(z[0]))]
    leads = [[row[c] - highest[c] for row in z] for c in range(len(z[0]))]
    return torch.tensor([sorted(lead, reverse=True)[k - 1] for lead in leads], dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_it_is_its_definition(k):
    z = logits()
    expected = torch.stack([by_loops(one, k) for one in z])
    torch.testing.assert_close(crossmax(z, k=k), expected)


@pytest.mark.parametrize("predictors", [3, 5, 9])
def test_the_middle_k_is_the_median_of_an_odd_number(predictors):
    z = logits(predictors)
    leads = z - z.amax(-1, keepdim=True)
    leads = leads - leads.amax(-2, keepdim=True)
    median = leads.median(dim=-2).values
    assert torch.equal(crossmax(z, k=(predictors + 1) // 2), median)


def test_a_predictor_that_shouts_is_not_heard_louder():
    z = logits()
    offset = torch.linspace(-1000, 1000, 8, dtype=torch.float64)[:, None]
    torch.testing.assert_close(crossmax(z + offset), crossmax(z))


def test_the_order_of_predictors_does_not_matter():
    z = logits()
    assert torch.equal(crossmax(z[:, torch.randperm(8)]), crossmax(z))


@pytest.mark.parametrize("k", [1, 2, 8])
def test_no_score_is_positive_and_the_highest_predictor_gives_zero(k):
    scores = crossmax(logits(), k=k)
    assert (scores <= 0).all()
    if k == 1:
        assert (scores == 0).all()


def test_predictors_that_agree_are_left_their_prediction():
    z = logits(1).expand(5, 4, 4)
    assert (crossmax(z, k=2) == 0).all()  # the second step leaves no difference at all
    one = logits(1)[:, 0]
    mixed = torch.stack([one, one, one, torch.zeros_like(one)], dim=1)
    assert torch.equal(crossmax(mixed, k=4).argmax(-1), one.argmax(-1))


def test_its_gradient_passes_through_two_predictors_per_class_at_most():
    z = logits()[0].requires_grad_()
    for column in range(4):
        (slope,) = torch.autograd.grad(crossmax(z)[column], z, retain_graph=True)
        moved = (slope != 0).any(-1)  # the k-th highest and the highest it is seen from
        assert moved.sum() <= 2


@pytest.mark.parametrize(
    ("z", "k", "error", "message"),
    [
        (logits(), 0, ValueError, "k must lie in [1, 8], got 0"),
        (logits(), 9, ValueError, "k must lie in [1, 8], got 9"),
        (logits(), 3.0, TypeError, "k must be an int, got float"),
        (torch.zeros(4), 1, ValueError, "got (4,)"),
        (torch.zeros(2, 0, 4), 1, ValueError, "got (2, 0, 4)"),
        (torch.zeros(2, 3, dtype=torch.int64), 1, TypeError, "floating tensor"),
    ],
)
def test_bad_input_is_refused_by_name(z, k, error, message):
    with pytest.raises(error, match=re.escape(message)):
        crossmax(z, k=k)
