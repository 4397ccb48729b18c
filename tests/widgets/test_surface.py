"""Surfaces of computed numbers: what is drawn is what was given, at the stops and nowhere else."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossviz.widgets import Choice, Slider, landscape, surface

from ..rest import rest

pytestmark = pytest.mark.usefixtures("without_stills")
READ = """
async ([signals, wanted]) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  await view.runAsync();
  return wanted.map((name) => view.data(name).map((row) => row.value));
}"""
X = Slider("a", "first direction", -1, 1, 0.1, 0.3, "back", "forth")
Y = Slider("b", "second direction", 0, 4, 0.2, 1.0, "near", "far")
FRAMES = Slider("step", "training step", 0, 30, 10, 20, "start", "end")
GENERATOR = np.random.default_rng(0)
VALUES = 5 + GENERATOR.normal(size=(4, 21, 21))
SAMPLED = ("symmetric_ce", "aldr_kl", "adv_comp_sum", "two_hot", "hl_gauss", "ensloss")


def read(page, signals, *wanted):
    return [np.array(column) for column in page.evaluate(READ, [signals, list(wanted)])]


def readout(page):
    rest(page)
    return page.locator(".lossviz-readout").inner_text()


@pytest.fixture(scope="module")
def figure():
    return surface(VALUES, X, Y, title="Noise", frames=FRAMES, path=[[0, 1], [0.5, 2]])


def test_every_frame_draws_the_given_numbers_to_a_five_hundredth_of_their_range(figure, show):
    page = show(figure.html())
    for index, step in enumerate((0, 10, 20, 30)):
        (cells,) = read(page, {"step": step}, "surface_grid")
        drawn = cells.reshape(21, 21)[::-1]
        assert np.abs(drawn - VALUES[index]).max() <= 0.001 * np.ptp(VALUES) < 0.012


def test_on_a_log_scale_every_number_keeps_four_digits(show):
    values = np.exp(3 * GENERATOR.normal(size=(21, 21)))
    page = show(surface(values, X, Y, title="Noise", log=True).html())
    (cells,) = read(page, {}, "surface_grid")
    np.testing.assert_allclose(cells.reshape(21, 21)[::-1], values, rtol=5e-4)


def test_curves_and_readout_are_the_numbers_of_the_row_and_column_of_the_point(figure, show):
    page = show(figure.html())
    across, upwards = read(page, {"step": 20, "a": 0.3, "b": 1.0}, "across", "upwards")
    np.testing.assert_allclose(across, VALUES[2, 5], atol=0.006)
    np.testing.assert_allclose(upwards, VALUES[2, :, 13], atol=0.006)
    assert across[13] == upwards[5]
    assert f"Loss: {across[13]:.4g} where" in readout(page)


def test_the_keyboard_moves_the_point_by_one_stop(figure, show):
    page = show(figure.html())
    page.get_by_label("first direction", exact=True).press("ArrowRight")
    page.get_by_label("second direction", exact=True).press("ArrowUp")
    assert "first direction = 0.4 and second direction = 1.2" in readout(page)
    page.get_by_label("training step", exact=True).press("ArrowRight")
    drawn = float(readout(page).split("Loss: ")[1].split(" ")[0])
    assert drawn == pytest.approx(VALUES[3, 6, 14], abs=0.006)


def test_a_dragged_point_comes_to_rest_on_the_nearest_stop(figure, show):
    page = show(figure.html())
    handle = page.locator(".lossviz-handle").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 47, y - 31, steps=3)
    page.mouse.up()
    readout(page)
    moved = page.locator(".lossviz-handle").bounding_box()
    side = page.evaluate(
        "() => document.querySelector('.lossviz-stage').lossviz.view.signal('side')"
    )
    cell = side / 20
    for before, after, by in ((x, moved["x"] + 18, 47), (y, moved["y"] + 18, -31)):
        assert (after - before) / cell == pytest.approx(round(by / cell), abs=0.1)


def test_a_choice_selects_frames_by_name(show):
    names = Choice("loss_name", "loss", ("hinge", "logistic"), "logistic")
    figure = surface(VALUES[:2], X, Y, title="Two losses", frames=names)
    (cells,) = read(show(figure.html()), {}, "surface_grid")
    assert np.abs(cells.reshape(21, 21)[::-1] - VALUES[1]).max() < 0.006


def test_the_path_is_drawn_where_it_was_given(figure):
    (path,) = (data for data in figure.spec["data"] if data["name"] == "path")
    assert path["values"] == [{"x": 0.0, "y": 1.0}, {"x": 0.5, "y": 2.0}]


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.booleans())
def test_contour_levels_are_few_and_inside_the_range(low, width, log):
    if log:
        low = math.exp(low / 1e3)
    high = low + width
    values = np.full((21, 21), low)
    values[3, 4] = high
    spec = surface(values, X, Y, title="A spike", log=log).spec
    (levels,) = (signal["value"] for signal in spec["signals"] if signal["name"] == "levels")
    assert 1 <= len(levels) <= 12
    assert levels == sorted(set(levels))
    assert low <= levels[0] and levels[-1] <= high


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"values": VALUES[0]}, ValueError, r"shape \(4, 21, 21\), got \(21, 21\)"),
        ({"values": np.full((4, 21, 21), np.nan)}, ValueError, "finite"),
        ({"values": np.ones((4, 21, 21))}, ValueError, "must differ, got 1 everywhere"),
        ({"values": VALUES - 9, "log": True}, ValueError, "above 0 on a log scale"),
        ({"x": [0, 1]}, TypeError, "x must be a Slider, got list"),
        ({"frames": 3}, TypeError, "frames must be a Slider or a Choice, got int"),
        ({"y": FRAMES}, ValueError, "as many stops, got 21 and 4"),
        ({"path": [1, 2, 3]}, ValueError, r"shape \(points, 2\), got \(3,\)"),
    ],
)
def test_bad_input_is_a_clear_error(change, error, message):
    arguments = {"values": VALUES, "x": X, "y": Y, "frames": FRAMES, "title": ""} | change
    with pytest.raises(error, match=message):
        surface(**arguments)


def expected(key, x, y, setting, width=0.75):
    """The number that the picture of a loss shows at one place, from the definition alone."""
    if key == "adv_comp_sum":  # two classes: the norm is the change of the one difference
        return math.log1p(math.exp(-x)) + setting * abs(y - x)
    if key == "ensloss":  # the smaller margin gets the larger of the two magnitudes
        magnitudes = sorted(
            math.exp(z) if setting == 0 else max(0, 1 + setting * z) ** (1 / setting)
            for z in (-1, 0.5)
        )
        return min(magnitudes[x < y], 1) / max(x, 1) + 1e-6
    z1 = x * math.sqrt(2 / 3)
    z2, z3 = (-z1 / 2 + sign * y / math.sqrt(2) for sign in (1, -1))
    logits = torch.tensor([z1, z2, z3], dtype=torch.float64)
    if key == "aldr_kl":  # the largest over a fine grid of temperatures
        lam = torch.linspace(setting / 2, setting, 20_001, dtype=torch.float64)
        psi = lam * (((logits - z1) / lam[:, None]).logsumexp(-1) - math.log(3))
        return float((psi - math.log(3) / setting * (lam - setting) ** 2).max())
    log_p = logits.log_softmax(0)
    if key == "symmetric_ce":
        q = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
        return float(-(1 - setting) * q @ log_p - setting * log_p.exp() @ q.log())
    ordered = log_p[[1, 0, 2]]
    if key == "two_hot":
        weights = [max(0.0, 1 - abs(setting - place) / 10) for place in (-10, 0, 10)]
    else:
        bell = torch.distributions.Normal(setting, width * 20 / 3)
        edges = torch.linspace(-10, 10, 4, dtype=torch.float64)
        masses = bell.cdf(edges).diff()
        weights = (masses / masses.sum()).tolist()
    return float(-torch.tensor(weights, dtype=torch.float64) @ ordered)


@pytest.mark.parametrize("key", SAMPLED)
def test_a_loss_without_closed_form_is_drawn_from_its_definition(key):
    figure = landscape(key)
    *frames, x, y = figure.controls
    (stack,) = (s["value"] for s in figure.spec["signals"] if s["name"] == "stack")
    size = len(x.stops)
    resolution = 1e-3 * (np.max(stack) - np.min(stack))
    for frame, chosen in enumerate(itertools.product(*(control.stops for control in frames))):
        for column, row in GENERATOR.integers(size, size=(12, 2)):
            if key == "ensloss" and row == column:
                continue  # equal margins: the order decides who pulls harder
            place = x.stops[column], y.stops[row]
            drawn = stack[frame][(size - 1 - row) * size + column]
            assert drawn == pytest.approx(
                expected(key, *map(float, place), *(round(float(one), 6) for one in chosen)),
                abs=resolution,
                rel=1e-3,
            )


def test_the_first_frame_is_at_the_default_or_at_the_value_asked_for():
    assert landscape("aldr_kl").controls[0].value == pytest.approx(1.0)
    assert landscape("aldr_kl", values={"lam0": 3.4}).controls[0].value == pytest.approx(3.4)
    with pytest.raises(ValueError, match="aldr_kl has no 'lam'"):
        landscape("aldr_kl", values={"lam": 3.4})
    with pytest.raises(ValueError, match="label_noise must be 0"):
        landscape("aldr_kl", label_noise=0.1)
