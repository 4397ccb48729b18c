"""Two plots side by side, one at a time on a narrow screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..live import Choice, LiveFigure, Slider
from .frame import figure, in_pane, mark, signal
from .plot import plot

LEFT, RIGHT, HEIGHT, FOOT, ROW = 58, 14, 220, 52, 17

Plot = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]


def two_plots(
    controls: Sequence[Slider | Choice],
    legend: Sequence[tuple[str, str]],
    plots: tuple[Plot, Plot],
    *,
    panes: tuple[str, str],
    layout: Sequence[Mapping[str, Any]] = (),
    **parts: Any,
) -> LiveFigure:
    """A `figure` of two plots below a legend; `parts` are its further arguments.

    `legend` has an expression for a text and the colour that it explains; `plots` the axis across,
    the axis upwards, and the marks of each of the two plots, which `panes` names.
    """
    top = ROW * len(legend) + 12
    texts = [
        mark(
            "text",
            x=f"wide ? {LEFT} : 2",
            y=ROW * (row + 0.8),
            text=text,
            fill=colour,
            fontWeight=600,
        )
        for row, (text, colour) in enumerate(legend)
    ]
    lefts = f"{LEFT}", f"{LEFT} + (wide ? container / 2 : 0)"
    return figure(
        controls,
        layout=[
            signal("panel", f"(wide ? container / 2 : container) - {LEFT + RIGHT}"),
            *layout,
        ],
        height=f"{top + HEIGHT + FOOT}",
        panes=panes,
        marks=[
            *texts,
            *(
                in_pane(k, plot((left, f"{top}", "panel", f"{HEIGHT}"), across, up, marks))
                for k, (left, (across, up, marks)) in enumerate(zip(lefts, plots, strict=True))
            ),
        ],
        **parts,
    )
