"""The loss of a network on a plane through its weights: random directions, or the trained path's.

A direction has the names and shapes of the model's parameters. The model itself is never run: what
is moved is a copy of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..losses.attacks import evaluating

Direction = Mapping[str, torch.Tensor]
Run = Callable[[torch.nn.Module, Direction, Any], Any]


def filter_normalised_directions(
    model: torch.nn.Module, count: int = 2, *, generator: torch.Generator | None = None
) -> tuple[Direction, ...]:
    r"""Random directions whose every filter is as long as the model's own.

    .. math:: d_f \leftarrow \frac{d_f}{\lVert d_f \rVert}\, \lVert \theta_f \rVert

    for every filter f: the weights into one unit or output channel, that is ``weight[i]`` of a
    parameter with two axes or more. Parameters with fewer axes (biases; scale and shift of a
    normalisation) get direction 0, and so does a filter that is zero.

    Parameters
    ----------
    model : the module; its present weights are the filters to compare with.
    count : how many directions, at least 1, default 2; independent of one another, which in many
        dimensions is nearly orthogonal.
    generator : torch.Generator on the CPU, or None (default) for torch's global one.

    Returns
    -------
    `count` mappings from parameter name to a tensor like the parameter, detached.

    Raises
    ------
    TypeError for a model that is not a module; ValueError for count < 1, for a model without a
    parameter of two axes or more, or for a lazy model that has not seen a batch.

    Notes
    -----
    Source: Li et al. (2018), filter-wise normalisation. In their code an option leaves biases and
    normalisation layers alone, which here is always so. A direction is as long as all filters
    together.
    """
    parameters = _parameters(model)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a positive int, got {count!r}")
    if all(weights.ndim < 2 for weights in parameters.values()):
        raise ValueError("model must have a parameter of two axes or more, got none")

    def drawn(weights: torch.Tensor) -> torch.Tensor:
        if weights.ndim < 2:
            return torch.zeros_like(weights)
        noise = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
        noise = noise.to(weights)
        rest = tuple(range(1, weights.ndim))
        lengths = torch.linalg.vector_norm(weights, dim=rest, keepdim=True)
        return noise / torch.linalg.vector_norm(noise, dim=rest, keepdim=True) * lengths

    return tuple(
        {name: drawn(weights) for name, weights in parameters.items()} for _ in range(count)
    )


def loss_on_plane(
    model: torch.nn.Module,
    loss: Callable[[torch.Tensor, Any], torch.Tensor],
    data: tuple[torch.Tensor, Any],
    directions: Sequence[Direction],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    chunk: int = 32,
) -> torch.Tensor:
    r"""The loss at the weights :math:`\theta + x_j\, d_1 + y_i\, d_2`, for every j and i.

    Parameters
    ----------
    model : the module. A copy is evaluated in eval mode, without gradient, at each point from the
        buffers as they are; the model, the inputs and torch's random state stay as they were.
    loss : takes the model's output and the targets, returns a scalar.
    data : (inputs, targets), the whole sample in one batch. The loss of one batch is another
        surface than that of the sample.
    directions : two directions, as `filter_normalised_directions` or `trajectory_plane` give them.
    x, y : floating tensors (J,) and (I,), in units of the directions.
    chunk : how many points are evaluated at once, at least 1, default 32; memory grows with it.
        What `torch.func.vmap` cannot take (recurrent layers, dropout that eval mode leaves on, a
        branch on a value) is evaluated point by point, with the same random numbers at each.

    Returns
    -------
    Losses (I, J): rows go along `y`, columns along `x`.

    Raises
    ------
    TypeError for a model that is not a module, or that `copy.deepcopy` refuses; ValueError for a
    lazy model that has not seen a batch, other than two directions, a direction that lacks a
    parameter of the model or has another shape, x or y that are empty or not one-dimensional,
    chunk < 1, or a loss that is not a scalar.
    """
    parameters = _parameters(model)
    if len(directions) != 2:
        raise ValueError(f"directions must be two, got {len(directions)}")
    for direction in directions:
        _check_like(parameters, direction)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"x and y must have one axis, got {tuple(x.shape)} and {tuple(y.shape)}")
    if not len(x) or not len(y):
        raise ValueError(f"x and y must have an entry each, got {len(x)} and {len(y)}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk!r}")
    inputs, targets = data
    first, second = directions

    def at(place: torch.Tensor, run: Run) -> torch.Tensor:
        moved = {
            name: weights + place[0].to(weights) * first[name] + place[1].to(weights) * second[name]
            for name, weights in parameters.items()
        }
        twin, given = _copy((model, inputs))
        with evaluating(twin), _random_state_kept(parameters.values()):
            value = torch.as_tensor(loss(run(twin, moved, given), targets))
        if value.ndim != 0:
            raise ValueError(f"loss must return a scalar, got shape {tuple(value.shape)}")
        return value

    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    with torch.no_grad():
        values = _side_by_side(at, places, chunk)
        if values is None:
            values = torch.stack([at(place, _overwritten) for place in places])
    return values.reshape(len(y), len(x))


def _side_by_side(
    at: Callable[[torch.Tensor, Run], torch.Tensor], places: torch.Tensor, chunk: int
) -> torch.Tensor | None:
    """The values at all places by vmap, or None where that cannot be done or trusted.

    It replaces parameters where modules keep them, and so misses a model that also reads them from
    a list of its own: one place is evaluated in both ways.
    """
    try:
        values = torch.func.vmap(lambda place: at(place, _replaced), chunk_size=chunk)(places)
    except Exception:  # a fault of the model or the loss comes up again, point by point
        return None
    sure = at(places[-1], _overwritten)
    exact = values.dtype if values.is_floating_point() else torch.float64
    slack = torch.finfo(exact).eps ** 0.5
    same = torch.allclose(values[-1], sure, rtol=slack, atol=slack, equal_nan=True)
    return values if same else None


def _replaced(model: torch.nn.Module, weights: Direction, inputs: Any) -> Any:
    return torch.func.functional_call(model, dict(weights), (inputs,))


def _overwritten(model: torch.nn.Module, weights: Direction, inputs: Any) -> Any:
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
    return model(inputs)


class _CopiesOfResults(TorchFunctionMode):
    """Lets deepcopy copy tensors that autograd made as well, which modules may keep as attributes.

    Torch refuses these, because a copy has no history; without gradients none is needed.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            result, memo = args
            return memo.setdefault(id(result), result.detach().clone())
        return function(*args, **(kwargs or {}))


