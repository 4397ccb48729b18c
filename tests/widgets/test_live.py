"""A live figure as a page holds it: what is written down, and how it behaves under the hand."""

import html
import io
import json
import re
from functools import cache

import matplotlib.image
import pytest
import sympy as sp
import torch

from lossviz.declaration import SymbolicForm, declaration_of
from lossviz.losses import LOSSES, Source, declare, number
from lossviz.widgets import LiveFigure, ball, curve, landscape, picture, runtime
from lossviz.widgets.loss.picture import drawing
from lossviz.widgets.loss.sampled import sampled
from lossviz.widgets.vega import palette

from ..rest import rest

FIGURES = {
    "ball": ball({"one": torch.tanh, "two": torch.sin}, torch.zeros(1, 2), torch.tensor([0])),
    "curve": curve("comp_sum", values={"tau": 0.5}),
    "landscape": landscape("comp_sum"),
    "surface": landscape("symmetric_ce"),
    "pull": picture("nt_xent"),
    "mask": picture("dice"),
}
DATA = re.compile(r'<script type="application/vnd.lossviz.figure\+json">(.*?)</script>', re.S)
PIXELS = """(stage) => stage.querySelector('canvas')?.toDataURL()
    ?? stage.querySelector('svg').outerHTML"""


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]


@cache
def written(figure):
    """The block of a figure, written once for all tests that only read it or open it."""
    return figure.html()


def stage(page):
    return page.locator(".lossviz-stage").first


def picture(page):
    return stage(page).evaluate(PIXELS)


def test_notebook_gets_a_widget_and_a_page_gets_html(figure):
    data, _ = figure._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/html"] == written(figure)
    assert figure.alt in data["text/plain"]
    assert figure.widget.figure == figure.payload


def test_html_names_no_address_outside_the_page(figure):
    assert "//" not in re.sub(r'src="data:image/png;base64,[^"]*"', "", written(figure))


def test_html_is_the_same_in_every_build(figure):
    again = LiveFigure(
        figure.spec,
        figure.controls,
        alt=figure.alt,
        caption=figure.caption,
        handles=figure.handles,
        panes=figure.panes,
        renderer=figure.renderer,
    )
    assert again.html() == written(figure)


def test_still_picture_is_a_small_png_with_text_beside_it(figure):
    still = figure.still()
    assert matplotlib.image.imread(io.BytesIO(still)).std() > 0.05
    assert len(still) < 60_000
    block = html.unescape(written(figure))
    assert f'alt="{figure.alt}"' in block
    assert f"<figcaption>{figure.caption}</figcaption>" in block


def test_data_is_strict_json_that_cannot_end_its_element(figure):
    (text,) = DATA.findall(written(figure))

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == json.loads(json.dumps(figure.payload))
    assert "<" not in text


def test_text_of_a_figure_is_escaped():
    block = LiveFigure(
        {"width": 9, "height": 9}, (), alt='a "b" <c>', caption="</figure> & more"
    ).html()
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in block
    assert block.count("</figure>") == 1


