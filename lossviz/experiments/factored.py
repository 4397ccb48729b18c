r"""The exact gradient step of a last linear layer, at the same cost for any number of classes.

A loss of the spherical family sees the scores :math:`o = W h` of K classes through three numbers,
:math:`s = \sum_k o_k`, :math:`q = \sum_k o_k^2` and :math:`o_y`, so its gradient in W is

.. math:: 2\, \ell_q\, W h h^\top + \ell_s\, \mathbf 1 h^\top + \ell_{o_y}\, e_y h^\top :

W times a small matrix, one row added to all rows, and one row. With
:math:`W = V U + \mathbf 1 \omega^\top` the first two parts change the small U and :math:`\omega`
only, and the third one row of V; with :math:`Q = W^\top W` and :math:`\bar w = W^\top \mathbf 1`
kept up to date, no score but the target's is ever computed.
Source: Vincent, de Brébisson and Bouthillier (2015).
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F

from ..declaration import CLASS_LOGITS
from ..losses.logits.spherical import EPS, LOCATION, SHARPNESS

SCORES = CLASS_LOGITS.renamed(logits="scores")


class SphericalLoss(Protocol):
    """Row losses (N,) from sums s, sums of squares q, target scores, all (N,), and from K."""

    def __call__(
        self, s: torch.Tensor, q: torch.Tensor, chosen: torch.Tensor, num_classes: int
    ) -> torch.Tensor: ...


def z_loss_of_sums(*, a: float = 1.0, b: float = 0.0) -> SphericalLoss:
    """`spherical_z_loss` as a function of the three numbers; parameters as there.

    The variance is a difference of two large numbers when all scores are far from 0, which the row
    form avoids: keep scores centred, or take the dense loss.
    """
    a, b = SHARPNESS.check(a), LOCATION.check(b)

    def rows(
        s: torch.Tensor, q: torch.Tensor, chosen: torch.Tensor, num_classes: int
    ) -> torch.Tensor:
        mean = s / num_classes
        z = (chosen - mean) / (q / num_classes - mean.square()).sqrt()
        return F.softplus(a * (b - z)) / a

    return rows


def taylor_softmax_of_sums() -> SphericalLoss:
    """`taylor_softmax` as a function of the three numbers."""

    def rows(
        s: torch.Tensor, q: torch.Tensor, chosen: torch.Tensor, num_classes: int
    ) -> torch.Tensor:
        return (num_classes + s + q / 2).log() - (1 + chosen + chosen.square() / 2).log()

    return rows


def spherical_softmax_of_sums(*, eps: float = EPS.default) -> SphericalLoss:
    """`spherical_softmax` as a function of the three numbers; parameters as there."""
    eps = EPS.check(eps)

    def rows(
        s: torch.Tensor, q: torch.Tensor, chosen: torch.Tensor, num_classes: int
    ) -> torch.Tensor:
        return (q + num_classes * eps).log() - (chosen.square() + eps).log()

    return rows


class FactoredHead:
    r"""A last linear layer (K, d) in factors, trained by gradient descent on a spherical loss.

    Parameters
    ----------
    weight : float32 or float64 tensor (K, d): the first weights. They are copied.
    loss : what `z_loss_of_sums` and its like return.

    Raises
    ------
    TypeError or ValueError for a weight that is not a float32 or float64 tensor (K, d).

    Notes
    -----
    A step with N examples costs :math:`O(N d^2 + N^2 d + N^3)`. Rounding errors gather slowly in U
    and its inverse; `refresh` starts anew from the present weights, at :math:`O(K d^2)`.
    """

    def __init__(self, weight: torch.Tensor, loss: SphericalLoss) -> None:
        if not isinstance(weight, torch.Tensor):
            raise TypeError(f"weight must be a torch.Tensor, got {type(weight).__name__}")
        if weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"weight must have dtype float32 or float64, got {weight.dtype}")
        if weight.ndim != 2 or 0 in weight.shape:
            raise ValueError(f"weight must have shape (K, d), got {tuple(weight.shape)}")
        self.loss = loss
        self._start(weight.detach().clone())

    def _start(self, weight: torch.Tensor) -> None:
        self._rows = weight  # V
        self._turn = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)  # U
        self._back = self._turn.clone()  # the inverse of U
        self._shared = torch.zeros_like(weight[0])  # omega
        self._gram = weight.T @ weight  # Q
        self._total = weight.sum(0)  # the sum of all rows

    @property
    def weight(self) -> torch.Tensor:
        """The weights (K, d) as one tensor, made at :math:`O(K d^2)`."""
        return self._rows @ self._turn + self._shared

    def refresh(self) -> None:
        """Replace the factors by their product, and so drop the rounding errors gathered."""
        self._start(self.weight)

    def step(
        self, features: torch.Tensor, target: torch.Tensor, *, lr: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of gradient descent on the mean loss of a batch.

        features : floating tensor (N, d), what the layer before gives; target : integer tensor (N,)
        of labels in [0, K); lr : step size. Returns the mean loss before the step, and its gradient
        in `features` (N, d), to hand on to that layer. No tensor with K rows is touched, only the
        rows of the targets.

        Raises TypeError or ValueError for features or labels of a wrong kind, shape or range.
        """
        h, y = self._check(features, target)
        count = len(self._rows)
        target_rows = self._rows[y] @ self._turn + self._shared
        loss, (by_sum, by_squares, by_target) = self._slopes(
            h @ self._total, ((h @ self._gram) * h).sum(1), (target_rows * h).sum(1), count
        )
        to_features = (
            2 * by_squares[:, None] * (h @ self._gram)
            + by_sum[:, None] * self._total
            + by_target[:, None] * target_rows
        )
        # new W = W M - 1 shift' - (rows of the targets moved)
        shrink = 2 * lr * by_squares[:, None] * h  # M = 1 - h' shrink
        shift = lr * by_sum @ h
        moved = lr * by_target[:, None] * h
        self._update_sums(h, shrink, shift, moved, target_rows, y, count)
        self._turn -= (self._turn @ h.T) @ shrink
        self._shared -= self._shared @ h.T @ shrink + shift
        inner = torch.eye(len(h), dtype=h.dtype, device=h.device) - shrink @ h.T
        self._back += h.T @ torch.linalg.solve(inner, shrink @ self._back)
        self._rows.index_add_(0, y, moved @ self._back, alpha=-1)
        return loss, to_features

    def _check(
        self, features: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        width = self._rows.shape[1]
        if not isinstance(features, torch.Tensor) or features.dtype != self._rows.dtype:
            raise TypeError(f"features must be a tensor of dtype {self._rows.dtype}")
        if features.ndim != 2 or features.shape[1] != width:
            raise ValueError(f"features must have shape (N, {width}), got {tuple(features.shape)}")
        # an expanded view: the check wants logits, and K numbers per row must not be made
        view = features[:, :1].expand(-1, len(self._rows))
        return features.detach(), SCORES.check({"scores": view, "target": target})["target"]

    def _slopes(
        self, s: torch.Tensor, q: torch.Tensor, chosen: torch.Tensor, count: int
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        numbers = tuple(one.requires_grad_() for one in (s, q, chosen))
        with torch.enable_grad():
            loss = self.loss(s, q, chosen, count).mean()
            slopes = torch.autograd.grad(loss, numbers, allow_unused=True, materialize_grads=True)
        return loss.detach(), slopes

    def _update_sums(
        self,
        h: torch.Tensor,
        shrink: torch.Tensor,
        shift: torch.Tensor,
        moved: torch.Tensor,
        target_rows: torch.Tensor,
        y: torch.Tensor,
        count: int,
    ) -> None:
        """Q and the sum of rows of W M - 1 shift' - E, from those of W."""
        total = self._total - self._total @ h.T @ shrink
        half = self._gram - (self._gram @ h.T) @ shrink
        gram = half - shrink.T @ (h @ half)
        target_rows = target_rows - (target_rows @ h.T) @ shrink  # the targets' rows of W M
        cross = torch.outer(total, shift) + target_rows.T @ moved
        gone = moved.sum(0)
        same = (y[:, None] == y).to(h.dtype)  # examples of one class move the same row
        cross -= torch.outer(gone, shift)
        self._gram = gram - cross - cross.T + count * torch.outer(shift, shift)
        self._gram += moved.T @ (same @ moved)
        self._total = total - count * shift - gone
