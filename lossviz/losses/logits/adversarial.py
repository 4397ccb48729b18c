r"""Losses against an adversary who moves inputs within a small ball, and training with them.

The smooth adversarial comp-sum loss pays for the clean input as a comp-sum loss does, and for how
far the vector of score differences can be moved; TRADES pays for cross-entropy, and for how far the
predicted probabilities can be moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F

from .attacks import Norm, evaluating, pgd
from .checks import check_labels, check_logits, check_reduction, reduce_rows, row_dtype
from .compsum import TAU, comp_sum, example_logits
from .crossentropy import cross_entropy
from .declaration import Limit, Loss, Parameter, Property, Source

CLEAN_AND_ADVERSARIAL = "clean and adversarial class logits"

RHO = Parameter(
    name="rho",
    symbol=r"\rho",
    default=1.0,
    low=0.0,
    high=math.inf,
    low_open=True,
    slider=(0.5, 3.0, 0.1),
    meaning="lead, in units of the scores, that counts as safe",
    at_low="any lead is safe: the first term is steep",
    at_high="no lead is safe: the first term is flat",
)
NU = Parameter(
    name="nu",
    symbol=r"\nu",
    default=1.0,
    low=0.0,
    high=math.inf,
    slider=(0.0, 5.0, 0.1),
    meaning="weight of how far the adversary moves the score differences",
    at_low="plain comp-sum loss of the scores divided by rho",
    at_high="only a model that does not react to its input is good",
)
BETA = Parameter(
    name="beta",
    symbol=r"\beta",
    default=6.0,
    low=0.0,
    high=math.inf,
    slider=(0.0, 12.0, 0.5),
    meaning="weight of how far the adversary moves the probabilities",
    at_low="cross-entropy",
    at_high="only a model that does not react to its input is good",
)


def adv_comp_sum(
    logits: torch.Tensor,
    adversarial: torch.Tensor,
    target: torch.Tensor,
    *,
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""Smooth adversarial comp-sum loss of clean logits and logits at an attacked input.

    .. math:: \ell = \Phi^\tau\Big(\sum_{j \ne y} e^{-(z_y - z_j)/\rho}\Big)
              + \nu \Big( \sum_{j \ne y} \big[(z'_y - z'_j) - (z_y - z_j)\big]^2 \Big)^{1/2} .

    The definition takes the second term at the worst z' of the ball around the input:
    `adv_comp_sum_at` finds it.

    Parameters
    ----------
    logits, adversarial : floating tensors (..., K) of one shape, clean z and attacked z', classes
        last; computed in float64. Gradients flow to both.
    target : integer tensor (...), labels in [0, K) or `ignore_index`.
    tau : number in [0, inf), default 1, as in `comp_sum`.
    rho : number in (0, inf), default 1.
    nu : number in [0, inf), default 1. From sqrt(K - 1)/rho on the loss is above the adversarial
        comp-sum loss that it replaces.
    ignore_index : label of the rows left out, default -100.
    reduction : "mean" over kept rows (default), "sum" or "none".

    Returns
    -------
    Loss in nats (tau = 1), in the dtype of `logits`; scalar, or (...) for "none". At equal logits
    the second term is 0, with gradient 0.

    Raises
    ------
    As `comp_sum`; ValueError for unequal shapes or devices, rho <= 0 or nu < 0.

    Notes
    -----
    Source: Mao, Mohri and Zhong (2023), smooth adversarial comp-sum losses.
    """
    tau, rho, nu = TAU.check(tau), RHO.check(rho), NU.check(nu)
    check_reduction(reduction)
    labels, kept = check_labels(logits, target, ignore_index)
    _check_partner(logits, adversarial)
    clean = logits.to(row_dtype(logits))  # once, so that its two gradients add before rounding
    rows = comp_sum(clean / rho, labels, tau=tau, reduction="none")
    rows = rows + nu * _shift(clean, adversarial.to(clean), labels)
    return reduce_rows(rows, kept, reduction, logits.dtype)


