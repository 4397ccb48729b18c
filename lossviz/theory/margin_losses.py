r"""Convex losses of a binary margin, with what two classes make of them in closed form.

A classifier gives one score s; class 1, of probability :math:`(1 + \beta)/2`, pays phi(s) and the
other class phi(-s). The score's sign is the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .symbolic import BETA

SCORE = sp.Symbol("s", real=True)
_HALF = sp.Rational(1, 2)


@dataclass(frozen=True)
class MarginLoss:
    """A convex, non-increasing phi with phi'(0) < 0, and its optimum for two classes.

    `phi` is a sympy expression of `SCORE`; `minimiser`, of `symbolic.BETA` in (0, 1), a score of
    least conditional risk; `transform`, of BETA in [0, 1], the least risk of a score that predicts
    the less likely class, minus the least risk. `lossviz.theory.margin_transform` finds the same by
    search.
    """

    phi: sp.Expr
    minimiser: sp.Expr
    transform: sp.Expr

    def conditional_risk(self, score: sp.Expr = SCORE, beta: sp.Expr = BETA) -> sp.Expr:
        """The mean loss of a score at an input whose class 1 leads by `beta`."""
        right, wrong = self.phi.subs(SCORE, score), self.phi.subs(SCORE, -score)
        return (1 + beta) / 2 * right + (1 - beta) / 2 * wrong


def _entropy_gap() -> sp.Expr:
    terms = [sp.Piecewise((0, sp.Eq(x, 0)), (x * sp.log(x), True)) for x in (1 + BETA, 1 - BETA)]
    return sp.Add(*terms) / 2


_ODDS = (1 - BETA) / (1 + BETA)

MARGIN_LOSSES = {
    "cross-entropy": MarginLoss(sp.log(1 + sp.exp(-SCORE)), -sp.log(_ODDS), _entropy_gap()),
    "exponential": MarginLoss(sp.exp(-SCORE), -sp.log(_ODDS) / 2, 1 - sp.sqrt(1 - BETA**2)),
    "squared hinge": MarginLoss(sp.Max(0, 1 - SCORE) ** 2, BETA, BETA**2),
    "hinge": MarginLoss(sp.Max(0, 1 - SCORE), sp.Integer(1), BETA),
    # Linear on the middle of the axis, where ties are broken; its corner at 1 is rounded off.
    "rounded hinge": MarginLoss(
        sp.Piecewise(
            (1 - SCORE, SCORE <= _HALF),
            ((3 * _HALF - SCORE) ** 2 / 2, SCORE < 3 * _HALF),
            (0, True),
        ),
        3 * _HALF - _ODDS,
        1 - (1 - BETA) * (5 - _ODDS) / 4,
    ),
}
"""By the names under which books have them; cross-entropy is the logistic loss of two classes."""
