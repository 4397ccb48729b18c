"""Live figure: how long the classes of unequal size become, and at which size one vanishes.

Free features under M linear layers without bias, squared error, decay `lambda` of each layer and
`lambda / N` of the features. The optimum of a class is found by Newton's method in the logarithm of
its ratio, from above, where the equation is convex.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..live import Choice, Handle, LiveFigure, Slider
from ..vega.frame import formula, numeral, signal, table
from ..vega.panels import HEIGHT, LEFT, ROW, Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

MOST, EDGE = 400, 500  # images of a class, and where the axis ends
DEPTHS = (1, 2, 3)
NAMES = ("large", "middle", "small")
NEWTON = 12
GRID = 120
LEGEND = (
    ("'theory'", "path"),
    ("'classes: drag them'", "subject"),
    ("'open dots left: trained; right dashed: features'", "muted"),
)
TOP = ROW * len(LEGEND) + 12
FLOOR, CEILING = -0.06, 1.06


def minority(
    trained: Mapping[int, Sequence[tuple[float, float]]],
    *,
    sizes: tuple[int, int, int] = (300, 60, 6),
    decay: float = 0.1,
    depth: int = 1,
) -> LiveFigure:
    """The logit that a class gets for its own label, and its lengths, over its number of images.

    Parameters
    ----------
    trained : for each depth 1 to 3 what training found: pairs of the size of a class, in multiples
        of that at which it vanishes, and the logit for its own label; drawn as open dots.
    sizes : images of the three classes in the first state, each 1 to 400.
    decay : lambda in the first state, 0.003 to 0.5.
    depth : number of linear layers in the first state, 1 to 3.

    Raises
    ------
    ValueError for arguments outside their ranges, or depths without training.
    """
    if len(sizes) != 3 or not all(size in range(1, MOST + 1) for size in sizes):
        raise ValueError(f"sizes must be three ints in [1, {MOST}], got {sizes!r}")
    if not 0.003 <= decay <= 0.5:
        raise ValueError(f"decay must lie in [0.003, 0.5], got {decay!r}")
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {DEPTHS}, got {depth!r}")
    if set(trained) != set(DEPTHS):
        raise ValueError(f"trained must have the depths {DEPTHS}, got {sorted(trained)}")
    dots = [
        {"depth": m, "multiple": float(r), "own": float(q)} for m in DEPTHS for r, q in trained[m]
    ]
    classes = range(len(NAMES))
    controls: tuple[Slider | Choice, ...] = (
        Choice("layers", "linear layers", tuple(map(str, DEPTHS)), str(depth)),
        Slider(
            "power", "λ: decay of each layer", -2.5, -0.3, 0.01, round(math.log10(decay), 2),
            "little (0.003)", "much (0.5)", shows="format(decay, '.3~r')",
        ),
        *(
            Slider(f"size{k}", f"images of the {name} class", 1, MOST, 1, sizes[k], "1", f"{MOST}")
            for k, name in enumerate(NAMES)
        ),
    )  # fmt: skip
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("own logit", "lengths"),
        layout=[{"name": f"drag{k}", "value": [0, 0]} for k in classes],
        moves={
            f"size{k}": {
                f"drag{k}": f"clamp(round(pow({EDGE}, (drag{k}[0] - {LEFT}) / panel)), 1, {MOST})"
            }
            for k in classes
        },
        signals=[*_theory(), *(s for k in classes for s in _class(k))],
        data=[
            {
                "name": "trained",
                "values": dots,
                "transform": [
                    {"type": "filter", "expr": "datum.depth === depth"},
                    formula("size", "datum.multiple * least"),
                ],
            },
            _curve(),
            table(
                "classes",
                len(NAMES),
                formula("size", f"[{', '.join(f'size{k}' for k in classes)}][datum.index]"),
                formula("own", f"[{', '.join(f'own{k}' for k in classes)}][datum.index]"),
                *_lengths(),
            ),
        ],
        readout=_readout(),
        handles=tuple(Handle(f"at{k}", f"drag{k}", (f"size{k}",)) for k in classes),
        alt=(
            "Left, the logit of a class for its own label over its number of images: a curve that "
            "starts at a threshold, with dots from training on it and three classes of "
            f"{sizes[0]}, {sizes[1]} and {sizes[2]} images. Right, lengths of the classifier's "
            "row, which grows with the class, and of the features, which shrink far above the "
            "threshold."
        ),
        caption=(
            "Free features, squared error without bias, by the theorem of Dang et al. Left: the "
            "logit of a class for its own label, 1 at best; a class left of the thin line "
            "vanishes. Open dots are from training, at the same multiple of the threshold. Right: "
            "the lengths of its row of the classifier (line) and of its features (dashed)."
        ),
    )


def _theory() -> list[dict[str, Any]]:
    """What holds for all classes: the threshold of the load, and the size that has it."""
    return [
        signal("depth", "toNumber(layers)"),
        signal("decay", "pow(10, power)"),
        signal("images", " + ".join(f"size{k}" for k in range(len(NAMES)))),
        signal("threshold", "depth === 1 ? 1 : pow(depth - 1, (depth - 1) / depth) / depth"),
        # a class of n images has the load `unit / n`
        signal("unit", "depth * images * pow(decay, (depth + 1) / depth)"),
        signal("least", "unit / threshold"),
    ]


def _class(k: int) -> list[dict[str, Any]]:
    """The optimum of one class."""
    load = f"load{k}"
    signals = [
        signal(load, f"unit / size{k}"),
        signal(f"t{k}_0", f"log(depth / {load}) / (depth + 1)"),
    ]
    for step in range(NEWTON):
        t = f"t{k}_{step}"
        value = (
            f"log({load} / depth) + 2 * (max(depth * {t}, 0) + log(1 + exp(-abs(depth * {t}))))"
            f" - (depth - 1) * {t}"
        )
        slope = f"2 * depth / (1 + exp(-depth * {t})) - (depth - 1)"
        signals.append(signal(f"t{k}_{step + 1}", f"{t} - ({value}) / ({slope})"))
    own = f"depth === 1 ? 1 - sqrt({load}) : 1 / (1 + exp(-depth * t{k}_{NEWTON}))"
    y = f"{TOP} + {HEIGHT} * ({CEILING} - own{k}) / {CEILING - FLOOR}"
    return [
        *signals,
        signal(f"own{k}", f"{load} < threshold ? {own} : 0"),
        signal(
            f"at{k}",
            f"wide || pane === 0 ? [{LEFT} + panel * log(size{k}) / log({EDGE}), {y}] : null",
        ),
    ]


def _lengths() -> list[dict[str, str]]:
    """Lengths of row and feature from the own logit q: the row's square is lambda q / (1 - q)."""
    return [
        formula("row", "sqrt(decay * datum.own / (1 - datum.own))"),
        formula("feature", "datum.row / (datum.row * datum.row + decay)"),
    ]


