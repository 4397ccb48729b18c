"""Live figure: the online log-sum-exp of one row, tile by tile, as a kernel recorded it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..live import LiveFigure, Slider
from ..vega import palette
from ..vega.frame import formula, signal
from ..vega.panels import axis, dot, layout_signals, line, panels, rule


def online(
    running_max: torch.Tensor,
    running_sum: torch.Tensor,
    tile_max: torch.Tensor,
    skipped: Sequence[bool] | torch.Tensor,
    *,
    seen: int = 1,
) -> LiveFigure:
    """The running maximum and log-sum-exp of one row over the tiles of its logits.

    Each argument has one entry a tile, at least two: the largest logit so far, the sum of
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
        {"tile": tile, "top": top, "sum": total, "own": own, "skipped": bool(skip)}
        for tile, top, total, own, skip in zip(
            range(1, tiles + 1),
            running_max.tolist(),
            running_sum.tolist(),
            tile_max.tolist(),
            skipped,
            strict=True,
        )
    ]
    controls = (Slider("seen", "tiles walked", 1, tiles, 1, seen, "the first", "all"),)
    return LiveFigure(
        _spec(rows, controls),
        controls,
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


def _spec(rows: list[dict[str, Any]], controls: tuple[Slider, ...]) -> dict[str, Any]:
    legend = [
        ("'largest logit of a tile (open square: all below ε)'", "subject"),
        ("'running maximum m, and running log-sum-exp m + log s'", "path"),
    ]
    tile = axis("tile of the vocabulary", f"[0.5, {len(rows) + 0.5}]", zero=False)
    height = "[extent(pluck(data('tiles'), 'own'))[0] - 0.5, lse + 0.5]"
    return {
        "autosize": "none",
        "padding": 0,
        "signals": [
            *layout_signals(len(legend)),
            *({"name": control.signal, "value": control.value} for control in controls),
            signal("now", "data('tiles')[seen - 1]"),
            signal("before", "data('tiles')[max(seen - 2, 0)]"),
            signal("lse", f"data('tiles')[{len(rows) - 1}].lse"),
            signal("shrunk", "exp(before.top - now.top)"),
            signal(
                "readout",
                f"'After tile ' + seen + ' of {len(rows)}: m = ' + format(now.top, '.2f')"
                " + ', s = ' + format(now.sum, '.2f') + ', log-sum-exp so far '"
                " + format(now.lse, '.3f') + ' of ' + format(lse, '.3f') + '; '"
                " + (seen === 1 ? 'nothing came before it' : shrunk < 1 ? 'a new maximum shrank"
                " the old sum to ' + format(shrunk, '.2~p') + ' of itself'"
                " : 'the maximum stayed') + (now.skipped ? ', and backward may leave this tile"
                " out, for this row.' : '.')",
            ),
        ],
        "data": [
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
        "marks": panels(
            legend,
            [
                (
                    tile,
                    axis("logit", height, zero=False),
                    [_steps("datum.top"), _tops()],
                ),
                (
                    tile,
                    axis("log-sum-exp so far", height, zero=False),
                    [
                        rule(("0", str(len(rows) + 1)), ("lse", "lse"), "muted", 1),
                        line("walked", "datum.tile", "datum.top", "reference", 1.5),
                        line("walked", "datum.tile", "datum.lse", "path"),
                        dot("seen", "now.lse", "path"),
                    ],
                ),
            ],
        ),
        "config": palette.vega_config(),
    }


def _steps(y: str) -> dict[str, Any]:
    mark = line("walked", "datum.tile", y, "path")
    mark["encode"]["update"]["interpolate"] = {"value": "step"}
    return mark


def _tops() -> dict[str, Any]:
    return {
        "type": "symbol",
        "from": {"data": "tiles"},
        "encode": {
            "update": {
                "x": {"scale": "across", "field": "tile"},
                "y": {"scale": "up", "field": "own"},
                "shape": {"signal": "datum.skipped ? 'square' : 'circle'"},
                "size": {"value": 60},
                "fill": {"signal": "datum.skipped ? surface : subject"},
                "stroke": {"signal": "subject"},
                "strokeWidth": {"value": 1.5},
                "opacity": {"signal": "datum.tile <= seen ? 1 : 0.3"},
            }
        },
    }
