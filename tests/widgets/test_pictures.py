"""Pictures that follow from what a loss takes: nothing is written for the losses of this file."""

import copy
import gzip
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import vl_convert

from lossviz.declaration import View, declaration_of, number
from lossviz.losses import LOSSES, Source, declare
from lossviz.widgets import curve, landscape, picture
from lossviz.widgets.loss import axes, mask, pull
from lossviz.widgets.loss.picture import drawing
from lossviz.widgets.loss.plane import BASIS
from lossviz.widgets.loss.sampled import sampled
from lossviz.widgets.loss.scene import Scene
from lossviz.widgets.loss.subject import frames

from ..rest import rest
from .invented import INVENTED

pytestmark = pytest.mark.usefixtures("without_stills")
FROM_NUMBERS = {k: v for k, v in {**INVENTED, **LOSSES}.items() if v.form is None}
PLANES = [key for key, loss in FROM_NUMBERS.items() if drawing(loss) is sampled]
PULLS = [key for key, loss in FROM_NUMBERS.items() if drawing(loss) is pull.pull]
MASKS = [key for key, loss in FROM_NUMBERS.items() if drawing(loss) is mask.mask]
READ = """
async ([signals, name, fields]) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  await view.runAsync();
  return fields.map((field) => view.data(name).map((row) => row[field]));
}"""


@pytest.fixture(scope="module")
def figures():
    """Every figure is made once."""
    made = {}

    def make(key):
        if key not in made:
            made[key] = picture(FROM_NUMBERS[key])
        return made[key]

    return make


def value(figure, name):
    """The constant value of a signal of a figure."""
    (found,) = (s["value"] for s in figure.spec["signals"] if s["name"] == name)
    return found


def drawn(figure, **signals):
    """The figure as SVG with some signals at other values."""
    spec = copy.deepcopy(figure.spec)
    for signal in spec["signals"]:
        if signal["name"] in signals:
            signal["value"] = signals[signal["name"]]
    return vl_convert.vega_to_svg(spec, allowed_base_urls=[])


def read(page, name, *fields, **signals):
    columns = page.evaluate(READ, [signals, name, list(fields)])
    return [torch.tensor(column, dtype=torch.float64) for column in columns]


def settings(loss, figure):
    """Every combination of the frames, with the other parameters where the picture starts."""
    *frames, _, _ = figure.controls
    names = [control.signal.removeprefix("param_") for control in frames]
    stops = itertools.product(*(control.stops for control in frames))
    start = loss.defaults | dict(loss.view.starts)
    return [start | dict(zip(names, map(float, one), strict=True)) for one in stops]


@pytest.mark.parametrize("key", FROM_NUMBERS)
def test_what_a_loss_takes_is_enough_for_its_picture(key, figures):
    figure = figures(key)
    loss = FROM_NUMBERS[key]
    assert loss.title in figure.alt
    assert loss.title in figure.caption
    assert len({control.label for control in figure.controls}) == len(figure.controls)
    assert all(control.low and control.high for control in figure.controls if key in LOSSES)
    assert len(gzip.compress(figure.html().encode())) <= 60_000


def test_each_kind_of_input_is_drawn_in_its_own_way():
    ways = {key: drawing(loss).__name__ for key, loss in INVENTED.items()}
    assert {key for key, way in ways.items() if way == "pull"} == {
        "two_views", "distance", "angular", "centred", "apart"
    }  # fmt: skip
    assert {key for key, way in ways.items() if way == "mask"} == {
        "dice_like", "pixels", "pixels_of_one"
    }  # fmt: skip
    assert picture("focal").alt == curve("focal").alt


@pytest.mark.parametrize("key", FROM_NUMBERS)
def test_every_control_changes_the_picture(key, figures):
    figure = figures(key)
    first = drawn(figure)
    for control in figure.controls:
        others = [control.start, control.stop]
        moved = max(others, key=lambda other: abs(other - control.value))
        assert drawn(figure, **{control.signal: moved}) != first, control.signal


# Planes.


