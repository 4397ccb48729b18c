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
    label="angle added to the target's (radians)", ends=("none", "large"),
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
    also=("additive angular margin", "face recognition", "metric learning"),
    use="Embeddings are to be compared by their angle afterwards, with classes never "
    "seen in training: faces, retrieval.",
    avoid="The classes are fixed and probabilities are wanted, or labels are noisy: the "
    "margin insists on all of them.",
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


def _bound(loss: Loss) -> None:
    """A simplex reaches the bound of balanced batches; what is not balanced may go below."""
    frame = torch.eye(4, dtype=torch.float64) - 1 / 4
    batch = loss.inputs.example(N=400, D=4)[0]
    for scale in (1.0, 16.0):
        bound = math.log1p(3 * math.exp(-scale * 4 / 3))
        reached = loss(frame, frame, torch.arange(4), scale=scale)
        torch.testing.assert_close(reached.item(), bound)
        assert loss(batch, frame, torch.arange(400) % 4, scale=scale) >= bound


@declare(
    family="angular margin",
    inputs=CLASS_HEAD,
    latex=r"\ell = -\log \frac{e^{s \cos \theta_y}}{\sum_j e^{s \cos \theta_j}}, \qquad "
    r"\cos \theta_j = \frac{x^\top w_j}{\lVert x \rVert\, \lVert w_j \rVert}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial x} = s\, \frac{I - u u^\top}{\lVert x \rVert} \sum_j "
        r"(p_j - [j = y])\, \frac{w_j}{\lVert w_j \rVert}, \qquad u = \frac{x}{\lVert x \rVert}",
        lambda x, w, y, *, scale: _pull(x, w, y, scale=scale, margin=0.0),
    ),
    parameters=(SCALE,),
    source=Source("wang2017normface", "eq. 4 and proposition 2"),
    facts=(
        Fact(
            "ArcFace without a margin",
            lambda x, w, y: (
                normalized_softmax(x, w, y, scale=16.0, reduction="none"),
                arcface(x, w, y, scale=16.0, margin=0.0, reduction="none"),
            ),
        ),
        Fact(
            "Averaged over classes alike it is at least log(1 + (C - 1) exp(-s C / (C - 1))), "
            "which a simplex reaches: a small scale cannot fit.",
            holds=_bound,
        ),
        Fact(
            "A small scale leaves log C, whatever the angles (at 1e-12)",
            lambda x, w, y: (
                normalized_softmax(x, w, y, scale=1e-12),
                torch.tensor(len(w)).double().log(),
            ),
        ),
    ),
    stability="The target's margin over the log-sum-exp of the others. A zero embedding or class "
    "weight has cosine 0 with everything, and no gradient.",
    notes="There is no bias, and lengths do not matter. The scale is 1 over a temperature; 16 to "
    "64 are common. New classes: compare with the direction of the mean of their few examples.",
    related=("arcface", "cross_entropy", "nt_xent"),
    also=("NormFace", "cosine softmax", "hyperspherical embedding", "metric learning"),
    use="Features are to be compared by their angle, and no margin is wanted.",
    avoid="The scale would be near 1: then no angles fit the labels.",
)
def normalized_softmax(
    embeddings: torch.Tensor,
    class_weights: torch.Tensor,
    target: torch.Tensor,
    *,
    scale: float = 16.0,
) -> torch.Tensor:
    """Normalised softmax: cross-entropy of scaled cosines between embeddings and class weights."""
    logits = scale * cosines(embeddings, class_weights)
    return softplus(-by_rows(target_margin)(logits, target))
