"""Texts and models just large enough to learn something about them: of words, and of characters.

The synthetic language has a known entropy; the English text is the reference manual that comes with
Python (`pydoc_data.topics`, PSF licence), which differs a little from one version to the next.
"""

from __future__ import annotations

import math

import torch

from .networks import as_generator


def zipf_language(
    num_words: int,
    tokens: int,
    *,
    endings: int = 16,
    exponent: float = 1.2,
    seed: int | torch.Generator = 0,
) -> tuple[torch.Tensor, float]:
    """A text, and the entropy in nats of a next word, which no expected loss can be below.

    A word w has the ending w mod `endings`, and the ending alone decides how often each word
    follows: by a Zipf law over an order of the words that is its own.

    num_words : V; tokens : words after the first; exponent : of the Zipf law, at least 0; seed : an
    int or a generator to draw from. Returns int64 (tokens + 1,) and the entropy.
    """
    follows = torch.arange(1, num_words + 1).double() ** -exponent
    follows /= follows.sum()
    generator = as_generator(seed)
    orders = [torch.randperm(num_words, generator=generator).tolist() for _ in range(endings)]
    ranks = torch.multinomial(follows, tokens, replacement=True, generator=generator)
    text = [0]
    for rank in ranks.tolist():
        text.append(orders[text[-1] % endings][rank])
    return torch.tensor(text), -(follows * follows.log()).sum().item()


class NextWord(torch.nn.Module):
    """The last hidden state tanh(stem + ending) of each word, to be scored by `weight` and `bias`.

    The scores of the next word are hidden @ weight.T + bias, left to a loss that takes both.

    num_words : V, a multiple of `endings`; features : D. `weight` (V, D), `bias` (V,).
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        *,
        endings: int = 16,
        seed: int | torch.Generator = 0,
    ) -> None:
        super().__init__()
        generator = as_generator(seed)

        def drawn(rows: int, deviation: float) -> torch.nn.Parameter:
            return torch.nn.Parameter(deviation * torch.randn(rows, features, generator=generator))

        self.stems = drawn(num_words // endings, 0.02)
        self.endings = drawn(endings, 1.0)
        self.weight = drawn(num_words, 0.02)
        self.bias = torch.nn.Parameter(torch.zeros(num_words))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Hidden states (N, D) of words (N,)."""
        endings = len(self.endings)
        return torch.tanh(self.stems[words // endings] + self.endings[words % endings])


def python_manual(characters: int) -> tuple[torch.Tensor, str]:
    """The first characters of Python's reference manual as labels (N,), and the alphabet.

    Topics in alphabetical order; labels number the characters of the whole text in their order.
    Raises ValueError for fewer than 1 or more than there are.
    """
    from pydoc_data.topics import topics

    text = "".join(topics[name] for name in sorted(topics))
    if not 1 <= characters <= len(text):
        raise ValueError(f"characters must lie in 1..{len(text)}, got {characters!r}")
    alphabet = "".join(sorted(set(text)))
    place = {character: label for label, character in enumerate(alphabet)}
    return torch.tensor([place[c] for c in text[:characters]]), alphabet


class CharacterModels(torch.nn.Module):
    """R models side by side that foresee a character from those before it; nothing is shared.

    Each embeds the `context` last characters, joins them, and has one layer of tanh units, whose
    outputs are the `hidden` states (R, N, D); scores of the next character are linear in these.

    alphabet : V, how many characters; features : D. Labels come in as (R, N, context).
    """

    def __init__(
        self,
        alphabet: int,
        features: int,
        *,
        runs: int,
        context: int = 8,
        embedding: int = 16,
        seed: int | torch.Generator = 0,
    ) -> None:
        super().__init__()
        generator = as_generator(seed)

        def drawn(*shape: int, deviation: float) -> torch.nn.Parameter:
            first = torch.randn(runs, *shape, generator=generator)
            return torch.nn.Parameter(deviation * first)

        inputs = context * embedding
        self.embedding = drawn(alphabet, embedding, deviation=1.0)
        self.inner = drawn(inputs, features, deviation=1 / math.sqrt(inputs))
        self.inner_bias = torch.nn.Parameter(torch.zeros(runs, 1, features))
        self.outer = drawn(features, alphabet, deviation=0.02)
        self.outer_bias = torch.nn.Parameter(torch.zeros(runs, 1, alphabet))

    def hidden(self, contexts: torch.Tensor) -> torch.Tensor:
        """The features (R, N, D) of contexts (R, N, context)."""
        run = torch.arange(len(contexts))[:, None, None]
        joined = self.embedding[run, contexts].flatten(2)
        return torch.tanh(torch.baddbmm(self.inner_bias, joined, self.inner))

    def forward(self, contexts: torch.Tensor) -> torch.Tensor:
        """Logits (R, N, V)."""
        return torch.baddbmm(self.outer_bias, self.hidden(contexts), self.outer)
