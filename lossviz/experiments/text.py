"""A text that may be copied, the counts of which word follows which, and texts drawn from them.

The text is Genesis in the King James Version of 1611, as spelled in 1769: in the public domain,
except that in the United Kingdom the Crown licenses the printing of the whole Bible.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import NamedTuple

import torch

from .networks import as_generator


def genesis() -> list[str]:
    """The words of Genesis in order, in lower case, and its punctuation marks: 45,000 tokens."""
    text = files(__package__).joinpath("genesis.txt").read_text(encoding="utf-8")
    return re.findall(r"[a-z']+|[.,;:?!]", text.lower())


class WordPairs(NamedTuple):
    """V words, and how often each (row) is followed by each (column) in a text (V, V)."""

    words: tuple[str, ...]
    counts: torch.Tensor

    @property
    def first(self) -> int:
        """The word after which a text begins: the full stop."""
        return self.words.index(".")


def word_pairs(tokens: Sequence[str], words: Sequence[str]) -> WordPairs:
    """Count neighbours that are both among `words`; pairs with any other token are left out."""
    size = len(words)
    place = {word: number for number, word in enumerate(words)}
    text = torch.tensor([place.get(word, -1) for word in tokens])
    known = (text[:-1] >= 0) & (text[1:] >= 0)
    pairs = torch.bincount((text[:-1] * size + text[1:])[known], minlength=size * size)
    return WordPairs(tuple(words), pairs.reshape(size, size))


def commonest(tokens: Sequence[str], size: int) -> tuple[str, ...]:
    """The `size` commonest tokens, commonest first; equals in the order of the text."""
    return tuple(word for word, _ in Counter(tokens).most_common(size))


def smoothed(counts: torch.Tensor, strength: float) -> torch.Tensor:
    """Log-probabilities (V, V) of the next word, drawn towards the frequencies of all words.

    (n(v, w) + strength f(w)) / (n(v) + strength), where f is the share of w among all words with
    one added to each, so that nothing is impossible. MacKay and Peto (1995).
    """
    counts = counts.double()
    share = counts.sum(0) + 1
    prior = share / share.sum()
    return ((counts + strength * prior) / (counts.sum(1, keepdim=True) + strength)).log()


Draw = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def written(
    logits: torch.Tensor,
    draw: Draw,
    *,
    texts: int,
    length: int,
    first: int,
    seed: int | torch.Generator = 0,
) -> torch.Tensor:
    """Texts written side by side, word after word (length, texts), each from the word `first` on.

    `logits` (V, V), or another row for each word, say what comes after it; `draw` takes those of
    the present words (texts, V) with numbers in [0, 1), and returns the next words.
    """
    generator = as_generator(seed)
    word = torch.full((texts,), first)
    found = []
    for _ in range(length):
        uniform = torch.rand(texts, generator=generator, dtype=torch.float64)
        word = draw(logits[word], uniform)
        found.append(word)
    return torch.stack(found)


def by_inversion(sums: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Draw by running sums (..., V) of probabilities with numbers in [0, 1) (...)."""
    level = uniform * sums[..., -1]
    return (sums <= level[..., None]).sum(-1).clamp_max(sums.shape[-1] - 1)


def surprises(logits: torch.Tensor, text: torch.Tensor, first: int) -> torch.Tensor:
    """Bits of surprise of each word of texts (length, ...) under the model with these logits."""
    start = torch.full_like(text[:1], first)
    before = torch.cat([start, text[:-1]])
    return -logits.log_softmax(-1)[before, text] / torch.tensor(2.0).double().log()


def sentence(words: Sequence[str], text: torch.Tensor) -> str:
    """A text (length,) as it is read: marks stand without a space before them."""
    return re.sub(r" ([.,;:?!])", r"\1", " ".join(words[number] for number in text.tolist()))