@pytest.mark.parametrize("key", PLANES)
def test_a_plane_has_the_numbers_of_the_function_called_point_by_point(key, figures):
    loss, figure = FROM_NUMBERS[key], figures(key)
    plane = axes.plane(loss)
    stack = torch.tensor(value(figure, "stack"), dtype=torch.float64)
    *_, x, y = figure.controls
    count = len(x.stops)
    step = (stack.max() - stack.min()) / 1000
    generator = torch.Generator().manual_seed(0)
    for frame, chosen in enumerate(settings(loss, figure)):
        for column, row in torch.randint(count, (4, 2), generator=generator).tolist():
            place = (
                torch.tensor([axis.stops[k]], dtype=torch.float64)
                for axis, k in ((x, column), (y, row))
            )
            got = stack[frame, (count - 1 - row) * count + column]
            want = called(plane, loss, *place, chosen)
            torch.testing.assert_close(got, want, rtol=6e-3, atol=step.item())


def called(plane, loss, x, y, chosen):
    """One plain call of the loss at one place of its plane."""
    given = {name: chosen[name] for name in chosen if name in plane.scene.rest}
    options = {name: chosen[name] for name in chosen if name not in given}
    reduction = {"reduction": "sum" if loss.view.pull else "mean"} if loss.inputs.rows else {}

    def at(x):
        tensors = plane.scene.rest | {k: v[0] for k, v in plane.place(x, y).items()}
        for name, number_ in given.items():
            tensors[name] = torch.full_like(tensors[name], number_)
        return loss(**tensors, **options, **reduction)

    if not loss.view.pull:
        return at(x)
    x.requires_grad_()
    return -torch.autograd.grad(at(x), x)[0][0]


X, Y = torch.tensor([-2.4, 0.3], dtype=torch.float64), torch.tensor([1.8, -4.5]).double()
LOGITS = torch.stack([X, Y], -1) @ BASIS


@pytest.mark.parametrize(
    ("key", "x", "y", "want"),
    [
        (
            "prior", X, Y,
            F.cross_entropy(
                LOGITS + torch.tensor([90.0, 9.0, 1.0]).double().log(),
                torch.zeros(2).long(),
                reduction="none",
            ),
        ),
        (
            "distil", X, Y,
            -LOGITS.log_softmax(-1) @ torch.tensor([1.6, 0.3, 0.1], dtype=torch.float64),
        ),
        ("thresholds", X, Y, F.softplus(-X) + F.softplus(Y)),
        ("expected_bin", X, Y, None),
        ("attacked", X, Y, F.softplus(-X) + 0.5 * F.softplus(-Y)),
        ("preferred", X - 10, Y - 10, F.softplus(-0.1 * (X - Y))),
        (
            "ranked", X, Y,
            torch.stack([X, Y, X * 0 + 0.5, X * 0 - 1], -1).logsumexp(-1) - X,
        ),
        ("normal", X, Y.abs(), 0.5 * (Y.abs().log() + X**2 / Y.abs())),
        (
            "overlap", X.sigmoid(), Y.sigmoid(),
            (1 - (2 * X.sigmoid() + 1) / (X.sigmoid() + 2) + 1 - 1 / (Y.sigmoid() + 1)) / 2,
        ),
        ("whole", X, Y, -(X.sigmoid() + X + 1)),
    ],
)  # fmt: skip
def test_the_numbers_that_move_and_those_that_rest_are_as_the_words_say(key, x, y, want):
    loss = INVENTED[key]
    chosen = dict(loss.defaults)
    if want is None:  # the middle bin is to the right, the lowest above
        shares = LOGITS.softmax(-1)
        chosen["y"], want = 0.4, (shares[:, 2] - shares[:, 1] - 0.4) ** 2
    got = axes.plane(loss).numbers(x, y, chosen)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


