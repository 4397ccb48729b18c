r"""Logistic regression by gradient descent, and the batch perceptron it becomes at enormous steps.

Features :math:`a_i` (N, d), signs :math:`y_i = \pm 1`, margins :math:`m_i = y_i\, a_i^\top \theta`,
no bias (append a constant feature to have one). All paths start at :math:`\theta_0 = 0` and are
computed in float64. Source: Tyurin (2025).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch


def lr_gd_perceptron(
    features: torch.Tensor, signs: torch.Tensor, *, step_size: float, steps: int
) -> torch.Tensor:
    r"""The path of logistic regression under gradient descent, whatever the step size.

    .. math:: \theta_{t+1} = \theta_t + \frac{\gamma}{n} \sum_i w_i\, y_i a_i, \qquad
              w_i = \frac{1}{1 + e^{m_i}} .

    Parameters
    ----------
    features : floating tensor (N, d).
    signs : tensor (N,) of labels -1 and 1, any dtype.
    step_size : number in (0, inf), the :math:`\gamma` of the formula.
    steps : int >= 0.

    Returns
    -------
    float64 tensor (steps + 1, d): the weights, row t after t steps.

    Raises
    ------
    TypeError for a wrong type; ValueError for wrong shapes, no point at all, signs other than -1
    and 1, values that are not finite, step_size <= 0 or steps < 0.

    Notes
    -----
    Divided by the step size, the path tends to `batch_perceptron` as the step size grows, as long
    as no point lies exactly on the perceptron's boundary. Source: Tyurin (2025), theorem 3.2.
    """
    gamma = _check_step_size(step_size)
    return _path(
        features, signs, steps, lambda margins: gamma / len(margins) * (-margins).sigmoid()
    )


def normalized_lr_gd(
    features: torch.Tensor, signs: torch.Tensor, *, step_size: float, steps: int
) -> torch.Tensor:
    r"""Logistic regression under normalised gradient descent: a weighted mean of the points.

    .. math:: \theta_{t+1} = \theta_t + \gamma\, \frac{\sum_i w_i\, y_i a_i}{\sum_i w_i} .

    Parameters, returns and errors as in `lr_gd_perceptron`.

    Notes
    -----
    The gradient step multiplied by the inverse of the mean weight. On separable data with largest
    norm R and best margin :math:`\mu` (of unit weights) all points are right for the first time
    after at most :math:`R^2 / \mu^2 + 2 \log(2 n - 1) / (\gamma \mu^2)` steps. It then goes on,
    towards the points of least margin, and may undo that for a while. The paper says in words that
    the factor tends to the number of misclassified points; by its own formula the limit is n
    divided by that number.
    Source: Tyurin (2025), theorem 6.1.
    """
    gamma = _check_step_size(step_size)

    def pull(margins: torch.Tensor) -> torch.Tensor:
        # log-weights: far beyond the boundary all weights vanish, but not their ratios
        return gamma * torch.nn.functional.logsigmoid(-margins).softmax(0)

    return _path(features, signs, steps, pull)


def batch_perceptron(
    features: torch.Tensor, signs: torch.Tensor, *, steps: int, normalized: bool = False
) -> torch.Tensor:
    r"""The perceptron that adds, at each step, all points that it has on the wrong side.

    .. math:: \theta_{t+1} = \theta_t + \frac1n \sum_{i : m_i \le 0} y_i a_i .

    Parameters
    ----------
    features, signs, steps : as in `lr_gd_perceptron`.
    normalized : divide by the number of misclassified points instead of n; default False.

    Returns
    -------
    float64 tensor (steps + 1, d): the weights; they stay where they are once all points are right.

    Raises
    ------
    As `lr_gd_perceptron`.

    Notes
    -----
    At the start every margin is 0. There logistic regression gives each point half its weight, so
    the first step is halved, unless normalised. On separable data it is over after at most
    :math:`n R^2 / \mu^2` steps, normalised :math:`R^2 / \mu^2`.
    Source: Rosenblatt (1958); in batches Tyurin (2025), theorems 3.3 and 5.3.
    """

    def pull(margins: torch.Tensor) -> torch.Tensor:
        wrong = (margins <= 0).double()
        if normalized:
            return wrong / wrong.sum().clamp_min(1.0)
        return (wrong if (margins != 0).any() else wrong / 2) / len(margins)

    return _path(features, signs, steps, pull)


def first_separation(
    weights: torch.Tensor, features: torch.Tensor, signs: torch.Tensor
) -> int | None:
    """The first row of a path (T, d) at which all margins are positive, or None.

    Raises as `lr_gd_perceptron`, and ValueError for weights of another width.
    """
    pulls = _signed(features, signs)
    if weights.ndim != 2 or weights.shape[1] != pulls.shape[1]:
        raise ValueError(
            f"weights must have shape (T, {pulls.shape[1]}), got {tuple(weights.shape)}"
        )
    right = ((weights.double() @ pulls.T) > 0).all(1)
    return int(right.int().argmax()) if right.any() else None


def _path(
    features: torch.Tensor,
    signs: torch.Tensor,
    steps: int,
    pull: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """From zero, each step adds the signed points weighted by what `pull` makes of the margins."""
    pulls = _signed(features, signs)
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise TypeError(f"steps must be an int, got {type(steps).__name__}")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}")
    path = pulls.new_zeros(steps + 1, pulls.shape[1])
    for t in range(steps):
        path[t + 1] = path[t] + pull(pulls @ path[t]) @ pulls
    return path


def _signed(features: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """The points times their signs, y_i a_i: float64 (N, d), checked."""
    for name, value in (("features", features), ("signs", signs)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not features.is_floating_point():
        raise TypeError(f"features must have a floating dtype, got {features.dtype}")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"features must have shape (N, d), got {tuple(features.shape)}")
    if signs.shape != features.shape[:1]:
        raise ValueError(
            f"signs must have shape ({len(features)},), one per point, got {tuple(signs.shape)}"
        )
    if not features.isfinite().all():
        raise ValueError("features must be finite, got NaN or infinity")
    wrong = signs.abs() != 1
    if wrong.any():
        raise ValueError(f"signs must hold -1 and 1, got {signs[wrong][0].item()!r}")
    return features.detach().double() * signs.double().unsqueeze(1)


def _check_step_size(step_size: Any) -> float:
    if isinstance(step_size, bool) or not isinstance(step_size, Real):
        raise TypeError(f"step_size must be a number, got {type(step_size).__name__}")
    if not 0 < float(step_size) < math.inf:
        raise ValueError(f"step_size must lie in (0, ∞), got {step_size!r}")
    return float(step_size)
