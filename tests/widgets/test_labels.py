"""Texts in a picture keep clear of each other and of the edge, wherever the controls stand."""

from __future__ import annotations

import pytest

from lossviz.losses import LOSSES
from lossviz.theory import LAWS
from lossviz.widgets import (
    aligned,
    attention_row,
    bracket,
    conditional_risk,
    coupled,
    decoding,
    dimensions,
    entropy_paths,
    entropy_step,
    landscape,
    large_steps,
    law_curve,
    minority,
    neural_collapse,
    online,
    picture,
    reliability,
    resampling,
    roofline,
    shared_head,
    surface,
    training_bound,
    transforms,
)
from lossviz.widgets.loss.picture import drawing

from ..labels import faults
from . import (
    test_ball,
    test_bracket,
    test_calibrators,
    test_decoding,
    test_lengths,
    test_paths,
    test_reliability,
    test_surface,
    test_turning,
)
from .test_consistency_figures import STEPS, runs
from .test_kernel_figures import trace

pytestmark = pytest.mark.usefixtures("without_stills")
CLOSED = {key: loss for key, loss in LOSSES.items() if loss.form is not None}
DRAWN = {key: loss for key, loss in LOSSES.items() if loss.form is None}
X, Y, FRAMES = test_surface.X, test_surface.Y, test_surface.FRAMES
# eight groups, because a page takes longer to open than a figure to be measured
GROUPS = {
    "curves": lambda: {key: picture(loss) for key, loss in CLOSED.items()},
    "landscapes": lambda: {key: landscape(loss) for key, loss in CLOSED.items()},
    **{
        name: lambda name=name: {
            key: picture(loss) for key, loss in DRAWN.items() if drawing(loss).__name__ == name
        }
        for name in ("sampled", "pull", "mask")
    },
    "laws": lambda: {key: law_curve(law) for key, law in LAWS.items()},
    "chapters": lambda: {
        "aligned": aligned(),
        "attention row": attention_row(),
        "ball": test_ball.figure(),
        "bracket": bracket(test_bracket.NETWORKS, test_bracket.LABELS, test_bracket.RADII),
        "conditional risk": conditional_risk(),
        "calibrators": test_calibrators.figure(),
        "coupled": coupled(),
        "decoding": decoding(test_decoding.pairs()),
        "dimensions": dimensions(),
        "entropy paths": entropy_paths(test_paths.paths(), test_paths.STEPS),
        "entropy step": entropy_step(),
        "large steps": large_steps(),
        "minority": minority(test_lengths.TRAINED),
        "neural collapse": neural_collapse(test_turning.RECORDINGS, test_turning.STEPS),
        "online": online(*trace()[:3], [True, False] * 3, seen=2),
        "reliability": reliability(*test_reliability.sample()),
        "resampling": resampling(),
        "roofline": roofline(),
        "shared head": shared_head(),
        "surface": surface(test_surface.VALUES, X, Y, title="Noise", frames=FRAMES),
        "training bound": training_bound(STEPS, runs(), title="Random scores"),
        "transforms": transforms(tau=1.5, beta=0.4),
    },
}


@pytest.mark.parametrize("group", GROUPS)
def test_labels_keep_clear_of_each_other_in_every_sampled_state(group, show):
    figures = GROUPS[group]()
    page = show(*(figure.html() for figure in figures.values()))
    stages = page.locator(".lossviz-stage").all()
    found = {name: faults(stage) for name, stage in zip(figures, stages, strict=True)}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_labels_of_the_first_page_keep_clear_in_a_hundred_states_more(show):
    page = show(landscape("comp_sum", values={"tau": 1.0}, point=(-3.0, -2.5)).html())
    assert faults(page.locator(".lossviz-stage"), states=120) == []


def test_a_label_on_another_and_one_beyond_the_edge_are_found(show):
    figure = roofline()
    one, other, *_ = figure.spec["marks"]
    other["encode"]["update"]["y"] = one["encode"]["update"]["y"]
    one["encode"]["update"]["x"] = {"value": -20}
    found = faults(show(figure.html()).locator(".lossviz-stage"), widths=(646,), states=0)
    assert any("lies on" in fault for fault in found)
    assert any("is cut off" in fault for fault in found)
