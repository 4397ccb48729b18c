r"""EnsLoss: every step of training uses another, randomly drawn, convex and calibrated margin loss.

Only the derivative of a margin loss enters a gradient step. So derivatives are drawn instead of
losses: negative at 0 (calibration), non-decreasing in the margin (convexity) and of a magnitude
that falls like 1/z beyond margin 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .checks import check_reduction, reduce_rows, row_dtype, seen
from .declaration import Limit, Loss, Parameter, Property, Source

BINARY_SCORES = "binary scores with random draws"

LAM = Parameter(
    name="lam",
    symbol=r"\lambda",
    default=0.0,
    low=-math.inf,
    high=math.inf,
    slider=(-1.0, 1.0, 0.1),
    meaning="power of the inverse Box-Cox transform that turns normal draws into magnitudes",
    at_low="heavy tails: most magnitudes are clipped to 1",
    at_high="magnitudes near 1: close to a hinge loss without an end",
)
CLIP = Parameter(
    name="clip",
    symbol="m",
    default=-1.0,
    low=-math.inf,
    high=0.0,
    high_open=True,
    slider=(-2.0, -0.2, 0.1),
    meaning="the most negative derivative",
    at_low="rare examples may get a very large step",
    at_high="all steps are alike",
)
EPS = Parameter(
    name="eps",
    symbol=r"\epsilon",
    default=1e-6,
    low=0.0,
    high=math.inf,
    low_open=True,
    slider=(1e-6, 1e-3, 1e-6),
    meaning="distance by which every derivative stays below 0",
    at_low="barely calibrated",
    at_high="nearly the same step for every example",
)


def loss_derivatives(
    margins: torch.Tensor,
    z_normal: torch.Tensor,
    *,
    lam: float = 0.0,
    clip: float = -1.0,
    eps: float = 1e-6,
) -> torch.Tensor:
    """One draw of loss derivatives at the margins (B,) from standard normal draws (B,).

    The draws become magnitudes through the inverse Box-Cox transform of power `lam` (exp at 0), at
    most -`clip`; the largest goes to the smallest margin and so on; beyond margin 1 they are
    divided by the margin; `eps` keeps them from 0. Returns (B,) float64, negative, non-decreasing
    in the margin, without gradient.

    Raises TypeError or ValueError for parameters outside their ranges or unequal shapes.
    """
    lam, clip, eps = LAM.check(lam), CLIP.check(clip), EPS.check(eps)
    _check_scores(margins, "margins")
    _check_scores(z_normal, "z_normal")
    if margins.shape != z_normal.shape:
        raise ValueError(
            f"z_normal must have shape {tuple(margins.shape)}, one draw a margin, "
            f"got {tuple(z_normal.shape)}"
        )
    margins = margins.detach().to(row_dtype(margins))
    drawn = z_normal.detach().to(margins)
    if lam != 0:
        # log(0) = -inf is meant: a base of 0 is magnitude 0 for lam > 0 and infinite for lam < 0
        drawn = torch.log1p((lam * drawn).clamp_min(-1.0)) / lam
    derivatives = (-drawn.exp()).sort().values.clamp_min(clip)
    ranks = margins.argsort(stable=True).argsort(stable=True)
    return derivatives[ranks] / margins.clamp_min(1.0) - eps


def _check_scores(scores: Any, name: str) -> None:
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(scores).__name__}")
    if not scores.is_floating_point():
        raise TypeError(f"{name} must have a floating dtype, got {scores.dtype}")
    if scores.ndim != 1:
        raise ValueError(f"{name} must have shape (B,), got {tuple(scores.shape)}")


def ensloss(
    output: torch.Tensor,
    target01: torch.Tensor,
    z_normal: torch.Tensor | None = None,
    *,
    lam: float = 0.0,
    clip: float = -1.0,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""EnsLoss step: a random derivative for each margin of a batch, times the margin.

    .. math:: \frac1B \sum_i g_i\, m_i, \qquad m_i = (2 t_i - 1)\, o_i, \qquad
              g_i \text{ drawn, held fixed} .

    Parameters
    ----------
    output : floating tensor (B,), the scores o of a batch; computed in float64.
    target01 : tensor (B,) of labels 0 and 1, integer, boolean or floating.
    z_normal : floating tensor (B,) of standard normal draws, or None (default) to draw them here
        from torch's global generator.
    lam : number, default 0: power of the inverse Box-Cox transform, 0 for log-normal magnitudes.
    clip : number below 0, default -1: the most negative derivative.
    eps : number above 0, default 1e-6.
    reduction : "mean" (default), "sum" or "none".

    Returns
    -------
    A number whose gradient is that of a drawn loss, in the dtype of `output`; it is no loss value,
    may be negative, and says nothing about progress: do not plot it. A batch of one is a perceptron
    step of random size.

    Raises
    ------
    TypeError for a wrong dtype; ValueError for unequal shapes or devices, labels other than 0 and 1
    (checked on the CPU), a parameter outside its range or an unknown reduction.

    Notes
    -----
    The authors' configurations never redraw lam (their default), so magnitudes are log-normal,
    clipped at 1. Source: Dai (2025).
    """
    check_reduction(reduction)
    _check_scores(output, "output")
    if not isinstance(target01, torch.Tensor):
        raise TypeError(f"target01 must be a torch.Tensor, got {type(target01).__name__}")
    if target01.shape != output.shape:
        raise ValueError(
            f"target01 must have the shape of output, {tuple(output.shape)}, "
            f"got {tuple(target01.shape)}"
        )
    if target01.device != output.device:
        raise ValueError(f"target01 is on {target01.device}, output on {output.device}: move one")
    wrong = (target01 != 0) & (target01 != 1)
    if seen(wrong):
        raise ValueError(f"target01 must hold 0 and 1, got {target01[wrong][0].item()!r}")
    margins = torch.where(target01 == 1, output, -output).to(row_dtype(output))
    if z_normal is None:
        z_normal = torch.randn_like(margins)
    rows = loss_derivatives(margins, z_normal, lam=lam, clip=clip, eps=eps) * margins
    kept = torch.ones_like(rows, dtype=torch.bool)
    return reduce_rows(rows, kept, reduction, output.dtype)


def draw_lam(generator: torch.Generator | None = None) -> float:
    """A power `lam` drawn uniformly from (-1, 1), as the method redraws it every few epochs."""
    return 2 * torch.rand((), generator=generator, dtype=torch.float64).item() - 1


# --- declarations ---------------------------------------------------------------------------------

DAI = Source(
    "dai2025ensloss",
    "the generated loss derivatives",
    "the authors' code redraws lam only on request (never by default) and clips magnitudes at 1",
)


def _example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    output, draws = 2 * torch.randn(2, 16, generator=generator, dtype=torch.float64)
    return output, torch.arange(16) % 2, draws


def _gradient_is_the_draw() -> tuple[torch.Tensor, torch.Tensor]:
    output, target, draws = _example()
    output.requires_grad_()
    (slope,) = torch.autograd.grad(ensloss(output, target, draws, reduction="sum"), output)
    sign = 2 * target - 1
    return slope, sign * loss_derivatives(sign * output, draws)


def _log_normal() -> tuple[torch.Tensor, torch.Tensor]:
    output, target, draws = _example()
    return ensloss(output, target, draws, lam=1e-12), ensloss(output, target, draws)


def _batch_of_one() -> tuple[torch.Tensor, torch.Tensor]:
    output = torch.tensor([0.4], dtype=torch.float64)
    draw = torch.tensor([-1.5], dtype=torch.float64)
    return loss_derivatives(output, draw, eps=1e-12), -draw.exp()


ENSLOSS = Loss(
    key="ensloss",
    title="EnsLoss",
    family="margin",
    function=ensloss,
    summary="Each step descends another randomly drawn convex, calibrated margin loss.",
    latex=r"\frac1B \sum_i g_i\, m_i, \qquad m_i = (2 t_i - 1)\, o_i, \qquad "
    r"g_{(1)} \le g_{(2)} \le \dots \le g_{(B)} < 0 \text{ in the order of } m",
    gradient=r"\frac{\partial}{\partial o_i} = \frac{(2 t_i - 1)\, g_i}{B}",
    inputs=BINARY_SCORES,
    parameters=(LAM, CLIP, EPS),
    source=DAI,
    properties=(
        Property(
            "convex",
            "In every draw the derivatives do not decrease with the margin: they are subgradients "
            "of one convex loss at all margins of the batch.",
            source=DAI,
        ),
        Property(
            "calibrated",
            "In every draw with different margins some convex loss has these derivatives and a "
            "single, negative derivative at 0, which is what calibration asks of a convex loss.",
            source=Source("bartlett2006convexity", "calibration of convex margin losses"),
        ),
        Property(
            "tail",
            "Beyond margin 1 the magnitude falls like 1/z, so that very safe examples fade, though "
            "the loss drawn may be unbounded below.",
            "quoted",
            DAI,
        ),
    ),
    limits=(
        Limit("the gradient is the drawn derivative", _gradient_is_the_draw),
        Limit("lam to 0 is log-normal", _log_normal, rtol=1e-8),
        Limit("a batch of one: the draw itself", _batch_of_one),
    ),
    stability="The power is taken through log1p, so that it passes smoothly through lam = 0; an "
    "infinite magnitude ends at the clip.",
    notes="The returned number is no loss and must not be plotted as one. The published "
    "configurations leave lam at 0 throughout, so the ensemble is one of log-normal magnitudes. "
    "Equal margins get different derivatives: a network that starts with all scores 0 descends a "
    "loss with a kink at 0, which is convex but not calibrated. "
    "`lossviz.losses.ensemble.draw_lam` redraws it.",
    related=("logistic", "sum_exponential", "l2_svm"),
)
