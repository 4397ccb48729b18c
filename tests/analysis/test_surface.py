"""Pictures of the loss around a model's weights: what they must show whatever the model."""

import copy
import io
import math
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lossviz.analysis import filter_normalised_directions, loss_on_plane, trajectory_plane
from lossviz.experiments import networks

STEPS = torch.linspace(-1, 1, 5, dtype=torch.float64)


def network(seed=0):
    return networks.network(4, 6, 3, seed=seed).double()


def convolutional(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 2),
        torch.nn.BatchNorm2d(3),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.Linear(27, 2),
    ).double()


def sample(count=20, seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return features, torch.randint(3, (count,), generator=generator)


def directions(model, seed=2):
    return filter_normalised_directions(model, generator=torch.Generator().manual_seed(seed))


def picture(model, seed=2):
    return loss_on_plane(model, F.cross_entropy, sample(), directions(model, seed), STEPS, STEPS)


@pytest.mark.parametrize("model", [network(), convolutional()], ids=["linear", "convolutional"])
def test_every_filter_of_a_direction_is_as_long_as_the_models_and_the_rest_is_zero(model):
    for direction in directions(model):
        assert list(direction) == [name for name, _ in model.named_parameters()]
        for name, weights in model.named_parameters():
            if weights.ndim == 1:
                assert not direction[name].any()
            else:
                torch.testing.assert_close(
                    direction[name].flatten(1).norm(dim=1), weights.detach().flatten(1).norm(dim=1)
                )


def test_a_filter_of_zeros_gets_a_direction_of_zeros():
    model = network()
    with torch.no_grad():
        model[0].weight[2] = 0
    first, _ = directions(model)
    assert first["0.weight"].isfinite().all()
    assert not first["0.weight"][2].any()


def test_the_generator_decides_the_directions_and_directions_differ():
    first, second = directions(network())
    again, _ = directions(network())
    assert torch.equal(first["0.weight"], again["0.weight"])
    assert not torch.allclose(first["0.weight"], second["0.weight"])


def test_the_directions_point_everywhere_alike():
    model = network()
    drawn = filter_normalised_directions(model, 4000, generator=torch.Generator().manual_seed(0))
    rows = torch.stack([d["0.weight"][0] for d in drawn])
    expected = torch.eye(4).double() * model[0].weight[0].square().sum().detach() / 4
    torch.testing.assert_close(rows.T @ rows / 4000, expected, rtol=0.1, atol=0.01)


def test_entry_i_j_is_the_loss_of_the_weights_moved_by_x_j_and_y_i():
    model, data = network(), sample()
    first, second = directions(model)
    x, y = STEPS[:3], STEPS[:2]
    values = loss_on_plane(model, F.cross_entropy, data, (first, second), x, y)
    assert values.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            moved = copy.deepcopy(model)
            with torch.no_grad():
                for name, weights in moved.named_parameters():
                    weights += x[j] * first[name] + y[i] * second[name]
            torch.testing.assert_close(values[i, j], F.cross_entropy(moved(data[0]), data[1]))


def test_the_middle_is_the_loss_of_the_model():
    model, (features, labels) = network(), sample()
    expected = F.cross_entropy(model(features), labels).detach()
    torch.testing.assert_close(picture(model)[2, 2], expected)


def test_a_quadratic_loss_gives_the_exact_paraboloid():
    model = torch.nn.Linear(4, 1, bias=False).double()
    features, labels = sample()

    def squared(output, target):
        return (output.squeeze(-1) - target).square().mean()

    (d1, d2) = (d["weight"][0] for d in directions(model))
    drawn = loss_on_plane(
        model, squared, (features, labels.double()), directions(model), STEPS, STEPS
    )
    hessian = 2 * features.T @ features / len(features)
    theta = model.weight[0].detach()
    slope = hessian @ theta - 2 * features.T @ labels.double() / len(features)
    for i, b in enumerate(STEPS):
        for j, a in enumerate(STEPS):
            d = a * d1 + b * d2
            expected = drawn[2, 2] + d @ slope + d @ hessian @ d / 2
            torch.testing.assert_close(drawn[i, j], expected)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 5))
