"""Where a statement comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Where a statement comes from.

    `key` is a key of `book/references.bib`; `where` narrows it ("eq. 3", "section 2"); `note` says
    in one sentence how the source and this package differ, when they do.
    """

    key: str
    where: str = ""
    note: str = ""