@pytest.mark.parametrize("make", [curve, landscape])
@pytest.mark.parametrize(
    ("loss", "options", "error", "message"),
    [
        ("cross_entropi", {}, ValueError, "cross_entropy"),
        (3, {}, TypeError, "loss must be a Loss or a key, got int"),
        ("comp_sum", {"values": {"temperature": 1.0}}, ValueError, "no 'temperature'"),
        ("comp_sum", {"values": {"tau": -1.0}}, ValueError, r"tau must lie in \[0, ∞\), got -1.0"),
    ],
)
def test_bad_loss_or_parameter_is_a_clear_error(make, loss, options, error, message):
    with pytest.raises(error, match=message):
        make(loss, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curve("mae", num_classes=1), "num_classes must be at least 2, got 1"),
        (lambda: curve("mae", margin=9), "margin must lie in"),
        (lambda: curve("mae", against="tau"), "against must be .* got 'tau'"),
        (lambda: landscape("mae", point=(7, 0)), "point must be two numbers"),
        (lambda: landscape("mae", label_noise=0.7), "label_noise must lie in"),
    ],
)
def test_argument_out_of_range_is_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_declaration_outside_the_mapping_is_drawn(show):
    width = number("width", r"\omega", "[0.5, 2]", (0.5, 2.0, 0.1), "how wide", "a", "b")

    @declare(
        family="test",
        latex="",
        source=Source("none"),
        parameters=(width,),
        form=SymbolicForm(lambda p, y: sp.Max(0, width.sympy - p[y])),
    )
    def ramp(logits, target, *, width=1.0):
        """Ramp: one that ends."""
        return torch.zeros(())

    loss = declaration_of(ramp)
    page = show(curve(loss, margin=0.0).html(), landscape(loss).html())
    assert page.locator("[data-lossviz=ready]").count() == 2
    assert "loss 0.5," in page.locator(".lossviz-readout").first.inner_text()
    assert page.get_by_label("ω: how wide").count() == 2


def test_every_control_has_a_label_and_changes_picture_and_words(figure, show):
    page = show(written(figure))
    assert stage(page).get_attribute("data-lossviz") == "ready"
    for control in figure.controls:
        before, words = picture(page), page.locator(".lossviz-readout").inner_text()
        field = page.get_by_label(control.label, exact=True)
        if control.kind == "choice":
            field.select_option(next(o for o in control.options if o != control.value))
        else:
            field.press("ArrowRight")
            assert field.get_attribute("aria-valuetext") != ""
            assert field.input_value() != str(control.value)
        rest(page)
        assert picture(page) != before, control.label
        if control.kind == "slider" and not control.signal.startswith("param_"):
            assert page.locator(".lossviz-readout").inner_text() != words


def test_words_are_announced_once_the_hand_rests(show):
    page = show(written(FIGURES["curve"]))
    page.get_by_label("margin of the example").press("ArrowRight")
    rest(page)
    words = page.locator(".lossviz-readout").inner_text()
    page.wait_for_function(
        "(words) => document.querySelector('[role=status]').textContent === words", arg=words
    )


@pytest.mark.parametrize("view", [0, 1], ids=["plane", "simplex"])
def test_dragging_the_start_moves_it_in_both_views(view, show):
    page = show(written(FIGURES["landscape"]))
    handles = page.locator(".lossviz-handle")
    before = [handles.nth(k).bounding_box() for k in range(2)]
    box = handles.nth(view).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 40, steps=3)
    page.mouse.up()
    rest(page)
    after = [handles.nth(k).bounding_box() for k in range(2)]
    assert after[view]["x"] == pytest.approx(before[view]["x"] + 30, abs=1.5)
    assert after[view]["y"] == pytest.approx(before[view]["y"] + 40, abs=1.5)
    assert after[1 - view] != before[1 - view]
    value = page.get_by_label("start, towards class 1").input_value()
    assert float(value) != FIGURES["landscape"].controls[-2].value


def test_a_finger_scrolls_the_page_except_on_the_handle(show):
    page = show(written(FIGURES["landscape"]))
    action = "(node) => getComputedStyle(node).touchAction"
    assert page.locator(".lossviz-handle").first.evaluate(action) == "none"
    assert page.locator("canvas").evaluate(action) == "auto"


def test_a_click_puts_the_start_there(show):
    page = show(written(FIGURES["landscape"]))
    box = page.locator("canvas").bounding_box()
    x, y = box["x"] + 200, box["y"] + 250
    page.mouse.click(x, y)
    rest(page)
    handle = page.locator(".lossviz-handle").first.bounding_box()
    assert handle["x"] + handle["width"] / 2 == pytest.approx(x, abs=1.5)
    assert handle["y"] + handle["height"] / 2 == pytest.approx(y, abs=1.5)


