"""Kinds of tensors: what an argument holds, which values it may have, how an example is drawn.

A new kind of tensor is one more value here. Shapes are the business of `inputs`: a kind sees the
sizes of the letters only where its values refer to them (labels that count the classes of K).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch.compiler import is_compiling

from .numbers import DTYPES, first_place, first_where, seen

Sizes = Mapping[str, int]
Draw = Callable[[torch.Generator, tuple[int, ...], Sizes], torch.Tensor]
Outside = Callable[[torch.Tensor, Sizes], torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """What a tensor holds.

    `noun` names it in sentences. `holds` says which dtypes it takes: floating numbers, integers,
    real numbers (either, handed on as float64), or truth values (bool, or 0 and 1 in any real
    dtype, handed on as bool). `draw(generator, shape, sizes)` makes an example, in float64 or
    int64. `outside(tensor, sizes)`, where given, is true at entries that are refused, and
    `range(sizes)` writes what is allowed. `counts` is the letter whose entries labels name and
    `classes(sizes)` how many there are to name, `learnt` whether gradients reach it, `ignorable`
    whether the loss takes an `ignore_index` for it. A row that `shifts` may be moved by a number,
    one that is `directed` turned and stretched: what `symmetries` tries. What is `random` a loss
    draws itself where it is left out. `absent` is what an entry holds that is as good as not there,
    `extremes` are values that a loss must survive, exact in every dtype. `code`
    draws an example as a page writes it, with ``{shape}`` and the letters to be filled in.

    In a picture a number of this kind moves over `span`, whose `ends` are said in words; one that
    does not move is `rest`, repeated along the last axis.
    """

    noun: str
    draw: Draw
    holds: Literal["floating", "integer", "real", "truth"] = "floating"
    outside: Outside | None = None
    range: Callable[[Sizes], str] | None = None
    counts: str = ""
    classes: Callable[[Sizes], int] | None = None
    learnt: bool = False
    ignorable: bool = False
    shifts: bool = False
    directed: bool = False
    random: bool = False
    absent: float | None = None
    extremes: tuple[float, ...] = ()
    span: tuple[float, float] = (-6.0, 6.0)
    ends: tuple[str, str] = ("low", "high")
    rest: tuple[float, ...] = (0.0,)
    code: str = "torch.randn({shape})"

    def check(self, tensor: Any, name: str) -> torch.Tensor:
        """Return `tensor` if it is a tensor of a dtype of this kind, else raise TypeError."""
        if not isinstance(tensor, torch.Tensor):
            cure = (
                f"; torch.as_tensor({name}) makes one"
                if isinstance(tensor, (list, tuple)) or hasattr(tensor, "__array__")
                else ""
            )
            if cure and _are_names(tensor):
                cure = f" of names; numpy.unique({name}, return_inverse=True)[1] numbers them"
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}{cure}")
        dtype = tensor.dtype
        if self.holds == "floating" and dtype not in DTYPES:
            raise TypeError(f"{name} must have one of the dtypes {DTYPES}, got {dtype}")
        if self.holds == "integer" and (
            dtype.is_floating_point or dtype.is_complex or dtype == torch.bool
        ):
            raise TypeError(
                f"{name} must hold integer {self.noun}, got dtype {dtype}; {name}.long() makes "
                f"integers, of one-hot rows {name}.argmax(-1)"
            )
        if self.holds == "real" and (dtype.is_complex or dtype == torch.bool):
            raise TypeError(f"{name} must hold real numbers, got dtype {dtype}")
        if self.holds == "truth" and dtype.is_complex:
            raise TypeError(f"{name} must hold truth values or 0 and 1, got dtype {dtype}")
        return tensor

    def check_range(
        self, tensor: torch.Tensor, name: str, sizes: Sizes, unless: str = ""
    ) -> torch.Tensor:
        """Return the tensor; raise ValueError for its first entry out of range, with its index.

        Where values cannot be read, labels outside the classes are an error of the device.
        `unless` is what else the message allows.
        """
        if self.outside is None or self.range is None:
            return tensor
        outside = self.outside(tensor, sizes)
        if seen(outside):
            got = f"{first_where(outside, tensor)!r}{first_place(outside)}"
            cure = ""
            if self.classes is not None and self.classes(sizes) == 1:
                cure = "; where each row has one logit z, torch.stack((0 * z, z), -1) makes two"
            raise ValueError(f"{name} must {self.range(sizes)}{unless}, got {got}{cure}")
        if self.classes is not None and (outside.device.type != "cpu" or is_compiling()):
            # unread labels are looked up, which devices and compilers check without waiting
            known = torch.arange(self.classes(sizes), device=tensor.device)
            return known.gather(0, tensor.flatten()).reshape(tensor.shape)
        return tensor


def _are_names(values: Any) -> bool:
    """Whether a list or an array starts with a string."""
    return isinstance(next(iter(getattr(values, "flat", values)), None), str)


def _normal(generator: torch.Generator, shape: tuple[int, ...], _sizes: Sizes) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _positive(generator: torch.Generator, shape: tuple[int, ...], sizes: Sizes) -> torch.Tensor:
    return _normal(generator, shape, sizes).exp()


def _uniform(generator: torch.Generator, shape: tuple[int, ...], _sizes: Sizes) -> torch.Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _distribution(generator: torch.Generator, shape: tuple[int, ...], sizes: Sizes) -> torch.Tensor:
    return _normal(generator, shape, sizes).softmax(-1)


def _truth(generator: torch.Generator, shape: tuple[int, ...], sizes: Sizes) -> torch.Tensor:
    return _uniform(generator, shape, sizes) < 0.4


def _relevant(generator: torch.Generator, shape: tuple[int, ...], sizes: Sizes) -> torch.Tensor:
    first = torch.arange(shape[-1]) == 0
    return _truth(generator, shape, sizes) | first


def _groups(generator: torch.Generator, shape: tuple[int, ...], _sizes: Sizes) -> torch.Tensor:
    return torch.randint(3, shape, generator=generator)


def _counts(generator: torch.Generator, shape: tuple[int, ...], _sizes: Sizes) -> torch.Tensor:
    return torch.randint(1, 100, shape, generator=generator).double()


def _sequence_log_probabilities(
    generator: torch.Generator, shape: tuple[int, ...], sizes: Sizes
) -> torch.Tensor:
    return 3 * _normal(generator, shape, sizes) - 20


def labels(letter: str, *, more: int = 0, ignorable: bool = False, noun: str = "class labels"):  # type: ignore[no-untyped-def]
    """Integer labels of the entries along `letter` (and of `more` beyond them)."""

    def draw(generator: torch.Generator, shape: tuple[int, ...], sizes: Sizes) -> torch.Tensor:
        return torch.randint(sizes[letter] + more, shape, generator=generator)

    return Kind(
        noun,
        draw,
        "integer",
        outside=lambda tensor, sizes: (tensor < 0) | (tensor >= sizes[letter] + more),
        range=lambda sizes: f"lie in [0, {sizes[letter] + more})",
        counts="" if more else letter,
        classes=lambda sizes: sizes[letter] + more,
        ignorable=ignorable,
        rest=(1,) if more else (0, 1, 2),
        code=f"torch.randint({{{letter}}}{f' + {more}' if more else ''}, ({{shape}},))",
    )


FAR = (-10240.0, 0.0, 30.0, 10240.0)
LENGTHS = (-1024.0, -1.0, 2.0**-10, 3.0)
SHARES = (0.6, 0.3, 0.1)  # what rests over classes in a picture
AT_SHARES = tuple(math.log(share) for share in SHARES)

LOGITS = Kind(
    "logits",
    _normal,
    learnt=True,
    shifts=True,
    absent=-math.inf,
    extremes=FAR,
    ends=("surely not", "surely"),
    rest=AT_SHARES,
)
TEACHER = Kind(
    "logits of the teacher",
    _normal,
    shifts=True,
    absent=-math.inf,
    extremes=FAR,
    rest=AT_SHARES,
)
SCORES = Kind(
    "scores",
    _normal,
    learnt=True,
    shifts=True,
    absent=-math.inf,
    extremes=FAR,
    rest=(1.0, 0.0, 0.5, -1.0),
)
VALUES = Kind("values", _normal)
PREDICTIONS = Kind("predictions", _normal, learnt=True, extremes=FAR)
EMBEDDINGS = Kind("embeddings", _normal, learnt=True, directed=True, extremes=LENGTHS)
CLASS_WEIGHTS = Kind("class weights", _normal, learnt=True, directed=True, extremes=LENGTHS)
GROUPS = Kind(
    "class labels", _groups, "integer", rest=(0, 1, 2), code="torch.randint(3, ({shape},))"
)
DRAWS = Kind("standard normal draws", _normal, random=True, rest=(-1.0, 0.5))
WEIGHTS = Kind("weights", _positive, rest=(1.0,), code="torch.rand({shape}) + 0.5")
ROW_WEIGHTS = Kind(
    "weights",
    _positive,
    "real",
    # zeros are refused where there is nothing else
    outside=lambda tensor, _: ~((tensor >= 0) & tensor.isfinite()) | ~tensor.any(),
    range=lambda _: "be finite, not negative and not all 0",
    rest=(1.0,),
    code="torch.rand({shape}) + 0.5",
)
LOG_PROBABILITIES = Kind(
    "log-probabilities",
    _sequence_log_probabilities,
    outside=lambda tensor, _: tensor > 1e-3,
    range=lambda _: "be at most 0, as log-probabilities are",
    learnt=True,
    extremes=(-10240.0, -30.0, -(2.0**-4), 0.0),
    span=(-20.0, 0.0),
    ends=("unlikely", "certain"),
    rest=(-10.0,),
    code="-20 * torch.rand({shape})",
)
VARIANCES = Kind(
    "variances",
    _positive,
    outside=lambda tensor, _: tensor < 0,
    range=lambda _: "not be negative, as variances are",
    learnt=True,
    extremes=(2.0**-14, 0.5, 1.0, 4096.0),
    span=(0.1, 4.1),
    ends=("small", "large"),
    rest=(1.0,),
    code="torch.rand({shape}) + 0.5",
)
COUNTS = Kind(
    "counts, or anything in proportion to them",
    _counts,
    "real",
    outside=lambda tensor, _: tensor <= 0,
    range=lambda _: "be positive",
    absent=1.0,
    rest=(90.0, 9.0, 1.0),
    code="torch.randint(1, 100, ({shape},))",
)
PROBABILITIES = Kind(
    "probabilities",
    _uniform,
    outside=lambda tensor, _: (tensor < 0) | (tensor > 1),
    range=lambda _: "lie in [0, 1]",
    learnt=True,
    extremes=(0.0, 2.0**-10, 0.5, 1.0),
    span=(0.02, 0.98),
    ends=("surely not", "surely"),
    rest=(0.5,),
    code="torch.rand({shape})",
)
DISTRIBUTIONS = Kind(
    "class probabilities",
    _distribution,
    absent=0.0,
    rest=SHARES,
    code="torch.randn({shape}).softmax(-1)",
)
TRUTH = Kind(
    "truth values",
    _truth,
    "truth",
    outside=lambda tensor, _: (tensor != 0) & (tensor != 1),
    range=lambda _: "hold 0 and 1",
    absent=0.0,
    rest=(1, 0, 0, 0),
    code="torch.rand({shape}) < 0.4",
)
MASK = Kind(
    "mask",
    _truth,
    "truth",
    outside=lambda tensor, _: (tensor != 0) & (tensor != 1),
    range=lambda _: "hold 0 and 1",
    rest=(1, 0, 0, 0),
    code="torch.rand({shape}) < 0.4",
)
RELEVANCE = replace(TRUTH, noun="relevance", draw=_relevant, rest=(1, 0, 1, 0))
