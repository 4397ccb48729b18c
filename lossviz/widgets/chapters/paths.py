"""Live figure: what several methods pay in entropy for the reward that they earn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, dot, line


class TrainingPath(NamedTuple):
    """Measures of R runs at T looks, each (T, R).

    `reward` is the expected reward, in [0, 1]; `entropy` is in nats; `answers` is the effective
    number of right answers, 1 at least.
    """

    reward: torch.Tensor
    entropy: torch.Tensor
    answers: torch.Tensor


def entropy_paths(
    paths: Mapping[str, TrainingPath],
    steps: Sequence[int],
    *,
    method: str | None = None,
    step: int | None = None,
) -> LiveFigure:
    """Entropy and right answers in use over expected reward, the mean over the runs of a method.

    Parameters
    ----------
    paths : recorded runs by method, the first of which is what the others are compared with.
    steps : the numbers of the steps (T,) after which all were measured; they rise.
    method, step : the first state; the last method and the last step by default.

    Raises
    ------
    ValueError for fewer than two methods, steps that do not rise, a method or a step that is not
    among them, and measures that are not (T, R).
    """
    if len(paths) < 2:
        raise ValueError(f"paths must name at least two methods, got {list(paths)}")
    times = list(steps)
    if len(times) < 2 or times != sorted(set(times)):
        raise ValueError(f"steps must be at least two numbers that rise, got {times}")
    if step is not None and step not in times:
        raise ValueError(f"step must be one of {times}, got {step!r}")
    base, *others = paths
    chosen = others[-1] if method is None else method
    if chosen not in others:
        raise ValueError(f"method must be one of {others}, got {method!r}")
    means = {name: _means(name, path, len(times)) for name, path in paths.items()}
    runs = [
        {
            **{field: value.tolist() for field, value in one._asdict().items()},
            "matched": _matched(means[base], one.reward),
        }
        for one in (means[name] for name in others)
    ]
    last = len(times) - 1
    choice = Choice("method", "method", tuple(others), chosen)
    controls: tuple[Slider | Choice, ...] = (
        choice,
        Slider(
            "now", "step", 0, last, 1, last if step is None else times.index(step),
            "before training", f"after {times[-1]:,} steps", shows="format(steps[now], ',')",
            plays=True,
        ),
    )  # fmt: skip
    most = {
        field: max(getattr(one, field).max().item() for one in means.values())
        for field in ("entropy", "answers")
    }
    fields = TrainingPath._fields
    return two_plots(
        controls,
        (
            ("method + ', up to step ' + now_text", "subject"),
            (f"'{base}, the whole run'", "path"),
            ("'the other methods'", "muted"),
        ),
        (
            _plot("entropy", "entropy (nats)", f"[0, {1.08 * most['entropy']}]", len(others)),
            _plot("answers", "right answers in use", f"[1, {1.08 * most['answers']}]", len(others)),
        ),
        panes=("entropy", "answers"),
        signals=[
            {"name": "steps", "value": times},
            {"name": "runs", "value": runs},
            {
                "name": "base",
                "value": {field: getattr(means[base], field).tolist() for field in fields},
            },
            signal("run", f"runs[{choice.position}]"),
            signal("matched", "run.matched[now]"),
        ],
        readout=_readout(base),
        data=[
            _curve("baseline", "base", len(times)),
            *(_curve(f"other_{k}", f"runs[{k}]", len(times)) for k in range(len(others))),
            _curve("travelled", "run", len(times), "datum.index <= now"),
        ],
        alt=(
            f"Left, entropy over expected reward: all paths fall from the left to the right; the "
            f"one of {chosen} is drawn beside that of {base}. Right, the number of right answers "
            "in use over the same reward."
        ),
        caption=(
            "What each method pays for its reward: entropy (left) and the effective number of "
            "right answers (right) against the expected reward, the mean over the runs. At the "
            "same reward, higher is better. Time runs from left to right along a path."
        ),
    )


def _means(name: str, path: TrainingPath, times: int) -> TrainingPath:
    """The mean over the runs of each measure: (T,)."""
    for field, value in path._asdict().items():
        if value.ndim != 2 or len(value) != times or value.shape != path.reward.shape:
            raise ValueError(
                f"{field} of {name!r} must be ({times}, R) like reward, got {tuple(value.shape)}"
            )
    return TrainingPath(*(value.double().mean(1) for value in path))


def _matched(base: TrainingPath, reward: torch.Tensor) -> list[float | None]:
    """Right answers in use by `base` where it first had the same reward, None where it never had.

    Between two looks the path is straight.
    """
    best = base.reward.cummax(0).values
    after = torch.searchsorted(best, reward.contiguous()).clamp(max=len(best) - 1)
    before = (after - 1).clamp_min(0)
    share = (reward - best[before]) / (best[after] - best[before])
    share = torch.where(after > before, share, 0.0)
    found = torch.lerp(base.answers[before], base.answers[after], share)
    return [
        value if low <= 1 else None
        for value, low in zip(found.tolist(), share.tolist(), strict=True)
    ]


def _curve(name: str, source: str, count: int, condition: str = "true") -> dict[str, Any]:
    return table(
        name,
        count,
        {"type": "filter", "expr": condition},
        *(formula(field, f"{source}.{field}[datum.index]") for field in TrainingPath._fields),
    )


def _plot(field: str, title: str, domain: str, others: int) -> Plot:
    place = ("datum.reward", f"datum.{field}")
    marks = [
        *(line(f"other_{k}", *place, "muted", 1) for k in range(others)),
        line("baseline", *place, "path", 1.5),
        line("travelled", *place, "subject", 3),
        dot("run.reward[now]", f"run.{field}[now]", "subject"),
    ]
    return axis("expected reward (pass@1)", "[0, 1]"), axis(title, domain, zero=False), marks


def _readout(base: str) -> str:
    return (
        "method + ' after ' + now_text + ' steps: expected reward '"
        " + format(run.reward[now], '.3f') + ', entropy ' + format(run.entropy[now], '.2f')"
        " + ' nats, ' + format(run.answers[now], '.2f') + ' right answers in use; '"
        f" + (matched === null ? '{base} never earns as much.' : '{base} has '"
        " + format(matched, '.2f') + ' where it earns the same.')"
    )
