"""What a live figure draws, read in the browser, equals the torch function in float64."""

import math

import pytest
import torch

from lossviz.losses import LOSSES
from lossviz.widgets import curve, landscape

pytestmark = pytest.mark.usefixtures("without_stills")
CLASSES = 4
SUBJECTS = [loss for loss in LOSSES.values() if loss.form is not None]
EAST = torch.tensor([2, -1, -1], dtype=torch.float64) / math.sqrt(6)
NORTH = torch.tensor([0, 1, -1], dtype=torch.float64) / math.sqrt(2)
READ = """
async ([signals, wanted, every]) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  await view.runAsync();
  return Object.entries(wanted).map(([name, fields]) => {
    const rows = view.data(name).filter((_, index) => index % every === 0);
    return fields.map((field) => rows.map((row) => row[field]));
  });
}"""
SIDE, EVERY = 80, 7  # of the plane and the simplex, a grid: no divisor, so that all columns come


def settings(loss):
    """Parameter values: the defaults, both ends of every slider, and hard places."""
    found = [loss.defaults]
    for parameter in loss.parameters:
        ends = parameter.slider[:2]
        found += [loss.defaults | {parameter.name: value} for value in ends]
    if "tau" in loss.defaults:
        found += [{"tau": value} for value in (1.0, 0.9500000001, 2.0)]
    return found


def read(page, signals, every=1, **wanted):
    """Set signals, let the figure run, return the wanted fields of each data set in float64."""
    found = page.evaluate(READ, [signals, wanted, every])
    return {
        name: dict(zip(fields, torch.tensor(columns, dtype=torch.float64), strict=True))
        for (name, fields), columns in zip(wanted.items(), found, strict=True)
    }


def parameters(values):
    return {f"param_{name}": value for name, value in values.items()}


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("loss", SUBJECTS, ids=lambda loss: loss.key)
def test_curve_is_the_torch_function_and_its_gradient(loss, show):
    page = show(curve(loss, num_classes=CLASSES).html())
    for values in settings(loss):
        rows = read(page, parameters(values), curve=["margin", "p", "value", "pull"])["curve"]
        logits = torch.zeros(len(rows["margin"]), CLASSES, dtype=torch.float64)
        logits[:, 0] = rows["margin"] + math.log(CLASSES - 1)
        logits = (logits - logits.mean(-1, keepdim=True)).requires_grad_()
        target = torch.zeros(len(logits), dtype=torch.long)
        expected = loss(logits, target, **values, reduction="none")
        (gradient,) = torch.autograd.grad(expected.sum(), logits)
        assert_same(rows["value"], expected.detach())
        assert_same(rows["pull"], gradient.mean(-1) - gradient[:, 0])  # logits that sum to zero
        assert_same(rows["p"], logits.detach().softmax(-1)[:, 0])


@pytest.mark.parametrize("loss", SUBJECTS, ids=lambda loss: loss.key)
def test_landscape_is_the_torch_function_averaged_over_labels(loss, show):
    page = show(landscape(loss).html())
    for values, noise in ((loss.defaults, 0.0), *((each, 0.3) for each in settings(loss))):
        weights = (1 - noise, noise / 2, noise / 2)
        data = read(
            page,
            parameters(values) | {"noise": noise},
            EVERY,
            plane_grid=["u", "v", "value"],
            simplex_grid=["p1", "p2", "p3", "value"],
        )
        plane, simplex = data["plane_grid"], data["simplex_grid"]
        places = {
            "plane": plane["u"][:, None] * EAST + plane["v"][:, None] * NORTH,
            "simplex": torch.stack([simplex[f"p{k}"] for k in (1, 2, 3)], -1).log(),
        }
        assert len(plane["value"]) == math.ceil(SIDE * SIDE / EVERY)
        for name, logits in places.items():
            logits = logits - logits.mean(-1, keepdim=True)
            expected = sum(
                weight * loss(logits, torch.full((len(logits),), k), **values, reduction="none")
                for k, weight in enumerate(weights)
            )
            assert_same(data[f"{name}_grid"]["value"], expected)


def flow(loss, start, noise, duration, **values):
    """Gradient flow by small steps of the classical Runge-Kutta method, and when class 1 leads."""
    weights = torch.tensor([1 - noise, noise / 2, noise / 2], dtype=torch.float64)
    labels = torch.arange(3)

    def downhill(z):
        z = z.clone().requires_grad_()
        value = weights @ loss(z.expand(3, 3), labels, **values, reduction="none")
        return -torch.autograd.grad(value, z)[0]

    z, step, lead = start[0] * EAST + start[1] * NORTH, 0.05, math.inf
    for k in range(round(duration / step)):
        if z[0] > z[1:].max():
            lead = min(lead, k * step)
        a = downhill(z)
        b = downhill(z + step / 2 * a)
        c = downhill(z + step / 2 * b)
        z = z + step / 6 * (a + 2 * b + 2 * c + downhill(z + step * c))
    return z @ EAST, z @ NORTH, lead


@pytest.mark.parametrize(
    ("key", "values", "noise"),
    [
        ("comp_sum", {"tau": 0.5}, 0.0),
        ("comp_sum", {"tau": 1.5}, 0.2),
        ("comp_sum", {"tau": 1.0}, 0.4),
        ("symmetric_cross_entropy", {}, 0.3),
    ],
)
def test_path_is_gradient_flow_in_its_own_time(key, values, noise, show):
    start = (-2.0, 1.5)
    figure = landscape(key, point=start, label_noise=noise, values=values)
    data = read(show(figure.html()), {}, dots=["mark", "u", "v"], lead_taken=["at"])
    ten = data["dots"]["mark"] == 10
    u, v, lead = flow(LOSSES[key], start, noise, 10, **values)
    assert math.hypot(data["dots"]["u"][ten] - u, data["dots"]["v"][ten] - v) < 0.05
    assert math.isclose(data["lead_taken"]["at"], lead, rel_tol=0.02, abs_tol=0.06)


def test_for_one_clean_example_tau_changes_the_pace_but_not_the_path(show):
    page = show(landscape("comp_sum").html())
    slow, fast = (
        read(page, {"param_tau": tau}, path=["u", "v", "time"])["path"] for tau in (1.8, 0.4)
    )
    for axis in ("u", "v"):
        torch.testing.assert_close(slow[axis], fast[axis], rtol=0, atol=0.01)
    assert slow["time"][10] > 10 * fast["time"][10]


def test_path_ends_in_the_minimum_when_labels_are_noisy(show):
    noise = 0.3
    figure = landscape("logistic", label_noise=noise, point=(-5.0, -4.0))
    page = show(figure.html())
    path = read(page, {}, path=["u", "v"])["path"]
    weights = torch.tensor([1 - noise, noise / 2, noise / 2], dtype=torch.float64).log()
    assert math.isclose(path["u"][-1], weights @ EAST, abs_tol=1e-3)
    assert math.isclose(path["v"][-1], weights @ NORTH, abs_tol=1e-3)
