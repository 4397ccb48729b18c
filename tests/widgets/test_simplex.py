"""The step on the simplex: its numbers are torch's, its handles move what they say."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.analysis import entropy_change
from lossviz.widgets import entropy_step
from lossviz.widgets.chapters.simplex import NATURAL, PLAIN

from .controls import move_each
from .test_ball import state
from .test_live_numbers import assert_same, read

pytestmark = pytest.mark.usefixtures("without_stills")
BASIS = torch.tensor([[2, -1, -1], [0, 1, -1]]).double() / torch.tensor([[6], [2]]).double().sqrt()


def vector(u, v):
    """Three numbers that sum to 0, from their coordinates in the plane."""
    return torch.tensor([u, v], dtype=torch.float64) @ BASIS


@pytest.mark.parametrize("method", [PLAIN, NATURAL])
@pytest.mark.parametrize("policy", [(0.8, 0.5), (-2.5, 2.5), (0.0, 0.0)])
def test_entropies_along_the_step_are_those_of_torch(method, policy, show):
    page = show(entropy_step(policy=policy, method=method).html())
    for advantage, step in (((1.1, 0.4), 2.0), ((-2.0, 2.0), 6.0), ((0.3, -1.7), 0.5)):
        signals = {"au": advantage[0], "av": advantage[1], "step": step}
        rows = read(page, signals, way=["step", "entropy", "foreseen"])["way"]
        z, raw = vector(*policy), vector(*advantage)
        p = z.softmax(-1)
        centred = raw - p @ raw
        move = p * centred if method == PLAIN else centred
        changes = [entropy_change(z, t * move) for t in rows["step"]]
        start = -(p * p.log()).sum()
        assert_same(rows["entropy"], start + torch.stack([c.exact for c in changes]))
        assert_same(rows["foreseen"], start + torch.stack([c.predicted for c in changes]))
        found = state(page, ["p0", "p1", "advantage", "entropy", "after", "slope"])
        assert_same(torch.tensor(found["p0"], dtype=torch.float64), p)
        assert_same(torch.tensor(found["p1"], dtype=torch.float64), (z + step * move).softmax(-1))
        assert_same(torch.tensor(found["advantage"], dtype=torch.float64), centred)
        assert_same(
            torch.tensor([found["entropy"], found["after"]], dtype=torch.float64),
            torch.stack([start, start + entropy_change(z, step * move).exact]),
        )


def test_the_contours_are_entropies(show):
    page = show(entropy_step().html())
    rows = page.evaluate(
        "document.querySelector('.lossviz-stage').lossviz.view.data('simplex_grid')"
        ".map((row) => [...row.p, row.value])"
    )
    table = torch.tensor(rows, dtype=torch.float64)
    p = table[:, :3]
    assert_same(table[:, 3], -(p * p.log()).sum(-1))


@pytest.mark.parametrize(
    ("number", "labels"),
    [
        (0, ("policy: logit of A over the others", "policy: logit of B over C")),
        (1, ("advantage of A over the others", "advantage of B over C")),
    ],
)
def test_a_handle_follows_the_pointer_and_moves_its_sliders_alone(number, labels, show):
    figure = entropy_step()
    page = show(figure.html())

    def values():
        return {c.label: page.get_by_label(c.label, exact=True).input_value()
                for c in figure.controls}  # fmt: skip

    before = values()
    handle = page.locator(".lossviz-handle").nth(number)
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y - 15, steps=3)
    page.mouse.up()
    page.wait_for_function(
        "([label, old]) => document.querySelector(`[aria-label='${label}']`)?.value !== old"
        " || [...document.querySelectorAll('label')].some((l) => l.textContent.includes(label)"
        " && l.control && l.control.value !== old)",
        arg=[labels[0], before[labels[0]]],
    )
    moved = handle.bounding_box()
    assert moved["x"] == pytest.approx(box["x"] - 20, abs=4)  # sliders have steps of a tenth
    assert moved["y"] == pytest.approx(box["y"] - 15, abs=4)
    after = values()
    assert {label for label in after if after[label] != before[label]} == set(labels)


def test_every_control_changes_picture_and_words(show):
    figure = entropy_step()
    page = show(figure.html())
    move_each(page, figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": (3.0, 0.0)}, r"policy must be two numbers in \[-2.5, 2.5\]"),
        ({"advantage": (math.nan, 0.0)}, "advantage must be two numbers"),
        ({"step": 7.0}, "step must lie in"),
        ({"method": "plain"}, "method must be"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        entropy_step(**change)
