"""What survives an attack, on a linear classifier whose worst input is known."""

import torch

from lossviz.experiments.attacks import losing, overtaking, survivors


def linear(classes=3, count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 5, generator=generator, dtype=torch.float64)
    x = torch.randn(count, 5, generator=generator, dtype=torch.float64)
    return (lambda inputs: inputs @ weight.T), weight, x, (x @ weight.T).argmax(1)


def test_on_two_linear_classes_exactly_the_inputs_farther_than_the_radius_survive():
    model, weight, x, labels = linear(classes=2)
    lead = (x @ (weight[0] - weight[1])).abs()
    reach = 0.3 * (weight[0] - weight[1]).abs().sum()
    found = survivors(model, x, labels, radius=0.3, step_size=0.6, random_start=False)
    assert torch.equal(found, lead > reach)
    assert 0 < found.sum() < len(x)


def test_what_is_wrong_before_the_attack_does_not_survive_and_radius_zero_moves_nothing():
    model, _, x, labels = linear()
    shifted = (labels + 1) % 3
    assert survivors(model, x, labels, radius=0.0).all()
    assert not survivors(model, x, shifted, radius=0.0).any()


def test_the_seed_fixes_the_attack_and_torchs_generator_is_left_alone():
    model, _, x, labels = linear()
    before = torch.get_rng_state()
    first, again = (survivors(model, x, labels, radius=0.2, steps=2, seed=1) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_lead_of_the_best_wrong_class_is_positive_where_the_prediction_is_wrong():
    model, _, x, labels = linear()
    logits = model(x)
    stated = [
        max(row[:y] + row[y + 1 :]) - row[y]
        for row, y in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    torch.testing.assert_close(overtaking(labels)(logits), torch.tensor(stated).double())
    assert (overtaking(labels)(logits) < 0).all()
    assert (overtaking((labels + 1) % 3)(logits) > 0).all()


def test_the_cross_entropy_to_gain_is_one_number_a_row():
    model, _, x, labels = linear()
    stated = torch.nn.functional.cross_entropy(model(x), labels)
    torch.testing.assert_close(losing(labels)(model(x)).mean(), stated)
