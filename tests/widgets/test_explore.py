import base64
import builtins
import functools
import html
import math
import re
import threading
from typing import Annotated, Literal

import ipywidgets as widgets
import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lossviz import losses
from lossviz.declaration.kinds import COUNTS, LOGITS, TEACHER
from lossviz.widgets import explore
from lossviz.widgets.explorer import evaluation, widget
from lossviz.widgets.explorer.evaluation import evaluate
from lossviz.widgets.loss.plane import BASIS, PlaneLoss

IMAGE = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"')


def nll(logits, target):
    return F.cross_entropy(logits, target, reduction="none")


def mean_nll(logits, target):
    return F.cross_entropy(logits, target)


def mean_nll_with_a_branch(logits, target):
    loss = F.cross_entropy(logits, target)
    return loss if loss.item() >= 0 else -loss


BESIDE = (TEACHER, COUNTS)  # what may stand beside the logits and the labels
INPUTS = {key: loss.inputs for key, loss in losses.LOSSES.items()}
DRAWN = [
    key
    for key, (first, *others) in ((key, inputs.required) for key, inputs in INPUTS.items())
    if (first.kind, first.shape) == (LOGITS, "... K")
    and all(a.kind.counts == "K" or a.kind in BESIDE for a in others)
]


@functools.cache
def explorer_of(key):
    """The explorer of a declared loss, drawn once for all tests that leave its controls alone."""
    return explore(key)


def picture(explorer):
    found = IMAGE.search(explorer.picture.value)
    assert found, explorer.picture.value
    return base64.b64decode(found[1])


@pytest.mark.parametrize("key", [key for key in INPUTS if key not in DRAWN])
def test_a_loss_of_other_inputs_is_refused_with_what_it_takes(key):
    with pytest.raises(ValueError, match=re.escape(f"{key} takes {INPUTS[key].words}")):
        explore(key)


