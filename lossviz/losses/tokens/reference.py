"""Terms that hold a policy near a reference, at tokens that the reference drew."""

from __future__ import annotations

import math

import torch

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, number, row_dtype
from . import BEFORE, OF_A_TOKEN

REFERENCE_TOKENS = Inputs(
    Argument("logp", OF_A_TOKEN, "...", "Of tokens drawn from the reference"),
    Argument("ref_logp", BEFORE, "...", "Their log-probabilities under the reference itself"),
)
ALPHA = number(
    "alpha", r"\alpha", "[0.01, 1]", (0.1, 1.0, 0.1),
    "from the reverse (0) to the forward Kullback-Leibler divergence (1)",
    "tokens that the policy has lost cost little",
    "they cost without bound",
    label="order", ends=("nearly reverse KL", "forward KL"),
)  # fmt: skip
DPH = "li2025choice"


def _alpha(log_u: torch.Tensor, alpha: float) -> torch.Tensor:
    beta = 1 - alpha
    if not beta:
        return log_u.expm1() - log_u
    large = log_u > 100
    safe = torch.where(large, 0.0, log_u)
    near = safe.expm1() - (beta * safe).expm1() / beta
    # one exponential, where the difference of two would be one of infinities
    safe = torch.where(large, log_u, 100.0)
    rest = (-(alpha * safe).clamp_max(600.0)).exp()  # no 0, which times an infinite slope is NaN
    far = (safe + torch.log1p(-rest / beta)).exp() + (1 / beta - 1)
    return torch.where(large, far, near) / alpha


@declare(
    family="policy",
    inputs=REFERENCE_TOKENS,
    latex=r"\ell = \frac{u^{1 - \alpha} - (1 - \alpha) u - \alpha}{\alpha (\alpha - 1)}, \qquad "
    r"u = \frac{\pi(a)}{\pi_{\mathrm{ref}}(a)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = \frac{u - u^{1 - \alpha}}{\alpha}",
        lambda logp, ref, *, alpha: (
            ((logp - ref).exp() - ((1 - alpha) * (logp - ref)).exp()) / alpha
        ),
    ),
    parameters=(ALPHA,),
    source=Source(DPH, "the alpha divergence of DPH-RL", "exact here; their code clamps"),
    facts=(
        Fact(
            "alpha = 1 is u - 1 - log u, whose mean is the forward Kullback-Leibler divergence",
            lambda logp, ref: (
                alpha_divergence(logp, ref, alpha=1.0, reduction="none"),
                (logp - ref).expm1() - (logp - ref),
            ),
        ),
        Fact(
            "Never negative, and 0 where the policy agrees with the reference (both sides plus 1)",
            lambda logp, ref: (
                torch.cat([1 + alpha_divergence(ref, ref, reduction="none"),
                           alpha_divergence(logp, ref, reduction="none").sign()]),
                torch.ones(2 * len(ref)).double(),
            ),
        ),
    ),
    stability="Through expm1 of multiples of log u, exact where u is near 1.",
    related=("jensen_shannon_term", "kl_cov"),
    view={"axes": {"logp": (-6.0, 0.0), "ref_logp": (-6.0, 0.0)}},
    also=("DPH-RL", "forward KL", "k3 estimator", "rehearsal", "f-divergence"),
    use="A policy is trained by reward and should keep the answers that it had at first.",
    avoid="The reference is worth nothing: what it likes is kept whether right or wrong.",
)  # fmt: skip
def alpha_divergence(
    logp: torch.Tensor, ref_logp: torch.Tensor, *, alpha: float = 0.2
) -> torch.Tensor:
    """Alpha divergence: its term at tokens drawn from a reference; the mean estimates it.

    In nats. A regulariser, to be added to a surrogate with a small weight.
    """
    dtype = row_dtype(logp)
    return _alpha(logp.to(dtype) - ref_logp.to(dtype), alpha)


def _generator(log_u: torch.Tensor) -> torch.Tensor:
    large = log_u > 40
    safe = torch.where(large, 0.0, log_u)
    middle = torch.nn.functional.softplus(safe) - math.log(2)
    near = safe.exp() * (safe - middle) - middle
    safe = torch.where(large, log_u, 40.0)
    return torch.where(large, safe.exp() * math.log(2) - 1 - safe + math.log(2), near)


@declare(
    family="policy",
    inputs=REFERENCE_TOKENS,
    latex=r"\ell = u \log u - (u + 1) \log \frac{u + 1}{2}, \qquad "
    r"u = \frac{\pi(a)}{\pi_{\mathrm{ref}}(a)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = u \log \frac{2 u}{u + 1}",
        lambda logp, ref: (
            (logp - ref).exp()
            * (logp - ref - torch.nn.functional.softplus(logp - ref) + math.log(2))
        ),
    ),
    source=Source(DPH, "the Jensen-Shannon generator of DPH-RL"),
    facts=(
        Fact(
            "A token that the policy has lost costs log 2, and hardly pulls at all",
            lambda logp, ref: (
                jensen_shannon_term(ref - 60.0, ref, reduction="none"),
                torch.full_like(ref, math.log(2)),
            ),
        ),
    ),
    stability="(u + 1)/2 through a softplus.",
    notes="Its mean over tokens of the reference is twice the Jensen-Shannon divergence.",
    related=("alpha_divergence",),
    view={"axes": {"logp": (-6.0, 0.0), "ref_logp": (-6.0, 0.0)}},
    also=("DPH-RL", "JS divergence"),
    use="A policy is held near a reference by a bounded price.",
    avoid="Lost answers are to be brought back: its slope vanishes just there.",
)
def jensen_shannon_term(logp: torch.Tensor, ref_logp: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon term: at tokens drawn from a reference, with a bounded price for lost ones.

    In nats.
    """
    dtype = row_dtype(logp)
    return _generator(logp.to(dtype) - ref_logp.to(dtype))
