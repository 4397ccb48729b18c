"""Being nearly right: wrong classes that are near the label cost less."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    declare,
    exact_by_rows,
    not_convex,
    row_dtype,
)
from ...declaration.kinds import EMBEDDINGS

WITH_EMBEDDINGS = Inputs(
    *CLASS_LOGITS.arguments,
    Argument(
        "embeddings",
        replace(EMBEDDINGS, learnt=False),
        "K D",
        "One for each class, of any length; gets no gradient",
    ),
)


def _costs(target: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """One minus the cosine (..., K) of the label's unit vector and each other."""
    costs = 1 - F.embedding(target, unit) @ unit.mT
    itself = target.unsqueeze(-1) == torch.arange(len(unit), device=target.device)
    return costs.masked_fill(itself, 0.0).clamp_min(0.0)


def _gradient(z: torch.Tensor, y: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    q, costs = z.softmax(-1), _costs(y, F.normalize(embeddings, dim=-1))
    return q * (costs - (q * costs).sum(-1, keepdim=True))


def _at_right_angles(
    z: torch.Tensor, y: torch.Tensor, _embeddings: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    apart = torch.eye(z.shape[-1]).double()
    at_label = z.softmax(-1).gather(-1, y[:, None])[:, 0]
    return emo(z, y, apart, reduction="none"), 1 - at_label


def _of_the_mean(
    z: torch.Tensor, y: torch.Tensor, embeddings: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    unit = F.normalize(embeddings, dim=-1)
    expected = z.softmax(-1) @ unit
    return emo(z, y, embeddings, reduction="none"), 1 - (unit[y] * expected).sum(-1)


@declare(
    family="relatives",
    inputs=WITH_EMBEDDINGS,
    latex=r"\ell(z, y) = \sum_k p_k\, (1 - \cos(e_y, e_k)) = "
    r"1 - \hat e_y^\top \sum_k p_k\, \hat e_k",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = p_k \big( C_{yk} - \textstyle\sum_j p_j C_{yj} "
        r"\big), \qquad C_{yk} = 1 - \cos(e_y, e_k)",
        _gradient,
    ),
    source=Source(
        "ren2024emo",
        "section 3",
        "the paper adds it to cross-entropy with a weight that is held fixed: half of each in the "
        "value of cross-entropy",
    ),
    facts=(
        Fact("Embeddings at right angles: one minus the label's probability", _at_right_angles),
        Fact("One minus the cosine with the expected embedding", _of_the_mean),
        Fact(
            "All embeddings alike: 0 (both sides plus 1)",
            lambda z, y, e: (
                1 + emo(z, y, torch.ones_like(e), reduction="none"),
                torch.ones(len(z)).double(),
            ),
        ),
        not_convex(why="an average of costs under a softmax"),
    ),
    stability="A cost of 0 at the label itself, so what is left is a sum of positive terms.",
    notes="Equal to the earth mover's distance from a single label; from a label distribution it "
    "is above it, and least at one class: it is not proper. It pulls towards classes that are near "
    "the label, cross-entropy from all others alike. Use it beside cross-entropy.",
    related=("cross_entropy", "mae"),
    also=("EMO", "DEMO", "Wasserstein", "optimal transport", "semantic distance of tokens"),
    use="Some wrong classes are nearly right, and embeddings say which.",
    avoid="It would stand alone, or probabilities are wanted.",
)
def emo(logits: torch.Tensor, target: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """Earth mover's distance to the label: mass on a class costs how far it is from the label."""
    dtype = row_dtype(embeddings)
    unit = F.normalize(embeddings.detach().to(dtype), dim=-1)
    if torch._C._are_functorch_transforms_active():  # a batch of them reaches no keyword
        return _expected(logits.to(dtype), target, unit=unit)
    return _by_rows(logits, target, unit=unit)


def _expected(logits: torch.Tensor, target: torch.Tensor, *, unit: torch.Tensor) -> torch.Tensor:
    return relative_mean(logits, _costs(target, unit))


_by_rows = exact_by_rows(_expected)


def relative_mean(logits: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """The mean (...) of costs (..., K) under a softmax, in which sure probabilities lose no digit.

    It is counted from the cost of the likeliest class, whose own part is then exactly 0: so the
    gradient is a sum of small terms where the softmax is nearly one class.
    """
    top = costs.gather(-1, logits.argmax(-1, keepdim=True))
    return top.squeeze(-1) + (logits.softmax(-1) * (costs - top)).sum(-1)
