"""The figure of unequal classes: its optima are those of `lossviz.theory`."""

from __future__ import annotations

import pytest
import torch

from lossviz.theory import squared_error_optimum
from lossviz.widgets import minority

from .test_live_numbers import read

TRAINED = {1: [(2.0, 0.3)], 2: [(1.5, 0.7), (0.5, 0.0)], 3: [(4.0, 0.9)]}
pytestmark = pytest.mark.usefixtures("without_stills")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_classes_and_curve_are_the_optima_of_the_theory(depth, show):
    page = show(minority(TRAINED).html())
    for power, sizes in ((-1.0, (300, 60, 6)), (-2.5, (400, 1, 17)), (-0.5, (250, 251, 90))):
        signals = {"layers": str(depth), "power": power}
        signals |= {f"size{k}": size for k, size in enumerate(sizes)}
        fields = ["size", "own", "row", "feature"]
        drawn = read(page, signals, classes=fields, theory=fields, trained=["size", "own"])
        decay, total = 10**power, sum(sizes)
        optimum = squared_error_optimum(sizes, depth=depth, lambda_w=decay, lambda_h=decay / total)
        wanted = {
            "size": torch.tensor(sizes).double(),
            "own": optimum.product,
            "row": optimum.weight_norm,
            "feature": optimum.feature_norm,
        }
        for name, want in wanted.items():
            torch.testing.assert_close(drawn["classes"][name], want, rtol=1e-9, atol=1e-9)
        alive = drawn["theory"]["size"] / sizes[0]
        load = optimum.load[0] / alive
        assert (load <= optimum.threshold * (1 + 1e-9)).all()
        assert load[0].item() == pytest.approx(optimum.threshold)
        least = (optimum.load * torch.tensor(sizes) / optimum.threshold)[0]
        multiples, logits = zip(*TRAINED[depth], strict=True)
        wanted_sizes = torch.tensor(multiples, dtype=torch.float64) * least
        torch.testing.assert_close(drawn["trained"]["size"], wanted_sizes)
        assert drawn["trained"]["own"].tolist() == list(logits)
        # the curve passes through optima of one class among the others
        q, x = drawn["theory"]["own"], drawn["theory"]["own"] / (1 - drawn["theory"]["own"])
        slope = depth * x ** ((depth - 1) / depth) * (1 - q) ** 2
        torch.testing.assert_close(slope, load, rtol=1e-9, atol=1e-12)


def test_a_class_is_dragged_to_another_size_and_moves_the_threshold_of_all(show):
    page = show(minority(TRAINED).html())
    words = page.locator(".lossviz-readout").inner_text()
    box = page.locator(".lossviz-handle").nth(2).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=3)
    page.mouse.up()
    page.wait_for_function(
        "(old) => document.querySelector('.lossviz-readout').innerText !== old", arg=words
    )
    size = page.get_by_label("images of the small class", exact=True)
    assert int(size.input_value()) > 6
    size.press("Home")
    page.wait_for_function(
        "() => document.querySelector('.lossviz-readout').innerText.includes('small vanished')"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (300, 60, 0)}, r"three ints in \[1, 400\], got \(300, 60, 0\)"),
        ({"decay": 1.0}, r"decay must lie in \[0.003, 0.5\], got 1.0"),
        ({"depth": 4}, r"depth must be one of \(1, 2, 3\), got 4"),
        ({"trained": {1: []}}, r"must have the depths \(1, 2, 3\), got \[1\]"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        minority(**{"trained": TRAINED, **change})