def test_words_of_axes_and_caption_come_from_the_arguments():
    ranked, pairs = picture(INVENTED["ranked"]), picture(INVENTED["preferred"])
    assert [c.label for c in ranked.controls[1:]] == [
        "scores of candidate 1 (relevance 1)",
        "scores of candidate 2 (relevance 0)",
    ]
    assert [c.label for c in pairs.controls[1:]] == [
        "policy chosen logp", "policy rejected logp"
    ]  # fmt: skip
    assert "with ref chosen logp -10; ref rejected logp -10." in pairs.caption
    distil = picture(INVENTED["distil"])
    assert "teacher at probabilities 60%, 30%, 10%; target class 1." in distil.caption
    assert picture(INVENTED["anywhere"]).controls[-2].label == "u: towards token 1"


# Views.


def made(inputs="preferred", **view):
    @declare(
        family="test", latex="", source=Source("none"), inputs=INVENTED[inputs].inputs, view=view,
        parameters=(SLACK, LEVEL),
    )  # fmt: skip
    def gain(
        policy_chosen_logp, policy_rejected_logp, ref_chosen_logp, ref_rejected_logp, *,
        slack: float = 1.0, level: float = 0.5,
    ):  # fmt: skip
        """Gain: something to look at."""
        return slack * policy_chosen_logp - level * policy_rejected_logp**2 - 2 * ref_chosen_logp

    return declaration_of(gain)


SLACK = number("slack", "s", "[0, inf)", (0.0, 2.0, 0.25), "first", "none", "much")
LEVEL = number("level", "v", "[0, inf)", (0.0, 2.0, 0.5), "second", "none", "much")


def test_a_view_changes_axes_words_point_frames_and_what_rests():
    loss = made(
        axes={"ref_chosen_logp": (-4.0, 0.0), "policy_chosen_logp": (-8.0, 0.0)},
        labels=("the reference", "the policy"),
        point=(-1.0, -2.0),
        at={"policy_rejected_logp": -3.0},
        frames="level",
        says="One sentence more.",
    )
    figure = picture(loss)
    over, x, y = figure.controls
    assert over.signal == "param_level"
    assert (x.label, x.start, x.stop, x.value) == ("the reference", -4, 0, -1)
    assert (y.label, y.start, y.stop, y.value) == ("the policy", -8, 0, -2)
    assert "One sentence more." in figure.caption
    numbers = axes.plane(loss).numbers(-X.abs(), -Y.abs(), loss.defaults)
    torch.testing.assert_close(numbers, -Y.abs() - 4.5 + 2 * X.abs())


def test_frames_may_run_over_an_argument_and_the_pull_may_be_drawn():
    y = number("ref_chosen_logp", "r", "(-inf, 0]", (-4, 0, 1), "ref", "a", "b", default=-2.0)
    figure = picture(made(frames=y))
    assert figure.controls[0].value == -2
    low, high = (torch.tensor(value(figure, "stack")[k]) for k in (0, -1))
    torch.testing.assert_close(low - high, torch.full_like(low, 8.0), rtol=0, atol=0.3)
    swapped = {"policy_rejected_logp": (-8.0, 0.0), "policy_chosen_logp": (-8.0, 0.0)}
    figure = picture(made(axes=swapped, pull="pull on the rejected"))
    assert "the pull on the rejected over" in figure.caption
    _, x, _ = figure.controls
    rows = torch.tensor(value(figure, "stack")[0]).reshape(len(x.stops), -1)
    torch.testing.assert_close(
        rows[0].double(), torch.tensor(x.stops, dtype=torch.float64), rtol=0, atol=0.01
    )


@pytest.mark.parametrize(
    ("view", "error", "says"),
    [
        ({"axis": {}}, TypeError, "axis"),
        ({"scale": "cubic"}, ValueError, "scale must be 'linear', 'log' or '', got 'cubic'"),
        ({"at": {"reference": 1.0}}, ValueError, "view names 'reference', expected .*'ref_chosen"),
        ({"starts": {"slick": 1.0}}, ValueError, r"starts names 'slick', expected .*\['slack'"),
        ({"frames": "slick"}, ValueError, r"frames run over 'slick', expected .*\['slack', 'lev"),
    ],
)
def test_an_unknown_view_is_refused_when_it_is_declared(view, error, says):
    with pytest.raises(error, match=says):
        made(**view)
    assert View() == LOSSES["focal"].view


