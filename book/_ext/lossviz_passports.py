"""The passport of a loss, a measure or a law: a page made from its declaration."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lossviz_mathematics import latex, typeset
from lossviz_pictures import figure_html

from lossviz.analysis import MEASURES
from lossviz.declaration import Argument, Fact, Law, Measure, Parameter, TargetForm
from lossviz.declaration.symmetries import symmetries
from lossviz.declaration.words import READING, docstring_words, split_parameters
from lossviz.losses import LOSSES, Loss, Source
from lossviz.theory import LAWS

Entry = Loss | Measure[Any] | Law
ENTRIES: Mapping[str, Entry] = {**LOSSES, **MEASURES, **LAWS}
CHECKED = "✓\N{NO-BREAK SPACE}tested"
HTML_MATHS = ('<span class="math notranslate nohighlight">\\(', r"\)</span>")
ROLE_MATHS = (":math:`", "`")


def passport(entry: Entry, playground: bool = False) -> str:
    """The page of one loss, measure or law; with a link to the `playground` where there is one."""
    return "\n\n".join(part for part in _parts(entry, playground) if part) + "\n"


def _parts(entry: Entry, playground: bool) -> Iterator[str]:
    yield f"---\nmyst:\n  html_meta:\n    description: {json.dumps(entry.summary)}\n---"
    yield _index(entry)
    yield f"({label(entry)})=\n# {entry.title}"
    yield f"```{{admonition}} Reading\n{READING}\n```" if entry.reading else ""
    yield words(entry.summary, entry)
    if isinstance(entry, Loss) and entry.also:
        yield f"Also found under: {words(', '.join(entry.also), entry)}."
    yield f"```{{math}}\n{entry.latex}\n```"
    if not isinstance(entry, Measure):
        yield f"````{{raw}} html\n{figure_html(entry)}\n````"
    if isinstance(entry, Loss):
        yield _playground(entry) if playground else ""
        yield _when(entry)
    yield f"## How to call it\n\n{_call(entry)}"
    if isinstance(entry, Loss):
        yield _gradient(entry)
    if not isinstance(entry, Law):
        yield f"## What it takes\n\n{_arguments(entry.inputs.arguments)}"
    yield _what_comes_out(entry)
    numbers = (entry.axis, *entry.parameters) if isinstance(entry, Law) else entry.parameters
    yield f"## Parameters\n\n{_parameters(numbers, entry)}" if numbers else ""
    yield f"## What is known\n\n{_facts(entry)}" if entry.facts else ""
    if isinstance(entry, Loss):
        yield f"## Numerical care\n\n{words(entry.stability, entry)}" if entry.stability else ""
    further, prose = split_parameters(
        docstring_words(entry.formula)[2] if isinstance(entry, Loss) else ""
    )
    yield "\n".join(
        f"- `{name}`: {words(text, entry)}"
        for name, _, text in (x.partition(" : ") for x in further)
    )
    yield "## Watch out" if entry.notes or prose else ""
    yield words(entry.notes, entry)
    if prose:
        yield f"```{{eval-rst}}\n{typeset(prose, symbols(entry), ROLE_MATHS)}\n```"
    yield "## Sources"
    yield "\n".join(_source(source, entry) for source in _sources(entry))
    related = [link(key) for key in entry.related if key in ENTRIES]
    yield f"Relatives: {', '.join(related)}." if related else ""


def symbols(entry: Entry) -> dict[str, str]:
    """The TeX of the names of an entry's numbers."""
    numbers = (entry.axis, *entry.parameters) if isinstance(entry, Law) else entry.parameters
    return {number.name: number.symbol for number in numbers}


def words(text: str, entry: Entry) -> str:
    """A text of the declaration as Markdown, its formulas set as TeX."""
    return typeset(text, symbols(entry))


def html_words(text: str, entry: Entry) -> str:
    """The same as HTML."""
    written = html.escape(typeset(text, symbols(entry), ("\x02", "\x03")), quote=False)
    return written.replace("\x02", HTML_MATHS[0]).replace("\x03", HTML_MATHS[1])


def label(entry: Entry) -> str:
    """The target of links to a passport."""
    return f"{type(entry).__name__.lower()}-{entry.key}"


def link(key: str) -> str:
    """A link to the passport of a key, under its title."""
    return f"[{ENTRIES[key].title}](#{label(ENTRIES[key])})"


def condition(when: str, entry: Entry, quotes: tuple[str, str] = ("$", "$")) -> str:
    """The parameters at which a loss has a trait, as a clause with TeX; nothing where always."""
    return f"for {quotes[0]}{latex(when, symbols(entry))}{quotes[1]}" if when else ""


def _index(entry: Entry) -> str:
    """What a search finds the page under: its title, with each parameter, and its other names."""
    names = [entry.title, entry.key.replace("_", " ")]
    names += [f"{entry.title} {p.name.replace('_', ' ')}" for p in entry.parameters]
    names += entry.also if isinstance(entry, Loss) else ()
    entries = ", ".join(f"!{name}" for name in dict.fromkeys(names))
    return f"```{{index}} {entries}\n```"


