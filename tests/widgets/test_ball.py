"""The ball figure shows the torch losses, its ball is the ball, and its words are true."""

import math

import pytest
import torch
import torch.nn.functional as F

from lossviz.losses import adv_comp_sum, comp_sum
from lossviz.widgets import ball

from ..rest import rest
from .test_live_numbers import assert_same, read

pytestmark = pytest.mark.usefixtures("without_stills")
WEIGHT = torch.tensor([[1.0, 0.5], [-1.5, 0.8], [0.3, -2.0]])
FEATURES = torch.tensor([[0.5, 0.5], [-1.0, 0.2], [0.1, -1.0]])
LABELS = torch.arange(3)
NORMS = {"linf": "l∞: a square", "l2": "l2: a disc"}
TARGET = 1


def straight(x):
    return 2 * x @ WEIGHT.T


def bent(x):
    return 3 * torch.tanh(straight(x)) + torch.sin(2 * x[:, :1]) * torch.tensor([1.0, 0.0, -1.0])


def figure(**options):
    return ball({"bent": bent, "straight": straight}, FEATURES, LABELS, target=TARGET, **options)


def state(page, names):
    """Values of signals."""
    return page.evaluate(
        """(names) => {
          const view = document.querySelector('.lossviz-stage').lossviz.view;
          return Object.fromEntries(names.map((name) => [name, view.signal(name)]));
        }""",
        names,
    )


def kept_leads(model):
    """The target's leads on the grid with the three digits that the figure keeps, (K - 1, n, n)."""
    axis = torch.linspace(-3, 3, 49)
    y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    logits = model(torch.stack([x, y], -1).reshape(-1, 2))
    lead = (logits[:, TARGET : TARGET + 1] - logits).double().round(decimals=3)
    return lead[:, [0, 2]].T.reshape(2, 49, 49)


def as_logits(leads):
    """Logits with these leads (2, N) of the first class over the others."""
    return torch.cat([torch.zeros(1, leads.shape[1]), -leads]).T


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("network", [bent, straight])
def test_the_contours_are_the_torch_loss(tau, network, show):
    page = show(figure().html())
    signals = {"param_tau": tau, "network": network.__name__}
    rows = read(page, signals, plane_grid=["value"], wrong_grid=["value"])
    leads = kept_leads(network).flatten(1)
    target = torch.zeros(leads.shape[1], dtype=torch.long)
    expected = comp_sum(as_logits(leads), target, tau=tau, reduction="none")
    assert_same(rows["plane_grid"]["value"], expected)
    assert_same(rows["wrong_grid"]["value"], leads.amin(0))


@pytest.mark.parametrize("norm", NORMS)
def test_the_places_of_the_ball_fill_it_and_reach_its_rim(norm, show):
    page = show(figure(point=(0.7, -0.4), radius=0.6, norm=norm).html())
    rows = read(page, {}, ball_0=["x", "y"])["ball_0"]
    moves = torch.stack([rows["x"] - 0.7, rows["y"] + 0.4])
    lengths = moves.norm(dim=0, p=math.inf if norm == "linf" else 2)
    assert lengths.max() == pytest.approx(0.6)
    assert lengths.min() == 0
    rim = moves[:, lengths > 0.6 - 1e-9]
    assert len(rim.T) == 160
    assert (torch.atan2(*rim).sort().values.diff() < 0.06).all()  # all round, no gap


