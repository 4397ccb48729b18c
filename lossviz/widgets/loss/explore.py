"""Explore any torch loss of three class logits in JupyterLab: sliders from its signature."""

from __future__ import annotations

import base64
import difflib
import html
import inspect
import io
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import anywidget
import ipywidgets as widgets
import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure

from ... import losses
from ...declaration.inputs import BATCH, Argument
from ...declaration.kinds import LOGITS, TEACHER
from ...losses import Loss
from ..vega.palette import LIGHT, matplotlib_style
from . import plane as plane_module
from .flow import TIMES
from .plane import BASIS, FlowPath, Landscape, PlaneLoss
from .views import EXTENT

NOT_SLIDERS = ("reduction", "ignore_index", "weight")
TEACHER_LOGIT = 2.0
LEVELS = 14
WIDE = {"description_width": "9em"}
# Without the darkest colour of the ramp, on which lines and arrows would not be seen.
COLOURS = LinearSegmentedColormap.from_list("landscape", LIGHT.ramp[:-1])

Range = tuple[float, float] | tuple[float, float, float]


def explore(
    f: Loss | str | Callable[..., torch.Tensor],
    *,
    ranges: Mapping[str, Range] | None = None,
    choices: Mapping[str, Sequence[Any]] | None = None,
    start: tuple[float, float] = (-3.0, 1.0),
) -> Explorer:
    """Landscape, level sets, gradient field and gradient-flow path of a loss, under sliders.

    Parameters
    ----------
    f : a declared loss, its registry key or function, or any torch function (or nn.Module)
        ``f(logits, target, **params)`` of logits (N, 3) and integer labels (N,), which returns one
        value per example or a scalar mean or sum. The logits of a teacher are 2 for the target
        class and 0 for the others; class counts are 90, 9 and 1.
    ranges : (low, high) or (low, high, step) of sliders by parameter name. Without it a slider
        takes its range from the declaration, from an annotation ``Annotated[float, (0, 3)]``, or
        reaches from zero to twice the default ([-1, 1] for a default of zero).
    choices : values of a dropdown by parameter name, as is done for ``Literal`` annotations.
    start : where the path starts, in the coordinates (u, v) of the zero-sum plane, each in [-6, 6].

    Raises
    ------
    TypeError if `f` cannot be called as above, or a range is not a pair of numbers; ValueError for
    an unknown registry key, an unknown parameter in `ranges` or `choices`, an empty range, or a
    start outside the plane. A mistake inside `f` does not raise: the widget shows it in place of
    the picture, until a control is moved to where `f` works.

    Examples
    --------
    >>> def tempered(logits, target, temperature=1.0):
    ...     return torch.nn.functional.cross_entropy(logits / temperature, target)
    >>> explore(tempered, ranges={"temperature": (0.1, 5)})  # doctest: +SKIP
    """
    title, function, controls = _read(f, dict(ranges or {}), dict(choices or {}))
    if len(start) != 2 or not all(-EXTENT <= coordinate <= EXTENT for coordinate in start):
        raise ValueError(f"start must be two numbers in [-{EXTENT:g}, {EXTENT:g}], got {start}")
    return Explorer(title, function, controls, start)


