"""Directions of vectors, with derivatives of every order also where a vector has none."""

from __future__ import annotations

import torch


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors (..., D) divided by their lengths; a zero vector stays zero and gets no gradient.

    Lengths neither overflow nor underflow: the largest entry is divided out first, as a constant,
    which a direction does not see.
    """
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    none = largest == 0
    scaled = vectors / largest.masked_fill(none, 1.0)
    square = scaled.square().sum(-1, keepdim=True).masked_fill(none, 1.0)
    return torch.where(none, 0.0, scaled * square.rsqrt())


def cosines(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Cosines (N, M) of the rows of (N, D) and (M, D); 0 with a zero vector."""
    one, other = unit(one), unit(other)
    dtype = torch.promote_types(one.dtype, other.dtype)
    return one.to(dtype) @ other.to(dtype).mT


def cosine_and_sine(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine (...) of the angles between the vectors of (..., D) and (..., D).

    The sine is the length of what is left of one direction without the other: exact at small
    angles, where 1 - cosine^2 has lost its digits, and with a finite slope at angle 0, where the
    derivative of the square root of 1 - cosine^2 is infinite. There the gradient is 0, one of the
    subgradients.
    """
    one, other = unit(one), unit(other)
    cosine = (one * other).sum(-1)
    square = (one - cosine.unsqueeze(-1) * other).square().sum(-1)
    none = square == 0
    return cosine, torch.where(none, 0.0, square.masked_fill(none, 1.0).sqrt())
