"""Which invariances are worth trying on a loss: they follow from the letters and the kinds.

A declaration names in `breaks` those that its loss does not have, "shift of K", or not for some
parameters, "absent entry of K for label_smoothing in (0, 1]"; the tests assert that all others
hold, and that those named fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from .inputs import BATCH, Argument, Inputs

Tensors = tuple[torch.Tensor, ...]
Change = Callable[[Argument, torch.Tensor], torch.Tensor]


def _as_they_were(losses: torch.Tensor) -> torch.Tensor:
    return losses


def _in_order(
    order: torch.Tensor, letter: str, rows: tuple[str, ...]
) -> Callable[[torch.Tensor], torch.Tensor]:
    if f"2{letter}" in rows:
        order = torch.cat([order, order + len(order)])
    elif letter not in rows:
        return _as_they_were
    return lambda losses: losses[order]


def _halves_exchanged(losses: torch.Tensor) -> torch.Tensor:
    return losses.roll(len(losses) // 2)


@dataclass(frozen=True)
class Symmetry:
    """A change of the inputs that may leave a loss as it is.

    `apply(tensors)` makes the changed inputs, `rows(losses)` what the row losses then should be.
    """

    name: str
    apply: Callable[[Tensors], Tensors]
    rows: Callable[[torch.Tensor], torch.Tensor] = _as_they_were


def symmetries(inputs: Inputs, tensors: Tensors) -> Iterator[Symmetry]:
    """The symmetries to try on these inputs, for tensors of the shapes of `tensors`."""
    generator = torch.Generator().manual_seed(5)
    sizes = _sizes(inputs, tensors)

    def each(change: Change) -> Callable[[Tensors], Tensors]:
        return lambda given: tuple(
            change(argument, tensor)
            for argument, tensor in zip(inputs.required, given, strict=True)
        )

    for letter in sizes:
        last = [a for a in inputs.required if a.letters[-1] == letter]
        shifts = any(a.kind.shifts for a in last)
        if shifts:
            yield Symmetry(f"shift of {letter}", each(_shift(letter, generator)))
            along = [a for a in inputs.required if letter in a.letters]
            if all(a.letters[-1] == letter and a.kind.absent is not None for a in along):
                yield Symmetry(f"absent entry of {letter}", each(_absent(letter)))
        counted = any(a.kind.counts == letter for a in inputs.required)
        if counted or (shifts and letter not in inputs.rows):
            order = _permutation(sizes[letter], generator)
            yield Symmetry(f"order of {letter}", each(_reorder(letter, order, relabel=True)))
        if any(a.kind.directed for a in last):
            turn = torch.linalg.qr(
                torch.randn(sizes[letter], sizes[letter], generator=generator).double()
            ).Q
            yield Symmetry(f"rotation of {letter}", each(_rotate(letter, turn)))
            yield Symmetry(f"length of {letter}", each(_stretch(letter, generator)))
        if letter in (BATCH, "N", "B"):
            order = _permutation(sizes[letter], generator)
            rows = _in_order(order, letter, inputs.rows)
            name = "rows" if letter == BATCH else letter
            yield Symmetry(f"order of {name}", each(_reorder(letter, order)), rows)
        if letter in ("H", "W") and letter not in inputs.rows:
            yield Symmetry(f"flip of {letter}", each(_flip(letter)))
    for one, other in inputs.exchange:
        names = [a.name for a in inputs.required]
        i, j = names.index(one), names.index(other)

        def swapped(given: Tensors, i: int = i, j: int = j) -> Tensors:
            changed = list(given)
            changed[i], changed[j] = given[j], given[i]
            return tuple(changed)

        rows = _halves_exchanged if any(row[0] == "2" for row in inputs.rows) else _as_they_were
        yield Symmetry(f"exchange of {one} and {other}", swapped, rows)


def _sizes(inputs: Inputs, tensors: Tensors) -> dict[str, int]:
    """The length of each letter; of the leading axes, that of the first."""
    found: dict[str, int] = {}
    for argument, tensor in zip(inputs.required, tensors, strict=True):
        for letter in argument.letters:
            axis = argument.axis(letter)
            if tensor.ndim >= len(argument.letters):
                found[letter] = tensor.shape[axis]
    return found


def _permutation(count: int, generator: torch.Generator) -> torch.Tensor:
    """A permutation that moves every entry, where there are two."""
    return torch.randperm(count, generator=generator).argsort().roll(1).argsort()


def _shift(letter: str, generator: torch.Generator) -> Change:
    def change(argument: Argument, tensor: torch.Tensor) -> torch.Tensor:
        if not argument.kind.shifts or argument.letters[-1] != letter:
            return tensor
        by = torch.randn(*tensor.shape[:-1], 1, generator=generator, dtype=torch.float64)
        return tensor + 30 * by.to(tensor.dtype)

    return change


def _absent(letter: str) -> Change:
    def change(argument: Argument, tensor: torch.Tensor) -> torch.Tensor:
        absent = argument.kind.absent
        if letter not in argument.letters or absent is None:
            return tensor
        return torch.cat([tensor, torch.full_like(tensor[..., :1], absent)], -1)

    return change


def _reorder(letter: str, order: torch.Tensor, *, relabel: bool = False) -> Change:
    def change(argument: Argument, tensor: torch.Tensor) -> torch.Tensor:
        if relabel and argument.kind.counts == letter:
            return order.argsort()[tensor]
        if letter in argument.letters:
            return tensor.index_select(argument.axis(letter), order)
        return tensor

    return change


def _rotate(letter: str, turn: torch.Tensor) -> Change:
    def change(argument: Argument, tensor: torch.Tensor) -> torch.Tensor:
        return tensor @ turn if argument.letters[-1] == letter else tensor

    return change


def _stretch(letter: str, generator: torch.Generator) -> Change:
    def change(argument: Argument, tensor: torch.Tensor) -> torch.Tensor:
        if not argument.kind.directed or argument.letters[-1] != letter:
            return tensor
        size = torch.rand(*tensor.shape[:-1], 1, generator=generator, dtype=torch.float64)
        return tensor * (0.5 + size)

    return change


def _flip(letter: str) -> Change:
    def change(argument: Argument, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.flip(argument.axis(letter)) if letter in argument.letters else tensor

    return change
