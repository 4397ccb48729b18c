"""The figure that lives in a static page and in JupyterLab alike: a Vega spec with its controls."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import anywidget
import traitlets
import vl_convert
from PIL import Image

from . import runtime

WIDTH = 720
STILL_SCALE = 1.5


@dataclass(frozen=True)
class Slider:
    """A labelled range that sets the Vega signal `signal`; `low` and `high` describe its ends.

    `shows` is a Vega expression for the text of its value where digits will not do, such as tokens
    for a power of two. A slider that `plays`, over time or epochs, has a button that walks it.
    """

    signal: str
    label: str
    start: float
    stop: float
    step: float
    value: float
    low: str
    high: str
    shows: str = ""
    plays: bool = False
    kind: str = "slider"

    @property
    def text(self) -> str:
        """A Vega expression for its value as the reader sees it."""
        digits = max(0, -int(Decimal(str(self.step)).normalize().as_tuple().exponent))
        return self.shows or f"format({self.signal}, ',.{digits}~f')"

    @property
    def stops(self) -> tuple[float, ...]:
        """The values that it can take, from the lowest up."""
        count = round((self.stop - self.start) / self.step) + 1
        return tuple(round(self.start + self.step * k, 10) for k in range(count))

    @property
    def position(self) -> str:
        """A Vega expression for the number of the stop where it stands, from 0."""
        return f"round(({self.signal} - {self.start!r}) / {self.step!r})"


@dataclass(frozen=True)
class Choice:
    """A labelled list of texts, one of which is the value of the Vega signal `signal`."""

    signal: str
    label: str
    options: tuple[str, ...]
    value: str
    kind: str = "choice"

    @property
    def stops(self) -> tuple[str, ...]:
        """The values that it can take."""
        return self.options

    @property
    def position(self) -> str:
        """A Vega expression for the number of the present option, from 0."""
        return f"indexof({list(self.options)!r}, {self.signal})"


@dataclass(frozen=True)
class Handle:
    """A spot that can be dragged: the signal `at` is its place, `drag` receives the pointer's.

    Both are ``[x, y]`` in pixels of the picture; `at` is null where the spot is not in sight.
    `moves` names the sliders that do the same by keyboard.

    With `area`, a signal with ``[x, y, width, height]``, all of that part is the handle: wherever
    it is held, `drag` receives `at`, moved by as much as the pointer. Up and down a finger scrolls.
    """

    at: str
    drag: str
    moves: tuple[str, ...]
    area: str = ""


class LiveFigure:
    """A picture that moves under the hand, with no kernel and no network.

    `spec` is a Vega spec with the signals ``container`` (width offered, in pixels), ``wide``
    (whether panels stand side by side), ``dark``, ``readout`` (one sentence about the present
    state), one signal per control, and the text of each slider's value with ``_text`` behind its
    name. `alt` describes the first state for readers who cannot see it, `caption` stands below.
    `panes` names the panels of which a narrow screen shows one at a time: the number in ``pane``.

    As the last expression of a notebook cell it shows itself: in JupyterLab through anywidget, in a
    static page as HTML (see `html`).
    """

    def __init__(
        self,
        spec: dict[str, Any],
        controls: tuple[Slider | Choice, ...],
        *,
        alt: str,
        caption: str,
        handles: tuple[Handle, ...] = (),
        panes: tuple[str, ...] = (),
        renderer: str = "svg",
    ) -> None:
        self.spec = spec
        self.controls = controls
        self.alt = alt
        self.caption = caption
        self.handles = handles
        self.panes = panes
        self.renderer = renderer

    @property
    def payload(self) -> dict[str, Any]:
        """What the front end receives."""
        return {
            "spec": self.spec,
            "controls": [asdict(control) for control in self.controls],
            "handles": [asdict(handle) for handle in self.handles],
            "panes": list(self.panes),
            "alt": self.alt,
            "caption": self.caption,
            "width": WIDTH,
            "renderer": self.renderer,
        }

    def still(self) -> bytes:
        """A PNG of the first state, on white, for print and for pages without scripts."""
        spec = self.spec | {"background": "white"}
        full = vl_convert.vega_to_png(spec, scale=STILL_SCALE, allowed_base_urls=[])
        # flat colours: a table of 64 looks the same at a third of the size
        small = io.BytesIO()
        Image.open(io.BytesIO(full)).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
        return small.getvalue()

    def html(self) -> str:
        """A block that needs nothing but the page's two scripts: still picture, caption, data.

        The id is made from the content: the same figure has the same id in every build.
        """
        # "<" would let the data end the script element that holds it
        data = json.dumps(self.payload, separators=(",", ":"), allow_nan=False)
        data = data.replace("<", "\\u003c")
        name = hashlib.sha256(data.encode()).hexdigest()[:10]
        still = base64.b64encode(self.still()).decode()
        return (
            f'<figure class="lossviz-live" id="lossviz-{name}">'
            f'<img class="lossviz-still" width="{WIDTH}" alt="{html.escape(self.alt)}"'
            f' src="data:image/png;base64,{still}">'
            f"<figcaption>{html.escape(self.caption)}</figcaption>"
            f'<script type="application/vnd.lossviz.figure+json">{data}</script>'
            "</figure>"
        )

    @cached_property
    def widget(self) -> anywidget.AnyWidget:
        """The same figure as an anywidget."""
        return _Host(figure=self.payload, _esm=runtime.esm())

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self.widget._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/plain": repr(self), "text/html": self.html()}, metadata

    def __repr__(self) -> str:
        return f"<LiveFigure: {self.alt}>"


class _Host(anywidget.AnyWidget):
    _esm = traitlets.Unicode().tag(sync=True)
    figure = traitlets.Dict().tag(sync=True)
