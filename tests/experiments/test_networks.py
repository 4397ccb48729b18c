"""Networks: what they compute, side by side as alone, and where their first weights come from."""

import pytest
import torch

from lossviz.experiments.networks import ParallelLinear, network


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(model):
    return [parameter.detach() for parameter in model.parameters()]


def test_a_network_is_linear_layers_with_rectified_units_between():
    model, x = network(5, 7, 4, 3), torch.randn(6, 5, generator=seeded())
    w1, b1, w2, b2, w3, b3 = parameters(model)
    hidden = (x @ w1.T + b1).relu()
    stated = ((hidden @ w2.T + b2).relu()) @ w3.T + b3
    torch.testing.assert_close(model(x), stated)


def test_side_by_side_each_run_is_the_network_of_its_weights():
    together = network(5, 7, 3, runs=4)
    x = torch.randn(4, 6, 5, generator=seeded())
    alone = network(5, 7, 3)
    for run in range(4):
        with torch.no_grad():
            for one, all_runs in zip(alone.parameters(), together.parameters(), strict=True):
                one.copy_(all_runs[run].T if one.ndim == 2 else all_runs[run, 0])
        torch.testing.assert_close(together(x)[run], alone(x[run]))


def test_side_by_side_no_run_feels_the_loss_of_another():
    model = network(5, 7, 3, runs=4)
    model(torch.randn(4, 6, 5, generator=seeded()))[2].square().sum().backward()
    for parameter in model.parameters():
        touched = [bool(slope.any()) for slope in parameter.grad]
        assert touched == [False, False, True, False]


def test_torchs_rule_gives_the_weights_of_torchs_own_layers():
    ours = parameters(network(64, 16, 10, seed=3))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = torch.nn.Sequential(
            torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)
        )
    for one, other in zip(ours, parameters(theirs), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("runs", [None, 3])
def test_a_deviation_is_that_of_the_weights_and_leaves_biases_at_zero(runs):
    model = network(300, 400, runs=runs, deviation=0.15)
    weight, bias = parameters(model)
    assert weight.std().item() == pytest.approx(0.15, rel=0.01)
    assert abs(weight.mean().item()) < 0.002
    assert not bias.any()
    assert not network(3, 2, runs=runs, deviation=0.0)(torch.ones(runs or 1, 1, 3)).any()


@pytest.mark.parametrize("runs", [None, 2])
def test_the_seed_fixes_the_weights_and_torchs_generator_is_left_alone(runs):
    before = torch.get_rng_state()
    first, again, other = (network(4, 3, 2, runs=runs, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, parameters(first), parameters(again)))
    assert not torch.equal(parameters(first)[0], parameters(other)[0])


def test_a_generator_is_drawn_from_where_it_stands():
    generator = seeded(5)
    first, second = network(4, 3, seed=generator), network(4, 3, seed=generator)
    assert torch.equal(parameters(first)[0], parameters(network(4, 3, seed=5))[0])
    assert not torch.equal(parameters(first)[0], parameters(second)[0])


def test_two_sizes_make_one_linear_layer():
    assert [type(part) for part in network(3, 2)] == [torch.nn.Linear]
    assert [type(part) for part in network(3, 2, runs=2)] == [ParallelLinear]


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((3,), {}, "sizes must be at least two positive ints, got \\(3,\\)"),
        ((3, 0, 2), {}, "sizes must be at least two positive ints"),
        ((3, 2), {"runs": 0}, "runs must be None or at least 1, got 0"),
        ((3, 2), {"deviation": -0.1}, "deviation must be None or lie in \\[0, ∞\\), got -0.1"),
        ((3, 2), {"deviation": float("nan")}, "deviation must be None"),
    ],
)
def test_bad_input_is_refused_by_name(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        network(*sizes, **options)
