r"""The margin of the target class over all the others together, exact in both tails.

.. math:: m = z_y - \log\sum_{j \ne y} e^{z_j}, \qquad
          p_y = \frac{1}{1 + e^{-m}}, \qquad -\log p_y = \log(1 + e^{-m}).

Every loss of the target probability is a function of this one number per row. Carrying the
log-sum-exp of the *other* classes instead of all of them keeps what the usual
``z_y - logsumexp(z)`` rounds away: in float32 that difference is exactly 0 once the margin passes
about 17 nats, and with it the loss and the target's entry of the gradient.
"""

from __future__ import annotations

from typing import Any

import torch

from .numbers import row_dtype, widen


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
    if logits.shape[-1] == 0:  # a batch without anchors, each of which would be a class
        return logits.sum(-1).to(row_dtype(logits))
    logits = widen(logits)
    if torch.compiler.is_compiling():  # a custom backward is not traced through torch.func
        return _plain_margin(logits, labels)
    return _TargetMargin.apply(logits, labels)[0]


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Log-softmax (..., K) whose largest entry keeps its digits where the probability rounds to 1.

    Only the largest can round to 1, so it alone is taken from its margin. Half precision is
    returned as float32.
    """
    logits = widen(logits)
    top = logits.argmax(-1)
    exact = torch.nn.functional.logsigmoid(target_margin(logits, top)).unsqueeze(-1)
    return logits.log_softmax(-1).scatter(-1, top.unsqueeze(-1), exact.to(logits.dtype))


class _TargetMargin(torch.autograd.Function):
    """The margin and minus its gradient: the softmax over the other classes, and -1 at the target.

    One tensor holds both, written in place: every pass over a tensor of the size of the logits
    shows in the time.
    """

    @staticmethod
    def forward(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        index = labels.unsqueeze(-1)
        others = _without(logits, index)
        largest = others.amax(-1)
        others = others.softmax(-1)
        exact = row_dtype(logits)
        chosen = logits.gather(-1, index).squeeze(-1).to(exact)
        # The largest softmax entry is 1 / sum(exp(z - largest)): log-sum-exp without its offset.
        margin = chosen - largest.to(exact) + others.amax(-1).to(exact).log()
        return margin, others.scatter_(-1, index, -1.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        logits, labels = inputs
        slope = output[1]
        ctx.mark_non_differentiable(slope)
        ctx.save_for_backward(logits, labels, slope)
        ctx.save_for_forward(slope)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, labels, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: rebuild what it runs through
            index = labels.unsqueeze(-1)
            slope = _without(logits, index).softmax(-1).scatter(-1, index, -1.0)
        return -gradients[0].to(logits.dtype).unsqueeze(-1) * slope, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: torch.Tensor) -> tuple[Any, Any]:
        # Rows do not see each other, so a batch is one more leading axis.
        batches = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs, in_dims, strict=True)
        ]
        return _TargetMargin.apply(*batches), (0, 0)

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, _labels: None) -> tuple[torch.Tensor, None]:
        (slope,) = ctx.saved_tensors
        return -(slope * tangent).sum(-1).to(row_dtype(tangent)), None


def _plain_margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    index = labels.unsqueeze(-1)
    others = _without(logits, index)
    largest = others.detach().amax(-1, keepdim=True)
    exact = row_dtype(logits)
    total = (others - largest).exp().sum(-1).to(exact)
    chosen = (logits.gather(-1, index).to(exact) - largest.to(exact)).squeeze(-1)
    return chosen - total.log()


def _without(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    # The smallest finite number, not -inf: a row whose other classes are all -inf (or that has no
    # other class) then still has a finite maximum, and softmax no 0/0.
    return logits.scatter(-1, index, torch.finfo(logits.dtype).min)
