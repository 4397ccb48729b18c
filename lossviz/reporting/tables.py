"""Tables of predictions, a column per class and one with the labels: csv, tsv, parquet."""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import torch

from .arrays import InputError

LABELS = ("label", "labels", "label_ids", "target", "targets", "y", "y_true", "ground_truth")
"""Names under which labels are looked for, where none is given."""


class Table(NamedTuple):
    """Predictions (N, K) in float32, names of the K classes; labels and groups (N,), or None."""

    predictions: torch.Tensor
    classes: tuple[str, ...]
    labels: torch.Tensor | None
    groups: list[str] | None


class Columns(NamedTuple):
    """Places of the columns of the classes, and of those of labels and groups, if any."""

    classes: list[int]
    label: int | None
    group: int | None


def of_text(path: Path, label: str | None, group: str | None) -> Table:
    """A table of text with a header; columns are parted by commas, semicolons or tabs.

    With semicolons a comma may stand for the decimal point. Numbers are read in single precision,
    whose tolerance fits text that was rounded.
    """
    numbers = array("f")
    truth: list[str] = []
    groups: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            parted = max("\t;,", key=first.count)
            header = next(csv.reader([first], delimiter=parted), [])
            columns = _columns(path, header, label, group)
            for line, row in enumerate(csv.reader(file, delimiter=parted), 2):
                if not row:
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{path}, line {line}: {len(row)} columns, the header has {len(header)}"
                    )
                cells = [row[at] for at in columns.classes]
                if parted == ";":
                    cells = [cell.replace(",", ".") for cell in cells]
                try:
                    numbers.extend(map(float, cells))
                except ValueError as error:
                    raise InputError(f"{path}, line {line}: {error}") from None
                if columns.label is not None:
                    truth.append(row[columns.label])
                if columns.group is not None:
                    groups.append(row[columns.group])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a table of text in UTF-8: {error}") from None
    if not numbers:
        raise InputError(f"{path} has no rows below its header")
    names = _class_names([header[at] for at in columns.classes])
    values = torch.tensor(numbers).reshape(-1, len(names))
    return Table(values, names, _as_labels(path, truth, names) if truth else None, groups or None)


def of_parquet(path: Path, label: str | None, group: str | None) -> Table:
    """A parquet file, if pyarrow is installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path} is a parquet file, which needs pyarrow: pip install pyarrow, or save a .npz"
        ) from None
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise InputError(f"{path} cannot be read, it is damaged or truncated: {error}") from None
    columns = _columns(path, table.column_names, label, group)
    names = _class_names([table.column_names[at] for at in columns.classes])
    try:
        each = [torch.tensor(table.column(at).to_numpy()).float() for at in columns.classes]
    except (TypeError, pyarrow.ArrowInvalid):
        raise InputError(f"{path}: columns of classes must hold numbers") from None
    truth, groups = (
        None if at is None else [str(value) for value in table.column(at).to_pylist()]
        for at in (columns.label, columns.group)
    )
    labels = None if truth is None else _as_labels(path, truth, names)
    return Table(torch.stack(each, -1), names, labels, groups)


def _columns(path: Path, header: Sequence[str], label: str | None, group: str | None) -> Columns:
    """Where everything is; a column without a name is an index, and is left out."""
    for name in (label, group):
        if name is not None and name not in header:
            raise InputError(f"{path} has no column {name!r}, expected one of {list(header)}")
    known = [name for name in header if name == label or (label is None and name in LABELS)]
    if len(known) > 1:
        raise InputError(f"{path} has the columns {known}: say which holds the labels (--labels)")
    apart = {"", "__index_level_0__", group, *known}
    classes = [at for at, name in enumerate(header) if name not in apart]
    name, times = Counter(header[at] for at in classes).most_common(1)[0] if classes else ("", 1)
    if times > 1:
        raise InputError(f"{path} has {times} columns named {name!r}: a class is one column")
    if not classes:
        raise InputError(f"{path} has no columns of predictions, its header is {list(header)}")
    return Columns(
        classes,
        header.index(known[0]) if known else None,
        None if group is None else header.index(group),
    )


def _class_names(header: Sequence[str]) -> tuple[str, ...]:
    """Columns without what all of them start with up to a mark, as in p_cat and p_dog."""
    letters = zip(*header, strict=False) if len(header) > 1 else ()
    shared = "".join(each[0] for each in takewhile(lambda each: len({*each}) == 1, letters))
    start = re.match(r".*[\W_]", shared)
    return tuple(name[start.end() :] if start else name for name in header)


def _as_labels(path: Path, truth: Sequence[str], names: Sequence[str]) -> torch.Tensor:
    """Names of classes, or their numbers from 0 on, as class numbers."""
    place = {name: number for number, name in enumerate(names)}
    words = [word.strip() for word in truth]
    if all(word in place for word in words):
        return torch.tensor([place[word] for word in words])
    try:
        return torch.tensor([int(word) for word in words])
    except ValueError:
        strange = next(word for word in words if word not in place)
        raise InputError(
            f"{path}: label {strange!r} is neither a whole number nor one of the classes "
            f"{list(names)[:20]}"
        ) from None