@pytest.mark.parametrize(
    ("slider", "default"),
    [((0, 5, 0.1), 1.0), ((0.05, 1, 0.05), 0.1), ((-1, 1, 0.1), 0.0), ((0, 1, 1e-6), 1e-6),
     ((0.2, 5, 0.1), 1.0), ((0.0, 2.0, 0.5), 0.5)],
)  # fmt: skip
def test_frames_hold_the_default_and_reach_along_the_slider(slider, default):
    parameter = number("a", "a", "[-9, 9]", slider, "a", "low", "high", default=default)
    found = frames(parameter, {})
    assert 4 <= len(found.stops) <= 11
    assert min(abs(stop - default) for stop in found.stops) < 1e-9
    assert found.value == default
    assert slider[0] - 1e-9 <= found.start < found.stop <= slider[1] + 1e-9
    assert found.stop - found.start >= 0.8 * (slider[1] - slider[0])


# Pulls.


@pytest.mark.parametrize("key", PULLS)
def test_pulls_are_minus_the_gradients_of_the_function_called_place_by_place(key, figures):
    loss, figure = FROM_NUMBERS[key], figures(key)
    units, places = value(figure, "units"), pull.places()
    for frame, chosen in enumerate(settings(loss, figure)):
        values = torch.tensor(value(figure, "losses")[frame], dtype=torch.float64)
        drawn = torch.tensor(value(figure, "pulls")[frame]).double() * units[frame]
        drawn = drawn.reshape(len(places), -1, 2)
        step, _ = pull.rounded(values)
        for cell in range(0, len(places), 23):
            scene, stand = pull.scene_of(loss), {}
            for name, point in pull.points(pull.scene_of(loss)).items():
                stand[name] = point.clone()
            next(iter(stand.values())).reshape(-1, 2)[0] = places[cell]
            leaves = {name: place.requires_grad_() for name, place in stand.items()}
            want = loss(**{**scene.rest, **leaves}, **chosen)
            gradients = torch.autograd.grad(want, list(leaves.values()))
            torch.testing.assert_close(values[cell], want.detach(), rtol=0, atol=step)
            torch.testing.assert_close(
                drawn[cell],
                -torch.cat([g.reshape(-1, 2) for g in gradients]),
                rtol=0,
                atol=0.501 * units[frame],
            )


def test_rows_of_one_class_stand_together_and_share_a_number(figures):
    (points,) = (d["values"] for d in figures("angular").spec["data"] if d["name"] == "points")
    turns = {}
    for point in points:
        turns.setdefault(point["group"], []).append(math.atan2(point["y"], point["x"]))
    assert sorted(turns) == [1, 2, 3]
    for own in turns.values():
        assert len(own) == 2
        assert abs(math.remainder(own[0] - own[1], math.tau)) < math.radians(31)


def test_arrows_point_along_the_pull_and_grow_with_it(figures, show):
    figure = figures("centred")
    page = show(figure.html())
    fields = ("px", "py", "ex", "ey", "east", "north", "strength")
    px, py, ex, ey, east, north, strength = read(page, "points", *fields, length=1.5)
    across, down = ex - px, ey - py
    seen = strength > 0.02 * value(figure, "typical")
    assert seen.sum() >= 2
    turned = across * -north - down * east
    assert turned[seen].abs().max() < 1e-6 * (across**2 + down**2)[seen].max()
    assert (across * east - down * north)[seen].min() > 0
    lengths = (across**2 + down**2).sqrt()[strength.argsort()]
    assert (lengths[strength.sort().values > 0].diff() >= -1e-9).all()


def test_the_first_point_is_dragged_to_the_nearest_stop(figures, show):
    page = show(figures("two_views").html())
    handle = page.locator(".lossviz-handle")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 130, steps=3)
    page.mouse.up()
    rest(page)
    angle = float(page.get_by_label("angle of the first point").input_value())
    length = float(page.get_by_label("its length").input_value())
    assert angle % pull.ANGLE == 0
    assert 180 < angle < 280
    assert length % pull.LENGTH == 0
    box = handle.bounding_box()
    assert abs(box["x"] + box["width"] / 2 - x - 60) < 25
    assert abs(box["y"] + box["height"] / 2 - y - 130) < 25


