"""Away from a text: losses that make it unlikely and stop in time, and answers by subtraction."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    bounded,
    convex,
    declare,
    exact_by_rows,
    not_convex,
    number,
    row_dtype,
    softplus,
)
from ...declaration.kinds import LOG_PROBABILITIES, LOGITS
from ..logits.earthmover import relative_mean
from .preference import OF_THE_REFERENCE, dpo

TEXTS = Inputs(
    Argument("policy_logp", LOG_PROBABILITIES, "...", "Summed over the text to be forgotten"),
    Argument("ref_logp", OF_THE_REFERENCE, "...", "The same of the model at the start"),
)
BETA = number(
    "beta", r"\beta", "(0, inf)", (0.05, 1.0, 0.05),
    "how soon the force dies as the text becomes unlikely",
    "never: gradient ascent", "as soon as it is less likely than at the start",
    ends=("never", "at once"),
)  # fmt: skip


def _half_of_dpo(policy: torch.Tensor, ref: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    none = torch.zeros_like(policy)
    pairs = dpo(none, policy, none, ref, beta=0.1, reduction="none")
    return npo(policy, ref, reduction="none"), 2 / 0.1 * pairs


def _ascent(policy: torch.Tensor, ref: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    beta = 1e-6
    start = 2 * torch.tensor(2.0).double().log() / beta
    return npo(policy, ref, beta=beta, reduction="none") - start, policy - ref


def _hinge(policy: torch.Tensor, ref: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    log_ratio = policy - ref
    return 1 + npo(policy, ref, beta=1e6, reduction="none"), 1 + 2 * log_ratio.clamp_min(0)


@declare(
    family="unlearning",
    inputs=TEXTS,
    latex=r"\ell = \frac2\beta \log\big(1 + e^{\beta h}\big), \qquad "
    r"h = \log \frac{\pi(y)}{\pi_{\mathrm{ref}}(y)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(y)} = 2\, \sigma(\beta h) = "
        r"\frac{2\, \pi(y)^\beta}{\pi(y)^\beta + \pi_{\mathrm{ref}}(y)^\beta}",
        lambda policy, ref, *, beta: 2 * (beta * (policy - ref)).sigmoid(),
    ),
    parameters=(BETA,),
    source=Source("zhang2024npo", "eq. 3"),
    facts=(
        Fact("DPO without a chosen answer, times 2 / beta", _half_of_dpo),
        Fact(
            "A small beta, minus its value at the start, is gradient ascent (at 1e-6)",
            _ascent,
            rtol=1e-3,
        ),
        Fact(
            "A large beta is a hinge: nothing more to do below the start (at 1e6; plus 1)",
            _hinge,
            rtol=1e-5,
        ),
        convex(why="softplus of a linear function"),
    ),
    stability="A softplus of the log-ratio, in float64 for each text.",
    notes="The weight is 1 at the start and dies out as the text is forgotten, where that of "
    "gradient ascent stays 1 for ever. Collapse is slower, not impossible: keep a term on texts "
    "that are to be retained (`tempered_kl` to the start, or cross-entropy).",
    related=("dpo", "ihl", "unlikelihood"),
    also=("NPO", "unlearning", "forgetting", "gradient ascent", "right to be forgotten"),
    in_torch="-(2 / 0.1) * F.logsigmoid(-0.1 * (policy_logp - ref_logp)).mean()",
    use="A language model has to forget a text and stay as it is elsewhere.",
    avoid="There are better answers to give instead: prefer them (DPO).",
)
def npo(policy_logp: torch.Tensor, ref_logp: torch.Tensor, *, beta: float = 0.1) -> torch.Tensor:
    """Negative preference optimisation: a text becomes less likely, with a force that dies out.

    Log-probabilities, in nats, are sums over the tokens of a text.
    """
    policy = policy_logp.to(row_dtype(policy_logp))
    return 2 / beta * softplus(beta * (policy - ref_logp.to(policy.dtype)))


def _hinge_gradient(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    p = z.softmax(-1)
    target = F.one_hot(y, z.shape[-1]).double()
    rival = F.one_hot((p - 2 * target).argmax(-1), z.shape[-1]).double()
    lead = (p * (target - rival)).sum(-1, keepdim=True)
    return p * (target - rival - lead)


@declare(
    family="unlearning",
    inputs=CLASS_LOGITS,
    latex=r"\ell(z, y) = 1 + p_y - \max_{k \ne y} p_k",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_y} = p_y (1 - p_y + p_m), \quad "
        r"\frac{\partial \ell}{\partial z_m} = -p_m (1 - p_m + p_y), \quad "
        r"\frac{\partial \ell}{\partial z_k} = p_k (p_m - p_y), \qquad "
        r"m = \arg\max_{k \ne y} p_k",
        _hinge_gradient,
    ),
    source=Source(
        "cha2025loku",
        "eq. 4",
        "the published code leaves out the softmax where all logits of a batch lie in [0, 1]",
    ),
    facts=(
        Fact(
            "Equal logits: 1",
            lambda z, y: (ihl(0 * z, y, reduction="none"), torch.ones(len(z)).double()),
        ),
        Fact(
            "Two classes: twice the probability of the target",
            lambda z, y: (
                ihl(z[:, :2], y % 2),
                2 * z[:, :2].softmax(-1).gather(1, (y % 2)[:, None]).mean(),
            ),
        ),
        bounded("0", "2"),
        not_convex(why="a difference of probabilities"),
    ),
    stability="Probabilities in float64; those that are lost below 1e-300 have no gradient.",
    notes="A hinge that never clips. The force goes to the runner-up, so that text stays fluent, "
    "and dies when the runner-up is sure. Cross-entropy on what is to be retained stands beside "
    "it.",
    related=("npo", "unlikelihood", "mae"),
    also=("inverted hinge loss", "LoKU", "unlearning", "forgetting"),
    use="Tokens have to be forgotten one by one, and what is said instead should be the next best.",
    avoid="The next best is as bad: it is learnt with the same force.",
)
def ihl(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Inverted hinge loss: a token falls below the runner-up, which takes its place.

    Raises ValueError for fewer than 2 classes.
    """
    if logits.shape[-1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got {logits.shape[-1]}")
    return _inverted(logits, target)


@exact_by_rows
def _inverted(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    classes = torch.arange(logits.shape[-1], device=logits.device)
    itself = target.unsqueeze(-1) == classes
    rival = logits.masked_fill(itself, -torch.inf).argmax(-1, keepdim=True) == classes
    signs = itself.to(logits.dtype) - rival.to(logits.dtype)
    return 1 + relative_mean(logits, signs)


class Subtracted(NamedTuple):
    """Logits (..., V) of what is left, and at which tokens (..., V) the assistant is not heard."""

    logits: torch.Tensor
    masked: torch.Tensor


MODELS = Inputs(
    Argument("base", LOGITS, "... V", "Of the model that knows too much"),
    Argument("assistant", LOGITS, "... V", "Of one that knows what is to be forgotten"),
)
WEIGHT = number("weight", "w", "(-inf, inf)", (-2, 0, 0.1), "weight", "subtracted", "added")
RELATIVE_TOP = number("relative_top", "r", "(0, 1]", (0.1, 1, 0.1), "share", "best alone", "all")


def logit_difference(
    base: torch.Tensor,
    assistant: torch.Tensor,
    *,
    weight: float = -0.8,
    relative_top: float | None = 0.1,
) -> Subtracted:
    """Logits of a model minus those of an assistant that remembers what is to be forgotten.

    `base` and `assistant` are floating (..., V); the assistant has `weight` (default -0.8). It
    counts 0 at tokens whose probability under the base is below `relative_top` times the largest
    and which are not among this part of all tokens; `relative_top` is in (0, 1], default 0.1, or
    None for an assistant that is heard everywhere.

    An assistant with equal logits changes no probability, which is what leaves other texts alone.
    A part of V that is less than one token masks nothing, as published. Raises TypeError or
    ValueError for what does not fit. Source: Ji et al. (2024), section 3.
    """
    weight = WEIGHT.check(weight)
    checked = MODELS.check({"base": base, "assistant": assistant})
    z, other = checked["base"], checked["assistant"]
    masked = torch.zeros_like(z, dtype=torch.bool)
    if relative_top is not None:
        part = RELATIVE_TOP.check(relative_top)
        logp = z.log_softmax(-1)
        ranked = logp.sort(-1, descending=True).values
        # the published rule looks the place up from 1, so that 0 is the last of all
        place = int(part * z.shape[-1]) - 1
        most = ranked[..., :1] + torch.tensor(part).log()
        masked = logp < torch.minimum(ranked[..., place].unsqueeze(-1), most)
    return Subtracted((z + weight * other.masked_fill(masked, 0.0)).to(base.dtype), masked)
