"""The words that a docstring and a flag give to a page, for losses, laws and measures alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Protocol

from .source import Source

READING = (
    "Our reading: the paper's equations were not available to us; checked are the facts below."
)
"""The banner of a page that shows our own reading of a paper."""

_EQUATION = re.compile(r"\b(eq|equation|algorithm|theorem|lemma)s?\b\.?\s*\(?\d", re.IGNORECASE)


class Sourced(Protocol):
    """What has a key, a source, and may be our own reading of it."""

    @property
    def key(self) -> str: ...
    @property
    def source(self) -> Source: ...
    @property
    def reading(self) -> bool: ...


def check_reading(declared: Sourced) -> None:
    """Raise ValueError for our own reading that cites an equation by its number."""
    if declared.reading and _EQUATION.search(declared.source.where):
        raise ValueError(
            f"{declared.key} is our own reading and may not cite an equation by number, "
            f"got {declared.source.where!r}"
        )


def docstring_words(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Title, summary and the rest of a docstring that starts with "Title: summary.".

    Raises ValueError for another beginning.
    """
    first, _, rest = (inspect.getdoc(function) or "").partition("\n")
    title, colon, summary = first.partition(": ")
    if not colon or not summary.endswith("."):
        raise ValueError(
            f"the docstring of {function.__name__} must start with 'Title: summary.', got {first!r}"
        )
    return title, summary[:1].upper() + summary[1:], rest.strip()


_PARAMETER = re.compile(r"^\w+ : .*\n?(?:[ ]+.*\n?)*", re.MULTILINE)


def split_parameters(prose: str) -> tuple[list[str], str]:
    """The lines ``name : meaning`` of a docstring, each in one line, and the rest of it."""
    lines = [" ".join(found[0].split()) for found in _PARAMETER.finditer(prose)]
    return lines, _PARAMETER.sub("", prose).strip()
