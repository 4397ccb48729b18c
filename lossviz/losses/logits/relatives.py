"""Focal loss and poly-1: cross-entropy with its easy examples re-weighted."""

from __future__ import annotations

import torch

from ...declaration import (
    Fact,
    Row,
    Source,
    box_cox,
    declare,
    monotone,
    not_proper,
    number,
    softplus,
    unbounded,
)
from .compsum import mae
from .crossentropy import cross_entropy

GAMMA = number(
    "gamma", r"\gamma", "[0, inf)", (0.0, 5.0, 0.1),
    "how strongly examples that are already right are played down",
    "cross-entropy",
    "only examples with small target probability count",
    label="how much easy examples are played down", ends=("cross-entropy", "only hard ones count"),
)  # fmt: skip
EPSILON = number(
    "epsilon", r"\epsilon", "[-1, inf)", (-1.0, 5.0, 0.1),
    "change of the first coefficient of the expansion of -log p in powers of 1 - p",
    "the linear term is gone: easy examples count less",
    "the linear term, a mean absolute error, dominates",
    label="weight of the linear term, less 1", ends=("none", "dominates"),
)  # fmt: skip


@declare(
    family="relatives",
    latex=r"\ell(z, y) = -(1 - p_y)^\gamma \log p_y",
    form="-(1 - p)**gamma*log(p)",
    slope="(1 - p)**(gamma - 1)*((1 - p) - gamma*p*log(p))",
    parameters=(GAMMA,),
    source=Source(
        "lin2017focal",
        "definition of the focal loss",
        "the paper's detector uses sigmoids and a class weight alpha; this is the softmax form "
        "without it",
    ),
    facts=(
        Fact(
            "gamma = 0 is cross-entropy",
            lambda z, y: (focal(z, y, gamma=0.0), cross_entropy(z, y)),
        ),
        monotone("gamma"),
        unbounded(how="like cross-entropy for hard examples"),
        not_proper(when="gamma in (0, inf)"),
        Fact(
            "Its minimiser still ranks the most likely class first (it is "
            "classification-calibrated).",
            status="quoted",
            source=Source("charoenphakdee2021focal"),
        ),
    ),
    stability="log(1 - p) is the log-sigmoid of minus the margin: no power of a rounded 1 - p.",
    related=("cross_entropy", "poly_1"),
    also=("class imbalance", "hard example mining"),
    use="Easy examples are so many that they drown the rest, as the background does in "
    "dense detection.",
    avoid="Probabilities are wanted as they come: it is not proper, and its softmax is "
    "not sure enough. Labels are noisy: the examples that it stresses are the wrong ones.",
)
def focal(row: Row, *, gamma: float = 2.0) -> torch.Tensor:
    """Focal loss: cross-entropy that fades as an example becomes easy.

    Some libraries multiply by a class weight alpha = 0.25 unless told otherwise, so that their
    gamma = 0 is not cross-entropy.
    """
    # far down nothing fades: the slope of an infinite loss must not meet the factor's own, 0
    return row.nll * (-gamma * softplus(row.log_odds.clamp_min(-700.0))).exp()


def _beyond_linear(nll: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
    """-log p - (1 - p), from both, without the cancellation where p is near 1."""
    tail = 1 / 7 + linear / 8
    for j in range(6, 1, -1):
        tail = 1 / j + linear * tail
    return torch.where(linear < 1e-2, linear**2 * tail, nll - linear)


@declare(
    family="relatives",
    latex=r"\ell(z, y) = -\log p_y + \epsilon\, (1 - p_y)",
    form="-log(p) + epsilon*(1 - p)",
    slope="1 + epsilon*p",
    parameters=(EPSILON,),
    source=Source("leng2022polyloss", "the Poly-1 formulation"),
    facts=(
        Fact(
            "Cross-entropy plus epsilon times the mean absolute error",
            lambda z, y: (poly_1(z, y, epsilon=0.7), cross_entropy(z, y) + 0.7 * mae(z, y)),
        ),
        Fact(
            "epsilon = 0 is cross-entropy",
            lambda z, y: (poly_1(z, y, epsilon=0.0), cross_entropy(z, y)),
        ),
        unbounded(how="with the growth of cross-entropy"),
        not_proper(when="epsilon in (0, inf)"),
    ),
    stability="1 - p is -expm1(log p): exact where p rounds to 1; its slope also where p is tiny.",
    related=("cross_entropy", "mae", "symmetric_cross_entropy"),
    also=("PolyLoss", "Poly1 cross-entropy"),
    use="Cross-entropy works and one more number may be tuned: epsilon changes how "
    "much easy examples count.",
    avoid="Probabilities are wanted as they come, or there is no validation set to "
    "choose epsilon on.",
)
def poly_1(row: Row, *, epsilon: float = 1.0) -> torch.Tensor:
    r"""Poly-1 loss: cross-entropy with the first term of its expansion in 1 - p changed.

    The expansion is :math:`-\log p = \sum_{j \ge 1} (1 - p)^j / j`.
    """
    nll = row.nll
    linear = box_cox(nll, 1.0)
    return _beyond_linear(nll, linear) + (1 + epsilon) * linear
