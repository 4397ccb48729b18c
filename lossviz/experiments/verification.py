"""Exact answers for small rectified networks: can any input of a cube make a class overtake?

Over a cube of inputs a rectified unit is a few linear inequalities and one binary variable, on or
off, so that the largest lead of a class over the label is the optimum of a mixed-integer linear
programme. Where the binary variables may take any value between 0 and 1 a linear programme is left,
whose optimum is at least as large: a certificate where it is negative.
Source: Tjeng, Xiao and Tedrake (2019).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Layer = tuple[np.ndarray, np.ndarray]


class Cube:
    """A network on all inputs within a radius of one input, as a mixed-integer programme.

    Parameters
    ----------
    model : `torch.nn.Linear` layers with `ReLU` between them, one after the other in a
        `torch.nn.Sequential`, as `lossviz.experiments.networks.network` makes them.
    x : the middle of the cube, (d,).
    radius : number >= 0, how far each entry may move.
    bounds : lowest and highest value of an entry; default none.

    Raises
    ------
    ValueError for a model of other layers or a negative radius.
    """

    def __init__(
        self,
        model: torch.nn.Sequential,
        x: torch.Tensor,
        *,
        radius: float,
        bounds: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        if not 0 <= radius < math.inf:
            raise ValueError(f"radius must lie in [0, ∞), got {radius!r}")
        *layers, (self._weight, self._bias) = _layers(model)
        middle = x.detach().double().numpy()
        low, high = np.maximum(middle - radius, bounds[0]), np.minimum(middle + radius, bounds[1])
        lows, highs, on_lows, on_highs, rows, tops = [low], [high], [], [], [], []
        hidden = sum(len(bias) for _, bias in layers)
        # The variables: inputs, then outputs of the units, then whether each unit is on.
        variables = np.eye(len(low) + 2 * hidden)
        inputs, units = np.split(variables, [len(low)])
        outputs, switches = units[:hidden], units[hidden:]
        before, seen = inputs, 0
        for weight, bias in layers:
            least, most = _range(weight, bias, low, high)
            now = slice(seen, seen + len(bias))
            below, above = np.minimum(least, 0), np.maximum(most, 0)
            into, out, on = weight @ before, outputs[now], switches[now]
            rows += [
                into - out,  # the output is at least the input,
                out - into - below[:, None] * on,  # at most the input where the unit is on,
                out - above[:, None] * on,  # and at most 0 where it is off
            ]
            tops += [-bias, bias - below, np.zeros_like(bias)]
            low, high = np.maximum(least, 0), above
            lows.append(low)
            highs.append(high)
            on_lows.append(least > 0)
            on_highs.append(most >= 0)
            before, seen = out, seen + len(bias)
        self._last, self._binary = before, np.arange(len(variables)) >= len(inputs) + hidden
        self._bounds = Bounds(np.concatenate(lows + on_lows), np.concatenate(highs + on_highs))
        self._constraints = [
            LinearConstraint(csr_array(row), -np.inf, top)
            for row, top in zip(rows, tops, strict=True)
        ]

    def lead(self, label: int, other: int, *, exact: bool = True) -> float:
        """Largest lead of class `other` over the label, from above.

        exact : True (default) solves the mixed-integer programme, to a relative gap of 1e-4;
            False its relaxation, whose value is at least as large.
        """
        cost = (self._weight[label] - self._weight[other]) @ self._last
        whole = self._binary & exact
        found = milp(cost, integrality=whole, bounds=self._bounds, constraints=self._constraints)
        lowest = found.mip_dual_bound if whole.any() else found.fun
        return float(self._bias[other] - self._bias[label] - lowest)

    def worst(self, label: int) -> tuple[float, float]:
        """Largest lead of any class over the label: the exact one, and that of the relaxation.

        Classes are asked in the order of their relaxations, and only while they can matter.
        """
        others = [k for k in range(len(self._bias)) if k != label]
        relaxed = {k: self.lead(label, k, exact=False) for k in others}
        exact = -math.inf
        for other in sorted(relaxed, key=relaxed.__getitem__, reverse=True):
            if relaxed[other] > exact:
                exact = max(exact, self.lead(label, other))
        return exact, max(relaxed.values())

    def holds(self, label: int, *, exact: bool = True) -> bool:
        """Whether the label leads all classes everywhere; False may be a doubt if not `exact`.

        The relaxation is asked first, and the programme only where it leaves a doubt.
        """
        others = [k for k in range(len(self._bias)) if k != label]
        doubtful = [k for k in others if self.lead(label, k, exact=False) >= 0]
        return not doubtful or (exact and all(self.lead(label, k) < 0 for k in doubtful))


def _range(
    weight: np.ndarray, bias: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a linear layer's outputs over a box of inputs, each attained."""
    centre, reach = weight @ (low + high) / 2 + bias, np.abs(weight) @ (high - low) / 2
    return centre - reach, centre + reach


def _layers(model: torch.nn.Sequential) -> list[Layer]:
    """Weights (outputs, inputs) and biases in float64."""
    found = []
    for place, part in enumerate(model):
        if not isinstance(part, torch.nn.ReLU if place % 2 else torch.nn.Linear):
            raise ValueError(f"model must alternate Linear and ReLU layers, got {model}")
        if isinstance(part, torch.nn.Linear):
            weight = part.weight.detach().double().numpy()
            bias = np.zeros(len(weight)) if part.bias is None else part.bias.detach().numpy()
            found.append((weight, bias.astype(np.float64)))
    return found
