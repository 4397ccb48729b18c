"""The pictures of the atlas, each drawn again only when what draws or declares it has changed."""

from __future__ import annotations

import hashlib
import shutil

from lossviz_imports import HERE

from lossviz.declaration import Law
from lossviz.losses import Loss
from lossviz.widgets import law_curve, picture

FOLDER = HERE.root / "_build" / ".pictures"
# These import all that they list, and a picture needs only its own entry.
LISTS = ("lossviz.losses", "lossviz.theory", "lossviz.widgets")


def figure_html(entry: Loss | Law) -> str:
    """The picture of a loss or a law, as a page holds it."""
    draw = law_curve if isinstance(entry, Law) else picture
    function = entry.function if isinstance(entry, Law) else entry.formula
    sources = HERE.key([draw.__module__, function.__module__], without=LISTS)
    words = (sources, entry.title, entry.summary, entry.latex)  # docstrings are not in the key
    kept = FOLDER / entry.key / f"{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}.html"
    if not kept.exists():
        html = draw(entry).html()
        shutil.rmtree(kept.parent, ignore_errors=True)
        kept.parent.mkdir(parents=True)
        kept.write_text(html, encoding="utf-8")
    return kept.read_text(encoding="utf-8")
