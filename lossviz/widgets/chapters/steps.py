"""Live figure: logistic regression in the plane, from tiny gradient steps to enormous ones.

Eleven points, no bias, so a classifier is a direction in the plane. The path is computed in the
page, step after step, as a chain of signals, because Vega cannot loop.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ...experiments.perceptron import batch_perceptron, first_separation
from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, numeral, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

STEPS = 24
PLAIN, NORMALISED = "plain", "normalised"
SIGNS = (1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1)
# times its sign each point lies in the right half-plane, and the last one alone far below
SIGNED = (
    (0.45, 1.0),
    (0.25, 1.15),
    (0.7, 0.9),
    (0.35, 0.8),
    (0.1, 0.75),
    (0.55, 1.25),
    (0.15, 1.0),
    (0.3, 1.3),
    (0.7, 1.1),
    (0.5, 0.7),
    (0.2, -0.6),
)
REACH = 1.5
LOWEST, HIGHEST = 0.01, 100  # of the losses drawn
LEGEND = (
    ("'logistic regression; open dots: no mistake'", "path"),
    ("'perceptron'", "muted"),
)


def points() -> tuple[torch.Tensor, torch.Tensor]:
    """The figure's data: features (11, 2) in float64 and signs (11,)."""
    signs = torch.tensor(SIGNS)
    return torch.tensor(SIGNED, dtype=torch.float64) * signs[:, None], signs


def large_steps(*, step_size: float = 100.0, step: int = 4, descent: str = PLAIN) -> LiveFigure:
    """Gradient descent of logistic regression beside the perceptron that it becomes.

    `step_size` (0.1 to 1,000) and `step` (0 to 24) are the first state, `descent` is "plain" or
    "normalised" (divided by the mean weight of the points). Left the points with the boundary after
    the step; right, against the step, the direction of the weights, the loss, and in grey the
    perceptron of the same kind. Its numbers are those of `lossviz.experiments.perceptron`.

    Raises ValueError for arguments outside their ranges.
    """
    if not 0.1 <= step_size <= 1000:
        raise ValueError(f"step_size must lie in [0.1, 1000], got {step_size!r}")
    if step not in range(STEPS + 1):
        raise ValueError(f"step must be an int in [0, {STEPS}], got {step!r}")
    if descent not in (PLAIN, NORMALISED):
        raise ValueError(f"descent must be {PLAIN!r} or {NORMALISED!r}, got {descent!r}")
    controls: tuple[Slider | Choice, ...] = (
        Slider(
            "power",
            "γ: step size",
            -1,
            3,
            0.05,
            round(math.log10(step_size), 2),
            "the loss falls at every step (0.1)",
            "the perceptron (1,000)",
            shows="format(gamma, ',.3~r')",
        ),
        Slider("now", "step", 0, STEPS, 1, step, "all weights zero (0)", f"{STEPS}", plays=True),
        Choice("descent", "gradient descent", (PLAIN, NORMALISED), descent),
    )
    return two_plots(
        controls,
        LEGEND,
        (_boundaries(), _losses()),
        panes=("points", "loss"),
        signals=[
            signal("gamma", "pow(10, power)"),
            signal("whole", f"descent === '{PLAIN}'"),
            *_path_signals(),
            *_reading_signals(),
        ],
        readout=_readout(),
        data=_data(),
        alt=(
            f"Left, eleven points of two classes, the boundary after {step} steps of {descent} "
            f"gradient descent with step size {step_size:g}, and that of the perceptron. Right, "
            f"the logistic loss at each of {STEPS} steps."
        ),
        caption=(
            "Logistic regression in orange, the batch perceptron in grey: left their boundaries, "
            "with a ring around each point that the orange one does not have right; right the "
            f"logistic loss, drawn between {LOWEST:g} and {HIGHEST:g}."
        ),
    )


def _path_signals() -> list[dict[str, Any]]:
    """``walk``, the weights after each step, and ``losses`` and ``mistakes`` there.

    In step k ``m`` holds the margins of the points and ``s`` their softplus, so that a weight in
    the gradient is exp(-s) and a loss s - m. Normalised weights are shifted before the exponential.
    """
    each, rows = range(len(SIGNED)), range(STEPS + 1)
    signals = [signal("t0", "[0, 0]")]
    for k in rows:
        margins = [f"{x} * t{k}[0] + {y} * t{k}[1]" for x, y in SIGNED]
        soft = [f"max(m{k}[{i}], 0) + log(1 + exp(-abs(m{k}[{i}])))" for i in each]
        loss = " + ".join(f"s{k}[{i}] - m{k}[{i}]" for i in each)
        wrong = " + ".join(f"(m{k}[{i}] <= 0)" for i in each)
        weights = ", ".join(f"exp(b{k} - s{k}[{i}])" for i in each)
        total = " + ".join(f"w{k}[{i}]" for i in each)
        pull = [
            " + ".join(f"w{k}[{i}] * {point[axis]}" for i, point in enumerate(SIGNED))
            for axis in range(2)
        ]
        moved = ", ".join(f"t{k}[{axis}] + g{k} * ({pull[axis]})" for axis in range(2))
        signals += [
            signal(f"m{k}", f"[{', '.join(margins)}]"),
            signal(f"s{k}", f"[{', '.join(soft)}]"),
            signal(f"c{k}", f"({loss}) / {len(SIGNED)}"),
            signal(f"x{k}", wrong),
            signal(f"b{k}", f"whole ? 0 : min({', '.join(f's{k}[{i}]' for i in each)})"),
            signal(f"w{k}", f"[{weights}]"),
            signal(f"g{k}", f"gamma / (whole ? {len(SIGNED)} : {total})"),
            signal(f"t{k + 1}", f"[{moved}]"),
        ]
    collected = {"walk": "t", "losses": "c", "mistakes": "x", "margins": "m"}
    return signals + [
        signal(name, f"[{', '.join(f'{letter}{k}' for k in rows)}]")
        for name, letter in collected.items()
    ]