def test_basis_is_orthonormal_and_sums_to_zero():
    torch.testing.assert_close(BASIS @ BASIS.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(BASIS.sum(1), torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("target", [0, 1, 2])
def test_plane_values_and_gradients_are_those_of_the_function(target):
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * 3
    logits = points @ BASIS.float()
    values, gradients = PlaneLoss(nll, target).at(points)
    one_hot = F.one_hot(torch.tensor(target), 3)
    torch.testing.assert_close(values, -logits.log_softmax(-1)[:, target])
    torch.testing.assert_close(gradients, (logits.softmax(-1) - one_hot) @ BASIS.float().T)


@pytest.mark.parametrize("f", [mean_nll, mean_nll_with_a_branch])
def test_scalar_function_gives_the_landscape_of_the_per_example_one(f):
    expected = PlaneLoss(nll, 1).landscape(9)
    found = PlaneLoss(f, 1).landscape(9)
    torch.testing.assert_close(found.values, expected.values)
    torch.testing.assert_close(found.downhill, expected.downhill)


def test_path_of_a_quadratic_is_an_exponential_decay_to_its_minimum():
    path = PlaneLoss(lambda z, _: 0.5 * (z**2).sum(-1), 0).flow((3.0, -2.0))
    before, after = (path.times <= 1).sum() - 1, (path.times > 1).nonzero()[0, 0]
    for index in (before, after):
        expected = math.exp(-path.times[index]) * torch.tensor([3.0, -2.0])
        torch.testing.assert_close(path.points[index], expected, atol=0.15, rtol=0)
    assert path.points[-1].norm() < 0.1


@pytest.mark.parametrize("key", DRAWN)
def test_path_never_climbs_on_a_declared_loss(key):
    """But where another class takes the lead, a loss of the prediction may jump."""
    function = explorer_of(key).function
    path = PlaneLoss(function, 0).flow((-2.0, 3.0))
    assert len(path.times) > 10
    leader = torch.nn.functional.pad(path.points, (0, 1)).argmax(-1)
    assert (path.values.diff()[leader.diff() == 0] <= 1e-5).all()
    assert path.times[-1] <= 100


def test_path_stops_where_the_plane_ends():
    path = PlaneLoss(lambda z, y: -z.gather(-1, y[:, None])[:, 0], 0).flow((0.0, 0.0))
    assert 6 <= path.points[-1].abs().max() <= 6.1


@pytest.mark.parametrize("key", DRAWN)
def test_every_declared_loss_has_a_picture_and_its_declared_sliders(key):
    explorer = explorer_of(key)
    assert picture(explorer).startswith(b"\x89PNG")
    declared = {p.name: (*p.slider, p.default) for p in losses.get(key).parameters}
    found = {n: (c.min, c.max, c.step, c.value) for n, c in explorer.controls.items()}
    assert found == declared


def test_key_declaration_and_function_of_a_loss_are_the_same_subject():
    pictures = {picture(explore(f)) for f in ("focal", losses.get("focal"), losses.focal)}
    assert len(pictures) == 1


def test_signature_of_the_readers_function_decides_the_controls():
    def f(
        logits,
        target,
        plain=2.0,
        negative=-1.5,
        zero=0.0,
        whole=3,
        annotated: Annotated[float, (0.5, 3)] = 1.0,
        flag: bool = True,
        literal: Literal["a", "b"] = "b",
        *,
        listed="x",
        free="text",
        other=None,
        weight=1.0,
        ignore_index=-100,
        reduction="mean",
    ):
        assert reduction == "none"
        return nll(logits, target)

    controls = explore(f, choices={"listed": ["x", "y"]}).controls
    found = {
        name: (type(c), *((c.min, c.max) if hasattr(c, "min") else ()))
        for name, c in controls.items()
    }
    assert found == {
        "plain": (widgets.FloatSlider, 0, 4),
        "negative": (widgets.FloatSlider, -3, 0),
        "zero": (widgets.FloatSlider, -1, 1),
        "whole": (widgets.IntSlider, 0, 6),
        "annotated": (widgets.FloatSlider, 0.5, 3),
        "flag": (widgets.Checkbox,),
        "literal": (widgets.Dropdown,),
        "listed": (widgets.Dropdown,),
    }


def test_given_range_wins_over_declaration_annotation_and_default():
    def f(logits, target, a: Annotated[float, (0, 1)] = 0.5, b=1.0):
        return a * b * nll(logits, target)

    explorer = explore(f, ranges={"a": (2, 5), "b": (0, 8, 0.5)})
    a, b = explorer.controls["a"], explorer.controls["b"]
    assert (a.min, a.max, a.value) == (2, 5, 2)
    assert (b.min, b.max, b.step, b.value) == (0, 8, 0.5, 1)
    assert explore("focal", ranges={"gamma": (0, 1)}).controls["gamma"].max == 1


def test_a_module_is_explored_through_its_forward():
    assert picture(explore(torch.nn.CrossEntropyLoss())) == picture(explore(mean_nll))


def test_every_control_changes_the_picture_and_back():
    def f(logits, target, power=1.0):
        return nll(logits * torch.tensor([1.0, 1.2, 0.8]), target) ** power

    explorer = explore(f)
    first = picture(explorer)
    for control, value in [
        (explorer.controls["power"], 1.5),
        (explorer.target, 1),
        *((slider, 2.0) for slider in explorer.start),
    ]:
        before = control.value
        control.value = value
        assert picture(explorer) != first
        control.value = before
        assert picture(explorer) == first


def test_every_control_has_a_description():
    handles = explore("symmetric_cross_entropy").children[:-3]
    assert len(handles) == 6
    assert all(handle.description for handle in handles)


def raises(logits, target):
    return (logits @ torch.ones(4)).sum()  # four is wrong


def returns_matrix(logits, target):
    return logits.log_softmax(-1)


def returns_float(logits, target):
    return 1.5


def detaches(logits, target):
    return nll(logits.detach(), target)


def counts_errors(logits, target):
    return (logits.argmax(-1) != target).float()


def is_nan(logits, target):
    return nll(logits, target) * math.nan


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (raises, "RuntimeError.*in raises.*four is wrong"),
        (returns_matrix, r"returned shape \(1, 3\).*expected one value per example \(1,\)"),
        (returns_float, "returned float, expected a torch.Tensor"),
        (detaches, "no gradient with respect to the logits"),
        (counts_errors, "no gradient with respect to the logits"),
        (is_nan, "every value on the plane is NaN"),
    ],
)
def test_mistake_in_the_function_is_told_and_a_control_brings_the_picture_back(mistake, says):
    def f(logits, target, wrong=True):
        return mistake(logits, target) if wrong else nll(logits, target)

    explorer = explore(f)
    assert "<img" not in explorer.picture.value
    assert 'role="alert"' in explorer.picture.value
    assert re.search(says, explorer.picture.value.replace("\n", " "))
    explorer.controls["wrong"].value = False
    assert picture(explorer).startswith(b"\x89PNG")


