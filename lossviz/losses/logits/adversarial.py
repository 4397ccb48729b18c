"""The smooth adversarial comp-sum loss, for inputs that an adversary moves within a small ball.

It pays for the clean input as a comp-sum loss does, and for how far the vector of score differences
can be moved. `lossviz.losses.attacked` finds the moved input of a model and trains with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ...declaration import (
    CLASS_LOGITS,
    Argument,
    Fact,
    Gradient,
    Inputs,
    Rows,
    Source,
    box_cox,
    by_rows,
    convex,
    declare,
    number,
    row_dtype,
)
from ...declaration.kinds import LOGITS
from ...declaration.numbers import widen
from ...declaration.rows import row_slopes
from .compsum import TAU, comp_sum

CLEAN_AND_ADVERSARIAL = Inputs(
    CLASS_LOGITS["logits"],
    Argument("adversarial", LOGITS, "... K", "Logits at the attacked input"),
    CLASS_LOGITS["target"],
)

RHO = number(
    "rho", r"\rho", "(0, inf)", (0.5, 3.0, 0.1),
    "lead, in units of the scores, that counts as safe",
    "any lead is safe: the first term is steep",
    "no lead is safe: the first term is flat",
    label="lead that counts as safe", ends=("small", "large"),
)  # fmt: skip
NU = number(
    "nu", r"\nu", "[0, inf)", (0.0, 5.0, 0.1),
    "weight of how far the adversary moves the score differences",
    "plain comp-sum loss of the scores divided by rho",
    "only a model that does not react to its input is good",
    label="weight of how far scores are moved", ends=("none", "dominates"),
)  # fmt: skip

MAO = Source(
    "mao2023cross",
    "smooth adversarial comp-sum losses",
    "the tuned values of rho, nu and the attack are not ours to quote: 1 is our default",
)


def shift(clean: torch.Tensor, adversarial: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Euclidean length of the change of all score differences (target minus other)."""
    index, out = labels.unsqueeze(-1), clean.isneginf() & adversarial.isneginf()
    change = (adversarial - clean).masked_fill(out, 0.0)
    # a class that both sides rule out (logit -inf) does not count, nor does the target itself
    change = change.gather(-1, index) - change
    change = change.masked_fill(out.scatter(-1, index, True), 0.0)
    # scaled by a constant, so that no square overflows; vector_norm has gradient 0 at 0
    endless = change.isinf()
    finite = change.masked_fill(endless, 0.0)
    size = finite.detach().abs().amax(-1, keepdim=True)
    size = torch.where(size == 0, 1.0, size)
    length = size.squeeze(-1) * torch.linalg.vector_norm(finite / size, dim=-1)
    # ruled out on one side only: infinite, along the differences that are, each as much
    along = endless * change.detach().sign()
    along = along / along.square().sum(-1, keepdim=True).clamp_min(1.0).sqrt()
    far = (along * change.masked_fill(~endless, 0.0)).sum(-1)
    return torch.where(endless.any(-1), far, length)


def _slope(
    z: torch.Tensor, moved: torch.Tensor, y: torch.Tensor, tau: float, rho: float, nu: float
) -> torch.Tensor:
    own, index, p = F.one_hot(y, z.shape[-1]), y.unsqueeze(-1), (z / rho).softmax(-1)
    change = (moved - z).gather(-1, index) - (moved - z)
    length = torch.linalg.vector_norm(change, dim=-1, keepdim=True)
    by_moved = nu * (own * change.sum(-1, keepdim=True) - change) / length
    return p.gather(-1, index) ** (tau - 1) * (p - own) / rho - by_moved