def _check_partner(logits: torch.Tensor, adversarial: Any) -> None:
    check_logits(adversarial, "adversarial")
    if adversarial.shape != logits.shape:
        raise ValueError(
            f"logits and adversarial must have one shape, got {tuple(logits.shape)} and "
            f"{tuple(adversarial.shape)}"
        )
    if adversarial.device != logits.device:
        raise ValueError(
            f"adversarial is on {adversarial.device}, logits on {logits.device}: move one"
        )


def _shift(clean: torch.Tensor, adversarial: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Euclidean length of the change of all score differences (target minus other)."""
    change = adversarial - clean
    change = change.gather(-1, labels.unsqueeze(-1)) - change
    # a class that both sides rule out (logit -inf) is no class
    change = change.masked_fill(clean.isneginf() & adversarial.isneginf(), 0.0)
    # scaled by a constant, so that no square overflows; vector_norm has gradient 0 at 0
    size = change.detach().abs().amax(-1, keepdim=True)
    size = torch.where(size == 0, 1.0, size)
    return size.squeeze(-1) * torch.linalg.vector_norm(change / size, dim=-1)


def adv_comp_sum_at(
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: float,
    norm: Norm = "linf",
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
    reduction: str = "mean",
    **attack: Any,
) -> torch.Tensor:
    """`adv_comp_sum` of a model at inputs (N, ...): the worst shift in the ball is found by `pgd`.

    gamma : radius of the ball, >= 0, in the units of x; norm : "linf" (default) or "l2". Further
    keywords (steps, step_size, restarts, bounds, generator) go to `lossviz.losses.attacks.pgd`,
    which leaves the model's state alone; the two forward passes of the loss itself run in the
    model's present mode. Raises as `adv_comp_sum` and `pgd` do.
    """
    with evaluating(model), torch.no_grad():
        clean = model(x)
    labels, _ = check_labels(clean, target, -100)
    worst = pgd(
        model, x, lambda logits: _shift(clean, logits, labels), radius=gamma, norm=norm, **attack
    )
    return adv_comp_sum(
        model(x), model(worst), target, tau=tau, rho=rho, nu=nu, reduction=reduction
    )


def train_adv_comp_sum(
    model: torch.nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    gamma: float,
    norm: Norm = "linf",
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
    **attack: Any,
) -> list[float]:
    """ADV-COMP-SUM, one pass over the batches: attack, then step on `adv_comp_sum_at`.

    batches : pairs (x, target). Weight decay, which the algorithm asks for, is the optimizer's. The
    model trains in its present mode. Other arguments as in `adv_comp_sum_at`. Returns the mean loss
    of each batch before its step.
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
    gamma: float,
    norm: Norm = "linf",
    beta: float = 6.0,
    reduction: str = "mean",
    **attack: Any,
) -> torch.Tensor:
    r"""TRADES: cross-entropy, plus how far an adversary moves the predicted probabilities.

    .. math:: \ell = -\log p_y + \beta \max_{x'} \operatorname{KL}(p \,\Vert\, p'),

    with p predicted at x and p' at x' in the ball; `pgd` finds x'. Gradients flow through both.

    Parameters
    ----------
    model : callable from inputs (N, ...) to logits (N, K).
    x, target : floating inputs (N, ...) and integer labels (N,) in [0, K), -100 to leave a row out.
    gamma : radius of the ball, >= 0, in the units of x; norm : "linf" (default) or "l2".
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
    labels, kept = check_labels(clean, target, -100)
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
    gamma: float,
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
    losses = []
    for x, target in batches:
        value = loss(x, target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


# --- declarations ---------------------------------------------------------------------------------

MAO = Source(
    "mao2023cross",
    "smooth adversarial comp-sum losses",
    "the tuned values of rho, nu and the attack are not ours to quote: 1 is our default",
)


def _example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits, target = example_logits()
    return logits, logits + 0.3 * logits.flip(0), target


def _no_adversary() -> tuple[torch.Tensor, torch.Tensor]:
    logits, _, target = _example()
    ours = adv_comp_sum(logits, logits, target, tau=0.5, rho=2.0, reduction="none")
    return ours, comp_sum(logits / 2.0, target, tau=0.5, reduction="none")


def _free_adversary() -> tuple[torch.Tensor, torch.Tensor]:
    logits, adversarial, target = _example()
    ours = adv_comp_sum(logits, adversarial, target, nu=0.0, reduction="none")
    return ours, F.cross_entropy(logits, target, reduction="none")


def _constant_unseen() -> tuple[torch.Tensor, torch.Tensor]:
    logits, adversarial, target = _example()
    ours = adv_comp_sum(logits, adversarial + 5.0, target, reduction="none")
    return ours, adv_comp_sum(logits, adversarial, target, reduction="none")


ADV_COMP_SUM = Loss(
    key="adv_comp_sum",
    title="Smooth adversarial comp-sum loss",
    family="adversarial",
    function=adv_comp_sum,
    summary="Comp-sum loss of the clean input, plus how far an adversary moves the scores.",
    latex=r"\ell(z, z', y) = \Phi^\tau\Big(\sum_{j \ne y} e^{-(z_y - z_j)/\rho}\Big) + \nu\, "
    r"\lVert \bar\Delta' - \bar\Delta \rVert_2, \qquad \bar\Delta = (z_y - z_j)_{j \ne y}",
    gradient=r"\frac{\partial \ell}{\partial z'_j} = -\nu\, "
    r"\frac{\Delta'_j - \Delta_j}{\lVert \bar\Delta' - \bar\Delta \rVert_2} \ (j \ne y), \qquad "
    r"\frac{\partial \ell}{\partial z} = \frac1\rho\, p_y^{\tau - 1} (p - e_y) "
    r"- \frac{\partial \ell}{\partial z'}, \quad p = \mathrm{softmax}(z / \rho)",
    inputs=CLEAN_AND_ADVERSARIAL,
    parameters=(TAU, RHO, NU),
    source=MAO,
    properties=(
        Property(
            "upper bound",
            r"For $\nu \ge \sqrt{K - 1}/\rho$, with z' the worst in the ball, it is at least the "
            r"adversarial loss "
            r"$\sup_{x'} \Phi^\tau\big(\sum_{j \ne y} \Phi_\rho(z'_y - z'_j)\big)$ with the ramp "
            r"$\Phi_\rho(u) = \min(\max(0, 1 - u/\rho), 1)$, because $\Phi^\tau$ is 1-Lipschitz "
            r"on $[0, \infty)$ and $\Phi_\rho(u) \le e^{-u/\rho}$.",
        ),
        Property(
            "upper bound for any K",
            r"For $\tau \ge 1$ already $\nu \ge 1/\rho$ does, and the bound then is even above "
            r"$\sup_{x'} \Phi^\tau\big(\sum_{j \ne y} e^{-(z'_y - z'_j)/\rho}\big)$, because "
            r"that function of the score differences is $1/\rho$-Lipschitz in the 2-norm.",
        ),
        Property(
            "consistency",
            "An adversarial H-consistency bound holds for hypothesis sets that are locally "
            r"$\rho$-consistent, with the surrogate side divided by $\Phi^\tau(1)$.",
            "quoted",
            MAO,
        ),
        Property(
            "convex in the scores",
            r"For $\tau \le 1$ in clean and attacked scores together: comp-sum is, and a norm of a "
            "linear map is.",
        ),
    ),
    limits=(
        Limit("an adversary that moves nothing: comp-sum of logits / rho", _no_adversary),
        Limit("nu = 0, rho = 1, tau = 1 is cross-entropy", _free_adversary),
        Limit("a constant added to the attacked logits is not seen", _constant_unseen),
    ),
    stability="The first term is `comp_sum`; the norm is scaled against overflow and has gradient "
    "0 where nothing moved, so an attack on it needs a random start.",
    notes="The value depends on the attack: a weak attack under-states the second term. "
    "`lossviz.losses.adversarial.adv_comp_sum_at` attacks a model, `train_adv_comp_sum` trains it.",
    related=("comp_sum", "cross_entropy"),
)
