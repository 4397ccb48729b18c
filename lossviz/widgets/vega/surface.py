"""Live figure: a surface known only as numbers, such as a training loss on a plane of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..live import Choice, LiveFigure, Slider
from .contours import (
    FOOT,
    HELD,
    TOP,
    areas,
    colour_key,
    contour_data,
    handle,
    level_scale,
    pointer,
    square,
)
from .frame import figure, formula, in_pane, mark, numeral, signal, table
from .plot import axis, dot, line, plot

MOST_LEVELS, MOST_BENT = 12, 10  # small levels have long names
PARTS = 500  # steps that the range of the values is kept in, at least: finer than a pixel
LEFT, GAP, LABELS = 60, 66, 44


def surface(
    values: ArrayLike,
    x: Slider,
    y: Slider,
    *,
    title: str,
    value: str = "loss",
    frames: Slider | Choice | Sequence[Slider | Choice] = (),
    path: ArrayLike | None = None,
    path_name: str = "path",
    log: bool = False,
    bent: bool = False,
    caption: str = "",
) -> LiveFigure:
    """Numbers on a grid as contours, and as curves along both axes through a point that moves.

    Parameters
    ----------
    values : array (rows, columns), or (frames..., rows, columns), finite. Columns belong to the
        stops of `x`, rows to those of `y`, from the lowest up, as many of one as of the other.
    x, y : sliders for the two coordinates; their values are where the point starts. It rests on
        their stops only, so that every number in the figure was computed, none interpolated.
    title, value : what is drawn, and the name of the quantity with its unit, default "loss".
    frames : the control that chooses among the frames, with as many stops or options, or several,
        each with an axis of its own in `values`; none (default) for a single frame.
    path : array (points, 2) of places (x, y), drawn as a line, or None (default); `path_name` says
        what it is.
    log : contour levels in equal ratios and curves on a logarithmic scale, default False.
    bent : the same away from 0, and linear near it, for values of any sign of which few are large;
        default False.
    caption : the text below; by default it says what is drawn.

    Returns
    -------
    The figure. Values are kept to a five-hundredth of their range or finer, where `log` to four
    digits of each and where `bent` to three.

    Raises
    ------
    TypeError for controls of another kind; ValueError for values of a wrong shape, not finite, all
    equal, or not above 0 where `log`, and for a path of a wrong shape.
    """
    chosen = tuple(frames) if isinstance(frames, Sequence) else (frames,)
    stack = _checked(values, x, y, chosen, log)
    points = np.zeros((0, 2)) if path is None else np.asarray(path, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"path must be finite and have shape (points, 2), got {points.shape}")
    ends = float(stack.min()), float(stack.max())
    levels = _bent_levels(*ends) if bent else _levels(*ends, log)
    drawn = f"{title}: {value} as contours over {x.label} (across) and {y.label} (up)"
    at = "".join(f", at {control.label} {_plain(control.value)}" for control in chosen)
    where = f"{x.label} {_plain(x.value)}, {y.label} {_plain(y.value)}"
    numbers = _quantised(stack, 4 if log else 3 if bent else 0)
    up = _up(numbers, value, levels, log, bent)
    count = len(x.stops)
    return figure(
        (*chosen, x, y),
        moves=_moves(x, y),
        layout=[*_layout_signals(), pointer("drag", "surface")],
        height=f"{TOP + FOOT} + side",
        signals=[
            {"name": "stack", "value": numbers},
            {"name": "levels", "value": levels},
            *_reading_signals(x, y, chosen),
        ],
        readout=_readout(x, y, value),
        data=[
            *contour_data(
                "surface", (count, count), "side", [formula("value", "shown[datum.index]")]
            ),
            _cut("across", x, f"row * {count} + datum.index"),
            _cut("upwards", y, f"({count - 1} - datum.index) * {count} + column"),
            {"name": "path", "values": [{"x": p, "y": q} for p, q in points.round(6).tolist()]},
        ],
        scales=[level_scale(_anchors(levels))],
        marks=[
            in_pane(0, _picture(x, y)),
            in_pane(1, _panel("across", x, f"{TOP}", up)),
            in_pane(1, _panel("upwards", y, f"{TOP} + panel_height + {LABELS}", up)),
            in_pane(0, colour_key(levels, value, LEFT)),
        ],
        panes=("surface", "cuts"),
        alt=(
            f"{drawn}{at}{f', with the {path_name} as a line' if len(points) else ''}. Two "
            f"curves show the {value} along either axis through the point at {where}."
        ),
        caption=caption or f"{drawn}. The curves are the cuts through the large dot.",
        handles=(handle(x.signal, y.signal),),
        renderer="canvas",
    )


def _checked(
    values: ArrayLike, x: Slider, y: Slider, frames: Sequence[Slider | Choice], log: bool
) -> np.ndarray:
    """The values (frames, rows, columns)."""
    for name, control in (("x", x), ("y", y)):
        if not isinstance(control, Slider):
            raise TypeError(f"{name} must be a Slider, got {type(control).__name__}")
    for frame in frames:
        if not isinstance(frame, Slider | Choice):
            raise TypeError(f"frames must be a Slider or a Choice, got {type(frame).__name__}")
    if len(x.stops) != len(y.stops):
        raise ValueError(f"x and y must have as many stops, got {len(x.stops)} and {len(y.stops)}")
    stack = np.asarray(values, dtype=float)
    shape = *(len(control.stops) for control in frames), len(y.stops), len(x.stops)
    if stack.shape != shape:
        raise ValueError(
            f"values must have one entry for each stop of the controls, shape {shape}, "
            f"got {stack.shape}"
        )
    if not np.isfinite(stack).all():
        raise ValueError("values must be finite, got NaN or infinity")
    if not stack.min() < stack.max():
        raise ValueError(f"values must differ, got {stack.min():g} everywhere")
    if log and stack.min() <= 0:
        raise ValueError(f"values must be above 0 on a log scale, got {stack.min():g}")
    return stack.reshape(-1, *shape[-2:])


def _quantised(stack: np.ndarray, digits: int) -> list[list[float]]:
    """One list a frame, from the top left and along the rows: to `digits`, or to equal steps."""
    if digits:
        return [[float(f"{v:.{digits}g}") for v in frame[::-1].ravel()] for frame in stack]
    finest = float(np.ptp(stack)) / PARTS
    places = -math.floor(math.log10(finest))
    step = next((s for s in (5, 2) if s * 10.0**-places <= finest), 1)
    whole = np.round(stack[:, ::-1] * 10.0**places / step) * step
    return [(np.round(frame / 10.0**places, places) + 0.0).ravel().tolist() for frame in whole]


def _levels(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from just above `low` to just below `high`, at most MOST_LEVELS."""
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [float(f"{s}e{d}") for d in decades for s in steps if low < s * 10**d < high]
            if len(found) <= MOST_LEVELS:
                break
    else:
        power = 10.0 ** math.floor(math.log10((high - low) / MOST_LEVELS))
        gap = power * next(s for s in (1, 2, 5, 10) if s * power * MOST_LEVELS >= high - low)
        digits = -math.floor(math.log10(gap))  # of the 1, 2 or 5 that the levels are multiples of
        multiples = range(math.floor(low / gap) + 1, math.ceil(high / gap))
        found = [round(k * gap, digits) + 0.0 for k in multiples]
    return found or [(low + high) / 2]


