"""The pictures of the atlas, each drawn again only when what draws or declares it has changed."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
from lossviz_imports import HERE
from PIL import Image

from lossviz.declaration import Law
from lossviz.losses import Loss
from lossviz.widgets import LiveFigure, law_curve, picture

FOLDER = HERE.root / "_build" / ".pictures"
# These import all that they list, and a picture needs only its own entry.
LISTS = ("lossviz.losses", "lossviz.theory", "lossviz.widgets")
THEMES = ("light", "dark")
SIZE = (288, 176)  # of a thumbnail, in pixels
WORDS = ("axes", "legends", "title")  # too small to be read in a thumbnail


def figure_html(entry: Loss | Law) -> str:
    """The picture of a loss or a law, as a page holds it."""
    return (drawn(entry) / "figure.html").read_text(encoding="utf-8")


def drawn(entry: Loss | Law) -> Path:
    """A folder with the picture of a loss or a law and its thumbnails, drawn if need be."""
    draw = law_curve if isinstance(entry, Law) else picture
    function = entry.function if isinstance(entry, Law) else entry.formula
    sources = HERE.key([draw.__module__, function.__module__], without=LISTS)
    # docstrings are not in the key of the sources, nor is this file
    words = (sources, entry.title, entry.summary, entry.latex, Path(__file__).read_bytes())
    kept = FOLDER / entry.key / hashlib.sha256(repr(words).encode()).hexdigest()[:16]
    if not kept.exists():
        figure = draw(entry)
        shutil.rmtree(kept.parent, ignore_errors=True)
        made = kept.with_suffix(".new")
        made.mkdir(parents=True)
        (made / "figure.html").write_text(figure.html(), encoding="utf-8")
        for theme in THEMES:
            (made / f"{theme}.webp").write_bytes(thumbnail(figure, dark=theme == "dark"))
        made.rename(kept)  # complete or not there
    return kept


def thumbnail(figure: LiveFigure, *, dark: bool) -> bytes:
    """The main part of a figure's first state without its words: WebP, on a clear ground."""
    spec = _without_words(figure.spec) | {"background": None}
    spec["signals"] = [
        signal | {"value": dark} if signal.get("name") == "dark" else signal
        for signal in spec.get("signals", ())
    ]
    png = vl_convert.vega_to_png(spec, scale=0.8, allowed_base_urls=[])
    image = _main_part(Image.open(io.BytesIO(png)).convert("RGBA"))
    image.thumbnail(SIZE, Image.Resampling.LANCZOS)
    small = io.BytesIO()
    image.save(small, "WEBP", quality=80)
    return small.getvalue()


def _without_words(spec: Any) -> Any:
    if isinstance(spec, dict):
        return {key: _without_words(part) for key, part in spec.items() if key not in WORDS}
    if isinstance(spec, list):
        return [
            _without_words(part)
            for part in spec
            if not (isinstance(part, dict) and part.get("type") == "text")
        ]
    return spec


def _main_part(image: Image.Image) -> Image.Image:
    """The tallest band of the picture, up to the first empty column beyond its middle."""
    inked = np.asarray(image)[..., 3] > 0
    top, bottom = max(_runs(inked.any(1)), key=lambda run: run[1] - run[0])
    columns = _runs(inked[top:bottom].any(0))
    left, middle = columns[0][0], 0.4 * image.width
    right = next((end for _, end in columns if end > middle), columns[-1][1])
    rows = _runs(inked[:, left:right].any(1) & (np.arange(len(inked)) >= top))
    bottom = max(end for start, end in rows if start < bottom)
    return image.crop((left, top, right, bottom))


def _runs(inked: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last of each stretch of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
