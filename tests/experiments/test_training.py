"""The training loop: its steps are torch's, its runs are strangers, and its records are in time."""

from functools import partial
from itertools import chain

import pytest
import torch
import torch.nn.functional as F

from lossviz.experiments.networks import network
from lossviz.experiments.training import accuracy, batches, fit, minimise, train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(*leading, count=20, seed=0):
    generator = seeded(seed)
    x = torch.randn(*leading, count, 4, generator=generator)
    return x, torch.randint(3, (*leading, count), generator=generator)


def descend(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr)


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def rows_of(features, all_features):
    """Which example each row is."""
    return [int((all_features == row).all(1).nonzero()) for row in features]


def test_an_epoch_is_every_example_once_with_its_label_and_the_next_has_another_order():
    x, y = sample()
    seen = list(batches(x, y, size=6, epochs=2))
    assert [len(target) for _, target in seen] == 2 * [6, 6, 6, 2]
    order = [rows_of(features, x) for features, _ in seen]
    first, second = list(chain(*order[:4])), list(chain(*order[4:]))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    for (_, target), rows in zip(seen, order, strict=True):
        assert torch.equal(target, y[rows])


def test_steps_are_batches_drawn_with_replacement():
    x, y = sample(count=5)
    seen = list(batches(x, y, size=40, steps=3))
    assert [features.shape for features, _ in seen] == 3 * [(40, 4)]
    for features, target in seen:
        rows = rows_of(features, x)
        assert set(rows) == set(range(5))
        assert torch.equal(target, y[rows])


@pytest.mark.parametrize("how", [{"epochs": 2}, {"steps": 4}], ids=str)
def test_side_by_side_each_run_has_its_own_examples_in_its_own_order(how):
    x, y = sample(3)
    orders = []
    for features, target in batches(x, y, size=5, runs=3, **how):
        rows = [rows_of(features[run], x[run]) for run in range(3)]
        assert all(torch.equal(target[run], y[run][rows[run]]) for run in range(3))
        orders.append(rows)
    assert all(rows[0] != rows[1] for rows in orders)


def test_the_seed_fixes_the_batches_and_torchs_generator_is_left_alone():
    x, y = sample()
    before = torch.get_rng_state()
    first, again, other = (
        torch.cat([target for _, target in batches(x, y, size=5, epochs=1, seed=seed)])
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0, "steps": 1}, "size must be at least 1, got 0"),
        ({"size": 1}, "one of epochs and steps is needed, got None and None"),
        ({"size": 1, "steps": 1, "epochs": 1}, "one of epochs and steps is needed, got 1 and 1"),
        ({"size": 1, "steps": 1, "runs": 3}, "the first axis must count the 3 runs, got 2"),
    ],
)
def test_batches_refuse_bad_input_at_once_and_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        batches(*sample(2), **options)


def test_batches_refuse_features_and_labels_of_unequal_numbers():
    x, y = sample()
    with pytest.raises(ValueError, match=r"must hold the same examples, got shapes \(20, 4\)"):
        batches(x, y[:-1], size=1, steps=1)


def test_a_step_is_a_gradient_step_and_its_loss_is_the_one_before():
    model, (x, y) = network(4, 3), sample()
    start = weights(model)
    value = F.cross_entropy(model(x), y)
    slopes = torch.autograd.grad(value, list(model.parameters()))
    seen = train(model, F.cross_entropy, [(x, y)], descend(model))
    assert seen.losses == [value.item()]
    for now, before, slope in zip(weights(model), start, slopes, strict=True):
        torch.testing.assert_close(now, before - 0.1 * slope)


