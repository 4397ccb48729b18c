"""What there is, by key: a literal list of declarations that can be read, searched and iterated."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar


class Entry(Protocol):
    """What has a key, a title and a family: a loss, a measure, a law."""

    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def family(self) -> str: ...


Declared = TypeVar("Declared", bound=Entry)


class Registry(Mapping[str, Declared]):
    """Declarations by key, in the order given, which cannot be changed.

    `noun` names an entry in messages. Raises ValueError for two entries of one key.
    """

    def __init__(self, noun: str, *entries: Declared) -> None:
        self._noun = noun
        self._entries = {entry.key: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise ValueError(f"two entries have one key: {[entry.key for entry in entries]}")

    def __getitem__(self, key: str) -> Declared:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{len(self)} entries: {', '.join(self)}>"

    def find(self, key: str) -> Declared:
        """The entry of a key.

        Raises TypeError if `key` is not a string, ValueError with the nearest keys if there is no
        such entry.
        """
        if not isinstance(key, str):
            raise TypeError(f"key must be a string, got {type(key).__name__}")
        if key in self:
            return self[key]
        wanted = key.lower().replace("-", "_")
        titles = {entry.title.lower(): name for name, entry in self.items()}
        near = [name for name in self if "".join(word[0] for word in name.split("_")) == wanted]
        near += difflib.get_close_matches(wanted, self, cutoff=0.4)
        near += [titles[t] for t in difflib.get_close_matches(key.lower(), titles, cutoff=0.6)]
        nearest = list(dict.fromkeys(near)) or list(self)
        raise ValueError(f"no {self._noun} {key!r}; did you mean one of {nearest}?")

    def names(self, family: str | None = None) -> tuple[str, ...]:
        """The keys in order, of one family or of all; ValueError for an unknown family."""
        families = dict.fromkeys(entry.family for entry in self.values())
        if family is not None and (not isinstance(family, str) or family not in families):
            near = difflib.get_close_matches(str(family).replace("_", "-"), families, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"family must be one of {tuple(families)}, got {family!r}{hint}")
        return tuple(key for key, entry in self.items() if family in (None, entry.family))
