"""Measure speed and size; write them with the machine's description as JSON.

    python tests/benchmarks/bench.py [--out FILE] [--book]

Nothing here is a test: numbers depend on the machine and on what else it is doing. `--book` also
builds the book twice, after deleting `_build`.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import lossviz
from lossviz import analysis, losses
from lossviz.experiments.networks import network
from lossviz.experiments.training import train

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
CHAPTER = ROOT / "book" / "cross-entropy.md"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Median, 20th and 80th percentile in milliseconds."""
    fifths = statistics.quantiles(seconds, n=5)
    found = {"median": statistics.median(seconds), "p20": fifths[0], "p80": fifths[-1]}
    return {f"{name}_ms": round(1e3 * value, 3) for name, value in found.items()}


def measure_losses(rows: int = 4096, classes: int = 1000, rounds: int = 40) -> dict[str, Any]:
    """Forward and backward in float32, taking turns so that all meet the same disturbances."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator)
    target = torch.randint(classes, (rows,), generator=generator)
    candidates: dict[str, Callable[..., torch.Tensor]] = {
        "torch.nn.functional.cross_entropy": F.cross_entropy,
        "comp_sum(tau=1)": losses.comp_sum,
        "cross_entropy": losses.cross_entropy,
    }
    wall: dict[str, list[float]] = {name: [] for name in candidates}
    busy: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 5):
        for name, function in candidates.items():
            leaf = logits.detach().requires_grad_()
            start = time.perf_counter(), time.process_time()
            function(leaf, target).backward()
            if turn >= 5:  # the first rounds warm up caches and memory
                wall[name].append(time.perf_counter() - start[0])
                busy[name].append(time.process_time() - start[1])
    reference = statistics.median(wall["torch.nn.functional.cross_entropy"])
    return {
        "shape": [rows, classes],
        "dtype": "float32",
        "rounds": rounds,
        **{
            name: {
                **quantiles(wall[name]),
                "cpu_median_ms": quantiles(busy[name])["median_ms"],
                "ratio": round(statistics.median(wall[name]) / reference, 3),
            }
            for name in candidates
        },
    }


def measure_class_losses(rounds: int = 5) -> dict[str, Any]:
    """Every loss of class logits against torch's cross-entropy, forward and backward in float32.

    CPU time on one thread, the best of `rounds` in which all take turns, as a multiple of torch's;
    and what is kept for the backward pass, as a multiple of the logits.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    table: dict[str, Any] = {}
    for rows, classes in ((4096, 1000), (256, 32000)):
        calls = {"torch": _calls(F.cross_entropy, rows, classes, losses.LOSSES["cross_entropy"])}
        for key, loss in losses.LOSSES.items():
            kinds = [a for a in loss.inputs.required if a.kind.learnt]
            if loss.inputs.rows == ("...",) and all(a.kind.shifts for a in kinds):
                calls[key] = _calls(loss.function, rows, classes, loss)
        best = dict.fromkeys(calls, float("inf"))
        for _ in range(rounds):
            for key, (call, leaves) in calls.items():
                for leaf in leaves:
                    leaf.grad = None
                start = time.process_time()
                call().backward()
                best[key] = min(best[key], time.process_time() - start)
        table[f"{rows} x {classes}"] = {
            key: {
                "cpu_ms": round(1e3 * best[key], 1),
                "ratio": round(best[key] / best["torch"], 2),
                "kept": round(_kept_bytes(call, leaves) / sum(x.nbytes for x in leaves), 2),
            }
            for key, (call, leaves) in calls.items()
        }
    torch.set_num_threads(threads)
    return table


def measure_calibration(rows: int = 10**7, rounds: int = 5) -> dict[str, Any]:
    """15-bin calibration error with its interval against torchmetrics' without, taking turns."""
    from torchmetrics.functional.classification import binary_calibration_error

    generator = torch.Generator().manual_seed(0)
    c = torch.rand(rows, generator=generator)
    a = torch.rand(rows, generator=generator) < c
    integers = a.long()
    calls: dict[str, Callable[[], Any]] = {
        "ece_interval": lambda: analysis.ece_interval(c, a),
        "ece": lambda: analysis.ece(c, a),
        "torchmetrics": lambda: binary_calibration_error(c, integers, validate_args=False),
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - start)
    return {
        "rows": rows,
        "cpu_s": {name: round(seconds, 3) for name, seconds in best.items()},
        "torchmetrics / ece_interval": round(best["torchmetrics"] / best["ece_interval"], 2),
    }


def measure_report(rows: int = 10**6, classes: int = 100) -> dict[str, Any]:
    """The report on a file of logits in float32, from the file to the page."""
    with tempfile.TemporaryDirectory() as folder:
        logits = 3 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(0))
        path = Path(folder, "x.npz")
        numpy.savez(path, logits=logits, labels=(logits / 2).softmax(-1).multinomial(1)[:, 0])
        del logits
        start = time.perf_counter(), time.process_time()
        lossviz.report(path, kind="logits", out=Path(folder, "x.html"))
        return {
            "shape": [rows, classes],
            "wall_s": round(time.perf_counter() - start[0], 1),
            "cpu_s": round(time.process_time() - start[1], 1),
            "page_kb": round(Path(folder, "x.html").stat().st_size / 1e3),
        }


def _calls(
    function: Callable[..., torch.Tensor], rows: int, classes: int, loss: losses.Loss
) -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """A call of the function on random float32 inputs of the loss, and its leaves."""
    example = loss.inputs.example(batch=(rows,), K=classes, J=classes, dtype=torch.float32)
    pairs = list(zip(loss.inputs.required, example, strict=True))
    leaves = [tensor.requires_grad_() for argument, tensor in pairs if argument.kind.learnt]
    return lambda: function(*example), leaves


def _kept_bytes(call: Callable[[], torch.Tensor], leaves: list[torch.Tensor]) -> int:
    """The bytes that autograd keeps beyond the leaves, each storage once."""
    kept = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = call()  # its graph holds the storages, so that no address is used twice
    for leaf in leaves:
        kept.pop(leaf.untyped_storage().data_ptr(), None)
    del value
    return sum(storage.nbytes() for storage in kept.values())


