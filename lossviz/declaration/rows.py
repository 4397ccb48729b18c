"""What a loss of the target probability reads of a row, and the arithmetic such losses share.

A formula over a row is used twice: on logits (`Rows`, by the shell of `declare`), and on the
statistics of a large head (`lossviz.kernels.RowStatistics`, which has the same attributes).
"""

from __future__ import annotations

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

    def box_cox(self, power: float) -> torch.Tensor:
        """(1 - p^power) / power of the target probability, -log p at power = 0."""


class Rows:
    """The rows of a batch of logits (..., K) with labels (...); every statistic is exact in tails.

    Statistics are float64 where the device has it.
    """

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.logits = logits
        self.labels = labels

    @property
    def nll(self) -> torch.Tensor:
        return -F.logsigmoid(target_margin(self.logits, self.labels))

    @property
    def log_odds(self) -> torch.Tensor:
        return target_margin(self.logits, self.labels)

    @property
    def entropy(self) -> torch.Tensor:
        return entropy_of_logits(self.logits)

    @property
    def log_sum_square(self) -> torch.Tensor:
        return (2 * self._log_probabilities).logsumexp(-1)

    @property
    def log_sum_square_others(self) -> torch.Tensor:
        log_p = self._log_probabilities
        # the smallest finite number, not -inf: with one class there is no other
        least = torch.finfo(log_p.dtype).min
        return (2 * log_p.scatter(-1, self.labels.unsqueeze(-1), least / 2)).logsumexp(-1)

    def box_cox(self, power: float) -> torch.Tensor:
        if power >= 0:
            return box_cox(self.nll, power)
        compiling = torch.compiler.is_compiling()
        function = _Steep if compiling else _SteepWithForwardMode
        return function.apply(self.logits, self.labels, power)

    @property
    def _log_probabilities(self) -> torch.Tensor:
        return log_probabilities(self.logits.to(row_dtype(self.logits)))


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


class _SteepWithForwardMode(_Steep):
    """The same with a rule for forward mode, which torch.compile does not trace."""

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, _labels: None, _power: None) -> torch.Tensor:
        logits, labels = ctx.saved_tensors
        return (_steep_slope(logits, labels, ctx.power) * tangent).sum(-1)


def _steep_slope(logits: torch.Tensor, labels: torch.Tensor, power: float) -> torch.Tensor:
    index = labels.unsqueeze(-1)
    margin = target_margin(logits, labels).unsqueeze(-1)
    damping = (1 + power) * F.logsigmoid(margin)
    slope = (logits.to(margin.dtype) - (logits.gather(-1, index) - damping)).exp()
    return slope.scatter(-1, index, -(damping - margin).exp())
