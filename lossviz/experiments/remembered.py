"""ALDR-KL as its authors' code computes it: one temperature per training example, a step behind."""

from __future__ import annotations

import math

import torch

from ..declaration import CLASS_LOGITS, row_dtype
from ..losses import normalise_scores
from ..losses.logits.adaptive import ADAPTIVITY, LAM0, price
from ..losses.logits.robust import MARGIN, score_differences, smooth_maximum


class RememberedTemperature:
    """One temperature per training example, moved once a step, as in the authors' code for ALDR-KL.

    Before `aldr_kl`'s maximum is reached, lam is one step of its fixed-point equation behind: the
    weights come from softmax(scores / previous lam), ignore the margin and are smoothed by 1e-5.
    `temperatures` (num_examples,) starts at `lam0` and is the only state.

    Raises ValueError for num_examples < 1, lam0 <= 0, alpha <= 1 or margin < 0.
    """

    SMOOTHING = 1e-5

    def __init__(
        self, num_examples: int, *, lam0: float = 10.0, alpha: float = 2.0, margin: float = 0.1
    ) -> None:
        if isinstance(num_examples, bool) or not isinstance(num_examples, int) or num_examples < 1:
            raise ValueError(f"num_examples must be a positive int, got {num_examples!r}")
        self.lam0, self.alpha = LAM0.check(lam0), ADAPTIVITY.check(alpha)
        self.margin = MARGIN.check(margin)
        self.temperatures = torch.full((num_examples,), self.lam0, dtype=torch.float64)

    def __call__(
        self, scores: torch.Tensor, target: torch.Tensor, examples: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss of a batch: scores (N, K), labels (N,), and which training examples (N,).

        The scores are normalised as in the code, `normalise_scores(scores, "absolute")`.
        """
        checked = CLASS_LOGITS.renamed(logits="scores").check({"scores": scores, "target": target})
        scores, target = checked["scores"], checked["target"]
        num_classes = scores.shape[-1]
        scores = normalise_scores(scores.to(row_dtype(scores)), "absolute")
        previous = self.temperatures[examples].to(scores)
        with torch.no_grad():
            p = (scores / previous.unsqueeze(-1)).softmax(-1) + self.SMOOTHING
            p = p / p.sum(-1, keepdim=True)
            divergence = math.log(num_classes) + (p * p.log()).sum(-1)
            lam = self.lam0 - self.lam0 * divergence / (self.alpha * math.log(num_classes))
            self.temperatures[examples] = lam.to(self.temperatures)
        delta = score_differences(scores, target, self.margin)
        rows = smooth_maximum(delta, lam) - price(lam, self.lam0, self.alpha, num_classes)
        return rows.mean()