class Explorer(widgets.VBox):
    """The widget that `explore` returns: controls above one picture, or above a message.

    `controls` maps parameter names to their ipywidgets. `picture` is an HTML widget (an
    ipywidgets.Image has no text alternative).
    """

    def __init__(
        self,
        title: str,
        function: Callable[..., torch.Tensor],
        controls: dict[str, widgets.ValueWidget],
        start: tuple[float, float],
    ) -> None:
        self.title = title
        self.function = function
        self.controls = controls
        self.target = widgets.Dropdown(
            options=[0, 1, 2], value=0, description="target class", style=WIDE
        )
        self.start = tuple(
            widgets.FloatSlider(
                value=value, min=-EXTENT, max=EXTENT, step=0.1, description=name, style=WIDE
            )
            for name, value in zip(("path starts at u", "path starts at v"), start, strict=True)
        )
        self.picture = widgets.HTML()
        handles = [*controls.values(), self.target, *self.start]
        for handle in handles:
            handle.observe(self._redraw, names="value")
        super().__init__([*handles, self.picture, _Keyboard()])
        self.add_class("lossviz-explorer")
        self._redraw()

    def _redraw(self, _change: Any = None) -> None:
        parameters = {name: control.value for name, control in self.controls.items()}
        target = self.target.value
        try:
            loss = PlaneLoss(lambda z, y: self.function(z, y, **parameters), target)
            landscape = loss.landscape()
            path = loss.flow(tuple(slider.value for slider in self.start))
            settings = ", ".join(f"{name} = {value}" for name, value in parameters.items())
            name = f"{self.title} ({settings})" if settings else self.title
            self.picture.value = _figure(name, target, landscape, path)
        except Exception as error:  # the reader's function may raise anything at all
            self.picture.value = _message(error)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Add a still picture for the static page; JupyterLab prefers the widget."""
        still = self.picture.value.replace(
            "</figcaption>", " Run this chapter in JupyterLab to move the sliders.</figcaption>"
        )
        return super()._repr_mimebundle_(**kwargs) | {"text/html": still}


class _Keyboard(anywidget.AnyWidget):
    _esm = Path(__file__).with_suffix(".js")


# What to call, and which controls it gets.


def _read(
    f: Any, ranges: dict[str, Range], choices: dict[str, Sequence[Any]]
) -> tuple[str, Callable[..., torch.Tensor], dict[str, widgets.ValueWidget]]:
    """Title, function of (logits, target, parameters) and controls of whatever `explore` got."""
    if isinstance(f, str):
        f = losses.get(f)
    declared = f if isinstance(f, Loss) else _declaration_of(f)
    if declared is None:
        title = getattr(f, "__name__", type(f).__name__)
        named = _parameters(f)
        function = _per_example(f, named)
        defaults = {name: (p.default, p.annotation) for name, p in named.items()}
    else:
        title = declared.title
        function = _per_example(_from_labels(declared), declared.signature.parameters)
        defaults = {p.name: (p.default, float) for p in declared.parameters}
        ranges = {**{p.name: p.slider for p in declared.parameters}, **ranges}
    for argument, given in (("ranges", ranges), ("choices", choices)):
        for name in given.keys() - defaults.keys():
            near = difflib.get_close_matches(name, defaults) or list(defaults)
            raise ValueError(
                f"{argument} names {name!r}, which is not a parameter of {title}; "
                + (f"did you mean one of {near}?" if near else "it has none")
            )
    controls = {
        name: control
        for name, (default, annotation) in defaults.items()
        if (control := _control(name, default, annotation, ranges.get(name), choices.get(name)))
    }
    return title, function, controls


def _declaration_of(f: Any) -> Loss | None:
    return next((loss for loss in losses.LOSSES.values() if loss.function is f), None)


def _from_labels(loss: Loss) -> Callable[..., torch.Tensor]:
    """The loss as a function of logits and labels."""
    first, *others = loss.inputs.required
    drawn = first.kind is LOGITS and first.letters[-2:] in ((BATCH, "K"), ("N", "K"))
    if not drawn or not all(_follows(argument) for argument in others):
        raise ValueError(
            f"explore draws losses of class logits and of a teacher's beside them, {loss.key} "
            f"takes {loss.inputs.words}"
        )

    def from_labels(logits: torch.Tensor, target: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        given = {argument.name: _follow(argument, logits, target) for argument in others}
        return loss.function(**{first.name: logits, **given}, **kwargs)

    return from_labels


def _follows(argument: Argument) -> bool:
    """Whether an argument beside the logits is known once the label is."""
    return argument.kind.counts == "K" or argument.kind is TEACHER or argument.letters == ("K",)


def _follow(argument: Argument, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The labels, a teacher that is sure of them, or what each class has at rest."""
    if argument.kind.counts:
        return target
    if argument.kind is TEACHER:
        return TEACHER_LOGIT * torch.nn.functional.one_hot(target, logits.shape[-1]).to(logits)
    return torch.tensor(argument.kind.rest).to(logits).expand(logits.shape[-1])


def _parameters(f: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of the reader's function after logits and target."""
    if not callable(f):
        raise TypeError(
            f"f must be a declared loss, a registry key or a torch function, "
            f"got {type(f).__name__}: {f!r}"
        )
    called = f.forward if isinstance(f, torch.nn.Module) else f
    try:
        found = inspect.signature(called, eval_str=True).parameters.values()
    except NameError:  # an annotation that cannot be evaluated says nothing about sliders
        found = inspect.signature(called).parameters.values()
    except ValueError as error:
        raise TypeError(f"f must have a signature that Python can read: {error}") from error
    places = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) < 2:
        raise TypeError(f"f must take (logits, target, ...), got {inspect.signature(called)}")
    named = {p.name: p for p in (*places[2:], *(p for p in found if p.kind is p.KEYWORD_ONLY))}
    for name, parameter in named.items():
        if parameter.default is parameter.empty:
            raise TypeError(f"parameter {name!r} of f must have a default")
    return named