def measure_collapse(
    rows: int = 1_000_000, classes: int = 1000, width: int = 512
) -> dict[str, Any]:
    """NC1, NC2 and CDNV of float32 features in one streaming pass, beside the bare products.

    The products alone are the class sums and X^T X of the same batches in float64. Seconds are of
    the processor. The features are made batch by batch outside the clock, so that memory is what
    the pass itself takes.
    """
    batch = 8192
    pass_s = products_s = 0.0
    stream = analysis.variability_collapse.stream()
    sums = torch.zeros(classes, width, dtype=torch.float64)
    moments = torch.zeros(width, width, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(classes, width, generator=generator)
    peak = 0
    for start in range(0, rows, batch):
        count = min(batch, rows - start)
        target = torch.randint(classes, (count,), generator=generator)
        features = torch.randn(count, width, generator=generator).add_(means[target])
        before, clock = _resident_peak(), time.process_time()
        stream.update(features, target)
        pass_s += time.process_time() - clock
        peak = max(peak, _resident_peak() - before)
        clock = time.process_time()
        wide = features.double()
        sums.index_add_(0, target, wide)
        moments.addmm_(wide.mT, wide)
        products_s += time.process_time() - clock
        del wide
    clock = time.process_time()
    stats = stream.sums.present()
    found = {"nc1": analysis.nc1, "nc2": analysis.nc2, "cdnv": analysis.mean_cdnv}
    values = {name: function(stats).item() for name, function in found.items()}
    finish_s = time.process_time() - clock
    return {
        "shape": [rows, width],
        "classes": classes,
        **{name: round(value, 6) for name, value in values.items()},
        "pass_s": round(pass_s, 2),
        "finish_s": round(finish_s, 2),
        "products_s": round(products_s, 2),
        "ratio": round((pass_s + finish_s) / products_s, 2),
        "extra_MB": round(peak / 1e6, 1),
    }


def measure_watch(rounds: int = 7, sample: int = 500) -> dict[str, Any]:
    """What a pass of `watch` costs, as a share of an epoch: all rows, and a sample in one batch.

    Seconds of the processor on one thread, medians of `rounds`: multilayer perceptrons on rows of
    the sizes of digits and of ten thousand MNIST images, plain gradient descent in batches of 100.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    table: dict[str, Any] = {}
    for rows, sizes in ((1200, (64, 64, 64, 10)), (10_000, (784, 128, 128, 10))):
        torch.manual_seed(0)
        x, y = torch.randn(rows, sizes[0]), torch.randint(sizes[-1], (rows,))
        loader = DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True)
        model = network(*sizes)
        descent = torch.optim.SGD(model.parameters(), lr=0.01)
        with analysis.watch(model) as seen:
            calls: dict[str, Callable[[], Any]] = {
                "epoch": functools.partial(train, model, F.cross_entropy, loader, descent),
                "all": functools.partial(seen.collect, loader, step=0),
                "sample": functools.partial(seen.collect, [(x[:sample], y[:sample])], step=0),
            }
            spent: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(rounds):
                for name, call in calls.items():
                    start = time.process_time()
                    call()
                    spent[name].append(time.process_time() - start)
        middle = {name: statistics.median(seconds) for name, seconds in spent.items()}
        table[f"{rows} x {'-'.join(map(str, sizes))}"] = {
            "epoch_ms": round(1e3 * middle["epoch"], 1),
            "all rows, share": round(middle["all"] / middle["epoch"], 2),
            f"{sample} rows, share": round(middle["sample"] / middle["epoch"], 3),
            f"{sample} rows, ms": round(1e3 * middle["sample"], 1),
        }
    torch.set_num_threads(threads)
    return table


def _resident_peak() -> int:
    """The most memory that this process has held so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_import(rounds: int = 7) -> dict[str, float]:
    """What `import lossviz` costs once torch is there, in fresh processes."""
    script = (
        "import time, torch; start = time.perf_counter(); import lossviz; "
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", script]
    seconds = [
        float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
        for _ in range(rounds + 1)
    ]
    return quantiles(seconds[1:])  # the first reads cold files


def measure_redraw() -> dict[str, Any]:
    """The redraw of a live figure, measured by its own program."""
    command = [sys.executable, str(Path(__file__).with_name("redraw.py"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)


def measure_pages() -> dict[str, Any]:
    """Per page of the built book: every file that a browser asks for, each once, gzipped."""
    from playwright.sync_api import sync_playwright

    weights: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, BROWSERS)), None),
            args=["--no-sandbox", "--disable-gpu"],
        )
        for page_file in sorted((SITE / "book").rglob("*.html")):
            page = browser.new_page()
            asked: set[Path] = set()
            page.on("request", lambda request, asked=asked: asked.update(local_file(request.url)))
            page.goto(page_file.as_uri(), wait_until="networkidle")
            page.evaluate("window.scrollTo(0, document.body.scrollHeight)")  # lazy pictures
            page.wait_for_load_state("networkidle")
            page.close()
            sizes = {path: len(gzip.compress(path.read_bytes())) for path in asked}
            largest = sorted(sizes, key=lambda path: -sizes[path])[:5]
            weights[str(page_file.relative_to(SITE))] = {
                "files": len(sizes),
                "gzip_kB": round(sum(sizes.values()) / 1e3, 1),
                "largest_kB": {p.name: round(sizes[p] / 1e3, 1) for p in largest},
            }
        browser.close()
    return weights


def local_file(url: str) -> set[Path]:
    """The file of a file:// address; nothing for data: and blob: ones."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    return {path} if parts.scheme == "file" and path.is_file() else set()


def measure_book() -> dict[str, float]:
    """Seconds of `make book` with nothing built, and again with an edited cell in one chapter."""
    shutil.rmtree(ROOT / "_build", ignore_errors=True)
    before = CHAPTER.read_text(encoding="utf-8")
    found = {"cold_s": _book_seconds()}
    try:
        CHAPTER.write_text(before.replace("import math\n", "import math  # edited\n", 1), "utf-8")
        found["rebuild_s"] = _book_seconds()
    finally:
        CHAPTER.write_text(before, encoding="utf-8")
    return found


def _book_seconds() -> float:
    start = time.perf_counter()
    subprocess.run(["make", "book"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - start, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "bench.json")
    parser.add_argument("--book", action="store_true", help="time the build of the book as well")
    options = parser.parse_args()
    results = {
        "machine": machine(),
        "losses": measure_losses(),
        "class losses": measure_class_losses(),
        "calibration": measure_calibration(),
        "report": measure_report(),
        "collapse": measure_collapse(),
        "watch": measure_watch(),
        "import": measure_import(),
    }
    if options.book:
        results["book"] = measure_book()
    results["redraw"] = measure_redraw()
    if SITE.is_dir():
        results["pages"] = measure_pages()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