def test_message_names_the_line_of_a_scalar_function_and_is_escaped():
    def f(logits, target, power=1.0):
        if power > 1:
            raise ValueError("power <b>too</b> large")
        return mean_nll(logits, target)

    explorer = explore(f)
    explorer.controls["power"].value = 2
    message = explorer.picture.value
    assert "power &lt;b&gt;too&lt;/b&gt; large" in message
    assert "<code>raise ValueError(" in message


def test_value_outside_the_range_of_a_declared_loss_is_told():
    explorer = explore("comp_sum", ranges={"tau": (-1, 3)})
    explorer.controls["tau"].value = -0.5
    assert "tau must lie in [0, ∞), got -0.5" in explorer.picture.value


@pytest.mark.parametrize(
    "f",
    [
        lambda z, y: torch.where(z[:, 0] > 0, nll(z, y), math.inf),
        lambda z, y: torch.where(z[:, 0] > 0, nll(z, y), math.nan),
        lambda z, y: 0 * nll(z, y),
        lambda z, y: nll(z, y).clamp(max=2),
        lambda z, y: torch.exp(9 * nll(z, y)),
    ],
    ids=["infinite in part", "NaN in part", "constant", "flat in part", "overflowing"],
)
def test_odd_landscapes_still_have_a_picture(f):
    assert picture(explore(f)).startswith(b"\x89PNG")


def test_static_page_gets_a_still_picture_and_jupyterlab_the_widget():
    explorer = explore("comp_sum")
    bundle = explorer._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
    still = bundle["text/html"]
    assert still.startswith("<figure>")
    assert base64.b64decode(IMAGE.search(still)[1]) == picture(explorer)
    assert "Comp-sum" in IMAGE.search(still)[2]
    assert "Run this chapter in JupyterLab to move the sliders.</figcaption>" in still


def test_global_state_of_matplotlib_is_left_alone():
    before = dict(matplotlib.rcParams)
    explore("mae")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"f": 3}, TypeError, "f must be a declared loss, .* got int: 3"),
        ({"f": "comp-sums"}, ValueError, "comp_sum"),
        ({"f": lambda logits: logits}, TypeError, r"must take \(logits, target, \.\.\.\)"),
        ({"f": lambda z, y, gamma: z}, TypeError, "'gamma' of f must have a default"),
        ({"f": torch.sub}, TypeError, "signature"),
        ({"f": "focal", "ranges": {"gama": (0, 1)}}, ValueError, "'gama'.*'gamma'"),
        ({"f": "mae", "ranges": {"q": (0, 1)}}, ValueError, "'q'.*it has none"),
        ({"f": "focal", "choices": {"gama": (0, 1)}}, ValueError, "'gama'.*'gamma'"),
        ({"f": "focal", "ranges": {"gamma": 3}}, TypeError, "'gamma' must be .low, high.*got 3"),
        ({"f": "focal", "ranges": {"gamma": (0, "1")}}, TypeError, r"got \(0, '1'\)"),
        ({"f": "focal", "ranges": {"gamma": (2, 1)}}, ValueError, r"low < high.*got \(2, 1\)"),
        ({"f": "focal", "ranges": {"gamma": (0, math.inf)}}, ValueError, "finite"),
        ({"f": "focal", "choices": {"gamma": (0, 1)}}, ValueError, "must hold the default 2"),
        ({"f": "focal", "start": (7, 0)}, ValueError, r"start must .* got \(7, 0\)"),
        ({"f": "focal", "start": (0, 0, 0)}, ValueError, r"start must .* got \(0, 0, 0\)"),
    ],
)
def test_bad_input_is_refused_with_what_was_got(arguments, error, says):
    with pytest.raises(error, match=says):
        explore(**arguments)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_the_packages_own_modules_are_explored_as_declared_from_their_own_numbers(reduction):
    explorer = explore(losses.Focal(gamma=3.0, reduction=reduction))
    slider = explorer.controls["gamma"]
    assert (slider.min, slider.max, slider.step, slider.value) == (0, 5, 0.1, 3)
    function = explore("focal")
    function.controls["gamma"].value = 3.0
    assert picture(explorer) == picture(function)


