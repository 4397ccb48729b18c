"""The figures of the fused loss: their numbers are the plan's, the machine's and the kernel's."""

from __future__ import annotations

import functools
import math

import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from lossviz.kernels import plan
from lossviz.widgets import online, roofline
from lossviz.widgets.chapters.roofline import (
    BANDWIDTH,
    DTYPES,
    FLOOR,
    MACHINES,
    PEAK,
    SHAPES,
    B,
    D,
    N,
    V,
    methods,
)

from ..rest import rest
from .controls import move_each
from .test_live_numbers import read

SIZES = [*SHAPES.values(), (64, 256, 32), (100, 50000, 64), (65536, 128000, 1024)]
SIGNALS = """(names) => {
  const view = document.querySelector('.lossviz-stage').lossviz.view;
  return names.map((name) => view.signal(name));
}"""


def valued(form, sizes, dtype="bfloat16", machine="H200"):
    """A form of the table at these sizes."""
    chosen = MACHINES[machine]
    peak, bandwidth = 1e12 * getattr(chosen, dtype), 1e12 * chosen.bandwidth
    return float(compiled(form)(*sizes, DTYPES[dtype], peak, bandwidth))


@functools.cache
def compiled(form):
    return sp.lambdify((N, V, D, B, PEAK, BANDWIDTH), form, "math")


def trace(classes: int = 60, tiles: int = 6):
    """Running maximum and sum of random logits, each tile's maximum, and the logits."""
    logits = 3 * torch.randn(classes, generator=torch.Generator().manual_seed(0))
    size = classes // tiles
    heads = [logits[: (k + 1) * size] for k in range(tiles)]
    top = torch.stack([head.max() for head in heads])
    total = torch.stack([(head - head.max()).exp().sum() for head in heads])
    return top, total, logits.view(tiles, size).amax(1), logits


@pytest.fixture(params=["roofline", "online"])
def figure(request):
    if request.param == "roofline":
        return roofline()
    *columns, _ = trace()
    return online(*columns, [True, False] * 3, seen=2)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_of_our_methods_is_what_plan_foresees(sizes, dtype):
    kind = getattr(torch, dtype)
    chunked = plan(*sizes, kind, "cuda").bytes
    assert valued(methods()["chunked"].memory, sizes, dtype) == pytest.approx(chunked, rel=0.02)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_of_the_fused_method_is_what_plan_foresees(sizes, dtype):
    pytest.importorskip("triton")
    fused = plan(*sizes, getattr(torch, dtype), "cuda", impl="triton").bytes
    # plan rounds a chunk to whole tiles
    assert valued(methods()["fused"].memory, sizes, dtype) == pytest.approx(fused, rel=0.1)


