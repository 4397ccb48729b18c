"""Writes the loss atlas and the API page from the declarations, before the contents are read.

One passport a loss goes to ``book/atlas``; what `book/atlas.md` and `book/api.md` include goes to
``book/_generated``. Neither folder is committed. A file is touched only when its text changes, so
that Sphinx reads again only what is new.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from lossviz.declaration import Argument, Fact, TargetForm
from lossviz.declaration.symmetries import symmetries
from lossviz.declaration.words import READING, docstring_words
from lossviz.losses import LOSSES, Loss, Source
from lossviz.widgets import picture

API_CLASSES = (
    "Loss", "Inputs", "Argument", "Parameter", "Fact", "Gradient", "Source", "SymbolicForm"
)  # fmt: skip
CHECKED = "✓ tested"
COUNTED = ("", "", "two ", "three ", "four ")


def passport(loss: Loss) -> str:
    """The page of one loss."""
    return "\n\n".join(part for part in _passport_parts(loss) if part) + "\n"


def figure_html(loss: Loss) -> str:
    """The picture of a loss, as a page holds it."""
    return picture(loss).html()


def _passport_parts(loss: Loss) -> Iterator[str]:
    yield f"(loss-{loss.key})=\n# {loss.title}"
    yield f"```{{admonition}} Reading\n{READING}\n```" if loss.reading else ""
    yield loss.summary
    yield f"```{{math}}\n{loss.latex}\n```"
    yield f"````{{raw}} html\n{figure_html(loss)}\n````"
    yield _gradient(loss)
    yield "## What it takes"
    yield _arguments(loss.inputs.arguments)
    yield f"{_rows(loss)} {_unchanged(loss)}"
    yield f"## Parameters\n\n{_parameters(loss)}" if loss.parameters else ""
    yield f"## What is known\n\n{_facts(loss.facts)}" if loss.facts else ""
    yield f"## Numerical care\n\n{loss.stability}" if loss.stability else ""
    prose = docstring_words(loss.formula)[2]
    yield "## Mind" if loss.notes or prose else ""
    yield loss.notes
    yield f"```{{eval-rst}}\n{prose}\n```" if prose else ""
    yield "## Use it"
    yield (
        f"Key `{loss.key}`, function {{py:func}}`lossviz.losses.{loss.key}`, "
        f"module `lossviz.losses.{loss.module.__name__}`."
    )
    yield f"```python\nfrom lossviz.losses import {loss.key}\n```"
    yield "## Sources"
    yield "\n".join(_source(source) for source in loss.sources)
    related = [_link(key) for key in loss.related if key in LOSSES]
    yield f"Relatives: {', '.join(related)}." if related else ""


def _gradient(loss: Loss) -> str:
    """The gradient and how it is known; nothing where none is shown."""
    if not loss.gradient:
        return ""
    derived = isinstance(loss.form, TargetForm) and loss.derivative is None and not loss.slope
    how = "Derived from the formula." if derived else "Tested against automatic differentiation."
    return f"## Gradient\n\n```{{math}}\n{loss.gradient}\n```\n\n{how}"


def _arguments(arguments: Iterable[Argument]) -> str:
    """A row for each argument, and one more for a second reading of it."""
    rows = []
    for argument in arguments:
        may = " (optional)" if argument.optional else ""
        rows.append(_argument(f"`{argument.name}`{may}", argument))
        if argument.otherwise:
            rows.append(_argument(f"or `{argument.otherwise.name}`", argument.otherwise))
    return "\n".join(["| argument | shape | holds | what that is |", "|---|---|---|---|", *rows])


def _argument(name: str, argument: Argument) -> str:
    cells = (name, _shape(argument), argument.kind.noun, _plain(argument.meaning))
    return f"| {' | '.join(cells)} |"


def _shape(argument: Argument) -> str:
    return argument.written.replace("...", "…")


def _rows(loss: Loss) -> str:
    rows = ", ".join(loss.inputs.rows).replace("...", "…")
    if not rows:
        return "The loss is one number for the whole batch."
    seen = "which see each other" if loss.inputs.coupled else "each on its own"
    return f"One loss for each of the rows ({rows}), {seen}."


def _unchanged(loss: Loss) -> str:
    """What leaves the loss as it is and what does not: the tests try all of it."""
    breaks = [entry.partition(" for ")[0] for entry in loss.breaks]
    tried = [symmetry.name for symmetry in symmetries(loss.inputs, loss.inputs.example())]
    kept = [name for name in tried if name not in breaks]
    sentences = []
    if kept:
        sentences.append(f"It does not feel: {'; '.join(dict.fromkeys(kept))}.")
    if loss.breaks:
        sentences.append(f"It does feel: {'; '.join(loss.breaks)}.")
    return " ".join([*sentences, f"({CHECKED})"]) if sentences else ""


def _facts(facts: Iterable[Fact]) -> str:
    """The statements, each with how it is known."""
    lines = []
    for fact in facts:
        statement = _plain(fact.statement.rstrip("."))
        known = f"{fact.status}, {CHECKED}" if fact.checked else fact.status
        lines.append(f"- {statement} ({known}).{_cited(fact.source)}")
    return "\n".join(lines)


def _parameters(loss: Loss) -> str:
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


def in_hand(loss: Loss) -> str:
    """What a reader must have to call a loss, without the names of the arguments."""
    held = Counter(f"{a.kind.noun} {_shape(a)}" for a in loss.inputs.required)
    parts = [f"{COUNTED[count]}{words}" for words, count in held.items()]
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[:-1] else parts)
    return text[:1].upper() + text[1:]


def index() -> str:
    """The tables of all losses: one for everything that a reader may have, families together."""
    groups: dict[str, list[Loss]] = {}
    for loss in LOSSES.values():
        groups.setdefault(in_hand(loss), []).append(loss)
    parts = []
    for given, losses in groups.items():
        families = list(dict.fromkeys(loss.family for loss in losses))
        rows = [
            f"| [{loss.title}](#loss-{loss.key}) | `{loss.key}` | {loss.family} "
            f"| {_plain(loss.summary)} |"
            for loss in sorted(losses, key=lambda loss: families.index(loss.family))
        ]
        head = "| loss | key | family | in one sentence |\n|---|---|---|---|"
        parts.append("\n".join([f"## {given}", "", head, *rows]))
    return "\n\n".join(parts) + "\n"


def api() -> str:
    """The reference of every declared function and of the classes of a declaration."""
    families: dict[str, list[str]] = {}
    for loss in LOSSES.values():
        families.setdefault(loss.family, []).append(loss.key)
    parts = []
    for family, keys in families.items():
        entries = "\n".join(f".. autofunction:: lossviz.losses.{key}" for key in keys)
        parts.append(f"## Losses: {family}\n\n```{{eval-rst}}\n{entries}\n```")
    entries = "\n".join(
        f".. autoclass:: lossviz.losses.{name}\n   :members:" for name in API_CLASSES
    )
    entries += "\n.. autoclass:: lossviz.declaration.View"
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
