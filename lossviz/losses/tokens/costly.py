"""Surrogates that hold back the tokens of largest covariance, which cost a policy its entropy."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Parameter,
    Source,
    declare,
    number,
    row_dtype,
)
from ...declaration.kinds import DRAWS
from . import DRAWN_TOKENS
from .covariance import token_covariance
from .surrogates import HIGH, LOW, clipped_surrogate, slope, surrogate

BATCH_OF_TOKENS = Inputs(
    *(replace(argument, shape="N") for argument in DRAWN_TOKENS.arguments), rows="N", coupled=True
)
RANDOMLY_CHOSEN = Inputs(
    *BATCH_OF_TOKENS.arguments,
    Argument("draws", DRAWS, "N", "Of eligible tokens those with the least are left out",
             optional=True),
    rows="N", coupled=True,
)  # fmt: skip

TWO_TOKENS = ("log p of token A, advantage 1", "log p of token B, advantage -1")


def _share(least: float) -> Parameter:
    return number(
        "share", "s", "(0, 1]", (least, 1.0, (1 - least) / 20),
        "of all tokens how many are held back, at least one",
        "one token of the batch",
        "all tokens that may be",
        label="share held back", ends=("one token", "all that may be"),
    )  # fmt: skip


def _unknown(*tensors: torch.Tensor) -> torch.Tensor:
    """NaN if there is one in the batch, whose covariances are then unknown; else 0."""
    found = sum(x.detach().sum() for x in tensors)
    return torch.where(torch.as_tensor(found).isnan(), torch.nan, 0.0)


LOWEST = number(
    "lowest", r"\omega_-", "(-inf, inf)", (-1.0, 2.0, 0.5),
    "least covariance of a token that may be left out",
    "any token may be left out",
    "none may be",
    label="least covariance", ends=("any", "none"),
)  # fmt: skip
HIGHEST = number(
    "highest", r"\omega_+", "(-inf, inf)", (1.0, 10.0, 0.5),
    "greatest covariance of a token that may be left out",
    "none may be left out",
    "the most extreme ones may be",
    label="greatest covariance", ends=("none", "any"),
)  # fmt: skip
CUI = "cui2025entropy"


def _left_out(  # type: ignore[no-untyped-def]
    logp, old_logp, advantage, draws, share, lowest, highest, low, high
) -> torch.Tensor:
    covariance = token_covariance(advantage, logp.detach())
    moving = slope(logp.detach(), old_logp, advantage, low, high) != 0
    eligible = (covariance > lowest) & (covariance < highest) & moving
    take = min(max(1, int(share * len(logp))), len(logp))
    first = draws.masked_fill(~eligible, torch.inf).topk(take, largest=False)
    out = torch.zeros_like(eligible)
    return out.scatter(0, first.indices, first.values < torch.inf)


@declare(
    family="policy",
    inputs=RANDOMLY_CHOSEN,
    latex=r"\ell_i = -[i \notin I] \min\big(r_i A_i,\; \mathrm{clip}(r_i, 1 - \epsilon_-, 1 + "
    r"\epsilon_+) A_i\big), \qquad I \subset \{i : \omega_- < (A_i - \bar A)(\log \pi_i - "
    r"\overline{\log \pi}) < \omega_+\} \text{ drawn}",
    gradient=Gradient(
        r"\frac{\partial \ell_i}{\partial \log \pi_i} = -[i \notin I]\, r_i A_i \text{ unless "
        r"clipped}",
        lambda logp, old, a, draws, *, share, lowest, highest, clip_low, clip_high: slope(
            logp, old, a, clip_low, clip_high
        )
        * ~_left_out(logp, old, a, draws, share, lowest, highest, clip_low, clip_high),
    ),
    parameters=(_share(2e-4), LOWEST, HIGHEST, LOW, HIGH),
    source=Source(CUI, "Clip-Cov"),
    facts=(
        Fact(
            "Bounds that no covariance reaches: the clipped surrogate without a dual clip",
            lambda logp, old, a, draws: (
                clip_cov(logp, old, a, draws, lowest=1e9, highest=1e10, reduction="none"),
                clipped_surrogate(
                    logp, old, a, clip_low=1.0, clip_high=1.0, dual_clip=1e300, reduction="none"
                ),
            ),
        ),
    ),
    stability="As of the clipped surrogate; covariances in float64.",
    notes="Give it the whole batch: the authors' code takes covariances over micro-batches. Their "
    "recipes set both clips to 1, which is the default here too.",
    related=("kl_cov", "clipped_surrogate"),
    view={
        "at": {"advantage": (1.0, -1.0), "draws": (-1.0, 0.5)},
        "frames": "lowest",
        "starts": {"lowest": 0.0},
        "labels": TWO_TOKENS,
    },
    also=("Clip-Cov", "covariance clipping"),
    use="The entropy of a policy falls too fast: a few tokens that cost most of it are left out.",
    avoid="Batches are small, so that no covariance reaches the bounds.",
)  # fmt: skip
def clip_cov(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    draws: torch.Tensor | None,
    *,
    share: float = 2e-4,
    lowest: float = 1.0,
    highest: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
) -> torch.Tensor:
    """Clip-Cov: a few random tokens of large covariance have no gradient in this step.

    Which tokens is drawn anew in each call unless `draws` says it.
    """
    if draws is None:
        draws = torch.randn_like(logp)
    out = _left_out(logp, old_logp, advantage, draws, share, lowest, highest, clip_low, clip_high)
    rows = surrogate(logp, old_logp, advantage, clip_low, clip_high)
    return torch.where(out, 0.0, rows) + _unknown(logp, old_logp, advantage)


COEFFICIENT = number(
    "coefficient", r"\beta", "[0, inf)", (0.0, 2.0, 0.1),
    "price of a nat of log-ratio on the tokens of largest covariance",
    "none: the plain policy gradient",
    "these tokens stay where they were drawn",
    label="price of a nat", ends=("free", "dear"),
)  # fmt: skip


def _largest(logp: torch.Tensor, advantage: torch.Tensor, share: float) -> torch.Tensor:
    covariance = token_covariance(advantage, logp.detach())
    take = min(max(1, int(share * len(logp))), len(logp))
    return torch.zeros_like(covariance).scatter(0, covariance.topk(take).indices, 1.0)


@declare(
    family="policy",
    inputs=BATCH_OF_TOKENS,
    latex=r"\ell_i = -r_i A_i + \beta\, [i \in I]\, \lvert \log r_i \rvert, \qquad I = \text{the "
    r"largest } (A_i - \bar A)(\log \pi_i - \overline{\log \pi})",
    gradient=Gradient(
        r"\frac{\partial \ell_i}{\partial \log \pi_i} = -r_i A_i + \beta\, [i \in I]\, "
        r"\mathrm{sign}(\log r_i)",
        lambda logp, old, a, *, share, coefficient: (
            -a * (logp - old).exp()
            + coefficient * _largest(logp, a, share).to(logp) * (logp - old).sign()
        ),
    ),
    parameters=(_share(0.002), COEFFICIENT),
    source=Source(CUI, "KL-Cov"),
    facts=(
        Fact(
            "On the policy that drew the tokens it is minus the advantage: the penalty and its "
            "slope are 0 in the first step on a batch",
            lambda logp, old, a: (kl_cov(old, old, a, reduction="none"), -a),
        ),
    ),
    stability="Covariances in float64. The ratio is not clipped and may overflow.",
    notes="The published shares are 0.002 for 7B and 0.0002 for 32B with coefficient 1; verl's "
    "configuration has 0.0002 and 0.1. The penalty is the size of the log-ratio at the drawn "
    "token, no divergence.",
    related=("clip_cov", "clipped_surrogate"),
    view={
        # of two tokens the covariances are equal: both are held, or rounding would choose
        "at": {"advantage": (1.0, -1.0)},
        "starts": {"share": 1.0},
        "labels": TWO_TOKENS,
    },
    also=("KL-Cov", "covariance penalty"),
    use="The entropy of a policy falls too fast: the tokens that cost most of it are held.",
    avoid="Each batch serves for one step: the penalty then does nothing at all.",
)
def kl_cov(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    *,
    share: float = 0.002,
    coefficient: float = 1.0,
) -> torch.Tensor:
    """KL-Cov: the policy gradient, with a price on moving the tokens of largest covariance.

    Nothing is clipped.
    """
    now, old, a = (x.to(row_dtype(logp)) for x in (logp, old_logp, advantage))
    change = now - old
    held = coefficient * _largest(now, a, share).to(now) * change.abs()
    return -a * change.exp() + held + _unknown(now, old, a)
