"""Scores of the whole softmax beside its logarithm: Brier, spherical, unlikelihood, bonuses.

Each is a formula in a few statistics of a row, so that it serves a large head as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Fact,
    Gradient,
    Inputs,
    Row,
    Source,
    SymbolicForm,
    bounded,
    box_cox,
    declare,
    minimiser,
    monotone,
    not_convex,
    not_proper,
    number,
    softplus,
    unbounded,
)
from .compsum import mae
from .crossentropy import cross_entropy

if TYPE_CHECKING:
    import sympy as sp


# the only class of one cannot be avoided
TWO_OR_MORE = Inputs(replace(CLASS_LOGITS["logits"], least=2), CLASS_LOGITS["target"])


def _one_hot(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.one_hot(y, z.shape[-1]).to(z)


@declare(
    family="relatives",
    latex=r"\ell(z, y) = -\log(1 - p_y)",
    form="-log(1 - p)",
    slope="-p/(1 - p)",
    inputs=TWO_OR_MORE,
    source=Source(
        "welleck2020neural",
        "the unlikelihood loss",
        "the paper sums it over a set of negative candidates and adds the likelihood of the right "
        "token",
    ),
    facts=(
        Fact(
            "With two classes it is the cross-entropy of the other class",
            lambda z, y: (unlikelihood(z[:, :2], y % 2), cross_entropy(z[:, :2], 1 - y % 2)),
        ),
        Fact(
            "Minus the logarithm of the mean absolute error",
            lambda z, y: (
                unlikelihood(z, y, reduction="none"), -mae(z, y, reduction="none").log()
            ),
        ),
        unbounded(how="linear in the lead of the class that is to be avoided"),
        not_convex(why="the log-sum-exp of all classes minus that of the others"),
    ),
    stability="log(1 - p) is the log-sigmoid of minus the margin, exact where p rounds to 0 or 1.",
    related=("cross_entropy", "mae"),
    also=("negative training", "repetition penalty"),
    use="The label names what must not be predicted: repeated tokens, or complementary "
    "labels. Beside a loss for what should be.",
    avoid="The right label is known: push that one up instead.",
)  # fmt: skip
def unlikelihood(row: Row) -> torch.Tensor:
    """Unlikelihood: pushes the labelled class away.

    The label is what the model should not say: a repeated token, for example.
    """
    return softplus(row.log_odds)


def _brier_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    others = [p**2 for k, p in enumerate(probabilities) if k != target]
    return sum(others, (1 - probabilities[target]) ** 2)


def _brier_gradient(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    p = z.softmax(-1)
    error = p - _one_hot(z, y)
    return 2 * p * (error - (p * error).sum(-1, keepdim=True))


def _expected_brier(z: torch.Tensor, _y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    classes = z.shape[-1]
    eta = z.flip(0).softmax(-1)
    each = z.unsqueeze(1).expand(-1, classes, -1)
    labels = torch.arange(classes).expand(len(z), classes)
    expected = (eta * brier(each, labels, reduction="none")).sum(-1)
    return expected, (z.softmax(-1) - eta).square().sum(-1) + 1 - eta.square().sum(-1)


@declare(
    family="proper scores",
    latex=r"\ell(z, y) = \sum_k \big(p_k - [k = y]\big)^2",
    form=SymbolicForm(_brier_form),
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = 2\, p_k \Big(r_k - \sum_j p_j r_j\Big), \qquad "
        r"r_k = p_k - [k = y]",
        _brier_gradient,
    ),
    source=Source(
        "brier1950verification",
        "the verification score P",
        "with two classes many take half of it, the squared error of one probability",
    ),
    facts=(
        Fact(
            "The squared distance from the one-hot label",
            lambda z, y: (
                brier(z, y, reduction="none"),
                (z.softmax(-1) - _one_hot(z, y)).square().sum(-1),
            ),
        ),
        Fact(
            "With two classes twice the squared mean absolute error",
            lambda z, y: (
                brier(z[:, :2], y % 2, reduction="none"),
                2 * mae(z[:, :2], y % 2, reduction="none") ** 2,
            ),
        ),
        Fact(
            "Under label probabilities eta its expectation is the squared distance from p to eta, "
            "plus 1 less the sum of eta^2",
            _expected_brier,
            source=Source("gneiting2007strictly", "the quadratic score"),
        ),
        minimiser("log(eta)", source=Source("gneiting2007strictly", "the quadratic score")),
        bounded("0", "2"),
        not_convex(why="bounded and not constant"),
    ),
    stability="(1 - p_y)^2 from the margin and the squares of the others: the textbook "
    "1 - 2 p_y + sum of p_k^2 cancels for sure rows.",
    related=("spherical_score", "cross_entropy", "mae"),
    also=("quadratic score", "squared error of probabilities"),
    in_torch="(logits.softmax(-1) - F.one_hot(target, 5)).square().sum(-1).mean()",
    use="Calibrated probabilities are wanted and no single example may cost without "
    "end; as a measure beside cross-entropy.",
    avoid="Training starts from confident wrong predictions: their gradient is nearly zero.",
)
def brier(row: Row) -> torch.Tensor:
    """Brier score: squared distance between the softmax and the one-hot label.

    The sum over the classes, not their mean. Hopeless rows have nearly no gradient.
    """
    return (-2 * softplus(row.log_odds)).exp() + row.log_sum_square_others.exp()


def _spherical_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    return 1 - probabilities[target] / sp.sqrt(sp.Add(*(p**2 for p in probabilities)))


def _spherical_gradient(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    unit = F.normalize(z.softmax(-1), dim=-1)
    return unit.gather(-1, y[..., None]) * (unit**2 - _one_hot(z, y))


@declare(
    family="proper scores",
    latex=r"\ell(z, y) = 1 - \frac{p_y}{\lVert p \rVert_2}",
    form=SymbolicForm(_spherical_form),
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = u_y \big(u_k^2 - [k = y]\big), \qquad "
        r"u = \frac{p}{\lVert p \rVert_2}",
        _spherical_gradient,
    ),
    source=Source("roby1965belief", "the spherical score", "we take one minus it, to be minimised"),
    facts=(
        Fact(
            "One minus the cosine between the softmax and the one-hot label",
            lambda z, y: (
                spherical_score(z, y, reduction="none"),
                1 - F.cosine_similarity(z.softmax(-1), _one_hot(z, y), eps=0.0),
            ),
        ),
        Fact(
            "The softmax at half the temperature gives the square of what is taken from one",
            lambda z, y: (
                (1 - spherical_score(z, y, reduction="none")) ** 2,
                1 - mae(2 * z, y, reduction="none"),
            ),
        ),
        minimiser("log(eta)", source=Source("gneiting2007strictly", "the spherical score")),
        bounded("0", "1"),
        not_convex(why="bounded and not constant"),
    ),
    stability="From the squared odds of the others against the target: nothing is subtracted "
    "from 1.",
    related=("brier", "cross_entropy"),
    also=("spherical loss",),
    in_torch="(1 - F.cosine_similarity(logits.softmax(-1), F.one_hot(target, 5).float(), "
    "dim=-1)).mean()",
    use="A bounded proper score is wanted that looks at the direction of the "
    "probability vector alone.",
    avoid="Training starts from confident wrong predictions: their gradient is nearly zero.",
)
def spherical_score(row: Row) -> torch.Tensor:
    """Spherical score: one minus the target probability over the length of the softmax vector.

    Hopeless rows have nearly no gradient.
    """
    # -log(p_y / |p|) is log(1 + sum of squared odds) / 2
    return box_cox(softplus(row.log_sum_square_odds) / 2, 1.0)


BONUS = number(
    "beta", r"\beta", "(-inf, inf)", (0.0, 0.4, 0.01),
    "reward of an undecided softmax, in nats per nat of entropy",
    "sure predictions are rewarded",
    "undecided predictions are rewarded",
    label="reward of an undecided softmax", ends=("none", "strong"),
)  # fmt: skip


def _entropy_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    negative_entropy = sp.Add(*(p * sp.log(p) for p in probabilities))
    return -sp.log(probabilities[target]) + BONUS.sympy * negative_entropy


def _entropy_gradient(z: torch.Tensor, y: torch.Tensor, *, beta: float) -> torch.Tensor:
    p, log_p = z.softmax(-1), z.log_softmax(-1)
    entropy = -(p * log_p).sum(-1, keepdim=True)
    return p - _one_hot(z, y) + beta * p * (log_p + entropy)


def _divergence_from_uniform(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    classes = z.shape[-1]
    divergence = F.kl_div(
        torch.full_like(z, -math.log(classes)), z.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    nll = cross_entropy(z, y, reduction="none")
    ours = entropy_bonus(z, y, beta=0.3, reduction="none")
    return ours, nll + 0.3 * (divergence - math.log(classes))


@declare(
    family="relatives",
    latex=r"\ell(z, y) = -\log p_y + \beta \sum_k p_k \log p_k",
    form=SymbolicForm(_entropy_form),
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = p_k - [k = y] + \beta\, p_k (\log p_k + H), \qquad "
        r"H = -\sum_j p_j \log p_j",
        _entropy_gradient,
    ),
    parameters=(BONUS,),
    source=Source("pereyra2017regularizing", "the confidence penalty"),
    facts=(
        Fact(
            "beta = 0 is cross-entropy",
            lambda z, y: (entropy_bonus(z, y, beta=0.0), cross_entropy(z, y)),
        ),
        Fact(
            "Cross-entropy plus beta times the divergence of the softmax from the uniform "
            "distribution, less beta log K",
            _divergence_from_uniform,
            source=Source("pereyra2017regularizing"),
        ),
        monotone("beta"),
        unbounded(how="like cross-entropy"),
        not_proper(when="beta in (0, inf)"),
    ),
    stability="The entropy is that of a log-softmax whose largest entry keeps its digits.",
    related=("cross_entropy", "renyi_2_bonus"),
    also=("confidence penalty", "entropy regularisation", "maximum entropy"),
    use="Predictions are too sure, or a policy should keep exploring.",
    avoid="Probabilities are wanted as they come: it flattens them by design. A "
    "temperature fitted afterwards calibrates without a second training.",
)
def entropy_bonus(row: Row, *, beta: float = 0.01) -> torch.Tensor:
    """Cross-entropy with an entropy bonus: rewards an undecided softmax.

    The entropy of the softmax is in nats.
    """
    return row.nll - beta * row.entropy


def _renyi_form(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
    import sympy as sp

    squares = sp.Add(*(p**2 for p in probabilities))
    return -sp.log(probabilities[target]) + BONUS.sympy * sp.log(squares)


def _renyi_gradient(z: torch.Tensor, y: torch.Tensor, *, beta: float) -> torch.Tensor:
    p = z.softmax(-1)
    return p - _one_hot(z, y) + 2 * beta * ((2 * z).softmax(-1) - p)


def _minus_renyi_entropy(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    order = 2.0
    entropy = z.softmax(-1).pow(order).sum(-1).log() / (1 - order)
    nll = cross_entropy(z, y, reduction="none")
    return renyi_2_bonus(z, y, beta=0.3, reduction="none"), nll - 0.3 * entropy


def _at_least_entropy_bonus(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ours, theirs = (f(z, y, beta=0.3, reduction="none") for f in (renyi_2_bonus, entropy_bonus))
    return ours, torch.maximum(ours, theirs)


@declare(
    family="relatives",
    latex=r"\ell(z, y) = -\log p_y + \beta \log \sum_k p_k^2",
    form=SymbolicForm(_renyi_form),
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = p_k - [k = y] "
        r"+ 2 \beta \Big(\frac{p_k^2}{\sum_j p_j^2} - p_k\Big)",
        _renyi_gradient,
    ),
    parameters=(BONUS,),
    source=Source("renyi1961measures", "the entropy of order 2"),
    facts=(
        Fact(
            "beta = 0 is cross-entropy",
            lambda z, y: (renyi_2_bonus(z, y, beta=0.0), cross_entropy(z, y)),
        ),
        Fact("Cross-entropy less beta times Renyi's entropy of order 2", _minus_renyi_entropy),
        Fact(
            "At beta = 1/2 minus the logarithm of the spherical score",
            lambda z, y: (
                renyi_2_bonus(z, y, beta=0.5, reduction="none"),
                -torch.log1p(-spherical_score(z, y, reduction="none")),
            ),
        ),
        Fact(
            "For beta >= 0 at least the entropy bonus: Renyi's entropy falls with its order",
            _at_least_entropy_bonus,
        ),
        monotone("beta"),
        unbounded(how="like cross-entropy"),
        not_proper(when="beta in (0, inf)"),
    ),
    stability="The sum of squares is a log-sum-exp of twice the log-softmax.",
    related=("cross_entropy", "entropy_bonus", "spherical_score"),
    also=("collision entropy", "order-2 confidence penalty"),
    use="As the entropy bonus, where the largest probability alone should be held back most.",
    avoid="The entropy bonus does: that one is more widely understood.",
)
def renyi_2_bonus(row: Row, *, beta: float = 0.01) -> torch.Tensor:
    """Cross-entropy with a collision bonus: the entropy bonus with Renyi's entropy of order 2.

    The sum of the squared probabilities is the chance that two draws agree.
    """
    return row.nll + beta * row.log_sum_square
