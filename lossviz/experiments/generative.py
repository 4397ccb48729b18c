r"""A generative and a discriminative road to the same linear classifier.

Gaussian naive Bayes with one variance per feature, shared by the classes, and multinomial logistic
regression both end in logits :math:`x \mapsto W x + b`; they differ in how many examples they need
to get there. Two Gaussian classes whose error is known in closed form make that visible without
test samples. Source: Ng and Jordan (2001); Zheng et al. (2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .training import minimise


@dataclass(frozen=True)
class LinearClassifier:
    """Logits x W' + b: `weight` (K, d) and `bias` (K,), float64."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (..., K) of features (..., d)."""
        return features.double() @ self.weight.T + self.bias


def gaussian_naive_bayes(
    features: torch.Tensor, labels: torch.Tensor, num_classes: int, *, floor: float = 1e-9
) -> LinearClassifier:
    r"""Naive Bayes with class means and one variance per feature, shared by all classes.

    The logits are :math:`\log \pi_k - \sum_j (x_j - \mu_{kj})^2 / (2 \sigma_j^2)` up to a number
    common to all classes; the squares of x cancel, so the classifier is linear.

    Parameters
    ----------
    features : floating tensor (N, d).
    labels : integer tensor (N,) in [0, K), with every class present.
    num_classes : int K >= 2.
    floor : number >= 0, default 1e-9, added to each variance (mean of squares over all N).

    Raises
    ------
    TypeError or ValueError for a wrong kind, shape or range, or a class without examples.
    """
    counts = _check(features, labels, num_classes)
    if not floor >= 0:
        raise ValueError(f"floor must be at least 0, got {floor!r}")
    x = features.double()
    means = x.new_zeros(num_classes, x.shape[1]).index_add_(0, labels, x) / counts[:, None]
    variance = (x - means[labels]).square().mean(0) + floor
    weight = means / variance
    return LinearClassifier(weight, (counts / len(x)).log() - (weight * means).sum(1) / 2)


