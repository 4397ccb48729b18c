"""What stands around a live figure: panels on a phone, starting again, playing, and its words."""

from __future__ import annotations

import dataclasses

import pytest

from lossviz.losses import LOSSES
from lossviz.widgets import Slider, landscape, large_steps, picture

from ..rest import rest

pytestmark = pytest.mark.usefixtures("without_stills")
PHONE = {"width": 390, "height": 660}
SIGNAL = "(stage, name) => stage.lossviz.view.signal(name)"


@pytest.fixture(scope="module")
def landing():
    return landscape("comp_sum", values={"tau": 1.0}, point=(-3.0, -2.5))


def signal(page, name):
    return page.locator(".lossviz-stage").evaluate(SIGNAL, name)


def test_on_a_phone_picture_readout_and_first_control_share_the_screen(landing, show):
    page = show(landing.html())
    page.set_viewport_size(PHONE)
    rest(page)
    top = page.locator(".lossviz-panes").bounding_box()["y"]
    readout = page.locator(".lossviz-readout").bounding_box()
    control = page.get_by_label("τ: how much hard examples count")
    box = control.bounding_box()
    assert box["y"] + box["height"] - top <= PHONE["height"]
    assert readout["y"] < box["y"]
    assert not page.get_by_label("u: start, towards class 1").is_visible()
    page.get_by_text("Move the point by keyboard").click()
    assert page.get_by_label("u: start, towards class 1").is_visible()


def test_on_a_phone_one_panel_at_a_time_is_shown_with_its_handle(landing, show):
    page = show(landing.html())
    handles = page.locator(".lossviz-handle")
    assert [handles.nth(k).is_visible() for k in range(2)] == [True, True]
    assert not page.locator(".lossviz-panes").is_visible()
    page.set_viewport_size(PHONE)
    rest(page)
    assert [handles.nth(k).is_visible() for k in range(2)] == [True, False]
    other = page.get_by_role("button", name="probabilities")
    assert other.get_attribute("aria-pressed") == "false"
    other.click()
    rest(page)
    assert other.get_attribute("aria-pressed") == "true"
    assert [handles.nth(k).is_visible() for k in range(2)] == [False, True]
    rows = "(stage) => ['pane_0', 'pane_1'].map((name) => stage.lossviz.view.data(name).length)"
    assert page.locator(".lossviz-stage").evaluate(rows) == [0, 1]


def test_reset_returns_to_the_first_state(show):
    figure = large_steps(step_size=3.0, step=2)
    page = show(figure.html())
    first = page.locator(".lossviz-readout").inner_text()
    page.get_by_label("step", exact=True).press("End")
    page.get_by_label("γ: step size").press("Home")
    page.get_by_label("gradient descent", exact=True).select_option("normalised")
    rest(page)
    assert page.locator(".lossviz-readout").inner_text() != first
    page.get_by_role("button", name="Reset").click()
    rest(page)
    assert page.locator(".lossviz-readout").inner_text() == first
    for control in figure.controls:
        assert signal(page, control.signal) == control.value


def test_play_walks_to_the_end_and_pauses(show):
    page = show(large_steps(step=20).html())
    button = page.get_by_role("button", name="Play: step")
    button.click()
    page.get_by_role("button", name="Pause: step").wait_for()
    page.wait_for_function(
        "() => document.querySelector('.lossviz-stage').lossviz.view.signal('now') === 24"
    )
    button.wait_for()  # it has stopped by itself
    button.click()  # from the start again
    page.wait_for_function(
        "() => document.querySelector('.lossviz-stage').lossviz.view.signal('now') === 2"
    )
    page.get_by_role("button", name="Pause: step").click()
    at = signal(page, "now")
    page.wait_for_timeout(600)
    assert signal(page, "now") == at < 24


def test_nothing_plays_for_a_reader_who_wants_no_motion(show):
    page = show(large_steps().html())
    assert page.locator(".lossviz-play").is_visible()
    page.emulate_media(reduced_motion="reduce")
    assert not page.locator(".lossviz-play").is_visible()


def test_the_text_of_the_picture_follows_the_state(landing, show):
    page = show(landing.html())
    image = page.get_by_role("img")
    assert landing.alt in image.get_attribute("aria-label")
    page.get_by_label("τ: how much hard examples count").press("End")
    rest(page)
    words = page.locator(".lossviz-readout").text_content()
    assert image.get_attribute("aria-label") == f"At first: {landing.alt} Now: {words}"


def test_a_value_has_one_voice_and_the_parts_of_the_picture_none(show):
    page = show(large_steps().html())
    live = "(all) => all.map((output) => output.getAttribute('aria-live'))"
    assert set(page.locator(".lossviz-stage output").evaluate_all(live)) == {"off"}
    parts = page.locator(".lossviz-stage svg :is([role], [aria-label])")
    hidden = "(all) => all.map((part) => Boolean(part.closest('[aria-hidden=true]')))"
    assert set(parts.evaluate_all(hidden)) == {True}


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_stands(landing, show):
    page = show(landing.html())
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.dataset.signal ?? document.activeElement.textContent"
            )
        )
    order = ["param_tau", "noise", "Move the point by keyboard", "u", "v", "Reset"]
    assert reached[: len(order)] == order


def test_a_slider_shows_its_value_as_a_person_writes_it():
    slider = Slider("n", "tokens", 6, 20, 0.25, 13, "64", "1,048,576")
    assert slider.text == "format(n, ',.2~f')"
    assert dataclasses.replace(slider, step=1e-6).text == "format(n, ',.6~f')"
    assert dataclasses.replace(slider, shows="format(pow(2, n), ',')").text.startswith("format(pow")


@pytest.mark.parametrize("key", LOSSES)
def test_no_caption_asks_for_what_paper_cannot_do(key):
    figure = picture(LOSSES[key])
    assert "drag" not in figure.caption.lower()
    assert "drag" not in figure.alt.lower()


@pytest.mark.parametrize("key", ["comp_sum", "cross_entropy"])
def test_a_picture_starts_where_it_differs_from_cross_entropy(key, show):
    page = show(picture(key).html())
    values = page.locator(".lossviz-stage").evaluate(
        """(stage) => stage.lossviz.view.data('curve')
            .map((row) => Math.abs(row.value + Math.log(row.p)))"""
    )
    assert max(values) > 0.05
