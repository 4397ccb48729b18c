"""Measures of a seeded sample: what needs all pairs of rows streams as a `Reservoir` does.

Sums are the rows that are kept, memory `size` times D; up to `size` rows the number is that of all.
"""

from __future__ import annotations

from functools import partial

import torch

from ..declaration import Fact, Inputs, Source, measure, number
from ..losses.embeddings.neighbours import neighbour_score
from .collapse_measures import FEATURES, LABELLED
from .geometry import diffusion_entropy, diffusion_information
from .reservoir import Sample, sample_of

SIZE = number(
    "size", "M", "[3, inf)", (100, 5000, 100), "how many rows are kept at most",
    "three rows", "all rows, and a matrix of all pairs", whole=True,
)  # fmt: skip
SEED = number(
    "seed", "s", "[0, inf)", (0, 9, 1), "which rows are kept", "one sample", "another", whole=True
)
STEPS = number(
    "steps", "t", "(0, inf)", (0.5, 8.0, 0.5), "how often the diffusion is repeated",
    "all eigenvalues count alike", "the largest alone counts",
)  # fmt: skip
LIAO = "liao2024assessing"
_sampled = partial(measure, merge=Sample.merge, better="neither")


def _unknown() -> torch.Tensor:
    return torch.tensor(torch.nan, dtype=torch.float64)


def _entropy(sums: Sample, *, steps: float = 1.0) -> torch.Tensor:
    if not len(sums.features):
        return _unknown()
    return diffusion_entropy(sums.features, steps=steps)


def _information(sums: Sample, *, steps: float = 1.0) -> torch.Tensor:
    if not len(sums.features):
        return _unknown()
    return diffusion_information(sums.features, sums.target, steps=steps)


def _neighbours(sums: Sample, *, k: int = 4) -> torch.Tensor:
    if len(sums.features) < 3:
        return _unknown()
    return neighbour_score(sums.features, sums.target, k=int(k), rivals=None).score


def _finite(features: torch.Tensor) -> torch.Tensor:
    if not features.isfinite().all():
        raise ValueError("features must be finite, got NaN or infinity")
    return features.double()


def _labelled(
    features: torch.Tensor, target: torch.Tensor, size: float, seed: float,
    kept: torch.Tensor | None,
) -> Sample:  # fmt: skip
    if kept is not None:
        features, target = features[kept], target[kept]
    return sample_of(_finite(features), target, size=int(size), seed=int(seed))


def _zero() -> torch.Tensor:
    return torch.zeros((), dtype=torch.float64)


@_sampled(
    family="dimension",
    inputs=Inputs(FEATURES),
    latex=r"-\sum_i p_i \log_2 p_i, \quad p_i = \frac{|\lambda_i|^t}{\sum_j |\lambda_j|^t}",
    finish=_entropy,
    parameters=(STEPS, SIZE, SEED),
    units="bits",
    source=Source(LIAO, "section 3", "the kernel's width is the median distance of two rows"),
    facts=(
        Fact(
            "Equal rows: 0 (both sides plus 1)",
            lambda x: (1 + diffusion_spectrum(0 * x), 1 + _zero()),
        ),
        Fact(
            "Turning, stretching and moving the features changes nothing",
            lambda x: (
                diffusion_spectrum(x),
                diffusion_spectrum(3 * x @ torch.linalg.qr(x[:4]).Q + x[0]),
            ),
        ),
    ),
    related=("diffusion_label_information", "covariance_effective_rank"),
)
def diffusion_spectrum(features: torch.Tensor, *, size: int = 2000, seed: int = 0) -> Sample:
    """Diffusion spectral entropy (DSE): over how many points a walk among the rows spreads.

    Of a seeded sample of at most `size` rows, as `diffusion_entropy` with its defaults. Without
    rows NaN.
    """
    none = torch.zeros(len(features), dtype=torch.long, device=features.device)
    return sample_of(_finite(features), none, size=int(size), seed=int(seed))


@_sampled(
    family="dimension",
    inputs=LABELLED,
    latex=r"\sum_k \frac{n_k}{N} \big( \overline{\mathrm{DSE}}(n_k \text{ rows}) - "
    r"\mathrm{DSE}(X_k) \big)",
    finish=_information,
    parameters=(STEPS, SIZE, SEED),
    units="bits",
    source=Source(LIAO, "section 4", "the kernel's width is the median distance of two rows"),
    facts=(
        Fact(
            "One class: 0 (both sides plus 1)",
            lambda x, y: (1 + diffusion_label_information(x, 0 * y), 1 + _zero()),
        ),
        Fact(
            "That of all rows, which the sample puts into an order of its own",
            lambda x, y: (
                diffusion_label_information(x, y, size=len(x)),
                diffusion_information(*_in_order(x, y)),
            ),
        ),
    ),
    related=("diffusion_spectrum",),
)
def diffusion_label_information(
    features: torch.Tensor,
    target: torch.Tensor,
    *,
    kept: torch.Tensor | None,
    size: int = 2000,
    seed: int = 0,
) -> Sample:
    """Diffusion spectral mutual information (DSMI): what the class says about the features.

    Of a seeded sample of at most `size` rows, as `diffusion_information` with its defaults. Without
    rows NaN.
    """
    return _labelled(features, target, size, seed, kept)


def _in_order(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows as a sample orders them, on which the random subsets of a class depend."""
    rows = sample_of(x, y, size=len(x), seed=0)
    return rows.features, rows.target


@_sampled(
    family="collapse",
    inputs=LABELLED,
    latex=r"\tfrac12 \Big( \tfrac12 (\lambda_= + \lambda_{\ne}) + \gamma \Big)",
    finish=_neighbours,
    parameters=(
        number(
            "k", "k", "[1, inf)", (1, 20, 1), "how many nearest neighbours count",
            "the nearest alone", "all rows", whole=True,
        ),
        SIZE,
        SEED,
    ),
    units="ratio",
    source=Source("mendezruiz2023susana", "the ICNN score"),
    facts=(
        Fact("One class: 1", lambda x, y: (neighbour_agreement(x, 0 * y), 1 + _zero())),
        Fact(
            "Turning and moving the features changes nothing",
            lambda x, y: (
                neighbour_agreement(x, y),
                neighbour_agreement(x @ torch.linalg.qr(x[:4]).Q + x[0], y),
            ),
        ),
    ),
    related=("class_distance_variance",),
)  # fmt: skip
def neighbour_agreement(
    features: torch.Tensor,
    target: torch.Tensor,
    *,
    kept: torch.Tensor | None,
    size: int = 2000,
    seed: int = 0,
) -> Sample:
    """Neighbour agreement (ICNN score): whether nearest neighbours are of the own class, and near.

    Of a seeded sample of at most `size` rows, as `icnn_score`. NaN for fewer than three rows.
    """
    return _labelled(features, target, size, seed, kept)