def _per_example(
    function: Callable[..., torch.Tensor], parameters: Mapping[str, Any]
) -> Callable[..., torch.Tensor]:
    """Ask for one value per example where the function can be asked."""
    if "reduction" not in parameters:
        return function
    return lambda logits, target, **kwargs: function(logits, target, reduction="none", **kwargs)


def _control(
    name: str, default: Any, annotation: Any, bounds: Range | None, choices: Sequence[Any] | None
) -> widgets.ValueWidget | None:
    """The control of one parameter; None for what keeps its default."""
    if name in NOT_SLIDERS:
        return None
    label = {"description": name, "style": WIDE}
    default = default.item() if isinstance(default, np.generic) else default
    if choices is None and get_origin(annotation) is Literal:
        choices = get_args(annotation)
    if choices is not None:
        if default not in choices:
            raise ValueError(f"choices[{name!r}] must hold the default {default!r}, got {choices}")
        return widgets.Dropdown(options=list(choices), value=default, **label)
    if isinstance(default, bool):
        return widgets.Checkbox(value=default, **label)
    if not isinstance(default, (int, float)):
        return None
    if bounds is None:
        annotated = [a for a in getattr(annotation, "__metadata__", ()) if isinstance(a, tuple)]
        around = (min(0, 2 * default), max(0, 2 * default)) if default else (-1, 1)
        bounds = annotated[0] if annotated else around
    low, high, step = _bounds(name, bounds, whole=isinstance(default, int))
    slider = widgets.IntSlider if isinstance(step, int) else widgets.FloatSlider
    value = min(max(default, low), high)
    return slider(value=value, min=low, max=high, step=step, **label)


def _bounds(name: str, bounds: Any, whole: bool) -> tuple[float, float, float]:
    numbers = isinstance(bounds, Sequence) and all(isinstance(b, (int, float)) for b in bounds)
    if not numbers or len(bounds) not in (2, 3):
        raise TypeError(
            f"the range of {name!r} must be (low, high) or (low, high, step), got {bounds!r}"
        )
    low, high, *rest = bounds
    if not (np.isfinite(bounds).all() and low < high and all(step > 0 for step in rest)):
        raise ValueError(
            f"the range of {name!r} must have finite low < high, step > 0, got {bounds}"
        )
    if whole and all(isinstance(b, int) for b in bounds):
        return low, high, rest[0] if rest else 1
    return float(low), float(high), float(rest[0]) if rest else (high - low) / 100


# What is drawn.


def _figure(name: str, target: int, landscape: Landscape, path: FlowPath) -> str:
    """The picture as an HTML figure: PNG, text alternative and a caption with the path's end."""
    finite = landscape.values[landscape.values.isfinite()]
    end = torch.softmax(path.points[-1] @ BASIS.to(path.points.dtype), dim=0)[target]
    alt = (
        f"Landscape of {name} for target class {target} of three, on the zero-sum logit plane and "
        f"on the probability simplex: filled level sets from {finite.min():.3g} to "
        f"{finite.max():.3g}, arrows downhill, and the gradient-flow path."
    )
    caption = (
        f"{name}. Gradient flow from ({path.points[0][0]:.1f}, {path.points[0][1]:.1f}): at time "
        f"{path.times[-1]:.3g} the loss has gone from {path.values[0]:.3g} to "
        f"{path.values[-1]:.3g} and the target's probability is {end:.3f}."
    )
    png = base64.b64encode(_draw(target, landscape, path)).decode()
    return (
        f'<figure><img src="data:image/png;base64,{png}" alt="{html.escape(alt)}" '
        f'style="max-width: 100%"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def _draw(target: int, landscape: Landscape, path: FlowPath) -> bytes:
    style: Any = matplotlib_style() | {"axes.grid": False, "savefig.bbox": "standard"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9.6, 4.8))
        logits = figure.add_axes((0.07, 0.12, 0.4, 0.8), aspect="equal")
        simplex = figure.add_axes((0.55, 0.12, 0.4, 0.8), aspect="equal")
        values = np.ma.masked_invalid(landscape.values.double().numpy())
        levels = _levels(values.compressed())
        _level_sets(logits, landscape.points, values, levels)
        _level_sets(simplex, _to_simplex(landscape.points), values, levels)
        _arrows(logits, landscape)
        _path(logits, path.points, path.times)
        _path(simplex, _to_simplex(path.points), path.times, labels=False)
        side = (-EXTENT, EXTENT)
        logits.set(title="Logit plane", xlim=side, ylim=side)
        logits.set(xlabel="u: class 0 against the others", ylabel="v: class 1 against class 2")
        simplex.set(title="Probability simplex")
        simplex.set_axis_off()
        for index, corner in enumerate(BASIS.T.tolist()):
            weight = "bold" if index == target else "normal"
            x, y = (1.1 * coordinate for coordinate in corner)
            simplex.text(x, y, str(index), weight=weight, ha="center", va="center")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=96)
        return buffer.getvalue()


