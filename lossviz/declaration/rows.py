"""What a loss of the target probability reads of a row, and the arithmetic such losses share.

A formula over a row is used twice: on logits (`Rows`, by the shell of `declare`), and on the
statistics of a large head (`lossviz.kernels.RowStatistics`, which has the same attributes).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from .by_rows import by_rows, privately
from .margin import Others, Top, from_the_top, target_margin
from .numbers import row_dtype, widen


class Row(Protocol):
    """The statistics of a row that a formula may read, each of the shape of the rows."""

    @property
    def nll(self) -> torch.Tensor:
        """-log p of the target, in nats."""

    @property
    def log_odds(self) -> torch.Tensor:
        """log(p / (1 - p)) of the target: its logit minus the log-sum-exp of the others."""

    @property
    def entropy(self) -> torch.Tensor:
        """Entropy of the softmax, in nats."""

    @property
    def log_sum_square(self) -> torch.Tensor:
        """log of the sum of squared probabilities: minus Renyi's entropy of order 2."""

    @property
    def log_sum_square_others(self) -> torch.Tensor:
        """The same sum without the target."""

    @property
    def log_sum_square_odds(self) -> torch.Tensor:
        """log of the sum of (p_j / p_y)^2 over the other classes, p_y the target's."""

    def box_cox(self, power: float) -> torch.Tensor:
        """(1 - p^power) / power of the target probability, -log p at power = 0."""


class Rows:
    """The rows of a batch of logits (..., K) with labels (...); statistics of p are exact in tails.

    Statistics are float64 where the device has it; what has an entry per class has the dtype of the
    logits. All of them follow from three: the margin of the target over the other classes, and
    entropy and sum of squares of the softmax over these.
    """

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.logits = logits
        self.labels = labels
        self._others: Others | None = None
        self._margin: torch.Tensor | None = None

    @property
    def nll(self) -> torch.Tensor:
        return -F.logsigmoid(self.log_odds)

    @property
    def log_odds(self) -> torch.Tensor:
        # functools.cached_property takes a lock in Python 3.11, which torch.compile does not trace
        if self._margin is None:
            self._margin = self._of_others(Others.margin)
        return self._margin

    @property
    def entropy(self) -> torch.Tensor:
        margin = self._bounded
        own, others = margin.sigmoid() * softplus(-margin), softplus(margin)
        return own + (-margin).sigmoid() * (others + self._of_others(Others.entropy))

    @property
    def log_sum_square(self) -> torch.Tensor:
        margin = self._bounded
        return log_add(-2 * softplus(-margin), self.log_sum_square_others)

    @property
    def log_sum_square_others(self) -> torch.Tensor:
        return self._of_others(Others.log_sum_square) - 2 * softplus(self.log_odds)

    @property
    def log_sum_square_odds(self) -> torch.Tensor:
        return self._of_others(Others.log_sum_square) - 2 * self.log_odds

    def box_cox(self, power: float) -> torch.Tensor:
        return box_cox(self.nll, power) if power >= 0 else self._steep(power)

    @property
    def _bounded(self) -> torch.Tensor:
        """The margin where p underflows already: a target ruled out must not make 0 * inf."""
        return self.log_odds.clamp_min(-1e3)

    def _of_others(self, statistic: Callable[[Others], torch.Tensor]) -> torch.Tensor:
        if self._others is None:
            self._others = Others(self.logits, self.labels)
        return statistic(self._others)

    def _steep(self, power: float) -> torch.Tensor:
        return _steep(self.logits, self.labels, power)


STATISTICS = {Others.margin, Others.entropy, Others.log_sum_square}


