"""The figure of reward and entropy: what it draws is the mean of what was recorded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lossviz.widgets import TrainingPath, entropy_paths

from .test_live_numbers import read

STEPS = (0, 10, 40, 100)


def paths() -> dict[str, TrainingPath]:
    """Three methods of five runs, the second of which earns more than the first ever does."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, reach in (("plain", 0.7), ("careful", 0.9), ("slow", 0.5)):
        noise = 0.01 * torch.rand(3, len(STEPS), 5, generator=generator).double()
        reward = 0.2 + (reach - 0.2) * torch.linspace(0, 1, len(STEPS))[:, None] + noise[0]
        found[name] = TrainingPath(reward, 2.5 * (1 - reward) + noise[1], 4 - 3 * reward + noise[2])
    return found


@pytest.mark.usefixtures("without_stills")
@pytest.mark.parametrize("method", ["careful", "slow"])
def test_lines_are_means_over_the_runs_up_to_the_step(method, show):
    page = show(entropy_paths(paths(), STEPS).html())
    for now in (0, 2, 3):
        drawn = read(
            page,
            {"method": method, "now": now},
            baseline=list(TrainingPath._fields),
            travelled=list(TrainingPath._fields),
        )
        for field in TrainingPath._fields:
            for name, data, upto in (("plain", "baseline", 4), (method, "travelled", now + 1)):
                wanted = getattr(paths()[name], field).mean(1)[:upto]
                torch.testing.assert_close(drawn[data][field], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("without_stills")
def test_words_compare_with_the_first_method_at_the_same_reward(show):
    page = show(entropy_paths(paths(), STEPS).html())
    base = TrainingPath(*(value.mean(1).numpy() for value in paths()["plain"]))
    for method in ("careful", "slow"):
        for now, reward in enumerate(paths()[method].reward.mean(1).tolist()):
            read(page, {"method": method, "now": now}, travelled=["reward"])
            found, words = page.evaluate(
                "['matched', 'readout'].map("
                "(x) => document.querySelector('.lossviz-stage').lossviz.view.signal(x))"
            )
            if reward > base.reward.max():
                assert found is None
                assert "plain never earns as much." in words
            else:
                wanted = np.interp(reward, base.reward, base.answers)
                assert found == pytest.approx(wanted, abs=1e-9)
                assert f"plain has {wanted:.2f} where it earns the same." in words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": {}}, r"paths must name at least two methods, got \[\]"),
        ({"steps": (0, 10, 10, 100)}, "steps must be at least two numbers that rise"),
        ({"step": 7}, r"step must be one of \[0, 10, 40, 100\], got 7"),
        ({"method": "plain"}, r"method must be one of \['careful', 'slow'\], got 'plain'"),
        ({"steps": (0, 10, 40)}, r"reward of 'plain' must be \(3, R\) like reward, got \(4, 5\)"),
    ],
)
def test_bad_recordings_are_clear_errors(change, message):
    options = {"paths": paths(), "steps": STEPS} | change
    with pytest.raises(ValueError, match=message):
        entropy_paths(options.pop("paths"), options.pop("steps"), **options)