def test_a_broken_figure_says_so_and_leaves_its_neighbours_and_its_still_picture(show_with_stills):
    whole = written(FIGURES["curve"])
    broken = [
        whole.replace('{"spec":', "{"),
        whole.replace('"type":"sequence"', '"type":"nonsense"'),
        whole.replace("exp(-datum.margin)", "datum.margin.none.none"),
    ]
    page = show_with_stills(*broken, written(FIGURES["landscape"]))
    states = [node.get_attribute("data-lossviz") for node in page.locator(".lossviz-stage").all()]
    assert states == ["failed"] * 3 + ["ready"]
    assert page.get_by_role("alert").count() == 3
    stills = page.locator(".lossviz-still")
    assert [stills.nth(k).is_visible() for k in range(4)] == [True] * 3 + [False]


def test_print_shows_the_still_picture(figure, show_with_stills):
    page = show_with_stills(written(figure))
    assert not page.locator(".lossviz-still").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".lossviz-still").is_visible()
    assert not stage(page).is_visible()


def test_figure_follows_the_theme_of_the_page(figure, show):
    page = show(written(figure))
    light = picture(page)
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    rest(page)
    dark = picture(page)
    assert dark != light
    page.evaluate("() => { document.documentElement.dataset.theme = 'light'; }")
    rest(page)
    assert picture(page) == light


def test_figure_fits_a_narrow_screen(figure, show):
    page = show(written(figure))
    words = page.locator(".lossviz-readout").inner_text()
    page.set_viewport_size({"width": 390, "height": 800})
    rest(page)
    assert page.locator(".lossviz-readout").inner_text() == words
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    width = stage(page).bounding_box()["width"]
    assert stage(page).locator("canvas, svg").bounding_box()["width"] == pytest.approx(width, abs=1)


def test_page_scripts_leave_only_their_two_names(show):
    page = show(written(FIGURES["curve"]))
    names = "Object.keys(window).filter((name) => name.startsWith('lossviz'))"
    assert page.evaluate(names) == ["lossvizVega", "lossvizLive"]
    assert page.evaluate("() => typeof window.n") == "undefined"


def test_scripts_reach_for_no_address():
    text = runtime.esm() + "".join(runtime.page_scripts().values())
    addresses = set(re.findall(r"https?://[\w.]+", text))
    assert addresses == {"http://www.w3.org"}  # names of XML vocabularies


def test_a_bundle_that_the_environment_names_is_taken_and_one_that_is_gone_is_made(
    monkeypatch, tmp_path
):
    made = tmp_path / runtime.VEGA
    monkeypatch.setenv(runtime.BUNDLE, str(made))
    assert runtime._vega.__wrapped__() == runtime._vega()
    made.write_text("bundled before")
    assert runtime._vega.__wrapped__() == "bundled before"


def test_colours_reach_their_contrast_on_their_surface():
    def luminance(colour):
        channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(a, b):
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for theme in (palette.LIGHT, palette.DARK):
        assert contrast(theme.ink, theme.surface) >= 7
        assert contrast(theme.muted, theme.surface) >= 4.5
        for colour in (theme.subject, theme.reference, theme.path, *theme.hues):
            assert contrast(colour, theme.surface) >= 3
        steps = [luminance(colour) for colour in theme.ramp]
        assert steps in (sorted(steps), sorted(steps, reverse=True))


def test_every_loss_of_two_numbers_has_a_landscape_and_every_closed_form_a_curve():
    for loss in LOSSES.values():
        if loss.form is None and drawing(loss) is not sampled:
            with pytest.raises(ValueError, match=f"{loss.key} takes .*, no plane"):
                landscape(loss)
        else:
            assert landscape(loss).payload["controls"]
        if loss.form is None:
            with pytest.raises(ValueError, match=f"{loss.key} has no closed form"):
                curve(loss)
        else:
            assert curve(loss).payload["controls"]
