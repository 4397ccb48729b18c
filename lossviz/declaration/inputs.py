"""The door of a loss: each argument by what it holds and by the letters of its shape.

    CLASS_LOGITS = Inputs(
        Argument("logits", LOGITS, "... K"),
        Argument("target", labels("K", ignorable=True), "..."),
    )

Letters unify over the arguments of one call, ``...`` stands for any number of leading axes, ``*``
for any shape. From the arguments follow the checks, the examples of the tests, the symmetries that
are worth trying, the plane of the picture and the words of the pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from .kinds import LOGITS, Kind, labels
from .numbers import row_dtype, widen

BATCH = "..."
ANY = "*"
NAMES = {
    "K": "classes", "C": "classes", "V": "tokens of the vocabulary", "J": "thresholds",
    "N": "examples", "B": "examples", "M": "candidates", "D": "features", "T": "places",
    "S": "tokens of the target", "H": "rows of pixels", "W": "columns of pixels",
    "G": "components of the mixture", "P": "members of the bag", "A": "heads", "Q": "queries",
}  # fmt: skip
EXAMPLE_SIZES: Mapping[str, int] = {
    "K": 5, "C": 4, "V": 5, "J": 4, "N": 6, "B": 4, "M": 6, "D": 4, "T": 5, "S": 4, "H": 7, "W": 6,
    "G": 3, "P": 4, "A": 2, "Q": 3, ANY: 3,
}  # fmt: skip


@dataclass(frozen=True)
class Argument:
    """One tensor argument: its name, what it holds, the letters of its shape.

    An `optional` one may be None; it is given by name only unless `positional`. `otherwise` is a
    second reading, taken when the dtype fits that one instead (probabilities for labels, say).
    `meaning` is one clause for the pages. The last axis has at least `least` entries, where it is
    one that may not be empty.
    """

    name: str
    kind: Kind
    shape: str
    meaning: str = ""
    optional: bool = False
    positional: bool = True
    otherwise: Argument | None = None
    least: int = 1

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """The parts of the shape, such as ``("...", "K")``."""
        return tuple(self.shape.split())

    @property
    def written(self) -> str:
        """The shape as a reader knows it, such as ``(..., K)``."""
        if self.shape == ANY:
            return "(any shape)"
        comma = "," if len(self.letters) == 1 and self.shape != BATCH else ""
        return f"({', '.join(self.letters)}{comma})"

    @property
    def code(self) -> str:
        """An expression of torch that draws an example, with a batch of eight for the rows."""
        sizes = {**EXAMPLE_SIZES, "N": 8, "B": 8, BATCH: 8}
        shape = ", ".join(str(sizes[letter]) for letter in self.letters)
        return self.kind.code.format(shape=shape, **sizes)

    def axis(self, letter: str) -> int:
        """The axis of a letter: negative, or 0 for the first of the leading axes."""
        return 0 if letter == BATCH else self.letters.index(letter) - len(self.letters)

    def read_as(self, tensor: Any) -> Argument:
        """This argument, or its other reading if the dtype of `tensor` asks for that one."""
        if self.otherwise is None or not isinstance(tensor, torch.Tensor):
            return self
        floating = tensor.dtype.is_floating_point
        fits = floating == (self.otherwise.kind.holds == "floating")
        return self.otherwise if fits and floating != (self.kind.holds == "floating") else self


@dataclass(frozen=True)
class Checked:
    """Tensors that passed the door, by name, with the sizes of the letters.

    `tensors` has an entry for every argument, None for an optional one that was left out; half
    precision is float32 by now, ignored labels are 0. `kept` is None or true where labels count.
    `dtype` is that of the first argument as it was given: what the loss is returned in.
    """

    tensors: Mapping[str, torch.Tensor | None]
    sizes: Mapping[str, Any]
    kept: torch.Tensor | None
    dtype: torch.dtype

    def __getitem__(self, name: str) -> torch.Tensor:
        """A tensor that was given."""
        tensor = self.tensors[name]
        assert tensor is not None
        return tensor


class Inputs:
    """The arguments of a loss in order, and what follows from them.

    `rows` is the shape of the loss without reduction: the batch ("..."), anchors ("N", or "2N" for
    those of both views of N pairs, one view after the other), or "" for a loss of the whole batch
    that has no rows. `coupled` says that rows see each other (contrastive
    losses). `exchange` names pairs of arguments whose exchange is worth trying. `paired` says that
    an example is a pair: two views, or a chosen and a rejected answer.
    """

    def __init__(
        self,
        *arguments: Argument,
        rows: str = BATCH,
        coupled: bool = False,
        exchange: Sequence[tuple[str, str]] = (),
        paired: bool = False,
    ) -> None:
        self.arguments = arguments
        self.rows = tuple(rows.split())
        self.coupled = coupled
        self.exchange = tuple(exchange)
        self.paired = paired
        self.ignorable = any(a.kind.ignorable for a in arguments)

    def __getitem__(self, name: str) -> Argument:
        return next(argument for argument in self.arguments if argument.name == name)

    def __repr__(self) -> str:
        return f"Inputs({self.words})"

    @property
    def required(self) -> tuple[Argument, ...]:
        """The arguments of every call that can be repeated: random draws are among them."""
        return tuple(a for a in self.arguments if not a.optional or a.kind.random)

    @property
    def learnt(self) -> tuple[str, ...]:
        """The names of the required arguments that gradients reach."""
        return tuple(a.name for a in self.required if a.kind.learnt)

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of all shapes, in order of appearance."""
        return tuple(dict.fromkeys(letter for a in self.arguments for letter in a.letters))

    @property
    def words(self) -> str:
        """What the loss takes, as a phrase for the pages."""
        parts = [f"`{a.name}` {a.written} {a.kind.noun}" for a in self.required]
        return ", ".join(parts)

    def with_optional(self, *arguments: Argument) -> Inputs:
        """These inputs with further optional arguments, given by name."""
        more = (replace(a, optional=True, positional=False) for a in arguments)
        return Inputs(
            *self.arguments, *more,
            rows=" ".join(self.rows), coupled=self.coupled, exchange=self.exchange,
            paired=self.paired,
        )  # fmt: skip

    def renamed(self, **names: str) -> Inputs:
        """These inputs under other argument names, ``renamed(logits="output")``."""
        arguments = (replace(a, name=names.get(a.name, a.name)) for a in self.arguments)
        return Inputs(
            *arguments, rows=" ".join(self.rows), coupled=self.coupled,
            exchange=[(names.get(a, a), names.get(b, b)) for a, b in self.exchange],
            paired=self.paired,
        )  # fmt: skip

    def check(self, tensors: Mapping[str, Any], ignore_index: int | None = None) -> Checked:
        """Check the tensors of one call against the arguments and against each other.

        Types and dtypes first, then shapes, devices, and last the values, where they can be read.

        Raises TypeError for what is not a tensor or has a wrong dtype, ValueError for a shape that
        does not fit, for another device and for values out of range.
        """
        sizes: dict[str, Any] = {}
        found: dict[str, torch.Tensor | None] = {}
        readings: list[Argument] = []
        first: Argument | None = None
        for argument in self.arguments:
            tensor = tensors.get(argument.name)
            if tensor is None and argument.optional:
                found[argument.name] = None
                continue
            ignorable = argument.kind.ignorable
            asked, argument = argument, argument.read_as(tensor)
            given_up = ignorable and not argument.kind.ignorable
            if given_up and ignore_index is not None and ignore_index >= 0:
                raise ValueError(
                    f"ignore_index applies to integer {argument.name} only, got {ignore_index} "
                    f"with {argument.kind.noun}"
                )
            tensor = argument.kind.check(tensor, argument.name)
            _unify(argument, asked, tensor, sizes, first, found)
            found[argument.name] = tensor
            readings.append(argument)
            first = first or argument
        assert first is not None
        leading = found[first.name]
        assert leading is not None
        kept = None
        for argument in readings:
            tensor = found[argument.name]
            assert tensor is not None
            name = argument.name
            if tensor.device != leading.device:
                raise ValueError(
                    f"{name} is on {tensor.device}, {first.name} on {leading.device}: move one"
                )
            unless = ""
            if argument.kind.holds == "integer":
                tensor = tensor.long()
            if argument.kind.ignorable and ignore_index is not None:
                kept = tensor != ignore_index
                tensor = torch.where(kept, tensor, 0)
                unless = " or equal ignore_index"
            tensor = argument.kind.check_range(tensor, name, sizes, unless)
            if argument.kind.holds == "truth":
                tensor = tensor != 0
            elif argument.kind.holds == "real":
                tensor = tensor.to(row_dtype(tensor))
            found[name] = widen(tensor) if tensor.dtype.is_floating_point else tensor
        return Checked(found, sizes, kept, leading.dtype)

    def example(
        self,
        *,
        seed: int = 0,
        batch: tuple[int, ...] = (6,),
        optional: bool = False,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float64,
        **sizes: int,
    ) -> tuple[torch.Tensor, ...]:
        """Random valid tensors, in order: what a declaration is tested on.

        `batch` replaces ``...``, `sizes` overrides those of letters, `scale` multiplies what may be
        shifted (logits, scores), `optional` asks for the optional arguments as well.
        """
        generator = torch.Generator().manual_seed(seed)
        lengths = {**EXAMPLE_SIZES, **sizes}
        drawn = []
        for argument in self.arguments if optional else self.required:
            shape = tuple(
                size
                for letter in argument.letters
                for size in (batch if letter == BATCH else (lengths[letter],))
            )
            tensor = argument.kind.draw(generator, shape, lengths)
            if argument.kind.shifts:
                tensor = tensor * scale
            drawn.append(tensor.to(dtype) if tensor.is_floating_point() else tensor)
        return tuple(drawn)


