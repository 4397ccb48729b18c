"""The training loop of the book, the batches that it takes, and what is asked of a model after it.

Side by side (`runs`), features, labels and outputs have one more axis in front, and each run goes
its own way: its own examples, its own order, its own descent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from .networks import as_generator, network

Batch = tuple[torch.Tensor, torch.Tensor]


def batches(
    features: torch.Tensor,
    target: torch.Tensor,
    *,
    size: int,
    epochs: int | None = None,
    steps: int | None = None,
    runs: int | None = None,
    seed: int | torch.Generator = 0,
) -> Iterator[Batch]:
    """Batches (features, target), drawn as they are asked for.

    Parameters
    ----------
    features, target : N examples each along the first axis; with `runs` along the second.
    size : examples of a batch, at least 1, for each run. The last batch of an epoch may be smaller.
    epochs : how many passes over all examples, each in a new order; or
    steps : how many batches, each of examples drawn with replacement. One of the two is needed.
    runs : None (default), or the number R of runs along the first axis.
    seed : int, default 0, or a generator to draw from. Torch's global generator is left alone.

    Raises
    ------
    ValueError for a size below 1, for both or neither of `epochs` and `steps`, for features and
    target of unequal numbers of examples, or for a first axis that is not `runs` long.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if (epochs is None) == (steps is None):
        raise ValueError(f"one of epochs and steps is needed, got {epochs} and {steps}")
    leading = 1 if runs is None else 2
    if features.shape[:leading] != target.shape[:leading]:
        raise ValueError(
            "features and target must hold the same examples, "
            f"got shapes {tuple(features.shape)} and {tuple(target.shape)}"
        )
    if runs is not None and len(target) != runs:
        raise ValueError(f"the first axis must count the {runs} runs, got {len(target)}")
    chosen = _choices(
        1 if runs is None else runs, target.shape[leading - 1], size, epochs, steps, seed
    )
    if runs is None:
        return ((features[rows], target[rows]) for (rows,) in chosen)
    run = torch.arange(runs)[:, None]
    return ((features[run, rows], target[run, rows]) for rows in chosen)


def _choices(
    runs: int,
    count: int,
    size: int,
    epochs: int | None,
    steps: int | None,
    seed: int | torch.Generator,
) -> Iterator[torch.Tensor]:
    """Places (runs, at most size) of the examples of each batch."""
    generator = as_generator(seed)
    for _ in range(steps or 0):
        yield torch.randint(count, (runs, size), generator=generator)
    for _ in range(epochs or 0):
        orders = [torch.randperm(count, generator=generator) for _ in range(runs)]
        yield from torch.stack(orders).split(size, dim=1)


class Training(NamedTuple):
    """`losses` of the batches, each before its step, and the `records` that were asked for."""

    losses: list[float]
    records: list[Any]


def train(
    model: torch.nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    data: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    runs: int = 1,
    clip: float | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    record: Callable[[torch.nn.Module], Any] | None = None,
    record_at: Collection[int] | None = None,
    seed: int = 0,
) -> Training:
    """Train a model in place: one step for each batch.

    Parameters
    ----------
    model : any module, in the mode in which it is.
    loss : from outputs and target to the mean loss of the batch, over all runs.
    data : pairs (features, target), such as `batches` gives; `[(x, y)] * 100` is a hundred steps
        on all examples.
    optimizer : of the model's parameters; its step size is its own.
    runs : how many runs go side by side, default 1. The loss is multiplied by it, so that each run
        descends on its own mean.
    clip : largest norm of the gradient, all parameters together, or None (default).
    schedule : stepped after each step, or None (default).
    record : called with the model, without gradient; what it returns is kept.
    record_at : numbers of steps after which to record, 0 for the start; default after each step.
    seed : for what the model or the loss draws from torch's global generator, such as dropout;
        afterwards that generator on the CPU is where it was.

    Returns
    -------
    The losses of all batches (averaged over the runs), and the records.
    """
    losses: list[float] = []
    records: list[Any] = []

    def look(step: int) -> None:
        if record is not None and (step > 0 if record_at is None else step in record_at):
            with torch.no_grad():
                records.append(record(model))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        look(0)
        for step, (features, target) in enumerate(data, start=1):
            value = loss(model(features), target)
            optimizer.zero_grad()
            (runs * value).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            losses.append(value.item())
            look(step)
    return Training(losses, records)


def fit(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    features: torch.Tensor,
    target: torch.Tensor,
    sizes: Sequence[int],
    *,
    steps: int,
    batch: int = 200,
    rate: float = 1e-2,
    optimizer: type[torch.optim.Optimizer] = torch.optim.Adam,
    seed: int = 0,
    **options: Any,
) -> tuple[torch.nn.Sequential, list[Any]]:
    """Train small networks side by side, one for each run.

    Parameters
    ----------
    loss : from outputs and target to the mean loss over all runs.
    features, target : examples (R, N, d) and what they should give, (R, N), for R runs.
    sizes : of the layers, as `network` takes them.
    steps, batch : steps, each on so many examples of each run, drawn with replacement.
    rate, optimizer : step size and class of the optimizer, Adam by default.
    seed : of the first weights and of the batches.
    options : `record`, `record_at` and others of `train`.

    Returns
    -------
    The networks, which ask for no gradients, and the records.
    """
    generator = as_generator(seed)
    model = network(*sizes, runs=len(target), seed=generator)
    data = batches(features, target, size=batch, steps=steps, runs=len(target), seed=generator)
    descent = optimizer(model.parameters(), lr=rate)  # type: ignore[call-arg]
    seen = train(model, loss, data, descent, runs=len(target), **options)
    return model.requires_grad_(False), seen.records


def minimise(
    objective: Callable[[], torch.Tensor],
    parameters: list[torch.Tensor],
    *,
    steps: int,
    tolerance: float,
) -> None:
    """Bring smooth `objective()` to its minimum in the parameters, in place, by L-BFGS.

    steps : at most so many; tolerance : largest entry of the gradient at which to stop.
    """
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=steps,
        tolerance_grad=tolerance,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()
        return value

    optimizer.step(closure)


@torch.no_grad()
def accuracy(
    model: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Share of the labels (..., N) that are the model's highest output; side by side (R,)."""
    return (model(features).argmax(-1) == labels).float().mean(-1)
