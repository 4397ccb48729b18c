"""The playground in a browser: its numbers are torch's, its address is its state."""

from __future__ import annotations

import gzip
import math
import re
import shutil

import pytest
import torch

from lossviz.losses import LOSSES, get
from lossviz.widgets.loss.axes import plane
from lossviz.widgets.loss.flow import TIMES
from lossviz.widgets.loss.mask import mask
from lossviz.widgets.loss.picture import drawing
from lossviz.widgets.loss.plane import BASIS, EXAMPLES
from lossviz.widgets.loss.pull import pull
from lossviz.widgets.playground.files import FIRST, files, subjects
from lossviz.widgets.playground.samples import (
    SIDE,
    by_margin,
    curve_places,
    on_the_plane,
    stops,
)
from lossviz.widgets.runtime import page_scripts

from .conftest import PATIENCE, SHIM

KEYS = [loss.key for loss in subjects()]
FIELDS = ("value", "pull", "weight")
LEAST, MOST = -6.0, 6.0
PAGE = """<!doctype html><html lang="en" data-content_root="./" data-theme="light">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="_static/playground/page.css"><body style="margin: 8px">
<div id="lossviz-playground" class="lossviz-live" data-root="_static/"></div>
<script src="_static/lossviz-page.js"></script>
<script src="_static/playground/page.js" defer></script></body></html>"""
READ = """async (fragment) => {
  const { playground } = document.getElementById("lossviz-playground");
  await playground.open(fragment);
  const fields = ["margin", "x", "value", "pull", "weight"];
  const columns = (rows) => Object.fromEntries(fields.map((f) => [f, rows.map((r) => r[f])]));
  return playground.state.losses.map((key, place) => {
    const views = playground.drawn.curves.map(({ view }) => view);
    const plane = playground.drawn.planes[place].view;
    return {
      key,
      curve: columns(views.flatMap((view) => view.data(`curve${place}`))),
      dots: columns(views.flatMap((view) => view.data(`dots${place}`))),
      numbers: plane.signal("numbers"),
      drawn: plane.data("plane_grid").map((row) => row.value),
      path: plane.data("path").map(({ x, y, time }) => [x, y, time]),
    };
  });
}"""


@pytest.fixture(scope="module")
def scripts():
    """What the page loads by file name."""
    return files()


@pytest.fixture(scope="module")
def page(browser, scripts, tmp_path_factory):
    """The page, opened once; without network, as a file."""
    folder = tmp_path_factory.mktemp("playground")
    static = folder / "_static"
    for room, made in (("vendor", page_scripts()), ("playground", scripts)):
        (static / room).mkdir(parents=True)
        for name, text in made.items():
            (static / room / name).write_text(text, encoding="utf-8")
    shutil.copy(SHIM, static)
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    ready(page)
    yield page
    assert page.problems == []
    context.close()


def ready(page):
    page.wait_for_function(
        "document.getElementById('lossviz-playground').dataset.lossviz === 'ready'"
    )


def opened(page, fragment):
    """The address after a fragment was opened, and what the page says of it."""
    page.evaluate(READ, fragment)
    notice = page.locator(".playground-notice[role=status]").text_content()
    return page.evaluate("location.hash"), notice


def fragment(settings, **more):
    parts = [f"losses={','.join(settings)}"]
    parts += [
        f"{key}.{name}={value}"
        for key, values in settings.items()
        for name, value in values.items()
    ]
    return "#" + "&".join([*parts, *(f"{name}={value}" for name, value in more.items())])


def movable(key):
    """What the page lets one set: every parameter of a form, else what the frames run over."""
    loss = get(key)
    if loss.form:
        return {p.name: (p.slider[0], p.slider[1]) for p in loss.parameters}
    return {name: (over.start, over.stop) for name, over in stops(loss).items()}


def usual(key):
    """What the page shows at first of a number that is not a parameter of the loss."""
    return {} if get(key).form else {name: over.value for name, over in stops(get(key)).items()}


def tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def same(found, expected):
    torch.testing.assert_close(tensor(found), expected.detach(), rtol=1e-9, atol=1e-10)


