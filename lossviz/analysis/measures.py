"""Measures of a classifier's softmax that accumulate over batches: accuracy and entropy."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration import CLASS_LOGITS, Argument, Fact, Inputs, Source, measure
from ..declaration.kinds import LOGITS
from ..declaration.rows import entropy_of_logits


class Correct(NamedTuple):
    """How many rows were right, of how many."""

    correct: torch.Tensor
    rows: torch.Tensor


Pair = tuple[torch.Tensor, torch.Tensor]


def _all_right(z: torch.Tensor, _y: torch.Tensor) -> Pair:
    return top_label_accuracy(z, z.argmax(-1)), torch.tensor(1.0).double()


def _order_alone(z: torch.Tensor, y: torch.Tensor) -> Pair:
    return top_label_accuracy(z, y), top_label_accuracy(z.sinh(), y)


def _share(sums: Correct) -> torch.Tensor:
    return sums.correct.double() / sums.rows


@measure(
    family="accuracy",
    latex=r"\frac1N \sum_i \big[\arg\max_k z_{ik} = y_i\big]",
    inputs=CLASS_LOGITS,
    finish=_share,
    better="higher",
    units="share",
    source=Source("hastie2009elements", "the zero-one loss"),
    facts=(
        Fact("Labels that are the largest logits are all right", _all_right),
        Fact("An increasing function of the logits changes nothing", _order_alone),
    ),
    related=("mean_entropy",),
)
def top_label_accuracy(
    logits: torch.Tensor, target: torch.Tensor, *, kept: torch.Tensor | None
) -> Correct:
    """Accuracy: the share of rows whose largest logit is the target's.

    Of equal logits the first counts, as in argmax. A row with a NaN is wrong. Without rows NaN.
    """
    right = (logits.argmax(-1) == target) & ~logits.isnan().any(-1)
    counted = torch.ones_like(right) if kept is None else kept
    return Correct((right & counted).sum(), counted.sum())


class Total(NamedTuple):
    """A sum over rows, and their number."""

    total: torch.Tensor
    rows: torch.Tensor


def _undecided(z: torch.Tensor) -> Pair:
    return mean_entropy(z * 0), torch.tensor(z.shape[-1]).double().log()


def _by_torch(z: torch.Tensor) -> Pair:
    return mean_entropy(z), torch.distributions.Categorical(logits=z).entropy().mean()


def _certain(z: torch.Tensor) -> Pair:
    return 1 + mean_entropy(1e6 * z), torch.tensor(1.0).double()


def _mean(sums: Total) -> torch.Tensor:
    return sums.total / sums.rows


@measure(
    family="entropy",
    latex=r"\frac1N \sum_i \Big(-\sum_k p_{ik} \log p_{ik}\Big)",
    inputs=Inputs(Argument("logits", LOGITS, "... K")),
    finish=_mean,
    better="neither",
    units="nats",
    source=Source("shannon1948mathematical", "section 6"),
    facts=(
        Fact("Equal logits: log K", _undecided),
        Fact("torch's entropy of the categorical distribution", _by_torch),
        Fact("A certain softmax: 0 (both sides plus 1)", _certain),
    ),
    related=("top_label_accuracy",),
)
def mean_entropy(logits: torch.Tensor) -> Total:
    """Mean entropy: how undecided the softmax is on average, in nats.

    A class that is ruled out (logit -inf) contributes 0. Without rows NaN.
    """
    rows = entropy_of_logits(logits)
    return Total(rows.sum(), torch.tensor(rows.numel(), device=rows.device))