def _reading_signals() -> list[dict[str, Any]]:
    """The weights drawn, and when they made no mistake for the first time."""
    return [
        signal("weights", "walk[now]"),
        signal("rival", f"whole ? {_perceptron(False).tolist()} : {_perceptron(True).tolist()}"),
        signal("first", "indexof(mistakes, 0)"),
        signal(
            "arrival",
            "first < 0 ? "
            f"'still mistakes at step {STEPS}' : 'first without a mistake at step ' + first",
        ),
    ]


def _readout() -> str:
    """The sentence below the figure."""
    arrivals = {
        normalized: first_separation(_perceptron(normalized), *points())
        for normalized in (False, True)
    }
    return (
        "'Step size ' + power_text + ', after step ' + now + ': loss '"
        f" + {numeral('losses[now]')} + ', ' + mistakes[now]"
        f" + ' of {len(SIGNED)} points wrong or undecided; ' + arrival"
        f" + ', the perceptron at step ' + (whole ? {arrivals[False]} : {arrivals[True]})"
        " + '.'"
    )


def _perceptron(normalized: bool) -> torch.Tensor:
    return batch_perceptron(*points(), steps=STEPS, normalized=normalized)


def _data() -> list[dict[str, Any]]:
    features, signs = points()
    rows = [
        {"x": x, "y": y, "sign": sign, "index": i}
        for i, ((x, y), sign) in enumerate(zip(features.tolist(), signs.tolist(), strict=True))
    ]
    return [
        # what depends on no signal comes first, so that it is computed once
        {"name": "points", "values": rows},
        table(
            "steps",
            STEPS + 1,
            formula("x", "walk[datum.index][0]"),
            formula("y", "walk[datum.index][1]"),
            formula("loss", "losses[datum.index]"),
            formula("mistakes", "mistakes[datum.index]"),
            formula("drawn", f"clamp(datum.loss, {LOWEST}, {HIGHEST})"),
        ),
    ]


def _boundaries() -> Plot:
    """The plane of the data with both boundaries."""
    span = f"[-{REACH}, {REACH}]"
    marks = [
        _boundary("rival[now]", "reference", 7),
        _boundary("weights", "path", 2.5),
        symbols(
            "points",
            "datum.x",
            "datum.y",
            size=110,
            shape="datum.sign > 0 ? 'circle' : 'square'",
            fill="datum.sign > 0 ? subject : surface",
            stroke="subject",
            strokeWidth=2,
        ),
        symbols(
            "points",
            "datum.x",
            "datum.y",
            size="margins[now][datum.index] <= 0 ? 380 : 0",
            stroke="path",
            strokeWidth=2,
        ),
    ]
    return axis("first feature", span), axis("second feature", span), marks


def _boundary(weights: str, colour: str, width: float) -> dict[str, Any]:
    """The line across the weights, which has no direction while they are zero."""
    size = f"max(sqrt({weights}[0] * {weights}[0] + {weights}[1] * {weights}[1]), 1e-12)"
    across = [f"{sign}{4 * REACH} * {weights}[{{}}] / {size}" for sign in ("", "-")]
    first, second = ((one.format(1), other.format(0)) for one, other in (across, across[::-1]))
    return rule((first[0], second[0]), (first[1], second[1]), colour, width)


def _losses() -> Plot:
    """The loss against the step, with what is right and what is not."""
    marks = [
        rule(("now", "now"), (str(LOWEST), str(HIGHEST)), "muted", 1),
        line("steps", "datum.index", "datum.drawn", "path", 1.5),
        symbols(
            "steps",
            "datum.index",
            "datum.drawn",
            size=50,
            fill="datum.mistakes ? path : surface",
            stroke="path",
            strokeWidth=2,
        ),
    ]
    return (
        axis("step", f"[-0.5, {STEPS + 0.5}]", zero=False),
        axis("mean logistic loss", f"[{LOWEST}, {HIGHEST}]", type="log"),
        marks,
    )