def _curve() -> dict[str, Any]:
    """From the threshold up, with the own logit as what runs."""
    start = "(depth - 1) / depth"
    ratio = "datum.own / (1 - datum.own)"
    load = f"depth * pow({ratio}, (depth - 1) / depth) * pow(1 - datum.own, 2)"
    return table(
        "theory",
        GRID,
        formula(
            "own", f"{start} + (0.9999 - {start}) * (1 - pow(1 - datum.index / {GRID - 1}, 4))"
        ),
        formula("size", f"unit / ({load})"),
        *_lengths(),
    )


def _plots() -> tuple[Plot, Plot]:
    size = axis("images of the class", f"[1, {EDGE}]", type="log", zero=False)
    wall = "clamp(least, 1, 1e9)"
    threshold = rule((wall, wall), (str(FLOOR), "1e3"), "muted", 1)
    dead = rule(("1", wall), ("0", "0"), "path", 2.5)
    jump = rule((wall, wall), ("0", "(depth - 1) / depth"), "path", 1)
    look = {"size": 90, "fill": "subject", "stroke": "surface", "strokeWidth": 1.5}
    own = [
        threshold,
        dead,
        jump,
        line("theory", "datum.size", "datum.own", "path"),
        symbols("trained", "datum.size", "datum.own", size=40, stroke="ink", strokeWidth=1.5),
        symbols("classes", "datum.size", "datum.own", **look),
    ]
    lengths = [
        threshold,
        line("theory", "datum.size", "datum.row", "path"),
        line("theory", "datum.size", "datum.feature", "path", 2, strokeDash={"value": [5, 4]}),
        symbols("classes", "datum.size", "datum.row", **look),
        symbols("classes", "datum.size", "datum.feature", **look),
    ]
    highest = "[-0.1, max(2.2, 0.55 / sqrt(decay))]"
    return (
        (size, axis("logit for its own label", f"[{FLOOR}, {CEILING}]"), own),
        (size, axis("length", highest), lengths),
    )


def _readout() -> str:
    each = " + ', ' + ".join(
        f"(own{k} === 0 ? '{name} vanished' : '{name} ' + format(own{k}, '.3f'))"
        for k, name in enumerate(NAMES)
    )
    return (
        f"'A class vanishes at ' + {numeral('least')} + ' of ' + format(images, ',')"
        f" + ' images or fewer, ' + {numeral('100 * least / images')} + ' % of them. "
        f"Logits for the own label: ' + {each} + '.'"
    )