def test_runs_side_by_side_end_where_each_ends_alone():
    x, y = sample(3)
    together = network(4, 6, 3, runs=3)
    alone = [network(4, 6, 3) for _ in range(3)]
    for run, model in enumerate(alone):
        with torch.no_grad():
            for one, all_runs in zip(model.parameters(), together.parameters(), strict=True):
                one.copy_(all_runs[run].T if one.ndim == 2 else all_runs[run, 0])

    def loss(z, y):
        return F.cross_entropy(z.flatten(0, -2), y.flatten())

    seen = train(together, loss, 10 * [(x, y)], descend(together, 1.0), runs=3)
    ends = []
    for run, model in enumerate(alone):
        ends.append(train(model, loss, 10 * [(x[run], y[run])], descend(model, 1.0)).losses)
        torch.testing.assert_close(together(x)[run], model(x[run]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.tensor(seen.losses), torch.tensor(ends).mean(0))


def test_records_are_taken_after_each_step_or_after_those_asked_for():
    def after(**options):
        model = network(1, 1, deviation=0.0)
        with torch.no_grad():
            model[0].bias.fill_(0.0)
        data = 5 * [(torch.zeros(1, 1), torch.zeros(1))]  # the bias falls by 1 at each step
        record = {"record": lambda model: round(model[0].bias.item())}
        return train(model, lambda z, _: z.sum(), data, descend(model, 1.0), **record, **options)

    assert after().records == [-1, -2, -3, -4, -5]
    assert after(record_at=[0, 2, 5]).records == [0, -2, -5]
    assert after(record_at=[]).records == []


def test_a_gradient_longer_than_the_clip_is_cut_to_it():
    model = network(4, 3)
    start = weights(model)
    loss = lambda z, y: 100 * F.cross_entropy(z, y)  # noqa: E731
    train(model, loss, [sample()], descend(model, 1.0), clip=0.5)
    moved = [now - before for now, before in zip(weights(model), start, strict=True)]
    length = torch.cat([move.flatten() for move in moved]).norm().item()
    assert length == pytest.approx(0.5, rel=1e-4)


def test_a_schedule_is_stepped_once_a_batch():
    model = network(4, 3)
    optimizer = descend(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    train(model, F.cross_entropy, 3 * [sample()], optimizer, schedule=schedule)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 8)


def test_the_seed_fixes_dropout_and_random_losses_and_the_global_generator_is_put_back():
    def end(seed):
        model = torch.nn.Sequential(network(4, 8), torch.nn.Dropout(0.5), network(8, 3))
        loss = lambda z, y: F.cross_entropy(z + torch.randn_like(z), y)  # noqa: E731
        return train(model, loss, 3 * [sample()], descend(model), seed=seed).losses

    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = end(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert end(1) == first
    assert end(2) != first


def test_data_are_drawn_when_their_step_comes():
    model, seen = network(4, 3), []

    def data():
        for _ in range(3):
            seen.append(weights(model)[0])
            yield sample()

    train(model, F.cross_entropy, data(), descend(model))
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_the_minimum_of_a_smooth_function_is_found():
    centre = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    place = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    minimise(lambda: (place - centre).cosh().sum(), [place], steps=50, tolerance=1e-12)
    torch.testing.assert_close(place.detach(), centre, rtol=0, atol=1e-9)


def test_accuracy_is_the_share_of_right_predictions_of_each_run():
    labels = torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]])
    outputs = F.one_hot(torch.tensor([[0, 1, 2, 1], [1, 0, 0, 0]]), 3).float()
    assert accuracy(lambda x: x, outputs, labels).tolist() == [0.75, 0.25]
    assert accuracy(lambda x: x, outputs[0], labels[0]).item() == 0.75


def test_a_small_network_learns_what_a_linear_model_cannot():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([0, 1, 1, 0])
    learn = partial(train, loss=F.cross_entropy, data=400 * [(x, y)])
    for sizes, reached in (((2, 16, 2), True), ((2, 2), False)):
        model = network(*sizes)
        learn(model, optimizer=torch.optim.Adam(model.parameters(), lr=0.05))
        assert (accuracy(model, x, y) == 1) == reached


def test_fit_trains_each_run_on_its_own_examples_and_records():
    features, labels = sample(2)
    model, (first, last) = fit(
        lambda z, y: F.cross_entropy(z.flatten(0, 1), y.flatten()),
        features,
        labels,
        (4, 8, 3),
        steps=60,
        batch=20,
        record=lambda model: accuracy(model, features, labels),
        record_at=[0, 60],
    )
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert first.shape == (2,)
    assert (last > first).all()
