"""Predictions and labels from what users have: files of many formats, or arrays in memory.

What the predictions hold (`kind`) is asked for and never guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..analysis.confidence import KINDS, Kind, check_kind
from . import tables
from .arrays import Array, InputError, of_npy, of_npz, of_safetensors, of_tensor, unpickled

LOGITS = ("logits", "predictions", "probabilities", "log_probabilities", "probs", "scores")
IGNORED = -100  # the label that trainers give to what does not count
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib", ".p")
BLOCK = 2**22
"""How many numbers are in memory at a time, in each of the few arrays that are made of them."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of K classes and their labels, read by blocks of rows.

    `kind` is that of the rows that `blocks` yields: a binary score becomes two probabilities.
    """

    name: str
    digest: str
    given: Kind
    array: Array
    target: torch.Tensor
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()
    group: torch.Tensor | None = None  # which of the groups each row belongs to

    @property
    def kind(self) -> Kind:
        return "probabilities" if self.given == "binary score" else self.given

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> torch.Tensor:
        """The labels of the rows that count (N,), int64."""
        return self.target[self.target != IGNORED]

    def blocks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Rows that count (n, K), their labels (n,) and where they are in the file (n,)."""
        binary = self.given == "binary score"
        width = 1 if binary else self.classes
        start = 0
        for flat in self.array.parts(max(1, BLOCK // width) * width):
            rows = flat.reshape(-1, width)
            target = self.target[start : start + len(rows)]
            counts = (target != IGNORED).nonzero()[:, 0]
            rows = rows[counts]
            both = torch.cat((1 - rows, rows), -1) if binary else rows
            yield both, target[counts], start + counts
            start += len(target)


def read(
    source: Any,
    labels: Any = None,
    *,
    kind: Kind,
    groups: Any = None,
    logits_key: str | None = None,
    labels_key: str | None = None,
    groups_key: str | None = None,
) -> Predictions:
    """Predictions from a path, or from an array or tensor.

    `source` is a .npz, .npy, .safetensors, .csv, .tsv or .parquet file, an array (..., K), or an
    object with `predictions` and `label_ids`. `labels` (a file or an array of integers) may be left
    out where the source holds them; -100 marks rows that do not count. `kind` is "logits",
    "probabilities", "log-probabilities", or "binary score" for P(label = 1) of shape (...).
    `groups` (...) are numbers or words, one per row, or are found under `groups_key`.

    Raises `InputError`, a ValueError, that names the file and the key.
    """
    try:
        check_kind(kind, KINDS[:4])
    except ValueError as error:
        raise InputError(str(error)) from None
    if hasattr(source, "label_ids") and labels is None:
        source, labels = source.predictions, source.label_ids
    path = Path(source) if isinstance(source, (str, Path)) else None
    names: tuple[str, ...] = ()
    truth: torch.Tensor | Array | None = None
    if path is None:
        array = of_tensor("predictions", _tensor(source, "predictions"))
    elif _format(path) in TABLES:
        table = (tables.of_parquet if path.suffix == ".parquet" else tables.of_text)(
            path, labels_key, groups_key
        )
        array, truth = of_tensor(f"{path}", table.predictions), table.labels
        names, groups = table.classes, table.groups if groups is None else groups
    else:
        arrays = _arrays(path)
        array = _choose(path, arrays, logits_key, LOGITS, "--logits")
        if labels is None and "" not in arrays:
            truth = _choose(path, arrays, labels_key, tables.LABELS, "--labels")
        if groups_key is not None:
            groups = _choose(path, arrays, groups_key, (), "--groups").whole()
    if labels is not None:
        truth = _labels(labels, labels_key)
    if truth is None:
        raise InputError(f"{array.name} comes without labels: give them as a second file or array")
    digest = _digest(path) if path else ""
    found = _checked(path.name if path else "in memory", digest, kind, array, truth, names)
    return found if groups is None else _grouped(found, groups)


def _grouped(predictions: Predictions, groups: Any) -> Predictions:
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if index.size != len(predictions.target):
        raise InputError(
            f"groups must name one group per row, {len(predictions.target)}, got {index.size}"
        )
    group = torch.from_numpy(index.ravel())
    return replace(predictions, groups=tuple(map(str, names.tolist())), group=group)


def _checked(
    name: str,
    digest: str,
    kind: Kind,
    array: Array,
    truth: torch.Tensor | Array,
    names: tuple[str, ...],
) -> Predictions:
    shape, classes = _rows_and_classes(array, kind)
    whose = truth.name if isinstance(truth, Array) else array.name
    target = _per_row(truth, shape, array) if isinstance(truth, Array) else truth
    wrong = ((target < 0) | (target >= classes)) & (target != IGNORED)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise InputError(
            f"{whose}: the label of row {row} is {int(target[row])}, expected a class in "
            f"[0, {classes}) or {IGNORED} for a row that does not count"
        )
    if not (target != IGNORED).any():
        raise InputError(f"{whose}: no row has a label that counts")
    names = names if len(names) == classes else tuple(map(str, range(classes)))
    return Predictions(name, digest, kind, array, target, names)


def _rows_and_classes(array: Array, kind: Kind) -> tuple[tuple[int, ...], int]:
    """The shape of the labels, and the number of classes."""
    shape = array.shape
    if not array.floating:
        raise InputError(f"{array.name} holds integers, expected floating-point {kind}")
    if kind == "binary score":
        if len(shape) > 1 and shape[-1] == 2:
            raise InputError(
                f'{array.name} has shape {shape}; two columns are kind "probabilities", and a '
                "binary score is P(label = 1) alone"
            )
        return shape[:-1] if shape[-1:] == (1,) else shape, 2
    if len(shape) < 2 or shape[-1] < 2:
        raise InputError(
            f"{array.name} must have shape (N, K) with K >= 2 classes, got {shape}; "
            'P(label = 1) alone is kind "binary score"'
        )
    return shape[:-1], shape[-1]


def _per_row(truth: Array, shape: tuple[int, ...], array: Array) -> torch.Tensor:
    if truth.floating or len(truth.shape) == len(shape) + 1:
        raise InputError(
            f"{truth.name} must hold whole numbers, one per row, got shape {truth.shape}"
            f"{' of floats' if truth.floating else ''}; one-hot rows become labels by .argmax(-1), "
            "floats by .astype(int)"
        )
    if truth.shape != shape:
        raise InputError(
            f"{truth.name} has shape {truth.shape}, expected {shape} beside {array.name} of shape "
            f"{array.shape}"
        )
    return truth.whole().long().flatten()


def _format(path: Path) -> str:
    """The ending of a file that is there, refused where it is a pickle."""
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise InputError(f"{path} is empty")
    if path.suffix in PICKLES or (start[:1] == b"\x80" and path.suffix != ".safetensors"):
        raise InputError(f"{path} is a pickle. {unpickled(path)}")
    return path.suffix


READERS: Mapping[str, Callable[[Path], Mapping[str, Array | InputError]]] = {
    ".npy": of_npy,
    ".npz": of_npz,
    ".safetensors": of_safetensors,
}


TABLES = (".csv", ".tsv", ".parquet")


def _arrays(path: Path) -> Mapping[str, Array | InputError]:
    suffix = _format(path)
    if suffix in TABLES:
        raise InputError(f"{path} is a table; labels alone are read from {[*READERS]}")
    if suffix not in READERS:
        raise InputError(f"{path} must end in one of {[*READERS, *TABLES]}, got {suffix!r}")
    return READERS[suffix](path)


def _choose(
    path: Path,
    found: Mapping[str, Array | InputError],
    key: str | None,
    usual: tuple[str, ...],
    option: str,
) -> Array:
    """The array under this key or a usual one; all that is there is listed where none fits."""
    if [*found] == [""] and option == "--logits":
        return _sound(found[""])
    fitting = [name for name in found if name == key or (key is None and name in usual)]
    if len(fitting) != 1:
        there = ", ".join(
            f"{name} {'(unreadable)' if isinstance(array, InputError) else array.shape}"
            for name, array in found.items()
            if name
        )
        missing = f"has no key {key!r}" if key else f"has {fitting or 'none'} of the keys {usual}"
        raise InputError(f"{path} {missing}; it holds {there or 'one array'}: say {option} KEY")
    return _sound(found[fitting[0]])


def _sound(array: Array | InputError) -> Array:
    if isinstance(array, InputError):
        raise array
    if not array.shape:
        raise InputError(f"{array.name} has shape (), a single value; expected one row per example")
    return array


def _labels(labels: Any, key: str | None) -> Array:
    if not isinstance(labels, (str, Path)):
        return of_tensor("labels", _tensor(labels, "labels"))
    path = Path(labels)
    found = _arrays(path)
    return _sound(found[""]) if "" in found else _choose(
        path, found, key, tables.LABELS, "--labels"
    )  # fmt: skip


def _tensor(given: Any, name: str) -> torch.Tensor:
    if isinstance(given, torch.Tensor):
        return given.detach().cpu()
    if isinstance(given, tuple):
        raise InputError(f"{name} are a tuple of {len(given)} arrays: give the one that is meant")
    values = np.asarray(given)
    if values.dtype.kind not in "fiub":
        raise InputError(f"{name} must hold numbers, got dtype {values.dtype}")
    return torch.tensor(values)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
