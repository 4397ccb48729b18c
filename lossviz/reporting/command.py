"""``lossviz report``: the report as a command, and as a function of Python."""

from __future__ import annotations

import argparse
import json
import math
import operator
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, overload

import torch

from .answers import Logprobs, Reading
from .arrays import InputError
from .inputs import REPORTED, Reported, read
from .page import in_words, page
from .rows import Progress, pass_over
from .run_page import run_in_words, run_page
from .run_summary import RunSummary, summarise_run
from .runs import is_log, read_run
from .summary import Summary, difference, summarise

UNSAID = (
    f"What the predictions are must be said by kind, one of {', '.join(REPORTED)}: numbers between "
    "0 and 1 may be logits as well as probabilities"
)
COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt
}  # fmt: skip


@overload
def report(
    source: Any,
    labels: Any = None,
    *,
    kind: Reported,
    out: str | Path | None = None,
    against: Any = None,
    groups: Any = None,
    logits_key: str | None = None,
    labels_key: str | None = None,
    groups_key: str | None = None,
    logprobs: Logprobs | None = None,
    confidence: Reading = "total",
    seed: int = 0,
    progress: Progress = ...,
) -> Summary: ...


@overload
def report(
    source: Any, labels: Any = None, *, out: str | Path | None = None, seed: int = 0
) -> RunSummary: ...


