"""Projected gradient ascent: the inputs near given ones at which a model does worst.

The attack looks for the largest value of any row-wise gain and knows nothing of losses, so that one
function serves to train (smooth adversarial losses, TRADES), to evaluate and to transfer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, Literal

import torch

from ..declaration.numbers import row_dtype

Gain = Callable[[torch.Tensor], torch.Tensor]
Norm = Literal["linf", "l2"]
Each = float | torch.Tensor  # one for all, or a tensor that broadcasts to the inputs


def pgd(
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    gain: Gain,
    *,
    radius: Each,
    norm: Norm = "linf",
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    bounds: tuple[Each, Each] | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Projected gradient ascent on `gain(model(x'))` over the ball of a radius around each input.

    Parameters
    ----------
    model : callable from inputs (N, ...) to outputs. A module is attacked in evaluation mode, so
        that no running statistic moves; its modes, parameters, buffers and gradients are left as
        they were.
    x : floating tensor (N, ...), one input per row.
    gain : from outputs to one number per row (N,), to be made large: a loss with reduction "none"
        and the true labels, for instance.
    radius : number >= 0 in the units of x; for "linf" also a tensor that broadcasts to x, as
        (C, 1, 1) for images whose channels were divided by their standard deviations.
    norm : "linf" (largest change of an entry, default) or "l2" (Euclidean length of the change).
    steps : int >= 1, default 10.
    step_size : number > 0 in the units of x; default 2.5 radius / steps, so that the far side of
        the ball is in reach.
    restarts : int >= 1, default 1; from the second on always from random starts.
    random_start : whether the first try starts at a random place of the ball (default) or at x.
    bounds : (lowest, highest) value of an input's entry, numbers or tensors that broadcast to x, or
        None (default).
    generator : source of the random starts; default torch's global one.

    Returns
    -------
    Tensor like x, without gradient: for each row the best of all places visited, x included, so
    its gain is never below that at x. Ties go to x.

    Raises
    ------
    TypeError for an x that is not a floating tensor or counts that are not ints; ValueError for a
    radius < 0, an unknown norm, counts < 1, a step_size <= 0, bounds out of order or that x
    violates, or a gain that is not one number per row with a gradient in x.

    Notes
    -----
    Step and projection as in Madry et al. (2018): the sign of the gradient for "linf", the
    gradient at unit length for "l2". Rows do not influence each other unless the model mixes them.
    """
    _check_choices(norm, steps, restarts)
    _check_inputs(x)
    x = x.detach()
    radius, limits = _check_radius(radius, x, norm), _check_bounds(bounds, x)
    step = 2.5 * radius / steps if step_size is None else _check_step(step_size)
    moves = bool((torch.as_tensor(radius) > 0).any())
    with evaluating(model):
        best, height = x.clone(), _value_and_slope(model, gain, x)[0]
        for attempt in range(restarts if moves else 0):
            move = torch.zeros_like(x)
            if random_start or attempt > 0:
                move = _random_in_ball(x, radius, norm, generator)
            for _ in range(steps + 1):
                here = _within(x, move, radius, norm)
                here = here if limits is None else here.clamp(*limits)
                value, slope = _value_and_slope(model, gain, here)
                better = value > height
                best = torch.where(_as_column(better, x), here, best)
                height = torch.where(better, value, height)
                move = _project(here - x + step * _steepest(slope, norm), radius, norm)
    return best


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put a module in evaluation mode for a while; then each part gets back the mode that it had.

    A model that is not a module is left as it is.
    """
    parts = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def _value_and_slope(
    model: Callable[[torch.Tensor], torch.Tensor], gain: Gain, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()  # a tensor of inference mode takes no gradient
        value = gain(model(leaf))
        if value.shape != x.shape[:1]:
            raise ValueError(
                f"gain must give one number per row, shape {tuple(x.shape[:1])}, "
                f"got {tuple(value.shape)}"
            )
        # With respect to the inputs alone: no parameter's gradient is touched.
        slope = None
        if value.requires_grad:
            (slope,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if slope is None:
        raise ValueError(
            "gain(model(x)) must depend on x by operations that have a gradient, got one that does "
            "not (a model that ignores x or detaches it, or a gain by argmax or a count)"
        )
    return value.detach(), slope


def _steepest(slope: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The step of length one, in the norm of the ball, along which a row's gain rises fastest."""
    if norm == "linf":
        return slope.sign()
    length = _length(slope)
    return slope / torch.where(length == 0, 1.0, length)