def _never_above(
    pairs: Iterable[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor]:
    lower, upper = (torch.stack(side) for side in zip(*pairs, strict=True))
    return torch.minimum(lower, upper), lower


def _bounds_the_ramps(z: torch.Tensor, m: torch.Tensor, y: torch.Tensor) -> tuple[Any, Any]:
    ramps = (1 + m - m.gather(-1, y.unsqueeze(-1))).clamp(0, 1).sum(-1) - 1  # less the target's own
    return _never_above(
        (box_cox(ramps.log1p(), tau - 1), adv_comp_sum(z, m, y, tau=tau, nu=2.0, reduction="none"))
        for tau in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    )


def _bounds_the_worst(z: torch.Tensor, m: torch.Tensor, y: torch.Tensor) -> tuple[Any, Any]:
    def options(tau: float) -> dict[str, Any]:
        return {"tau": tau, "reduction": "none"}

    return _never_above(
        (comp_sum(m / 2, y, **options(tau)), adv_comp_sum(z, m, y, rho=2.0, nu=0.5, **options(tau)))
        for tau in (1.0, 1.5, 2.0, 3.0)
    )


@declare(
    family="adversarial",
    inputs=CLEAN_AND_ADVERSARIAL,
    latex=r"\ell(z, z', y) = \Phi^\tau\Big(\sum_{j \ne y} e^{-(z_y - z_j)/\rho}\Big) + \nu\, "
    r"\lVert \bar\Delta' - \bar\Delta \rVert_2, \qquad \bar\Delta = (z_y - z_j)_{j \ne y}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z} = \frac1\rho\, p_y^{\tau - 1} (p - e_y) "
        r"- \frac{\partial \ell}{\partial z'}, \qquad "
        r"\frac{\partial \ell}{\partial z'_j} = -\nu\, "
        r"\frac{\Delta'_j - \Delta_j}{\lVert \bar\Delta' - \bar\Delta \rVert_2} \ (j \ne y), "
        r"\quad p = \mathrm{softmax}(z / \rho)",
        _slope,
    ),
    parameters=(TAU, RHO, NU),
    source=MAO,
    facts=(
        Fact(
            "For nu >= sqrt(K - 1)/rho, with z' the worst in the ball, it is at least the "
            "adversarial comp-sum loss of the ramps min(max(0, 1 - u/rho), 1) of the differences "
            "u = z'_y - z'_j, because Phi^tau is 1-Lipschitz and a ramp is at most exp(-u/rho)",
            _bounds_the_ramps,
            trait="adversarial",
            when="nu >= sqrt(K - 1)/rho",
        ),
        Fact(
            "For tau >= 1 already nu >= 1/rho does, whatever K, and the bound then is even above "
            "the worst comp-sum loss of z'/rho, which is 1/rho-Lipschitz in the 2-norm of the "
            "score differences",
            _bounds_the_worst,
        ),
        Fact(
            "An adversarial H-consistency bound holds for hypothesis sets that are locally "
            "rho-consistent, with the surrogate side divided by Phi^tau(1).",
            status="quoted",
            source=MAO,
        ),
        convex(
            "tau in [0, 1]",
            why="clean and attacked scores together; comp-sum is, and a norm of a linear map is",
        ),
        Fact(
            "An adversary that moves nothing: comp-sum of logits / rho",
            lambda z, m, y: (
                adv_comp_sum(z, z, y, tau=0.5, rho=2.0, reduction="none"),
                comp_sum(z / 2, y, tau=0.5, reduction="none"),
            ),
        ),
        Fact(
            "nu = 0, rho = 1, tau = 1 is cross-entropy",
            lambda z, m, y: (adv_comp_sum(z, m, y, nu=0.0), F.cross_entropy(z, y)),
        ),
    ),
    stability="The first term is `comp_sum`; the norm is scaled against overflow and has gradient "
    "0 where nothing moved, so an attack on it needs a random start.",
    notes="The value depends on the attack: a weak attack under-states the second term. "
    "`lossviz.losses.adv_comp_sum_at` attacks a model, `train_adv_comp_sum` trains it.",
    related=("comp_sum", "cross_entropy"),
    view={
        "frames": "nu",
        "scale": "log",
        "labels": ("margin of the clean input", "margin of the attacked input"),
    },
    also=("adversarial training", "ADV-COMP-SUM", "adversarial robustness"),
    use="Inputs may be moved by an adversary inside a ball, and an attack of the model "
    "is affordable at each step.",
    avoid="Only label noise is feared: nothing here helps against it. The attack is "
    "weak: the second term is then too small.",
)
def adv_comp_sum(
    logits: torch.Tensor,
    adversarial: torch.Tensor,
    target: torch.Tensor,
    *,
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
) -> torch.Tensor:
    """Smooth adversarial comp-sum loss: that of the clean input, plus how far scores can be moved.

    The definition takes the second term at the worst z' of the ball around the input:
    `adv_comp_sum_at` finds it. In nats (tau = 1). Gradients flow to both logits; at equal ones the
    second term is 0, with gradient 0. A class that both rule out (-inf) does not count; one that
    one side alone rules out makes the second term inf, with the gradient of one far below.
    """
    return _clean_and_shift(logits, adversarial, target, tau=tau, rho=rho, nu=nu)


def _slopes(
    logits: torch.Tensor, adversarial: torch.Tensor, target: torch.Tensor, **options: float
) -> tuple[torch.Tensor, ...] | None:
    tau, rho, nu = (options[name] for name in ("tau", "rho", "nu"))
    clean, index, exact = widen(logits), target.unsqueeze(-1), row_dtype(logits)
    scores = clean if rho == 1 else clean.to(exact) / rho
    first = row_slopes(lambda row: row.box_cox(tau - 1.0), scores, target)
    change = adversarial.to(exact) - clean
    change = torch.sub(change.gather(-1, index), change, out=change)
    length = torch.linalg.vector_norm(change, dim=-1, keepdim=True)
    if first is None or not bool(((length > 1e-140) & length.isfinite()).all()):
        return None
    pull = nu / length
    own = pull * change.sum(-1, keepdim=True)
    of_moved = change.to(clean.dtype).mul_(-pull.to(clean))
    rows, slope = first
    slope = slope.div_(rho).sub_(of_moved).scatter_add_(-1, index, -own.to(slope))
    return rows + nu * length.squeeze(-1), slope, of_moved.scatter_(-1, index, own.to(clean))


@partial(by_rows, slopes=_slopes)
def _clean_and_shift(
    logits: torch.Tensor, adversarial: torch.Tensor, target: torch.Tensor, **options: float
) -> torch.Tensor:
    logits, adversarial = (x.to(row_dtype(x)) for x in (logits, adversarial))
    rows = Rows(logits / options["rho"], target).box_cox(options["tau"] - 1.0)
    return rows + options["nu"] * shift(logits, adversarial, target)
