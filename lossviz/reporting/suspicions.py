"""What is often a mistake in the file and not in the model, each with its count."""

from __future__ import annotations

import torch

from ..analysis import clopper_pearson
from .inputs import Predictions
from .rows import Rows

SATURATED = 0.01
FEW = 100
NEAR = 0.05
"""An accuracy is near that of even chances up to so much above it, or to twice that."""


def suspicions(predictions: Predictions, rows: Rows) -> tuple[str, ...]:
    """Sentences about rows that look like something else than they were said to be."""
    count = len(rows.label)
    found = []
    if rows.sum_to_one:
        found.append(
            f'{rows.sum_to_one:,} of {count:,} rows are positive and sum to 1 under kind "logits": '
            'if they are probabilities, say kind "probabilities"'
        )
    of_label = torch.bincount(rows.label, minlength=predictions.classes)
    right = rows.correct.sum()
    _, high = clopper_pearson(right[None], torch.tensor([count]))
    commonest = float(of_label.max() / count)
    even = 1 / predictions.classes
    near = count >= FEW and float(right) < count * (even + min(even, NEAR))
    if not predictions.event and (float(high) < commonest or near):  # an event is not chosen
        found.append(
            f"{int(right):,} of {count:,} rows are right, about as many as by chance or by always "
            "answering the commonest class: the labels may be in another order or of another split"
        )
    if count > 2 and len(rows.label.unique()) > 1 and bool((rows.label.diff() >= 0).all()):
        found.append(
            f"all {count:,} labels are sorted: if the predictions were shuffled, rows do not match"
        )
    saturated = int((rows.confidence == 1).sum())
    if saturated > SATURATED * count:
        found.append(
            f"{saturated:,} of {count:,} rows have a confidence of exactly 1: half precision or "
            "rounding may have cut their probabilities"
        )
    absent = [name for name, n in zip(predictions.names, of_label.tolist(), strict=True) if not n]
    if absent:
        some = ", ".join(absent[:10]) + (", …" if len(absent) > 10 else "")
        found.append(
            f"{len(absent):,} of {predictions.classes:,} classes are the label of no row: {some}"
        )
    if count < FEW:
        found.append(f"{count:,} rows are few: every number here is uncertain")
    return tuple(found)
