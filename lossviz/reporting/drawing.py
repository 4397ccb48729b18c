"""The three pictures of a report, as SVG whose colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

LEFT, TOP, SIZE, STRIP = 52, 14, 320, 46  # where a plot starts, its side, the density below it


def reliability(bins: Mapping[str, Sequence[float]], words: str) -> str:
    """Accuracy against confidence: bars, the band of chance, counts, and the density below.

    The page's script redraws what is in ``g.bins`` from the table of other temperatures.
    """
    rows = bins["rows"]
    parts, bands = [], []
    for b, count in enumerate(rows):
        if not count:
            continue
        x, width = LEFT + SIZE * b / len(rows), SIZE / len(rows)
        accuracy, confidence = bins["accuracy"][b], bins["confidence"][b]
        parts.append(_bar("bar", x, accuracy, width))
        lower, upper = sorted((accuracy, confidence))
        parts.append(_bar("gap", x, upper, width, lower))
        height = STRIP * count / max(rows)
        parts.append(
            f'<rect class="density" x="{x + 1:.1f}" y="{TOP + SIZE + 6 + STRIP - height:.1f}" '
            f'width="{width - 2:.1f}" height="{height:.1f}"/>'
        )
        parts.append(
            f'<text class="count" x="{x + width / 2:.1f}" y="{TOP + SIZE - 5}">'
            f"{_short(count)}</text>"
        )
        low, high = bins["low"][b], bins["high"][b]
        middle = x + width / 2
        bands.append(f'<path class="band" d="M{middle:.1f} {_up(low)}V{_up(high)}"/>')
    inner = (
        f'<g class="bins">{"".join(parts)}</g><g class="bands">{"".join(bands)}</g>'
        f'<path class="even" d="M{LEFT} {TOP + SIZE}L{LEFT + SIZE} {TOP}"/>'
    )
    return _frame(inner, words, "confidence", "accuracy", STRIP + 6)


def risk_curve(curve: Mapping[str, Sequence[float]], words: str) -> str:
    """The error rate against the share of rows that are answered, with a point to move."""
    top = axis_end(max(curve["risk"]))
    line = "L".join(
        f"{LEFT + SIZE * x:.1f} {_up(y / top)}"
        for x, y in zip(curve["coverage"], curve["risk"], strict=True)
    )
    inner = (
        f'<path class="curve" d="M{line}"/><path class="drop" d=""/>'
        f'<circle class="point" r="6" cx="{LEFT + SIZE}" cy="{_up(curve["risk"][-1] / top)}"/>'
    )
    return _frame(inner, words, "share answered", "error rate", top=top)


def axis_end(most: float) -> float:
    """The least of 1, 2, 5, 10, ... thousandths, up to 1, that is not below `most`."""
    steps = (digit * 10.0**power for power in range(-3, 0) for digit in (1, 2, 5))
    return next((step for step in steps if step >= most), 1.0)


def histograms(counts: Mapping[str, Sequence[int]], words: str) -> str:
    """How sure the model was where it was right, upwards, and where it was wrong, downwards."""
    parts = []
    for side, key in ((-1, "right"), (1, "wrong")):
        total, top = sum(counts[key]) or 1, max(counts[key]) or 1
        for b, count in enumerate(counts[key]):
            height = (SIZE / 2 - 18) * count / top
            x, width = LEFT + SIZE * b / len(counts[key]), SIZE / len(counts[key])
            y = TOP + SIZE / 2 - (height if side < 0 else 0)
            if count:
                parts.append(
                    f'<rect class="{key}" x="{x:.1f}" y="{y:.1f}" width="{width - 0.8:.1f}" '
                    f'height="{height:.1f}"/>'
                )
        place = TOP + 12 if side < 0 else TOP + SIZE - 4
        parts.append(
            f'<text class="key" x="{LEFT + 8}" y="{place}">{key}: '
            f"{sum(counts[key]):,}, at most {top / total:.0%} of them in one bar</text>"
        )
    middle = f'<path class="even" d="M{LEFT} {TOP + SIZE / 2}h{SIZE}"/>'
    return _frame("".join(parts) + middle, words, "confidence", "", grid=False)


def _frame(
    inner: str, words: str, below: str, beside: str, extra: int = 0, top: float = 1.0,
    grid: bool = True,
) -> str:  # fmt: skip
    """Axes from 0 to 1 across and from 0 to `top` upwards around what is drawn."""
    base = TOP + SIZE + extra
    marks = []
    for tick in range(6):
        x, y = LEFT + SIZE * tick / 5, TOP + SIZE * (1 - tick / 5)
        marks.append(f'<text class="tick" x="{x}" y="{base + 16}">{tick / 5:g}</text>')
        if grid:
            marks.append(f'<path class="rule" d="M{LEFT} {y}h{SIZE}"/>')
            label = f"{top * tick / 5:.3g}"
            marks.append(f'<text class="tick side" x="{LEFT - 7}" y="{y + 4}">{label}</text>')
    middle = TOP + SIZE / 2
    marks.append(f'<text class="axis" x="{LEFT + SIZE / 2}" y="{base + 36}">{below}</text>')
    marks.append(
        f'<text class="axis" transform="translate(12 {middle}) rotate(-90)">{beside}</text>'
    )
    size = f"0 0 {LEFT + SIZE + 14} {base + 44}"
    opening = f'<svg viewBox="{size}" role="img" aria-label="{escape(words)}">'
    return f"{opening}{''.join(marks)}{inner}</svg>"


def _bar(name: str, x: float, upper: float, width: float, lower: float = 0.0) -> str:
    height = SIZE * (upper - lower)
    return (
        f'<rect class="{name}" x="{x + 1:.1f}" y="{_up(upper)}" width="{width - 2:.1f}" '
        f'height="{height:.1f}"/>'
    )


def _up(share: float) -> str:
    return f"{TOP + SIZE * (1 - share):.1f}"


def _short(count: float) -> str:
    """A count in at most four characters: 950, 12k, 3M."""
    power = min(3, int(math.log10(max(count, 1))) // 3)
    return f"{count / 1000**power:.3g}"[:4].rstrip(".") + " kMG"[power].strip()
