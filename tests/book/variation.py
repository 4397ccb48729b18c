"""A chapter's claims again, with other seeds or with constants changed.

`python -m tests.book.variation book/roads.md --seeds 1000 --change "steps=40" "steps=80"` executes
the chapter's cells and prints what each claim then measures, one that fails included. What comes
out belongs in the claim's `sensitivity`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import lossviz.experiments.claims as claims


@contextmanager
def other_seeds(offset: int) -> Iterator[None]:
    """Inside, whoever seeds a generator of torch or numpy with k gets the stream of k + offset."""

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + offset)

    of_torch, of_numpy = torch.manual_seed, np.random.default_rng
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "manual_seed", lambda seed: of_torch(seed + offset))
        patch.setattr(
            np.random,
            "default_rng",
            lambda seed=None: of_numpy(seed + offset if isinstance(seed, int) else seed),
        )
        yield


def measured(
    chapter: Path, *, seeds: int = 0, changes: tuple[tuple[str, str], ...] = ()
) -> dict[str, str]:
    """What each claim of a chapter measures, by id, as a sentence.

    changes : pairs of a piece of code and what to put in its place, everywhere in the chapter.
    """
    found: dict[str, str] = {}

    def claim(identifier: str, *args: Any, **options: Any) -> Callable[[Callable[[], Any]], None]:
        def look(check: Callable[[], Any]) -> None:
            try:
                evidence = check()
                verdict = "" if evidence.holds else "FAILS: "
                found[identifier] = f"{verdict}{evidence}"
            except AssertionError as failed:
                found[identifier] = f"FAILS: {failed or 'an assertion of the check'}"

        return look

    source = [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    with (
        pytest.MonkeyPatch.context() as patch,
        plt.rc_context(),
        other_seeds(seeds),
        redirect_stdout(sys.stderr),
    ):
        patch.setattr(claims, "claim", claim)
        for cell in source:
            for old, new in changes:
                cell = cell.replace(old, new)
            try:
                exec(compile(cell, str(chapter), "exec"), names)
            except AssertionError as failed:  # a check in the prose's numbers
                print("assertion outside a claim:", failed, cell[:200], file=sys.stderr)
    plt.close("all")
    return found


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("chapter", type=Path)
    asked.add_argument("--seeds", type=int, default=0)
    asked.add_argument("--change", nargs=2, action="append", default=[])
    options = asked.parse_args()
    changes = tuple(map(tuple, options.change))
    for name, text in measured(options.chapter, seeds=options.seeds, changes=changes).items():
        print(f"{name:32s} {text}")
