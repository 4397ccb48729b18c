"""What one pass over a row of logits leaves behind, and what follows from it.

A pass keeps the target's logit z_y apart from the others. Over the columns j that are not the
target it carries

    shift   m = max_j z_j
    total   s = sum_j exp(z_j - m)
    tilt    u = sum_j exp(z_j - m) (z_j - m)
    square  r = sum_j exp(2 (z_j - m))

and beside them z_y - m. Everything public is a short formula in these: with q the softmax over the
other classes alone, the log odds against the target are ``gap = log s - (z_y - m)``, the loss is
softplus(gap), and p_j = sigmoid(gap) q_j. Nothing is ever subtracted from 1 and every logit is used
relative to m, so neither a margin of 87 nats (where float32 itself ends) nor an offset of 1e4 on
every logit costs a digit. Passes over disjoint columns merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.utils._pytree as pytree

from lossviz.declaration.numbers import row_dtype
from lossviz.declaration.rows import box_cox, softplus

STATISTICS = (
    "target_logit",
    "lse",
    "lse_others",
    "log_odds",
    "nll",
    "max",
    "argmax",
    "correct",
    "entropy",
    "mean_logit",
    "uniform_nll",
    "log_sum_square",
    "log_sum_square_others",
)


FAR = -1e4
"""Nats below the largest where a probability is 0 in every dtype; -inf would make 0 * -inf NaN."""


class Want(NamedTuple):
    """Which optional sums a pass has to carry."""

    argmax: bool = False
    tilt: bool = False
    square: bool = False
    mean: bool = False

    @classmethod
    def of(cls, statistics: Sequence[str]) -> Want:
        """The sums that the named statistics are made of."""
        return cls(
            argmax=any(name in statistics for name in ("max", "argmax", "correct")),
            tilt="entropy" in statistics,
            square=any(name.startswith("log_sum_square") for name in statistics),
            mean="mean_logit" in statistics or "uniform_nll" in statistics,
        )


class Sums(NamedTuple):
    """Running sums of a pass, each (N,); what is not wanted is None.

    `target` is z_y, 0 in rows whose target the pass has not met. `mean` is the sum of weights
    v_j times z_j - m over all columns of the pass, and `mass` the sum of the weights; where m is
    -inf, 0 stands for it in these. `argmax` is the column of m.
    """

    target: torch.Tensor
    shift: torch.Tensor
    total: torch.Tensor
    argmax: torch.Tensor | None = None
    tilt: torch.Tensor | None = None
    square: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    mass: torch.Tensor | None = None


def finite_shift(shift: torch.Tensor) -> torch.Tensor:
    """The shift, 0 where no other class exists (or all have probability 0)."""
    return torch.where(shift == -torch.inf, 0.0, shift)


def merge(parts: Sequence[Sums]) -> Sums:
    """The sums over the union of disjoint sets of columns, given in the order of the columns."""
    if len(parts) == 1:
        return parts[0]
    target, shift, total, argmax, tilt, square, mean, mass = Sums._make(
        None if kind[0] is None else torch.stack(kind) for kind in zip(*parts, strict=True)
    )
    largest = shift.amax(0)
    behind = torch.where(shift == -torch.inf, 0.0, shift - finite_shift(largest))
    factor = torch.where(shift == -torch.inf, 0.0, behind.exp())
    first = (shift == largest).to(torch.int8).argmax(0, keepdim=True)
    moved = finite_shift(shift) - finite_shift(largest)
    return Sums(
        target.sum(0),
        largest,
        (total * factor).sum(0),
        None if argmax is None else argmax.gather(0, first)[0],
        None if tilt is None else ((tilt + behind.clamp(min=FAR) * total) * factor).sum(0),
        None if square is None else (square * factor.square()).sum(0),
        None if mean is None else (mean + required(mass) * moved).sum(0),
        None if mass is None else mass.sum(0),
    )


class Primitives(NamedTuple):
    """The independent statistics of a row, each (N,): all others are functions of these.

    `shift` is m; gradients reach it as the largest other logit, and `offset`, its value, is the
    constant that logits are measured from. `target` is z_y - offset, `rest` the log-sum-exp of the
    other logits less the offset, `gap` = rest - target the log odds against the target (`rest` has
    digits that `gap` loses where the target is far below), `centre` = sum q_j (z_j - m) with q the
    softmax of the other classes (whose entropy is `rest` - `centre`), `square` = log sum q_j^2,
    `mean` the weighted sum of z_j - offset over all columns. In a row without target q is the whole
    softmax, `target` is 0 and `gap` is `rest`.
    """

    shift: torch.Tensor
    target: torch.Tensor
    gap: torch.Tensor
    rest: torch.Tensor
    centre: torch.Tensor | None = None
    square: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    argmax: torch.Tensor | None = None

    @property
    def offset(self) -> torch.Tensor:
        """What logits are measured from."""
        return finite_shift(self.shift.detach())


def finish(sums: Sums, kept: torch.Tensor) -> Primitives:
    """From sums to statistics; `kept` (N,) says which rows have a target."""
    empty = sums.total == 0
    total = torch.where(empty, 1.0, sums.total)
    log_total = total.log()
    target = torch.where(kept, sums.target - finite_shift(sums.shift.detach()), 0.0)
    alone = -torch.inf - target.detach()  # NaN where no class at all is possible
    square = None
    if sums.square is not None:
        square = torch.where(empty, 1.0, sums.square / total**2).log()
    return Primitives(
        sums.shift,
        target,
        torch.where(empty, alone, log_total - target),
        torch.where(empty, -torch.inf, log_total),
        None if sums.tilt is None else sums.tilt / total,
        square,
        sums.mean,
        sums.argmax,
    )


def exact_gap(row: Primitives) -> torch.Tensor:
    """The gap in float64, where the device has it, with the digits that it has rounded away.

    A gap of 60 nats is rounded by up to 2e-6 in float32, which its exponential does not forget.
    """
    exact = row_dtype(row.gap)
    gap = row.gap.to(exact)
    lost = (row.rest.to(exact) - row.target.to(exact) - gap).detach()
    return gap + torch.where(lost.isfinite(), lost, 0.0)


def widened(row: Primitives) -> Primitives:
    """The same in float64, where the device has it, with an `exact_gap`."""
    exact = row_dtype(row.gap)
    floating = {
        name: value.to(exact)
        for name, value in row._asdict().items()
        if value is not None and value.is_floating_point()
    }
    return row._replace(**{**floating, "gap": exact_gap(row)})


class RowStatistics:
    """Statistics of every row of logits, differentiable where they are real numbers.

    Each attribute has the shape of the target: `target_logit`; `lse`, the log-sum-exp of all
    logits; `lse_others`, of all but the target's; `log_odds` = log(p_y / (1 - p_y)) = target_logit
    - lse_others; `nll`, the negative log-likelihood in nats;
    `max`, `argmax` (the first of equals) and `correct` (argmax is the target); `entropy` of the
    softmax in nats; `mean_logit`; `uniform_nll` = lse - mean_logit, the cross-entropy against the
    uniform distribution; `log_sum_square` = log sum_j p_j^2, and `log_sum_square_others` that over
    all but the target. Where the target is ignored (`kept` is False), `target_logit`, `log_odds`
    and `nll` are 0, `correct` is False, and all classes count as others; average over
    ``row.nll[row.kept]``.

    An attribute that was not asked for raises AttributeError. Wrappers that look for the tensors
    in what a module returns (DDP, FSDP, reentrant checkpoints) do not look into this class: return
    `as_dict()` there.
    """

    def __init__(
        self, row: Primitives, labels: torch.Tensor, kept: torch.Tensor, names: Sequence[str]
    ) -> None:
        self._hold({name: _DERIVED[name](row, labels, kept) for name in names}, kept)

    def _hold(self, values: dict[str, Any], kept: Any) -> RowStatistics:
        self.names = tuple(values)
        self.kept = kept
        vars(self).update(values)
        return self

    def box_cox(self, power: float) -> torch.Tensor:
        """(1 - p^power) / power of the target probability, -log p at power = 0."""
        return box_cox(self.nll, power)

    @property
    def log_sum_square_odds(self) -> torch.Tensor:
        """log of the sum of (p_j / p_y)^2 over the other classes, p_y the target's."""
        return self.log_sum_square_others + 2 * self.nll

    def as_dict(self) -> dict[str, torch.Tensor]:
        """The statistics that were asked for, by name."""
        return {name: getattr(self, name) for name in self.names}

    def __getattr__(self, name: str) -> torch.Tensor:
        if name in STATISTICS:
            raise AttributeError(f"{name!r} was not asked for: add it to statistics={self.names}")
        raise AttributeError(f"RowStatistics has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"RowStatistics({', '.join(self.names)}; shape {tuple(self.kept.shape)})"


def parts_of(names: Iterable[str]) -> tuple[str, ...]:
    """The statistics that the attributes of a `RowStatistics` are made of."""
    parts = {"log_sum_square_odds": ("log_sum_square_others", "nll")}
    return tuple(sorted({part for name in names for part in parts.get(name, (name,))}))


def _from_leaves(leaves: list[Any], names: Sequence[str]) -> RowStatistics:
    *values, kept = leaves
    return RowStatistics.__new__(RowStatistics)._hold(dict(zip(names, values, strict=True)), kept)


pytree.register_pytree_node(
    RowStatistics,
    lambda row: ([*row.as_dict().values(), row.kept], row.names),
    lambda leaves, names: _from_leaves(list(leaves), names),
    serialized_type_name="lossviz.kernels.RowStatistics",
)


def required(value: torch.Tensor | None) -> torch.Tensor:
    """The statistic, where its caller is known to have asked for it."""
    assert value is not None
    return value


def _nll(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return torch.where(kept, softplus(row.gap), 0.0)


def _log_odds(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return torch.where(kept, -row.gap, 0.0)


def _target_logit(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return torch.where(kept, row.offset + row.target, 0.0)


def relative_lse(row: Primitives, kept: torch.Tensor) -> torch.Tensor:
    """The log-sum-exp of all logits less the offset, from the larger of its two parts."""
    target_leads = row.target + softplus(row.gap)
    others_lead = row.rest + softplus(-row.gap)
    both = torch.where(row.gap > 0, others_lead, target_leads)
    return torch.where(kept, both, row.rest)


def _lse(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return row.offset + relative_lse(row, kept)


def _lse_others(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return row.offset + row.rest


def _max(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    target_logit = torch.where(kept, row.offset + row.target, -torch.inf)
    return torch.maximum(target_logit, row.shift)


def _argmax(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    lead = row.target + row.offset - row.shift
    ahead = (lead > 0) | ((lead == 0) & (labels < required(row.argmax)))
    return torch.where(kept & ahead, labels, required(row.argmax))


def _correct(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return kept & (_argmax(row, labels, kept) == labels)


def _finite_gap(row: Primitives) -> torch.Tensor:
    return row.gap.clamp(min=FAR, max=-FAR)


def _entropy(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    # lse less the mean of the logits, p z_y + (1 - p) c with c the mean of the others: so gradients
    # see logits less c, of which an entropy of log V has no digits where logits are nearly equal
    gap, others = _finite_gap(row), row.rest - required(row.centre)
    ahead = (row.target - required(row.centre)).clamp(min=FAR, max=-FAR)
    # sigmoid would lose the digits of its slope where it is near 1
    likely = softplus(gap) + torch.exp(-softplus(-gap)) * ahead
    unlikely = others + softplus(-gap) - torch.exp(-softplus(gap)) * ahead
    return torch.where(kept, torch.where(gap > 0, unlikely, likely), others)


def _mean_logit(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return row.offset + required(row.mean)


def _uniform_nll(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return relative_lse(row, kept) - required(row.mean)


def _log_sum_square(row: Primitives, labels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    gap = _finite_gap(row)
    others = required(row.square)
    both = torch.logaddexp(-2 * softplus(gap), -2 * softplus(-gap) + others)
    return torch.where(kept, both, others)


def _log_sum_square_others(
    row: Primitives, labels: torch.Tensor, kept: torch.Tensor
) -> torch.Tensor:
    others = required(row.square)
    return torch.where(kept, others - 2 * softplus(-row.gap), others)


_DERIVED = {
    "target_logit": _target_logit,
    "lse": _lse,
    "lse_others": _lse_others,
    "log_odds": _log_odds,
    "nll": _nll,
    "max": _max,
    "argmax": _argmax,
    "correct": _correct,
    "entropy": _entropy,
    "mean_logit": _mean_logit,
    "uniform_nll": _uniform_nll,
    "log_sum_square": _log_sum_square,
    "log_sum_square_others": _log_sum_square_others,
}