def _copy(original: tuple[torch.nn.Module, Any]) -> tuple[torch.nn.Module, Any]:
    try:
        with _CopiesOfResults():
            return copy.deepcopy(original)
    except Exception as error:
        raise TypeError(
            f"model and inputs must allow copy.deepcopy, for a copy is what is moved: {error}"
        ) from error


def _random_state_kept(weights: Iterable[torch.Tensor]) -> AbstractContextManager[Any]:
    """A block that draws what the next one will draw again, here and where the weights are."""
    devices = {w.device for w in weights} - {torch.device("cpu"), torch.device("meta")}
    kind = next(iter(devices)).type if devices else "cuda"
    return torch.random.fork_rng(devices, device_type=kind)


@dataclass(frozen=True)
class TrajectoryPlane:
    """The plane in which a path of weights looks largest, through its end.

    `directions` are two orthonormal directions, `coordinates` (T, 2) the path in them, with its end
    at (0, 0), and `shares` the part of the summed squared distance from the end that each of the
    two holds.
    """

    directions: tuple[Direction, Direction]
    coordinates: torch.Tensor
    shares: tuple[float, float]


def trajectory_plane(states: Sequence[Mapping[str, torch.Tensor]]) -> TrajectoryPlane:
    r"""Principal components of the differences :math:`\theta_t - \theta_T` from the last weights.

    states : T >= 3 mappings from parameter name to tensor, such as copies of
    ``dict(model.named_parameters())``, in the order of training; the last is the centre. Computed
    in float64. Each direction points from the end towards the start of training.

    Mind that the two shares are large even for a long random walk in many dimensions: 8/pi^2 = 0.81
    for the first and a ninth of that for the second.

    Raises ValueError for fewer than three states, states of different names or shapes, or weights
    that span less than a plane. Source: Li et al. (2018), optimisation paths; their code centres
    the path before it takes components, ours takes differences from its end.
    """
    if len(states) < 3:
        raise ValueError(f"states must be at least three, got {len(states)}")
    end = {name: weights.detach() for name, weights in states[-1].items()}
    for state in states:
        _check_like(end, state)
    rows = torch.stack([_flat(state, end) for state in states]) - _flat(end, end)
    # T is small and the weights are many: the components come from the T x T inner products
    squares, vectors = torch.linalg.eigh(rows @ rows.T)
    squares, vectors = squares.flip(0).clamp_min(0), vectors.flip(1)[:, :2]
    if not squares[1] > 1e-12 * squares[0]:
        raise ValueError("states must span a plane, got weights on a line or all equal")
    components = (rows.T @ vectors / squares[:2].sqrt()).T
    coordinates = rows @ components.T
    towards_start = torch.where(coordinates[0] < 0, -1.0, 1.0).to(coordinates)
    components = components * towards_start[:, None]
    shares = (squares[:2] / squares.sum()).tolist()
    first, second = (_unflat(component, end) for component in components)
    return TrajectoryPlane((first, second), coordinates * towards_start, (shares[0], shares[1]))


def _parameters(model: Any) -> dict[str, torch.Tensor]:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    found = dict(model.named_parameters())
    for name, weights in found.items():
        if torch.nn.parameter.is_lazy(weights):
            raise ValueError(f"model must have seen a batch, got the lazy parameter {name!r}")
    return {name: weights.detach() for name, weights in found.items()}


def _check_like(parameters: Mapping[str, torch.Tensor], other: Direction) -> None:
    for name, weights in parameters.items():
        if name not in other:
            raise ValueError(f"a direction or state lacks the parameter {name!r}")
        if other[name].shape != weights.shape:
            raise ValueError(
                f"{name!r} must have shape {tuple(weights.shape)}, got {tuple(other[name].shape)}"
            )


def _flat(state: Mapping[str, torch.Tensor], names: Iterable[str]) -> torch.Tensor:
    return torch.cat([state[name].detach().double().flatten() for name in names])


def _unflat(row: torch.Tensor, like: Mapping[str, torch.Tensor]) -> Direction:
    parts = row.split([weights.numel() for weights in like.values()])
    return {
        name: part.reshape(weights.shape).to(weights)
        for part, (name, weights) in zip(parts, like.items(), strict=True)
    }