def by_torch(loss, margin, values):
    """Loss, pull and weight at margins, where the other two of three classes are alike."""
    margin = margin.clone().requires_grad_()
    shape = tensor([2, -1, -1]) / 3
    logits = (margin + math.log(2))[:, None] * shape
    if loss.form:
        target = torch.zeros(len(margin), dtype=torch.long)
        value = loss(logits, target, **values, reduction="none")
    else:
        value = plane(loss).numbers(*(logits @ BASIS.T).T, loss.defaults | values)
    (slope,) = torch.autograd.grad(value.sum(), margin)
    return {"value": value, "pull": -slope, "weight": -slope / torch.sigmoid(-margin)}


def along_its_axis(loss, values):
    drawn = plane(loss)
    places = curve_places(drawn).requires_grad_()
    numbers = drawn.numbers(*on_the_plane(drawn, places), loss.defaults | values)
    if loss.view.pull:
        return {"pull": numbers}
    (slope,) = torch.autograd.grad(numbers.sum(), places)
    return {"value": numbers, "pull": -slope}


def on_its_plane(loss, values, noise, side):
    """The numbers of a landscape from the top left, along the rows."""
    spans = [axis.span for axis in plane(loss).axes] if not loss.form else [(LEAST, MOST)] * 2
    across, up = (torch.linspace(*span, side, dtype=torch.float64) for span in spans)
    y, x = (grid.flatten() for grid in torch.meshgrid(up.flip(0), across, indexing="ij"))
    if not loss.form:
        return plane(loss).numbers(x, y, loss.defaults | values)
    logits = torch.stack([x, y], -1) @ BASIS
    return sum(
        weight * loss(logits, torch.full((len(x),), k), **values, reduction="none")
        for k, weight in enumerate((1 - noise, noise / 2, noise / 2))
    )


@pytest.mark.parametrize("keys", [KEYS[k : k + 3] for k in range(0, len(KEYS), 3)], ids=",".join)
def test_all_that_is_drawn_of_every_loss_is_the_torch_function(keys, page):
    ends = {key: movable(key) for key in keys}
    at_rest = {key: usual(key) for key in keys}
    chosen = [at_rest] + [
        {key: {name: pair[end] for name, pair in ends[key].items()} for key in keys}
        for end in (0, 1)
    ]
    for settings, noise in zip(chosen, (0.0, 0.3, 0.0), strict=True):
        for found in page.evaluate(READ, fragment(settings, noise=noise)):
            loss, values = get(found["key"]), settings[found["key"]]
            if loss.form or by_margin(plane(loss)):
                probabilities = tensor([*EXAMPLES.values()])
                for rows, at in (
                    ("curve", tensor(found["curve"]["margin"])),
                    ("dots", probabilities.logit()),
                ):
                    for field, expected in by_torch(loss, at, values).items():
                        same(found[rows][field], expected)
                assert [min(found["curve"]["margin"]), max(found["curve"]["margin"])] == [-8, 8]
            else:
                for field, expected in along_its_axis(loss, values).items():
                    same(found["curve"][field], expected)
            side = math.isqrt(len(found["numbers"]))
            assert side >= SIDE
            assert found["drawn"] == found["numbers"]
            same(found["numbers"], on_its_plane(loss, values, noise, side))


def gone(loss, values, noise, start, times):
    """Where gradient flow is at `times`, by small steps of the classical Runge-Kutta method."""
    weights, labels = tensor([1 - noise, noise / 2, noise / 2]), torch.arange(3)

    def downhill(place):
        place = place.clone().requires_grad_()
        if loss.form:
            logits = (place @ BASIS).expand(3, 3)
            value = weights @ loss(logits, labels, **values, reduction="none")
        else:
            value = plane(loss).numbers(place[:1], place[1:], loss.defaults | values).sum()
        return -torch.autograd.grad(value, place)[0]

    place, step = tensor(start), 0.1
    for k in range(round(max(times) / step) + 1):
        if any(math.isclose(k * step, time) for time in times):
            yield place
        a = downhill(place)
        b = downhill(place + step / 2 * a)
        c = downhill(place + step / 2 * b)
        place = place + step / 6 * (a + 2 * b + 2 * c + downhill(place + step * c))


