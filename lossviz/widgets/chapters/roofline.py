"""Live figure: memory and least time of a linear layer with cross-entropy, method by method.

Four methods, forward and backward. The least time is that of a roofline: every operation takes as
long as its arithmetic at the machine's peak or as its traffic with memory, whichever is longer. All
numbers come from the one table `methods()`; nothing here is a measurement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import sympy as sp

from lossviz.kernels.planning import (
    LEAST_ACROSS,
    MOST_AT_ONCE,
    THIN_ON_GPU,
    TILE_BYTES_ON_GPU,
    WORKSPACE,
)

from ..live import Choice, LiveFigure, Slider
from ..vega.expression import vega_expression
from ..vega.frame import formula, numeral, signal
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, dot, line, rule

N, V, D = sp.symbols("N V D", positive=True)  # rows, classes, features
B = sp.Symbol("b", positive=True)  # bytes of an element: 2 or 4
PEAK, BANDWIDTH = sp.symbols("P W", positive=True)  # FLOP and bytes per second
WIDE = 4  # bytes of float32, in which sums are kept
LEAST_CLASSES = 2048  # of a chunk of logit gradients
LOGITS, INPUTS, WEIGHTS = N * V, N * D, V * D


@dataclass(frozen=True)
class Machine:
    """Peak arithmetic in TFLOP/s, by dtype, memory in GB and its bandwidth in TB/s."""

    bfloat16: float
    float32: float
    memory: float
    bandwidth: float


MACHINES = {  # the vendors' figures; float32 without tensor cores
    "A100 80 GB": Machine(312, 19.5, 80, 2.039),
    "H100 SXM": Machine(989, 67, 80, 3.35),
    "H200": Machine(989, 67, 141, 4.8),
    "a laptop: 1 TFLOP/s, 60 GB/s": Machine(1, 1, 16, 0.06),
}
SHAPES = {
    "Gemma 2 (2B)": (8192, 256000, 2304),
    "Llama 3 (8B)": (8192, 128256, 4096),
    "GPT-2": (8192, 50257, 768),
}
DTYPES = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Method:
    """One way to the loss and the gradients of input and weight.

    `memory`: bytes at the peak beyond inputs and gradients. `products`: the bytes that each matrix
    product of 2 N V D FLOP reads and writes. `passes`: the bytes of everything between them.
    `again`: those of one more product that makes the logits a second time, 0 where none does.
    """

    title: str
    colour: str
    memory: sp.Expr
    products: tuple[sp.Expr, ...]
    passes: sp.Expr
    again: sp.Expr = sp.S.Zero

    @cached_property
    def time(self) -> sp.Expr:
        """Least seconds of a step."""
        work = 2 * N * V * D / PEAK
        once_more = sp.Piecewise((sp.Max(work, self.again / BANDWIDTH), self.again > 0), (0, True))
        return sum((sp.Max(work, size / BANDWIDTH) for size in self.products), once_more) + (
            self.passes / BANDWIDTH
        )


def _chunked() -> Method:
    rows = sp.Min(N, THIN_ON_GPU)  # as `tile_sizes`
    chunks = sp.ceiling(N / rows)
    # half precision: gradients grow in float32 and are handed back in half
    growing = sp.Piecewise(((INPUTS + WEIGHTS) * WIDE, B < WIDE), (0, True))
    one_pass = WIDE * rows * (V + D) + growing
    # where that is too much: tiles of all rows, made twice, by which the weight gradient is whole
    columns = sp.Min(V, sp.Max(LEAST_ACROSS, sp.floor(TILE_BYTES_ON_GPU / (WIDE * N))))
    pieces = sp.ceiling(V / columns)
    two_passes = (N * columns + INPUTS + columns * D) * WIDE + N * columns * B

    def either(twice: sp.Expr, once: sp.Expr) -> sp.Expr:
        half = sp.Piecewise((twice, one_pass > MOST_AT_ONCE), (once, True))
        return sp.Piecewise((half, B < WIDE), (once, True))

    logits_twice = pieces * INPUTS * B + WEIGHTS * B + LOGITS * WIDE
    return Method(
        "chunked",
        "subject",
        either(two_passes, one_pass),
        (
            either(logits_twice, INPUTS * B + chunks * WEIGHTS * B + LOGITS * WIDE),
            either(
                LOGITS * B + WEIGHTS * B + (2 * pieces - 1) * INPUTS * WIDE,
                LOGITS * B + chunks * WEIGHTS * B + INPUTS * WIDE,
            ),
            either(
                LOGITS * B + pieces * INPUTS * B + WEIGHTS * WIDE,
                LOGITS * B + INPUTS * B + (2 * chunks - 1) * WEIGHTS * WIDE,
            ),
        ),
        # read for the sums, read and replaced by the gradient
        LOGITS * (2 * WIDE + B) + either(LOGITS * WIDE, sp.Integer(0)),
        either(logits_twice, sp.Integer(0)),
    )


def _fused() -> Method:
    # logit gradients of all rows and some classes at a time; of some rows, if those were too few
    row_chunks = sp.ceiling(N * sp.Min(V, LEAST_CLASSES) * B / WORKSPACE)
    class_chunks = sp.ceiling(LOGITS * B / (row_chunks * WORKSPACE))
    growing_weight = sp.Piecewise((0, row_chunks <= 1), (WEIGHTS * WIDE, True))
    growing = sp.Piecewise((INPUTS * WIDE + growing_weight, B < WIDE), (0, True))
    written = sp.Piecewise(
        (WEIGHTS * B, row_chunks <= 1), ((2 * row_chunks - 1) * WEIGHTS * WIDE, True)
    )
    return Method(
        "fused per row",
        "path",
        sp.Min(LOGITS * B, WORKSPACE) + growing,
        (
            (INPUTS + WEIGHTS) * B,
            class_chunks * INPUTS * B + row_chunks * WEIGHTS * B + LOGITS * B,
            LOGITS * B + row_chunks * WEIGHTS * B + (2 * class_chunks - 1) * INPUTS * WIDE,
            LOGITS * B + class_chunks * INPUTS * B + written,
        ),
        sp.Integer(0),
    )


@cache  # its forms take a third of a second, which no other figure needs
def methods() -> dict[str, Method]:
    """What is compared, by key, in the order of the legend."""
    whole = ((INPUTS + WEIGHTS + LOGITS) * B,) * 3
    return {
        # log_softmax reads and writes, the gradient of the pick writes, that of log_softmax reads
        # two tensors and writes a third; three of them are there at once
        "eager": Method("eager", "ink", 3 * LOGITS * B, whole, 6 * LOGITS * B),
        # logits stay, are read for the sums, and are replaced by their gradient
        "compiled": Method("torch.compile", "reference", LOGITS * B, whole, 3 * LOGITS * B),
        "chunked": _chunked(),
        "fused": _fused(),
    }


FLOOR = 6 * N * V * D / PEAK
RANGE, STEP = (6, 20), 0.25  # of the batch, as a power of two
TICKS = {6: "64", 10: "1k", 13: "8k", 16: "64k", 20: "1M"}


def _size(signal: str, unit: str = "B") -> str:
    """The text of a number of bytes, or other units, with the prefix that suits it."""
    return f"replace(format({signal}, '.3~s'), regexp('([^0-9]?)$'), '\u00a0$1{unit}')"


def _duration(signal: str) -> str:
    """The text of a number of seconds."""
    return f"({signal} < 1 ? {_size(signal, 's')} : {numeral(signal)} + '\u00a0s')"


READOUT = (
    "n_text + ' tokens, ' + v_text + ' classes and ' + d_text + ' features in ' + dtype"
    f" + ': beside inputs and gradients eager holds ' + {_size('eager_memory')}"
    f" + ', chunked ' + {_size('chunked_memory')} + '. Three products at peak take '"
    f" + {_duration('floor')} + ', eager at least '"
    " + format(eager_time / floor, '.2~f') + ' and chunked '"
    " + format(chunked_time / floor, '.2~f') + ' times as long.'"
)


def roofline(*, shape: str = "Gemma 2 (2B)", dtype: str = "bfloat16") -> LiveFigure:
    """Memory beyond inputs and gradients, and least time, of four methods over the batch size.

    Left bytes, right seconds over those of three matrix products at the machine's peak. The first
    state has the sizes of `shape`, a key of `SHAPES`, and the `dtype` "bfloat16" or "float32".

    Raises ValueError for an unknown shape or dtype.
    """
    for name, value, known in (("shape", shape, SHAPES), ("dtype", dtype, DTYPES)):
        if value not in known:
            raise ValueError(f"{name} must be one of {tuple(known)}, got {value!r}")
    sizes = [math.log2(size) for size in SHAPES[shape]]
    controls = (
        Choice("like", "sizes as in", tuple(SHAPES), shape),
        Choice("dtype", "dtype", tuple(DTYPES), dtype),
        _power_of_two("n", "N: tokens in a step", *RANGE, sizes[0], "tokens"),
        _power_of_two("v", "V: vocabulary", 8, 20, sizes[1], "classes"),
        _power_of_two("d", "D: features", 5, 14, sizes[2], "features"),
        Choice("machine", "machine", tuple(MACHINES), "H200"),
    )
    return two_plots(
        controls,
        _legend(),
        _plots(),
        panes=("memory", "time"),
        moves=_moves(),
        signals=[
            *_machine_signals(),
            *(
                signal(f"{key}_{name}", _expression(getattr(method, name)))
                for key, method in methods().items()
                for name in ("memory", "time")
            ),
            signal("floor", _expression(FLOOR)),
        ],
        readout=READOUT,
        data=[_batches()],
        alt=(
            f"Two plots over the number of tokens in a step, for the sizes of {shape} in {dtype}. "
            "Left, memory: eager and torch.compile grow in proportion from the start, chunked and "
            "fused only when tokens are many. "
            "Right, the least time relative to three matrix products at peak: it falls as tokens "
            "grow, and levels off a little above 1, for the fused method at four thirds or more."
        ),
        caption=(
            "First, memory beyond inputs and gradients, with the machine's own as a grey line. "
            "Then the least time that arithmetic and traffic allow, over that of three matrix "
            "products at the machine's peak. Peaks are the vendors' figures; nothing is measured."
        ),
    )


def _power_of_two(signal: str, label: str, low: int, high: int, value: float, count: str) -> Slider:
    """The slider of an exponent, which shows the signal `count`."""
    ends = f"{2**low:,}", f"{2**high:,}"
    return Slider(signal, label, low, high, STEP, value, *ends, shows=f"format({count}, ',')")


def _expression(form: sp.Expr, rows: str = "tokens") -> str:
    names = {N: rows, V: "classes", D: "features", B: "bytes", PEAK: "peak", BANDWIDTH: "bandwidth"}
    return vega_expression(form, names)


def _legend() -> list[tuple[str, str]]:
    return [
        (
            f"'{method.title}: ' + {_size(f'{key}_memory')} + ', at least '"
            f" + {_duration(f'{key}_time')}",
            method.colour,
        )
        for key, method in methods().items()
    ]


def _batches() -> dict[str, Any]:
    low, high = RANGE
    steps = {"type": "sequence", "start": low, "stop": high + STEP, "step": STEP, "as": "n"}
    return {
        "name": "batches",
        "transform": [
            steps,
            formula("tokens", "round(pow(2, datum.n))"),
            formula("floor", _expression(FLOOR, "datum.tokens")),
            *(
                formula(f"{key}_{name}", _expression(getattr(method, name), "datum.tokens"))
                for key, method in methods().items()
                for name in ("memory", "time")
            ),
        ],
    }


def _plots() -> tuple[Plot, Plot]:
    low, high = RANGE
    named = {"labels": {"update": {"text": {"signal": f"({TICKS!r})[datum.value]"}}}}
    look = {"values": list(TICKS), "grid": True, "encode": named}
    batch = axis("N: tokens in a step (1k is 1,024)", f"[{low}, {high}]", look=look, zero=False)
    here = rule(("n", "n"), ("1e-4", "1e5"), "muted", 1)
    room = rule((str(low), str(high)), ("room", "room"), "muted", 1.5)
    return (
        (
            batch,
            axis("memory (GB)", "[1e-2, 900]", type="log"),
            [room, here, *_lines("memory", "1e9"), *_dots("memory", "1e9")],
        ),
        (
            batch,
            axis("least time / three products at peak", "[0.9, 20]", type="log"),
            [here, *_lines("time", "datum.floor"), *_dots("time", "floor")],
        ),
    )


def _lines(name: str, unit: str) -> list[dict[str, Any]]:
    return [
        line("batches", "datum.n", f"datum.{key}_{name} / {unit}", method.colour)
        for key, method in methods().items()
    ]


def _dots(name: str, unit: str) -> list[dict[str, Any]]:
    return [dot("n", f"{key}_{name} / {unit}", method.colour) for key, method in methods().items()]


def _moves() -> dict[str, dict[str, str]]:
    """The sizes also follow the choice of a model."""
    known = {
        size: {name: math.log2(sizes[place]) for name, sizes in SHAPES.items()}
        for place, size in enumerate("nvd")
    }
    return {size: {"like": f"({powers!r})[like]"} for size, powers in known.items()}


def _machine_signals() -> list[dict[str, Any]]:
    fields = ("bfloat16", "float32", "memory", "bandwidth")
    machines = {
        name: {field: getattr(machine, field) for field in fields}
        for name, machine in MACHINES.items()
    }
    return [
        {"name": "machines", "value": machines},
        signal("tokens", "round(pow(2, n))"),
        signal("classes", "round(pow(2, v))"),
        signal("features", "round(pow(2, d))"),
        signal("bytes", f"({DTYPES!r})[dtype]"),
        signal("peak", "1e12 * machines[machine][dtype]"),
        signal("bandwidth", "1e12 * machines[machine].bandwidth"),
        signal("room", "machines[machine].memory"),
    ]
