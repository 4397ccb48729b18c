"""Betti matching: which components and holes of two images are the same, and what that costs.

Pixels are the vertices of a grid, neighbours make edges, four of them a square; each of these is
there from the least of its pixels on, as the threshold falls. A component is born with a pixel and
dies with the edge that joins it to an older one, a hole is born with an edge and dies with a
square. Two intervals are the same feature if the pointwise maximum of both images, which contains
either, has one interval that both go to: the matching that image persistence induces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch

from ...declaration import Argument, Inputs
from ...declaration.kinds import PREDICTIONS

IMAGES = Inputs(
    Argument("prediction", PREDICTIONS, "H W"),
    Argument("target", PREDICTIONS, "H W"),
)
Cubes = tuple[tuple[int, ...], ...]
Interval = tuple[int, int | None]  # the cubes of birth and death; None where nothing ends it


class BettiMatching(NamedTuple):
    """The loss, a scalar, and how many intervals are matched and left over on either side."""

    loss: torch.Tensor
    matched: int
    unmatched_prediction: int
    unmatched_target: int


@cache
def _grid(height: int, width: int) -> tuple[Cubes, Cubes, Cubes, Cubes, Cubes]:
    """Pixels of each vertex, edge and square; vertices of each edge, edges of each square."""
    at = [[i * width + j for j in range(width)] for i in range(height)]
    flat = [(at[i][j], at[i][j + 1]) for i in range(height) for j in range(width - 1)]
    upright = [(at[i][j], at[i + 1][j]) for i in range(height - 1) for j in range(width)]
    edges = flat + upright
    number = {edge: n for n, edge in enumerate(edges)}
    squares, sides = [], []
    for i in range(height - 1):
        for j in range(width - 1):
            a, b, c, d = at[i][j], at[i][j + 1], at[i + 1][j], at[i + 1][j + 1]
            squares.append((a, b, c, d))
            sides.append(tuple(number[edge] for edge in ((a, b), (c, d), (a, c), (b, d))))
    vertices = tuple((n,) for n in range(height * width))
    return vertices, tuple(edges), tuple(squares), tuple(edges), tuple(sides)


class _Filtration:
    """The order in which the cubes of an image come: by falling value, ties by a key."""

    def __init__(self, pixels: Sequence[float], cubes: Sequence[Cubes], ties: list[list[int]]):
        self.values = [[min(pixels[p] for p in cube) for cube in each] for each in cubes]
        self.order = [
            sorted(range(len(each)), key=lambda n: (-each[n], key[n]))
            for each, key in zip(self.values, ties, strict=True)
        ]
        self.place = []
        for order in self.order:
            place = [0] * len(order)
            for n, cube in enumerate(order):
                place[cube] = n
            self.place.append(place)


def _pairs(boundary: Cubes, rows: _Filtration, columns: _Filtration, dim: int) -> dict[int, int]:
    """Birth (a cube of dimension `dim`) to death, by reduction of the boundary over two elements.

    Cycles come in the order of `rows`, what fills them in that of `columns`: with one filtration
    these are the pairs of its barcode, with two those of the image of the first in the second.
    """
    place, order = rows.place[dim], rows.order[dim]
    reduced: dict[int, int] = {}
    found: dict[int, int] = {}
    for cube in columns.order[dim + 1]:
        column = 0
        for face in boundary[cube]:
            column ^= 1 << place[face]
        while column:
            low = column.bit_length() - 1
            if low not in reduced:
                reduced[low] = column
                found[order[low]] = cube
                break
            column ^= reduced[low]
    return found


def _barcode(pairs: dict[int, int], image: _Filtration, dim: int) -> dict[int, int | None]:
    """The intervals that have a length, by birth, and the oldest component, which never ends."""
    births, deaths = image.values[dim], image.values[dim + 1]
    lasting: dict[int, int | None] = {b: d for b, d in pairs.items() if births[b] > deaths[d]}
    if dim == 0:
        lasting[image.order[0][0]] = None
    return lasting


def _into_comparison(
    boundary: Cubes, image: _Filtration, whole: _Filtration, dim: int, empty: bool
) -> dict[int | None, int]:
    """Which intervals of an image go where: from the death of one in the comparison to its birth.

    The image of an interval may be empty: it ends in the comparison before it is born.
    """
    pairs = _pairs(boundary, image, whole, dim)
    births, deaths = image.values[dim], whole.values[dim + 1]
    lasting = _barcode(_pairs(boundary, whole, whole, dim), whole, dim).values()
    found: dict[int | None, int] = {
        d: b for b, d in pairs.items() if d in lasting and (empty or births[b] > deaths[d])
    }
    if dim == 0:
        found[None] = image.order[0][0]
    return found


def betti_matching(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    superlevel: bool = True,
    essential_death: float | None = None,
    empty: bool = True,
    ties: torch.Generator | None = None,
) -> BettiMatching:
    """Betti matching loss of two images (H, W) with values in [0, 1], components and holes.

    Bright pixels come first, dark ones where `superlevel` is False. The component that never ends
    is cut off at `essential_death`; None (default) stands for 0, or 1 where dark pixels come first.
    Intervals whose images in the comparison are `empty` match as well (default), as in the
    published code, which makes the loss depend on ties more often. `ties` is a generator that draws
    the order of equal values; None (default) takes that of rows.

    A matched pair costs 2 ((b - b')^2 + (d - d')^2), an interval left over (b - d)^2. Gradients
    reach the pixels at births and deaths. The loss is 0 for equal images, but where values are
    equal in different places it may depend on their order: it is then no function of the images.
    Cubic in the number of pixels at worst; 12 by 12 take some milliseconds, on the CPU.

    Raises TypeError for what is not a floating tensor, ValueError for other shapes or NaN.
    Source: Stucki et al. (2023), with pixels as vertices and the union as comparison.
    """
    checked = IMAGES.check({"prediction": prediction, "target": target})
    images = [checked["prediction"], checked["target"].to(checked["prediction"].dtype)]
    for name, image in zip(("prediction", "target"), images, strict=True):
        if image.isnan().any():
            raise ValueError(f"{name} must not hold NaN, which has no place in an order")
    last = (0.0 if superlevel else 1.0) if essential_death is None else essential_death
    sign = 1 if superlevel else -1
    pixels = [(sign * image.detach()).flatten().tolist() for image in images]
    vertices, edges, squares, *boundaries = _grid(*prediction.shape)
    cubes = (vertices, edges, squares)

    def filtration(values: Sequence[float]) -> _Filtration:
        counts = [len(each) for each in cubes]
        keys = [
            list(range(count)) if ties is None else torch.randperm(count, generator=ties).tolist()
            for count in counts
        ]
        return _Filtration(values, cubes, keys)

    one, other = map(filtration, pixels)
    whole = filtration([max(pair) for pair in zip(*pixels, strict=True)])

    def ends(n: int, dim: int, bars: Sequence[Interval]) -> torch.Tensor:
        """Births and deaths (2, count) of intervals of an image, as values of its pixels."""
        flat = images[n].flatten()

        def value(of: int, cube: int) -> torch.Tensor:
            return flat[min(cubes[of][cube], key=pixels[n].__getitem__)]

        rows = [
            torch.stack([value(dim, b), flat.new_tensor(last) if d is None else value(dim + 1, d)])
            for b, d in bars
        ]
        return torch.stack(rows, -1) if rows else flat.new_zeros(2, 0)

    loss, matched, left = images[0].sum() * 0, 0, [0, 0]
    for dim, boundary in enumerate(boundaries):
        bars = [_barcode(_pairs(boundary, f, f, dim), f, dim) for f in (one, other)]
        first, second = (_into_comparison(boundary, f, whole, dim, empty) for f in (one, other))
        pairs = [
            (first[death], second[death])
            for death in first
            if death in second and first[death] in bars[0] and second[death] in bars[1]
        ]
        same = [[(pair[n], bars[n][pair[n]]) for pair in pairs] for n in (0, 1)]
        matched += len(pairs)
        loss = loss + 2 * (ends(0, dim, same[0]) - ends(1, dim, same[1])).square().sum()
        for n in (0, 1):
            alone = [bar for bar in bars[n].items() if bar not in same[n]]
            loss = loss + ends(n, dim, alone).diff(dim=0).square().sum()
            left[n] += len(alone)
    return BettiMatching(loss.to(prediction.dtype), matched, *left)
