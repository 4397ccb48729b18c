"""Entropy inside a network: attention that is too sharp or too flat, and ways around the softmax.

Queries, keys and values are rows (T, d); everything is float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor


def _matrix(name: str, values: Array) -> torch.Tensor:
    x = as_tensor(name, values)
    if x.ndim != 2 or not x.numel() or not x.isfinite().all():
        raise ValueError(f"{name} must be finite rows (T, d), got {tuple(x.shape)}")
    return x


def _queries(q: Array, k: Array, v: Array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    queries, keys, values = _matrix("q", q), _matrix("k", k), _matrix("v", v)
    if queries.shape != keys.shape or len(values) != len(keys):
        raise ValueError(
            f"q and k must have one shape and v as many rows, got {tuple(queries.shape)}, "
            f"{tuple(keys.shape)} and {tuple(values.shape)}"
        )
    return queries, keys, values


class Attended(NamedTuple):
    """Attention weights (T, T), lower triangular with rows that sum to 1, and outputs (T, e)."""

    weights: torch.Tensor
    output: torch.Tensor


def crrelu(x: torch.Tensor, *, epsilon: float | torch.Tensor = 0.01) -> torch.Tensor:
    """Correction-regularised ReLU: max(0, x) + epsilon x exp(-x^2 / 2), elementwise.

    `epsilon` may be learnt. The bump is largest at 1 and -1, epsilon / sqrt(e), and gives a
    gradient near 0 to units that ReLU has shut. The slope at 0 is epsilon.
    """
    return torch.relu(x) + epsilon * x * (-x.square() / 2).exp()


def qk_layernorm_logits(
    q: Array, k: Array, *, eps: float = 1e-6, gain: float = 1.0
) -> torch.Tensor:
    """Attention logits (T, S) of layer-normalised queries (T, d) and keys (S, d), over sqrt(d).

    At a gain of 1 none exceeds sqrt(d), however long the vectors.
    """
    queries, keys = _matrix("q", q), _matrix("k", k)
    if queries.shape[1] != keys.shape[1]:
        raise ValueError(f"q and k must have one width, got {queries.shape[1]}, {keys.shape[1]}")
    width = queries.shape[1]
    one, other = (
        gain * torch.nn.functional.layer_norm(x, (width,), eps=eps) for x in (queries, keys)
    )
    return one @ other.mT / math.sqrt(width)


def softplus_attention(q: Array, k: Array, v: Array) -> Attended:
    """Causal attention whose scores grow with the logarithm of the place and pass a softplus.

    Row i, from 1 on, has softplus(log d log i cos(q_i, k_j)) for j <= i, divided by the row's sum.
    Source: Gao et al. (2025), as summarised by others; the paper's text was not available.
    """
    queries, keys, values = _queries(q, k, v)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (queries, keys)]
    place = torch.arange(1, len(queries) + 1, dtype=torch.float64)
    scores = math.log(queries.shape[1]) * place.log()[:, None] * (unit[0] @ unit[1].mT)
    raw = torch.nn.functional.softplus(scores).tril()
    weights = raw / raw.sum(-1, keepdim=True)
    return Attended(weights, weights @ values)


def reweighted_attention(
    weights: torch.Tensor, values: Array, *, power: float = 3.0, eps: float = 1e-8
) -> Attended:
    """Attention weights (T, T) sharpened: ReLU(i A_ij - 1)^power, each row over its sum plus eps.

    The first three rows subtract nothing. Few weights above the average remain, which is what lets
    long sequences be attended to. Source: as of `softplus_attention`.
    """
    a, v = _matrix("weights", weights), _matrix("values", values)
    place = torch.arange(1, len(a) + 1, dtype=torch.float64)[:, None]
    raw = (place * a - (place > 3).double()).clamp_min(0).tril() ** power
    sharp = raw / (raw.sum(-1, keepdim=True) + eps)
    return Attended(sharp, sharp @ v)


def recurrent_attention(
    q: Array, k: Array, v: Array, *, order: int, normalise: bool = True
) -> torch.Tensor:
    """Causal softmax attention as a sum of recurrent networks, up to a power of the score (T, e).

    exp(q.k / sqrt(d)) is the sum over n of <q^n, k^n> / (sqrt(d)^n n!), so each power has a state
    that adds up v k^n and is read by q^n; states grow like d^n. `order` 1 is linear attention, and
    the error falls like a factorial once the order passes the largest score. Without `normalise`
    the sums are returned as they are. Raises ValueError for an order below 0. Source: Mongaras and
    Larson (2025).
    """
    queries, keys, values = _queries(q, k, v)
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise ValueError(f"order must be a whole number from 0 on, got {order!r}")
    scale = math.sqrt(queries.shape[1])
    values = torch.cat([values, torch.ones(len(values), 1, dtype=torch.float64)], -1)
    total = torch.zeros_like(values)
    powers = [torch.ones(len(keys), 1, dtype=torch.float64)] * 2
    for n in range(order + 1):
        states = torch.einsum("te,tp->tep", values, powers[1]).cumsum(0)
        total = total + torch.einsum("tep,tp->te", states, powers[0]) / (
            scale**n * math.factorial(n)
        )
        powers = [
            torch.einsum("tp,td->tpd", old, new).flatten(1)
            for old, new in zip(powers, (queries, keys), strict=True)
        ]
    return total[:, :-1] / total[:, -1:] if normalise else total[:, :-1]


class SoftmaxRegression(NamedTuple):
    """The loss, its gradient by x (d,), and the softmax (n,) of A x."""

    loss: torch.Tensor
    gradient: torch.Tensor
    probabilities: torch.Tensor


def softmax_regression(a: Array, x: Array, b: Array) -> SoftmaxRegression:
    """Half the squared distance of f = softmax(A x) to b, and A^T (diag f - f f^T)(f - b).

    The second is its gradient. `a` (n, d), `x` (d,), `b` (n,). Not convex, and flat where the
    softmax saturates.
    """
    matrix = _matrix("a", a)
    at, goal = as_tensor("x", x), as_tensor("b", b)
    if at.shape != matrix.shape[1:] or goal.shape != matrix.shape[:1]:
        raise ValueError(
            f"a, x and b must be (n, d), (d,) and (n,), got {tuple(matrix.shape)}, "
            f"{tuple(at.shape)} and {tuple(goal.shape)}"
        )
    f = (matrix @ at).softmax(-1)
    off = f - goal
    return SoftmaxRegression(off.square().sum() / 2, matrix.mT @ (f * off - f * (f @ off)), f)


def learning_rate_sensitivity(final_losses: Array, *, initial: float, best: float) -> torch.Tensor:
    """How much is lost, on average over a grid of learning rates, by not knowing the best one.

    The mean of min(final loss, loss at initialisation) minus the best. Diverged runs (NaN or inf)
    count as the loss at initialisation. Source: Wortsman et al. (2024), section 2.
    """
    losses = as_tensor("final_losses", final_losses)
    if not losses.numel():
        raise ValueError("final_losses must have at least one entry, got none")
    return (torch.where(losses <= initial, losses, initial) - best).mean()
