"""Models of text that count characters: small, exact, and quick to make remember what they saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch

from .networks import as_generator


class CharacterModel:
    """The chance of the next character after the last `order - 1`, from counts that back off.

    With n counts after a context, c of them of a character, its chance is (c + a q) / (n + a), q
    being its chance after the context without its first character; without any context characters
    are even. Only ASCII counts; any other character is a question mark.

    texts : pairs of a text and the weight of each of its counts. order : at least 1.
    strength : a, above 0, default 1.
    """

    SYMBOLS = 128

    def __init__(
        self, texts: Iterable[tuple[str, float]], *, order: int, strength: float = 1.0
    ) -> None:
        if order < 1 or not strength > 0:
            raise ValueError(f"order and strength must be positive, got {order} and {strength}")
        self.order, self.strength = order, strength
        self.after: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        for raw, weight in texts:
            text = as_ascii(raw)
            for length in range(order):
                for place in range(length, len(text)):
                    self.after[text[place - length : place]] += weight  # type: ignore[assignment]
                    self.counts[text[place - length : place + 1]] += weight  # type: ignore[assignment]

    def chance(self, context: str, character: str) -> float:
        """Of a character after a context, of which the last `order - 1` characters count."""
        found = 1 / self.SYMBOLS
        for length in range(min(len(context), self.order - 1) + 1):
            seen = context[len(context) - length :]
            after = self.after[seen]
            if not after:
                break
            count = self.counts[seen + character]
            found = (count + self.strength * found) / (after + self.strength)
        return found

    def log_probability(self, text: str, *, start: int = 0) -> torch.Tensor:
        """Of each character from `start` on, after those before it: float64 (T - start,)."""
        text = as_ascii(text)
        reach = self.order - 1
        chances = [
            self.chance(text[max(0, place - reach) : place], text[place])
            for place in range(start, len(text))
        ]
        return torch.tensor(chances, dtype=torch.float64).log()


def as_ascii(text: str) -> str:
    """The text with a question mark for every other character."""
    return text.encode("ascii", "replace").decode()


def windows(text: str, width: int, count: int, seed: int | torch.Generator = 0) -> list[str]:
    """`count` stretches of `width` characters from random places of a text."""
    starts = torch.randint(len(text) - width + 1, (count,), generator=as_generator(seed))
    return [text[start : start + width] for start in starts.tolist()]
