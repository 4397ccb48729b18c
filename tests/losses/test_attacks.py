"""Projected gradient ascent stays in its ball, finds the worst place and leaves the model alone."""

import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses.attacks import pgd

both_norms = pytest.mark.parametrize("norm", ["linf", "l2"])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(seed=0):
    """A small network with every kind of state that an attack could disturb."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(6, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.5),
            torch.nn.Linear(16, 3),
        )


def batch(count=8):
    x = torch.randn(count, 6, generator=seeded(1))
    return x, torch.randint(3, (count,), generator=seeded(2))


def losing(target):
    return lambda logits: F.cross_entropy(logits, target, reduction="none")


def lengths(change, norm):
    return change.flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2)


@both_norms
def test_the_change_stays_within_the_radius_and_the_bounds(norm):
    x, target = batch()
    x = x.clamp(-1, 1)
    found = pgd(
        network(), x, losing(target), radius=0.7, norm=norm, bounds=(-1.0, 1.0), generator=seeded()
    )
    assert (lengths(found - x, norm) <= 0.7 * (1 + 1e-6)).all()
    assert found.abs().max() <= 1
    assert (lengths(found - x, norm) > 0.1).any()


@both_norms
def test_a_linear_gain_is_pushed_to_the_exact_worst_place(norm):
    """Over a ball a linear function rises by the radius times the dual norm of its slope."""
    x = torch.randn(5, 4, generator=seeded(3), dtype=torch.float64)
    slope = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    found = pgd(lambda x: x @ slope, x, lambda value: value, radius=0.3, norm=norm, step_size=3.0)
    dual = slope.abs().sum() if norm == "linf" else slope.norm()
    torch.testing.assert_close((found - x) @ slope, (0.3 * dual).expand(5))


def test_images_keep_their_shape():
    x = torch.rand(3, 1, 4, 4, generator=seeded())
    found = pgd(lambda x: x.flatten(1).sum(1), x, lambda v: v, radius=0.2, norm="l2")
    assert found.shape == x.shape
    assert not found.requires_grad


@both_norms
def test_the_gain_is_never_below_that_at_the_start(norm):
    """Even with steps so long that the last place is worse than the first."""
    x, target = batch()
    model, gain = network().eval(), losing(target)
    found = pgd(model, x, gain, radius=2.0, norm=norm, steps=3, step_size=50.0, generator=seeded())
    assert (gain(model(found)) >= gain(model(x))).all()


def test_more_restarts_from_the_same_draws_never_do_worse():
    x, target = batch(32)
    model, gain = network().eval(), losing(target)
    heights = [
        gain(model(pgd(model, x, gain, radius=1.0, restarts=restarts, generator=seeded())))
        for restarts in (1, 2, 5)
    ]
    assert (heights[1] >= heights[0]).all()
    assert (heights[2] >= heights[1]).all()
    assert (heights[2] > heights[0]).any()


def test_rows_are_attacked_independently():
    x, target = batch()
    model = network().eval()
    options = {"radius": 0.5, "random_start": False}
    together = pgd(model, x, losing(target), **options)
    alone = [pgd(model, x[i : i + 1], losing(target[i : i + 1]), **options) for i in range(8)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_same_generator_gives_the_same_attack():
    x, target = batch()
    first, second = (
        pgd(network(), x, losing(target), radius=0.5, generator=seeded(7)) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_random_start_leaves_a_place_without_slope():
    """The distance moved has no gradient where nothing has moved."""
    x = torch.zeros(4, 3)
    gain = torch.linalg.vector_norm
    options = {"radius": 1.0, "norm": "l2", "generator": seeded()}
    still = pgd(lambda x: x, x, lambda v: gain(v, dim=1), random_start=False, **options)
    moved = pgd(lambda x: x, x, lambda v: gain(v, dim=1), **options)
    assert (still == 0).all()
    torch.testing.assert_close(lengths(moved, "l2"), torch.ones(4))


def test_random_starts_fill_the_ball_uniformly():
    """In three dimensions the cube of the distance from the centre is uniform."""
    x = torch.zeros(4000, 3, dtype=torch.float64)
    visited = []
    pgd(
        lambda x: visited.append(x.detach()) or x.sum(1) * 0,
        x,
        lambda v: v,
        radius=2.0,
        norm="l2",
        steps=1,
        generator=seeded(),
    )
    shares = (visited[1].norm(dim=1) / 2) ** 3
    quarters = torch.histc(shares, 4, 0, 1) / 4000
    torch.testing.assert_close(quarters, torch.full_like(quarters, 0.25), rtol=0, atol=0.03)


@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_left_as_it_was(mode):
    model = network().train(mode)
    model[3].eval()
    x, target = batch()
    model(x).sum().backward()
    before = copy.deepcopy(model.state_dict())
    gradients = [p.grad.clone() for p in model.parameters()]
    modes = [part.training for part in model.modules()]
    x.requires_grad_()
    pgd(model, x, losing(target), radius=0.5, restarts=2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(g, p.grad) for g, p in zip(gradients, model.parameters(), strict=True))
    assert all(p.requires_grad for p in model.parameters())
    assert [part.training for part in model.modules()] == modes
    assert x.grad is None


def test_the_modes_come_back_after_an_error():
    model = network().train()

    def fail(logits):
        assert not any(part.training for part in model.modules())
        raise RuntimeError("by design")

    with pytest.raises(RuntimeError, match="by design"):
        pgd(model, batch()[0], fail, radius=0.5)
    assert all(part.training for part in model.modules())


def test_it_works_without_gradient_mode():
    x, target = batch()
    model = network().eval()
    with torch.no_grad():
        found = pgd(model, x, losing(target), radius=0.5, random_start=False)
    assert not torch.equal(found, x)


def test_radius_zero_changes_nothing():
    x, target = batch()
    assert torch.equal(pgd(network(), x, losing(target), radius=0.0), x)


def test_a_gain_that_is_nan_is_never_chosen():
    x = torch.zeros(2, 1, dtype=torch.float64)
    found = pgd(lambda x: x[:, 0], x, lambda v: torch.where(v > 0.1, torch.nan, v), radius=1.0)
    assert (found <= 0.1).all()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"radius": -0.1}, ValueError, "radius must lie in [0, ∞), got -0.1"),
        ({"radius": math.nan}, ValueError, "radius must lie in [0, ∞), got nan"),
        ({"radius": "1"}, TypeError, "radius must be a number, got str"),
        ({"norm": "l1"}, ValueError, "norm must be 'linf' or 'l2', got 'l1'"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.5}, TypeError, "steps must be an int, got float"),
        ({"restarts": 0}, ValueError, "restarts must be at least 1, got 0"),
        ({"step_size": 0.0}, ValueError, "step_size must be positive, got 0"),
        ({"bounds": (1.0, 0.0)}, ValueError, "bounds must be (lowest, highest), got (1.0, 0.0)"),
        ({"bounds": (0.0, 0.1)}, ValueError, "x must lie within bounds (0.0, 0.1), got"),
        ({"bounds": 1.0}, ValueError, "bounds must be (lowest, highest), got 1.0"),
        ({"bounds": (0.0, 0.5, 1.0)}, ValueError, "bounds must be (lowest, highest), got (0.0,"),
        ({"bounds": ("0", "1")}, TypeError, "bounds must be numbers or tensors, got str"),
        ({"radius": torch.tensor(math.inf)}, ValueError, "radius must lie in [0, ∞), got inf"),
        ({"x": torch.zeros(3, 6, dtype=torch.int64)}, TypeError, "x must be a floating tensor"),
        ({"x": torch.zeros(3)}, ValueError, "x must have shape (N, ...)"),
        ({"gain": lambda logits: logits.sum()}, ValueError, "gain must give one number per row"),
    ],
)
def test_bad_input_is_refused_by_name(change, error, said):
    x, target = batch()
    options = {"x": x, "gain": losing(target), "radius": 0.5} | change
    with pytest.raises(error, match=re.escape(said)):
        pgd(network(), **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_place_is_beyond_the_radius_even_by_rounding(norm, dtype):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 3, generator=generator).to(dtype)
    for size in (0.01, 1.0, 20.0):
        x = (size * torch.rand(64, 6, generator=generator)).to(dtype)
        found = pgd(lambda z: z @ weight, x, lambda z: z.sum(1), radius=8 / 255, norm=norm, steps=3)
        moved = found.double() - x.double()
        length = moved.abs().amax(1) if norm == "linf" else moved.norm(dim=1)
        assert length.max() <= 8 / 255


@pytest.mark.parametrize(
    ("model", "gain"),
    [
        (lambda x: torch.zeros(len(x), 3), lambda z: z.sum(1)),
        (lambda x: torch.ones(len(x), 3, requires_grad=True), lambda z: z.sum(1)),
        (lambda x: x.detach(), lambda z: z.sum(1)),
        (torch.nn.Linear(4, 3), lambda z: z.argmax(1).float()),
    ],
)
def test_a_gain_that_does_not_depend_on_the_input_is_refused(model, gain):
    with pytest.raises(ValueError, match=r"gain\(model\(x\)\) must depend on x"):
        pgd(model, torch.rand(5, 4), gain, radius=0.1)


def test_an_attack_in_inference_mode_finds_what_it_finds_outside():
    x, target = batch()
    model, gain = network(), losing(target)
    outside = pgd(model, x, gain, radius=0.7, generator=seeded())
    with torch.inference_mode():
        inside = pgd(model, x.clone(), gain, radius=0.7, generator=seeded())
    assert torch.equal(inside, outside)


def test_radius_and_bounds_of_each_channel():
    """Normalised images: what was 8/255 and [0, 1] before is another number in each channel."""
    mean, std = (
        torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1),
        torch.tensor([0.2, 0.3, 0.1]).view(3, 1, 1),
    )
    images = torch.rand(5, 3, 4, 4, generator=seeded()).round(decimals=1)
    x, bounds = (images - mean) / std, ((0 - mean) / std, (1 - mean) / std)
    weights = torch.randn(x[0].shape, generator=seeded(1))
    found = pgd(
        lambda x: (x * weights).flatten(1).sum(1),
        x,
        lambda value: value,
        radius=(8 / 255) / std,
        bounds=bounds,
    )
    wanted = (images + 8 / 255 * weights.sign()).clamp(0, 1)
    torch.testing.assert_close(found * std + mean, wanted)
    assert ((found >= bounds[0]) & (found <= bounds[1])).all()
    assert ((found - x).abs().double() <= ((8 / 255) / std).double()).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@both_norms
def test_from_a_corner_of_the_bounds_only_the_way_inwards_is_left(norm, dtype):
    """0.1 and 0.9 are not numbers of every dtype: their rounded values are the ends."""
    ends = torch.tensor([0.1, 0.9], dtype=torch.float64).to(dtype)
    x = ends[torch.randint(2, (6, 8), generator=seeded())]
    for sign in (-1, 1):
        found = pgd(
            lambda x, sign=sign: sign * x.double().sum(1),
            x,
            lambda value: value,
            radius=0.05,
            norm=norm,
            bounds=(0.1, 0.9),
            generator=seeded(),
        )
        stays = x == ends[(sign + 1) // 2]
        torch.testing.assert_close(
            found[stays], x[stays], rtol=4 * torch.finfo(dtype).eps, atol=0.0
        )
        assert (found != x)[~stays].all()
        assert ((found >= ends[0]) & (found <= ends[1])).all()


def test_a_radius_of_zero_in_one_place_leaves_it_alone():
    x, target = batch()
    radius = torch.tensor([0.0, 1, 1, 1, 1, 1])
    found = pgd(network(), x, losing(target), radius=radius, generator=seeded())
    assert torch.equal(found[:, 0], x[:, 0])
    assert (found[:, 1:] != x[:, 1:]).any()


def test_radius_and_bounds_that_do_not_fit_the_inputs_are_refused():
    x, target = batch()
    for options, words in [
        ({"radius": torch.ones(5)}, r"radius must broadcast to x of shape \(8, 6\), got \(5,\)"),
        ({"radius": torch.ones(6), "norm": "l2"}, "radius must be a number for norm 'l2'"),
        ({"radius": -torch.ones(6)}, r"radius must lie in \[0, ∞\)"),
        ({"radius": 1.0, "bounds": (torch.zeros(5), 1.0)}, "bounds must broadcast to x"),
    ]:
        with pytest.raises(ValueError, match=words):
            pgd(network(), x, losing(target), **options)
