"""The largest lead over a cube, against corners, attacks and models whose answer is known."""

import itertools
import re

import pytest
import torch

from lossviz.experiments.networks import network
from lossviz.experiments.verification import Cube


def inputs(count=6, features=4, seed=0):
    return torch.rand(count, features, generator=torch.Generator().manual_seed(seed))


def test_a_linear_models_lead_is_the_largest_over_the_corners():
    model, signs = (
        network(4, 3, deviation=1.0),
        torch.tensor([*itertools.product((-1, 1), repeat=4)]),
    )
    for x in inputs():
        cube = Cube(model, x, radius=0.3)
        logits = model(x + 0.3 * signs).detach().double()
        for label, other in itertools.permutations(range(3), 2):
            stated = (logits[:, other] - logits[:, label]).max().item()
            for exact in (True, False):
                assert cube.lead(label, other, exact=exact) == pytest.approx(stated, abs=1e-5)


@pytest.mark.parametrize("sizes", [(4, 8, 3), (4, 6, 5, 3)])
def test_the_exact_lead_is_that_of_a_dense_grid_and_the_relaxation_is_above_it(sizes):
    model, looser = network(*sizes, deviation=0.8, seed=1), 0
    for x in inputs(4):
        cube = Cube(model, x, radius=0.3, bounds=(0.0, 1.0))
        sides = zip((x - 0.3).clamp(min=0).tolist(), (x + 0.3).clamp(max=1).tolist(), strict=True)
        grid = torch.cartesian_prod(*(torch.linspace(low, high, 13) for low, high in sides))
        logits = model(grid).detach()
        for other in (1, 2):
            exact, relaxed = (cube.lead(0, other, exact=exact) for exact in (True, False))
            reached = (logits[:, other] - logits[:, 0]).max().item()
            assert reached - 1e-5 <= exact <= reached + 0.1
            assert exact <= relaxed + 1e-6
            looser += relaxed > exact + 1e-3
    assert looser  # the relaxation is another number, not the same one twice


def test_at_radius_zero_the_lead_is_that_of_the_logits_and_the_prediction_holds():
    model = network(4, 8, 3, deviation=1.0)
    for x in inputs():
        cube, z = Cube(model, x, radius=0.0), model(x).tolist()
        label = int(model(x).argmax())
        assert cube.lead(0, 1) == pytest.approx(z[1] - z[0], abs=1e-5)
        assert cube.holds(label)
        assert not cube.holds((label + 1) % 3)


def test_the_worst_lead_is_the_largest_of_all_classes():
    model = network(4, 8, 5, deviation=0.8, seed=3)
    for x in inputs(3):
        cube = Cube(model, x, radius=0.2)
        exact, relaxed = (
            max(cube.lead(0, k, exact=exact) for k in range(1, 5)) for exact in (True, False)
        )
        assert cube.worst(0) == pytest.approx((exact, relaxed), abs=1e-4)


def test_what_the_relaxation_certifies_holds_and_some_hold_without_it():
    model, radius = network(4, 12, 12, 3, deviation=0.5, seed=2), 0.12
    found = []
    for x in inputs(20):
        cube, label = Cube(model, x, radius=radius), int(model(x).argmax())
        found.append((cube.holds(label, exact=False), cube.holds(label)))
    assert (True, True) in found
    assert (False, True) in found
    assert (False, False) in found
    assert (True, False) not in found


@pytest.mark.parametrize(
    ("model", "radius", "message"),
    [
        (network(4, 3), -0.1, "radius must lie in [0, ∞), got -0.1"),
        (torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()), 0.1, "got Sequential"),
        (torch.nn.Sequential(torch.nn.ReLU()), 0.1, "model must alternate Linear and ReLU layers"),
    ],
)
def test_bad_input_is_refused_by_name(model, radius, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Cube(model, torch.zeros(4), radius=radius)
