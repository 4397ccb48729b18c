"""Both policies in the picture are those of `lossviz.analysis`."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import best_of_n, kl_constrained_optimum
from lossviz.widgets import aligned
from lossviz.widgets.chapters.aligned import BUDGET, MOST, STOPS, proxies

from .controls import move_each
from .test_live_numbers import read


@pytest.fixture(scope="module")
def figure():
    return aligned()


@pytest.mark.parametrize("name", proxies())
def test_policies_and_rewards_are_those_of_the_analysis(name, figure, show, without_stills):
    page = show(figure.html())
    kind = proxies()[name]
    for stop, power in ((0, 0), (13, 3), (40, 5), (STOPS, MOST)):
        budget = BUDGET * stop / STOPS
        signals = {"proxy": name, "budget": budget, "power": power}
        fields = ["kl", "proxy", "truth"]
        drawn = read(page, signals, answers=["value", "weight", "best"], tilted=fields, best=fields)
        tilt = kl_constrained_optimum(kind.probability, kind.value, budget=budget)
        best = best_of_n(kind.probability, kind.value, samples=2**power)
        answers = drawn["answers"]
        for found, policy in ((answers["weight"], tilt.policy), (answers["best"], best.policy)):
            torch.testing.assert_close(found, policy, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(answers["value"], kind.value)
        for field, at, one in (("tilted", stop, tilt), ("best", power, best)):
            wanted = torch.stack([one.kl, one.reward, one.policy @ kind.truth])
            found = torch.stack([drawn[field][each][at] for each in fields])
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


def test_every_control_changes_picture_and_words(figure, show, without_stills):
    page = show(figure.html())
    move_each(page, figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 5.0}, "budget must lie in"),
        ({"power": 9}, "power be an int"),
        ({"proxy": "none"}, "proxy must be one of"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        aligned(**change)
