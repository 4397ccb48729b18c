"""From row statistics to a loss: smoothing, z-loss, class weights, reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from lossviz.declaration.numbers import seen_everywhere, widen

from . import ops, parallel, planning, reduced, reference
from .checks import is_transformed
from .head import Tiling
from .parallel import VocabularyShard
from .row_losses import RowFunction, RowLoss
from .statistics import (
    STATISTICS,
    Primitives,
    RowStatistics,
    Want,
    relative_lse,
    required,
    widened,
)
from .tiles import Transform, sum_dtype


class Rows(NamedTuple):
    """A batch as rows: input (N, D), weight (V, D), bias (V,) or None, labels (N,), -1 for none.

    `row_weight` (N,), or None for ones, is what the loss of each row counts. Where `probabilities`
    (N, V) are the target there are no labels, and `kept` says nothing.
    """

    input: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    labels: torch.Tensor
    kept: torch.Tensor
    transform: Transform
    impl: str
    memory_budget: int | None
    compact: bool = False
    shard: VocabularyShard | None = None
    row_weight: torch.Tensor | None = None
    probabilities: torch.Tensor | None = None

    @property
    def counts(self) -> torch.Tensor:
        """What each row counts (N,): its weight, and 0 where it is ignored."""
        kept = self.kept.to(sum_dtype(self.input.dtype))
        if self.row_weight is None:
            return kept
        return torch.where(self.kept, self.row_weight.to(kept.dtype), 0.0)

    def primitives_of_kept(self, want: Want, mean_weight: torch.Tensor | None) -> Primitives:
        """Statistics of the rows that are kept; an ignored row repeats those of another.

        Where no row is seen to be ignored nothing is copied. Where ignored rows cannot be left out,
        their input is 0: NaN or inf in it would reach the weight.
        """
        if seen_everywhere(self.kept):
            return self.primitives(want, mean_weight)
        place = self._places_kept()
        if place is None:
            clean = self._replace(input=torch.where(self.kept[:, None], self.input, 0.0))
            return clean.primitives(want, mean_weight)
        few = self._replace(
            input=self.input[place], labels=self.labels[place], kept=self.kept[place], compact=False
        )
        row = few.primitives_of_kept(want, mean_weight)
        source = (self.kept.cumsum(0) - 1).clamp(min=0)
        return Primitives._make(value if value is None else value[source] for value in row)

    def _places_kept(self) -> torch.Tensor | None:
        """The rows that are kept, or one for none; None where they are not to be picked out."""
        traced = torch.compiler.is_compiling() or is_transformed(self.kept)
        if not self.compact or traced or not len(self.kept):
            return None
        try:
            place = self.kept.nonzero()[:, 0]
            return place if len(place) else place.new_zeros(1)
        except RuntimeError:  # a tensor without numbers, in tracing
            return None

    @property
    def num_classes(self) -> int:
        """Classes of the whole vocabulary."""
        return self.weight.shape[0] if self.shard is None else self.shard.num_classes

    @property
    def forms_gradients(self) -> bool:
        """Whether the path can form gradients of a scalar loss while the logits are there."""
        return self.impl == "chunked" and self.shard is None

    def tiling(self, impl: str, *, per_row: bool) -> tuple[Tiling, bool]:
        """Tiles, and whether one pass over whole rows suffices."""
        return planning.tile_sizes(
            self.input.shape[0],
            self.weight.shape[0],
            self.weight.shape[1],
            self.input.dtype,
            self.input.device,
            impl,
            per_row=per_row,
            softcap=self.transform.softcap is not None,
            memory_budget=self.memory_budget,
        )

    def equal_weights(self) -> torch.Tensor:
        """1 / V for every class."""
        classes = self.num_classes
        return torch.full(
            (classes,), 1 / classes, dtype=sum_dtype(self.input.dtype), device=self.input.device
        )

    def primitives(self, want: Want, mean_weight: torch.Tensor | None = None) -> Primitives:
        """Statistics of every row, by the chosen path; the mean logit is plain by default."""
        if want.mean and mean_weight is None:
            mean_weight = self.equal_weights()
        head: dict[str, Any] = {
            "input": self.input,
            "weight": self.weight,
            "bias": self.bias,
            "labels": self.labels,
            "mean_weight": mean_weight,
        }
        if self.impl == "reference":
            return reference.primitives(**head, transform=self.transform, want=want)
        tiling, _ = self.tiling(self.impl, per_row=True)
        if self.shard is not None:
            walk: dict[str, Any] = {"impl": self.impl, "tiling": tiling, "shard": self.shard}
            return parallel.primitives(**head, transform=self.transform, want=want, **walk)
        found = ops.row_sums(
            **head,
            **self.transform._asdict(),
            **want._asdict(),
            impl=self.impl,
            **tiling._asdict(),
        )
        shift, target, gap, rest, centre, square, mean, argmax, _ = found
        return Primitives(
            shift,
            target,
            gap,
            rest,
            centre if want.tilt else None,
            square if want.square else None,
            mean if want.mean else None,
            argmax if want.argmax else None,
        )


class RowValues(NamedTuple):
    """Losses of rows before reduction: `squares` is the z-loss.

    The mean of the values is over `weights`, that of the squares over `counts`.
    """

    values: torch.Tensor
    squares: torch.Tensor | None
    weights: torch.Tensor
    counts: torch.Tensor

    def reduce(self, reduction: str) -> torch.Tensor:
        """The loss."""
        values, squares = self.values, self.squares
        if reduction == "none":
            return values if squares is None else values + squares
        if reduction == "sum":
            return values.sum() if squares is None else values.sum() + squares.sum()
        norm = self.weights.sum()
        mean = values.sum() / divisor(norm)
        if squares is not None:
            mean = mean + squares.sum() / divisor(self.counts.sum())
        return mean + nothing_kept(norm)


def divisor(norm: torch.Tensor) -> torch.Tensor:
    """What rows are divided by: where none is kept there is no gradient, rather than 0 / 0."""
    return torch.where(norm == 0, 1.0, norm)


def nothing_kept(norm: torch.Tensor) -> torch.Tensor:
    """NaN, the mean where none is kept; else 0."""
    return torch.zeros_like(norm).masked_fill(norm == 0, torch.nan)


def stack(parts: Sequence[RowValues]) -> RowValues:
    """Several losses of each row, side by side on a new last axis."""
    return RowValues._make(
        None if kind[0] is None else torch.stack(kind, -1) for kind in zip(*parts, strict=True)
    )


class Terms(NamedTuple):
    """What the loss of a row is made of."""

    function: RowFunction
    smoothing: float
    square: float
    class_weight: torch.Tensor | None

    @property
    def power(self) -> float | None:
        """The power of a loss that is `box_cox` alone, which `in_one_pass` serves."""
        return self.function.reading.power if isinstance(self.function, RowLoss) else None

    @property
    def is_cross_entropy(self) -> bool:
        """Whether smoothing and probability targets mean something."""
        return self.power == 0

    def of(self, rows: Rows) -> RowValues:
        """Losses from row statistics."""
        if rows.probabilities is None:
            return self._of_labels(rows)
        return self._of_probabilities(rows, rows.probabilities)

    def _of_labels(self, rows: Rows) -> RowValues:
        """Losses for class indices."""
        names = set(getattr(self.function, "needs", STATISTICS))
        if self.square:
            names.add("lse")
        want, mean_weight = Want.of(tuple(names)), None
        if self.smoothing:
            want, mean_weight = want._replace(mean=True), self._uniform(rows)
        row = rows.primitives_of_kept(want, mean_weight)
        exact = isinstance(self.function, RowLoss)  # others are written for the dtype of the input
        found = RowStatistics(widened(row) if exact else row, rows.labels, rows.kept, sorted(names))
        values = self.function(found)
        if not isinstance(values, torch.Tensor) or values.shape != rows.labels.shape:
            got = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
            raise ValueError(
                f"loss must return a tensor of shape {tuple(rows.labels.shape)}, got {got}"
            )
        if not values.is_floating_point():
            raise TypeError(f"loss must return a tensor of real numbers, got {values.dtype}")
        if exact:
            values = values.to(row.gap.dtype)
        weights, counts = self._class_weights(rows), rows.counts
        values = torch.where(rows.kept, weights * (1 - self.smoothing) * values, 0.0)
        if mean_weight is not None:
            extra = mean_weight.sum() * relative_lse(row, rows.kept) - required(row.mean)
            extra = self.smoothing * extra
            values = values + torch.where(rows.kept, counts * extra, 0.0)
        squares = None
        if self.square:
            squares = torch.where(rows.kept, self.square * counts * found.lse.square(), 0.0)
            squares = squares.to(row.gap.dtype)
        return RowValues(values, squares, weights, counts)

    def _of_probabilities(self, rows: Rows, target: torch.Tensor) -> RowValues:
        """Losses for class probabilities (N, V): their mass times lse, less their mean logit."""
        soft = widen(target).to(sum_dtype(rows.input.dtype))
        if self.smoothing:
            soft = (1 - self.smoothing) * soft + self.smoothing / soft.shape[1]
        if self.class_weight is not None:
            soft = soft * self.class_weight.to(soft.dtype)
        if soft.shape[1] == 1:  # of one class the loss is 0: two gradients that cancel are neither
            row = rows.primitives(Want())
            values = soft[:, 0] * row.rest.detach()
        else:
            row = rows.primitives(Want(mean=True), soft)
            values = soft.sum(1) * row.rest - required(row.mean)
        counts = rows._replace(kept=torch.ones_like(rows.kept)).counts
        squares = self.square * counts * (row.offset + row.rest).square() if self.square else None
        return RowValues(counts * values, squares, counts, counts)

    def tiling_of_one_pass(self, rows: Rows) -> Tiling | None:
        """Tiles for `in_one_pass`; None where it does not serve."""
        weights = (self.class_weight, rows.row_weight)  # which it gives no gradients
        trained = any(weight is not None and weight.requires_grad for weight in weights)
        labelled = self.power is not None and rows.probabilities is None
        if trained or not labelled or not rows.forms_gradients:
            return None
        tiling, whole_rows = rows.tiling(rows.impl, per_row=False)
        return tiling if whole_rows else None

    def in_one_pass(self, rows: Rows, reduction: str, tiling: Tiling) -> torch.Tensor:
        """The reduced `box_cox` loss for class indices, its gradients formed on the way."""
        weights, counts = self._class_weights(rows), rows.counts
        norm = count = weights.new_ones(())
        if reduction == "mean":
            norm, count = weights.sum(), counts.sum()
        leaves = rows.input, rows.weight, rows.bias
        wanted = torch.is_grad_enabled()
        total = reduced.reduced_loss(
            input=rows.input,
            weight=rows.weight,
            bias=rows.bias,
            labels=rows.labels,
            mean_weight=self._uniform(rows) if self.smoothing else None,
            nll_weight=weights * ((1 - self.smoothing) / divisor(norm)),
            mean_loss_weight=counts * (self.smoothing / divisor(norm)) if self.smoothing else None,
            lse_weight=counts * (self.square / divisor(count)) if self.square else None,
            power=self.power,
            **rows.transform._asdict(),
            needs=[leaf is not None and leaf.requires_grad and wanted for leaf in leaves],
            compact=rows.compact,
            **tiling._asdict(),
        )[0]
        return total + nothing_kept(norm) if reduction == "mean" else total

    def _class_weights(self, rows: Rows) -> torch.Tensor:
        """What each row counts times the weight of its class."""
        counts = rows.counts
        if self.class_weight is None:
            return counts
        return counts * self.class_weight.to(counts.dtype)[rows.labels.clamp(min=0)]

    def _uniform(self, rows: Rows) -> torch.Tensor:
        """Weights of the mean logit: what smoothing makes of a label, times the class weights."""
        if self.class_weight is None:
            return rows.equal_weights()
        wide = self.class_weight.to(sum_dtype(rows.input.dtype))
        return wide / len(wide)
