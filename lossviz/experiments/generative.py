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
        return self.error_of(across, classifier.bias[1] - classifier.bias[0]).item()

    def error_of(self, across: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """The same (...) for many rules "class 1 where x' across + offset > 0".

        across : (..., d); offset : (...).
        """
        lead = across @ self.means.T + offset[..., None]
        spread = ((across @ self.covariance) * across).sum(-1, keepdim=True).sqrt()
        return _normal_cdf(lead * lead.new_tensor([1.0, -1.0]) / spread).mean(-1)


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


def logistic_path(
    features: torch.Tensor, labels: torch.Tensor, penalties: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Logistic regression of two classes for many draws and penalties at once, by Newton's method.

    Parameters
    ----------
    features : floating tensor (R, N, d), N examples in each of R draws.
    labels : int64 tensor (N,) of 0 and 1, both present, the same in each draw.
    penalties : P increasing numbers C in (0, inf), as in `logistic_regression`.

    Returns
    -------
    float64 tensors `across` (P, R, d) and `offset` (P, R): the logit of class 1 minus that of class
    0 is :math:`x^\top` across + offset, that of `logistic_regression` for each draw and C.

    Raises
    ------
    ValueError for wrong shapes, a label missing, or penalties that do not increase from above 0.
    """
    if features.ndim != 3 or labels.shape != features.shape[1:2]:
        raise ValueError(
            "features must have shape (R, N, d) and labels (N,), "
            f"got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if labels.unique().tolist() != [0, 1]:
        raise ValueError(f"labels must be 0 and 1, both present, got {labels.unique().tolist()}")
    if not penalties or list(penalties) != sorted(penalties) or not penalties[0] > 0:
        raise ValueError(f"penalties must increase from above 0, got {list(penalties)}")
    x = features.double()
    # the minimiser lies in the span of the examples, which has at most N dimensions
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    inside = F.pad(u * s[:, None, :], (0, 1), value=1.0)
    ridge = torch.full((inside.shape[2],), 0.5, dtype=torch.float64)
    ridge[-1] = 0.0  # the bias is free
    theta = x.new_zeros(len(x), inside.shape[2])
    solutions = []
    for C in penalties:
        theta = _newton(inside, labels.double(), C, ridge, theta)
        solutions.append(theta)
    found = torch.stack(solutions)
    return torch.einsum("prk,rkd->prd", found[..., :-1], v), found[..., -1]


def _newton(
    x: torch.Tensor, y: torch.Tensor, C: float, ridge: torch.Tensor, theta: torch.Tensor
) -> torch.Tensor:
    """Minimise theta' diag(ridge) theta / 2 + C times the summed logistic loss, for each draw."""

    def objective(theta: torch.Tensor) -> torch.Tensor:
        logit = torch.einsum("rnk,rk->rn", x, theta)
        return (ridge * theta**2).sum(1) / 2 + C * (F.softplus(logit) - y * logit).sum(1)

    for _ in range(100):
        p = torch.einsum("rnk,rk->rn", x, theta).sigmoid()
        slope = ridge * theta + C * torch.einsum("rnk,rn->rk", x, p - y)
        if slope.abs().max() < 1e-7 * C * len(y):
            break
        curvature = C * torch.einsum("rnk,rn,rnl->rkl", x, p * (1 - p), x) + ridge.diag()
        curvature.diagonal(dim1=1, dim2=2).add_(1e-12)
        step = torch.linalg.solve(curvature, slope)
        length = x.new_ones(len(x), 1)
        for _ in range(30):  # halve the steps of the draws that would rise
            rises = objective(theta - length * step) > objective(theta)
            if not rises.any():
                break
            length[rises] /= 2
        theta = theta - length * step
    return theta


def nb_vs_lr(
    design: TwoGaussians,
    sizes: Sequence[int],
    *,
    penalties: Sequence[float] = (1.0,),
    standardise: bool = True,
    repeats: int = 10,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Learning curves: exact error of naive Bayes and of logistic regression after each size.

    Parameters
    ----------
    design : where the examples come from.
    sizes : numbers of training examples, each at least 2. Each draw is one stream of examples, of
        which the sizes take the first ones, and both learners get the same.
    penalties : P numbers C as in `logistic_path`.
    standardise : whether logistic regression gets each feature divided by its deviation over the
        training examples (default); naive Bayes divides by variances of its own.
    repeats : independent draws, default 10.
    seed : int, default 0.

    Returns
    -------
    float64 tensors (len(sizes), repeats) for naive Bayes and (P, len(sizes), repeats) for logistic
    regression.

    Raises
    ------
    ValueError for sizes below 2, no sizes, repeats < 1, and as `logistic_path` does.
    """
    if not sizes or min(sizes) < 2:
        raise ValueError(f"sizes must be numbers of at least 2, got {list(sizes)}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats!r}")
    generator = torch.Generator().manual_seed(seed)
    drawn = [design.sample(max(sizes), generator) for _ in range(repeats)]
    features, labels = torch.stack([x for x, _ in drawn]), drawn[0][1]
    bayes = [
        [design.error(gaussian_naive_bayes(x[:size], labels[:size], 2)) for x in features]
        for size in sizes
    ]
    logistic = []
    for size in sizes:
        x = features[:, :size]
        centre = x.mean(1, keepdim=True)
        scale = x.std(1, keepdim=True) if standardise else torch.ones_like(centre)
        across, offset = logistic_path((x - centre) / scale, labels[:size], penalties)
        across = across / scale.squeeze(1)
        offset = offset - (across * centre.squeeze(1)).sum(-1)
        logistic.append(design.error_of(across, offset))
    return torch.tensor(bayes, dtype=torch.float64), torch.stack(logistic, 1)


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
