"""The pictures of the explorer, by matplotlib: one landscape on two planes, or several compared."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure

from ..loss.flow import TIMES
from ..loss.plane import BASIS, EXAMPLES, Landscape
from ..loss.views import EXTENT
from ..vega.palette import CYCLE, LIGHT, matplotlib_style
from .evaluation import MARGIN, Evaluation

LEVELS = 14
APART = 1.8  # units of the plane between dots whose times can both be written
STYLES = ("-", "--", ":")  # for whoever does not see colours apart
# Without the darkest colour of the ramp, on which lines and arrows would not be seen.
COLOURS = LinearSegmentedColormap.from_list("landscape", LIGHT.ramp[:-1])


def single(target: int, seen: Evaluation) -> str:
    """One landscape on the plane of logits and on the simplex, as an HTML figure."""
    values = seen.landscape.values
    finite = values[values.isfinite()]
    alt = (
        f"Landscape of {seen.name} for target class {target} of three, on the zero-sum logit plane "
        f"and on the probability simplex: filled level sets from {finite.min():.3g} to "
        f"{finite.max():.3g}, arrows downhill, and the gradient-flow path."
    )
    with _look():
        figure = Figure(figsize=(9.6, 4.8))
        logits = figure.add_axes((0.07, 0.12, 0.4, 0.8), aspect="equal")
        simplex = figure.add_axes((0.55, 0.12, 0.4, 0.8), aspect="equal")
        levels = _levels(_finite(seen.landscape))
        _logit_plane(logits, seen, levels)
        logits.set(title="Logit plane")
        points = seen.landscape.points
        _level_sets(simplex, _to_simplex(points), values, levels)
        _path(simplex, _to_simplex(seen.path.points), seen.path.times, labels=False)
        simplex.set(title="Probability simplex")
        simplex.set_axis_off()
        for index, corner in enumerate(BASIS.T.tolist()):
            weight = "bold" if index == target else "normal"
            x, y = (1.1 * coordinate for coordinate in corner)
            simplex.text(x, y, str(index), weight=weight, ha="center", va="center")
        return _html(figure, alt, _sentences(target, seen))


def several(target: int, compared: Sequence[Evaluation]) -> str:
    """Loss, pull and weight over the margin, and landscapes side by side on the same colours."""
    names = "; ".join(seen.name for seen in compared)
    alt = (
        f"Landscape of {names} for target class {target} of three, beside each other with the "
        "gradient-flow path from the same start; above them loss, pull and weight over the margin "
        "of the target."
    )
    with _look():
        figure = Figure(figsize=(9.6, 7.2))
        for k, what in enumerate(("loss", "pull (minus the slope)", "weight beside cross-entropy")):
            ax = figure.add_axes((0.06 + 0.33 * k, 0.57, 0.26, 0.3))
            for seen, colour, style in zip(compared, CYCLE, STYLES, strict=False):
                margins, values, pull = seen.curve
                rows = (values, pull, pull / torch.sigmoid(-margins))
                ax.plot(margins, rows[k], style, color=colour, label=seen.name)
            for p in EXAMPLES.values():
                ax.axvline(np.log(p / (1 - p)), color=LIGHT.muted, linestyle=":", linewidth=1)
            ax.set(xlabel="margin of the target (nats)", ylabel=what, xlim=(-MARGIN, MARGIN))
            ax.grid(True)
        figure.legend(*ax.get_legend_handles_labels(), loc="upper left")
        levels = _levels(np.concatenate([_finite(seen.landscape) for seen in compared]))
        width = 0.95 / len(compared)
        for k, seen in enumerate(compared):
            box = (0.06 + width * k, 0.07, width - 0.05, 0.38)
            ax = figure.add_axes(box, aspect="equal")
            _logit_plane(ax, seen, levels)
            ax.set_title(seen.title, fontsize=10)
            if k:
                ax.set_ylabel("")
        return _html(
            figure,
            alt,
            " ".join(f"{_sentences(target, seen)} {_shares(seen)}" for seen in compared),
        )


def _look() -> Any:
    style: Any = matplotlib_style() | {"axes.grid": False, "savefig.bbox": "standard"}
    return matplotlib.rc_context(style)


def _html(figure: Figure, alt: str, caption: str) -> str:
    """An HTML figure: PNG, text alternative and caption."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96)
    png = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{png}" alt="{html.escape(alt)}" '
        f'style="max-width: 100%"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def _sentences(target: int, seen: Evaluation) -> str:
    """Where the path leads, and the notes."""
    path = seen.path
    finite = path.values.isfinite()
    where = f"{seen.name}. Gradient flow from ({path.points[0][0]:.1f}, {path.points[0][1]:.1f})"
    if not finite[0]:
        return " ".join([f"{where} has no beginning: the loss there is not finite.", *seen.notes])
    last = int(finite.nonzero()[-1])
    end = torch.softmax(path.points[last] @ BASIS.to(path.points.dtype), dim=0)[target]
    told = (
        f"{where}: at time {path.times[last]:.3g} the loss has gone from {path.values[0]:.3g} to "
        f"{path.values[last]:.3g} and the target's probability is {end:.3f}."
    )
    return " ".join([told, *seen.notes])


