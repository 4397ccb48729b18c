"""The shape of a distribution of numbers, the weights of a layer say, by standardised moments."""

from __future__ import annotations

import torch

from ..declaration.arrays import Array, as_tensor


def _standardised(values: Array, ddof: int) -> torch.Tensor:
    x = as_tensor("values", values).flatten()
    if len(x) <= ddof or ddof < 0:
        raise ValueError(f"values must have more than ddof = {ddof} >= 0 entries, got {len(x)}")
    away = x - x.mean()
    return away / (away.square().sum() / (len(x) - ddof)).sqrt()


def kurtosis(values: Array, *, ddof: int = 0) -> torch.Tensor:
    """Mean fourth power of standardised values (any shape), a float64 scalar.

    3 for a normal distribution, 1.8 for a uniform one, which is what quantised weights want to be
    (EQ-Net pulls them there by the squared difference). `ddof` is subtracted from the number of
    values in the variance, default 0. NaN where all are equal. Differentiable. Raises ValueError
    for too few values.
    """
    return _standardised(values, ddof).pow(4).mean()


def skewness(values: Array, *, ddof: int = 0) -> torch.Tensor:
    """Mean third power of standardised values: 0 for a symmetric distribution; as `kurtosis`."""
    return _standardised(values, ddof).pow(3).mean()