def _playground(loss: Loss) -> str:
    return (
        f'```{{raw}} html\n<p><a href="../playground.html#losses={loss.key}">'
        "Open in the playground</a></p>\n```"
    )


def _when(loss: Loss) -> str:
    return (
        "## When to use it\n\n"
        f"When it serves\n: {words(loss.use, loss)}\n\n"
        f"When another serves better\n: {words(loss.avoid, loss)}"
    )


def _call(entry: Entry) -> str:
    if isinstance(entry, Loss):
        same = (
            "With torch alone the same number is\n\n"
            f"```python\nimport torch.nn.functional as F\n\n{entry.in_torch}\n```\n\n"
            if entry.in_torch
            else ""
        )
        return (
            f"```python\n{entry.call}\n```\n\n{same}"
            f"The module is `lossviz.losses.{entry.module.__name__}`; "
            f"{{py:func}}`lossviz.losses.{entry.key}` says what is accepted and raised."
        )
    if isinstance(entry, Law):
        return (
            f"```python\nfrom lossviz.theory import {entry.key}\n\n"
            f"{entry.key}({entry.grid(3)[1].item():g})\n```"
        )
    names = ", ".join(argument.name for argument in entry.inputs.required)
    drawn = "\n".join(f"{a.name} = {a.code}" for a in entry.inputs.required)
    return (
        f"```python\nimport torch\nfrom lossviz.analysis import {entry.key}\n\n{drawn}\n"
        f"{entry.key}({names})\nstream = {entry.key}.stream()\nstream.update({names}).compute()\n"
        f"```\n\n`lossviz.analysis.MeasureMetric({entry.key})` is the same as a "
        "`torchmetrics.Metric`."
    )


def _what_comes_out(entry: Entry) -> str:
    if isinstance(entry, Loss):
        return f"{_rows(entry)} {_unchanged(entry)}"
    if isinstance(entry, Law):
        return f"What comes out: {entry.value}."
    better = "neither end is better" if entry.better == "neither" else f"{entry.better} is better"
    return f"One number for all rows ({entry.units}); {better}. Any split into batches gives it."


def _sources(entry: Entry) -> tuple[Source, ...]:
    """The main source, then those of the facts, without repeats."""
    found = [entry.source, *(fact.source for fact in entry.facts if fact.source)]
    return tuple(dict.fromkeys(found))


def _gradient(loss: Loss) -> str:
    """The gradient and how it is known; nothing where none is shown."""
    if not loss.gradient:
        return ""
    derived = isinstance(loss.form, TargetForm) and loss.derivative is None and not loss.slope
    how = "Derived from the formula." if derived else "Tested against automatic differentiation."
    return f"## Gradient\n\n```{{math}}\n{loss.gradient}\n```\n\n{how}"


def _arguments(arguments: Iterable[Argument]) -> str:
    """A definition for each argument, and one more for a second reading of it."""
    lines = []
    for argument in arguments:
        may = ", optional" if argument.optional else ""
        lines.append(_argument(f"`{argument.name}`{may}", argument))
        if argument.otherwise:
            lines.append(_argument(f"or `{argument.otherwise.name}`", argument.otherwise))
    return "\n\n".join(lines)


def _argument(name: str, argument: Argument) -> str:
    meaning = f" {argument.meaning}." if argument.meaning else ""
    return f"{name}\n: {_capital(argument.kind.noun)}, {shape(argument)}.{meaning}"


def shape(argument: Argument) -> str:
    """The shape of an argument as a page writes it."""
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


def _facts(entry: Entry) -> str:
    """The statements, each with how it is known."""
    lines = []
    for fact in entry.facts:
        known = f"{fact.status}, {CHECKED}" if fact.checked else fact.status
        lines.append(f"- {statement(fact, entry)} ({known}).{_cited(fact.source)}")
    return "\n".join(lines)


def statement(fact: Fact, entry: Entry) -> str:
    """What a fact states, as a page writes it: without the full stop."""
    return _capital(words(fact.statement.rstrip("."), entry))


def _parameters(parameters: Iterable[Parameter], entry: Entry) -> str:
    """A definition for each parameter: range, default, meaning and what its ends mean."""
    lines = []
    for p in parameters:
        default = "" if math.isnan(p.default) else f", default {p.default:g}"
        interval = p.interval.replace("∞", r"\infty")
        lines.append(
            f"`{p.name}`, ${p.symbol} \\in {interval}${default}\n"
            f": {_capital(words(p.meaning, entry))}. At the low end: {words(p.at_low, entry)}. "
            f"At the high end: {words(p.at_high, entry)}."
        )
    return "\n\n".join(lines)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cited(source: Source | None) -> str:
    if source is None:
        return ""
    where = f", {source.where}" if source.where else ""
    return f" {{cite:p}}`{source.key}`{where}."


def _source(source: Source, entry: Entry) -> str:
    where = f", {source.where}" if source.where else ""
    note = f". {_capital(words(source.note, entry))}" if source.note else ""
    return f"- {{cite:t}}`{source.key}`{where}{note}"
