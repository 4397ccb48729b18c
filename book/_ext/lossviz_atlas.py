"""Writes the atlas and the API pages from the declarations, before the contents are read.

A passport per loss, measure and law goes to ``book/atlas``, a page of the API per family to
``book/api``; what `book/atlas.md`, `book/which-loss.md` and `book/api.md` include goes to
``book/_generated``. None of these folders is committed. A file is touched only when its text
changes, so that Sphinx reads again only what is new.
"""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lossviz_passports import ENTRIES, HTML_MATHS, Entry, condition, html_words, link, passport
from lossviz_pictures import THEMES, drawn
from sphinx.application import Sphinx
from sphinx.config import Config

from lossviz.analysis import MEASURES
from lossviz.declaration import Measure
from lossviz.declaration.facts import TRAITS, Trait
from lossviz.losses import LOSSES, Loss
from lossviz.theory import LAWS

API_CLASSES = (
    "Loss", "Inputs", "Argument", "Parameter", "Fact", "Gradient", "Source", "SymbolicForm"
)  # fmt: skip
RECORDS = {"Measure": "stream", "Stream": "update, merge, compute, reset", "Law": "grid"}
SHOWN: dict[Trait, str] = {
    "bounded": "bounded",
    "proper": "proper",
    "convex": "convex",
    "robust": "robust to label noise",
    "adversarial": "robust to moved inputs",
}
PAIRS = "needs pairs"


def index() -> str:
    """The cards of the losses with their filters, and those of measures and laws."""
    order = list(dict.fromkeys(loss.family for loss in LOSSES.values()))
    losses = sorted(LOSSES.values(), key=lambda loss: order.index(loss.family))
    parts = [
        _raw(_filters(losses) + _cards(losses)),
        "## Measures",
        _raw(_cards(MEASURES.values())),
        "## Laws",
        _raw(_cards(LAWS.values())),
    ]
    return "\n\n".join(parts) + "\n"


def _raw(text: str) -> str:
    return f"````{{raw}} html\n{text}\n````"


def _takes(loss: Loss) -> list[str]:
    return list(dict.fromkeys(argument.kind.noun for argument in loss.inputs.required))


def _filters(losses: list[Loss]) -> str:
    """A form that a script shows and obeys: without one it would do nothing."""
    nouns = Counter(noun for loss in losses for noun in _takes(loss))
    boxes = "".join(
        f'<label><input type="checkbox" name="has" value="{trait}"> {words}</label>'
        for trait, words in [*SHOWN.items(), ("pairs", PAIRS)]
    )
    return (
        '<form class="lossviz-filters" aria-label="Choose losses" hidden>'
        f"{_select('takes', 'takes', [noun for noun, _ in nouns.most_common()])}"
        f"{_select('family', 'family', dict.fromkeys(loss.family for loss in losses))}"
        f"<fieldset><legend>properties</legend>{boxes}</fieldset>"
        '<p><output aria-live="polite"></output> <button type="reset">Show all</button></p></form>'
    )


def _select(name: str, words: str, options: Iterable[str]) -> str:
    listed = "".join(f"<option>{option}</option>" for option in options)
    return (
        f'<label>{words} <select name="{name}"><option value="">any</option>{listed}</select>'
        "</label>"
    )


def _cards(entries: Iterable[Entry]) -> str:
    return f'<ul class="lossviz-cards">{"".join(map(_card, entries))}</ul>'


def _card(entry: Entry) -> str:
    pictures = "" if isinstance(entry, Measure) else "".join(
        f'<img class="only-{theme}" src="../_static/atlas/{entry.key}-{theme}.webp" alt="" '
        'loading="lazy">'
        for theme in THEMES
    )  # fmt: skip
    data = traits = ""
    if isinstance(entry, Loss):
        has = [trait for trait in SHOWN if trait in entry.traits]
        has += ["pairs"] if entry.inputs.paired else []
        data = (
            f' data-takes="{"|".join(_takes(entry))}" data-family="{entry.family}"'
            f' data-has="{"|".join(has)}"'
        )
        traits = _traits(entry)
    return (
        f'<li class="lossviz-card"{data}><div class="lossviz-thumbnail">{pictures}</div>'
        f'<a href="atlas/{entry.key}.html">{html_words(entry.title, entry)}</a>'
        f"<p>{html_words(entry.summary, entry)}</p>"
        f'<p class="lossviz-family">{entry.family}</p>{traits}</li>'
    )


