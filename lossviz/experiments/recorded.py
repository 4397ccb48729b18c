"""The committed measurements of `make bench-kernels` as a picture and as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from .. import kernels

Record = Mapping[str, Any]
Case = tuple[int, int, int, str, str]  # rows, classes, features, dtype, device


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
    """For each shape, dtype and device, the record of each method."""
    found: dict[Case, dict[str, Record]] = {}
    for record in records:
        case = (*record["shape"].values(), record["dtype"], record["device"])
        found.setdefault(case, {})[record["method"]] = record
    return found


def bare_seconds(found: Mapping[str, Record], seconds: str) -> float | None:
    """Median seconds of the bare matrix products, the faster way of two; None if not measured.

    seconds : "cpu_seconds" or "wall_seconds".
    """
    times = [r[seconds]["p50"] for method, r in found.items() if method.startswith("products")]
    return min(times, default=None)


def draw(records: Sequence[Record], seconds: str) -> None:
    """One row of dots for each method: its median seconds over those of the bare products.

    A dot is a shape at which both were measured. seconds : as in `bare_seconds`.
    """
    methods = [
        m for m in dict.fromkeys(r["method"] for r in records) if not m.startswith("products")
    ]
    size = (4.2, 0.6 + 0.26 * len(methods))
    _, axes = plt.subplots(figsize=size, layout="constrained")
    for found in by_case(records).values():
        bare = bare_seconds(found, seconds)
        for place, method in enumerate(methods):
            if bare is not None and method in found:
                colour = "C0" if method.startswith("lossviz") else "0.55"
                ratio = found[method][seconds]["p50"] / bare
                axes.plot(ratio, place, "o", color=colour, markersize=5, alpha=0.7)
    axes.axvline(1, color="grey", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(methods)), methods, fontsize=8)
    axes.set(xscale="log", xlabel="time over that of the bare products")
    axes.set_xticks([1, 1.5, 2, 3, 5], ["1", "1.5", "2", "3", "5"], fontsize=8)
    axes.minorticks_off()
    axes.invert_yaxis()


def compare(records: Sequence[Record]) -> None:
    """Print our CPU seconds against bare products, eager torch and the best peer, and memory.

    The memory is what a step needs beyond its gradients, as a share of float32 logits. There is a
    table for each machine on which records were made.
    """
    head = "N, V, D             dtype      products  eager  best peer   beyond gradients"
    for device, threads, version in dict.fromkeys(
        (r["device"], r["threads"], r["versions"]["torch"]) for r in records
    ):
        print(head)
        for (n, v, d, dtype, where), found in by_case(records).items():
            if where != device:
                continue
            seconds = {name: r["cpu_seconds"]["p50"] for name, r in found.items()}
            ours = seconds["lossviz"]
            bare = bare_seconds(found, "cpu_seconds")
            others = [s for s in seconds if not s.startswith(("products", "lossviz"))]
            size = getattr(torch, dtype).itemsize
            share = (found["lossviz"]["peak_bytes"] - (n + v) * d * size) / (n * v * 4)
            against = f"{ours / bare:6.2f} x" if bare else "       -"
            print(
                f"{f'{n}, {v}, {d}':19s} {dtype:9s} {against} {seconds['eager'] / ours:6.2f} x"
                f" {min(seconds[s] for s in others) / ours:6.2f} x     {share:5.1%}"
            )
        print(f"measured on {device}, threads: {threads}, torch {version}")
