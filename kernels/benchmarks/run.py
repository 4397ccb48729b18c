"""Measure linear cross-entropy, ours beside its peers: ``make bench-kernels``.

Every (shape, dtype, method) runs in a process of its own, so that peak memory is its own; methods
take turns, so that a busy minute on a shared machine hits all of them. Times are of one forward and
backward pass, CPU seconds of the process and wall seconds, at the 20th, 50th and 80th percentile;
memory is the peak beyond the inputs, gradients handed back included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from lossviz.kernels import bfloat16_units

RESULTS = Path(__file__).parent / "results"
CPU_SHAPES = [(n, v, d) for n in (1024, 4096) for v in (32000, 128000) for d in (512, 1024)]
GPU_SHAPES = [(8192, 256000, 2304), (8192, 128256, 4096)]
LARGE_PAGES = ", large pages"
"""After a method's name: torch asks the system for large pages, which is read as it starts."""
CPU_METHODS = (
    "products",
    "products, 256 rows",
    "eager",
    "eager" + LARGE_PAGES,
    "torch.compile",
    "torch chunked, auto",
    "torch chunked, 256 rows",
    "torch chunked, 512 rows",
    "torch chunked, 512 rows" + LARGE_PAGES,
    "lossviz",
    "lossviz, per row",
)
HALF_METHODS = ("eager", "torch chunked, 256 rows", "lossviz", "lossviz, per row")


def measure(
    method: str, shape: tuple[int, int, int], dtype: str, device: str, repeats: int
) -> dict[str, Any]:
    """One record, in this process."""
    from lossviz.kernels.benchmarks.methods import METHODS

    METHODS[method](*case((8, 64, shape[2]), dtype, device))()  # what is loaded on first use
    step = METHODS[method](*case(shape, dtype, device))
    before = _start_watching(device)
    step()  # compiles, tunes, and is not timed
    peak = _peak(device) - before
    cpu, wall = [], []
    for _ in range(repeats):
        _wait(device)
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        step()
        _wait(device)
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - wall_start)
    return {"cpu_seconds": cpu, "wall_seconds": wall, "peak_bytes": peak}


def case(
    shape: tuple[int, int, int], dtype: str, device: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input, weight and target, always the same."""
    rows, classes, features = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=generator)
    w = torch.randn(classes, features, generator=generator) / features**0.5
    y = torch.randint(0, classes, (rows,), generator=generator)
    x, w = (tensor.to(device, getattr(torch, dtype)).requires_grad_() for tensor in (x, w))
    return x, w, y.to(device)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _start_watching(device: str) -> int:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to the present
    return _status("VmRSS")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def machine(device: str) -> dict[str, Any]:
    """What made the numbers."""
    name = platform.processor() or platform.machine()
    if device == "cuda":
        name = torch.cuda.get_device_name()
    elif Path("/proc/cpuinfo").exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    return {
        "device": name,
        "bfloat16_units": device == "cuda" or bfloat16_units.AVAILABLE,
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """The 20th, 50th and 80th percentile."""
    if len(values) == 1:
        return dict.fromkeys(("p20", "p50", "p80"), values[0])
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return {"p20": cuts[1], "p50": cuts[4], "p80": cuts[7]}


def main() -> None:
    """Run what was asked for and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shape", action="append", help="N,V,D; may be repeated")
    parser.add_argument("--method", action="append", help="may be repeated")
    parser.add_argument("--dtype", action="append", help="float32, bfloat16, ...")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes a visit")
    parser.add_argument("--visits", type=int, default=2, help="processes for each record")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    gpu = options.device == "cuda"
    shapes = GPU_SHAPES if gpu else CPU_SHAPES
    if options.shape:
        shapes = [_shape(text) for text in options.shape]
    if options.one:
        found = measure(
            options.method[0], shapes[0], options.dtype[0], options.device, options.repeats
        )
        print(json.dumps(found))
        return
    output = options.output or RESULTS / f"{options.device}.json"
    records = json.loads(output.read_text()) if output.exists() else []
    for shape in shapes:
        for dtype in options.dtype or _dtypes(gpu):
            methods = options.method or _methods(gpu, dtype)
            for record in compare(shape, dtype, methods, options):
                records = [old for old in records if _key(old) != _key(record)] + [record]
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(records, indent=1) + "\n")
    print(f"written to {output.name}")


def _shape(text: str) -> tuple[int, int, int]:
    rows, classes, features = (int(size) for size in text.split(","))
    return rows, classes, features


def _dtypes(gpu: bool) -> list[str]:
    """What the device has units for; a CPU without those for bfloat16 emulates it, for minutes."""
    if gpu:
        return ["bfloat16"]
    return ["float32", *(["bfloat16"] if bfloat16_units.AVAILABLE else [])]


def _methods(gpu: bool, dtype: str) -> tuple[str, ...]:
    if gpu:
        from lossviz.kernels.benchmarks.methods import METHODS

        return tuple(METHODS)
    return CPU_METHODS if dtype == "float32" else HALF_METHODS


def _key(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["device"], tuple(record["shape"].values()), record["dtype"], record["method"]


def compare(
    shape: tuple[int, int, int], dtype: str, methods: tuple[str, ...], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Records of all methods that run here, which took turns."""
    found: dict[str, dict[str, Any]] = {}
    for _ in range(options.visits):
        for method in methods:
            command = [sys.executable, "-m", "lossviz.kernels.benchmarks.run", "--one"]
            command += ["--shape", ",".join(map(str, shape)), "--dtype", dtype]
            command += ["--method", method.removesuffix(LARGE_PAGES), "--device", options.device]
            command += ["--repeats", str(options.repeats)]
            large = {"THP_MEM_ALLOC_ENABLE": "1"} if method.endswith(LARGE_PAGES) else {}
            run = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, **large}
            )
            if run.returncode:
                reason = run.stderr.strip().splitlines()[-1:] or ["no message"]
                print(f"{shape} {dtype} {method}: not run ({reason[0]})")
                continue
            new = json.loads(run.stdout.splitlines()[-1])
            old = found.setdefault(method, {"cpu_seconds": [], "wall_seconds": [], "peak_bytes": 0})
            for kind in ("cpu_seconds", "wall_seconds"):
                old[kind] += new[kind]
            old["peak_bytes"] = max(old["peak_bytes"], new["peak_bytes"])
    sizes = dict(zip("NVD", shape, strict=True))
    records = []
    for method, values in found.items():
        record = {
            **machine(options.device),
            "shape": sizes,
            "dtype": dtype,
            "method": method,
            "cpu_seconds": percentiles(values["cpu_seconds"]),
            "wall_seconds": percentiles(values["wall_seconds"]),
            "peak_bytes": values["peak_bytes"],
        }
        records.append(record)
        print(
            f"{shape} {dtype} {method:36s} cpu {record['cpu_seconds']['p50']:8.3f} s  wall "
            f"{record['wall_seconds']['p50']:8.3f} s  {record['peak_bytes'] / 2**20:8.0f} MiB",
            flush=True,
        )
    return records


if __name__ == "__main__":
    main()
