"""Losses that keep classes apart in space: by prototypes, and by the angles of all pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, monotone, number
from ...declaration.kinds import CLASS_WEIGHTS, EMBEDDINGS, labels
from . import GROUPED
from .directions import cosines

EPISODE = Inputs(
    Argument("queries", EMBEDDINGS, "N D"),
    Argument("prototypes", CLASS_WEIGHTS, "C D", "The mean embedding of each class, say"),
    Argument("target", labels("C", ignorable=True), "N"),
    rows="N",
)
MARGIN = number(
    "margin", "m", "[0, inf)", (0.0, 2.0, 0.1),
    "how much nearer the own prototype has to be than the next",
    "it is enough to be on the right side",
    "every query counts, however clear",
    label="lead that is asked for", ends=("none", "large"),
)  # fmt: skip
GAMMA = number(
    "gamma", r"\gamma", "[0, inf)", (0.0, 3.0, 0.25),
    "weight of pairs of two classes",
    "classes are pulled together and may coincide",
    "right angles between classes count alone",
    label="weight of pairs of two classes", ends=("pull alone", "right angles"),
)  # fmt: skip


def _distances(queries: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Euclidean (N, C), with the 1e-6 under the root that makes them smooth at 0."""
    apart = queries.unsqueeze(1) - prototypes
    return (apart.square().sum(-1) + 1e-6).sqrt()


