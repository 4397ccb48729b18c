"""What the tests share: heads, plain torch on materialised logits, and a judge in float64."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

HALF = (torch.bfloat16, torch.float16)
PATHS = ("chunked", "reference")
each_path = pytest.mark.parametrize("impl", PATHS)


class Head(NamedTuple):
    """A batch and its head."""

    input: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    target: torch.Tensor

    def to(self, dtype: torch.dtype) -> Head:
        """Leaves of another dtype that require gradients."""
        moved = (tensor.detach().to(dtype).requires_grad_() for tensor in self[:3])
        return Head(*moved, self.target)

    @property
    def leaves(self) -> tuple[torch.Tensor, ...]:
        """What gradients are taken of."""
        return self[:3]


def make(
    rows: int, classes: int, features: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Head:
    """A random head whose logits have a spread of about 2."""
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(*shape, generator=generator, dtype=torch.float64)
               for shape in ((rows, features), (classes, features), (classes,))]  # fmt: skip
    tensors[1] *= 2 / max(1, features) ** 0.5
    target = torch.randint(0, classes, (rows,), generator=generator)
    return Head(*tensors, target).to(dtype)


def logits_of(
    head: Head,
    *,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> torch.Tensor:
    """The logits, in the dtype of the head."""
    logits = F.linear(head.input, head.weight, head.bias) * logit_scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return logits / temperature


def naive(
    head: Head,
    *,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    weight: torch.Tensor | None = None,
    **transform: float | None,
) -> torch.Tensor:
    """What a user would write: torch's cross-entropy of the logits, all in the head's dtype."""
    logits = logits_of(head, **transform)
    if weight is not None:
        weight = weight.to(logits.dtype)
    loss = F.cross_entropy(
        logits, head.target, weight, reduction=reduction, label_smoothing=label_smoothing
    )
    if not z_loss:
        return loss
    kept = head.target != -100
    squares = torch.where(kept, z_loss * logits.logsumexp(1).square(), 0.0)
    if reduction == "none":
        return loss + squares
    return loss + (squares.sum() / kept.sum() if reduction == "mean" else squares.sum())


def complement(head: Head) -> torch.Tensor:
    """The mean loss from the log-sum-exp of the other classes: right at any margin in float64."""
    logits = logits_of(head)
    target_logit = logits.gather(1, head.target[:, None])
    others = logits.scatter(1, head.target[:, None], -torch.inf).logsumexp(1)
    return torch.logaddexp(others - target_logit[:, 0], torch.zeros_like(others)).mean()


def with_gradients(loss: torch.Tensor, head: Head) -> list[torch.Tensor]:
    """The loss and the gradients of a weighted sum of its entries, in float64."""
    upstream = torch.linspace(0.5, 1.5, loss.numel(), dtype=loss.dtype).reshape(loss.shape)
    gradients = torch.autograd.grad(loss, head.leaves, upstream)
    return [value.detach().double() for value in (loss, *gradients)]


def refuses(error, *words):
    """Expect `error` with a message in which all of `words` occur in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(str(word)) for word in words))
