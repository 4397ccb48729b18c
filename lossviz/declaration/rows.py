"""What a loss of the target probability reads of a row, and the arithmetic such losses share.

A formula over a row is used twice: on logits (`Rows`, by the shell of `declare`), and on the
statistics of a large head (`lossviz.kernels.RowStatistics`, which has the same attributes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from .by_rows import by_rows, exact_by_rows
from .margin import Top, exp_of_difference, from_the_top, target_margin
from .numbers import possible, row_dtype, widen


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
    """The rows of a batch of logits (..., K) with labels (...); every statistic is exact in tails.

    Statistics are float64 where the device has it; what has an entry per class has the dtype of the
    logits. `whole` says that statistics of all classes are read: they share one exponential, and
    what is asked of the target is then had from it as well.
    """

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor, *, whole: bool = False) -> None:
        self.logits = logits
        self.labels = labels
        self._margin: torch.Tensor | None = None
        self._top = from_the_top(logits) if whole else None

    @property
    def nll(self) -> torch.Tensor:
        if self._top is None:
            return -F.logsigmoid(self.log_odds)
        return self._top.rest.log1p() - self._of_target(self._top.gaps)

    @property
    def log_odds(self) -> torch.Tensor:
        # functools.cached_property takes a lock in Python 3.11, which torch.compile does not trace
        if self._margin is None:
            self._margin = self._log_odds(self._top)
        return self._margin

    @property
    def entropy(self) -> torch.Tensor:
        return _entropy(self._leading)

    @property
    def log_sum_square(self) -> torch.Tensor:
        top = self._leading
        return top.odds.square().sum(-1).to(top.rest.dtype).log1p() - 2 * top.rest.log1p()

    @property
    def log_sum_square_others(self) -> torch.Tensor:
        top = self._leading
        # the smallest finite number, not -inf: with one class there is no other
        least = torch.finfo(top.gaps.dtype).min
        gaps = top.gaps.scatter(-1, self.labels.unsqueeze(-1), least)
        largest = gaps.detach().amax(-1, keepdim=True)
        squares = (2 * (gaps - largest)).exp().sum(-1).to(top.rest.dtype)
        return squares.log() + 2 * (largest.squeeze(-1).to(top.rest.dtype) - top.rest.log1p())

    @property
    def log_sum_square_odds(self) -> torch.Tensor:
        return -target_margin(2 * self.logits, self.labels)

    @property
    def _leading(self) -> Top:
        return from_the_top(self.logits) if self._top is None else self._top

    def _log_odds(self, top: Top | None) -> torch.Tensor:
        if top is None:
            return target_margin(self.logits, self.labels)
        beaten = self.labels != top.leader.squeeze(-1)
        others = beaten.to(top.rest.dtype) + top.rest - self._of_target(top.odds)
        return self._of_target(top.gaps) - others.log()

    def _of_target(self, entries: torch.Tensor) -> torch.Tensor:
        return entries.gather(-1, self.labels.unsqueeze(-1)).squeeze(-1).to(row_dtype(entries))

    def box_cox(self, power: float) -> torch.Tensor:
        if power >= 0:
            return box_cox(self.nll, power)
        if torch.compiler.is_compiling():  # a custom backward is not traced through torch.func
            return _steep_plainly(self.logits, self.labels, power)
        return _Steep.apply(self.logits, self.labels, power)[0]


def on_logits(formula: Callable[..., torch.Tensor], **defaults: Any) -> Callable[..., torch.Tensor]:
    """The formula over a row as a function of logits (..., K), labels (...) and its parameters."""
    read = reading(formula, **defaults)

    def rows(logits: torch.Tensor, labels: torch.Tensor, **parameters: Any) -> torch.Tensor:
        return formula(Rows(logits, labels, whole=read.together), **parameters)

    return exact_by_rows(rows) if read.cancelling else by_rows(rows)


@dataclass(frozen=True)
class Reading:
    """What a formula reads of a row: the names of statistics.

    `power` is that of a loss which is `Row.box_cox` and no more (0 for -log p), else None.
    """

    statistics: frozenset[str]
    power: float | None

    @property
    def together(self) -> bool:
        """Whether statistics are read that share what is made of a whole row."""
        return not self.statistics <= {"nll", "log_odds", "log_sum_square_odds"}

    @property
    def cancelling(self) -> bool:
        """Whether a statistic nearly cancels -log p where the softmax is undecided."""
        return "entropy" in self.statistics


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


class _Steep(torch.autograd.Function):
    """`box_cox` of a negative power, where a factor of the gradient may overflow, not the gradient.

    d loss / d z_j = exp(z_j - z_y - (1 + power) nll) is formed in one exact exponent; the
    chain rule would multiply an infinite slope in the margin by a probability that underflowed.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        logits: torch.Tensor, labels: torch.Tensor, power: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        margin = target_margin(logits, labels)
        return box_cox(-F.logsigmoid(margin), power), margin

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        logits, labels, ctx.power = inputs
        margin = output[1]
        ctx.mark_non_differentiable(margin)
        ctx.save_for_backward(logits, labels, margin)
        ctx.save_for_forward(logits, labels)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, labels, margin = ctx.saved_tensors
        upstream = gradients[0].unsqueeze(-1)
        if torch.is_grad_enabled():  # a second derivative is wanted: rebuild what it runs through
            margin = target_margin(logits, labels)
        slope = _steep_slope(logits, labels, margin, ctx.power)
        # An ignored row arrives with gradient 0 and must leave with 0, whatever its own slope.
        return torch.where(upstream == 0, 0.0, upstream.to(slope.dtype) * slope), None, None

    @staticmethod
    def jvp(
        ctx: Any, tangent: torch.Tensor, _labels: None, _power: None
    ) -> tuple[torch.Tensor, None]:
        logits, labels = ctx.saved_tensors[:2]
        slope = _steep_slope(logits, labels, target_margin(logits, labels), ctx.power)
        return (slope * tangent).sum(-1).to(row_dtype(logits)), None


def _steep_plainly(logits: torch.Tensor, labels: torch.Tensor, power: float) -> torch.Tensor:
    """The same in plain operations; its second derivatives are right where it is finite."""
    logits, index = logits.to(row_dtype(logits)), labels.unsqueeze(-1)
    nll = -F.logsigmoid(target_margin(logits, labels))
    infinite = box_cox(nll.detach(), power).isinf()
    damping = ((1 + power) * nll.detach()).masked_fill(nll.isinf(), 0.0)
    lead = logits - (logits.gather(-1, index) + damping.unsqueeze(-1))
    slopes = lead.scatter(-1, index, -torch.inf).exp().sum(-1)
    finite = box_cox(torch.where(infinite, 0.0, nll), power)
    return torch.where(infinite, torch.inf + slopes, finite)


def _steep_slope(
    logits: torch.Tensor, labels: torch.Tensor, margin: torch.Tensor, power: float
) -> torch.Tensor:
    index = labels.unsqueeze(-1)
    margin = margin.unsqueeze(-1)
    # a target ruled out by -inf: the slopes are infinite however they are damped
    damping = ((1 + power) * F.logsigmoid(margin)).masked_fill(margin.isneginf(), 0.0)
    slope = exp_of_difference(logits, logits.gather(-1, index).to(margin.dtype) - damping)
    if possible(margin.isneginf()):
        slope = torch.where(margin.isneginf() & ~logits.isneginf(), torch.inf, slope)
    return slope.scatter(-1, index, -(damping - margin).exp().to(slope.dtype))
