"""The page of a run: entropy and reward over its steps, and what one says about the other."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files

import torch

from .run_summary import DRAWS, RunSummary

WIDTH, HEIGHT, LEFT, TOP, GAP = 320, 130, 60, 22, 44
MOST = 300
"""Points of a curve; with more steps, means of neighbours are drawn."""
TITLES = {
    "entropy": "entropy (nats)", "reward": "reward", "kl": "KL", "length": "length of answers",
    "truncated": "share truncated", "clipped": "share clipped", "surprise": "sampled −log p (nats)",
    "temperature": "sampling temperature",
}  # fmt: skip
NOT = (
    "The entropy of a token is a mean over tokens that count, after temperature, in nats. A log "
    "does not say which tokens, which temperature or which mean a trainer took; look there before "
    "two runs are compared.",
    "The law reward = b − a e^H is empirical. Its ceiling is what the reward would be at entropy 0 "
    "if the law went on; with other settings of clipping or of the entropy bonus it has moved. Its "
    "interval takes the law for true, and is too narrow where neighbouring steps share much noise.",
    "A clip fraction counts tokens whose ratio left the interval; which side of it, and whether "
    "the gradient was cut, depends on the sign of the advantage.",
    "KL under one name may be from the reference model or from the policy of the last step.",
)


def run_page(summary: RunSummary) -> str:
    """The HTML of a run, one file that asks nothing of a network and runs no script."""
    title = f"How {summary.run.name} trades entropy for reward"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(run_in_words(summary))}</p>',
        _suspicions(summary),
        _course(summary),
        _law(summary),
        _positions(summary),
        _table(summary),
        f"<section><h2>What each number is not</h2>{_list(NOT)}</section>",
        _origin(summary),
    ]
    style = files(__package__).joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def run_in_words(summary: RunSummary) -> str:
    """What the log says, in a few sentences."""
    run, law = summary.run, summary.law
    said = [f"{len(run.step):,} steps, from {run.step[0]:g} to {run.step[-1]:g}."]
    for kind in ("entropy", "reward"):
        if kind in run.columns:
            first, last = _ends(run.columns[kind].values)
            unit = " nats" if kind == "entropy" else ""
            said.append(f"The {kind} goes from {first:.3g} to {last:.3g}{unit}.")
    if law.refused:
        said.append(f"No law of reward and entropy is fitted: {law.refused}.")
    else:
        said.append(
            f"On the first {law.steps:,} of them reward = {law.b:.3g} − {law.a:.3g} e^H explains "
            f"{100 * law.r_squared:.1f} % of the variance; were it to go on, entropy 0 would mean "
            f"a reward of {law.ceiling:.3g} (95 % interval {law.low:.3g} to {law.high:.3g}). On "
            f"the held-out rest it errs by {law.held_out_error:.2g}, against "
            f"{law.fit_error:.2g} where it was fitted."
        )
    return " ".join(said)


def _suspicions(summary: RunSummary) -> str:
    if not summary.suspicions:
        return ""
    return (
        '<section class="suspicions" aria-labelledby="suspicions"><h2 id="suspicions">'
        f"Is the log what it seems to be?</h2>{_list(summary.suspicions)}</section>"
    )


def _course(summary: RunSummary) -> str:
    run = summary.run
    groups = (
        ("Entropy and reward", ("entropy", "reward")),
        ("Answers", ("length", "truncated")),
        ("Updates", ("clipped", "kl")),
    )
    figures = []
    for title, kinds in groups:
        there = [kind for kind in kinds if kind in run.columns]
        if not there:
            continue
        panels = [(TITLES[kind], run.columns[kind].values) for kind in there]
        words = f"{title}: " + "; ".join(
            f"{name} from {_ends(values)[0]:.3g} to {_ends(values)[1]:.3g}"
            for name, values in panels
        )
        names = ", ".join(run.columns[kind].source for kind in there)
        figures.append(
            f"<figure>{_stacked(run.step, panels, words)}"
            f"<figcaption>{escape(title)} over the steps ({escape(names)}).</figcaption></figure>"
        )
    each = math.ceil(len(run.step) / MOST)
    note = f'<p class="muted">A point is the mean of {each} steps.</p>' if each > 1 else ""
    return f'<section><h2>The course of the run</h2>{note}<div class="figures">' + (
        f"{''.join(figures)}</div></section>"
    )


def _stacked(step: torch.Tensor, panels: Sequence[tuple[str, torch.Tensor]], words: str) -> str:
    """Curves above one another, over one axis of steps."""
    low, high = float(step[0]), float(step[-1])
    parts = []
    for number, (title, values) in enumerate(panels):
        top = TOP + number * (HEIGHT + GAP)
        x, y = _thinned(step, values)
        ends = _scale(y)
        across = [LEFT + WIDTH * _share(v, low, high) for v in x.tolist()]
        up = [top + HEIGHT * (1 - _share(v, *ends)) for v in y.tolist()]
        parts.append(_grid(top, ends, title))
        points = [f"{a:.1f} {b:.1f}" for a, b in zip(across, up, strict=True)]
        parts.append(f'<path class="curve" d="M{"L".join(points)}"/>')
        if len(points) == 1:
            parts.append(f'<circle class="point" r="3" cx="{across[0]:.1f}" cy="{up[0]:.1f}"/>')
    base = TOP + len(panels) * HEIGHT + (len(panels) - 1) * GAP
    return _svg("".join(parts) + _feet(base, low, high, "step"), words, base)


def _law(summary: RunSummary) -> str:
    law, run = summary.law, summary.run
    if not {"entropy", "reward"} <= run.columns.keys():
        return ""
    both = torch.stack([run.columns[name].values for name in ("entropy", "reward")])
    h, r = both[:, ~both.isnan().any(0)]
    if not len(h) or float(h.abs().max()) > 50:
        return ""
    x, y = _thinned(h.exp(), r)
    left = (min(1.0, float(x.min())), float(x.max()))
    ends = _scale(torch.cat([y, torch.tensor([law.low, law.high]).nan_to_num(float(y[0])).to(y)]))

    def at(a: float, b: float) -> tuple[float, float]:
        return LEFT + WIDTH * _share(a, *left), TOP + 2 * HEIGHT * (1 - _share(b, *ends))

    parts = [_grid(TOP, ends, "reward", 2 * HEIGHT)]
    fitted = len(x) - len(x) // 3
    for number, (a, b) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        across, up = at(a, b)
        kind = "right" if number < fitted else "wrong"
        parts.append(f'<circle class="{kind}" r="2.5" cx="{across:.1f}" cy="{up:.1f}"/>')
    caption = f"No law is drawn: {law.refused}."
    if not law.refused:
        (x0, y0), (x1, y1) = (
            at(left[0], law.b - law.a * left[0]),
            at(left[1], law.b - law.a * left[1]),
        )
        parts.append(f'<path class="even" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
        (ceiling, low), (_, high) = at(1.0, law.low), at(1.0, law.high)
        parts.append(f'<path class="band" d="M{ceiling:.1f} {low:.1f}V{high:.1f}"/>')
        caption = (
            "Blue: the first two thirds of the run, to which the dashed line was fitted; orange: "
            f"the rest. The bar at e^H = 1 is the ceiling with its 95 % interval ({DRAWS} "
            f"resamples of residuals in blocks of {law.block} steps)."
        )
    base = TOP + 2 * HEIGHT
    words = f"Reward against e to the entropy. {caption}"
    inner = "".join(parts) + _feet(base, *left, "e^H: effective number of tokens")
    return (
        "<section><h2>Reward against entropy</h2>"
        f"<figure>{_svg(inner, words, base)}<figcaption>{escape(caption)}</figcaption></figure>"
        "</section>"
    )


def _positions(summary: RunSummary) -> str:
    if not summary.run.by_position:
        return ""
    first, last = summary.run.by_position
    both = torch.cat([first, last])
    ends = _scale(both[~both.isnan()])
    parts = [_grid(TOP, ends, "entropy (nats)")]
    for kind, row in (("even", first), ("curve", last)):
        x, y = _thinned(torch.arange(len(row)).double(), row)
        points = [
            f"{LEFT + WIDTH * _share(a, 0, max(len(row) - 1, 1)):.1f} "
            f"{TOP + HEIGHT * (1 - _share(b, *ends)):.1f}"
            for a, b in zip(x.tolist(), y.tolist(), strict=True)
        ]
        parts.append(f'<path class="{kind}" d="M{"L".join(points)}"/>')
    caption = "Entropy by position in the answer, at the first step (dashed) and at the last."
    base = TOP + HEIGHT
    inner = "".join(parts) + _feet(base, 0, len(last) - 1, "position")
    return (
        f"<section><h2>By position</h2><figure>{_svg(inner, caption, base)}"
        f"<figcaption>{caption}</figcaption></figure></section>"
    )


def _table(summary: RunSummary) -> str:
    lines = []
    for kind, column in summary.run.columns.items():
        known = column.values[~column.values.isnan()]
        cells = (*_ends(column.values), float(known.min()), float(known.max()))
        numbers = "".join(f"<td>{cell:.4g}</td>" for cell in cells)
        lines.append(
            f'<tr><th scope="row">{TITLES[kind]}</th><td>{escape(column.source)}</td>{numbers}'
            f"<td>{len(known):,}</td></tr>"
        )
    head = ("what", "column", "start", "end", "least", "most", "steps")
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        '<section><h2>Columns</h2><p class="muted">Start and end are means of the first and the '
        'last tenth of the steps.</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Columns"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody>'
        "</table></div></section>"
    )


def _origin(summary: RunSummary) -> str:
    run = summary.run
    about = {
        "file": run.name, "sha256": run.digest, "steps": f"{len(run.step):,}",
        "seed": summary.seed, "columns not used": ", ".join(run.unused[:40]) or "none",
        "lossviz": version("lossviz"), "torch": torch.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    lines = "".join(f"<dt>{k}</dt><dd>{escape(str(v))}</dd>" for k, v in about.items())
    return f"<section><h2>Where it comes from</h2><dl>{lines}</dl></section>"


def _ends(values: torch.Tensor) -> tuple[float, float]:
    known = values[~values.isnan()]
    tenth = max(1, len(known) // 10)
    return float(known[:tenth].mean()), float(known[-tenth:].mean())


def _thinned(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The known points, or means of neighbours where they are many."""
    known = ~y.isnan()
    x, y = x[known], y[known]
    each = math.ceil(len(x) / MOST)
    if each > 1:
        x, y = (torch.stack([part.mean() for part in column.split(each)]) for column in (x, y))
    return x, y