@pytest.mark.parametrize("module", [losses.Focal, torch.nn.CrossEntropyLoss])
def test_a_class_in_place_of_an_instance_is_told(module):
    with pytest.raises(TypeError, match=rf"instance .* give {module.__name__}\(\)"):
        explore(module)


MORE, THREE = np.float32(1.5), np.int64(3)


def test_numpy_numbers_get_sliders():
    def mine(logits, target, power=MORE, count=THREE):
        return losses.focal(logits, target, gamma=float(power * count), reduction="none")

    controls = explore(mine).controls
    assert controls["power"].value == 1.5
    assert isinstance(controls["count"], widgets.IntSlider)


def test_a_picture_is_drawn_in_inference_mode_as_well():
    with torch.inference_mode():
        inside = PlaneLoss(losses.focal, 0).landscape(5)
        assert picture(explore(nll))
    assert torch.equal(inside.downhill, PlaneLoss(losses.focal, 0).landscape(5).downhill)


@pytest.mark.parametrize(
    ("default", "bounds"),
    [
        (1.0, (0.1, 5.0)),
        (0.7, (0, 1)),
        (0.3333, (0, 1)),
        (math.pi, (0.1, 5)),
        (1e-6, (0.0, 1e-3)),
        (2.5, None),
        (-0.37, None),
        (0.0, None),
        (0.25, (0.1, 1.0, 0.2)),
    ],
)
def test_a_slider_starts_at_the_default_which_is_one_of_its_stops(default, bounds):
    def f(logits, target, number=default):
        return nll(logits, target) + 0 * number

    slider = explore(f, ranges={"number": bounds} if bounds else {}).controls["number"]
    steps = (default - slider.min) / slider.step
    assert slider.value == default
    assert steps == pytest.approx(round(steps), abs=1e-6)
    if bounds is None or len(bounds) == 2:
        assert f"{slider.step:e}"[:8] in ("1.000000", "2.000000", "5.000000")
    digits = int(re.fullmatch(r"\.(\d+)f", slider.readout_format)[1])
    assert float(f"{slider.step:.{digits}f}") == pytest.approx(slider.step)


def test_a_parameter_that_gets_no_control_is_told():
    def f(logits, target, kind="ce", weight=None):
        return nll(logits, target)

    assert "kind stays 'ce': give choices={'kind': [...]}" in html.unescape(explore(f).status.value)


def contrasts(logits, target):
    return logits.logsumexp((0, 1)) - logits.gather(-1, target[:, None])[:, 0]


def contrasts_to_a_number(logits, target):
    return contrasts(logits, target).mean()


@pytest.mark.parametrize("f", [contrasts, contrasts_to_a_number])
def test_a_loss_that_couples_the_batch_is_drawn_for_batches_of_one_and_says_so(f):
    assert "looks at the other examples of the batch" in explore(f).picture.value
    seen = evaluate("f", f, 1, (0.0, 0.0))
    torch.testing.assert_close(seen.landscape.values, PlaneLoss(nll, 1).landscape().values)


@pytest.mark.parametrize("f", [nll, mean_nll, lambda z, y: F.cross_entropy(z, y, reduction="sum")])
def test_a_loss_that_does_not_couple_the_batch_is_not_said_to(f):
    assert not evaluate("f", f, 0, (0.0, 0.0)).notes


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "It is not a number on 51% of the plane, which is hatched."),
        (math.inf, "It is infinite on 51% of the plane, which is hatched."),
    ],
)
def test_where_a_loss_is_not_finite_is_told(value, says):
    def f(logits, target):
        return torch.where(logits[:, 0] > 0, nll(logits, target), value)

    caption = explore(f).picture.value
    assert says in caption
    assert "has no beginning: the loss there is not finite" in caption
    assert "gone from nan" not in caption


