"""Training against an adversary: methods side by side, each with its attack and its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..losses.attacks import pgd
from ..losses.logits.adversarial import shift
from .datasets import Split
from .networks import as_generator, network
from .training import batches

ByRow = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Method(NamedTuple):
    """What the adversary makes large, and what training makes small.

    Both are functions of logits at x and at x' (N, K) and of labels (N,), one number for each row.
    """

    gain: ByRow
    loss: ByRow


def _clean(z: torch.Tensor, moved: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(z, y, reduction="none")


def _worst(z: torch.Tensor, moved: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(moved, y, reduction="none")


def _divergence(z: torch.Tensor, moved: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    p, q = z.log_softmax(-1), moved.log_softmax(-1)
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


PLAIN = Method(_worst, _clean)
"""Cross-entropy at x; the adversary is not asked."""
PGD_TRAINING = Method(_worst, _worst)
"""Cross-entropy at the worst place. Source: Madry et al. (2018)."""


def smooth(nu: float) -> Method:
    """Cross-entropy plus nu times the shift: the smooth adversarial loss at tau = rho = 1."""
    return Method(shift, lambda z, moved, y: _clean(z, moved, y) + nu * shift(z, moved, y))


def trades(beta: float) -> Method:
    """Cross-entropy plus beta KL(p || p'), as `lossviz.losses.trades_at`."""
    return Method(
        _divergence, lambda z, moved, y: _clean(z, moved, y) + beta * _divergence(z, moved, y)
    )


class SideBySide(torch.nn.Module):
    """Networks of M methods and R runs as one model of rows: (M R N, d) to (M R N, K).

    `networks` are the M R networks, the runs of the first method first.
    """

    def __init__(self, networks: torch.nn.Sequential, count: int) -> None:
        super().__init__()
        self.networks, self.count = networks, count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of rows that belong to the networks in equal blocks."""
        return self.networks(x.reshape(self.count, -1, x.shape[-1])).flatten(0, 1)


def train_against(
    methods: Sequence[Method],
    data: Split,
    sizes: Sequence[int],
    *,
    radius: float,
    bounds: tuple[float, float],
    epochs: int,
    batch: int = 200,
    rate: float = 1e-2,
    attack_steps: int = 3,
    seed: int = 0,
) -> SideBySide:
    """Train networks of several methods at once, by Adam, against balls of the maximum norm.

    data : splits side by side, as `stacked` makes them: one run for each.
    sizes : of the layers, as `network` takes them.
    radius, bounds, attack_steps : as in `pgd`. epochs, batch, rate : passes over the training
    examples, examples of a batch, step size.
    seed : of the first weights and the batches. A run has the same of both under every method.
    """
    generator = as_generator(seed)
    runs, count = len(data.train_labels), len(methods) * len(data.train_labels)
    networks = network(*sizes, runs=count, seed=generator)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.copy_(parameter[:runs].repeat(len(methods), 1, 1))
    model = SideBySide(networks, count)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def by_method(part: str, *tensors: torch.Tensor) -> torch.Tensor:
        blocks = zip(*(tensor.chunk(len(methods)) for tensor in tensors), strict=True)
        found = [getattr(m, part)(*block) for m, block in zip(methods, blocks, strict=True)]
        return torch.cat(found)

    options = {"size": batch, "epochs": epochs, "runs": runs, "seed": generator}
    for features, labels in batches(data.train_features, data.train_labels, **options):  # type: ignore[arg-type]
        x, y = for_all(features, len(methods)), for_all(labels, len(methods))
        with torch.no_grad():
            z = model(x)
        place = pgd(
            model,
            x,
            lambda moved, z=z, y=y: by_method("gain", z, moved, y),  # type: ignore[misc]
            radius=radius,
            bounds=bounds,
            steps=attack_steps,
            generator=generator,
        )
        rows = by_method("loss", model(x), model(place), y)
        optimizer.zero_grad()
        (rows.sum() / features.shape[1]).backward()  # each network descends on its own mean
        optimizer.step()
    return model.requires_grad_(False)


def for_all(tensor: torch.Tensor, methods: int) -> torch.Tensor:
    """The examples (R, N, ...) of the runs as rows (M R N, ...), once for each of M methods."""
    return tensor.expand(methods, *tensor.shape).flatten(0, 2)
