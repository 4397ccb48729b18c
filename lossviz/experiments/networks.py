"""Small rectified networks: one, or several side by side in the time of little more than one."""

from __future__ import annotations

import math
from itertools import pairwise

import torch


class ParallelLinear(torch.nn.Module):
    """R linear layers side by side, each with weights of its own: (R, N, a) to (R, N, b).

    `weight` is (R, a, b) and `bias` (R, 1, b), left unset: `network` sets them.
    """

    def __init__(self, runs: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(runs, inputs, outputs))
        self.bias = torch.nn.Parameter(torch.empty(runs, 1, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (R, N, b) of inputs (R, N, a)."""
        return torch.baddbmm(self.bias, x, self.weight)


Layer = torch.nn.Linear | ParallelLinear


def network(
    *sizes: int,
    runs: int | None = None,
    deviation: float | None = None,
    seed: int | torch.Generator = 0,
) -> torch.nn.Sequential:
    r"""Linear layers with rectified units between them, in float32.

    Parameters
    ----------
    sizes : at least two positive ints: inputs, hidden units of each layer, outputs.
    runs : None (default) for one network of `torch.nn.Linear` layers, (N, a) to (N, b); R >= 1 for
        R networks side by side that share nothing, (R, N, a) to (R, N, b).
    deviation : standard deviation of the first weights, normal with biases 0; a linear model
        usually starts at 0. None (default) for torch's rule: weights and biases uniform within
        :math:`\pm 1/\sqrt{a}` for a layer of a inputs.
    seed : int, default 0, or a generator to draw from, so that data can be drawn after the
        weights. Torch's global generator is left alone.

    Raises
    ------
    ValueError for fewer than two sizes, sizes or runs below 1, or a negative deviation.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be at least two positive ints, got {sizes}")
    if runs is not None and runs < 1:
        raise ValueError(f"runs must be None or at least 1, got {runs}")
    if deviation is not None and not 0 <= deviation < math.inf:
        raise ValueError(f"deviation must be None or lie in [0, ∞), got {deviation!r}")
    generator = as_generator(seed)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layer: Layer = (
            torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs)
            if runs is None
            else ParallelLinear(runs, inputs, outputs)
        )
        _set_first_weights(layer, inputs, deviation, generator)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def alone(networks: torch.nn.Sequential, run: int) -> torch.nn.Sequential:
    """A copy of one of the networks side by side, of `torch.nn.Linear` layers."""
    layers: list[torch.nn.Module] = []
    for part in networks:
        if isinstance(part, ParallelLinear):
            layer = torch.nn.utils.skip_init(torch.nn.Linear, *part.weight.shape[1:])
            layer.load_state_dict({"weight": part.weight[run].T, "bias": part.bias[run, 0]})
            layers.append(layer)
        else:
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def as_generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator that starts at the seed, or the one that was handed in, where it stands."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)


@torch.no_grad()
def _set_first_weights(
    layer: Layer, inputs: int, deviation: float | None, generator: torch.Generator
) -> None:
    if deviation is None:
        reach = 1 / math.sqrt(inputs)
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-reach, reach, generator=generator)
    else:
        layer.weight.normal_(0.0, deviation, generator=generator)
        layer.bias.zero_()
