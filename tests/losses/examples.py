"""Valid inputs for every declared loss: what a new declaration gets tested on, with no new code.

A loss is called as ``loss(*make(loss), **settings)``. Floating inputs with as many axes as the
first are logits (..., K), integer inputs are labels (...), other floating inputs are values (...):
that alone is what the tests go by.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from lossviz.losses import LOSSES, Loss

Inputs = tuple[torch.Tensor, ...]


def _class_logits(generator: torch.Generator, shape: tuple[int, ...], classes: int) -> Inputs:
    logits = torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, shape, generator=generator)


def _pair_of_class_logits(
    generator: torch.Generator, shape: tuple[int, ...], classes: int
) -> Inputs:
    both = torch.randn(2, *shape, classes, generator=generator, dtype=torch.float64)
    return both[0], both[1]


def _clean_and_adversarial_class_logits(
    generator: torch.Generator, shape: tuple[int, ...], classes: int
) -> Inputs:
    both = torch.randn(2, *shape, classes, generator=generator, dtype=torch.float64)
    return both[0], both[1], torch.randint(classes, shape, generator=generator)


def _bin_logits_and_values(
    generator: torch.Generator, shape: tuple[int, ...], classes: int
) -> Inputs:
    logits = torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    return logits, 8 * torch.rand(shape, generator=generator, dtype=torch.float64) - 4


KINDS: dict[str, Callable[[torch.Generator, tuple[int, ...], int], Inputs]] = {
    "class logits": _class_logits,
    "pair of class logits": _pair_of_class_logits,
    "clean and adversarial class logits": _clean_and_adversarial_class_logits,
    "bin logits and values": _bin_logits_and_values,
}

# EnsLoss sorts the margins of its whole batch, so it has no rows: it is tested in test_ensemble.py.
ROWS = [loss for loss in LOSSES.values() if loss.inputs != "binary scores with random draws"]

each_loss = pytest.mark.parametrize("loss", ROWS, ids=lambda loss: loss.key)


def make(
    loss: Loss,
    shape: tuple[int, ...] = (6,),
    classes: int = 5,
    scale: float = 3.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Inputs:
    """Random inputs of the kind that the loss declares."""
    generator = torch.Generator().manual_seed(seed)
    return on_logits(
        lambda logits: (scale * logits).to(dtype), KINDS[loss.inputs](generator, shape, classes)
    )


def fill(loss: Loss, logits: torch.Tensor, labels: torch.Tensor, partner: torch.Tensor) -> Inputs:
    """Inputs of the declared kind from given logits, with labels, or second logits, or values."""
    values = torch.linspace(-4, 4, logits.shape[0], dtype=torch.float64)
    return {
        "class logits": (logits, labels),
        "pair of class logits": (logits, partner),
        "clean and adversarial class logits": (logits, partner, labels),
        "bin logits and values": (logits, values),
    }[loss.inputs]


def are_logits(inputs: Inputs) -> list[bool]:
    """Which of the inputs are logits."""
    return [x.is_floating_point() and x.ndim == inputs[0].ndim for x in inputs]


def on_logits(change: Callable[[torch.Tensor], torch.Tensor], inputs: Inputs) -> Inputs:
    """The inputs with every set of logits changed and the rest kept."""
    which = are_logits(inputs)
    return tuple(change(x) if yes else x for x, yes in zip(inputs, which, strict=True))


def with_gradients(inputs: Inputs) -> Inputs:
    """The inputs with every set of logits a fresh leaf that asks for its gradient."""
    return on_logits(lambda logits: logits.detach().clone().requires_grad_(), inputs)


def gradients(loss: Loss, inputs: Inputs, **options: Any) -> Inputs:
    """The gradient of the loss (of its sum, for "none") for every set of logits."""
    leaves = with_gradients(inputs)
    logits = [x for x, yes in zip(leaves, are_logits(leaves), strict=True) if yes]
    return torch.autograd.grad(loss(*leaves, **options).sum(), logits)


def settings(loss: Loss) -> list[dict[str, float]]:
    """Where a loss is looked at: defaults, slider ends in every combination, and next to both.

    "Next to" is 1e-9 away: what removes a 0/0 exactly at a point must hold beside it as well.
    """
    ends = itertools.product(*[p.slider[:2] for p in loss.parameters])
    found = [loss.defaults, *(dict(zip(loss.defaults, end, strict=True)) for end in ends)]
    for parameter in loss.parameters:
        for value in (parameter.default, *parameter.slider[:2]):
            for near in (value - 1e-9, value + 1e-9):
                if parameter.slider[0] <= near <= parameter.slider[1]:
                    found.append({**loss.defaults, parameter.name: near})
    return [dict(pairs) for pairs in dict.fromkeys(tuple(s.items()) for s in found)]


def _parametrize(losses: Iterable[Loss]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("loss", "parameters"),
        [
            pytest.param(loss, s, id="-".join([loss.key, *(f"{k}={v!r}" for k, v in s.items())]))
            for loss in losses
            for s in settings(loss)
        ],
    )


LABELLED = [loss for loss in ROWS if loss.inputs == "class logits"]
# Losses that see logits through their softmax alone; the others' forms are over the logits.
SOFTMAX = [
    loss
    for loss in ROWS
    if (loss.form is not None and loss.form.over == "probabilities")
    or loss.inputs in ("pair of class logits", "clean and adversarial class logits")
]
# Bins have an order, classes have none.
CLASSES = [loss for loss in ROWS if loss.inputs != "bin logits and values"]

each_setting = _parametrize(ROWS)
each_labelled_setting = _parametrize(LABELLED)
each_softmax_setting = _parametrize(SOFTMAX)
each_class_setting = _parametrize(CLASSES)
each_labelled_loss = pytest.mark.parametrize("loss", LABELLED, ids=lambda loss: loss.key)
each_softmax_loss = pytest.mark.parametrize("loss", SOFTMAX, ids=lambda loss: loss.key)
