"""How names of arguments are written for readers."""

from __future__ import annotations


def plain(name: str) -> str:
    """The name of an argument as words."""
    return name.replace("_", " ")
