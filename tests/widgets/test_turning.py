"""The view of neural collapse: what it draws is what torch and the analysis say."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis import class_statistics, nc1, nc2, nc3, nc4
from lossviz.widgets import Recording, neural_collapse
from lossviz.widgets.chapters.turning import CORNERS, DIGITS

from .test_live_numbers import read

STEPS = (0, 1, 5, 20)


def recording(classes: int = 4, frame: str = "simplex", *, exact: bool = False) -> Recording:
    """Noise that fades around the corners of a frame, turned, enlarged and moved."""
    generator = torch.Generator().manual_seed(classes)
    corners = torch.tensor(CORNERS[frame, classes], dtype=torch.float64)
    turned, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    labels = torch.arange(5 * classes) % classes
    noise = torch.randn(len(STEPS), len(labels) + classes, 3, generator=generator).double()
    noise *= torch.tensor([1.0, 0.5, 0.1, 0.0 if exact else 1e-3])[:, None, None]
    offset = 2.0 if frame == "simplex" else 0.0
    features = 3 * (corners @ turned)[labels] + noise[:, : len(labels)] + offset
    weight = (corners @ turned).expand(len(STEPS), -1, -1) + noise[:, len(labels) :]
    bias = -(offset * weight).sum(-1)
    return Recording(features, labels, weight, bias, frame)


RECORDINGS = {
    "four": recording(),
    "three": recording(3),
    "right angles": recording(3, "orthogonal"),
}


@pytest.fixture
def figure():
    return neural_collapse(RECORDINGS, STEPS)


def places(one: Recording, now: int) -> torch.Tensor:
    """Images, means and rows, as large as in the picture, but not turned."""
    stats = class_statistics(one.features[now], one.labels, classes=one.weight.shape[1])
    centre = stats.centre("classes") if one.frame == "simplex" else 0.0
    cloud = one.features[now] - centre
    scale = cloud.square().sum(-1).mean().sqrt()
    rows = one.weight[now] / one.weight[now].norm() * len(one.weight[now]) ** 0.5
    return torch.cat([cloud / scale, (stats.means - centre) / scale, rows])


def view(turn: float, tilt: float) -> torch.Tensor:
    """The rotation to the screen: about the upright axis, then about the one across."""
    a, b = math.radians(turn), math.radians(tilt)
    upright = [[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]]
    across = [[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]]
    return torch.tensor(across, dtype=torch.float64) @ torch.tensor(upright, dtype=torch.float64)


@pytest.mark.usefixtures("without_stills")
@pytest.mark.parametrize("name", RECORDINGS)
def test_points_on_the_screen_are_the_recorded_ones_turned(name, figure, show):
    one, page = RECORDINGS[name], show(figure.html())
    run = figure.spec["signals"][
        next(k for k, s in enumerate(figure.spec["signals"]) if s["name"] == "runs")
    ]["value"][list(RECORDINGS).index(name)]
    for now, turn, tilt in ((0, 28, 18), (2, -90, 0), (3, 133, -77)):
        kept = torch.tensor(run["frames"][now], dtype=torch.float64)
        # rounded, and turned rigidly: all distances are those that were recorded
        wanted = torch.cdist(places(one, now), places(one, now))
        torch.testing.assert_close(torch.cdist(kept, kept), wanted, rtol=0, atol=2 * 10.0**-DIGITS)
        corners = torch.tensor(run["corners"], dtype=torch.float64)
        expected = torch.cat([kept, corners]) @ view(turn, tilt).mT
        signals = {"training": name, "now": now, "turn": turn, "tilt": tilt}
        drawn = read(page, signals, points=["x", "y", "depth", "part", "class"])["points"]
        for axis, field in enumerate(("x", "y", "depth")):
            torch.testing.assert_close(drawn[field], expected[:, axis], rtol=1e-9, atol=1e-9)
        count = one.weight.shape[1]
        parts = [len(one.labels), count, count, count]
        assert drawn["part"].tolist() == [k for k, n in enumerate(parts) for _ in range(n)]
        assert drawn["class"].tolist() == one.labels.tolist() + 3 * list(range(count))


@pytest.mark.usefixtures("without_stills")
@pytest.mark.parametrize("name", RECORDINGS)
def test_numbers_are_those_of_the_analysis(name, figure, show):
    one, page = RECORDINGS[name], show(figure.html())
    curves = read(page, {"training": name}, curves=["nc1", "nc2", "nc3"])["curves"]
    for now in range(len(STEPS)):
        stats = class_statistics(one.features[now], one.labels, classes=one.weight.shape[1])
        truth = {
            "nc1": nc1(stats),
            "nc2": nc2(stats, one.frame),
            "nc3": nc3(one.weight[now], stats, one.frame),
        }
        for key, value in truth.items():
            wanted = min(max(value.item(), 1e-5), 10)
            assert curves[key][now].item() == pytest.approx(wanted, rel=1e-3)
        wrong = nc4(one.weight[now], one.bias[now], stats, one.features[now])
        words = read(page, {"now": now}, curves=["nc1"]) and page.evaluate(
            "document.querySelector('.lossviz-stage').lossviz.view.signal('readout')"
        )
        count = round(wrong.item() * len(one.labels))
        assert f"disagree on {count} of {len(one.labels)} images" in words


@pytest.mark.parametrize("frame", CORNERS)
def test_a_collapsed_network_lies_on_the_corners_at_equal_angles(frame):
    kind, classes = frame
    figure = neural_collapse({"exact": recording(classes, kind, exact=True)}, STEPS)
    (run,) = next(s["value"] for s in figure.spec["signals"] if s["name"] == "runs")
    means = torch.tensor(run["frames"][-1][-2 * classes : -classes])
    torch.testing.assert_close(means, torch.tensor(run["corners"]), rtol=0, atol=1e-3)
    assert run["narrow"][-1] == run["widest"][-1]
    assert max(run[key][-1] for key in ("nc1", "nc2", "nc3")) < 1e-12
    lengths = torch.tensor(run["corners"]).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(classes))


@pytest.mark.usefixtures("without_stills")
def test_pointer_and_keys_turn_the_view_and_a_finger_still_scrolls(figure, show):
    page = show(figure.html())
    area = page.locator(".lossviz-handle")
    assert area.evaluate("(node) => getComputedStyle(node).touchAction") == "pan-y"
    box = area.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y - 32, steps=5)
    page.mouse.up()
    turn, tilt = (page.get_by_label(f"{word} the view", exact=True) for word in ("turn", "tilt"))
    page.wait_for_function("() => document.querySelector('[data-signal=turn]').value === '78'")
    assert (turn.input_value(), tilt.input_value()) == ("78", "-2")
    turn.press("ArrowRight")
    tilt.press("Home")
    assert (turn.input_value(), tilt.input_value()) == ("79", "-90")


@pytest.mark.usefixtures("without_stills")
def test_every_control_changes_the_picture(figure, show):
    page = show(figure.html())
    svg = page.locator(".lossviz-stage svg")
    for control in figure.controls:
        before = svg.evaluate("(svg) => svg.outerHTML")
        field = page.get_by_label(control.label, exact=True)
        if control.kind == "choice":
            field.select_option("right angles")
        else:
            field.press("ArrowLeft")
        page.wait_for_function(
            "(old) => document.querySelector('.lossviz-stage svg').outerHTML !== old", arg=before
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recordings": {}}, "at least one training, got none"),
        ({"steps": (0, 5, 1, 20)}, r"numbers that rise, got \[0, 5, 1, 20\]"),
        ({"step": 3}, r"step must be one of \[0, 1, 5, 20\], got 3"),
        ({"steps": (0, 1, 5)}, r"features of 'four' must have shape \(3, 20, 3\)"),
        (
            {"recordings": {"four": recording()._replace(frame="orthogonal")}},
            "must fit into three dimensions.*got 'orthogonal' with 4",
        ),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        neural_collapse(**{"recordings": RECORDINGS, "steps": STEPS, **change})
