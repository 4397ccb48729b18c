"""The reference path: the logits are made, and autograd sees every step.

It needs the memory that the others avoid, and it is what they are measured against: any order of
derivative, forward mode, vmap.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .statistics import FAR, Primitives, Sums, Want, finish, finite_shift
from .tiles import Transform, sum_dtype, without_autocast


def primitives(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    mean_weight: torch.Tensor | None,
    transform: Transform,
    want: Want,
) -> Primitives:
    """`Primitives` of the rows of `input` (N, D); half precision is widened first."""
    dtype = sum_dtype(input.dtype)
    wide_bias = None if bias is None else bias.to(dtype)
    with without_autocast(input.device):
        logits = transform.apply(F.linear(input.to(dtype), weight.to(dtype), wide_bias))
    kept = labels >= 0
    place = torch.where(kept, labels, 0)[:, None]
    target_logit = logits.gather(1, place)
    others = logits.scatter(1, place, torch.where(kept[:, None], -torch.inf, target_logit))
    shift, argmax = others.max(1)
    offset = finite_shift(shift.detach())[:, None]
    below = others - offset
    exponentials = below.exp()
    tilt = square = mean = mass = None
    if want.tilt:
        tilt = (exponentials * below.clamp(min=FAR)).sum(1)
    if want.square:
        square = exponentials.square().sum(1)
    if want.mean and mean_weight is not None:
        # a class of weight 0 may have a logit of -inf
        finite = torch.where(mean_weight == 0, FAR, -torch.inf)
        mean = ((logits - offset).clamp(min=finite) * mean_weight).sum(1)
        mass = mean_weight.sum(-1).expand_as(mean)
    target = torch.where(kept, target_logit[:, 0], 0.0)
    return finish(Sums(target, shift, exponentials.sum(1), argmax, tilt, square, mean, mass), kept)