def report(
    source: Any,
    labels: Any = None,
    *,
    kind: Reported | None = None,
    out: str | Path | None = None,
    against: Any = None,
    groups: Any = None,
    logits_key: str | None = None,
    labels_key: str | None = None,
    groups_key: str | None = None,
    logprobs: Logprobs | None = None,
    confidence: Reading = "total",
    seed: int = 0,
    progress: Progress = lambda done, of: None,
) -> Summary | RunSummary:
    """A report of predictions and labels, or of a training run, written to `out` if given (HTML).

    Parameters
    ----------
    source : path of a .npz, .npy, .safetensors, .csv, .tsv, .parquet or .jsonl file, an array or
        tensor (..., K), or an object with `predictions` and `label_ids`. Files are read by blocks
        of rows. Without `kind` it is the log of a run of reinforcement learning: a .json, .jsonl or
        .csv file, a list of rows, columns by name or a table, as `reporting.runs.read_run` has it.
    labels : path or integers (...), where the source does not hold them; -100 does not count. Of a
        run a second log, joined by its steps.
    kind : what the predictions are: "logits", "probabilities", "log-probabilities", "binary score"
        for P(label = 1) of shape (...), "multilabel" for probabilities (N, L) of labels that are 0
        or 1 (N, L), or "token log-probabilities" of answers in a .jsonl file. It is never guessed.
    against : a second source with the same labels in the same order (`labels` serve for both);
        differences are its scores minus those of `source`.
    groups : numbers or words, one per row (or example, of "multilabel", where otherwise each label
        is a group): the page then compares the groups.
    logits_key, labels_key, groups_key : keys or columns, where they have unusual names.
    logprobs, confidence : of tokens: "raw" or "processed" (by temperature or truncation), and
        whether an answer's confidence is exp of their "total" (default), "mean" or "least".
    seed : of every draw, default 0: the same input gives the same page.

    Returns a `Summary`, or a `RunSummary` of a run, whose `as_json()` is plain values. Raises
    `InputError`, a ValueError, for what cannot be reported on, and then writes nothing.
    """
    _keep([out], [source, labels, against])
    if kind is None:
        if not is_log(source):
            raise InputError(UNSAID)
        if against is not None or groups is not None:
            raise InputError("against and groups are for predictions, not for the log of a run")
        more = [] if labels is None else [labels]
        run = summarise_run(read_run(source, *more), seed)
        if out is not None:
            write({Path(out): run_page(run)})
        return run
    keys: dict[str, Any] = {
        "kind": kind, "logits_key": logits_key, "labels_key": labels_key, "groups_key": groups_key,
        "logprobs": logprobs, "confidence": confidence,
    }  # fmt: skip
    first = read(source, labels, groups=groups, **keys)
    of_both = {**keys, "groups_key": None}  # groups are those of the first
    second = None if against is None else read(against, labels, **of_both)
    first.need_rows()
    rows = pass_over(first, seed, progress)
    other = {}
    if second is not None:
        scores = difference(rows, pass_over(second, seed, progress), seed)
        other = {"file": second.name, "sha256": second.digest, "scores": scores}
    summary = replace(summarise(first, rows, seed), against=other)
    if out is not None:
        write({Path(out): page(summary)})
    return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if all is well, 1 where a --fail-if holds, 2 for bad input."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # what is fitted is small, and threads would wait for one another
    try:
        conditions = [_condition(text) for text in options.fail_if]
        outputs = [options.out, None if options.json == "-" else options.json]
        _keep(outputs, [options.file, options.labels_file, options.against])
        if options.demo:
            if options.file or options.kind not in (None, "logits"):
                raise InputError(
                    "--demo has a file of its own, of kind 'logits': leave out "
                    f"{options.file or '--kind'}"
                )
            with as_file(files(__package__) / "demo.npz") as path:
                options.file, options.kind = path, "logits"
                return _run(options, conditions)
        if options.file is None:
            raise InputError(f"a file is needed; --demo shows a report. {UNSAID}")
        if options.kind is None:
            return _of_run(options)
        return _run(options, conditions)
    except (InputError, OSError) as error:
        print(f"lossviz report: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, conditions: list[tuple[str, str, float]]) -> int:
    summary = report(
        options.file, options.labels_file, kind=options.kind, against=options.against,
        logits_key=options.logits, labels_key=options.labels, groups_key=options.groups,
        logprobs=options.logprobs, confidence=options.confidence, seed=options.seed,
        progress=_progress if sys.stderr.isatty() else lambda done, of: None,
    )  # fmt: skip
    for key, _, _ in conditions:
        if key not in summary.scores:
            raise InputError(f"--fail-if {key}: no such score, expected one of {[*summary.scores]}")
        if math.isnan(summary.scores[key].value):
            raise InputError(f"--fail-if {key}: it is not defined for these predictions")
    _hand_out(options, summary, page(summary), in_words(summary))
    failed = False
    for key, sign, bound in conditions:
        value = summary.scores[key].value
        if COMPARE[sign](value, bound):
            print(f"{key} is {value:.6g}, which is {sign} {bound:g}", file=sys.stderr)
            failed = True
    return int(failed)


def _of_run(options: argparse.Namespace) -> int:
    """The report on the log of a run; files of one metric each are joined."""
    summary = report(options.file, options.labels_file, seed=options.seed)
    if options.fail_if or options.against:
        raise InputError("--fail-if and --against are for predictions, not for the log of a run")
    _hand_out(options, summary, run_page(summary), run_in_words(summary))
    return 0


def _hand_out(
    options: argparse.Namespace, summary: Summary | RunSummary, page: str, words: str
) -> None:
    """Write the page and what else was asked for, and say it in words."""
    files = {Path(options.out): page}
    if options.json:
        text = json.dumps(summary.as_json(), indent=1, allow_nan=False)
        if options.json == "-":
            print(text)
        else:
            files[Path(options.json)] = text + "\n"
    write(files)
    if options.json != "-":
        print("\n".join([words, *summary.suspicions, f"{options.out} is written."]))


def _keep(outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Raise where an output would take the place of an input, or of another output."""
    taken = {Path(one).resolve() for one in inputs if isinstance(one, (str, Path))}
    for one in outputs:
        if one is not None:
            if Path(one).resolve() in taken:
                raise InputError(f"{one} is read or written already: name another file to write")
            taken.add(Path(one).resolve())


def _condition(text: str) -> tuple[str, str, float]:
    found = re.fullmatch(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+]?\d*\.?\d+(?:e[-+]?\d+)?)\s*", text)
    if not found:
        raise InputError(f'--fail-if {text!r} is not like "ece>0.05"')
    return found[1], found[2], float(found[3])


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^63 - 1, got {text}")
    return seed


def _progress(done: int, of: int) -> None:
    end = "\n" if done == of else ""
    print(f"\r{done:,} of {of:,} rows", end=end, file=sys.stderr, flush=True)


def write(files: Mapping[Path, str]) -> None:
    """Write all of these files in whole, or none."""
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in files}
    try:
        for path, text in files.items():
            if path.is_dir():
                raise InputError(f"{path} cannot be written: Is a directory")
            beside[path].write_text(text, encoding="utf-8")
        for path, whole in beside.items():
            whole.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        for whole in beside.values():
            whole.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("lossviz", description="Reports on your own models.")
    command = parser.add_subparsers(required=True).add_parser(
        "report", help="can the confidence of these predictions be trusted?",
        description="Write one page of HTML about predictions and labels. Exit 1 if --fail-if "
        "holds, 2 for bad input.",
    )  # fmt: skip
    command.add_argument(
        "file",
        nargs="?",
        help="npz, npy, safetensors, csv, tsv, parquet or jsonl; or the log of a run",
    )
    command.add_argument("labels_file", nargs="?", help="labels, where the first file has none")
    command.add_argument("--kind", choices=REPORTED, help="what the predictions are; not guessed")
    command.add_argument("--logits", metavar="KEY", help="key of the predictions in the file")
    command.add_argument("--labels", metavar="KEY", help="key or column of the labels")
    command.add_argument("--groups", metavar="KEY", help="key or column that names groups of rows")
    command.add_argument("--logprobs", choices=("raw", "processed"), help="of tokens in jsonl")
    command.add_argument(
        "--confidence", choices=("total", "mean", "least"), default="total",
        help="what of its tokens' log-probabilities makes that of an answer",
    )  # fmt: skip
    command.add_argument("--out", default="report.html", metavar="FILE")
    command.add_argument("--against", metavar="FILE", help="a second model on the same rows")
    command.add_argument("--json", metavar="FILE", help="all numbers; - prints them")
    command.add_argument("--fail-if", action="append", default=[], metavar='"ece>0.05"')
    command.add_argument("--seed", type=_seed, default=0)
    command.add_argument("--demo", action="store_true", help="report on a small model of ours")
    return parser
