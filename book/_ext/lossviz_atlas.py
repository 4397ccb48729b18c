"""Writes the loss atlas and the API page from the declarations, before the contents are read.

One passport a loss goes to ``book/atlas``; what `book/atlas.md` and `book/api.md` include goes to
``book/_generated``. Neither folder is committed. A file is touched only when its text changes, so
that Sphinx reads again only what is new.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from lossviz.losses import LOSSES, Loss, Source
from lossviz.widgets import curve, landscape

API_CLASSES = ("Loss", "Parameter", "Property", "Limit", "Source", "SymbolicForm")


def passport(loss: Loss) -> str:
    """The page of one loss."""
    return "\n\n".join(part for part in _passport_parts(loss) if part) + "\n"


def _passport_parts(loss: Loss) -> Iterator[str]:
    yield f"(loss-{loss.key})=\n# {loss.title}"
    yield loss.summary
    yield f"```{{math}}\n{loss.latex}\n```"
    figure = landscape(loss) if loss.form is None else curve(loss)
    yield f"````{{raw}} html\n{figure.html()}\n````"
    yield "## Gradient"
    yield f"```{{math}}\n{loss.gradient}\n```"
    yield "## Parameters" if loss.parameters else ""
    yield _parameters(loss)
    yield "## Properties" if loss.properties else ""
    yield "\n".join(
        f"{item.name} ({item.status})\n: {item.statement}{_cited(item.source)}\n"
        for item in loss.properties
    )
    yield "## Identities that the tests check" if loss.limits else ""
    yield "\n".join(f"- {_plain(limit.statement)}" for limit in loss.limits)
    yield "## Numerical care"
    yield loss.stability
    yield f"## Mind\n\n{loss.notes}" if loss.notes else ""
    yield "## Use it"
    yield (
        f"Key `{loss.key}`; input: {loss.inputs}. Function {{py:func}}`lossviz.losses.{loss.key}`, "
        f"module `lossviz.losses.{loss.module.__name__}`."
    )
    yield f"```python\nfrom lossviz.losses import {loss.key}\n```"
    yield "## Sources"
    yield "\n".join(_source(source) for source in loss.sources)
    yield f"Relatives: {', '.join(_link(key) for key in loss.related)}." if loss.related else ""


def _parameters(loss: Loss) -> str:
    if not loss.parameters:
        return ""
    rows = [
        f"| `{p.name}` (${p.symbol}$) | {p.default:g} | {p.interval} | {_plain(p.meaning)} "
        f"| {_plain(p.at_low)} | {_plain(p.at_high)} |"
        for p in loss.parameters
    ]
    head = "| parameter | default | range | meaning | at the low end | at the high end |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _plain(text: str) -> str:
    """Text that is no Markdown, with the bar that would end a table's cell made harmless."""
    return text.replace("|", r"\|")


def _cited(source: Source | None) -> str:
    if source is None:
        return ""
    where = f", {source.where}" if source.where else ""
    return f" {{cite:p}}`{source.key}`{where}."


def _source(source: Source) -> str:
    where = f", {source.where}" if source.where else ""
    note = f". {source.note}" if source.note else ""
    return f"- {{cite:t}}`{source.key}`{where}{note}"


def _link(key: str) -> str:
    return f"[{LOSSES[key].title}](#loss-{key})"


def _families() -> Iterator[tuple[str, list[Loss]]]:
    for family, losses in groupby(LOSSES.values(), key=lambda loss: loss.family):
        yield family, list(losses)


def index() -> str:
    """The table of all losses, one a family."""
    parts = []
    for family, losses in _families():
        rows = [
            f"| [{loss.title}](#loss-{loss.key}) | `{loss.key}` | {_plain(loss.summary)} |"
            for loss in losses
        ]
        head = "| loss | key | in one sentence |\n|---|---|---|"
        parts.append("\n".join([f"## {family[:1].upper()}{family[1:]}", "", head, *rows]))
    return "\n\n".join(parts) + "\n"


def api() -> str:
    """The reference of every declared function and of the classes of a declaration."""
    parts = []
    for family, losses in _families():
        entries = "\n".join(f".. autofunction:: lossviz.losses.{loss.key}" for loss in losses)
        title = f"## Losses: {family}"
        parts.append(f"{title}\n\n```{{eval-rst}}\n{entries}\n```")
    entries = "\n".join(
        f".. autoclass:: lossviz.losses.{name}\n   :members:" for name in API_CLASSES
    )
    parts.append(f"## Declarations\n\n```{{eval-rst}}\n{entries}\n```")
    return "\n\n".join(parts) + "\n"


def write_pages(app: Sphinx, config: Config) -> None:
    """Bring the generated pages up to date and remove those of losses that are gone."""
    book = Path(app.srcdir) / "book"
    pages = {book / "atlas" / f"{key}.md": passport(loss) for key, loss in LOSSES.items()}
    pages[book / "_generated" / "atlas.md"] = index()
    pages[book / "_generated" / "api.md"] = api()
    for path in (book / "atlas").glob("*.md"):
        if path not in pages:
            path.unlink()
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; the contents are read at priority 900."""
    app.connect("config-inited", write_pages)
    # sphinx_external_toc looks at every living object; one of torch's answers with a warning.
    warnings.filterwarnings("ignore", ".*torch.distributed.reduce_op", FutureWarning)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