def test_memory_of_the_eager_method_is_what_torch_allocates():
    sizes = rows, classes, features = 512, 1000, 16
    x = torch.randn(rows, features, requires_grad=True)
    w = torch.randn(classes, features, requires_grad=True)
    y = torch.randint(classes, (rows,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        F.cross_entropy(F.linear(x, w), y).backward()
    live = peak = 0
    events = record.profiler.kineto_results.events()
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes() if event.name() == "[memory]" else 0
        peak = max(peak, live)
    assert valued(methods()["eager"].memory, sizes, "float32") == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_time_of_the_chunked_method_adds_up_over_its_chunks(sizes, dtype):
    rows, classes, features = sizes
    size, machine = DTYPES[dtype], MACHINES["A100 80 GB"]
    told = plan(*sizes, getattr(torch, dtype), "cuda")
    height = rows if told.products == 4 else min(rows, 1024)
    width = told.tiling.columns if told.products == 4 else classes
    logits_made = input_grown = weight_grown = between = 0
    for start in range(0, rows, height):
        count = min(height, rows - start)
        weight, inputs, logits = classes * features, count * features, count * classes
        logits_made += (weight + inputs) * size + 4 * logits  # read both, write float32
        input_grown += (weight + logits) * size + 4 * inputs
        pieces = math.ceil(classes / width)  # each reads the inputs, and adds to their gradient
        logits_made += (pieces - 1) * inputs * size
        input_grown += (pieces - 1) * 4 * 2 * inputs
        weight_grown += (pieces * inputs + logits) * size + 4 * weight * (2 if start else 1)
        between += ((4 if told.products == 4 else 0) + 4 + 4 + size) * logits
    work = 2 * rows * classes * features / (1e12 * getattr(machine, dtype))
    bandwidth = 1e12 * machine.bandwidth
    made = [logits_made] * (told.products - 2)
    products = [max(work, b / bandwidth) for b in (*made, input_grown, weight_grown)]
    expected = sum(products) + between / bandwidth
    found = valued(methods()["chunked"].time, sizes, dtype, "A100 80 GB")
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("machine", MACHINES)
def test_no_method_is_faster_than_its_products_at_peak(sizes, machine):
    for dtype in DTYPES:
        floor = valued(FLOOR, sizes, dtype, machine)
        for key, method in methods().items():
            products = len(method.products)
            assert products == (4 if key == "fused" else 3)
            assert valued(method.time, sizes, dtype, machine) >= products / 3 * floor * (1 - 1e-12)


def test_gemma_head_in_bfloat16_has_the_floor_of_textbook_arithmetic():
    sizes = SHAPES["Gemma 2 (2B)"]
    assert 1e3 * valued(FLOOR, sizes) == pytest.approx(6 * 8192 * 256000 * 2304 / 989e9)
    assert valued(methods()["eager"].memory, sizes) == 3 * 8192 * 256000 * 2
    assert valued(methods()["fused"].time, sizes) == pytest.approx(4 / 3 * valued(FLOOR, sizes))


def test_roofline_draws_the_table(show):
    page = show(roofline().html())
    for dtype in DTYPES:
        for machine in MACHINES:
            for v, d in ((8, 5), (17.25, 11), (20, 14)):
                signals = {"dtype": dtype, "machine": machine, "v": v, "d": d}
                names = [f"{key}_{kind}" for key in methods() for kind in ("memory", "time")]
                drawn = read(page, signals, batches=["tokens", "floor", *names])["batches"]
                for index in (0, 17, 30, 56):
                    sizes = (int(drawn["tokens"][index]), round(2**v), round(2**d))
                    for name in names:
                        key, kind = name.split("_")
                        want = valued(getattr(methods()[key], kind), sizes, dtype, machine)
                        assert drawn[name][index].item() == pytest.approx(want, rel=1e-9), name
                    want = valued(FLOOR, sizes, dtype, machine)
                    assert drawn["floor"][index].item() == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_choosing_a_model_sets_the_sliders_to_its_sizes(shape, show):
    other = next(name for name in SHAPES if name != shape)
    page = show(roofline(shape=other).html())
    page.get_by_label("sizes as in", exact=True).select_option(shape)
    rest(page)
    assert tuple(page.evaluate(SIGNALS, ["tokens", "classes", "features"])) == SHAPES[shape]
    assert f"{SHAPES[shape][1]:,} classes" in page.locator(".lossviz-readout").inner_text()
    field = page.get_by_label("V: vocabulary", exact=True)
    assert abs(float(field.input_value()) - math.log2(SHAPES[shape][1])) <= 0.125
    assert field.get_attribute("aria-valuetext") == f"{SHAPES[shape][1]:,}"


def test_online_draws_the_log_sum_exp_of_what_was_walked(show):
    top, total, largest, logits = trace()
    page = show(online(top, total, largest, [False] * 6).html())
    rows = read(page, {"seen": 4}, tiles=["lse", "largest"], walked=["tile", "lse"])
    prefix = torch.stack([logits[: 10 * k].double().logsumexp(0) for k in range(1, 7)])
    torch.testing.assert_close(rows["tiles"]["lse"], prefix, rtol=0, atol=1e-5)
    assert rows["walked"]["tile"].tolist() == [1, 2, 3, 4]
    words = page.locator(".lossviz-readout").inner_text()
    assert words.startswith("After tile 4 of 6") and "leave this tile out" not in words


def test_online_says_which_tiles_may_be_left_out(show):
    *columns, _ = trace()
    page = show(online(*columns, [False, True] * 3, seen=2).html())
    assert "may leave this tile out" in page.locator(".lossviz-readout").inner_text()


def test_every_control_changes_picture_and_words(figure, show):
    page = show(figure.html())
    move_each(page, figure)


def test_still_pictures_are_small(figure):
    assert len(figure.still()) < 40_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roofline(shape="GPT-9"), "shape must be one of .* got 'GPT-9'"),
        (lambda: roofline(dtype="float64"), "dtype must be one of .* got 'float64'"),
        (lambda: online(*trace()[:3], [True] * 6, seen=7), r"seen must be an int in \[1, 6\]"),
        (lambda: online(*trace()[:3], [True] * 5), "skipped must have one entry for each of 6"),
        (lambda: online(*[torch.ones(1)] * 3, [True]), "at least two tiles, got shape"),
        (
            lambda: online(torch.tensor([1.0, math.inf]), *[torch.ones(2)] * 2, [True] * 2),
            "running_max must be finite, got inf",
        ),
    ],
)
def test_bad_input_is_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