def _unify(
    argument: Argument,
    asked: Argument,
    tensor: torch.Tensor,
    sizes: dict[str, Any],
    first: Argument | None,
    found: Mapping[str, torch.Tensor | None],
) -> None:
    """Fit the shape of a tensor to the letters, and add those that are new to `sizes`."""
    shape = tuple(tensor.shape)
    letters = argument.letters
    if argument.shape == ANY:
        return
    if BATCH in letters:
        after = len(letters) - 1
        lead = len(shape) - after
        parts: list[tuple[str, Any]] = [(BATCH, shape[:lead])] if lead >= 0 else []
        fixed = shape[lead:]
        fits = lead >= 0
    else:
        parts, fixed = [], shape
        fits = len(shape) == len(letters)
    if fits:
        parts += list(zip((letter for letter in letters if letter != BATCH), fixed, strict=True))
        fits = all(sizes.get(letter, size) == size for letter, size in parts)
    if not fits:
        raise ValueError(_mismatch(argument, asked, shape, sizes, first, found))
    for letter, size in parts:
        least = argument.least if letter == letters[-1] else 1
        if must_exist(letter) and size < least:
            raise ValueError(
                f"{argument.name} must have shape {argument.written} with {letter} >= {least} "
                f"{NAMES[letter]}, got {shape}"
            )
        sizes[letter] = size


