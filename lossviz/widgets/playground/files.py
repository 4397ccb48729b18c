"""The scripts of the playground by file name: a catalogue, and one of each loss for when it comes.

Classic scripts, because a page opened as a file may read no other: the catalogue is given to
``window.lossvizPlayground``, and each loss adds itself to the ``losses`` there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...declaration import Parameter
from ...losses import LOSSES, Loss
from ..loss.axes import plane
from ..loss.flow import RIGHT, SIDE, TIMES
from ..loss.picture import drawing
from ..loss.plane import EXAMPLES
from ..loss.sampled import sampled
from ..loss.subject import Subject, framed, symbol_of
from ..loss.views import EXTENT
from ..vega.contours import LEVELS
from . import samples
from .forms import MATHEMATICS, functions
from .pictures import DASHES, FORM_SIDE, pictures

SPANS = {"value": (-1, 8), "pull": (-0.4, 3), "weight": (-0.4, 3)}  # over the margin
FIRST = ("cross_entropy", "focal", "generalized_cross_entropy")
START, NOISE = (-2.5, 2.5), 0.6
PLANE = ("u: towards class 1", "v: class 2 against class 3")
SCRIPTS = ("address.js", "numbers.js", "views.js", "code.js", "page.js")
"""The parts of the page's own script, in the order in which they are joined."""


def files() -> dict[str, str]:
    """What the page loads: its script and style first, then each loss when it is chosen."""
    here = Path(__file__).parent
    script = "\n".join((here / name).read_text(encoding="utf-8") for name in SCRIPTS)
    catalogue = f"window.lossvizPlayground = {_json(_catalogue())};\n"
    return {
        "page.js": f"(() => {{\n{catalogue}{script}}})();\n",
        "page.css": (here / "page.css").read_text(encoding="utf-8"),
        **{f"{loss.key}.js": _script(loss) for loss in subjects()},
    }


def subjects() -> Iterator[Loss]:
    """The losses that can be chosen: with a symbolic form, or drawn over a plane of numbers."""
    return (loss for loss in LOSSES.values() if loss.form or drawing(loss) is sampled)


def _script(loss: Loss) -> str:
    body = functions(Subject(loss)) if loss.form else _json(samples.samples(loss))
    into = f"window.lossvizPlayground.losses.{loss.key}"
    return f"(({{{MATHEMATICS}}}) => {{ {into} = {body}; }})(Math);\n"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _catalogue() -> dict[str, Any]:
    """All that is known of the losses before any of them is loaded."""
    return {
        "catalogue": {loss.key: _entry(loss) for loss in subjects()},
        "losses": {},
        "pictures": pictures(),
        "dashes": DASHES,
        "first": FIRST,
        "examples": EXAMPLES,
        "spans": SPANS,
        "margin": samples.MARGIN,
        "points": samples.POINTS,
        "basis": [RIGHT, SIDE],
        "extent": EXTENT,
        "start": START,
        "noise": NOISE,
        "times": TIMES,
        "levels": LEVELS,
        "side": FORM_SIDE,
    }


def _entry(loss: Loss) -> dict[str, Any]:
    entry: dict[str, Any] = {"title": loss.title, "family": loss.family}
    if loss.form:
        axes = [{"label": label, "span": (-EXTENT, EXTENT)} for label in PLANE]
        sliders = [_parameter(p) | {"stops": None} for p in loss.parameters]
        found = {"fields": "margin", "axes": axes, "parameters": sliders}
        return entry | found | {"over": loss.form.over}
    drawn = plane(loss)
    over = samples.stops(loss)
    moving = [_parameter(p) | {"stops": over[p.name].stops} for p in framed(loss)]
    return entry | {
        "fields": "margin" if samples.by_margin(drawn) else "pull" if loss.view.pull else "plane",
        "axes": [{"label": axis.label, "span": axis.span} for axis in drawn.axes],
        "parameters": moving,
        "sampled": {
            "side": samples.SIDE,
            "cut": samples.cut_height(drawn),
            "shown": loss.view.pull,
            "over": f"{drawn.over}{drawn.at_rest(over)}",
            "defaults": loss.defaults,
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """The declaration of a parameter; an end that is infinite is null."""
    start, stop, step = parameter.slider
    ends = {
        end: None if math.isinf(number := getattr(parameter, end)) else number
        for end in ("low", "high")
    }
    said = asdict(parameter) | ends | {"start": start, "stop": stop, "step": step}
    wanted = (
        "name", "default", "low", "high", "low_open", "high_open", "start", "stop", "step",
        "at_low", "at_high",
    )  # fmt: skip
    label = f"{symbol_of(parameter)}: {parameter.meaning}"
    return {name: said[name] for name in wanted} | {"label": label, "interval": parameter.interval}