def _shares(seen: Evaluation) -> str:
    """How the pull of the three examples is divided."""
    pulls = seen.examples[1].abs()
    shares = ", ".join(
        f"the {name} one (label at {p:.0%}) {share:.0%}"
        for (name, p), share in zip(EXAMPLES.items(), pulls / pulls.sum(), strict=True)
    )
    return f"Of the pull of three examples {shares}."


def _logit_plane(ax: Axes, seen: Evaluation, levels: np.ndarray) -> None:
    side = (-EXTENT, EXTENT)
    _level_sets(ax, seen.landscape.points, seen.landscape.values, levels)
    _arrows(ax, seen.landscape)
    _path(ax, seen.path.points, seen.path.times)
    ax.set(xlim=side, ylim=side)
    ax.set(xlabel="u: class 0 against the others", ylabel="v: class 1 against class 2")


def _finite(landscape: Landscape) -> np.ndarray:
    values = landscape.values.double().numpy()
    return values[np.isfinite(values)]


def _levels(values: np.ndarray) -> np.ndarray:
    """Levels with equal areas between them: a loss may be flat, or reach e^15, and show a shape."""
    levels = np.quantile(values, np.linspace(0, 1, LEVELS + 1))
    rises = np.diff(levels) > 1e-5 * np.abs(levels[1:])  # less is rounding, not shape
    levels = np.concatenate([levels[:1], levels[1:][rises]])
    if len(levels) < 3:
        return levels[0] + np.linspace(-1, 1, LEVELS + 1)
    return levels


def _level_sets(ax: Axes, points: torch.Tensor, values: torch.Tensor, levels: np.ndarray) -> None:
    """Filled level sets with lines; where the loss is not finite there are hatches instead."""
    x, y = points.double().unbind(-1)
    numbers = values.double().numpy()
    norm = BoundaryNorm(levels, COLOURS.N)
    heights = np.ma.masked_invalid(numbers)
    ax.contourf(x, y, heights, levels=levels, cmap=COLOURS, norm=norm, extend="both")
    lines = ax.contour(x, y, heights, levels=levels[1:-1], colors=LIGHT.ink, linewidths=0.4)
    ax.clabel(lines, levels=levels[1:-1:3], fmt="%.2g", fontsize=8)
    if heights.mask.any():
        hatched: dict[str, Any] = {"levels": [0.5, 1.5], "colors": "none", "hatches": ["////"]}
        ax.contourf(x, y, ~np.isfinite(numbers) * 1.0, **hatched)


def _arrows(ax: Axes, landscape: Landscape) -> None:
    """Downhill directions; lengths are compressed so that both steep and flat parts are seen."""
    every = slice(2, None, max(1, len(landscape.axis) // 12))
    downhill = landscape.downhill[every, every].double()
    speed = downhill.norm(dim=-1, keepdim=True)
    arrows = downhill / (speed + speed[speed.isfinite()].median().clamp(min=1e-12))
    u, v = landscape.points[every, every].double().unbind(-1)
    ax.quiver(u, v, *arrows.unbind(-1), angles="xy", scale_units="xy", scale=1, color=LIGHT.ink)


def _path(ax: Axes, points: torch.Tensor, times: torch.Tensor, labels: bool = True) -> None:
    """The path, a ring at its start and dots at the times that live figures mark."""
    ax.plot(*points.T, color=LIGHT.path, linewidth=2.5)
    ax.plot(*points[0], "o", color=LIGHT.path, markersize=9, fillstyle="none", markeredgewidth=2)
    last = math.inf, math.inf
    for time in TIMES:
        if time <= times[-1]:
            x, y = (float(np.interp(time, times, along)) for along in points.T)
            ax.plot(x, y, "o", color=LIGHT.path, markersize=6)
            if labels and math.dist((x, y), last) > APART:
                ax.annotate(f"t = {time}", (x, y), (0, 7), textcoords="offset points", ha="center")
                last = x, y


def _to_simplex(points: torch.Tensor) -> torch.Tensor:
    """Softmax of the logits at points of the plane, drawn by the same basis."""
    basis = BASIS.to(points.dtype)
    return torch.softmax(points @ basis, dim=-1) @ basis.T
