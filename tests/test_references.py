"""Every source that a declaration names is in the book's bibliography."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lossviz.analysis import MEASURES
from lossviz.losses import LOSSES
from lossviz.theory import LAWS

BIBLIOGRAPHY = Path(__file__).parents[1] / "book" / "references.bib"
KEYS = re.findall(r"^@\w+\{([^,]+),", BIBLIOGRAPHY.read_text(encoding="utf-8"), re.MULTILINE)
DECLARED = {**LOSSES, **MEASURES, **LAWS}


@pytest.mark.parametrize("key", DECLARED)
def test_every_source_has_an_entry(key):
    entry = DECLARED[key]
    named = {entry.source.key, *(fact.source.key for fact in entry.facts if fact.source)}
    assert named <= set(KEYS)


def test_keys_of_the_bibliography_and_of_declarations_are_unique():
    assert len(KEYS) == len(set(KEYS))
    assert len(DECLARED) == len(LOSSES) + len(MEASURES) + len(LAWS)


def test_relatives_exist():
    for key, entry in DECLARED.items():
        assert set(entry.related) <= set(DECLARED) - {key}, key