class _Leaves(Rows):
    """Rows whose statistics are the leaves of a graph of rows; it notes how these move the logits.

    So autograd differentiates what has one number per row, and the chain to the logits is written
    out: one exponential serves value and gradient.
    """

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__(logits, labels)
        self.others = self._others = Others(logits, labels)
        self.leaves: dict[Any, torch.Tensor] = {}

    def _of_others(self, statistic: Callable[[Others], torch.Tensor]) -> torch.Tensor:
        return self._leaf(statistic, lambda: statistic(self.others))

    def _steep(self, power: float) -> torch.Tensor:
        return self._leaf(power, lambda: box_cox(-F.logsigmoid(self.others.margin()), power))

    def _leaf(self, key: Any, value: Callable[[], torch.Tensor]) -> torch.Tensor:
        if key not in self.leaves:
            with torch.no_grad():
                self.leaves[key] = value()
            self.leaves[key].requires_grad_()
        return self.leaves[key]

    def slope(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Gradient (..., K) of these rows, or None where a factor of it may overflow."""
        others, index = self.others, self.labels.unsqueeze(-1)
        gaps, weights = others.gaps, others.weights
        found = torch.autograd.grad(rows.sum(), list(self.leaves.values()), materialize_grads=True)
        slopes = dict(zip(self.leaves, found, strict=True))
        squared = slopes.get(Others.log_sum_square)
        # one and the same sum, where margin and sum of squares are to cancel
        total = others.total if squared is None else 1 + others.top.rest
        # what the target's own entry is, and what multiplies the weights of the others
        own = flat = torch.zeros_like(total)
        if Others.margin in slopes:
            own = slopes[Others.margin]
            flat = -own / total
        for power in slopes.keys() - STATISTICS:  # in one exponent, as its factors may overflow
            margin = others.margin()
            damping = (1 + power) * F.logsigmoid(margin)
            ahead = others.largest - others.chosen + damping
            lowest = self.logits.amin(-1) - others.largest
            if not bool(((ahead <= 0) | ((lowest >= -80) & (ahead <= 80))).all()):
                return None
            own = own - slopes[power] * (damping - margin).exp()
            flat = flat + slopes[power] * ahead.exp()
        if squared is None:
            factor = _column(flat, weights)
        else:
            top, squares = others.top, others.top.rest_of_squares()
            # what cancels at the leader of the others is had from all the rest
            lead = flat + 2 * squared * (top.rest / total - squares / (1 + squares))
            bend = _column(2 * squared / (1 + squares), weights)
            factor = weights * bend + _column(flat - 2 * squared / total, weights)
        if Others.entropy in slopes:
            bend = -slopes[Others.entropy] / total
            mean = self.leaves[Others.entropy].detach() - total.log()
            bent = gaps.clamp_min(-1e4).add_(_column(mean, weights))  # 0 * -inf is 0
            factor = bent.mul_(_column(bend, weights)).add_(factor)
        slope = weights.mul_(factor)
        if squared is not None:
            slope.scatter_(-1, top.leader, _column(lead, slope))
        return slope.scatter_(-1, index, _column(own, slope))


def _column(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.unsqueeze(-1).to(like)


def row_slopes(
    formula: Callable[..., torch.Tensor],
    logits: torch.Tensor,
    labels: torch.Tensor,
    **parameters: Any,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The formula over a row and its gradient (..., K) in the logits; None as `_Leaves.slope`."""
    if logits.shape[-1] == 0:
        return None
    row = _Leaves(logits, labels)
    with privately():
        rows = formula(row, **parameters)
        slope = row.slope(rows)
    return None if slope is None else (rows.detach(), slope)


def on_logits(formula: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The formula over a row as a function of logits (..., K), labels (...) and its parameters."""

    def rows(logits: torch.Tensor, labels: torch.Tensor, **parameters: Any) -> torch.Tensor:
        return formula(Rows(logits, labels), **parameters)

    return by_rows(rows, slopes=functools.partial(row_slopes, formula))


@dataclass(frozen=True)
class Reading:
    """What a formula reads of a row: the names of statistics.

    `power` is that of a loss which is `Row.box_cox` and no more (0 for -log p), else None.
    """

    statistics: frozenset[str]
    power: float | None


def reading(formula: Callable[..., torch.Tensor], **parameters: Any) -> Reading:
    """What the formula reads at these parameters, found by letting it read."""
    probe = _Probe()
    found = formula(probe, **parameters)
    power = next((power for value, power in probe.curves if value is found), None)
    return Reading(frozenset(probe.read), power)


class _Probe:
    """A row of ones that notes what is read."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.curves: list[tuple[torch.Tensor, float]] = []

    def __getattr__(self, name: str) -> torch.Tensor:
        if not isinstance(vars(Row).get(name), property):
            raise AttributeError(f"a row has no statistic {name!r}")
        self.read.add(name)
        value = torch.ones(())
        if name == "nll":
            self.curves.append((value, 0.0))
        return value

    def box_cox(self, power: float) -> torch.Tensor:
        value = self.nll.clone()
        self.curves.append((value, power))
        return value


def entropy_of_logits(logits: torch.Tensor) -> torch.Tensor:
    """Entropy (...) of the softmax of logits (..., K), in nats; a class ruled out adds 0."""
    return _entropy(from_the_top(widen(logits)))


def _entropy(top: Top) -> torch.Tensor:
    return top.rest.log1p() - top.mean_gap(top.odds) / (1 + top.rest)


def softplus(x: torch.Tensor) -> torch.Tensor:
    """log(1 + exp(x)), exact in both tails (torch's own is linear beyond a threshold)."""
    return -F.logsigmoid(-x)


def log_add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """log(exp(x) + exp(y)); derivatives of every order are finite, torch's own give inf / inf."""
    return torch.where(x > y, x + softplus(y - x), y + softplus(x - y))


def box_cox(nll: torch.Tensor, power: float) -> torch.Tensor:
    """(1 - p^power) / power from -log p, continuous through power = 0, where it is -log p."""
    if power == 0:
        return nll
    exponent = power * nll
    # Two branches for the sake of autograd: it takes the slope of expm1 as its value plus 1, which
    # rounds to 0 once p^power is below 1e-16, where exp has nothing to cancel.
    easy, hard = -torch.expm1(-exponent), 1 - torch.exp(-exponent)
    curve = torch.where(exponent < 1, easy, hard) / power
    return torch.where(exponent.abs() < 1e-17, nll, curve)  # the limit, before the product rounds


def _steep(logits: torch.Tensor, labels: torch.Tensor, power: float) -> torch.Tensor:
    """`box_cox` of a negative power, where a factor of the gradient may overflow, not the gradient.

    Where the value is infinite the gradient is that of exponentials which are formed in one
    exponent each. A class ruled out by -inf gets none, whatever the target's own.
    """
    logits, index = logits.to(row_dtype(logits)), labels.unsqueeze(-1)
    nll = -F.logsigmoid(target_margin(logits, labels))
    infinite = box_cox(nll.detach(), power).isinf()
    damping = ((1 + power) * nll.detach()).masked_fill(nll.isinf(), 0.0)
    lead = logits - (logits.gather(-1, index) + damping.unsqueeze(-1))
    out = logits.isneginf().scatter(-1, index, True)
    slopes = torch.where(out, -torch.inf, lead).exp().sum(-1)
    finite = box_cox(torch.where(infinite, 0.0, nll), power)
    return torch.where(infinite, torch.inf + slopes, finite)
