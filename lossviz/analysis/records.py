"""What was measured while a model trained: one row for each number, for tables and pictures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mode = Literal["eval", "train"]


@dataclass(frozen=True)
class Record:
    """One number: at which step, of which split, in which mode of the model, of which class.

    `label` is None for numbers of the whole.
    """

    step: int
    split: str
    mode: Mode
    metric: str
    label: int | None
    value: float


class Journal:
    """A list of records, and the ways out of it."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def to_csv(self, path: str | Path) -> None:
        """Write the records, a line each under a line of names; empty where there is no label."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [field.name for field in fields(Record)])
            table.writeheader()
            table.writerows(asdict(record) for record in self.records)

    def to_json(self, path: str | Path) -> None:
        """Write the records as a list of objects; null for NaN and infinity, which JSON lacks."""
        rows = [asdict(record) for record in self.records]
        for row in rows:
            row["value"] = row["value"] if math.isfinite(row["value"]) else None
        Path(path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    def to_tensorboard(self, writer: Any) -> None:
        """Add every record to a writer with `add_scalar`, or to a folder that is given.

        Tags are split/metric and split/metric/class, with the mode in brackets where it is "train".
        A folder needs the package tensorboard: raises ImportError where it is not there.
        """
        if isinstance(writer, (str, Path)):
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "writing to a folder needs tensorboard (pip install tensorboard): install it, "
                    "or give a writer that has add_scalar"
                ) from error
            with SummaryWriter(str(writer)) as opened:
                self.to_tensorboard(opened)
            return
        for record in self.records:
            label = "" if record.label is None else f"/{record.label}"
            writer.add_scalar(f"{_curve(record)}/{record.metric}{label}", record.value, record.step)

    def plot(self, metrics: Sequence[str] | None = None) -> Figure:
        """A panel for each metric over the steps: a line for each split, and one for each class.

        `metrics` are by default all that have no label. Raises ValueError for no records, and for a
        metric that none of them has.
        """
        from matplotlib.figure import Figure

        whole = [record.metric for record in self.records if record.label is None]
        chosen = list(dict.fromkeys(whole)) if metrics is None else list(metrics)
        known = {record.metric for record in self.records}
        if not chosen or not set(chosen) <= known:
            raise ValueError(f"metrics must be some of {sorted(known)}, got {chosen}")
        columns = min(3, len(chosen))
        lines = -(-len(chosen) // columns)
        figure = Figure(figsize=(3.2 * columns, 2.4 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        for panel in panels[len(chosen) :]:
            panel.remove()
        for panel, metric in zip(panels, chosen, strict=False):
            curves: dict[str, list[Record]] = {}
            for record in self.records:
                if record.metric == metric:
                    label = "" if record.label is None else f", class {record.label}"
                    curves.setdefault(_curve(record) + label, []).append(record)
            for name, records in curves.items():
                steps, values = [r.step for r in records], [r.value for r in records]
                panel.plot(steps, values, marker=".", label=name)
            panel.set(title=metric, xlabel="step")
            if len(curves) > 1:
                panel.legend(fontsize="small")
        return figure


def _curve(record: Record) -> str:
    return record.split if record.mode == "eval" else f"{record.split} (train mode)"
