"""Losses of how sure a row is: the normaliser of the softmax, and the confidence of its choice."""

from __future__ import annotations

import torch

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    RowLosses,
    Source,
    bounded,
    by_rows,
    declare,
    not_convex,
    number,
    row_dtype,
    unbounded,
)
from ...declaration.kinds import LOGITS
from ...declaration.margin import from_the_top

COEFFICIENT = number(
    "coefficient", "c", "[0, inf)", (0.0, 0.01, 0.0001),
    "weight of the squared log-normaliser", "no penalty", "the normaliser is held at 1",
    ends=("none", "strong"),
)  # fmt: skip


@declare(
    family="relatives",
    inputs=Inputs(Argument("logits", LOGITS, "... K")),
    latex=r"\ell(z) = c \Big(\log \sum_k e^{z_k}\Big)^2",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z} = 2 c \log Z\, p, \qquad Z = \sum_k e^{z_k}",
        lambda z, *, coefficient: 2 * coefficient * z.logsumexp(-1, keepdim=True) * z.softmax(-1),
    ),
    parameters=(COEFFICIENT,),
    source=Source("chowdhery2023palm", "section 5", "the auxiliary loss, with weight 1e-4"),
    facts=(
        Fact(
            "0 for log-probabilities, whose normaliser is 1 (both sides plus 1)",
            lambda z: (
                1 + z_loss(z.log_softmax(-1), coefficient=1.0, reduction="none"),
                torch.ones(len(z)).double(),
            ),
        ),
        Fact(
            "A constant added to log-probabilities costs its square",
            lambda z: (
                z_loss(z.log_softmax(-1) - 3, coefficient=1.0),
                torch.tensor(9.0).double(),
            ),
        ),
        not_convex(why="where the normaliser is below 1 the square of a convex function falls"),
        unbounded(how="with the square of the largest logit"),
    ),
    stability="The log-normaliser is the largest logit plus a log1p.",
    notes="Cross-entropy does not see a constant added to all logits, so nothing else holds it; in "
    "half precision large ones cost digits. `lossviz.kernels.linear_cross_entropy` has it fused.",
    related=("cross_entropy", "spherical_z_loss"),
    breaks=("shift of K for coefficient in (0, inf)",),
    also=("log-partition penalty", "logit drift", "normaliser", "self-normalisation"),
    in_torch="1e-4 * logits.logsumexp(-1).square().mean()",
    use="Beside cross-entropy, in long training in half precision, to keep logits from drifting.",
    avoid="Alone: it knows no labels. Temperatures are fitted afterwards anyway: then a drift is "
    "harmless.",
)
def z_loss(logits: torch.Tensor, *, coefficient: float = 1e-4) -> torch.Tensor:
    """Z-loss of the softmax: the squared logarithm of its normaliser.

    Another loss of this name is the spherical `spherical_z_loss`.
    """
    return _of_normaliser(logits, coefficient=coefficient)


@by_rows
def _of_normaliser(logits: torch.Tensor, *, coefficient: float) -> torch.Tensor:
    top = from_the_top(logits)
    largest = logits.gather(-1, top.leader).squeeze(-1).to(top.rest.dtype)
    return coefficient * (largest + top.rest.log1p()).square()


def _slope(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    p = z.softmax(-1)
    best = p.max(-1, keepdim=True)
    right = (best.indices == y[..., None]).double()
    lead = torch.nn.functional.one_hot(best.indices[..., 0], z.shape[-1])
    return 2 * (best.values - right) * best.values * (lead - p)


def _squares(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    best = z.softmax(-1).max(-1)
    right = (best.indices == y).double()
    return ca_loss(z, y, reduction="none"), (best.values - right).square()


def _halves(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.where(torch.arange(len(y)) < 2, z.argmax(-1), z.argmin(-1))
    rows = ca_loss(z, y, reduction="none")
    return ca_loss(z, y, balanced=True), (rows[:2].mean() + rows[2:].mean()) / 2


@declare(
    family="proper scores",
    latex=r"\ell(z, y) = \big(\hat c - [\hat y = y]\big)^2, \qquad \hat y = \arg\max_k z_k, "
    r"\quad \hat c = \mathrm{softmax}(z)_{\hat y}",
    inputs=CLASS_LOGITS,
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_j} = 2 \big(\hat c - [\hat y = y]\big)\, \hat c\, "
        r"\big([j = \hat y] - p_j\big)",
        _slope,
    ),
    source=Source(
        "liu2024optimizing",
        "the correctness-aware loss",
        "the released code takes the balanced mean; the plain one is the top-label Brier score",
    ),
    facts=(
        Fact("The squared distance of confidence and correctness: a Brier score", _squares),
        Fact("Balanced: the mean over right rows and that over wrong ones, halved", _halves),
        bounded("0", "1"),
        not_convex(why="a wrong row pulls less the surer it is"),
    ),
    stability="What a sure row lacks of 1 has its digits. It jumps where the prediction changes.",
    notes="A wrong row wants a higher temperature, a right one a lower. Cross-entropy wants a "
    "lower one for a narrow mistake too, where that makes the label likelier. No temperature "
    "changes the predictions, so none raises the accuracy.",
    related=("brier", "cross_entropy", "focal"),
    also=("correctness-aware loss", "CA loss", "top-label Brier score", "confidence calibration"),
    use="A calibrator is trained that gives each row a temperature of its own.",
    avoid="The classifier itself is trained: the loss lets it say that it does not know.",
)
def ca_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    kept: torch.Tensor | None,
    balanced: bool = False,
) -> torch.Tensor | RowLosses:
    """Correctness-aware loss: the squared distance of the top probability to being right.

    Of equal logits the first is the prediction.

    balanced : whether right and wrong rows count alike in the mean, default False. Each right row
        is weighed by the share of wrong ones and the other way round; NaN if all are right or all
        wrong.
    """
    rows = _from_correctness(logits, target)
    if not balanced:
        return rows
    right = logits.argmax(-1) == target
    counted = torch.ones_like(right) if kept is None else kept
    share = (right & counted).sum().to(row_dtype(logits)) / counted.sum()
    weight = torch.where(right, 1 - share, share)
    return RowLosses(weight * rows, torch.where(counted, weight, 0.0).sum())


@by_rows
def _from_correctness(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    top = from_the_top(logits)
    right = top.leader.squeeze(-1) == target
    miss = top.rest / (1 + top.rest)
    return torch.where(right, miss, 1 / (1 + top.rest)).square()
