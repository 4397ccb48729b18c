"""Live figure: the online log-sum-exp of one row, tile by tile, as a kernel recorded it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..live import LiveFigure, Slider
from ..vega.frame import formula, signal
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, dot, line, rule, symbols

LEGEND = (
    ("'largest logit of a tile (open: all below ε)'", "subject"),
    ("'running maximum m, log-sum-exp m + log s'", "path"),
)


def online(
    running_max: torch.Tensor,
    running_sum: torch.Tensor,
    tile_max: torch.Tensor,
    skipped: Sequence[bool] | torch.Tensor,
    *,
    seen: int = 1,
) -> LiveFigure:
    """The running maximum and log-sum-exp of one row over the tiles of its logits.

    Each argument has one entry per tile, at least two: the largest logit so far, the sum of
    exponentials relative to it, the largest logit of the tile itself (all finite), and whether a
    gradient filter may leave the tile out. The first state has walked `seen` tiles.

    Raises ValueError for other shapes, numbers that are not finite, or `seen` out of range.
    """
    numbers = {"running_max": running_max, "running_sum": running_sum, "tile_max": tile_max}
    tiles = len(running_max)
    for name, values in numbers.items():
        if values.shape != (tiles,) or tiles < 2:
            raise ValueError(
                f"{name} must have one entry for each of at least two tiles, got shape "
                f"{tuple(values.shape)} with running_max of {tiles}"
            )
        if not torch.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got {values[~torch.isfinite(values)][0]}")
    if len(skipped) != tiles:
        raise ValueError(f"skipped must have one entry for each of {tiles} tiles")
    if seen not in range(1, tiles + 1):
        raise ValueError(f"seen must be an int in [1, {tiles}], got {seen!r}")
    rows = [
        {"tile": tile, "top": top, "sum": total, "largest": largest, "skipped": bool(skip)}
        for tile, top, total, largest, skip in zip(
            range(1, tiles + 1),
            running_max.tolist(),
            running_sum.tolist(),
            tile_max.tolist(),
            skipped,
            strict=True,
        )
    ]
    controls = (Slider("seen", "tiles walked", 1, tiles, 1, seen, "the first", "all", plays=True),)
    return two_plots(
        controls,
        LEGEND,
        _plots(tiles),
        panes=("largest logit", "log-sum-exp"),
        signals=[
            signal("now", "data('tiles')[seen - 1]"),
            signal("before", "data('tiles')[max(seen - 2, 0)]"),
            signal("lse", f"data('tiles')[{tiles - 1}].lse"),
            signal("shrunk", "exp(before.top - now.top)"),
        ],
        readout=(
            f"'After tile ' + seen + ' of {tiles}: m = ' + format(now.top, '.2f')"
            " + ', s = ' + format(now.sum, '.2f') + ', log-sum-exp so far '"
            " + format(now.lse, '.3f') + ' of ' + format(lse, '.3f') + '; '"
            " + (seen === 1 ? 'nothing came before it' : shrunk < 1 ? 'a new maximum shrank"
            " the old sum to ' + format(100 * shrunk, '.2~r') + ' % of itself'"
            " : 'the maximum stayed') + (now.skipped ? ', and backward may leave this tile"
            " out, for this row.' : '.')"
        ),
        data=[
            {
                "name": "tiles",
                "values": rows,
                "transform": [formula("lse", "datum.top + log(datum.sum)")],
            },
            {
                "name": "walked",
                "source": "tiles",
                "transform": [{"type": "filter", "expr": "datum.tile <= seen"}],
            },
        ],
        alt=(
            f"Two plots over {tiles} tiles of one row of logits. Left, the largest logit of each "
            "tile as dots and the running maximum as steps; tiles that a gradient filter may "
            "leave out are open squares. Right, the running log-sum-exp, which rises to the row's."
        ),
        caption=(
            "Recorded inside the kernel: first the largest logit of each tile and the running "
            "maximum, then the running log-sum-exp. Open squares: tiles that a gradient filter may "
            "leave out, as far as this row is concerned."
        ),
    )


def _plots(tiles: int) -> tuple[Plot, Plot]:
    tile = axis("tile of the vocabulary", f"[0.5, {tiles + 0.5}]", zero=False)
    height = "[extent(pluck(data('tiles'), 'largest'))[0] - 0.5, lse + 0.5]"
    largest = symbols(
        "tiles",
        "datum.tile",
        "datum.largest",
        shape="datum.skipped ? 'square' : 'circle'",
        size=60,
        fill="datum.skipped ? surface : subject",
        stroke="subject",
        strokeWidth=1.5,
        opacity="datum.tile <= seen ? 1 : 0.3",
    )
    maximum = line("walked", "datum.tile", "datum.top", "path", interpolate="'step'")
    sums = [
        rule(("0", f"{tiles + 1}"), ("lse", "lse"), "muted", 1),
        line("walked", "datum.tile", "datum.top", "reference", 1.5),
        line("walked", "datum.tile", "datum.lse", "path"),
        dot("seen", "now.lse", "path"),
    ]
    return (
        (tile, axis("logit", height, zero=False), [maximum, largest]),
        (tile, axis("log-sum-exp so far", height, zero=False), sums),
    )
