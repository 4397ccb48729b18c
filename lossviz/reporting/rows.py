"""One pass over the rows: what is kept of each row, sums per class, and a sample of whole rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .. import losses
from ..analysis import brier_score, class_probabilities, classwise_ece, log_score
from ..analysis.binned import Bins
from ..analysis.confidence import Kind
from .arrays import InputError
from .inputs import Predictions

SAMPLE = 100_000, 2**21
"""Rows that are drawn for what needs many passes: at most so many, of at most so many numbers."""
BINS = 15

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rows:
    """Of each row (N,): label, predicted class, confidence and whether it was right, losses.

    `sample` (m, K) holds the rows `drawn` (m,) as they are in the file; `per_class` the sums behind
    the classwise error (K, B); `classwise`, `brier` and `log` are the scores of all rows.
    """

    label: torch.Tensor
    predicted: torch.Tensor
    confidence: torch.Tensor
    correct: torch.Tensor
    among_five: torch.Tensor
    log_rows: torch.Tensor
    brier_rows: torch.Tensor
    sample: torch.Tensor
    drawn: torch.Tensor
    per_class: Bins
    classwise: float
    brier: float
    log: float
    sum_to_one: int


def draw(rows: int, most: int, seed: int) -> torch.Tensor:
    """At most `most` of the numbers below `rows`, drawn without replacement, growing."""
    if rows <= most:
        return torch.arange(rows)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(rows, generator=generator)[:most].sort().values


def answered(p: torch.Tensor, event: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidence and class of rows (n, K): the likeliest one, or, of an event, that it happens."""
    index = torch.ones_like(p[:, 0], dtype=torch.int64) if event else p.argmax(-1)
    return p.gather(-1, index[:, None])[:, 0], index


def pass_over(
    predictions: Predictions,
    seed: int = 0,
    progress: Progress = lambda done, of: None,
    *,
    first: int = 0,
    of: int | None = None,
) -> Rows:
    """Read the predictions once, block by block, in memory that their number leaves as it is.

    Of a shard, `first` rows that count lie in the shards before it, of as many in all as `of`: then
    it samples the rows that a pass over everything would. Raises `InputError` where rows are not of
    their kind, naming the file and the row.
    """
    labels = predictions.labels
    count, kind = len(labels), predictions.kind
    every = count if of is None else of
    drawn = draw(every, min(SAMPLE[0], SAMPLE[1] // predictions.classes), seed) - first
    drawn = drawn[(drawn >= 0) & (drawn < count)]
    # one piece of memory for each, or small parts between large blocks would scatter it
    columns = [
        torch.empty(count, dtype=dtype)
        for dtype in (torch.int64, torch.float64, torch.bool, torch.bool, *[torch.float64] * 2)
    ]
    sample = torch.empty(0, predictions.classes)
    streams = classwise_ece.stream(bins=BINS), brier_score.stream(), log_score.stream()
    none = sample.new_empty(0, predictions.classes), labels[:0]  # a shard may hold no row
    streams[0].update(*none)
    done = sum_to_one = 0
    for block, target, places in predictions.blocks():
        if not len(block):
            continue
        if predictions.binary:
            _check_scores(predictions, block[:, 1], places)
        try:
            # within the tolerance of its dtype a probability may be above 1
            p = class_probabilities(block, kind=kind).clamp_max(1)
        except ValueError as error:
            raise InputError(f"{predictions.array.name}, {_in_file(str(error), places)}") from None
        for stream in streams:
            stream.update(p, target)
        if kind == "logits":
            total = block.double().sum(-1)
            sum_to_one += int((((total - 1).abs() < 1e-3) & (block >= 0).all(-1)).sum())
        end = done + len(block)
        for column, values in zip(columns, _of_rows(block, p, target, predictions), strict=True):
            column[done:end] = values
        sample = block.new_empty(len(drawn), block.shape[-1]) if not done else sample
        inside = (drawn >= done) & (drawn < end)
        sample[inside] = block[drawn[inside] - done]
        done = end
        progress(done, count)
    predicted, confidence, correct, among_five, log_rows, brier_rows = columns
    per_class = streams[0].sums
    assert per_class is not None
    classwise, brier, log = (float(stream.compute()) for stream in streams)
    if kind != "probabilities":  # from logits the log score loses nothing, however small p
        log = float(log_rows.mean())
    return Rows(
        labels, predicted, confidence, correct, among_five, log_rows, brier_rows,
        sample, drawn, per_class, classwise, brier, log, sum_to_one,
    )  # fmt: skip


def _check_scores(predictions: Predictions, score: torch.Tensor, places: torch.Tensor) -> None:
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        first = int(outside.nonzero()[0])
        at = tuple(map(int, np.unravel_index(int(places[first]), predictions.array.shape)))
        raise InputError(
            f"{predictions.array.name} must hold probabilities in [0, 1], got "
            f"{float(score[first]):g} at {at if len(at) > 1 else at[0]}"
        )


def _in_file(words: str, places: torch.Tensor) -> str:
    """The words about a block, with the numbers that its rows have in the file."""
    named = re.sub(r"row (\d+)", lambda found: f"row {int(places[int(found[1])])}", words)
    return f"rows {int(places[0])} to {int(places[-1])}: {named}"


def as_logits(block: torch.Tensor, kind: str) -> torch.Tensor:
    """Float64 whose softmax are the probabilities."""
    return block.double().log() if kind == "probabilities" else block.double()


def _of_rows(
    block: torch.Tensor, p: torch.Tensor, target: torch.Tensor, predictions: Predictions
) -> list[torch.Tensor]:
    z = as_logits(block, predictions.kind)
    at_label = p.gather(-1, target[:, None])
    before = torch.arange(p.shape[-1]) < target[:, None]  # of equal classes the first counts
    rank = ((p > at_label) | ((p == at_label) & before)).sum(-1)
    confidence, predicted = answered(p, predictions.event)
    return [
        predicted,
        confidence,
        predicted == target,
        rank < 5,
        losses.cross_entropy(z, target, reduction="none"),
        losses.brier(z, target, reduction="none"),
    ]


def merge(parts: Sequence[Rows], kind: Kind) -> Rows:
    """The rows of shards in order, as one pass over all of them would have found them."""
    count = [len(part.label) for part in parts]
    starts = [sum(count[:number]) for number in range(len(parts))]

    def joined(name: str) -> torch.Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    def mean(name: str) -> float:
        held = [(n, getattr(one, name)) for n, one in zip(count, parts, strict=True) if n]
        return sum(n * value for n, value in held) / sum(count)

    sums = zip(*(part.per_class for part in parts), strict=True)
    per_class = Bins(*(torch.stack(each).sum(0) for each in sums))
    log_rows = joined("log_rows")
    return Rows(
        joined("label"), joined("predicted"), joined("confidence"), joined("correct"),
        joined("among_five"), log_rows, joined("brier_rows"), joined("sample"),
        torch.cat([part.drawn + start for part, start in zip(parts, starts, strict=True)]),
        per_class, float(classwise_ece.finished(per_class, {})), mean("brier"),
        mean("log") if kind == "probabilities" else float(log_rows.mean()),
        sum(part.sum_to_one for part in parts),
    )  # fmt: skip
