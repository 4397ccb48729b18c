r"""The margin of the target class over all the others together, exact in both tails.

.. math:: m = z_y - \log\sum_{j \ne y} e^{z_j}, \qquad
          p_y = \frac{1}{1 + e^{-m}}, \qquad -\log p_y = \log(1 + e^{-m}).

Every loss of the target probability is a function of this one number per row. Carrying the
log-sum-exp of the *other* classes instead of all of them keeps what the usual
``z_y - logsumexp(z)`` rounds away: in float32 that difference is exactly 0 once the margin passes
about 17 nats, and with it the loss and the target's entry of the gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from .numbers import possible, row_dtype, widen


def target_margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Margin of the target class over the log-sum-exp of the others, in nats.

    Parameters
    ----------
    logits : floating tensor (..., K); half precision is computed in float32.
    labels : int64 tensor (...) with values in [0, K).

    Returns
    -------
    tensor (...), float64 where the device has it (a row holds one number, so this costs nothing).
    With one class the margin is as large as the dtype allows, so that the probability is 1.
    """
    if logits.shape[-1] == 0:  # a batch without anchors, each of which would be a class
        return logits.sum(-1).to(row_dtype(logits))
    return Others(logits, labels).margin()


class Others:
    """The classes (..., K) other than the target (...), relative to the largest of them.

    `gaps` are the differences, `weights` their exponentials and `total` (...) the sum of these;
    the target's own weight is 0. `chosen` and `largest` (...) are the target's logit and theirs.
    What has the shape of the rows is in their dtype.
    """

    def __init__(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        exact, logits, index = row_dtype(logits), widen(logits), labels.unsqueeze(-1)
        # The smallest finite number, not -inf: a row whose other classes are all -inf (or that has
        # no other class) then still has a finite maximum, and no difference is inf - inf.
        others = logits.scatter(-1, index, torch.finfo(logits.dtype).min)
        largest = others.detach().amax(-1, keepdim=True)
        self.gaps = others - largest
        self.weights = self.gaps.exp()
        self.total = self.weights.sum(-1).to(exact)
        self.chosen = logits.gather(-1, index).squeeze(-1).to(exact)
        self.largest = largest.squeeze(-1).to(exact)
        self._top: Top | None = None

    @property
    def top(self) -> Top:
        """The same as their leader sees them."""
        if self._top is None:
            self._top = from_the_top(self.gaps)
        return self._top

    def margin(self) -> torch.Tensor:
        """What the target's logit is ahead of the log-sum-exp of the others."""
        return self.chosen - self.largest - self.total.log()

    def entropy(self) -> torch.Tensor:
        """Entropy of the softmax over the others, in nats."""
        # a class ruled out, and the target: 0 * -inf is 0
        gaps = torch.where(self.weights == 0, 0.0, self.gaps)
        mean = (self.weights * gaps).sum(-1).to(self.total.dtype) / self.total
        return self.total.log() - mean

    def log_sum_square(self) -> torch.Tensor:
        """log of the sum of the squares of the softmax over the others."""
        return self.top.rest_of_squares().log1p() - 2 * self.top.rest.log1p()


class Top(NamedTuple):
    """Logits (..., K) relative to the largest of their row.

    `leader` (..., 1) is the class of the largest; `gaps` are the differences, `odds` their
    exponentials but 0 for the top class, `rest` the sum (...) of these in the dtype of rows. So the
    probability of the top class is 1 / (1 + rest), that of another its odds / (1 + rest), and what
    a sure row lacks of 1 has its digits. The top's own gap is a constant 0, so that no gradient
    cancels there.
    """

    leader: torch.Tensor
    gaps: torch.Tensor
    odds: torch.Tensor
    rest: torch.Tensor

    def probabilities(self) -> torch.Tensor:
        """The softmax (..., K), in the dtype of the odds."""
        share = (1 / (1 + self.rest)).unsqueeze(-1).to(self.odds)
        return (self.odds * share).scatter(-1, self.leader, share)

    def rest_of_squares(self) -> torch.Tensor:
        """Sum (...) of the squared odds, in the dtype of rows."""
        return self.odds.square().sum(-1).to(self.rest.dtype)

    def mean_gap(self, weights: torch.Tensor) -> torch.Tensor:
        """Sum (...) of the gaps by these weights (..., K), in the dtype of rows."""
        gaps = self.gaps
        if possible(gaps.detach().amin(-1).isneginf()):
            # 0 * -inf is 0 here; the factor is replaced, not the product, whose gradient would be
            # 0 * inf
            gaps = torch.where(weights == 0, 0.0, gaps)
        return (weights * gaps).sum(-1).to(self.rest.dtype)


def from_the_top(logits: torch.Tensor) -> Top:
    """The rows of logits (..., K) as their largest entry sees them."""
    index = largest(logits.detach())
    gaps = (logits - logits.gather(-1, index)).scatter(-1, index, 0.0)
    odds = gaps.exp().scatter(-1, index, 0.0)
    return Top(index, gaps, odds, odds.sum(-1).to(row_dtype(logits)))


def largest(logits: torch.Tensor, width: int = 64) -> torch.Tensor:
    """`logits.argmax(-1, keepdim=True)`, in pieces, because amax is ten times as fast."""
    count = logits.shape[-1]
    if count <= 2 * width or torch.compiler.is_compiling():
        return logits.argmax(-1, keepdim=True)
    pieces = logits.unfold(-1, width, width).amax(-1), logits[..., -width:].amax(-1, keepdim=True)
    first = (torch.cat(pieces, -1).argmax(-1, keepdim=True) * width).clamp_max(count - width)
    piece = first + torch.arange(width, device=logits.device)
    return first + logits.gather(-1, piece).argmax(-1, keepdim=True)


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Log-softmax (..., K) whose largest entry keeps its digits where the probability rounds to 1.

    Half precision is returned as float32.
    """
    top = from_the_top(widen(logits))
    return top.gaps - top.rest.log1p().unsqueeze(-1).to(top.gaps.dtype)
