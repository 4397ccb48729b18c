"""The figure of an image under attack: it draws what it was given, in each of its states."""

from __future__ import annotations

import pytest
import torch

from lossviz.widgets import Attacked, bracket

from .test_live_numbers import read

RADII, LABELS = (0.0, 0.05, 0.1), (9, 4)


def attacked(seed):
    """Invented: images, predictions, and leads that rise with the radius and from left to right."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 64, generator=generator)
    steps = torch.rand(2, 3, 3, generator=generator, dtype=torch.float64)
    leads = steps.cumsum(1).cumsum(2) - 3
    return Attacked(images, torch.randint(10, (2, 3), generator=generator), leads)


NETWORKS = {"plain": attacked(0), "defended": attacked(1)}


@pytest.fixture(scope="module")
def figure():
    return bracket(NETWORKS, LABELS, RADII, image=1, radius=2)


def test_lines_and_pixels_are_those_given(figure, show):
    page = show(figure.html())
    for name, made in NETWORKS.items():
        for image in range(2):
            for radius in range(3):
                drawn = read(
                    page,
                    {"network": name, "chosen": image, "radius": radius},
                    course_rows=["radius", "attack", "exact", "relaxed"],
                    pixels=["value"],
                )
                lines = drawn["course_rows"]
                assert lines["radius"].tolist() == list(RADII)
                found = torch.stack([lines[n] for n in ("attack", "exact", "relaxed")], -1)
                torch.testing.assert_close(found, made.leads[image], rtol=0, atol=5.1e-5)
                pixels = drawn["pixels"]["value"]
                torch.testing.assert_close(
                    pixels, made.images[image, radius].double(), rtol=0, atol=5.1e-4
                )


def test_every_control_changes_picture_and_words(figure, show):
    page = show(figure.html())
    words = page.locator(".lossviz-readout")
    for label, key in (("radius", "ArrowLeft"), ("image", "ArrowLeft")):
        before = words.inner_text()
        page.get_by_label(label, exact=True).press(key)
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words",
            arg=before,
        )


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({}, "at least one network"),
        ({"plain": attacked(0)._replace(seen=torch.zeros(3, 2))}, r"networks\['plain'\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(networks, message):
    with pytest.raises(ValueError, match=message):
        bracket(networks, LABELS, RADII)