def _bent_levels(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 and 5 and powers of ten on both sides of 0: the largest of them."""
    top = math.ceil(math.log10(max(-low, high)))
    sizes = [float(f"{s}e{d}") for d in range(top, top - MOST_LEVELS, -1) for s in (5, 2, 1)]
    found = [level for size in sizes for level in (size, -size) if low < level < high]
    return sorted(found[:MOST_BENT])


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _anchors(levels: list[float]) -> list[float]:
    """Where the ramp's colours stand: at equal steps of the levels."""
    places = np.linspace(0, len(levels) - 1, 5)
    return sorted(np.interp(places, range(len(levels)), levels).tolist())


def _up(
    stack: list[list[float]], value: str, levels: list[float], log: bool, bent: bool
) -> dict[str, Any]:
    """The axis of the curves, with the contours' levels as its ticks."""
    low, high = min(map(min, stack)), max(map(max, stack))
    look: dict[str, Any] = {"labelOverlap": "greedy", "grid": True}
    if bent:
        linear = float(np.median(np.abs(levels)))
        ticks = [0, *(level for level in levels if abs(level) >= linear)]
        scale: dict[str, Any] = {"type": "symlog", "constant": linear}
        look |= {"values": [tick for tick in ticks if low <= tick <= high], "format": "~r"}
    else:
        scale = {"type": "log" if log else "linear"}
        look |= {"values": levels}
    room = low if log or bent else low - 0.04 * (high - low)
    return axis(value, f"[{room!r}, {high!r}]", look=look, zero=False, **scale)


def _layout_signals() -> list[dict[str, Any]]:
    """Curves beside the picture where there is room."""
    return [
        signal("panel", f"wide ? container * 0.33 : container - {LEFT + 10}"),
        signal(
            "side",
            f"wide ? container - panel - {LEFT + GAP + 10} : min(container - {LEFT + 10}, 420)",
        ),
        signal("panel_height", f"(side - {LABELS}) / 2"),
        signal("panel_x", f"{LEFT} + (wide ? side + {GAP} : 0)"),
    ]


def _moves(x: Slider, y: Slider) -> dict[str, dict[str, str]]:
    """How dragging sets the coordinates of the point: to the nearest stops."""
    moves = {}
    for control, pixel in ((x, f"drag[0] - {LEFT}"), (y, f"{TOP} + side - drag[1]")):
        steps = len(control.stops) - 1
        stop = f"clamp(round(({pixel}) / side * {steps}), 0, {steps})"
        moves[control.signal] = {"drag": f"{control.start!r} + {control.step!r} * {stop}"}
    return moves


def _reading_signals(
    x: Slider, y: Slider, frames: Sequence[Slider | Choice]
) -> list[dict[str, Any]]:
    """Which numbers are shown."""
    count = len(x.stops)
    frame = "0"
    for control in frames:
        frame = f"({frame}) * {len(control.stops)} + {control.position}"
    return [
        signal("shown", f"stack[{frame}]"),
        signal("column", x.position),
        signal("row", f"{count - 1} - {y.position}"),
        signal("here", f"shown[row * {count} + column]"),
        signal("at", f"[{LEFT} + {_along(x, x.signal)}, {TOP} + side - {_along(y, y.signal)}]"),
        HELD,
        signal("ends", "extent(shown)"),
    ]


def _readout(x: Slider, y: Slider, value: str) -> str:
    """The sentence below the figure."""
    places = " + ' and ' + ".join(
        f"{control.label.split(':')[0] + ' = '!r} + {control.signal}_text" for control in (x, y)
    )
    name = value[:1].upper() + value[1:]
    return (
        f"{name + ': '!r} + {numeral('here', 4)} + ' where ' + {places} + '; in this picture from '"
        f" + {numeral('ends[0]', 4)} + ' to ' + {numeral('ends[1]', 4)} + '.'"
    )


def _along(slider: Slider, place: str) -> str:
    """Pixels from the low end of an axis of the picture."""
    return f"side * ({place} - {slider.start!r}) / {slider.stop - slider.start!r}"


def _cut(name: str, slider: Slider, index: str) -> dict[str, Any]:
    """The rows of a curve through the point; `index` is the place of its value ``datum.index``."""
    return table(
        name,
        len(slider.stops),
        formula("place", f"{slider.start!r} + {slider.step!r} * datum.index"),
        formula("value", f"shown[{index}]"),
    )


def _axis(slider: Slider) -> dict[str, Any]:
    domain = f"[{slider.start!r}, {slider.stop!r}]"
    return axis(slider.label, domain, look={"tickCount": 5}, zero=False)


def _picture(x: Slider, y: Slider) -> dict[str, Any]:
    place = {"x": _along(x, "datum.x"), "y": f"side - {_along(y, 'datum.y')}"}
    marks = [
        areas("surface", f"side / {len(x.stops) - 1}", "datum.contour.value"),
        mark("line", "path", **place, stroke="path", strokeWidth=2),
        mark("symbol", "path", **place, stroke="path", fill="path", size=14),
    ]
    point = _along(x, x.signal), f"side - {_along(y, y.signal)}"
    return square("surface", _axis(x), _axis(y), marks, point, left=LEFT)


def _panel(name: str, along: Slider, y: str, up: dict[str, Any]) -> dict[str, Any]:
    """The curve through the point along one axis."""
    box = ("panel_x", y, "panel", "panel_height")
    curve = line(name, "datum.place", "datum.value", "subject")
    return plot(box, _axis(along), up, [curve], above=[dot(along.signal, "here", "path")])
