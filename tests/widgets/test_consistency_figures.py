"""The figures of the consistency bounds: their numbers are the theory's, and bad input is named."""

from __future__ import annotations

import dataclasses

import pytest
import sympy as sp
import torch

from lossviz.theory import (
    MARGIN_LOSSES,
    ConsistencyBound,
    comp_sum_gamma,
    comp_sum_transform,
    comp_sum_transform_exact_inf,
    consistency_bound,
)
from lossviz.theory.margin_losses import SCORE
from lossviz.theory.symbolic import BETA
from lossviz.widgets import conditional_risk, training_bound, transforms

from .test_live_numbers import read

TAUS = (0.0, 0.5, 1.0, 1.5, 2.0)
STEPS = [0, 1, 4, 20]
SIGNALS = """(names) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  return names.map((name) => view.signal(name));
}"""


def rows(page, signals, data, *fields):
    """Set signals, let the figure run, and return fields of a data set in float64."""
    return read(page, signals, **{data: fields})[data].values()


def runs(classes: int = 4) -> list[list[ConsistencyBound]]:
    """Bounds of random scores that move towards the labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % classes
    noise = torch.randn(60, classes, generator=generator)
    towards = torch.nn.functional.one_hot(labels, classes)
    return [
        [consistency_bound(noise + step * towards, labels, tau=tau) for step in range(len(STEPS))]
        for tau in TAUS
    ]


@pytest.fixture(params=["conditional risk", "transforms", "training bound"])
def figure(request):
    if request.param == "conditional risk":
        return conditional_risk()
    if request.param == "transforms":
        return transforms(tau=1.5, beta=0.4)
    return training_bound(STEPS, runs(), title="Random scores")


def test_transforms_draw_the_theorem_and_the_exact_curve(show):
    page = show(transforms().html())
    for tau in (0.0, 0.3, 0.9, 1.0, 1.1, 1.5, 1.6, 1.9, 2.0, 2.1, 3.0):
        for n in (2, 3, 10, 12):
            signals = {"tau": tau, "n": n}
            beta, t, reference = rows(page, signals, "theorem", "beta", "t", "reference")
            theorem = comp_sum_transform(beta, tau=tau, n=n)
            torch.testing.assert_close(t, theorem, rtol=1e-9, atol=1e-10)
            cross_entropy = comp_sum_transform(beta, tau=1, n=n)
            torch.testing.assert_close(reference, cross_entropy, rtol=1e-9, atol=1e-10)
            beta, t = rows(page, signals, "exact", "beta", "t")
            exact = comp_sum_transform_exact_inf(beta, tau=tau, n=n)
            torch.testing.assert_close(t, exact, rtol=1e-5 if tau > 1.5 else 1e-9, atol=1e-10)


def test_marked_points_of_the_transforms_are_the_theory_at_the_slider(show):
    page = show(transforms().html())
    for tau, n, beta in [(1.0, 10, 0.2), (1.5, 10, 0.6), (1.9, 7, 0.12), (2.6, 3, 1.0)]:
        read(page, {"tau": tau, "n": n, "beta": beta})
        theorem, exact, ratio = page.evaluate(SIGNALS, ["theorem_at", "exact_at", "ratio"])
        assert theorem == pytest.approx(comp_sum_transform(beta, tau=tau, n=n), rel=1e-9)
        expected = comp_sum_transform_exact_inf(beta, tau=tau, n=n)
        assert exact == pytest.approx(expected, rel=1e-5)
        assert ratio == pytest.approx(exact / theorem)
        words = page.locator(".lossviz-readout").inner_text()
        assert ("this is tight" in words) == (ratio < 1.0005)
        assert ("as far as search has found" in words) == (1.5 < tau < 2)


def test_first_state_of_the_transforms_is_the_rule_of_thumb_for_cross_entropy(show):
    words = show(transforms().html()).locator(".lossviz-readout").inner_text()
    assert words.startswith("Surrogate regret up to 0.0201 leaves a zero-one regret of at most 0.2")


def test_training_bound_draws_the_terms_it_was_given(show):
    two_runs = runs()
    page = show(training_bound(STEPS, two_runs, title="Random scores").html())
    for run in two_runs:
        name = f"{run[0].tau:g}"
        found = torch.stack(
            [*rows(page, {"tau": name}, "run", "step", "left", "right", "inside")], 1
        )
        wanted = [[s, b.left, b.right, b.inside] for s, b in zip(STEPS, run, strict=True)]
        torch.testing.assert_close(found, torch.tensor(wanted).double(), rtol=1e-5, atol=1e-9)
        beta, t = rows(page, {"tau": name}, "theorem", "beta", "t")
        gamma = comp_sum_gamma(t, tau=run[0].tau, n=4)
        torch.testing.assert_close(gamma, beta, rtol=1e-6, atol=1e-7)
        assert t[-1] >= max(bound.inside for bound in run) * (1 - 1e-5)


def test_every_control_changes_picture_and_words(figure, show):
    page = show(figure.html())
    stage = page.locator(".lossviz-stage")
    assert stage.get_attribute("data-lossviz") == "ready"
    for control in figure.controls:
        before = stage.locator("svg").evaluate("(svg) => svg.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        field = page.get_by_label(control.label, exact=True)
        if control.kind == "choice":
            field.select_option(next(o for o in control.options if o != control.value))
        else:
            field.press("ArrowRight")
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words", arg=words
        )
        assert stage.locator("svg").evaluate("(svg) => svg.outerHTML") != before


def test_still_picture_is_small(figure):
    assert len(figure.still()) < 30_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau": 3.2}, r"tau must be a multiple of 0.1 in \[0, 3.0\], got 3.2"),
        ({"tau": 0.55}, "tau must be a multiple"),
        ({"beta": 0.3}, "beta must be a multiple of 0.04"),
        ({"n": 13}, r"n must lie in 2..12, got 13"),
        ({"n": 1}, "n must be at least 2 classes, got 1"),
    ],
)
def test_a_state_that_the_sliders_cannot_show_is_a_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        transforms(**arguments)


def test_runs_that_do_not_belong_together_are_a_clear_error():
    two_runs = runs()
    with pytest.raises(ValueError, match="steps must be at least two increasing numbers"):
        training_bound([0, 4, 4, 5], two_runs, title="")
    with pytest.raises(ValueError, match="one bound for each of 3 steps, got 4"):
        training_bound([0, 1, 2], two_runs, title="")
    with pytest.raises(ValueError, match="one run for each tau"):
        training_bound(STEPS, [two_runs[0], two_runs[0]], title="")
    with pytest.raises(ValueError, match=r"a run must have one tau, got \[0.0, 0.5\]"):
        training_bound(STEPS, [[*two_runs[0][:3], two_runs[1][3]]], title="")
    with pytest.raises(ValueError, match=r"share a number of classes, got \[3, 4\]"):
        training_bound(STEPS, [two_runs[0], runs(classes=3)[1]], title="")
    endless = dataclasses.replace(two_runs[0][0], surrogate_risk=float("inf"))
    with pytest.raises(ValueError, match="bounds must be finite, got inf"):
        training_bound(STEPS, [[endless, *two_runs[0][1:]]], title="")


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_the_conditional_risk_is_the_mean_loss_and_its_gap_the_transform(name, show):
    loss = MARGIN_LOSSES[name]
    risk = sp.lambdify((SCORE, BETA), loss.conditional_risk())
    page = show(conditional_risk(loss=name).html())
    for beta, score in [(0.2, -0.6), (0.52, 1.35), (1.0, 3.0)]:
        rows_ = read(
            page, {"beta": beta, "score": score}, scores=["score", "risk"], leads=["beta", "cost"]
        )
        scores, leads = rows_["scores"], rows_["leads"]
        expected = [risk(s, beta) for s in scores["score"].tolist()]
        torch.testing.assert_close(
            scores["risk"], torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12
        )
        cost = [float(loss.transform.subs(BETA, b)) for b in leads["beta"].tolist()]
        torch.testing.assert_close(
            leads["cost"], torch.tensor(cost, dtype=torch.float64), rtol=1e-9, atol=1e-12
        )
        here, least = page.evaluate(SIGNALS, ["here", "least"])
        assert here == pytest.approx(risk(score, beta), rel=1e-9)
        assert least <= min(expected) + 1e-9


def test_a_drag_of_the_point_sets_the_score(show):
    page = show(conditional_risk(score=-0.6).html())
    handle = page.locator(".lossviz-handle")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up()
    (score,) = page.evaluate(SIGNALS, ["score"])
    assert score > -0.3
