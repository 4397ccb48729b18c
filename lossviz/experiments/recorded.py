"""The committed measurements of `make bench-kernels` as bars and as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from .. import kernels

Record = Mapping[str, Any]
Case = tuple[int, int, int, str]  # rows, classes, features, dtype


def measurements() -> tuple[list[Record], list[Record]]:
    """What is committed, from CPUs and from GPUs."""
    results = Path(kernels.__path__[0]) / "benchmarks" / "results"
    records = [r for path in sorted(results.glob("*.json")) for r in json.loads(path.read_text())]
    on_gpu = ["nvidia" in r["device"].lower() or "cuda" in r["device"].lower() for r in records]
    return (
        [r for r, gpu in zip(records, on_gpu, strict=True) if not gpu],
        [r for r, gpu in zip(records, on_gpu, strict=True) if gpu],
    )


def by_case(records: Sequence[Record]) -> dict[Case, dict[str, Record]]:
    """For each shape and dtype, the record of each method."""
    found: dict[Case, dict[str, Record]] = {}
    for record in records:
        case = (*record["shape"].values(), record["dtype"])
        found.setdefault(case, {})[record["method"]] = record
    return found


def draw(records: Sequence[Record], seconds: str) -> None:
    """One panel for each shape and dtype: the methods' median seconds, and GiB beside them.

    seconds : "cpu_seconds" or "wall_seconds".
    """
    cases = dict(sorted(by_case(records).items()))
    methods = list(dict.fromkeys(r["method"] for r in records))
    columns = min(len(cases), 2)
    lines = -(-len(cases) // columns)
    size = (3.9 * columns, (0.6 + 0.19 * len(methods)) * lines + 0.3)
    figure, panels = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=True)
    for axes in panels.flat[len(cases) :]:
        axes.remove()
    colours = ["C0" if method.startswith("lossviz") else "0.75" for method in methods]
    for axes, (case, found) in zip(panels.flat, cases.items(), strict=False):
        times = [found[m][seconds]["p50"] if m in found else 0.0 for m in methods]
        axes.barh(methods, times, color=colours)
        for place, method in enumerate(methods):
            if method in found:
                memory = found[method]["peak_bytes"] / 2**30
                axes.text(times[place], place, f" {memory:.2g} GiB", va="center", fontsize=6)
        axes.set_title("N = {}, V = {}, D = {}, {}".format(*case), fontsize=7)
        axes.tick_params(labelsize=6.5)
        axes.margins(x=0.18)
    panels[0, 0].invert_yaxis()  # shared by all
    unit = seconds.replace("_", " ").replace("cpu", "CPU")
    figure.supxlabel(f"{unit} per step, median", fontsize=8)
    figure.tight_layout()


def compare(records: Sequence[Record]) -> None:
    """Print our CPU seconds against bare products, eager torch and the best peer, and memory.

    Then the machines on which the records were made.
    """
    print("N, V, D             dtype      products  eager  best peer   beyond gradients")
    for (n, v, d, dtype), found in by_case(records).items():
        seconds = {name: r["cpu_seconds"]["p50"] for name, r in found.items()}
        ours = seconds["lossviz"]
        bare = min((t for name, t in seconds.items() if name.startswith("products")), default=0)
        peers = [t for name, t in seconds.items() if not name.startswith(("products", "lossviz"))]
        size = getattr(torch, dtype).itemsize
        share = (found["lossviz"]["peak_bytes"] - (n + v) * d * size) / (n * v * 4)
        against = f"{ours / bare:6.2f} x" if bare else "       -"
        print(
            f"{f'{n}, {v}, {d}':19s} {dtype:9s} {against} {seconds['eager'] / ours:6.2f} x"
            f" {min(peers) / ours:6.2f} x     {share:5.1%} of float32 logits"
        )
    for made in sorted({(r["device"], r["threads"], r["versions"]["torch"]) for r in records}):
        print("measured on {}, threads: {}, torch {}".format(*made))
