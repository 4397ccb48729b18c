"""Live figure: Mirostat writes a text with the counts of which word follows which.

The text is drawn in the page, word after word, as a chain of signals, because Vega cannot loop. Its
searches halve an interval, one signal a half.
"""

from __future__ import annotations

from typing import Any

import torch

from ...experiments.text import WordPairs
from ..live import LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import two_plots
from ..vega.plot import axis, line, rule, symbols

LENGTH, DRAWS = 30, 8
HALVES = (32, 16, 8, 4, 2, 1)
MOST = sum(HALVES)
"""How many words may follow a word: as many as six halves find."""
LEGEND = (
    ("'surprise of each word, and its mean so far'", "subject"),
    ("'μ: no word may surprise more'", "path"),
    ("'target'", "muted"),
)
READOUT = (
    "'Target ' + target_text + ' bits, rate ' + rate_text + ': ' + format(mean, '.2f')"
    f" + ' bits of surprise per word on average over {LENGTH} words, μ ends at '"
    f" + format(m{LENGTH}, '.1f') + '. The text: “' + text + '”'"
)


def decoding(
    pairs: WordPairs,
    *,
    target: float = 3.0,
    rate: float = 1.0,
    seed: int = 0,
    title: str = "Mirostat",
) -> LiveFigure:
    """Thirty words that Mirostat (version 2) draws, the surprise of each, and the threshold mu.

    The model is `pairs`: the 63 likeliest followers of a word, in proportion to their counts.
    `target` (0.5 to 6 bits) and `rate` (0 to 1) are the first state; `seed` is that of the eight
    sets of random numbers. Its numbers are those of `lossviz.analysis.Mirostat`.

    Raises ValueError for arguments outside their ranges, and for a word that nothing follows.
    """
    if not 0.5 <= target <= 6 or not 0 <= rate <= 1:
        raise ValueError(
            f"target must lie in [0.5, 6] and rate in [0, 1], got {target!r} and {rate!r}"
        )
    if (pairs.counts.sum(1) == 0).any():
        raise ValueError("every word must be followed by one at least")
    following, mass = followers(pairs)
    controls = (
        Slider("target", "target (bits)", 0.5, 6, 0.1, target, "repeats itself", "anything goes"),
        Slider("rate", "η: rate", 0, 1, 0.05, rate, "a fixed threshold (0)", "the paper's (1)"),
        Slider("number", "draw", 1, DRAWS, 1, 1, "1", f"{DRAWS}"),
    )
    return two_plots(
        controls,
        LEGEND,
        (
            (
                axis("word", f"[0, {LENGTH + 1}]"),
                axis("bits", "[0, 10]"),
                [
                    rule(("0", f"{LENGTH + 1}"), ("target", "target"), "muted", 1.5),
                    line("steps", "datum.word", "datum.mu", "path", interpolate={"value": "step"}),
                    symbols(
                        "steps", "datum.word", "datum.surprise", size=45, fill="subject",
                        stroke="surface",
                    ),
                ],
            ),
            (
                axis("words so far", f"[0, {LENGTH + 1}]"),
                axis("mean surprise (bits)", "[0, 7]"),
                [
                    rule(("0", f"{LENGTH + 1}"), ("target", "target"), "muted", 1.5),
                    line("steps", "datum.word", "datum.mean", "subject"),
                ],
            ),
        ),
        panes=("each word", "mean so far"),
        signals=[
            {"name": "words", "value": list(pairs.words)},
            {"name": "following", "value": following},
            {"name": "mass", "value": mass},
            {"name": "uniforms", "value": uniforms(seed).tolist()},
            signal("w0", f"{pairs.first}"),
            signal("m0", "2 * target"),
            *(each for t in range(LENGTH) for each in _step(t)),
            signal("surprise", f"[{', '.join(f's{t}' for t in range(LENGTH))}]"),
            signal("mu", f"[{', '.join(f'm{t}' for t in range(LENGTH))}]"),
            signal("mean", f"({' + '.join(f's{t}' for t in range(LENGTH))}) / {LENGTH}"),
            signal("text", _text()),
        ],
        readout=READOUT,
        data=[
            table(
                "steps",
                LENGTH,
                formula("word", "datum.index + 1"),
                formula("surprise", "surprise[datum.index]"),
                formula("mu", "mu[datum.index]"),
                {"type": "window", "ops": ["mean"], "fields": ["surprise"], "as": ["mean"]},
            )
        ],
        alt=(
            f"{title}. Left, the surprise of each of {LENGTH} words, scattered around the target "
            f"of {target:g} bits, and the threshold, which falls after a surprising word and rises "
            "after a dull one. Right, their mean so far, which settles on the target."
        ),
        caption=(
            f"{title}. Left: a dot for each word; the line is the threshold μ above which no word "
            "is drawn, moved after each word by η times how far its surprise missed the target. "
            "Right: the mean surprise so far."
        ),
    )  # fmt: skip


def followers(pairs: WordPairs) -> tuple[list[list[int]], list[list[int]]]:
    """For each word its likeliest followers, and their counts summed up from 0 on."""
    ordered = pairs.counts.sort(dim=-1, descending=True, stable=True)
    following, mass = [], []
    for counts, words in zip(ordered.values[:, :MOST], ordered.indices[:, :MOST], strict=True):
        seen = int((counts > 0).sum())
        following.append(words[:seen].tolist())
        mass.append([0, *counts[:seen].cumsum(0).tolist()])
    return following, mass


def uniforms(seed: int) -> torch.Tensor:
    """The random numbers of each draw (8, 30), with four digits."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10_000, (DRAWS, LENGTH), generator=generator).double() / 10_000


def _step(t: int) -> list[dict[str, Any]]:
    """Word t: how many may be drawn, which one is, what it surprises, and the next threshold.

    ``k`` counts the followers that are common enough, ``j`` those below the random number; beyond
    the end of a list every comparison is false.
    """
    row = f"mass[w{t}]"
    signals = [signal(f"c{t}", f"peek({row}) * pow(2, -m{t})"), signal(f"k{t}_0", "0")]
    for h, half in enumerate(HALVES):
        end = f"k{t}_{h} + {half}"
        common = f"{row}[{end}] - {row}[{end} - 1] >= c{t} * (1 - 1e-12)"
        signals.append(signal(f"k{t}_{h + 1}", f"k{t}_{h} + ({common} ? {half} : 0)"))
    last = len(HALVES)
    signals += [
        signal(f"n{t}", f"max(1, k{t}_{last})"),
        signal(f"u{t}", f"uniforms[number - 1][{t}] * {row}[n{t}]"),
        signal(f"j{t}_0", "0"),
    ]
    for h, half in enumerate(HALVES):
        below = f"{row}[j{t}_{h} + {half}] <= u{t}"
        signals.append(signal(f"j{t}_{h + 1}", f"j{t}_{h} + ({below} ? {half} : 0)"))
    place = f"j{t}_{last}"
    count = f"({row}[{place} + 1] - {row}[{place}])"
    return [
        *signals,
        signal(f"s{t}", f"log(peek({row}) / {count}) / LN2"),
        signal(f"w{t + 1}", f"following[w{t}][{place}]"),
        signal(f"m{t + 1}", f"m{t} - rate * (s{t} - target)"),
    ]


def _text() -> str:
    """The words that were drawn; a mark stands without a space before it."""
    return " + ".join(
        f"(test(/^[.,;:?!]$/, words[w{t}]) ? '' : '{' ' if t > 1 else ''}') + words[w{t}]"
        for t in range(1, LENGTH + 1)
    )
