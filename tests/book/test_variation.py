"""A chapter run again with other seeds or constants, and claims that hold there as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .variation import measured, other_seeds

BOOK = Path(__file__).parents[2] / "book"
PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
---

```{code-cell}
import torch
from lossviz.experiments.claims import Evidence, claim

STEPS = 3
value = torch.rand((), generator=torch.Generator().manual_seed(0)).item()


@claim("steps", "Three steps.", status="measured")
def _():
    return Evidence("steps", STEPS, "<=", 3)


@claim("drawn", "What was drawn.", status="measured")
def _():
    return Evidence("value", value, "<=", 1)
```
"""


def draws():
    return (
        torch.rand((), generator=torch.Generator().manual_seed(3)).item(),
        torch.manual_seed(3).initial_seed(),
        np.random.default_rng(3).random(),
    )


def test_other_seeds_move_every_stream_and_afterwards_all_are_as_before():
    before = draws()
    with torch.random.fork_rng(devices=[]):
        with other_seeds(0):
            assert draws() == before
        with other_seeds(5):
            moved = draws()
        assert draws() == before
    assert all(one != other for one, other in zip(before, moved, strict=True))


def test_a_change_reaches_the_cells_and_a_claim_that_fails_is_told(tmp_path):
    chapter = tmp_path / "page.md"
    chapter.write_text(PAGE, encoding="utf-8")
    as_it_is = measured(chapter)
    assert as_it_is["steps"] == "steps: 3 ≤ 3"
    changed = measured(chapter, seeds=1000, changes=(("STEPS = 3", "STEPS = 6"),))
    assert changed["steps"] == "FAILS: steps: 6 ≤ 3"
    assert changed["drawn"] != as_it_is["drawn"]


def test_claims_hold_with_other_seeds():
    # one chapter, and a fast one: all of them together take ten minutes
    found = measured(BOOK / "roads.md", seeds=1000)
    assert found
    assert [text for text in found.values() if text.startswith("FAILS")] == []
