"""Predictions and labels from what users have: files of many formats, or arrays in memory.

What the predictions hold (`kind`) is asked for and never guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..analysis.confidence import KINDS, Kind, check_kind
from . import tables
from .answers import Logprobs, Reading, of_lines
from .arrays import Array, InputError, of_npy, of_npz, of_safetensors, of_tensor, unpickled

Reported = Kind | Literal["token log-probabilities"]
ANSWERS: Reported = "token log-probabilities"
REPORTED: tuple[Reported, ...] = (*KINDS, ANSWERS)
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
    given: Reported
    array: Array
    target: torch.Tensor
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()
    group: torch.Tensor | None = None  # which of the groups each row belongs to
    notes: Mapping[str, str] = field(default_factory=dict)  # what the page says of the rows

    @property
    def kind(self) -> Kind:
        return "probabilities" if self.binary else self.given  # type: ignore[return-value]

    @property
    def binary(self) -> bool:
        """Whether a row is one probability, of what is or is not so."""
        return self.given in REPORTED[3:]

    @property
    def event(self) -> bool:
        """Whether the probability is that of being right, so that the answer is always that."""
        return self.given == ANSWERS

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> torch.Tensor:
        """The labels of the rows that count (N,), int64."""
        return self.target[self.target != IGNORED]

    def need_rows(self) -> None:
        """Raise `InputError` where no row counts, which a shard is allowed but no report."""
        if not (self.target != IGNORED).any():
            cause = (
                "every answer has a token without log-probability (null)"
                if self.event
                else f"no row has a label that counts, which {IGNORED} does not"
            )
            raise InputError(f"{self.name}: {cause}")

    def blocks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Rows that count (n, K), their labels (n,) and where they are in the file (n,)."""
        binary = self.binary
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
    kind: Reported,
    groups: Any = None,
    logits_key: str | None = None,
    labels_key: str | None = None,
    groups_key: str | None = None,
    logprobs: Logprobs | None = None,
    confidence: Reading = "total",
) -> Predictions:
    """Predictions from a path, or from an array or tensor.

    `source` is a .npz, .npy, .safetensors, .csv, .tsv, .parquet or .jsonl file, an array (..., K),
    or an object with `predictions` and `label_ids`. `labels` (a file or an array of integers) may
    be left out where the source holds them; -100 marks rows that do not count. `kind` is "logits",
    "probabilities", "log-probabilities", "binary score" for P(label = 1) of shape (...),
    "multilabel" for probabilities (N, L) with 0 and 1 (N, L) as labels, or "token
    log-probabilities" for .jsonl; then `logprobs` says whether they are "raw" or "processed" (by
    temperature and truncation), and `confidence` is exp of their "total", "mean" or "least".
    `groups` (...) are numbers or words, one per row, or are found under `groups_key`; of kind
    "multilabel" one per example (N,), and without them the labels are the groups.

    Raises `InputError`, a ValueError, that names the file and the key.
    """
    try:
        check_kind(kind, REPORTED)
    except ValueError as error:
        raise InputError(str(error)) from None
    if hasattr(source, "label_ids") and labels is None:
        source, labels = source.predictions, source.label_ids
    path = Path(source) if isinstance(source, (str, Path)) else None
    if groups is not None and groups_key is not None:
        raise InputError(f"groups are given, and are named by a key, {groups_key!r}: expected one")
    if kind == ANSWERS:
        _unused(f"kind {kind!r}", logits_key=logits_key)
        if labels is not None:
            raise InputError(f"labels of kind {kind!r} are in the same file: give no others")
        found = _answers(path, logprobs, confidence, labels_key, groups_key)
        return found if groups is None else _grouped(found, groups)
    _unused(
        f"kind {kind!r}",
        logprobs=logprobs,
        confidence=None if confidence == "total" else confidence,
    )
    names: tuple[str, ...] = ()
    truth: torch.Tensor | Array | None = None
    if path is None:
        _unused("an array in memory", logits_key=logits_key, groups_key=groups_key)
        array = of_tensor("predictions", _tensor(source, "predictions"))
    elif _format(path) in TABLES:
        _unused("a table, whose classes are all other columns", logits_key=logits_key)
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
        raise InputError(
            f"{array.name} comes without labels: name their key or column (--labels), or "
            "give them as a second file or array"
        )
    digest = _digest(path) if path else ""
    name = path.name if path else "in memory"
    if kind == "multilabel":
        return _multilabel(name, digest, array, truth, groups)
    found = _checked(name, digest, kind, array, truth, names)
    return found if groups is None else _grouped(found, groups)