def logistic_regression(
    features: torch.Tensor,
    labels: torch.Tensor,
    num_classes: int,
    *,
    C: float = 1.0,
    iterations: int = 200,
) -> LinearClassifier:
    r"""Multinomial logistic regression, the minimiser of
    :math:`\tfrac12 \lVert W \rVert_F^2 + C \sum_i \ell(z_i, y_i)` with cross-entropy :math:`\ell`.

    Parameters
    ----------
    features, labels, num_classes : as in `gaussian_naive_bayes`.
    C : number in (0, inf), default 1; the bias is not regularised.
    iterations : int >= 1, default 200, at most, of L-BFGS from zero.

    Raises
    ------
    As `gaussian_naive_bayes`; ValueError for C <= 0 or iterations < 1.
    """
    _check(features, labels, num_classes)
    if not 0 < C < math.inf:
        raise ValueError(f"C must lie in (0, ∞), got {C!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations!r}")
    x = features.double()
    weight = x.new_zeros(num_classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(num_classes, requires_grad=True)

    def objective() -> torch.Tensor:
        data = F.cross_entropy(x @ weight.T + bias, labels, reduction="sum")
        return weight.square().sum() / 2 + C * data

    minimise(objective, [weight, bias], steps=iterations, tolerance=1e-6 * C * len(x))
    return LinearClassifier(weight.detach(), bias.detach())


@dataclass(frozen=True)
class TwoGaussians:
    """Two equally likely classes, N(means[k], covariance): `means` (2, d), `covariance` (d, d).

    Raises ValueError for wrong shapes or a covariance not symmetric and positive definite.
    """

    means: torch.Tensor
    covariance: torch.Tensor

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or len(self.means) != 2:
            raise ValueError(f"means must have shape (2, d), got {tuple(self.means.shape)}")
        width = self.means.shape[1]
        if self.covariance.shape != (width, width):
            raise ValueError(
                f"covariance must have shape ({width}, {width}), got {tuple(self.covariance.shape)}"
            )
        asymmetric = not torch.allclose(self.covariance, self.covariance.T)
        # the factorisation reads one triangle only
        if asymmetric or int(torch.linalg.cholesky_ex(self.covariance).info):
            raise ValueError("covariance must be symmetric and positive definite")

    @property
    def bayes_error(self) -> float:
        r"""The least possible error, :math:`\Phi(-\tfrac12 \Delta)`, with the Mahalanobis distance
        :math:`\Delta` of the means.
        """
        apart = self.means[1] - self.means[0]
        squared = apart @ torch.linalg.solve(self.covariance, apart)
        return _normal_cdf(-squared.sqrt() / 2).item()

    def sample(
        self, size: int, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`size` >= 2 features (size, d) and labels (size,), as many of each class as can be."""
        if size < 2:
            raise ValueError(f"size must be at least 2, one example per class, got {size!r}")
        labels = torch.arange(size) % 2
        factor = torch.linalg.cholesky(self.covariance)
        noise = torch.randn(size, len(factor), generator=generator, dtype=factor.dtype)
        return self.means[labels] + noise @ factor.T, labels

    def error(self, classifier: LinearClassifier) -> float:
        """The exact probability that a linear classifier of two classes errs; ties are errors."""
        across = classifier.weight[1] - classifier.weight[0]
        lead = self.means @ across + classifier.bias[1] - classifier.bias[0]
        spread = (across @ self.covariance @ across).sqrt()
        return (_normal_cdf(torch.stack([lead[0], -lead[1]]) / spread)).mean().item()


def easy_gaussians(num_features: int) -> TwoGaussians:
    r"""The two-class design of the simulations: every feature helps, half of them much.

    Means -1 and 1 in every coordinate, independent features, variance d in the first half of the d
    coordinates (rounded down) and 1 in the others. For even d the Bayes error is
    :math:`\Phi(-\sqrt{d/2 + 1/2})`: 0.1103, 0.0569, 0.00951 for d = 2, 4, 10. (The table stored
    with the authors' code takes one coordinate too many and says 0.00483 for d = 10.)

    Raises ValueError for num_features < 1. Source: Zheng et al. (2023), the simulations.
    """
    if num_features < 1:
        raise ValueError(f"num_features must be at least 1, got {num_features!r}")
    variances = torch.ones(num_features, dtype=torch.float64)
    variances[: num_features // 2] = num_features
    one = torch.ones(num_features, dtype=torch.float64)
    return TwoGaussians(torch.stack([-one, one]), variances.diag())


def equal_gaussians(num_features: int, distance: float = 3.0) -> TwoGaussians:
    """Two classes at a fixed Euclidean distance, to which every feature adds as much.

    Independent features of variance 1.
    """
    half = torch.full((num_features,), distance / 2 / num_features**0.5, dtype=torch.float64)
    return TwoGaussians(torch.stack([-half, half]), torch.eye(num_features, dtype=torch.float64))


def dependent_gaussians(num_features: int = 20) -> TwoGaussians:
    """Two classes with means -0.3 and 0.3 in every coordinate; half of the features share a cause.

    Covariances of 0.3 between the features of the first half, variances 1.3 there and 1 elsewhere.
    """
    covariance = torch.eye(num_features, dtype=torch.float64)
    covariance[: num_features // 2, : num_features // 2] += 0.3
    mean = torch.full((num_features,), 0.3, dtype=torch.float64)
    return TwoGaussians(torch.stack([-mean, mean]), covariance)


def examples_needed(curve: torch.Tensor, sizes: Sequence[int], goal: float) -> int:
    """The first size whose error, the mean of a row of `curve` (len(sizes), repeats), is below."""
    return next(size for size, error in zip(sizes, curve.mean(1), strict=True) if error < goal)


def nb_vs_lr(
    design: TwoGaussians, sizes: Sequence[int], *, repeats: int = 5, C: float = 1.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Learning curves: exact error of naive Bayes and of logistic regression after each size.

    design : where the examples come from; sizes : numbers of training examples, each at least 2;
    repeats : independent draws, default 5; C : as in `logistic_regression`. Each draw is one
    stream of examples, of which the sizes take the first ones, and both learners get the same.
    Returns two float64 tensors (len(sizes), repeats), naive Bayes first.

    Raises ValueError for sizes below 2, no sizes, repeats < 1, and as `logistic_regression` does.
    """
    if not sizes or min(sizes) < 2:
        raise ValueError(f"sizes must be numbers of at least 2, got {list(sizes)}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats!r}")
    generator = torch.Generator().manual_seed(seed)
    errors = torch.zeros(2, len(sizes), repeats, dtype=torch.float64)
    for draw in range(repeats):
        features, labels = design.sample(max(sizes), generator)
        for i, size in enumerate(sizes):
            x, y = features[:size], labels[:size]
            errors[0, i, draw] = design.error(gaussian_naive_bayes(x, y, 2))
            errors[1, i, draw] = design.error(logistic_regression(x, y, 2, C=C))
    return errors[0], errors[1]


def _check(features: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Check a training set; return the examples of each class (K,) in float64."""
    if not isinstance(features, torch.Tensor):
        raise TypeError(f"features must be a torch.Tensor, got {type(features).__name__}")
    if not features.is_floating_point():
        raise TypeError(f"features must have a floating dtype, got {features.dtype}")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"features must have shape (N, d), got {tuple(features.shape)}")
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64:
        raise TypeError("labels must be an int64 tensor")
    if labels.shape != features.shape[:1]:
        raise ValueError(f"labels must have shape ({len(features)},), got {tuple(labels.shape)}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes!r}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must lie in [0, {num_classes}), got {labels.min()} to {labels.max()}"
        )
    counts = torch.bincount(labels, minlength=num_classes)
    if (counts == 0).any():
        raise ValueError(f"every class needs examples, got none of {int(counts.argmin())}")
    return counts.double()


def _normal_cdf(x: torch.Tensor) -> torch.Tensor:
    return torch.special.ndtr(x)