# Masks.


@pytest.mark.parametrize("key", MASKS)
def test_the_gradient_under_a_mask_is_that_of_the_function_called_state_by_state(key, figures):
    loss, figure = FROM_NUMBERS[key], figures(key)
    image = loss.inputs[loss.inputs.learnt[0]]
    unit = value(figure, "unit")
    pushes = torch.tensor(value(figure, "pushes")).double() * unit
    for state in range(0, len(pushes), 13):
        logits = mask.logits()[state]
        if image.letters[-3:-2] == ("C",):
            leaf = torch.stack([-logits / 2, logits / 2])
        else:
            leaf = logits if image.kind.shifts else logits.sigmoid()
        leaf = leaf.reshape(1, *leaf.shape) if image.letters[0] == "B" else leaf
        leaf.requires_grad_()
        true = mask.target().long() if "C" in image.letters else mask.target()
        true = true[None] if image.letters[0] == "B" else true
        want = loss(leaf, true, **loss.defaults)
        (gradient,) = torch.autograd.grad(want, leaf)
        gradient = gradient.reshape(-1, mask.target().numel())[-1]
        torch.testing.assert_close(pushes[state], -gradient, rtol=0, atol=0.501 * unit)
        torch.testing.assert_close(
            torch.tensor(value(figure, "losses")[state]).double(), want.detach(), rtol=1e-5, atol=0
        )


def test_the_prediction_that_is_shown_is_the_one_the_loss_was_given(figures, show):
    page = show(figures("dice_like").html())
    for state, (thickness, shift, gap) in enumerate(mask.states().tolist()):
        if state % 17 == 0:
            (shown,) = read(page, "pixels", "prediction", thickness=thickness, shift=shift, gap=gap)
            want = mask.logits()[state].sigmoid().flatten()
            torch.testing.assert_close(shown, want, rtol=1e-9, atol=1e-12)


def test_the_line_without_faults_costs_least_in_overlap(figures):
    losses = torch.tensor(value(figures("dice_like"), "losses"))
    assert mask.states()[losses.argmin()].tolist() == [mask.TARGET_THICKNESS, 0.0, 0.0]


# What cannot be drawn.


def test_numbers_that_are_not_finite_are_told():
    @declare(
        family="test", latex="", source=Source("none"), inputs=INVENTED["centred"].inputs
    )  # fmt: skip
    def nowhere(embeddings, class_weights, target):
        """Nowhere: infinite."""
        return embeddings.sum(-1) / (0 * class_weights.sum())

    with pytest.raises(ValueError, match=r"nowhere has values or gradients .* not finite"):
        picture(declaration_of(nowhere))


@pytest.mark.parametrize("key", ["two_views", "dice_like"])
def test_a_landscape_of_what_has_no_plane_names_the_picture(key):
    with pytest.raises(ValueError, match=f"{key} takes .*see its `picture`"):
        landscape(INVENTED[key])


def test_a_point_outside_its_plane_is_refused():
    with pytest.raises(ValueError, match=r"point must be two numbers, in \(-20.0, 0.0\)"):
        landscape(INVENTED["preferred"], point=(-2.5, 2.5))


def test_what_has_nothing_learnt_has_no_plane():
    loss = made()
    frozen = [a for a in loss.inputs.arguments if a.name.startswith("ref")]
    assert Scene(loss).rest.keys() >= {a.name for a in frozen}
    from lossviz.declaration import Inputs
    from lossviz.declaration.kinds import VALUES
    from lossviz.losses import Argument

    @declare(
        family="test", latex="", source=Source("none"), inputs=Inputs(Argument("x", VALUES, "..."))
    )
    def given(x):
        """Given: nothing to learn."""
        return x

    with pytest.raises(ValueError, match="given has nothing that is learnt"):
        picture(declaration_of(given))
