"""Measures of a seeded sample: what needs all pairs of rows streams as a `Reservoir` does.

Sums are the rows that are kept, memory `size` times D; up to `size` rows the number is that of all.
"""

from __future__ import annotations

import torch

from ..declaration import Fact, Inputs, Source, measure, number
from ..losses.embeddings.nearest import neighbour_score
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
Pair = tuple[torch.Tensor, torch.Tensor]


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


def _one() -> torch.Tensor:
    return torch.ones((), dtype=torch.float64)


def _turned(x: torch.Tensor) -> torch.Tensor:
    return x @ torch.linalg.qr(x[:4]).Q + x[0]


def _point(x: torch.Tensor) -> Pair:
    return 1 + diffusion_spectrum(0 * x), _one()


def _without_scale(x: torch.Tensor) -> Pair:
    return diffusion_spectrum(x), diffusion_spectrum(3 * _turned(x))


def _one_class(x: torch.Tensor, y: torch.Tensor) -> Pair:
    return 1 + diffusion_label_information(x, 0 * y), _one()


def _of_all_rows(x: torch.Tensor, y: torch.Tensor) -> Pair:
    rows = sample_of(x, y, size=len(x), seed=0)
    return diffusion_label_information(x, y), diffusion_information(rows.features, rows.target)


def _only_friends(x: torch.Tensor, y: torch.Tensor) -> Pair:
    return neighbour_agreement(x, 0 * y), _one()


def _without_direction(x: torch.Tensor, y: torch.Tensor) -> Pair:
    return neighbour_agreement(x, y), neighbour_agreement(_turned(x), y)


@measure(
    family="dimension",
    inputs=Inputs(FEATURES),
    latex=r"-\sum_i p_i \log_2 p_i, \quad p_i = \frac{|\lambda_i|^t}{\sum_j |\lambda_j|^t}",
    merge=Sample.merge,
    better="neither",
    finish=_entropy,
    parameters=(STEPS, SIZE, SEED),
    units="bits",
    source=Source(LIAO, "section 3", "the kernel's width is the median distance of two rows"),
    facts=(
        Fact("Equal rows: 0 (both sides plus 1)", _point),
        Fact("Turning, stretching and moving the features changes nothing", _without_scale),
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


@measure(
    family="dimension",
    inputs=LABELLED,
    latex=r"\sum_k \frac{n_k}{N} \big( \overline{\mathrm{DSE}}(n_k \text{ rows}) - "
    r"\mathrm{DSE}(X_k) \big)",
    merge=Sample.merge,
    better="neither",
    finish=_information,
    parameters=(STEPS, SIZE, SEED),
    units="bits",
    source=Source(
        LIAO, "the mutual information", "the kernel's width is the median distance of two rows"
    ),
    facts=(
        Fact("One class: 0 (both sides plus 1)", _one_class),
        Fact("That of all rows, in the order of the sample, while there is room", _of_all_rows),
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


@measure(
    family="collapse",
    inputs=LABELLED,
    latex=r"\tfrac12 \Big( \tfrac12 (\lambda_= + \lambda_{\ne}) + \gamma \Big)",
    merge=Sample.merge,
    better="neither",
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
        Fact("One class: 1", _only_friends),
        Fact("Turning and moving the features changes nothing", _without_direction),
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