def _scale(values: torch.Tensor) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
    return (low - room if low < 0 else max(0.0, low - room)), high + room


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _grid(top: float, ends: tuple[float, float], title: str, height: float = HEIGHT) -> str:
    low, high = ends
    parts = [f'<text class="key" x="{LEFT}" y="{top - 7}">{title}</text>']
    for tick in range(4):
        y = top + height * (1 - tick / 3)
        label = f"{low + (high - low) * tick / 3:.3g}"
        parts.append(f'<path class="rule" d="M{LEFT} {y:.1f}h{WIDTH}"/>')
        parts.append(f'<text class="tick side" x="{LEFT - 7}" y="{y + 4:.1f}">{label}</text>')
    return "".join(parts)


def _feet(base: float, low: float, high: float, title: str) -> str:
    ticks = "".join(
        f'<text class="tick" x="{LEFT + WIDTH * k / 4:.1f}" y="{base + 16}">'
        f"{low + (high - low) * k / 4:.4g}</text>"
        for k in range(5)
    )
    return f'{ticks}<text class="axis" x="{LEFT + WIDTH / 2}" y="{base + 35}">{title}</text>'


def _svg(inner: str, words: str, base: float) -> str:
    size = f"0 0 {LEFT + WIDTH + 20} {base + 42}"
    return f'<svg viewBox="{size}" role="img" aria-label="{escape(words)}">{inner}</svg>'


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
