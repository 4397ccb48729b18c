"""The log of a reinforcement-learning run: what trainers and trackers write, as columns over steps.

A column is recognised by its name alone and kept under one name here, with the name that it had.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .arrays import InputError

SUFFIXES = (".json", ".jsonl", ".csv")
STEP = ("step", "global_step", "_step", "training/global_step", "trainer/global_step")
NAMES: Mapping[str, tuple[str, ...]] = {
    "entropy": ("entropy", "actor/entropy", "actor/entropy_loss", "policy/entropy",
                "policy/entropy_avg", "objective/entropy"),
    "reward": ("reward", "critic/rewards/mean", "critic/score/mean", "rewards/mean",
               "objective/rlhf_reward", "objective/scores"),
    "kl": ("kl", "actor/ppo_kl", "actor/kl_loss", "objective/kl", "kl_divergence"),
    "length": ("completions/mean_length", "response_length/mean", "completion_length",
               "mean_length"),
    "truncated": ("completions/clipped_ratio", "response_length/clip_ratio", "truncation_share"),
    "clipped": ("clip_ratio/region_mean", "clip_ratio", "actor/pg_clipfrac", "clip_fraction",
                "policy/clipfrac_avg"),
    "surprise": ("sampled_nll", "nll", "rollout/nll", "neg_logprob"),
    "temperature": ("temperature", "sampling/temperature", "rollout/temperature"),
}  # fmt: skip
"""What a column may be called, first choice first; a prefix such as train/ does not count."""
POSITION = re.compile(r"(?:^|/)entropy(?:_at)?[_/](?:position|pos)[_/](\d+)$")
HELD_OUT = re.compile(r"^(eval|val|valid|validation|test)(_|/|-core/|-aux/)")


class Column(NamedTuple):
    """Values (T,), NaN where the log has none, under the name that they had."""

    source: str
    values: torch.Tensor


@dataclass(frozen=True)
class Run:
    """Rising steps (T,) and columns of a run, entropies by position, and what was left out.

    `by_position` has a row (P,) of the first and of the last step that hold them, or is empty.
    """

    name: str
    digest: str
    step: torch.Tensor
    columns: Mapping[str, Column]
    by_position: tuple[torch.Tensor, ...]
    held_out_rows: int
    repeated_steps: int
    unused: tuple[str, ...]


class _Log(NamedTuple):
    """One source of rows: where it is, what it is known by, and the rows."""

    where: Path | str
    content: bytes
    rows: list[dict[str, float]]


def is_log(source: Any) -> bool:
    """Whether a source can be the log of a run: a path by its ending, or rows in memory."""
    if isinstance(source, (str, Path)):
        return Path(source).suffix in SUFFIXES
    rows = isinstance(source, Sequence) and all(isinstance(row, Mapping) for row in source)
    return rows or isinstance(source, Mapping) or hasattr(source, "to_dict")


def read_run(source: Any, *more: Any) -> Run:
    """The run in a log; further logs are joined to it by their steps.

    Parameters
    ----------
    source, more : paths, or what such files hold. A .json file holds a list of rows, a trainer's
        state with its `log_history`, or lists by column; .jsonl a row per line, its numbers perhaps
        under "data"; .csv a header with a column for each metric (of one run), or "Wall
        time,Step,Value" with the metric in the file's name. In memory rows are mappings, columns
        may be arrays, and a table with a method `to_dict("list")` will do.

    Rows and columns of evaluation are set aside. Raises `InputError` that names file and key.
    """
    logs = [_log(one) for one in (source, *more)]
    rows: dict[float, dict[str, float]] = {}
    held_out = repeated = 0
    for log in logs:
        seen: set[float] = set()
        last: float | None = None
        for row in log.rows:
            step = _step(row)
            values = {name: value for name, value in row.items() if not HELD_OUT.match(name)}
            numbers = {_bare(name): v for name, v in values.items() if _bare(name) not in STEP}
            if len(values) < len(row) and not any(_known(name) for name in numbers):
                held_out += 1
                continue
            if step != step:
                raise InputError(f"{log.where}: a step is {step}, expected a number")
            if step is None:
                step = (last if last is not None else -1.0) + 1
            repeated += step in seen
            seen.add(step)
            last = step
            rows.setdefault(step, {}).update(numbers)
    if not rows:
        raise InputError(f"{logs[0].where} holds no rows of training")
    steps = sorted(rows)
    known = (name for step in steps for name, value in rows[step].items() if value == value)
    names = list(dict.fromkeys(known))
    columns = _columns(names, [rows[step] for step in steps])
    if "entropy" not in columns and "reward" not in columns:
        raise InputError(
            f"{logs[0].where} has neither an entropy {NAMES['entropy']} nor a reward "
            f"{NAMES['reward']}; it holds {names[:20]}. If it holds predictions, say their --kind"
        )
    used = {column.source for column in columns.values()}
    return Run(
        " and ".join(Path(log.where).name for log in logs),
        hashlib.sha256(b"".join(log.content for log in logs)).hexdigest(),
        torch.tensor(steps, dtype=torch.float64),
        columns,
        _by_position([rows[step] for step in steps]),
        held_out,
        repeated,
        tuple(name for name in names if name not in used and not POSITION.search(name)),
    )


def _known(name: str) -> bool:
    return any(name in known for known in NAMES.values()) or bool(POSITION.search(name))


def _bare(name: str) -> str:
    return name.removeprefix("train/").removeprefix("train_").strip()


def _step(row: Mapping[str, float]) -> float | None:
    return next((row[name] for name in row if _bare(name).lower() in STEP), None)


def _columns(names: Iterable[str], rows: Sequence[Mapping[str, float]]) -> dict[str, Column]:
    there = set(names)
    found = {}
    for kind, known in NAMES.items():
        source = next((name for name in known if name in there), None)
        if source is not None:
            values = [row.get(source, torch.nan) for row in rows]
            found[kind] = Column(source, torch.tensor(values, dtype=torch.float64))
    return found


def _by_position(rows: Sequence[Mapping[str, float]]) -> tuple[torch.Tensor, ...]:
    found = []
    for row in rows:
        places = {int(m[1]): value for name, value in row.items() if (m := POSITION.search(name))}
        if places:
            found.append(torch.tensor([places[p] for p in sorted(places)], dtype=torch.float64))
    return (found[0], found[-1]) if found else ()


def _log(source: Any) -> _Log:
    if not isinstance(source, (str, Path)):
        rows = _of_records("the log", source)
        return _Log("the log", json.dumps(rows).encode(), rows)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: the log of a run ends in one of {SUFFIXES}")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error}") from None
    if not text.strip():
        raise InputError(f"{path} is empty")
    return _Log(path, content, (_of_csv if path.suffix == ".csv" else _of_json)(path, text))


def _of_json(path: Path, text: str) -> list[dict[str, float]]:
    try:
        if path.suffix == ".jsonl":
            held: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            held = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    return _of_records(path, held)


def _of_records(where: Path | str, held: Any) -> list[dict[str, float]]:
    """The numbers of rows, of a trainer's state, or of columns."""
    if hasattr(held, "to_dict"):
        held = held.to_dict("list")
    if isinstance(held, Mapping) and "log_history" in held:
        held = held["log_history"]
    elif isinstance(held, Mapping) and held:
        columns = {name: _listed(column) for name, column in held.items()}
        if all(isinstance(column, list) for column in columns.values()):
            lengths = {name: len(column) for name, column in columns.items()}
            if len({*lengths.values()}) > 1:
                raise InputError(f"{where}: its columns have unequal lengths, {lengths}")
            rows = zip(*columns.values(), strict=True)
            held = [dict(zip(columns, row, strict=True)) for row in rows]
    if not isinstance(held, Sequence) or not all(isinstance(row, Mapping) for row in held):
        raise InputError(
            f'{where} must hold a list of rows, or "log_history", or a list for each column'
        )
    return [_numbers(where, k, row) for k, row in enumerate(held)]


