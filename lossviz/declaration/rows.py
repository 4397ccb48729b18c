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

from .margin import log_probabilities, target_margin
from .numbers import row_dtype


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

    Statistics are float64 where the device has it. Where they are of all classes give the logits in
    float64 as well: gradients of several of them may cancel, and are added in the dtype of these.
    """

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.logits = logits
        self.labels = labels
        self._margin: torch.Tensor | None = None

    @property
    def nll(self) -> torch.Tensor:
        return -F.logsigmoid(self.log_odds)

    @property
    def log_odds(self) -> torch.Tensor:
        # functools.cached_property takes a lock in Python 3.11, which torch.compile does not trace
        if self._margin is None:
            self._margin = target_margin(self.logits, self.labels)
        return self._margin

    @property
    def entropy(self) -> torch.Tensor:
        return entropy_of_logits(self.logits)

    @property
    def log_sum_square(self) -> torch.Tensor:
        log_p = self._log_probabilities
        # where one class is nearly certain the sum is near 1, and what it lacks has the digits
        lack = (log_p.exp() * -torch.expm1(log_p)).sum(-1)
        certain = torch.log1p(-lack.clamp_max(0.5))
        return torch.where(lack < 0.5, certain, (2 * log_p).logsumexp(-1))

    @property
    def log_sum_square_others(self) -> torch.Tensor:
        return self._log_sum_square_without_target(self._log_probabilities)

    @property
    def log_sum_square_odds(self) -> torch.Tensor:
        own = self.logits.gather(-1, self.labels.unsqueeze(-1))
        return self._log_sum_square_without_target(self.logits - own)

    def box_cox(self, power: float) -> torch.Tensor:
        if power >= 0:
            return box_cox(self.nll, power)
        # a custom backward is not traced through torch.func
        steep = _steep_plainly if torch.compiler.is_compiling() else _Steep.apply
        return steep(self.logits, self.labels, power)

    @property
    def _log_probabilities(self) -> torch.Tensor:
        return log_probabilities(self.logits)

    def _log_sum_square_without_target(self, logs: torch.Tensor) -> torch.Tensor:
        # the smallest finite number, not -inf: with one class there is no other
        least = torch.finfo(logs.dtype).min
        return (2 * logs.scatter(-1, self.labels.unsqueeze(-1), least / 2)).logsumexp(-1)


@dataclass(frozen=True)
class Reading:
    """What a formula reads of a row: the names of statistics.

    `power` is that of a loss which is `Row.box_cox` and no more (0 for -log p), else None.
    """

    statistics: frozenset[str]
    power: float | None

    @property
    def of_all_classes(self) -> bool:
        """Whether anything but the target probability counts."""
        return not self.statistics <= {"nll", "log_odds"}


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
    log_p = log_probabilities(logits.to(row_dtype(logits)))
    p = log_p.exp()
    # 0 * -inf is 0 here; the factor is replaced, not the product, whose gradient is 0 * inf
    return -(p * log_p.masked_fill(p == 0, 0.0)).sum(-1)


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

    d loss / d z_j = exp(z_j - z_y - (1 + power) nll) is formed in one exponent, in float64; the
    chain rule would multiply an infinite slope in the margin by a probability that underflowed.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: torch.Tensor, labels: torch.Tensor, power: float) -> torch.Tensor:
        return box_cox(-F.logsigmoid(target_margin(logits, labels)), power)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        logits, labels, ctx.power = inputs
        ctx.save_for_backward(logits, labels)
        ctx.save_for_forward(logits, labels)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, labels = ctx.saved_tensors
        upstream = gradient.unsqueeze(-1)
        slope = _steep_slope(logits, labels, ctx.power)
        # An ignored row arrives with gradient 0 and must leave with 0, whatever its own slope.
        gradient = torch.where(upstream == 0, 0.0, upstream * slope)
        return gradient.to(logits.dtype), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, _labels: None, _power: None) -> torch.Tensor:
        logits, labels = ctx.saved_tensors
        return (_steep_slope(logits, labels, ctx.power) * tangent).sum(-1)


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


def _steep_slope(logits: torch.Tensor, labels: torch.Tensor, power: float) -> torch.Tensor:
    index = labels.unsqueeze(-1)
    margin = target_margin(logits, labels).unsqueeze(-1)
    # a target ruled out by -inf: the slopes are infinite however they are damped
    damping = ((1 + power) * F.logsigmoid(margin)).masked_fill(margin.isneginf(), 0.0)
    slope = (logits.to(margin.dtype) - (logits.gather(-1, index) - damping)).exp()
    return slope.scatter(-1, index, -(damping - margin).exp())
