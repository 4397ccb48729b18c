"""Losses of a model at inputs that an adversary moves within a small ball, and training with them.

The smooth adversarial comp-sum loss pays for how far the score differences can be moved; TRADES
pays for cross-entropy, and for how far the predicted probabilities can be moved.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
import torch.nn.functional as F

from ..declaration import CLASS_LOGITS, number, row_dtype
from ..declaration.numbers import check_reduction, reduce_rows
from .attacks import Each, Norm, evaluating, pgd
from .logits.adversarial import adv_comp_sum, shift
from .logits.crossentropy import cross_entropy

Reduction = Literal["none", "mean", "sum"]

BETA = number(
    "beta", r"\beta", "[0, inf)", (0.0, 12.0, 0.5),
    "weight of how far the adversary moves the probabilities",
    "cross-entropy",
    "only a model that does not react to its input is good",
    default=6.0,
    label="weight of how far probabilities are moved", ends=("cross-entropy", "dominates"),
)  # fmt: skip


def adv_comp_sum_at(
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: Each,
    norm: Norm = "linf",
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
    reduction: Reduction = "mean",
    **attack: Any,
) -> torch.Tensor:
    """`adv_comp_sum` of a model at inputs (N, ...): the worst shift in the ball is found by `pgd`.

    gamma : radius of the ball, as in `pgd`; norm : "linf" (default) or "l2". Further
    keywords (steps, step_size, restarts, bounds, generator) go to `lossviz.losses.attacks.pgd`,
    which leaves the model's state alone; the two forward passes of the loss itself run in the
    model's present mode. Raises as `adv_comp_sum` and `pgd` do.
    """
    with evaluating(model), torch.no_grad():
        clean = model(x)
    labels = _labels(clean, target)[0]
    worst = pgd(
        model, x, lambda logits: shift(clean, logits, labels), radius=gamma, norm=norm, **attack
    )
    return adv_comp_sum(
        model(x), model(worst), target, tau=tau, rho=rho, nu=nu, reduction=reduction
    )


def _labels(logits: Any, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
    checked = CLASS_LOGITS.check({"logits": logits, "target": target}, -100)
    assert checked.kept is not None
    return checked["target"], checked.kept


def train_adv_comp_sum(
    model: torch.nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    gamma: Each,
    norm: Norm = "linf",
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
    **attack: Any,
) -> list[float]:
    """ADV-COMP-SUM, one pass over the batches: attack, then step on `adv_comp_sum_at`.

    batches : pairs (x, target). Weight decay, which the algorithm asks for, is the optimizer's. The
    model trains in its present mode. Other arguments as in `adv_comp_sum_at`. Returns the mean loss
    of each batch before its step. Raises TypeError for an optimizer that needs a closure (LBFGS).
    """

    def loss(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return adv_comp_sum_at(
            model, x, target, gamma=gamma, norm=norm, tau=tau, rho=rho, nu=nu, **attack
        )

    return _descend(loss, batches, optimizer)


def trades_at(
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: Each,
    norm: Norm = "linf",
    beta: float = 6.0,
    reduction: Reduction = "mean",
    **attack: Any,
) -> torch.Tensor:
    r"""TRADES: cross-entropy, plus how far an adversary moves the predicted probabilities.

    .. math:: \ell = -\log p_y + \beta \max_{x'} \operatorname{KL}(p \,\Vert\, p'),

    with p predicted at x and p' at x' in the ball; `pgd` finds x'. Gradients flow through both.

    Parameters
    ----------
    model : callable from inputs (N, ...) to logits (N, K).
    x, target : floating inputs (N, ...) and integer labels (N,) in [0, K), -100 to leave a row out.
    gamma : radius of the ball, as in `pgd`; norm : "linf" (default) or "l2".
    beta : number in [0, inf), default 6. At 0, as at gamma = 0, it is cross-entropy.
    reduction : "mean" over kept rows (default), "sum" or "none".
    attack : steps, step_size, restarts, bounds and generator for `lossviz.losses.attacks.pgd`,
        which leaves the model's state alone; the two forward passes of the loss itself run in
        the model's present mode.

    Returns
    -------
    Loss in nats, in the dtype of the logits; scalar, or (N,) for "none".

    Raises
    ------
    As `cross_entropy` and `pgd` do; ValueError for beta < 0.

    Notes
    -----
    Source: Zhang et al. (2019); there 1/lambda is written for beta. The published code starts its
    search from a Gaussian step of size 0.001; this one starts anywhere in the ball.
    """
    beta = BETA.check(beta)
    check_reduction(reduction)
    with evaluating(model), torch.no_grad():
        clean = model(x)
    labels, kept = _labels(clean, target)
    worst = pgd(
        model, x, lambda logits: _divergence(clean, logits), radius=gamma, norm=norm, **attack
    )
    logits = model(x)
    rows = cross_entropy(logits, labels, reduction="none").to(row_dtype(logits))
    rows = rows + beta * _divergence(logits, model(worst))
    return reduce_rows(rows, kept, reduction, logits.dtype)


def _divergence(clean: torch.Tensor, adversarial: torch.Tensor) -> torch.Tensor:
    """KL(p || p') of each row, for the softmax p of clean logits and p' of attacked ones."""
    p, q = (logits.to(row_dtype(clean)).log_softmax(-1) for logits in (clean, adversarial))
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def train_trades(
    model: torch.nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    gamma: Each,
    norm: Norm = "linf",
    beta: float = 6.0,
    **attack: Any,
) -> list[float]:
    """One pass over the batches: attack, then step on `trades_at`; else as `train_adv_comp_sum`."""

    def loss(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return trades_at(model, x, target, gamma=gamma, norm=norm, beta=beta, **attack)

    return _descend(loss, batches, optimizer)


def _descend(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
) -> list[float]:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise TypeError(
            f"optimizer must step without a closure, got {type(optimizer).__name__}: each batch is "
            "attacked anew, so its loss cannot be called again"
        )
    losses = []
    for x, target in batches:
        value = loss(x, target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses
