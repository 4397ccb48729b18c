r"""EnsLoss: every step of training uses another, randomly drawn, convex and calibrated margin loss.

Only the derivative of a margin loss enters a gradient step. So derivatives are drawn instead of
losses: negative at 0 (calibration), non-decreasing in the margin (convexity) and of a magnitude
that falls like 1/z beyond margin 1.
"""

from __future__ import annotations

from typing import Any

import torch

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, number, row_dtype
from ...declaration.kinds import DRAWS, SCORES, TRUTH, VALUES
from ...declaration.numbers import at_least

DRAWN = Argument(
    "z_normal",
    DRAWS,
    "B",
    "Drawn here from torch's global generator if None",
    optional=True,
)
BINARY_SCORES = Inputs(
    Argument("output", SCORES, "B"),
    Argument("target01", TRUTH, "B"),
    DRAWN,
    rows="B",
    coupled=True,
)
MARGINS = Inputs(Argument("margins", VALUES, "B"), Argument("z_normal", DRAWS, "B"), rows="B")

LAM = number(
    "lam", r"\lambda", "(-inf, inf)", (-1.0, 1.0, 0.1),
    "power of the inverse Box-Cox transform that turns normal draws into magnitudes",
    "half of the magnitudes are clipped to 1 and the others near it: a hinge loss without an end",
    "half of the magnitudes are clipped to 1, and more and more of the others vanish",
    label="spread of the random slopes", ends=("near 1", "down to 0"),
)  # fmt: skip
CLIP = number(
    "clip", "m", "(-inf, 0)", (-2.0, -0.2, 0.1),
    "the most negative derivative",
    "rare examples may get a very large step",
    "all steps are alike",
)  # fmt: skip
EPS = number(
    "eps", r"\epsilon", "(0, inf)", (1e-6, 1e-3, 1e-6),
    "distance by which every derivative stays below 0",
    "barely calibrated",
    "nearly the same step for every example",
)  # fmt: skip

DAI = Source(
    "dai2025ensloss",
    "the generated loss derivatives",
    "the authors' code redraws lam only on request (never by default) and clips magnitudes at 1",
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
    in the margin, without gradient; all NaN if any margin or draw is.

    Raises TypeError or ValueError for parameters outside their ranges or unequal shapes.
    """
    lam, clip, eps = LAM.check(lam), CLIP.check(clip), EPS.check(eps)
    MARGINS.check({"margins": margins, "z_normal": z_normal})
    return _derivatives(margins, z_normal, lam, clip, eps)


def _derivatives(
    margins: torch.Tensor, z_normal: torch.Tensor, lam: float, clip: float, eps: float
) -> torch.Tensor:
    margins = margins.detach().to(row_dtype(margins))
    drawn = z_normal.detach().to(margins)
    if lam != 0:
        # log(0) = -inf is meant: a base of 0 is magnitude 0 for lam > 0 and infinite for lam < 0
        drawn = torch.log1p((lam * drawn).clamp_min(-1.0)) / lam
    derivatives = (-drawn.exp()).sort().values
    ranks = margins.argsort(stable=True).argsort(stable=True)
    # NaN has no rank, so that no derivative of the batch is known
    unknown = (margins.isnan() | z_normal.isnan()).any()
    return torch.where(
        unknown, torch.nan, at_least(derivatives, clip)[ranks] / margins.clamp_min(1.0) - eps
    )


def draw_lam(generator: torch.Generator | None = None) -> float:
    """A power `lam` drawn uniformly from (-1, 1), as the method redraws it every few epochs."""
    return 2 * torch.rand((), generator=generator, dtype=torch.float64).item() - 1


def _slope(o: torch.Tensor, t: torch.Tensor, z: torch.Tensor, **parameters: Any) -> torch.Tensor:
    sign = torch.where(t, 1.0, -1.0).double()
    return sign * loss_derivatives(sign * o, z, **parameters)


@declare(
    family="margin",
    inputs=BINARY_SCORES,
    latex=r"\ell_i = g_i\, m_i, \qquad m_i = (2 t_i - 1)\, o_i, \qquad "
    r"g_{(1)} \le g_{(2)} \le \dots \le g_{(B)} < 0 \text{ drawn, in the order of } m",
    gradient=Gradient(r"\frac{\partial \ell_i}{\partial o_i} = (2 t_i - 1)\, g_i", _slope),
    parameters=(LAM, CLIP, EPS),
    source=DAI,
    facts=(
        Fact(
            "In every draw the derivatives do not decrease with the margin: they are subgradients "
            "of one convex loss at all margins of the batch",
            lambda o, t, z: ((g := loss_derivatives(o, z))[o.argsort()], g.sort().values),
            source=DAI,
        ),
        Fact(
            "In every draw with different margins all derivatives are at most -eps, so some convex "
            "loss has these and a single, negative derivative at 0: it is calibrated",
            lambda o, t, z: (g := loss_derivatives(o, 9 * z, eps=0.1), g.clamp_max(-0.1)),
            source=Source("bartlett2006convexity", "calibration of convex margin losses"),
        ),
        Fact(
            "Beyond margin 1 the magnitude falls like 1/z, so that very safe examples fade, though "
            "the loss drawn may be unbounded below.",
            status="quoted",
            source=DAI,
        ),
        Fact(
            "lam to 0 is log-normal",
            lambda o, t, z: (ensloss(o, t, z, lam=1e-12), ensloss(o, t, z)),
            rtol=1e-8,
        ),
        Fact(
            "A batch of one at a margin below 1: the draw itself, exp of a normal number",
            lambda o, t, z: (
                ensloss(-o[:1].abs(), t[:1] | True, -z[:1].abs(), eps=1e-12),
                o[0].abs() * (-z[0].abs()).exp(),
            ),
        ),
    ),
    stability="The power is taken through log1p, so that it passes smoothly through lam = 0; an "
    "infinite magnitude ends at the clip.",
    notes="The published configurations leave lam at 0 throughout, so the ensemble is one of "
    "log-normal magnitudes; `lossviz.losses.draw_lam` redraws it. Equal margins get different "
    "derivatives: a network that starts with all scores 0 descends a loss with a kink at 0, which "
    "is convex but not calibrated.",
    related=("logistic", "sum_exponential", "l2_svm"),
    breaks=("shift of B", "derivative"),
    view={
        "pull": "pull on example A",
        "at": {"target01": (1, 1), "z_normal": (-1.0, 0.5)},
        "labels": ("margin of example A", "margin of example B"),
        "says": "The value would mean nothing. Of two examples the one of smaller margin gets the "
        "larger pull: hence the step on the diagonal.",
    },
    also=("ensemble of losses", "random losses", "stochastic loss"),
    use="Two classes, and a regulariser like dropout, but on the loss instead of the network.",
    avoid="There are more than two classes, a loss value is to be watched, or "
    "probabilities are wanted.",
)
def ensloss(
    output: torch.Tensor,
    target01: torch.Tensor,
    z_normal: torch.Tensor | None,
    *,
    lam: float = 0.0,
    clip: float = -1.0,
    eps: float = 1e-6,
) -> torch.Tensor:
    """EnsLoss: each step descends another randomly drawn convex, calibrated margin loss.

    A random derivative for each margin of the batch, held fixed, times the margin, in float64. Only
    the gradient is that of a drawn loss: the number may be negative and says nothing about
    progress, so do not plot it. A batch of one is a perceptron step of random size.
    """
    margins = torch.where(target01, output, -output).to(row_dtype(output))
    if z_normal is None:
        z_normal = torch.randn_like(margins)
    return _derivatives(margins, z_normal, lam, clip, eps) * margins