def must_exist(letter: str) -> bool:
    """Whether an axis may not be empty: a batch may, classes and features may not."""
    return letter in NAMES and letter not in ("N", "B")


def _mismatch(
    argument: Argument,
    asked: Argument,
    shape: tuple[int, ...],
    sizes: Mapping[str, Any],
    first: Argument | None,
    found: Mapping[str, torch.Tensor | None],
) -> str:
    """What is wrong with a shape, what would be right, and beside which argument.

    `argument` is the reading of `asked` that the dtype chose.
    """
    lead = found[first.name] if first is not None else None
    if first is None or lead is None:
        return f"{argument.name} must have shape {argument.written}, got {shape}"
    beside = tuple(lead.shape)
    if argument.letters == first.letters:
        text = (
            f"{first.name} and {argument.name} must have one shape {first.written}, "
            f"got {beside} and {shape}"
        )
        if asked is not argument and shape == sizes[BATCH]:
            text += f"; {asked.kind.noun} are integers: {argument.name}.long()"
        return text
    if argument.shape == BATCH and BATCH in first.letters:
        fewer = len(first.letters) - 1
        text = (
            f"{argument.name} must have the shape of {first.name} without its last "
            f"{'axis' if fewer == 1 else f'{fewer} axes'}, {sizes[BATCH]}, got {shape} for "
            f"{first.name} of shape {beside} = {first.written}"
        )
    else:
        known = [f"{letter} = {sizes[letter]}" for letter in argument.letters if letter in sizes]
        text = f"{argument.name} must have shape {argument.written}"
        if all(letter in sizes for letter in argument.letters):
            whole: tuple[int, ...] = ()
            for letter in argument.letters:
                whole += sizes[letter] if letter == BATCH else (sizes[letter],)
            text += f", here {whole}"
        elif known:
            text += f" with {', '.join(known)}"
        text += f", got {shape} beside {first.name} of shape {beside} = {first.written}"
    if argument.shape == BATCH and shape == (*sizes[BATCH], 1):
        return f"{text}; {argument.name}.squeeze(-1) drops its last axis"
    if argument.shape == BATCH and lead.ndim == 1:
        return f"{text}; where each example has one logit z, torch.stack((0 * z, z), -1) makes two"
    if argument.shape == BATCH and lead.ndim == 2 and shape == beside[1:]:
        return f"{text}; {first.name}.T has the classes last"
    if argument.shape == BATCH and argument.kind.classes and shape == beside:
        cure = f"{text}; of one-hot rows {argument.name}.argmax(-1) gives the labels"
        return cure + (", .float() probabilities" if argument.otherwise else "")
    # the class axis in second place, where torch's own losses want it
    moved = tuple(lead.movedim(1, -1).shape) if lead.ndim > 2 else ()
    if argument.shape == BATCH and moved[:-1] == shape and shape:
        text += f"; move a class axis from place 1 with {first.name}.movedim(1, -1)"
    return text


CLASS_LOGITS = Inputs(
    Argument("logits", LOGITS, "... K"),
    Argument("target", labels("K", ignorable=True), "..."),
)
"""Logits of K classes, last axis, and labels: what most losses of classification take."""
