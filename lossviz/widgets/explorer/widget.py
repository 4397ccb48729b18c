"""The widget of the explorer: controls above one picture, or above what went wrong."""

from __future__ import annotations

import html
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import anywidget
import ipywidgets as widgets

from ..loss import plane
from ..loss.views import EXTENT
from .controls import WIDE, left_alone
from .drawing import several, single
from .evaluation import Evaluation, evaluate
from .functions import Explored

HOW_TO_STOP = "to stop it, interrupt the kernel (the ■ of the toolbar, or I pressed twice)"
RETURNS = (
    "The picture returns when the function works: move a control, or correct the function and run "
    "the cell again."
)
WORTH_SAYING = 2.0  # seconds that a redraw may take before its length is told
SILENT = 10.0  # seconds of the first one without a word
OURS = (Path(__file__).parent, Path(plane.__file__))

Controls = dict[str, widgets.ValueWidget]


class Explorer(widgets.VBox):
    """The widget that `explore` returns.

    `function` is the first one, `controls` maps names of its parameters to their ipywidgets, and
    `compared` holds every function with its controls. `picture` is an HTML widget (an
    ipywidgets.Image has no text alternative), `status` says what is being computed.
    """

    def __init__(
        self, compared: Sequence[tuple[Explored, Controls]], start: tuple[float, float]
    ) -> None:
        self.compared = tuple(compared)
        first, self.controls = self.compared[0]
        self.function = first.function
        if len(self.compared) > 1:
            for explored, controls in self.compared:
                for control in controls.values():
                    control.description = f"{explored.title}: {control.description}"
        self.target = widgets.Dropdown(
            options=[0, 1, 2], value=0, description="target class", style=WIDE
        )
        self.start = tuple(
            widgets.FloatSlider(
                value=value, min=-EXTENT, max=EXTENT, step=0.1, description=name, style=WIDE
            )
            for name, value in zip(("path starts at u", "path starts at v"), start, strict=True)
        )
        self.picture, self.status = widgets.HTML(), widgets.HTML()
        self._seconds = 0.0
        handles = [c for _, controls in self.compared for c in controls.values()]
        handles += [self.target, *self.start]
        self._sliders = [handle for handle in handles if hasattr(handle, "continuous_update")]
        for handle in handles:
            handle.observe(self._redraw, names="value")
        super().__init__([*handles, self.status, self.picture, _Keyboard()])
        self.add_class("lossviz-explorer")
        # nothing is on the screen yet that could say how to stop a function that does not return
        told = threading.Timer(SILENT, print, [f"Still computing; {HOW_TO_STOP}."])
        told.daemon = True
        told.start()
        try:
            self._redraw()
        finally:
            told.cancel()

    def _redraw(self, _change: Any = None) -> None:
        target = self.target.value
        start = tuple(slider.value for slider in self.start)
        about = f", about {self._seconds:.0f} s" if self._seconds > WORTH_SAYING else ""
        self._say(f"Computing{about}; {HOW_TO_STOP}.")
        began = perf_counter()
        try:
            seen = [self._evaluated(*each, target, start) for each in self.compared]
            alone = len(seen) == 1
            self.picture.value = single(target, seen[0]) if alone else several(target, seen)
            for slider in self._sliders:
                slider.continuous_update = not any(each.slow for each in seen)
        except KeyboardInterrupt:
            self.picture.value = _alert(f"Interrupted after {perf_counter() - began:.0f} s.")
        except Exception as error:  # the reader's function may raise anything at all
            self.picture.value = _alert(_told(error))
        self._seconds = perf_counter() - began
        notes = [note for explored, controls in self.compared
                 for note in left_alone(explored, controls)]  # fmt: skip
        if self._seconds > WORTH_SAYING:
            notes.append(f"The last picture took {self._seconds:.0f} s.")
        self._say(" ".join(notes))

    def _evaluated(
        self, explored: Explored, controls: Controls, target: int, start: tuple[float, float]
    ) -> Evaluation:
        parameters = {name: control.value for name, control in controls.items()}
        return evaluate(
            explored.title,
            lambda z, y: explored.function(z, y, **parameters),
            target,
            start,
            settings=", ".join(f"{name} = {value}" for name, value in parameters.items()),
            curve=len(self.compared) > 1,
        )

    def _say(self, text: str) -> None:
        self.status.value = f'<div role="status">{html.escape(text)}</div>'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Add a still picture for the static page; JupyterLab prefers the widget."""
        still = self.picture.value.replace(
            "</figcaption>", " Run this chapter in JupyterLab to move the sliders.</figcaption>"
        )
        return super()._repr_mimebundle_(**kwargs) | {"text/html": still}


class _Keyboard(anywidget.AnyWidget):
    _esm = Path(__file__).with_name("keyboard.js")


def _told(error: Exception) -> str:
    """What went wrong, and the reader's line where it did, as HTML."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not {Path(f.filename), Path(f.filename).parent} & {*OURS}]
    where = ""
    if theirs:
        last = [frame for frame in theirs if frame.filename == theirs[0].filename][-1]
        where = f"<br>in {html.escape(last.name)}, line {last.lineno}: " + (
            f"<code>{html.escape(last.line or '')}</code>"
        )
    return f"<strong>{type(error).__name__}</strong>: {html.escape(str(error))}{where}"


def _alert(told: str) -> str:
    return f'<figure role="alert">{told}<figcaption>{RETURNS}</figcaption></figure>'
