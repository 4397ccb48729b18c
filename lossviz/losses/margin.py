r"""The margin of the target class over all the others together, exact in both tails.

.. math:: m = z_y - \log\sum_{j \ne y} e^{z_j}, \qquad
          p_y = \frac{1}{1 + e^{-m}}, \qquad -\log p_y = \log(1 + e^{-m}).

Every loss of the target probability is a function of this one number a row. Carrying the
log-sum-exp of the *other* classes instead of all of them keeps what the usual
``z_y - logsumexp(z)`` rounds away: in float32 that difference is exactly 0 once the margin passes
about 17 nats, and with it the loss and its gradient.
"""

from __future__ import annotations

from typing import Any

import torch

from .checks import row_dtype


def target_margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Margin of the target class over the log-sum-exp of the others, in nats.

    Parameters
    ----------
    logits : floating tensor (..., K); half precision is computed in float32.
    labels : int64 tensor (...) with values in [0, K).

    Returns
    -------
    tensor (...), float64 where the device has it (a row holds one number, so this costs nothing).
    With one class the margin is as large as the dtype allows, so that the probability is 1.
    """
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return _TargetMargin.apply(logits, labels)[0]


def _without_target(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    # The smallest finite number, not -inf: a row whose other classes are all -inf (or that has no
    # other class) then still has a finite maximum, and softmax no 0/0.
    return logits.scatter(-1, labels.unsqueeze(-1), torch.finfo(logits.dtype).min)


class _TargetMargin(torch.autograd.Function):
    """The margin, and the softmax over the other classes, which is minus its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        logits: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        others = _without_target(logits, labels)
        largest = others.amax(-1)
        others = others.softmax(-1)
        exact = row_dtype(logits)
        chosen = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1).to(exact)
        # The largest softmax entry is 1 / sum(exp(z - largest)): the log-sum-exp without its offset.
        return chosen - largest.to(exact) + others.amax(-1).to(exact).log(), others

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]
    ) -> None:
        logits, labels = inputs
        others = output[1]
        ctx.mark_non_differentiable(others)
        ctx.save_for_backward(logits, labels, others)
        ctx.save_for_forward(labels, others)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, labels, others = ctx.saved_tensors
        if (
            torch.is_grad_enabled()
        ):  # a second derivative is wanted: rebuild what it runs through
            others = _without_target(logits, labels).softmax(-1)
        gradient = gradients[0].to(logits.dtype).unsqueeze(-1)
        # In place on the fresh product: one pass less over a tensor the size of the logits.
        return (others * -gradient).scatter_(-1, labels.unsqueeze(-1), gradient), None

    @staticmethod
    def jvp(
        ctx: Any, tangent: torch.Tensor, _labels: None
    ) -> tuple[torch.Tensor, None]:
        labels, others = ctx.saved_tensors
        index = labels.unsqueeze(-1)
        weights = (-others).scatter(-1, index, torch.ones_like(others[..., :1]))
        return (weights * tangent).sum(-1).to(row_dtype(tangent)), None