def _unused(what: str, **given: Any) -> None:
    """Raise for what was given and would not be looked at."""
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"{name} (--{name.removesuffix('_key')}) does not go with {what}: leave it out"
            )


def _answers(
    path: Path | None,
    logprobs: Logprobs | None,
    confidence: Reading,
    labels_key: str | None,
    groups_key: str | None,
) -> Predictions:
    if path is None or _format(path) != ".jsonl":
        raise InputError(f"kind {ANSWERS!r} is read from a .jsonl file, got {path}")
    if logprobs not in ("raw", "processed"):
        raise InputError(
            "logprobs (--logprobs) must be 'raw' or 'processed': whether the server gave them "
            f"before temperature and truncation cannot be seen from the file, got {logprobs!r}"
        )
    if confidence not in ("total", "mean", "least"):
        raise InputError(f"confidence must be 'total', 'mean' or 'least', got {confidence!r}")
    found = of_lines(path, confidence, labels_key, groups_key)
    target = torch.where(found.confidence.isnan(), IGNORED, found.correct)
    notes = {
        "log-probabilities": logprobs,
        "confidence in an answer": f"exp of the {confidence} of its tokens' log-probabilities",
        "ignored rows here": "answers with a token whose log-probability is unknown",
    }
    array = of_tensor(f"{path}", found.confidence.nan_to_num())
    made = Predictions(
        path.name, _digest(path), ANSWERS, array, target, ("wrong", "right"), notes=notes
    )
    return made if found.groups is None else _grouped(made, found.groups)


def _multilabel(
    name: str, digest: str, array: Array, truth: torch.Tensor | Array, groups: Any
) -> Predictions:
    """Each pair of an example and a label is a row; labels are groups, where none are given."""
    if not array.floating or len(array.shape) != 2:
        raise InputError(
            f"{array.name} must hold floating-point probabilities (N, L), got shape {array.shape}"
        )
    given = truth.whole() if isinstance(truth, Array) else truth
    if tuple(given.shape) != array.shape:
        raise InputError(
            f"labels must be 0 and 1 of shape {array.shape} as {array.name}, got "
            f"{tuple(given.shape)}"
        )
    if not ((given == 0) | (given == 1)).all():
        raise InputError("labels of kind 'multilabel' must be 0 and 1: one column per label")
    rows, labels = array.shape
    made = Predictions(
        name, digest, "multilabel", array, given.long().flatten(), ("0", "1"),
        tuple(f"label {number}" for number in range(labels)), torch.arange(labels).repeat(rows),
        {"a row here": f"one of the {labels} labels of one example"},
    )  # fmt: skip
    return made if groups is None else _grouped(made, groups, labels)


def _grouped(predictions: Predictions, groups: Any, each: int = 1) -> Predictions:
    """The same rows in other groups, of which each names `each` rows that follow one another."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    rows = len(predictions.target) // each
    if index.size != rows:
        raise InputError(f"groups must name one group per row, {rows}, got {index.size}")
    group = torch.from_numpy(index.ravel()).repeat_interleave(each)
    return replace(predictions, groups=tuple(map(str, names.tolist())), group=group)


def _checked(
    name: str,
    digest: str,
    kind: Reported,
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
    names = names if len(names) == classes else tuple(map(str, range(classes)))
    return Predictions(name, digest, kind, array, target, names)


def _rows_and_classes(array: Array, kind: Reported) -> tuple[tuple[int, ...], int]:
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
    if suffix == ".jsonl":
        raise InputError(f"{path} holds answers, which are kind {ANSWERS!r}")
    if suffix not in READERS:
        raise InputError(
            f"{path} must end in one of {[*READERS, *TABLES, '.jsonl']}, got {suffix!r}"
        )
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
            f"{name or 'one array'} "
            f"{'(unreadable)' if isinstance(array, InputError) else array.shape}"
            for name, array in found.items()
        )
        if not found:
            raise InputError(f"{path} holds no array")
        missing = f"has no key {key!r}" if key else f"has {fitting or 'none'} of the keys {usual}"
        raise InputError(f"{path} {missing}; it holds {there}: say {option} KEY")
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