@pytest.mark.parametrize(
    ("key", "noise", "near"),
    [("focal", 0.0, 1e-3), ("symmetric_cross_entropy", 0.3, 1e-3), ("aldr_kl", 0.0, 0.1)],
)
def test_the_path_is_gradient_flow_from_the_start_in_its_own_time(key, noise, near, page):
    start, times = (-2.0, 1.5), TIMES[:2]
    (found,) = page.evaluate(READ, fragment({key: {}}, noise=noise, start="-2,1.5"))
    marked = {time: (x, y) for x, y, time in found["path"]}
    assert found["path"][0] == [*start, 0]
    for time, place in zip(times, gone(get(key), {}, noise, start, times), strict=True):
        assert math.dist(marked[time], place) < near


@pytest.mark.parametrize(
    "chosen",
    [
        "#losses=focal,aldr_kl,symmetric_cross_entropy&focal.gamma=3&noise=0.2",
        "#losses=dpo,ensloss,two_hot&two_hot.y=0.5",
    ],
)
def test_the_lines_to_copy_compute_what_is_drawn(chosen, page):
    found = page.evaluate(READ, chosen)
    lines = page.locator("#lossviz-playground pre").text_content()
    names = {}
    exec(lines, names)
    assert len(names["landscapes"]) == len(found)
    for each in found:
        for field, expected in names["curves"][each["key"]].items():
            same(each["curve"][field] + each["dots"][field], expected)


def test_the_table_says_loss_pull_and_share_of_the_three_examples(page):
    page.evaluate(READ, "#losses=generalized_cross_entropy")
    cells = page.locator(".playground-table td").all_text_contents()
    numbers = by_torch(
        get("generalized_cross_entropy"), tensor([*EXAMPLES.values()]).logit(), {"q": 0.7}
    )
    shares = numbers["pull"] / numbers["pull"].sum()
    for k, cell in enumerate(cells):
        words = re.fullmatch(r"loss (\S+), pull (\S+), weight (\S+): (\d+) % of the pull", cell)
        for text, field in zip(words.groups(), FIELDS, strict=False):
            assert float(text) == pytest.approx(numbers[field][k].item(), rel=5e-3)
        assert int(words[4]) == round(100 * shares[k].item())


@pytest.mark.parametrize(
    "link",
    [
        "#losses=mae",
        "#losses=focal,comp_sum&focal.gamma=0.5&comp_sum.tau=0&against=probability",
        "#losses=dpo,focal,mae&dpo.beta=0.4&start=1,-3.25&noise=0.1",
        "#losses=focal&focal.gamma=99",
    ],
)
def test_a_link_says_all_of_what_is_shown(link, page):
    assert opened(page, link) == (link, "")


DEFAULT = f"#losses={','.join(FIRST)}"


@pytest.mark.parametrize(
    ("link", "says", "left"),
    [
        ("#nonsense", "nonsense = nothing is not known here", DEFAULT),
        ("#losses=banana", "names banana, which is not among the losses", DEFAULT),
        ("#losses=banana,mae", "names banana", "#losses=mae"),
        ("#losses=", "has none that can be shown", DEFAULT),
        ("#losses=__proto__,constructor", "names __proto__", DEFAULT),
        ("#losses=mae,mae", "names mae twice", "#losses=mae"),
        ("#losses=mae,focal,brier,dpo", "dpo is left out", "#losses=mae,focal,brier"),
        ("#losses=nt_xent", "names nt_xent", DEFAULT),
        ("#losses=focal&focal.gamma=-1", r"focal.gamma = -1 must lie in \[0, ∞\)", "#losses=focal"),
        ("#losses=focal&focal.gamma=two", "is not a number", "#losses=focal"),
        ("#losses=focal&focal.gamma=", "= nothing is not a number", "#losses=focal"),
        ("#losses=focal&focal.gamma=Infinity", "is not a number", "#losses=focal"),
        ("#losses=focal&focal.tau=1", "is not a parameter that can be set", "#losses=focal"),
        ("#losses=focal&mae.q=1", "belongs to a loss that is not shown", "#losses=focal"),
        ("#losses=dpo&dpo.beta=0.1003", "moved from 0.1003 to 0.1", "#losses=dpo"),
        ("#losses=mae&start=7,0", r"must lie in \[-6, 6\]", "#losses=mae"),
        ("#losses=mae&start=1", "must be two numbers", "#losses=mae"),
        ("#losses=mae&noise=0.9", r"must lie in \[0, 0.6\]", "#losses=mae"),
        ("#losses=mae&against=time", "must be margin or probability", "#losses=mae"),
        ("#colour=red&losses=mae", "colour = red is not known", "#losses=mae"),
        ("#a=1&b=2&c=3&d=4&e=5&f=6&g=%E0%A4%A", "and 2 more", DEFAULT),
        ("#losses=mae&x=<img src=y onerror=z>", "<img src=y", "#losses=mae"),
    ],
)
def test_a_bad_link_opens_with_what_can_be_used_and_says_what_was_dropped(link, says, left, page):
    address, notice = opened(page, link)
    assert address == left
    assert notice.startswith("Not all of this link could be used: ")
    assert re.search(says, notice)