def _traits(loss: Loss) -> str:
    said = [
        f"{words} {condition(loss.traits[trait], loss, HTML_MATHS)}".strip()
        for trait, words in SHOWN.items()
        if trait in loss.traits
    ]
    said += [PAIRS] if loss.inputs.paired else []
    items = "".join(f"<li>{each}</li>" for each in said)
    return f'<ul class="lossviz-traits">{items}</ul>' if said else ""


def which_loss() -> str:
    """For each property the losses whose facts say that they have it, or that they lack it."""
    found = {
        **{words: _with(trait) for trait, words in SHOWN.items()},
        PAIRS: [link(key) for key, loss in LOSSES.items() if loss.inputs.paired],
        **{trait: _with(trait) for trait in TRAITS if trait not in SHOWN},
    }
    return "\n\n".join(
        f"{words[:1].upper()}{words[1:]}\n: {'; '.join(losses)}." for words, losses in found.items()
    )


def _with(trait: Trait) -> list[str]:
    return [
        f"{link(key)} {condition(loss.traits[trait], loss)}".strip()
        for key, loss in LOSSES.items()
        if trait in loss.traits
    ]


def api() -> dict[str, str]:
    """The reference of the declared functions, a page for each family, and of their classes."""
    families: dict[str, list[str]] = {}
    for loss in LOSSES.values():
        families.setdefault(loss.family, []).append(loss.key)
    pages = {}
    for family, keys in families.items():
        entries = "\n".join(f".. autofunction:: lossviz.losses.{key}" for key in keys)
        title = f"API: {family}"
        pages[family.replace(" ", "-")] = f"# {title}\n\n```{{eval-rst}}\n{entries}\n```\n"
    entries = "\n".join(
        f".. autoclass:: lossviz.losses.{name}\n   :members:" for name in API_CLASSES
    )
    entries += "\n.. autoclass:: lossviz.declaration.View\n" + "\n".join(
        f".. autoclass:: lossviz.declaration.{name}\n   :members: {members}"
        for name, members in RECORDS.items()
    )
    pages["declarations"] = f"# API: declarations\n\n```{{eval-rst}}\n{entries}\n```\n"
    return pages


def write_pages(app: Sphinx, config: Config) -> None:
    """Bring the generated pages up to date and remove those of losses that are gone."""
    book = Path(app.srcdir) / "book"
    playground = (book / "playground.md").exists()
    pages = {
        book / "atlas" / f"{key}.md": passport(entry, playground) for key, entry in ENTRIES.items()
    }
    pages |= {book / "api" / f"{name}.md": text for name, text in api().items()}
    pages[book / "_generated" / "atlas.md"] = index()
    pages[book / "_generated" / "which-loss.md"] = which_loss()
    for folder in ("atlas", "api", "_generated"):
        for path in (book / folder).glob("*.md"):
            if path not in pages:
                path.unlink()
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def hang_thumbnails(app: Sphinx) -> None:
    """Copy the thumbnails into the site."""
    if app.builder.format != "html":
        return
    wall = Path(app.outdir) / "_static" / "atlas"
    wall.mkdir(parents=True, exist_ok=True)
    for entry in ENTRIES.values():
        if not isinstance(entry, Measure):
            for theme in THEMES:
                shutil.copyfile(drawn(entry) / f"{theme}.webp", wall / f"{entry.key}-{theme}.webp")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; the contents are read at priority 900."""
    app.connect("config-inited", write_pages)
    app.connect("builder-inited", hang_thumbnails)
    # sphinx_external_toc looks at every living object; one of torch's answers with a warning.
    warnings.filterwarnings("ignore", ".*torch.distributed.reduce_op", FutureWarning)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
