"""Softmax over cosines with class weights, the target's angle made wider by a margin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ...declaration import Fact, Gradient, Loss, Source, by_rows, declare, number, softplus
from ...declaration.margin import target_margin
from . import CLASS_HEAD
from .directions import cosine_and_sine, cosines

SCALE = number(
    "scale", "s", "(0, inf)", (1.0, 64.0, 1.0),
    "what cosines are multiplied by",
    "all classes count alike, whatever their angles",
    "only the nearest other class counts",
    ends=("all classes alike", "the nearest alone"),
)  # fmt: skip
MARGIN = number(
    "margin", "m", f"[0, {math.pi}]", (0.0, 1.0, 0.05),
    "angle in radians that is added to that of the target",
    "softmax over scaled cosines",
    "the target scores as if it lay opposite",
    label="angle added to the target's (radians)",
    ends=("none", "large"),
)  # fmt: skip


def widened(
    embeddings: torch.Tensor, weights: torch.Tensor, margin: float, beyond_pi: str
) -> torch.Tensor:
    """cos(theta + margin) (...) of the angles between embeddings and weights, both (..., D)."""
    if beyond_pi not in ("none", "linear"):
        raise ValueError(f"beyond_pi must be 'none' or 'linear', got {beyond_pi!r}")
    cosine, sine = cosine_and_sine(embeddings, weights)
    wide = cosine * math.cos(margin) - sine * math.sin(margin)
    if beyond_pi == "none":
        return wide
    return torch.where(cosine < -math.cos(margin), cosine - margin * math.sin(margin), wide)


def _pull(
    x: torch.Tensor, weights: torch.Tensor, y: torch.Tensor, *, scale: float, margin: float
) -> torch.Tensor:
    u, w = F.normalize(x, dim=-1), F.normalize(weights, dim=-1)
    target = F.one_hot(y, len(w)) == 1
    angle = (u @ w.mT).acos()
    logits = scale * torch.where(target, (angle + margin).cos(), angle.cos())
    slope = torch.where(target, (angle + margin).sin() / angle.sin(), 1.0)
    pull = scale * ((logits.softmax(-1) - target.double()) * slope) @ w
    return (pull - (pull * u).sum(-1, keepdim=True) * u) / x.norm(dim=-1, keepdim=True)


def _turns_back(loss: Loss) -> None:
    angle = torch.linspace(0.0, math.pi, 41, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)
    weights = torch.eye(3, dtype=torch.float64)[[0, 2]]  # the other class is nowhere nearer
    short_of_pi = (angle[1:] + angle[:-1]) / 2 + 0.5 < math.pi
    for beyond_pi, all_the_way in (("none", False), ("linear", True)):
        rows = loss(circle, weights, torch.zeros(41).long(), beyond_pi=beyond_pi, reduction="none")
        assert torch.equal(rows.diff() > 0, short_of_pi | all_the_way)


@declare(
    family="angular margin",
    inputs=CLASS_HEAD,
    latex=r"\ell = -\log \frac{e^{s \cos(\theta_y + m)}}"
    r"{e^{s \cos(\theta_y + m)} + \sum_{j \ne y} e^{s \cos \theta_j}}, \qquad "
    r"\cos \theta_j = \frac{x^\top w_j}{\lVert x \rVert\, \lVert w_j \rVert}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial x} = s\, \frac{I - u u^\top}{\lVert x \rVert} \sum_j "
        r"(p_j - [j = y])\, \psi_j'\, \frac{w_j}{\lVert w_j \rVert}, \qquad \psi_y' = "
        r"\frac{\sin(\theta_y + m)}{\sin \theta_y}, \quad \psi_j' = 1, \quad "
        r"u = \frac{x}{\lVert x \rVert}",
        _pull,
    ),
    parameters=(SCALE, MARGIN),
    source=Source("deng2019arcface", "eq. 3"),
    facts=(
        Fact(
            "margin = 0 is cross-entropy of scaled cosines (normalised softmax)",
            lambda x, w, y: (
                arcface(x, w, y, margin=0.0, reduction="none"),
                F.cross_entropy(
                    64 * F.normalize(x, dim=-1) @ F.normalize(w, dim=-1).mT, y, reduction="none"
                ),
            ),
        ),
        Fact(
            "A small scale leaves log C, whatever the angles (at 1e-12)",
            lambda x, w, y: (arcface(x, w, y, scale=1e-12), torch.tensor(len(w)).double().log()),
        ),
        Fact(
            "Once the angle passes pi - m, turning further away lowers the loss again; not with "
            'beyond_pi="linear".',
            holds=_turns_back,
        ),
    ),
    stability="cos(theta + m) is cos(theta) cos(m) - sin(theta) sin(m), the sine being the length "
    "of what the embedding has across the class weight: no arccos, whose slope at cosine 1 is "
    "infinite. On its class weight itself the loss has a kink; the gradient of the margin there is "
    "0. A zero embedding or class weight has cosine 0 with everything, and no gradient.",
    notes="Differs from CosFace in the place of the margin: there it is taken off the cosine.",
    related=("cross_entropy", "nt_xent"),
)
def arcface(
    embeddings: torch.Tensor,
    class_weights: torch.Tensor,
    target: torch.Tensor,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    beyond_pi: str = "none",
) -> torch.Tensor:
    """ArcFace: softmax over cosines, the target's angle being wider by a margin.

    beyond_pi : "none" (default) keeps cos(theta + m) where the sum passes pi, as the authors' code
        does; "linear" puts cos(theta) - m sin(m) there, so that the loss grows with the angle
        throughout.
    """
    own = widened(embeddings, class_weights[target], margin, beyond_pi).unsqueeze(-1)
    logits = cosines(embeddings, class_weights).scatter(-1, target.unsqueeze(-1), own)
    return softplus(-by_rows(target_margin)(scale * logits, target))