def test_a_place_on_the_page_is_not_taken_for_a_link(page):
    opened(page, "#losses=brier")
    page.evaluate(
        """() => new Promise((done) => {
            addEventListener("hashchange", () => setTimeout(done), { once: true });
            location.hash = "#lossviz-playground";
        })"""
    )
    assert page.locator("#playground-loss-0").input_value() == "brier"
    assert opened(page, "#lossviz-playground") == ("#lossviz-playground", "")


def test_an_address_that_is_typed_is_shown(page):
    opened(page, DEFAULT)
    page.evaluate("location.hash = '#losses=brier&noise=0.2'")
    page.wait_for_function(
        "document.getElementById('playground-loss-0').value === 'brier'"
        " && document.getElementById('playground-noise').value === '0.2'"
    )
    ready(page)


def test_losses_parameters_and_start_are_set_by_the_keyboard_alone(page):
    opened(page, "#losses=mae")
    page.locator(".playground-panel summary").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "playground-loss-0"
    page.keyboard.type("Focal")
    page.wait_for_function("location.hash === '#losses=focal'")
    assert page.evaluate("document.activeElement.id") == "playground-loss-0"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.hash === '#losses=focal&focal.gamma=2.1'")
    page.locator("#playground-start-1").press("ArrowLeft")
    page.wait_for_function("location.hash.endsWith('&start=-2.5,2.4')")
    page.locator("#playground-loss-1").press("End")
    page.wait_for_function("location.hash.startsWith('#losses=focal,')")
    ready(page)


def test_dragging_the_point_in_one_landscape_moves_it_in_all(page):
    opened(page, "#losses=mae,focal")
    handle = page.locator(".playground-planes .lossviz-handle").first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    page.mouse.move(box["x"] + 18, box["y"] + 18)
    page.mouse.down()
    page.mouse.move(box["x"] + 78, box["y"] + 58, steps=3)
    page.mouse.up()
    page.wait_for_function("location.hash.includes('&start=')")
    ready(page)
    starts = page.evaluate(
        "document.getElementById('lossviz-playground').playground.drawn.planes.slice(0, 2)"
        ".map(({ view }) => view.signal('start'))"
    )
    assert starts[0] == starts[1]
    assert starts[0][0] > -2 and starts[0][1] < 2


def test_every_control_has_a_label_and_every_picture_says_what_it_shows(page):
    opened(page, "#losses=focal,dpo")
    unlabelled = "all => all.filter((control) => !control.labels.length).length"
    assert page.locator("#lossviz-playground :is(input, select)").evaluate_all(unlabelled) == 0
    texts = page.locator("#lossviz-playground [role=img]").evaluate_all(
        "all => all.map((picture) => picture.ariaLabel)"
    )
    assert all(texts)
    assert any("Focal loss (gamma = 2)" in text for text in texts)


def test_a_phone_shows_all_of_it_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for link in (DEFAULT, "#losses=dpo,aldr_kl,ensloss"):
        opened(page, link)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1000, "height": 900})


def test_what_three_losses_load_beside_the_runtime_is_below_half_a_megabyte(scripts):
    weights = {name: len(gzip.compress(text.encode())) for name, text in scripts.items()}
    assert set(weights) == {"page.js", "page.css"} | {f"{key}.js" for key in KEYS}
    page = weights.pop("page.js") + weights.pop("page.css")
    assert page + sum(sorted(weights.values())[-3:]) < 500_000


def test_every_loss_is_there_but_those_of_embeddings_and_of_images():
    missing = [loss for key, loss in LOSSES.items() if key not in KEYS]
    assert {drawing(loss) for loss in missing} == {mask, pull}