def _leads(queries: torch.Tensor, prototypes: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    distance = _distances(queries, prototypes)
    own = target.unsqueeze(1) == torch.arange(len(prototypes), device=target.device)
    nearest = distance.masked_fill(own, torch.inf).amin(-1)
    return nearest - torch.where(own, distance, 0.0).sum(-1)


def _push(
    queries: torch.Tensor, prototypes: torch.Tensor, target: torch.Tensor, *, margin: float
) -> torch.Tensor:
    distance = _distances(queries, prototypes)
    own = F.one_hot(target, len(prototypes)) == 1
    rival = distance.masked_fill(own, torch.inf).argmin(-1)
    towards = (queries.unsqueeze(1) - prototypes) / distance.unsqueeze(-1)
    rows = torch.arange(len(queries))
    wrong = _leads(queries, prototypes, target) < margin
    return wrong[:, None] * (towards[rows, target] - towards[rows, rival])


def _as_torch(
    x: torch.Tensor, c: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    rival = torch.cdist(x, c).scatter(1, y[:, None], torch.inf).argmin(1)
    theirs = F.triplet_margin_loss(x, c[y], c[rival], margin=5.0, reduction="none")
    return proto_triplet(x, c, y, margin=5.0, reduction="none"), theirs


@declare(
    family="few-shot",
    inputs=EPISODE,
    latex=r"\ell_i = \big[ d(x_i, c_{y_i}) - \min_{k \ne y_i} d(x_i, c_k) + m \big]_+, \qquad "
    r"d(x, c) = \sqrt{\lVert x - c \rVert^2 + 10^{-6}}",
    gradient=Gradient(
        r"\frac{\partial \ell_i}{\partial x_i} = [\ell_i > 0] \Big( \frac{x_i - c_{y_i}}"
        r"{d(x_i, c_{y_i})} - \frac{x_i - c_j}{d(x_i, c_j)} \Big), \qquad "
        r"j = \arg\min_{k \ne y_i} d(x_i, c_k)",
        _push,
    ),
    parameters=(MARGIN,),
    source=Source("mendezruiz2023susana", "the proto-triplet loss"),
    facts=(
        Fact(
            "torch's triplet margin loss with the nearest other prototype as the negative, but for "
            "where the two put 1e-6",
            _as_torch,
            rtol=1e-4,
        ),
        Fact(
            "A query on its prototype, with all others farther than the margin, costs nothing "
            "(both sides plus 1)",
            lambda x, c, y: (
                1 + proto_triplet(9 * c[y], 9 * c, y, margin=0.1, reduction="none"),
                torch.ones(len(y)).double(),
            ),
        ),
        monotone("margin", "up"),
    ),
    breaks=("length of D",),
    stability="Distances are of differences, not of squares that cancel; the root of 1e-6 keeps "
    "the slope finite where a query meets a prototype.",
    notes="Gradients reach the prototypes as well: where they are means of a support set, detach "
    "them or not on purpose. With one class there is no rival, and the loss is 0.",
    related=("normalized_softmax", "arcface", "l2_svm"),
    also=("triplet loss", "prototypical networks", "few-shot learning", "metric learning"),
    use="Few examples of each class make a prototype, and queries are to lie nearest to their own.",
    avoid="Probabilities are wanted, or classes are many: only one rival of each query learns.",
)
def proto_triplet(
    queries: torch.Tensor, prototypes: torch.Tensor, target: torch.Tensor, *, margin: float = 0.5
) -> torch.Tensor:
    """Prototype triplet: a query has to be nearer to its prototype, by a margin, than to others."""
    return (margin - _leads(queries, prototypes, target)).clamp_min(0.0)


def pair_means(embeddings: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cosine of pairs of one class, mean absolute cosine of others; 0 where there are none."""
    cosine = cosines(embeddings, embeddings)
    same = target[:, None] == target
    alike = same & ~torch.eye(len(target), dtype=torch.bool, device=target.device)
    within, across = (
        torch.where(pairs, x, 0.0).sum() / pairs.sum().clamp_min(1)
        for pairs, x in ((alike, cosine), (~same, cosine.abs()))
    )
    return within, across


def _turn(embeddings: torch.Tensor, target: torch.Tensor, *, gamma: float) -> torch.Tensor:
    unit = F.normalize(embeddings, dim=-1)
    same = target[:, None] == target
    others = ~torch.eye(len(target), dtype=torch.bool)
    alike, apart = (same & others).double(), (~same).double()
    weights = gamma * apart * (unit @ unit.mT).sign() / apart.sum().clamp_min(1)
    pull = 2 * (weights - alike / alike.sum().clamp_min(1)) @ unit
    across = pull - (pull * unit).sum(-1, keepdim=True) * unit
    return across / embeddings.norm(dim=-1, keepdim=True)


@declare(
    family="few-shot",
    inputs=GROUPED,
    latex=r"\ell = 1 - \operatorname{mean}_{y_i = y_j,\, i \ne j} \cos(x_i, x_j) + \gamma "
    r"\operatorname{mean}_{y_i \ne y_j} \lvert \cos(x_i, x_j) \rvert",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial x_i} = 2\, \frac{I - u_i u_i^\top}{\lVert x_i \rVert} "
        r"\Big( \frac{\gamma}{n_{\ne}} \sum_{y_j \ne y_i} \operatorname{sign}(u_i^\top u_j)\, u_j "
        r"- \frac{1}{n_=} \sum_{y_j = y_i,\, j \ne i} u_j \Big), \qquad "
        r"u_i = \frac{x_i}{\lVert x_i \rVert}",
        _turn,
    ),
    parameters=(GAMMA,),
    source=Source(
        "ranasinghe2021opl",
        "the orthogonal projection loss",
        "absolute values are taken pair by pair, as in the authors' code, which also adds 1e-6 to "
        "both numbers of pairs",
    ),
    facts=(
        Fact(
            "One direction for each class, at right angles: 0 (both sides plus 1)",
            lambda x, y: (
                1 + opl(3 * torch.eye(4).double()[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])),
                torch.ones(()).double(),
            ),
        ),
        Fact(
            "All embeddings alike, in two classes: gamma",
            lambda x, y: (
                opl(x[:1].expand(4, -1), torch.tensor([0, 0, 1, 1]), gamma=0.7),
                torch.tensor(0.7, dtype=torch.float64),
            ),
        ),
        Fact(
            "A batch without two of a class: 1 plus gamma times the mean absolute cosine",
            lambda x, y: (
                opl(x, torch.arange(len(x)), gamma=2.0),
                1 + 2 * pair_means(x, torch.arange(len(x)))[1],
            ),
        ),
        Fact(
            "Opposite directions cost as much as equal ones between two classes",
            lambda x, y: (opl(torch.where(y[:, None] == 0, -x, x), y), opl(x, y)),
        ),
    ),
    stability="A zero embedding has cosine 0 with everything, and no gradient.",
    notes="A regulariser: it is added to cross-entropy, with weight 1. More classes than features "
    "cannot all be at right angles. Features after a ReLU are not negative, so that right angles "
    "mean that no unit serves two classes. The authors' code has gamma = 2 as its default and "
    "recommends 0.5. In the gradient n counts the ordered pairs of each sort.",
    related=("cross_entropy", "normalized_softmax", "nt_xent"),
    also=("OPL", "orthogonal features", "neural collapse", "intra-class compactness"),
    use="Cross-entropy leaves the classes' features at small angles, and new classes will come.",
    avoid="Classes outnumber features, or batches hold hardly two examples of a class.",
)
def opl(embeddings: torch.Tensor, target: torch.Tensor, *, gamma: float = 0.5) -> torch.Tensor:
    """Orthogonal projection loss: one direction for each class, at right angles to the others."""
    within, across = pair_means(embeddings, target)
    return 1 - within + gamma * across
