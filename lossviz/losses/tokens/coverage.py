"""Training for one right answer among several attempts."""

from __future__ import annotations

import math

import torch

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    declare,
    monotone,
    number,
    row_dtype,
)
from ...declaration.kinds import LOG_PROBABILITIES

ATTEMPTS = number(
    "attempts", "N", "[1, inf)", (1.0, 64.0, 1.0), "how many attempts will be made",
    "cross-entropy: the one attempt must be right",
    "answers that are right once in a while count as learnt",
)  # fmt: skip


def log_one_minus_exp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) for x < 0 with all its digits; -inf, with slope 0, from 0 on."""
    zero, near = x >= 0, x > -math.log(2)
    close = torch.where(near & ~zero, x, -1.0)
    far = torch.where(near, -1.0, x)
    return torch.where(
        zero, -torch.inf, torch.where(near, (-close.expm1()).log(), (-far.exp()).log1p())
    )


def _loss(logp: torch.Tensor, attempts: float) -> torch.Tensor:
    # All attempts miss with chance exp(-x), x = -N log(1 - p): N p where p is as good as nothing.
    log_count, tiny = math.log(attempts), logp < -37
    x = torch.where(
        tiny,
        (torch.where(tiny, logp, 0.0) + log_count).exp(),
        -attempts * log_one_minus_exp(torch.where(tiny, -1.0, logp)),
    )
    least = x < 1e-16
    return torch.where(least, -logp - log_count, -log_one_minus_exp(-torch.where(least, 1.0, x)))


def _slope(log_probability: torch.Tensor, *, attempts: float) -> torch.Tensor:
    logp = log_probability.to(row_dtype(log_probability))
    others = torch.where(logp < 0, (attempts - 1) * log_one_minus_exp(logp), -torch.inf)
    return -(math.log(attempts) + others + logp + _loss(logp, attempts)).exp()


@declare(
    family="attempts",
    inputs=Inputs(
        Argument("log_probability", LOG_PROBABILITIES, "...", "Summed over the tokens of an answer")
    ),
    latex=r"\ell = -\log\big(1 - (1 - p)^N\big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log p} = -\frac{N (1 - p)^{N - 1} p}{1 - (1 - p)^N}",
        _slope,
    ),
    parameters=(ATTEMPTS,),
    source=Source("chen2025rethinking", "the loss of direct coverage optimisation"),
    facts=(
        Fact(
            "One attempt: minus the log-probability, which is cross-entropy",
            lambda logp: (dco(logp, attempts=1, reduction="none"), -logp),
        ),
        Fact(
            "An answer of chance p is found in N attempts with chance exp(-loss)",
            lambda logp: (
                1 - (-dco(logp / 20, attempts=4, reduction="none")).exp(),
                (1 - (logp / 20).exp()) ** 4,
            ),
        ),
        monotone("attempts"),
    ),
    stability="All steps are in the logarithm and in float64; where p underflows the loss is "
    "-log p - log N. A certain answer (p = 1) has loss 0 and gradient 0.",
    notes="Choose N no larger than about the number of candidate answers: with more, an untrained "
    "model has no gradient.",
    related=("cross_entropy",),
)
def dco(log_probability: torch.Tensor, *, attempts: float = 8.0) -> torch.Tensor:
    """Direct coverage optimisation: minus the log-chance that one of N attempts is right.

    Its gradient is that of cross-entropy times a factor that is 1 for answers of chance far below
    1/N and 0 for those far above: what is found anyway is left alone.
    """
    return _loss(log_probability.to(row_dtype(log_probability)), attempts)
