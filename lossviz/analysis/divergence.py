"""Divergences between two distributions, exact and from samples of the second."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..declaration.arrays import Array
from .alignment import distribution, kl_divergence


class SampledTerms(NamedTuple):
    """Terms (...) whose mean over tokens drawn from the reference estimates a divergence.

    `forward_kl` is u - 1 - log u, never negative; `jensen_shannon` estimates twice the
    Jensen-Shannon divergence, `alpha` the alpha divergence.
    """

    forward_kl: torch.Tensor
    jensen_shannon: torch.Tensor
    alpha: torch.Tensor


def sampled_divergences(
    logp: torch.Tensor, reference_logp: torch.Tensor, *, alpha: float = 0.2
) -> SampledTerms:
    """The terms of three divergences at tokens drawn from the reference, u = p / reference.

    `logp` and `reference_logp` (...) in nats; `alpha` is not 0 or 1. Log-ratios are kept within 20
    and the forward term within 10, as published. Source: DPH-RL (2025), whose code this follows.
    """
    if alpha in (0.0, 1.0):
        raise ValueError(f"alpha must differ from 0 and 1, got {alpha!r}")
    if logp.shape != reference_logp.shape:
        raise ValueError(
            f"logp and reference_logp must have one shape, got {tuple(logp.shape)} and "
            f"{tuple(reference_logp.shape)}"
        )
    log_u = (logp - reference_logp).double()
    near = log_u.clamp(-20, 20)
    u = log_u.exp()
    middle = torch.logaddexp(log_u, torch.zeros_like(log_u)) - torch.log(u.new_tensor(2.0))
    powered = ((1 - alpha) * log_u).exp()
    return SampledTerms(
        (near.expm1() - near).clamp(-10, 10),
        u * log_u - (u + 1) * middle,
        (powered - (1 - alpha) * u - alpha) / (alpha * (alpha - 1)),
    )


class Divergences(NamedTuple):
    """Exact divergences of two distributions, in nats."""

    forward_kl: torch.Tensor
    reverse_kl: torch.Tensor
    jensen_shannon: torch.Tensor
    alpha: torch.Tensor


def divergences(policy: Array, reference: Array, *, alpha: float = 0.2) -> Divergences:
    """KL(reference || policy), KL(policy || reference), Jensen-Shannon and the alpha divergence.

    (1 - sum policy^(1 - alpha) reference^alpha) / (alpha (1 - alpha)). Jensen-Shannon is at most
    log 2, and its slope vanishes where the policy has lost what the reference has; the forward KL
    grows without bound there.
    """
    if alpha in (0.0, 1.0):
        raise ValueError(f"alpha must differ from 0 and 1, got {alpha!r}")
    p, q = distribution("policy", policy), distribution("reference", reference)
    if p.shape != q.shape:
        raise ValueError(f"policy and reference must have one length, got {len(p)} and {len(q)}")
    middle = (p + q) / 2
    return Divergences(
        kl_divergence(q, p),
        kl_divergence(p, q),
        (kl_divergence(p, middle) + kl_divergence(q, middle)) / 2,
        (1 - (p ** (1 - alpha) * q**alpha).sum()) / (alpha * (1 - alpha)),
    )
