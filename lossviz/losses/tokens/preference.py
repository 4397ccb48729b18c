"""Losses of pairs of answers, of which one is preferred."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    convex,
    declare,
    number,
    row_dtype,
    softplus,
)
from ...declaration.kinds import LOG_PROBABILITIES

OF_THE_REFERENCE = replace(LOG_PROBABILITIES, learnt=False)
ANSWER_PAIRS = Inputs(
    Argument("policy_chosen_logp", LOG_PROBABILITIES, "...", "Summed over the chosen answer"),
    Argument("policy_rejected_logp", LOG_PROBABILITIES, "...", "Summed over the rejected answer"),
    Argument("ref_chosen_logp", OF_THE_REFERENCE, "...", "The same of the model at the start"),
    Argument("ref_rejected_logp", OF_THE_REFERENCE, "..."),
    paired=True,
)
BETA = number(
    "beta", r"\beta", "(0, inf)", (0.05, 1.0, 0.05),
    "nats of reward for a nat of log-ratio: how dear it is to leave the reference",
    "log 2, whatever the answers: every pair pulls alike",
    "only pairs in the wrong order count",
    label="how dear it is to leave the reference",
    ends=("all pairs pull alike", "wrong pairs alone"),
)  # fmt: skip
LABEL_SMOOTHING = number(
    "label_smoothing", r"\epsilon", "[0, 0.5)", (0.0, 0.45, 0.05),
    "probability that the preference was given the wrong way round",
    "the chosen answer can never lead by enough",
    "hardly any lead is wanted",
    label="share of preferences that are wrong", ends=("none", "nearly half"),
)  # fmt: skip


def _lead(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    ref_chosen: torch.Tensor,
    ref_rejected: torch.Tensor,
) -> torch.Tensor:
    return (chosen - rejected) - (ref_chosen - ref_rejected)


def _gradient(*logp: torch.Tensor, beta: float, label_smoothing: float) -> torch.Tensor:
    return -beta * ((-beta * _lead(*logp)).sigmoid() - label_smoothing)


@declare(
    family="preference",
    inputs=ANSWER_PAIRS,
    latex=r"\ell = -(1 - \epsilon) \log \sigma(\beta h) - \epsilon \log \sigma(-\beta h), \qquad "
    r"h = \log \frac{\pi(y_w)}{\pi(y_l)} - \log \frac{\pi_{\mathrm{ref}}(y_w)}"
    r"{\pi_{\mathrm{ref}}(y_l)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(y_w)} = -\frac{\partial \ell}{\partial \log "
        r"\pi(y_l)} = -\beta\, (\sigma(-\beta h) - \epsilon)",
        _gradient,
    ),
    parameters=(BETA, LABEL_SMOOTHING),
    source=Source(
        "rafailov2023dpo", "eq. 7", "the smoothing is that of the authors' code, not of the paper"
    ),
    facts=(
        Fact(
            "A policy that is still the reference: log 2",
            lambda chosen, rejected, *_: (
                dpo(chosen, rejected, chosen, rejected),
                torch.tensor(2.0).double().log(),
            ),
        ),
        Fact(
            "Binary cross-entropy of a Bradley-Terry model with rewards beta times the log-ratio",
            lambda *logp: (
                dpo(*logp, label_smoothing=0.2, reduction="none"),
                F.binary_cross_entropy_with_logits(
                    0.1 * _lead(*logp), torch.full_like(logp[0], 0.8), reduction="none"
                ),
            ),
        ),
        Fact(
            "A pair and the same pair exchanged differ by minus beta times the lead h",
            lambda c, r, c0, r0: (
                dpo(c, r, c0, r0, reduction="none") - dpo(r, c, r0, c0, reduction="none"),
                -0.1 * _lead(c, r, c0, r0),
            ),
        ),
        Fact(
            "The same number added to both answers of the policy changes nothing, so both may "
            "become less likely while the loss falls",
            lambda c, r, c0, r0: (dpo(c - 9, r - 9, c0, r0), dpo(c, r, c0, r0)),
        ),
        convex(why="softplus of a linear function"),
    ),
    stability="Both terms are log-sigmoids of the lead, in float64 for each pair.",
    notes="Without smoothing no finite lead is enough. Rewards are read off as beta times "
    "(policy - reference).",
    related=("cross_entropy",),
    also=("DPO", "preference learning", "alignment", "RLHF", "Bradley-Terry", "cDPO"),
    in_torch="-F.logsigmoid(0.1 * ((policy_chosen_logp - policy_rejected_logp) - "
    "(ref_chosen_logp - ref_rejected_logp))).mean()",
    use="Pairs of answers are given of which one is preferred, and a language model is "
    "to follow without a reward model.",
    avoid="Only single answers are judged, or both answers of a pair must not become "
    "less likely: watch the log-probabilities themselves.",
)
def dpo(
    policy_chosen_logp: torch.Tensor,
    policy_rejected_logp: torch.Tensor,
    ref_chosen_logp: torch.Tensor,
    ref_rejected_logp: torch.Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Direct preference optimisation: the policy has to raise the chosen answer over the rejected.

    Log-probabilities, in nats, are sums over the tokens of an answer. Without a reference model
    give zeros for both of its tensors.
    """
    answers = (policy_chosen_logp, policy_rejected_logp, ref_chosen_logp, ref_rejected_logp)
    reward = beta * _lead(*(logp.to(row_dtype(logp)) for logp in answers))
    return (1 - label_smoothing) * softplus(-reward) + label_smoothing * softplus(reward)
