"""A report in parts: what each machine saw of its shard, and one report of all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .arrays import Array, InputError
from .command import write
from .inputs import Predictions, Reported, read
from .page import page
from .rows import Rows, merge, pass_over
from .summary import Summary, summarise

NO_GROUP = "no group"
"""Where some shards have groups, those rows of others that have none are together."""


@dataclass(frozen=True)
class Part:
    """What a report keeps of one shard: tensors and words, which can be pickled and sent.

    It holds a few numbers per row and a sample of whole rows, not the file. `of` is how many rows
    count in all shards together.
    """

    predictions: Predictions
    rows: Rows
    of: int


def part(
    source: Any,
    labels: Any = None,
    *,
    kind: Reported,
    first: int,
    of: int,
    seed: int = 0,
    **options: Any,
) -> Part:
    """Read one shard, as `lossviz.report` reads a file; `options` are its keys and groups.

    `first` rows that count (those without the label -100) lie in the shards before this one, and
    `of` in all of them: so every machine samples what one pass over all would have sampled. Raises
    `InputError` as `lossviz.report` does, and for a shard that does not lie within `of` rows.
    """
    found = read(source, labels, kind=kind, **options)
    count = len(found.labels)
    if first < 0 or first + count > of:
        raise InputError(
            f"{found.name} has {count} rows that count, which from {first} on are not within {of}"
        )
    rows = pass_over(found, seed, first=first, of=of)
    return Part(replace(found, array=Array(found.name, (0,), True, _none)), rows, of)


def _words(predictions: Predictions) -> np.ndarray:
    """The name of the group of each row."""
    if predictions.group is None:
        return np.full(len(predictions.target), NO_GROUP)
    return np.asarray(predictions.groups, dtype=str)[predictions.group]


def _none(count: int) -> Iterator[torch.Tensor]:
    """No numbers: those of the shard stay where it is."""
    return iter(())


def join(parts: Sequence[Part], *, seed: int = 0, out: str | Path | None = None) -> Summary:
    """The report of all parts, in order of their shards: the one that a single file would give.

    Groups are those of all parts; the rows of parts without any are the group "no group". It is
    written to the HTML file `out` if given. Raises `InputError` where parts are missing or are of
    other classes or kinds, and where no row counts.
    """
    if not parts:
        raise InputError("parts must hold at least one part, got none")
    head = parts[0].predictions
    count = sum(len(one.rows.label) for one in parts)
    if any(one.of != count for one in parts):
        raise InputError(
            f"parts hold {count} rows, expected {parts[0].of}: some are missing or there twice"
        )
    for other in (one.predictions for one in parts):
        if (other.given, other.names) != (head.given, head.names):
            raise InputError(
                f"{other.name} is of kind {other.given!r} with {other.classes} classes, "
                f"{head.name} of {head.given!r} with {head.classes}"
            )
    digests = "".join(one.predictions.digest for one in parts)
    whole = replace(
        head,
        name=f"{head.name} and {len(parts) - 1} more" if len(parts) > 1 else head.name,
        digest=hashlib.sha256(digests.encode()).hexdigest() if digests else "",
        target=torch.cat([one.predictions.target for one in parts]),
    )
    if any(one.predictions.group is not None for one in parts):
        words = [_words(one.predictions) for one in parts]
        names, index = np.unique(np.concatenate(words), return_inverse=True)
        whole = replace(whole, groups=tuple(map(str, names)), group=torch.from_numpy(index))
    whole.need_rows()
    summary = summarise(whole, merge([one.rows for one in parts], head.kind), seed)
    if out is not None:
        write({Path(out): page(summary)})
    return summary
