"""Writes the atlas and the API page from the declarations, before the contents are read.

A passport per loss, measure and law goes to ``book/atlas``; what `book/atlas.md` and `book/api.md`
include goes to ``book/_generated``. Neither folder is committed. A file is touched only when its
text changes, so that Sphinx reads again only what is new.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lossviz_pictures import figure_html
from sphinx.application import Sphinx
from sphinx.config import Config

from lossviz.analysis import MEASURES
from lossviz.declaration import Argument, Fact, Law, Measure, Parameter, TargetForm
from lossviz.declaration.symmetries import symmetries
from lossviz.declaration.words import READING, docstring_words, split_parameters
from lossviz.losses import LOSSES, Loss, Source
from lossviz.theory import LAWS

API_CLASSES = (
    "Loss", "Inputs", "Argument", "Parameter", "Fact", "Gradient", "Source", "SymbolicForm"
)  # fmt: skip
ENTRIES: Mapping[str, Loss | Measure[Any] | Law] = {**LOSSES, **MEASURES, **LAWS}
RECORDS = {"Measure": "stream", "Stream": "update, merge, compute, reset", "Law": "grid"}
CHECKED = "✓ tested"
COUNTED = ("", "", "two ", "three ", "four ")


def passport(entry: Loss | Measure[Any] | Law) -> str:
    """The page of one loss, measure or law."""
    return "\n\n".join(part for part in _passport_parts(entry) if part) + "\n"


def _passport_parts(entry: Loss | Measure[Any] | Law) -> Iterator[str]:
    yield f"({_label(entry)})=\n# {entry.title}"
    yield f"```{{admonition}} Reading\n{READING}\n```" if entry.reading else ""
    yield entry.summary
    yield f"```{{math}}\n{entry.latex}\n```"
    if not isinstance(entry, Measure):
        yield f"````{{raw}} html\n{figure_html(entry)}\n````"
    if isinstance(entry, Loss):
        yield _gradient(entry)
    if not isinstance(entry, Law):
        yield f"## What it takes\n\n{_arguments(entry.inputs.arguments)}"
    yield _what_comes_out(entry)
    numbers = (entry.axis, *entry.parameters) if isinstance(entry, Law) else entry.parameters
    yield f"## Parameters\n\n{_parameters(numbers)}" if numbers else ""
    yield f"## What is known\n\n{_facts(entry.facts)}" if entry.facts else ""
    if isinstance(entry, Loss):
        yield f"## Numerical care\n\n{entry.stability}" if entry.stability else ""
    further, prose = split_parameters(
        docstring_words(entry.formula)[2] if isinstance(entry, Loss) else ""
    )
    yield "\n".join(
        f"- `{name}`: {text}" for name, _, text in (x.partition(" : ") for x in further)
    )
    yield "## Mind" if entry.notes or prose else ""
    yield entry.notes
    yield f"```{{eval-rst}}\n{prose}\n```" if prose else ""
    yield f"## Use it\n\n{_use(entry)}"
    yield "## Sources"
    yield "\n".join(_source(source) for source in _sources(entry))
    related = [_link(key) for key in entry.related if key in ENTRIES]
    yield f"Relatives: {', '.join(related)}." if related else ""


def _what_comes_out(entry: Loss | Measure[Any] | Law) -> str:
    if isinstance(entry, Loss):
        return f"{_rows(entry)} {_unchanged(entry)}"
    if isinstance(entry, Law):
        return f"What comes out: {entry.value}."
    better = "neither end is better" if entry.better == "neither" else f"{entry.better} is better"
    return f"One number for all rows ({entry.units}); {better}. Any split into batches gives it."


def _use(entry: Loss | Measure[Any] | Law) -> str:
    if isinstance(entry, Loss):
        return (
            f"Key `{entry.key}`, function {{py:func}}`lossviz.losses.{entry.key}`, module "
            f"`lossviz.losses.{entry.module.__name__}`.\n\n"
            f"```python\nfrom lossviz.losses import {entry.key}\n```"
        )
    if isinstance(entry, Law):
        return (
            f"```python\nfrom lossviz.theory import {entry.key}\n\n"
            f"{entry.key}({entry.grid(3)[1].item():g})\n```"
        )
    names = ", ".join(argument.name for argument in entry.inputs.required)
    return (
        f"```python\nfrom lossviz.analysis import {entry.key}\n\n{entry.key}({names})\n"
        f"stream = {entry.key}.stream()\nstream.update({names}).compute()\n```\n\n"
        f"`lossviz.analysis.MeasureMetric({entry.key})` is the same as a `torchmetrics.Metric`."
    )


def _sources(entry: Loss | Measure[Any] | Law) -> tuple[Source, ...]:
    """The main source, then those of the facts, without repeats."""
    found = [entry.source, *(fact.source for fact in entry.facts if fact.source)]
    return tuple(dict.fromkeys(found))


def _label(entry: Loss | Measure[Any] | Law) -> str:
    return f"{type(entry).__name__.lower()}-{entry.key}"


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


def _parameters(parameters: Iterable[Parameter]) -> str:
    rows = [
        f"| `{p.name}` (${p.symbol}$) | {'' if math.isnan(p.default) else f'{p.default:g}'} "
        f"| {p.interval} | {_plain(p.meaning)} | {_plain(p.at_low)} | {_plain(p.at_high)} |"
        for p in parameters
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
    return f"[{ENTRIES[key].title}](#{_label(ENTRIES[key])})"


def in_hand(loss: Loss) -> str:
    """What a reader must have to call a loss, without the names of the arguments."""
    held = Counter(f"{a.kind.noun} {_shape(a)}" for a in loss.inputs.required)
    parts = [f"{COUNTED[count]}{words}" for words, count in held.items()]
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[:-1] else parts)
    return text[:1].upper() + text[1:]


def index() -> str:
    """The tables of losses, one for everything that a reader may have, of measures and of laws."""
    groups: dict[str, list[Loss]] = {}
    for loss in LOSSES.values():
        groups.setdefault(in_hand(loss), []).append(loss)
    parts = []
    for given, losses in groups.items():
        families = list(dict.fromkeys(loss.family for loss in losses))
        rows = [
            f"| {_link(loss.key)} | `{loss.key}` | {loss.family} | {_plain(loss.summary)} |"
            for loss in sorted(losses, key=lambda loss: families.index(loss.family))
        ]
        head = "| loss | key | family | in one sentence |\n|---|---|---|---|"
        parts.append("\n".join([f"## {given}", "", head, *rows]))
    for title, entries in (("Measures", MEASURES), ("Laws", LAWS)):
        rows = [
            f"| {_link(key)} | `{key}` | {each.family} | {_plain(each.summary)} |"
            for key, each in entries.items()
        ]
        head = f"| {title[:-1].lower()} | key | family | in one sentence |\n|---|---|---|---|"
        parts.append("\n".join([f"## {title}", "", head, *rows]))
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
    entries += "\n.. autoclass:: lossviz.declaration.View\n" + "\n".join(
        f".. autoclass:: lossviz.declaration.{name}\n   :members: {members}"
        for name, members in RECORDS.items()
    )
    parts.append(f"## Declarations\n\n```{{eval-rst}}\n{entries}\n```")
    return "\n\n".join(parts) + "\n"


def write_pages(app: Sphinx, config: Config) -> None:
    """Bring the generated pages up to date and remove those of losses that are gone."""
    book = Path(app.srcdir) / "book"
    pages = {book / "atlas" / f"{key}.md": passport(entry) for key, entry in ENTRIES.items()}
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
