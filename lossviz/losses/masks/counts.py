"""Scores of hard decisions made soft: the counts of a confusion matrix that can be learnt from."""

from __future__ import annotations

import torch

from ...declaration import Argument, Fact, Inputs, Source, declare, number, row_dtype
from ...declaration.kinds import PROBABILITIES, TRUTH
from .overlap import dice, share

SCORES = ("accuracy", "fbeta", "gmean", "balanced_accuracy")

DECISIONS = Inputs(
    Argument("probability", PROBABILITIES, "N", "Of the positive class"),
    Argument("target", TRUTH, "N"),
    rows="",
)
STEEPNESS = number(
    "steepness", "L", "(0, inf)", (3.0, 113.0, 10.0),
    "how sharply a probability is cut at one half",
    "no decision is made and nothing moves",
    "the hard score, which has no gradient",
    label="how sharply one half cuts", ends=("no decision", "the hard score"),
)  # fmt: skip
BETA = number(
    "beta", r"\beta", "(0, inf)", (0.5, 3.0, 0.5),
    "weight of recall against precision in F-beta",
    "precision alone", "recall alone",
)  # fmt: skip


def _hard(score: str, p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    said = p > 0.5
    found, invented = ((said & x).sum().double() for x in (t, ~t))
    positives, negatives = t.sum().double(), (~t).sum().double()
    rates = found / positives, 1 - invented / negatives
    return {
        "accuracy": (said == t).double().mean(),
        "fbeta": 2 * found / (positives + found + invented),
        "gmean": (rates[0] * rates[1]).sqrt(),
        "balanced_accuracy": (rates[0] + rates[1]) / 2,
    }[score]


def _is_hard(score: str) -> Fact:
    return Fact(
        f"A large L gives one minus the hard score: {score.replace('_', ' ')} (at 1e6)",
        lambda p, t: (anyloss(p, t, steepness=1e6, score=score), 1 - _hard(score, p, t)),
    )


@declare(
    family="overlap",
    inputs=DECISIONS,
    latex=r"\ell(p, t) = 1 - \frac{(1 + \beta^2)\, TP}{(1 + \beta^2)\, TP + \beta^2 FN + FP}, "
    r"\qquad TP = \sum_i t_i a_i, \quad FN = \sum_i t_i (1 - a_i), \quad FP = \sum_i (1 - t_i)\, "
    r"a_i, \quad a_i = \frac{1}{1 + e^{-L (p_i - 1/2)}}",
    parameters=(STEEPNESS, BETA),
    source=Source(
        "han2024anyloss",
        "section 3",
        "the published code divides by the size of the training set inside a batch, and its "
        "gradient of the G-mean, written by hand, is four times the true one",
    ),
    facts=(
        Fact(
            "F1: Dice of the amplified probabilities, without smoothing",
            lambda p, t: (
                anyloss(p, t),
                dice((73 * (p - 0.5)).sigmoid()[None, None], t[None, None], smooth=0.0)[()],
            ),
        ),
        *map(_is_hard, SCORES),
        Fact(
            "Exchanging the classes changes neither accuracy nor balanced accuracy",
            lambda p, t: (
                torch.stack([anyloss(p, t, score=s) for s in ("accuracy", "balanced_accuracy")]),
                torch.stack(
                    [anyloss(1 - p, ~t, score=s) for s in ("accuracy", "balanced_accuracy")]
                ),
            ),
        ),
    ),
    stability="What is missing is counted, not one minus the rest, so a score near 1 keeps its "
    "digits. At L = 73 the gradient of a probability away from one half is below rounding: start "
    "near one half.",
    notes="A loss of the whole batch: a mean over batches is not the score of all examples. A "
    "class that is not in the batch counts as found. Tune the threshold of cross-entropy before "
    "you believe in a gain.",
    related=("dice", "tversky_elementwise"),
    view={"starts": {"steepness": 13.0}},
    also=("F1 loss", "F-beta", "balanced accuracy", "G-mean", "soft confusion matrix"),
    use="The number that is reported is a score of hard decisions, and batches are large enough to "
    "have one.",
    avoid="The threshold may be tuned after training, or probabilities are wanted: cross-entropy.",
)
def anyloss(
    probability: torch.Tensor,
    target: torch.Tensor,
    *,
    steepness: float = 73.0,
    beta: float = 1.0,
    score: str = "fbeta",
) -> torch.Tensor:
    """AnyLoss: one minus a score of decisions, whose threshold is softened.

    score : "fbeta" (default), "accuracy", "gmean" (the root of the product of both classes'
        recalls) or "balanced_accuracy" (their mean).

    Raises ValueError for another score.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {SCORES}, got {score!r}")
    p = probability.to(row_dtype(probability))
    lead = torch.where(target, 1.0, -1.0) * steepness * (p - 0.5)
    right, wrong = lead.sigmoid(), (-lead).sigmoid()
    found, missed, invented = (
        torch.where(which, x, 0.0).sum()
        for which, x in ((target, right), (target, wrong), (~target, wrong))
    )
    if score == "accuracy":
        return wrong.mean()
    if score == "fbeta":
        errors = beta**2 * missed + invented
        return share(errors, (1 + beta**2) * found + errors)
    positives = target.sum().to(p.dtype)
    one, other = share(missed, positives), share(invented, len(target) - positives)
    if score == "balanced_accuracy":
        return (one + other) / 2
    product = (1 - one) * (1 - other)
    return (one + other - one * other) / (1 + product.clamp_min(torch.finfo(p.dtype).tiny).sqrt())
