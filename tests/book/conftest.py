"""A small book for tests of how the book is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small_books import prepare


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book without pages."""
    return prepare(tmp_path)
