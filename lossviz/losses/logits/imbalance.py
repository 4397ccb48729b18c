"""Cross-entropy when the classes of training are not those of the test."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    Rows,
    Source,
    convex,
    declare,
    exact_by_rows,
)
from ...declaration.kinds import COUNTS
from ...declaration.rows import row_slopes
from .crossentropy import cross_entropy

WITH_COUNTS = Inputs(
    *CLASS_LOGITS.arguments,
    Argument("class_counts", COUNTS, "K", "Of the training set, not of the batch"),
)


@declare(
    family="imbalance",
    inputs=WITH_COUNTS,
    latex=r"\ell(z, y) = -\log \frac{n_y\, e^{z_y}}{\sum_k n_k\, e^{z_k}}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z} = \tilde p - e_y, \qquad \tilde p_k \propto n_k e^{z_k}",
        lambda z, y, n: (z + n.log()).softmax(-1) - F.one_hot(y, z.shape[-1]),
    ),
    source=Source("ren2020balanced", "eq. 3 to 4"),
    facts=(
        Fact(
            "Equal counts: cross-entropy",
            lambda z, y, n: (
                balanced_softmax_ce(z, y, torch.full_like(n, 7.0), reduction="none"),
                cross_entropy(z, y, reduction="none"),
            ),
        ),
        Fact(
            "Only shares count: priors serve as well",
            lambda z, y, n: (
                balanced_softmax_ce(z, y, n / n.sum(), reduction="none"),
                balanced_softmax_ce(z, y, n, reduction="none"),
            ),
        ),
        Fact(
            "Cross-entropy of the logits plus log counts",
            lambda z, y, n: (
                balanced_softmax_ce(z, y, n, reduction="none"),
                F.cross_entropy(z + n.log(), y, reduction="none"),
            ),
        ),
        convex(why="cross-entropy of shifted logits"),
    ),
    stability="The margin of the shifted logits in float64, as cross_entropy: exact in both tails.",
    notes="Train with the counts, predict without them: the argmax of the bare logits is for "
    "balanced classes. The same shift subtracted after training with cross-entropy (post-hoc logit "
    "adjustment) is the rival to try first. A class without examples has no log count: leave it "
    "out, or give it a count of 1.",
    related=("cross_entropy",),
    also=(
        "class imbalance",
        "long-tailed recognition",
        "logit adjustment",
        "class prior",
        "Meta-Softmax",
    ),
    in_torch="F.cross_entropy(logits + class_counts.log(), target)",
    use="Classes are rare in training but equally important, or equally frequent, when "
    "the model is used.",
    avoid="The classes will be as unbalanced in use as in training: plain cross-entropy "
    "already has the right prior.",
)
def balanced_softmax_ce(
    logits: torch.Tensor, target: torch.Tensor, class_counts: torch.Tensor
) -> torch.Tensor:
    """Balanced softmax: cross-entropy that adds to each logit the log count of its class."""
    return _balanced(logits, target, class_counts.log().expand(logits.shape))


def _slopes(logits: torch.Tensor, target: torch.Tensor, shift: torch.Tensor) -> Any:
    return row_slopes(lambda row: row.nll, logits + shift, target)


@partial(exact_by_rows, slopes=_slopes)
def _balanced(logits: torch.Tensor, target: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    return Rows(logits + shift, target).nll
