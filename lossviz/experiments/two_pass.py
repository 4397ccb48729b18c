"""The two-pass softmax: exponentials as (mantissa, exponent) pairs, which need no maximum.

The usual softmax reads its input three times: for the maximum, for the sum of exp(x - maximum) and
for the result. The first reading is there against overflow alone. A pair m 2^n that keeps its
exponent apart cannot overflow, hence the sum needs no maximum: one reading for the sum, one for the
result. The online log-sum-exp of `lossviz.kernels` saves the same reading by another road: when the
maximum moves, it rescales its sum by an exponential. Pairs move by powers of two, which is exact.

Marat Dukhan and Artsiom Ablavatski, "The Two-Pass Softmax Algorithm" (2020).
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import NamedTuple

import torch

from ..declaration import Argument, Inputs
from ..declaration.kinds import LOGITS

ARGUMENT = Inputs(Argument("logits", LOGITS, "... K"))
LANES = 256
"""Sums that grow side by side, as the lanes of vector registers do."""


def _split_log_2(bits: int) -> tuple[float, float]:
    """High and low part of ln 2; n times the high one, of so few bits, is exact for whole n."""
    high = round(math.log(2) * 2**bits) / 2**bits
    return high, float(Decimal(2).ln() - Decimal(high))


# exact for |n| < 2^14 in float32 and 2^27 in float64
_LOG_2 = {torch.float32: _split_log_2(10), torch.float64: _split_log_2(26)}


class Scaled(NamedTuple):
    """Numbers mantissa * 2^exponent; the exponent is whole, and -inf where the number is 0."""

    mantissa: torch.Tensor
    exponent: torch.Tensor

    def log(self) -> torch.Tensor:
        """The natural logarithm, ln m + n ln 2."""
        zero = self.exponent == -torch.inf
        log = self.mantissa.log() + torch.where(zero, 0.0, self.exponent) * math.log(2)
        return torch.where(zero, -torch.inf, log)

    def over(self, total: Scaled) -> torch.Tensor:
        """The quotient, as an ordinary number."""
        return torch.ldexp(self.mantissa / total.mantissa, self.exponent - total.exponent)


def scaled_exp(x: torch.Tensor) -> Scaled:
    """exp(x) = m 2^n with n = round(x / ln 2), so m lies in [sqrt(1/2), sqrt(2)].

    The remainder x - n ln 2 is taken in two steps, because n ln 2 rounded at once would cost the
    digits of m. Good to a few ulp for |x| up to 1e4 in float32 and beyond 1e7 in float64; farther
    out x itself is not known to a nat, and n is what it can be.
    """
    high, low = _LOG_2[x.dtype]
    zero = x == -torch.inf
    finite = torch.where(zero, 0.0, x)
    largest = torch.finfo(x.dtype).max
    exponent = torch.round(finite.detach() / math.log(2)).clamp(-largest, largest)
    remainder = (finite - exponent * high) - exponent * low
    # half of ln 2, but where digits have run out
    mantissa = torch.where(x == torch.inf, torch.inf, torch.exp(remainder.clamp(-0.36, 0.36)))
    return Scaled(torch.where(zero, 0.0, mantissa), torch.where(zero, -torch.inf, exponent))


def add(a: Scaled, b: Scaled) -> Scaled:
    """a + b: the smaller exponent moves to the larger one, which is exact or drops what is lost."""
    exponent = torch.maximum(a.exponent, b.exponent)
    base = torch.where(exponent == -torch.inf, 0.0, exponent)
    moved = (torch.ldexp(part.mantissa, part.exponent - base) for part in (a, b))
    return Scaled(sum(moved, start=torch.zeros_like(base)), exponent)


def sum_of_exp(x: torch.Tensor) -> Scaled:
    """sum_j exp(x_j) over the last dimension, one reading: (..., V) to (...)."""
    *batch, classes = x.shape
    lanes = min(LANES, 1 << max(classes - 1, 0).bit_length())
    total = Scaled(x.new_zeros(*batch, lanes), x.new_full((*batch, lanes), -torch.inf))
    for block in x.split(lanes, -1):
        padding = (0, lanes - block.shape[-1])
        padded = torch.nn.functional.pad(block, padding, value=-torch.inf)
        total = add(total, scaled_exp(padded))
    while lanes > 1:
        lanes //= 2
        left, right = ((part[..., :lanes], part[..., lanes:]) for part in total)
        total = add(Scaled(left[0], right[0]), Scaled(left[1], right[1]))
    return Scaled(total.mantissa[..., 0], total.exponent[..., 0])


def _checked(logits: torch.Tensor) -> torch.Tensor:
    ARGUMENT.check({"logits": logits})
    if logits.dtype not in _LOG_2:
        raise TypeError(f"logits must have one of {tuple(_LOG_2)}, got {logits.dtype}")
    return logits


def two_pass_log_sum_exp(logits: torch.Tensor) -> torch.Tensor:
    """log sum_j exp(z_j) in one reading and without a maximum.

    `logits` (..., V), float32 or float64, V >= 1; returns (...), in nats. Equal to
    `torch.logsumexp` over the last dimension, also for -inf and inf entries and rows of -inf. Good
    for magnitudes up to 1e4 in float32; beyond, the remainder of `scaled_exp` loses digits (masks
    as far down as `torch.finfo.min` count as 0). Differentiable where entries are finite.

    Raises TypeError for another dtype and ValueError for a shape without classes.
    """
    return sum_of_exp(_checked(logits)).log()


def two_pass_softmax(logits: torch.Tensor) -> torch.Tensor:
    """The softmax in two readings and one writing, without a maximum.

    `logits` (..., V), float32 or float64, V >= 1; returns probabilities of the same shape. Equal to
    `torch.softmax` over the last dimension; a row of -inf gives NaN as there, an entry of inf NaN
    in its own place. Range, derivatives and errors as `two_pass_log_sum_exp`. Dukhan and Ablavatski
    (2020).
    """
    total = sum_of_exp(_checked(logits))
    return scaled_exp(logits).over(Scaled(*(part[..., None] for part in total)))