@pytest.mark.parametrize("norm", NORMS)
def test_the_losses_in_the_ball_are_those_of_the_torch_functions(norm, show):
    """Against torch's own bilinear interpolation."""
    page = show(figure(point=(0.7, -0.4), radius=1.0, norm=norm, tau=1.3, nu=0.8).html())
    rows = read(page, {}, ball_0=["x", "y", "value", "shift"])["ball_0"]
    leads = F.grid_sample(
        kept_leads(bent)[None],
        torch.stack([rows["x"], -rows["y"]], -1)[None, None] / 3,
        align_corners=True,
    )[0, :, 0]
    logits = as_logits(leads)
    target = torch.zeros(len(logits), dtype=torch.long)
    clean = logits[(rows["x"] - 0.7).abs().add((rows["y"] + 0.4).abs()).argmin()].expand_as(logits)
    losses = comp_sum(logits, target, tau=1.3, reduction="none")
    smooth = adv_comp_sum(clean, logits, target, tau=1.3, nu=0.8, reduction="none")
    assert_same(rows["value"], losses)
    found = state(page, ["clean", "worst", "smooth"])
    assert found["worst"] == pytest.approx(losses.max().item(), rel=1e-9)
    assert found["smooth"] == pytest.approx(smooth.max().item(), rel=1e-9)
    assert found["clean"] == pytest.approx(
        comp_sum(clean[:1], target[:1], tau=1.3).item(), rel=1e-9
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_model_moves_as_far_as_its_exact_worst_place(norm, show):
    """At a corner of the square; by the radius times the spectral norm in the disc."""
    radius, point = 0.8, torch.tensor([0.3, 1.1])
    page = show(figure(point=tuple(point.tolist()), radius=radius, norm=norm).html())
    read(page, {"network": "straight"})
    rows = (2 * (WEIGHT[TARGET] - WEIGHT))[[0, 2]]
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    if norm == "linf":
        shift = radius * (corners @ rows.T).norm(dim=1).max()
        worst = F.cross_entropy(
            straight(point + radius * corners), torch.tensor([TARGET] * 4), reduction="none"
        ).max()
        assert state(page, ["worst"])["worst"] == pytest.approx(worst.item(), abs=2e-3)
    else:
        shift = radius * torch.linalg.matrix_norm(rows, ord=2)
    assert state(page, ["shift"])["shift"] == pytest.approx(shift.item(), rel=1e-3)


def test_from_tau_1_and_nu_1_on_the_smooth_loss_is_never_below_the_worst(show):
    page = show(figure().html())
    generator = torch.Generator().manual_seed(0)
    for tau in (1.0, 1.4, 2.0):
        for _ in range(6):
            x, y, radius = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
            read(page, {"x": 4 * x - 2, "y": 4 * y - 2, "radius": radius, "param_tau": tau})
            found = state(page, ["worst", "smooth", "readout"])
            assert found["smooth"] >= found["worst"]
            assert "is at least the worst" in found["readout"]
    read(page, {"x": 0.0, "y": 1.0, "radius": 0.8, "nu": 0.0})
    assert "is below the worst" in state(page, ["readout"])["readout"]


@pytest.mark.parametrize(
    ("place", "radius", "words"),
    [
        ((-1.5, 0.5), 0.2, "Straight: the whole ball is right"),
        ((-1.5, 0.5), 1.0, "Straight: a place in the ball is misclassified"),
        ((1.5, 0.5), 0.2, "Straight: the point is misclassified"),
    ],
)
def test_the_words_say_what_each_model_predicts_in_the_ball(place, radius, words, show):
    page = show(figure(point=place, radius=radius).html())
    shown = page.locator(".lossviz-readout").inner_text()
    assert shown.startswith("Bent: ")
    assert words in shown
    found = state(page, ["found"])["found"][1]
    assert f"loss {found['centre']['value']:.2f}, at worst {found['worst']['value']:.2f}" in shown
    corners = radius * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    right = straight(torch.tensor(place) + torch.cat([torch.zeros(1, 2), corners])).argmax(1)
    right = (right == TARGET).tolist()
    assert ("the point is misclassified" in words) == (not right[0])
    assert ("the whole ball is right" in words) == all(right)


def test_dragging_moves_the_point_and_stops_where_the_ball_would_leave_the_picture(show):
    page = show(figure().html())
    box = page.locator(".lossviz-handle").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y - 1000, steps=3)
    page.mouse.up()
    rest(page)
    assert page.get_by_label("point, up").input_value() == "2"
    moved = page.locator(".lossviz-handle").bounding_box()
    assert moved["x"] == pytest.approx(box["x"] + 40, abs=1.5)
    assert 0 < float(page.get_by_label("point, across").input_value()) < 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"models": bent}, TypeError, "models must map names to classifiers, got function"),
        ({"models": {}}, ValueError, "at least one classifier"),
        (
            {"models": {"one": lambda x: x[:, :1]}},
            ValueError,
            r"'one' must give logits .* from 2",
        ),
        ({"models": {"none": lambda x: x / 0}}, ValueError, "'none' must give finite logits"),
        ({"features": FEATURES.T}, ValueError, r"shapes \(N, 2\) and \(N,\), got \(2, 3\)"),
        ({"features": 4 * FEATURES}, ValueError, r"within \[-3, 3\], got 4"),
        ({"features": FEATURES * math.nan}, ValueError, r"within \[-3, 3\], got nan"),
        ({"target": 3}, ValueError, r"target must lie in \[0, 3\), got 3"),
        ({"tau": -1.0}, ValueError, "tau must lie in"),
        ({"nu": 4.0}, ValueError, r"nu must lie in \[0, 3\], got 4.0"),
        ({"radius": -0.1}, ValueError, r"radius must lie in \[0, 1\], got -0.1"),
        ({"norm": "l1"}, ValueError, "norm must be one of .* got 'l1'"),
        ({"point": (0.0, 2.5)}, ValueError, r"point must be two numbers in \[-2, 2\]"),
    ],
)
def test_bad_input_is_a_clear_error(options, error, message):
    arguments = {"models": {"bent": bent}, "features": FEATURES, "labels": LABELS} | options
    with pytest.raises(error, match=message):
        ball(**arguments)