def _listed(value: Any) -> Any:
    """Arrays and tensors as lists, their numbers and those of tuples as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [*map(_listed, value)] if isinstance(value, (list, tuple)) else value


def _numbers(path: Path | str, row: int, held: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row; what is nested lies under a path, and a list under positions."""
    inner = held.get("data")
    flat = {**held, **inner} if isinstance(inner, dict) else dict(held)
    found: dict[str, float] = {}
    for name, given in flat.items():
        value = _listed(given)
        if isinstance(value, bool) or value is None or isinstance(value, (str, dict)):
            continue  # a flag, a gap, or a word such as the run's name
        if isinstance(value, list):
            if "position" in name:
                for k, entry in enumerate(value):
                    where = f"{path}, row {row}, {name!r}, place {k}"
                    found[f"entropy/position/{k}"] = _number(where, entry)
            continue
        if isinstance(value, (int, float)):
            found[name] = _number(f"{path}, row {row}, {name!r}", value)
    return found


def _number(where: str, value: Any) -> float:
    try:
        return _finite(where, float(value))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: {error}") from None


def _finite(where: str, value: float) -> float:
    if value in (float("inf"), float("-inf")):
        raise InputError(f"{where} is {value}, expected a finite number")
    return value


def _of_csv(path: Path, text: str) -> list[dict[str, float]]:
    try:
        lines = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise InputError(f"{path} is not CSV: {error}") from None
    header, body = lines[0], [line for line in lines[1:] if line]
    if [name.strip().lower() for name in header] == ["wall time", "step", "value"]:
        metric = _in_file_name(path)
        header, body = ["step", metric], [line[1:] for line in body]
    names = [_of_one_run(name) for name in header]
    runs = {run for run, _ in names if run}
    if len(runs) > 1:
        raise InputError(f"{path} holds the runs {sorted(runs)}: export one of them alone")
    rows = []
    for number, line in enumerate(body, 2):
        if len(line) != len(header):
            raise InputError(
                f"{path}, line {number}: {len(line)} columns, the header has {len(header)}"
            )
        row = {}
        for (_, name), cell in zip(names, line, strict=True):
            if not cell.strip() or not name or name.endswith(("__MIN", "__MAX")):
                continue
            try:
                row[name] = _finite(f"{path}, line {number}, {name!r}", float(cell))
            except ValueError as error:
                if isinstance(error, InputError):
                    raise
                if _known(_bare(name)):
                    raise InputError(f"{path}, line {number}, {name!r}: {error}") from None
        rows.append(row)
    return rows


def _of_one_run(name: str) -> tuple[str, str]:
    """The run and the metric in a heading such as "my-run - train/reward"."""
    run, parted, metric = name.partition(" - ")
    return (run, metric) if parted else ("", name)


def _in_file_name(path: Path) -> str:
    """The metric that a file of one metric is named after, with _ for what cannot be in a name."""
    for known in NAMES.values():
        for name in sorted(known, key=len, reverse=True):
            if path.stem.endswith(name.replace("/", "_")):
                return name
    raise InputError(
        f"{path} holds one metric, and its name does not end in that of a known one, such as "
        f"{[name.replace('/', '_') for known in NAMES.values() for name in known][:8]}"
    )
