"""Segmentation when classes arrive one after another: background that was a class once."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    declare,
    exact_by_rows,
    monotone,
    number,
    softplus,
)
from ...declaration.kinds import PROBABILITIES
from ...declaration.numbers import check_count
from .crossentropy import cross_entropy

SEEN_BEFORE = Inputs(
    *CLASS_LOGITS.arguments,
    Argument(
        "seen",
        replace(PROBABILITIES, learnt=False, extremes=()),
        "...",
        "That the pixel is of an earlier class",
    ),
)
GAMMA = number(
    "gamma", r"\gamma", "[0, inf)", (0.0, 5.0, 0.5),
    "how strongly a detector of earlier classes is believed",
    "background costs what it costs", "only what looks new is background",
    label="how far the detector is believed", ends=("not at all", "wholly"),
)  # fmt: skip
THRESHOLD = number(
    "threshold", r"\theta", "[0, 1]", (0.0, 1.0, 0.1),
    "from where on the detector is taken as sure",
    "always", "never",
)  # fmt: skip


def _groups(target: torch.Tensor, classes: int, old: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which classes (..., K) are as good as the target: for foreground, and among earlier ones."""
    k = torch.arange(classes, device=target.device)
    y = target.unsqueeze(-1)
    foreground = (k > 0) == (y > 0)
    return foreground, torch.where(y < old, k < old, k == y)


def _weight(
    target: torch.Tensor, seen: torch.Tensor, gamma: float, threshold: float
) -> torch.Tensor:
    unseen = torch.where(seen > threshold, 0.0, 1 - seen) ** gamma
    return torch.where(target == 0, unseen, 1.0)


def _gradient(
    z: torch.Tensor, y: torch.Tensor, seen: torch.Tensor, *, gamma: float, threshold: float
) -> torch.Tensor:
    p = z.softmax(-1)
    ground, known = (
        p - (p * group) / (p * group).sum(-1, keepdim=True) for group in _groups(y, z.shape[-1], 1)
    )
    return _weight(y, seen, gamma, threshold).unsqueeze(-1) * ground + known


def _silent(
    z: torch.Tensor, y: torch.Tensor, seen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    ground = torch.stack([z[:, 0], z[:, 1:].logsumexp(-1)], -1)
    both = torch.nn.functional.cross_entropy(ground, (y > 0).long(), reduction="none")
    got = bacs_weighted_ce(z, y, 0 * seen, reduction="none")
    return got, both + cross_entropy(z, y, reduction="none")


@declare(
    family="imbalance",
    inputs=SEEN_BEFORE,
    latex=r"\ell(z, y, s) = -w \log \sum_{[k > 0] = [y > 0]} p_k - \log \sum_{k \sim y} p_k, "
    r"\qquad w = \begin{cases} (1 - s)^\gamma & y = 0,\ s \le \theta \\ 0^\gamma & y = 0,\ s > "
    r"\theta \\ 1 & y > 0 \end{cases}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = w\, \Big( p_k - \frac{p_k [[k > 0] = [y > 0]]}"
        r"{\sum_{[j > 0] = [y > 0]} p_j} \Big) + p_k - \frac{p_k [k \sim y]}{\sum_{j \sim y} p_j}",
        _gradient,
    ),
    parameters=(GAMMA, THRESHOLD),
    source=Source("elaraby2024bacs", "the background-aware cross-entropy"),
    facts=(
        Fact(
            "A detector that is silent: cross-entropy of background against foreground, plus that "
            "of the classes",
            _silent,
        ),
        Fact(
            "Background that was surely a class before leaves only the second term",
            lambda z, y, s: (
                bacs_weighted_ce(z, 0 * y, 0 * s + 1, reduction="none"),
                cross_entropy(z, 0 * y, reduction="none"),
            ),
        ),
        Fact(
            "All earlier classes are one class to the second term: a pixel that was labelled with "
            "any of them costs the same there",
            lambda z, y, s: (
                bacs_weighted_ce(z, 0 * y + 1, s, old_classes=3, reduction="none"),
                bacs_weighted_ce(z, 0 * y + 2, s, old_classes=3, reduction="none"),
            ),
        ),
        monotone("gamma"),
    ),
    stability="Sums of probabilities are margins of log-sum-exps, exact in both tails.",
    notes="Class 0 is the background. The second term takes the classes before `old_classes` as "
    "one (y ~ k), since earlier objects are labelled background now. The published mean is over "
    "all pixels, ignored ones too; here it is over those that count.",
    related=("cross_entropy", "balanced_softmax_ce"),
    breaks=("order of K",),
    also=("BACS", "continual segmentation", "background shift", "class-incremental learning"),
    use="Classes arrive in steps, and earlier ones are labelled background in new images.",
    avoid="All classes are labelled in all images: plain cross-entropy.",
)
def bacs_weighted_ce(
    logits: torch.Tensor,
    target: torch.Tensor,
    seen: torch.Tensor,
    *,
    gamma: float = 2.0,
    threshold: float = 0.5,
    old_classes: int = 1,
    merged: bool = True,
) -> torch.Tensor:
    """Background-aware cross-entropy: background counts less where it looks like an earlier class.

    old_classes : how many classes came before, background among them; at least 1 (default), less
        than K.
    merged : whether the second term takes these as one, default yes; without it is cross-entropy.

    Raises ValueError for fewer than 2 classes or `old_classes` outside [1, K).
    """
    classes = logits.shape[-1]
    if classes < 2:
        raise ValueError(f"logits must have at least 2 classes, got {classes}")
    old = check_count("old_classes", old_classes)
    if old >= classes:
        raise ValueError(
            f"old_classes must be less than the number of classes, {classes}, got {old}"
        )
    weight = _weight(target, seen, gamma, threshold)
    return _two_terms(logits, target, weight, old=old if merged else 1)


@exact_by_rows
def _two_terms(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, *, old: int
) -> torch.Tensor:
    ground, known = _groups(target, logits.shape[-1], old)
    return weight * _surprise(logits, ground) + _surprise(logits, known)


def _surprise(logits: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Minus the log-probability of a group of classes."""
    least = torch.finfo(logits.dtype).min
    inside, outside = (logits.masked_fill(mask, least).logsumexp(-1) for mask in (~group, group))
    return softplus(outside - inside)