def test_a_factor_moved_between_two_layers_does_not_change_the_picture(factor, seed):
    model = network(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight *= factor
        other[0].bias *= factor
        other[2].weight /= factor
    torch.testing.assert_close(picture(model), picture(other))


def test_factors_of_single_units_do_change_the_picture_though_not_the_function():
    model = network()
    other = copy.deepcopy(model)
    factors = torch.tensor([0.1, 10, 0.1, 10, 0.1, 10]).double()
    with torch.no_grad():
        other[0].weight *= factors[:, None]
        other[0].bias *= factors
        other[2].weight /= factors
    torch.testing.assert_close(model(sample()[0]), other(sample()[0]))
    assert (picture(other) / picture(model)).max() > 1.5


def test_the_model_is_evaluated_in_eval_mode_and_left_as_it_was():
    model = convolutional().train()
    model[3].eval()
    inputs = torch.randn(8, 1, 4, 4).double()
    data = inputs, torch.randint(2, (8,))
    before = copy.deepcopy(model.state_dict())
    modes = [part.training for part in model.modules()]
    first, second = (
        loss_on_plane(model, F.cross_entropy, data, directions(model), STEPS, STEPS)
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        expected = F.cross_entropy(model.eval()(inputs), data[1])
    torch.testing.assert_close(first[2, 2], expected)


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_the_chunk_changes_memory_but_not_the_values(chunk):
    model = network()
    values = loss_on_plane(
        model, F.cross_entropy, sample(), directions(model), STEPS, STEPS, chunk=chunk
    )
    torch.testing.assert_close(values, picture(model))


class Unusual(torch.nn.Module):
    """A small classifier of sequences (N, 3, 4) with one unusual thing: what `kind` names."""

    def __init__(self, kind, training):
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.first = torch.nn.Linear(4, 4)
        self.last = torch.nn.Linear(4, 3)
        self.register_buffer("mean", torch.zeros(4))
        self.calls, self.kept = 0, []
        self.noise = torch.nn.Dropout(0.5)
        if kind == "module under two names":
            self.again = self.first
        elif kind == "module twice in a list":
            self.layers = torch.nn.ModuleList([self.first, torch.nn.ReLU(), self.first])
        elif kind == "tied weights":
            self.again = torch.nn.Linear(4, 4, bias=False)
            self.again.weight = self.first.weight
        elif kind in ("LSTM", "GRU", "RNN"):
            self.recurrent = getattr(torch.nn, kind)(4, 4, batch_first=True)
        elif kind == "batch normalisation":
            self.norm = torch.nn.BatchNorm1d(4)
        elif kind == "parametrization":
            torch.nn.utils.parametrizations.spectral_norm(self.first)
        elif kind == "old weight norm":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.nn.utils.weight_norm(self.first)
        elif kind == "parameters in a list of its own":
            self.aliases = [self.first.weight]
        elif kind == "hook":
            self.first.register_forward_hook(lambda module, given, result: 2 * result)
        elif kind == "frozen weights":
            self.last.weight.requires_grad_(False)
        self.train(training)

    def forward(self, x):
        if self.kind == "inputs written over":
            x.sub_(1)
        z = self.first(x.mean(1))
        if self.kind in ("module under two names", "tied weights"):
            z = self.again(z.tanh())
        elif self.kind == "module twice in a list":
            for layer in self.layers:
                z = layer(z)
        elif hasattr(self, "recurrent"):
            z = z + self.recurrent(x)[0][:, -1]
        elif self.kind == "batch normalisation":
            z = self.norm(z)
        elif self.kind == "buffer assigned":
            self.mean = 0.9 * self.mean + z.mean(0)
            z = z - self.mean
        elif self.kind == "buffer written over":
            self.mean.mul_(0.9).add_(z.mean(0))
            z = z - self.mean
        elif self.kind == "counted calls":
            self.calls += 1
            z = z * self.calls
        elif self.kind == "results kept":
            self.kept.append(z)
            z = z + len(self.kept)
        elif self.kind == "branch on a value":
            z = z if z.sum() > 0 else 2 * z
        elif self.kind == "dropout always on":
            z = F.dropout(z, 0.5)
        elif self.kind == "parameters in a list of its own":
            z = z @ self.aliases[0]
        elif self.kind == "slope of itself":
            with torch.enable_grad():
                leaf = z.detach().requires_grad_()
                (z,) = torch.autograd.grad(leaf.square().sum() + z.sum(), leaf)
        elif self.kind == "raises far away" and self.first.weight.abs().max() > 1:
            raise ArithmeticError("too far")
        return self.last(self.noise(z))


KINDS = [
    "nothing", "module under two names", "module twice in a list", "tied weights", "LSTM", "GRU",
    "RNN", "batch normalisation", "parametrization", "old weight norm", "hook", "frozen weights",
    "parameters in a list of its own", "inputs written over", "buffer assigned",
    "buffer written over", "counted calls", "results kept", "branch on a value",
    "dropout always on", "slope of itself",
]  # fmt: skip


def everything_of(model):
    """All that a model holds: each object by identity, each tensor with its numbers as well."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "objects": [
            {name: id(value) for name, value in {**vars(part), **part._parameters,
             **part._buffers, **part._modules}.items() if name not in ("training", "calls")}
            for part in model.modules()
        ],
        "numbers": {name: value.detach().clone() for name, value in tensors.items()},
        "wanting gradients": {name: value.requires_grad for name, value in tensors.items()},
        "gradients": {name: value.grad for name, value in model.named_parameters()},
        "modes": [part.training for part in model.modules()],
        "calls": (model.calls, len(model.kept)),
    }  # fmt: skip


def assert_untouched(model, before):
    after = everything_of(model)
    numbers, wanted = after.pop("numbers"), before.pop("numbers")
    assert after == before
    assert numbers.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in numbers.items())
    torch.save(model.state_dict(), io.BytesIO())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_any_model_is_left_as_it_was_and_each_value_is_that_of_a_model_with_the_moved_weights(
    kind, training, ran, x, chunk, seed
):
    """The model may have run before, which leaves results of autograd in it."""
    model = Unusual(kind, training)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(5, 3, 4, generator=generator)
    targets = torch.randint(3, (5,), generator=generator)
    if ran:
        model(inputs.clone())
    pair = filter_normalised_directions(model, generator=generator)
    given_inputs, before = inputs.clone(), everything_of(model)
    places = torch.tensor(x)
    torch.manual_seed(seed)
    random_state = torch.get_rng_state()
    values = loss_on_plane(
        model, F.cross_entropy, (inputs, targets), pair, places, places[:1], chunk=chunk
    )
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(inputs, given_inputs)
    assert_untouched(model, before)
    for j, place in enumerate(x):
        moved = Unusual(kind, training)
        if ran:
            torch.manual_seed(0)
            moved(inputs.clone())
        moved.load_state_dict(model.state_dict())
        moved.eval()
        with torch.no_grad():
            for name, weights in moved.named_parameters():
                weights += place * pair[0][name] + x[0] * pair[1][name]
            torch.manual_seed(seed)
            expected = F.cross_entropy(moved(inputs.clone()), targets)
        torch.testing.assert_close(values[0, j], expected, rtol=1e-4, atol=1e-5)
    model.train()
    F.cross_entropy(model(inputs), targets).backward()
    assert model.last.bias.grad is not None


@pytest.mark.parametrize("chunk", [1, 32])
def test_an_exception_on_the_way_leaves_the_model_as_it_was(chunk):
    model = Unusual("raises far away", training=True)
    before = everything_of(model)
    data = torch.ones(2, 3, 4), torch.tensor([0, 1])
    with pytest.raises(ArithmeticError, match="too far"):
        loss_on_plane(
            model, F.cross_entropy, data, directions(model), STEPS * 0, STEPS * 100, chunk=chunk
        )
    assert_untouched(model, before)


def test_a_loss_may_be_any_function_that_gives_a_number():
    def errors(output, target):
        return (output.argmax(-1) != target).float().mean().item()

    found = loss_on_plane(MODEL, errors, sample(), PAIR, STEPS * 0, STEPS[:1] * 0)
    features, labels = sample()
    assert found.tolist() == [[errors(MODEL(features), labels)] * 5]


def test_a_lazy_model_is_refused_until_it_has_seen_a_batch():
    model = torch.nn.Sequential(torch.nn.LazyLinear(3))
    for call in (filter_normalised_directions, lambda m: on_plane(m, pair=PAIR)):
        with pytest.raises(ValueError, match=r"have seen a batch, got the lazy parameter '0\.weig"):
            call(model)
    model(sample()[0].float())
    assert filter_normalised_directions(model, 1)[0]["0.weight"].shape == (3, 4)


def test_a_model_that_cannot_be_copied_is_refused():
    model = network()
    model.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"must allow copy\.deepcopy.*lock"):
        on_plane(model)


def path(length=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "a": torch.randn(3, 2, generator=generator, dtype=torch.float64),
            "b": torch.randn(4, generator=generator, dtype=torch.float64),
        }
        for _ in range(length)
    ]


def flat(state):
    return torch.cat([state["a"].flatten(), state["b"]])


def test_the_plane_of_a_path_is_that_of_the_singular_vectors_from_its_end():
    states = path()
    plane = trajectory_plane(states)
    rows = torch.stack([flat(state) for state in states]) - flat(states[-1])
    _, lengths, components = torch.linalg.svd(rows, full_matrices=False)
    for k in range(2):
        found = flat(plane.directions[k])
        assert abs(found @ components[k]) == pytest.approx(1)
        torch.testing.assert_close(plane.coordinates[:, k], rows @ found)
        share = lengths[k] ** 2 / lengths.square().sum()
        assert plane.shares[k] == pytest.approx(share.item())
    assert flat(plane.directions[0]) @ flat(plane.directions[1]) == pytest.approx(0, abs=1e-12)


def test_the_path_ends_in_the_middle_and_starts_on_the_positive_side():
    plane = trajectory_plane(path())
    torch.testing.assert_close(plane.coordinates[-1], torch.zeros(2, dtype=torch.float64))
    assert (plane.coordinates[0] > 0).all()


def test_a_path_in_a_plane_is_recovered_whole():
    start, d1, d2, _ = path(4)
    states = [
        {name: start[name] + a * d1[name] + b * d2[name] for name in start}
        for a, b in ((3, 1), (2, 2), (1, 0.5), (0, 0))
    ]
    plane = trajectory_plane(states)
    assert sum(plane.shares) == pytest.approx(1)
    for state, (a, b) in zip(states, plane.coordinates, strict=True):
        rebuilt = flat(states[-1]) + a * flat(plane.directions[0]) + b * flat(plane.directions[1])
        torch.testing.assert_close(rebuilt, flat(state))


def test_two_components_hold_ninety_percent_of_a_long_random_walk():
    torch.manual_seed(0)
    walk = torch.randn(300, 3000).cumsum(0)
    first, second = trajectory_plane([{"w": row} for row in walk]).shares
    assert first == pytest.approx(8 / math.pi**2, abs=0.01)
    assert second == pytest.approx(8 / (9 * math.pi**2), abs=0.01)


MODEL = network()
PAIR = directions(MODEL)


def on_plane(model=MODEL, loss=F.cross_entropy, pair=PAIR, x=STEPS, **options):
    return loss_on_plane(model, loss, sample(), pair, x, STEPS, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: filter_normalised_directions(F.relu),
            TypeError,
            "model must be a torch.nn.Module, got function",
        ),
        (lambda: filter_normalised_directions(MODEL, 0), ValueError, "positive int, got 0"),
        (
            lambda: filter_normalised_directions(torch.nn.BatchNorm1d(3)),
            ValueError,
            "a parameter of two axes or more, got none",
        ),
        (lambda: on_plane(pair=PAIR[:1]), ValueError, "directions must be two, got 1"),
        (lambda: on_plane(pair=({}, {})), ValueError, "lacks the parameter '0.weight'"),
        (
            lambda: on_plane(pair=(PAIR[0], PAIR[1] | {"2.bias": torch.zeros(1)})),
            ValueError,
            r"'2.bias' must have shape \(3,\), got \(1,\)",
        ),
        (lambda: on_plane(x=STEPS[:, None]), ValueError, r"one axis, got \(5, 1\) and \(5,\)"),
        (lambda: on_plane(x=STEPS[:0]), ValueError, "an entry each, got 0 and 5"),
        (lambda: on_plane(chunk=0), ValueError, "chunk must be at least 1, got 0"),
        (
            lambda: on_plane(loss=lambda z, y: F.cross_entropy(z, y, reduction="none")),
            ValueError,
            r"a scalar, got shape \(20,\)",
        ),
        (lambda: trajectory_plane(path(2)), ValueError, "at least three, got 2"),
        (lambda: trajectory_plane([path()[0]] * 4), ValueError, "must span a plane"),
        (lambda: trajectory_plane([*path(3), {"a": torch.ones(2)}]), ValueError, "must have shape"),
    ],
)
def test_bad_input_is_a_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