class Clock:
    """A clock by which every call takes so many seconds."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(("f", "side"), [(nll, 25), (mean_nll_with_a_branch, 9)])
def test_a_slow_loss_is_drawn_coarsely_with_few_calls_and_says_so(f, side):
    calls = []

    def counted(logits, target):
        calls.append(len(logits))
        return f(logits, target)

    seen = evaluate("f", counted, 0, (-3.0, 1.0), clock=Clock(0.3))
    assert seen.slow
    assert seen.landscape.values.shape == (side, side)
    assert len(calls) < 2 * side**2
    assert f"A call takes 0.3 s, so the picture has {side} by {side} points" in seen.notes[0]
    exact = PlaneLoss(f, 0).flow((-3.0, 1.0))
    assert torch.dist(seen.path.points[-1], exact.points[-1]) < 0.2


def test_sliders_of_a_slow_loss_wait_until_they_are_let_go(monkeypatch):
    monkeypatch.setattr(
        evaluation.evaluate, "__kwdefaults__", evaluate.__kwdefaults__ | {"clock": Clock(1)}
    )
    assert not explore("focal").controls["gamma"].continuous_update


def test_an_interrupted_function_leaves_the_explorer_usable():
    told = []

    def f(logits, target, endless=False):
        if endless:
            told.append(explorer.status.value)
            raise KeyboardInterrupt
        return nll(logits, target)

    explorer = explore(f)
    explorer.controls["endless"].value = True
    assert "interrupt the kernel" in told[0]
    assert "Interrupted after" in explorer.picture.value
    explorer.controls["endless"].value = False
    assert picture(explorer).startswith(b"\x89PNG")


def test_a_first_picture_that_does_not_come_says_how_to_stop_it(monkeypatch, capsys):
    printed = threading.Event()
    monkeypatch.setattr(widget, "SILENT", 0.0)
    monkeypatch.setattr(builtins, "print", lambda text: (said.append(text), printed.set()))
    said = []

    def f(logits, target):
        assert printed.wait(1800)
        return nll(logits, target)

    explore(f)
    assert "interrupt the kernel" in said[0]


def test_functions_are_compared_on_the_same_axes_with_their_own_controls():
    def halved(logits, target, factor=0.5):
        return factor * nll(logits, target)

    explorer = explore(halved, beside=["focal", mean_nll], ranges={"gamma": (0, 1)})
    titles = [explored.title for explored, _ in explorer.compared]
    assert titles == ["halved", "Focal loss", "mean_nll"]
    descriptions = [handle.description for handle in explorer.children[:2]]
    assert descriptions == ["halved: factor", "Focal loss: gamma"]
    caption = explorer.picture.value
    before = picture(explorer)
    assert caption.count("Gradient flow from (-3.0, 1.0)") == 3
    assert "the mislabelled one (label at 2%) 60%" in caption
    explorer.compared[1][1]["gamma"].value = 0.5
    assert picture(explorer) != before
    assert explorer.controls.keys() == {"factor"}


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_curve_of_a_comparison_is_the_loss_and_its_pull_over_the_margin(target):
    seen = evaluate("f", nll, target, (0.0, 0.0), curve=True)
    margins, values, pulls = seen.curve
    torch.testing.assert_close(values, F.softplus(-margins), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pulls, torch.sigmoid(-margins), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.examples[1], 1 - torch.tensor([0.95, 0.4, 0.02]))


def test_one_broken_function_of_several_is_told():
    explorer = explore(nll, beside=lambda z, y, wrong=True: raises(z, y) if wrong else nll(z, y))
    assert "four is wrong" in explorer.picture.value
    explorer.compared[1][1]["wrong"].value = False
    assert picture(explorer).startswith(b"\x89PNG")


def test_more_than_three_functions_are_refused():
    with pytest.raises(ValueError, match="at most 3 functions can be compared, got 4"):
        explore("mae", beside=["focal", "brier", "comp_sum"])