def _levels(values: np.ndarray) -> np.ndarray:
    """Levels with equal areas between them: a loss may be flat, or reach e^15, and show a shape."""
    levels = np.quantile(values, np.linspace(0, 1, LEVELS + 1))
    rises = np.diff(levels) > 1e-5 * np.abs(levels[1:])  # less is rounding, not shape
    levels = np.concatenate([levels[:1], levels[1:][rises]])
    if len(levels) < 3:
        return levels[0] + np.linspace(-1, 1, LEVELS + 1)
    return levels


def _level_sets(ax: Axes, points: torch.Tensor, values: np.ndarray, levels: np.ndarray) -> None:
    x, y = points.double().unbind(-1)
    norm = BoundaryNorm(levels, COLOURS.N)
    ax.contourf(x, y, values, levels=levels, cmap=COLOURS, norm=norm, extend="both")
    lines = ax.contour(x, y, values, levels=levels[1:-1], colors=LIGHT.ink, linewidths=0.4)
    ax.clabel(lines, levels=levels[1:-1:3], fmt="%.2g", fontsize=8)


def _arrows(ax: Axes, landscape: Landscape) -> None:
    """Downhill directions; lengths are compressed so that both steep and flat parts are seen."""
    every = slice(2, None, 4)
    downhill = landscape.downhill[every, every].double()
    speed = downhill.norm(dim=-1, keepdim=True)
    arrows = downhill / (speed + speed[speed.isfinite()].median().clamp(min=1e-12))
    u, v = landscape.points[every, every].double().unbind(-1)
    ax.quiver(u, v, *arrows.unbind(-1), angles="xy", scale_units="xy", scale=1, color=LIGHT.ink)


def _path(ax: Axes, points: torch.Tensor, times: torch.Tensor, labels: bool = True) -> None:
    """The path, a ring at its start and dots at the times that live figures mark."""
    ax.plot(*points.T, color=LIGHT.path, linewidth=2.5)
    ax.plot(*points[0], "o", color=LIGHT.path, markersize=9, fillstyle="none", markeredgewidth=2)
    for time in TIMES:
        if time <= times[-1]:
            x, y = (float(np.interp(time, times, along)) for along in points.T)
            ax.plot(x, y, "o", color=LIGHT.path, markersize=6)
            if labels:
                ax.annotate(f"t = {time}", (x, y), (0, 7), textcoords="offset points", ha="center")


def _to_simplex(points: torch.Tensor) -> torch.Tensor:
    """Softmax of the logits at points of the plane, drawn by the same basis."""
    basis = BASIS.to(points.dtype)
    return torch.softmax(points @ basis, dim=-1) @ basis.T


def _message(error: Exception) -> str:
    """What went wrong, and the reader's line where it did."""
    ours = (__file__, plane_module.__file__)
    theirs = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in ours]
    where = ""
    if theirs:
        last = [frame for frame in theirs if frame.filename == theirs[0].filename][-1]
        where = f"<br>in {html.escape(last.name)}, line {last.lineno}: " + (
            f"<code>{html.escape(last.line or '')}</code>"
        )
    return (
        f'<figure role="alert"><strong>{type(error).__name__}</strong>: '
        f"{html.escape(str(error))}{where}<figcaption>The picture returns when the function "
        f"works: move a control, or correct the function and run the cell again.</figcaption>"
        "</figure>"
    )