def _project(move: torch.Tensor, radius: Each, norm: Norm) -> torch.Tensor:
    if isinstance(radius, torch.Tensor):
        return torch.minimum(torch.maximum(move, -radius), radius)
    if norm == "linf":
        return move.clamp(-radius, radius)
    length = _length(move)
    return torch.where(length > radius, move * (radius / length.clamp_min(radius)), move)


def _within(x: torch.Tensor, move: torch.Tensor, radius: Each, norm: Norm) -> torch.Tensor:
    """x + move; where rounding took it out of the ball, a few last digits nearer to x."""
    here, exact = x + move, row_dtype(x)
    apart = here.to(exact) - x.to(exact)
    length = apart.abs() if norm == "linf" else _length(apart)
    digits = torch.finfo(x.dtype).eps * (here.abs() + radius)
    nearer = torch.where(apart.abs() > digits, here - apart.sign().to(here) * digits, x)
    return torch.where(length > radius, nearer, here)


def _random_in_ball(
    x: torch.Tensor, radius: Each, norm: Norm, generator: torch.Generator | None
) -> torch.Tensor:
    """Uniform in the ball: independent entries, or a direction times a suitably drawn length."""
    options: dict[str, Any] = {"generator": generator, "dtype": x.dtype, "device": x.device}
    if norm == "linf":
        return radius * (2 * torch.rand(x.shape, **options) - 1)
    direction = torch.randn(x.shape, **options)
    share = torch.rand(len(x), **options) ** (1 / max(1, math.prod(x.shape[1:])))
    return radius * _as_column(share, x) * direction / _length(direction)


def _length(rows: torch.Tensor) -> torch.Tensor:
    """Euclidean length of each row, shaped to divide rows (N, ...)."""
    return _as_column(torch.linalg.vector_norm(rows.flatten(1), dim=1), rows)


def _as_column(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _check_number(value: Any, name: str, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not (least <= float(value) < math.inf):
        raise ValueError(f"{name} must lie in [{least:g}, ∞), got {value!r}")
    return float(value)


def _check_step(value: Any) -> float:
    step = _check_number(value, "step_size", 0.0)
    if step == 0:
        raise ValueError("step_size must be positive, got 0")
    return step


def _check_choices(norm: Any, steps: Any, restarts: Any) -> None:
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm must be 'linf' or 'l2', got {norm!r}")
    for name, count in (("steps", steps), ("restarts", restarts)):
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"{name} must be an int, got {type(count).__name__}")
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _check_inputs(x: Any) -> None:
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise TypeError(f"x must be a floating tensor, got {type(x).__name__}")
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, ...), one input per row, got {tuple(x.shape)}")


def _check_radius(radius: Any, x: torch.Tensor, norm: Norm) -> Each:
    if not isinstance(radius, torch.Tensor):
        return _check_number(radius, "radius", 0.0)
    if norm == "l2":
        raise ValueError(
            f"radius must be a number for norm 'l2', got a tensor {tuple(radius.shape)}"
        )
    radius = _like(radius, x, "radius")
    outside = ~((radius >= 0) & radius.isfinite())
    if outside.any():
        raise ValueError(f"radius must lie in [0, ∞), got {radius[outside][0].item()!r}")
    return radius


def _check_bounds(bounds: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    if bounds is None:
        return None
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be (lowest, highest), got {bounds!r}") from None
    low, high = _like(low, x, "bounds"), _like(high, x, "bounds")
    if not bool((low < high).all()):
        raise ValueError(f"bounds must be (lowest, highest), got {bounds!r}")
    if not bool(((low <= x) & (x <= high)).all()):
        raise ValueError(
            f"x must lie within bounds {bounds!r}, got values from {float(x.min()):g} "
            f"to {float(x.max()):g}"
        )
    return low, high


def _like(values: Any, x: torch.Tensor, name: str) -> torch.Tensor:
    """Values in the dtype of x, so that an end which x was rounded to is that end."""
    if not isinstance(values, (Real, torch.Tensor)):
        raise TypeError(f"{name} must be numbers or tensors, got {type(values).__name__}")
    tensor = torch.as_tensor(values, dtype=x.dtype, device=x.device).detach()
    try:
        fits = torch.broadcast_shapes(tensor.shape, x.shape) == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must broadcast to x of shape {tuple(x.shape)}, got {tuple(tensor.shape)}"
        )
    return tensor
