"""Contrastive losses: each view has to find its partner among the batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ...declaration import Fact, Gradient, Source, by_rows, declare, number, softplus
from ...declaration.margin import target_margin
from . import VIEWS
from .directions import cosines

TEMPERATURE = number(
    "temperature", r"\tau", "(0, inf)", (0.05, 1.0, 0.05),
    "what cosines are divided by",
    "only the hardest negative counts",
    "all negatives count alike, however near",
    ends=("the hardest alone", "all alike"),
)  # fmt: skip


def _similarities(
    z1: torch.Tensor, z2: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled cosines (2N, 2N) of all views without those with themselves, and each partner."""
    views = torch.cat([z1, z2])
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    scaled = cosines(views, views) / temperature
    partner = torch.arange(len(views), device=views.device).roll(len(z1))
    return scaled.masked_fill(itself, -math.inf), partner


def _pull(z1: torch.Tensor, z2: torch.Tensor, *, temperature: float) -> torch.Tensor:
    similarities, partner = _similarities(z1, z2, temperature)
    force = similarities.softmax(-1) - F.one_hot(partner)
    views = torch.cat([z1, z2])
    direction = F.normalize(views, dim=-1)
    pull = (force + force.mT) @ direction / temperature
    across = pull - (pull * direction).sum(-1, keepdim=True) * direction
    return (across / views.norm(dim=-1, keepdim=True))[: len(z1)]


def _hinge(z1: torch.Tensor, z2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    similarities, partner = _similarities(z1, z2, 1.0)
    lead = similarities.amax(1) - similarities.gather(1, partner[:, None])[:, 0]
    return 1e-4 * nt_xent(z1, z2, temperature=1e-4), lead.mean()


@declare(
    family="contrastive",
    inputs=VIEWS,
    latex=r"\ell_i = -\log \frac{e^{s_{i i^+}}}{\sum_{k \ne i} e^{s_{ik}}}, \qquad "
    r"s_{ik} = \frac{z_i^\top z_k}{\tau\, \lVert z_i \rVert\, \lVert z_k \rVert}",
    gradient=Gradient(
        r"\frac{\partial \sum_k \ell_k}{\partial z_i} = \frac{I - u_i u_i^\top}"
        r"{\tau\, \lVert z_i \rVert} \sum_{k \ne i} (p_{ik} + p_{ki} - 2 [k = i^+])\, u_k, \qquad "
        r"u_i = \frac{z_i}{\lVert z_i \rVert}, \quad p_{ik} \propto_k e^{s_{ik}}",
        _pull,
    ),
    parameters=(TEMPERATURE,),
    source=Source("chen2020simclr", "eq. 1"),
    facts=(
        Fact(
            "Cross-entropy over the cosines with all other views, the partner being the label",
            lambda z1, z2: (nt_xent(z1, z2), F.cross_entropy(*_similarities(z1, z2, 0.1))),
        ),
        Fact(
            "All embeddings equal: log(2 N - 1) at every temperature",
            lambda z1, z2: (
                nt_xent(z1[:1].expand_as(z1), z1[:1].expand_as(z1), temperature=0.02),
                torch.tensor(2.0 * len(z1) - 1).double().log(),
            ),
        ),
        Fact(
            "A single pair has no negatives and costs nothing (both sides plus 1)",
            lambda z1, z2: (1 + nt_xent(z1[:1], z2[:1]), torch.ones(()).double()),
        ),
        Fact(
            "As the temperature falls, the temperature times the loss becomes the hinge on the "
            "hardest negative (at 1e-4)",
            _hinge,
            rtol=1e-3,
        ),
    ),
    stability="The positive's margin over the log-sum-exp of the negatives keeps its digits where "
    "the loss is nearly 0. A zero embedding has no direction: its cosine with everything is 0, and "
    "it gets no gradient.",
    notes="The gradient is at right angles to the embedding and falls with its length. SimCLR uses "
    "the temperatures 0.5 (CIFAR-10) and 0.1 (ImageNet).",
    related=("decoupled_softmax", "arcface", "cross_entropy"),
)
def nt_xent(z1: torch.Tensor, z2: torch.Tensor, *, temperature: float = 0.1) -> torch.Tensor:
    """NT-Xent: each view has to pick its partner out of all other views of the batch.

    Rows are the 2 N anchors: the views of `z1`, then those of `z2`. Lengths do not matter, the
    loss divides by them.
    """
    return softplus(-by_rows(target_margin)(*_similarities(z1, z2, temperature)))
