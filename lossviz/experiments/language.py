"""A synthetic language whose entropy is known, and a model just large enough to learn it."""

from __future__ import annotations

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
