"""Follow the features of your own model while it trains: neural collapse, class by class.

``with watch(model) as seen:`` gives a `Watch`, and each ``seen.collect(loader, step=epoch)`` passes
over the loader and adds rows to `seen.records`.

What it costs is a pass forwards over the loader, most of an epoch where the network is small and
loading takes longer than learning. To follow training cheaply, collect a fixed sample of the
training rows in one batch: with 500 rows that is 4 to 8 ms of one processor, 4 % of an epoch of
10,000 images of MNIST's size and a third of an epoch of 1,200 digits, where each tenth epoch is
enough. Measured by ``tests/benchmarks/bench.py``.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from .class_by_class import class_rows, mean_cdnv
from .collapse import (
    ClassStatistics,
    class_statistics,
    labelled_pair,
    nc1,
    nc2,
    nc2_of_weight,
    nc3,
    nc3_distance,
    nc4,
)
from .geometry import rankme_of_moments
from .records import Journal, Mode, Record

PART = 2**24
"""Bytes of features that are looked at together; up to four such parts are kept for NC4."""
PATIENCE = 5.0
"""Seconds after which a pass says how far it is."""
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


class Watch(Journal):
    """What `watch` gives: passes are made by `collect`, and `records` has what they found.

    `layer` names the module that is read and `head` the classifier, None without one;
    `statistics` are those of the last pass.
    """

    def __init__(
        self, model: nn.Module, layer: str, head: str | None, classes: int, *, entering: bool
    ) -> None:
        super().__init__()
        self.layer, self.head, self.classes = layer, head, classes
        self.statistics: ClassStatistics | None = None
        self._model, self._entering, self._open = model, entering, True

    def collect(
        self,
        loader: Iterable[Any],
        *,
        step: int,
        split: str = "train",
        mode: Mode = "eval",
        by_class: bool = True,
        progress: bool = True,
    ) -> list[Record]:
        """Pass over `loader`, which gives pairs of inputs and labels (N,); the new records.

        NC4 needs the class means first. Features of up to 64 MB are kept for it; for more there is
        a second pass, with the same random numbers. In `mode` "train" dropout and batch statistics
        are at work. Afterwards the model is as it was: its mode module by module, its buffers, and
        the random state of torch, numpy and Python. `by_class` adds rows for each class, `progress`
        has passes of more than five seconds say on stderr how far they are. Collapse is defined on
        training data: name the `split` where it is another.

        Metrics: nc1, nc2, nc2_of_weight, nc3 and nc3_distance, as the functions of these names with
        their defaults (a simplex, around the mean of the class means); nc4; cdnv, the mean over
        pairs; rankme; and, class by class, rows, variance, length, angle and own_weight of
        `class_rows`. Without a head those of the classifier are left out.

        Raises RuntimeError outside the `with` block, ValueError for another mode, batches that are
        no pairs, features that are not (N, D) and finite, labels out of range, classes without
        rows, and a layer that did not run once a batch.
        """
        if not self._open:
            raise RuntimeError("the with block of this watch is over: open another one")
        if mode not in ("eval", "train"):
            raise ValueError(f"mode must be 'eval' or 'train', got {mode!r}")
        with _as_it_was(self._model):
            self._model.train(mode == "train")
            self.statistics, disagree = self._passes(loader, progress)
        found = self._whole(self.statistics, disagree)
        new = [Record(step, split, mode, name, None, value) for name, value in found.items()]
        if by_class:
            for name, values in self._rows(self.statistics).items():
                new += [
                    Record(step, split, mode, name, label, value)
                    for label, value in enumerate(values.tolist())
                ]
        self.records += new
        return new

    def _passes(
        self, loader: Iterable[Any], progress: bool
    ) -> tuple[ClassStatistics, float | None]:
        """The statistics, and the share of rows on which NC4 sees a disagreement."""
        waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
        parts: list[torch.Tensor] = []
        found: list[ClassStatistics] = []
        many = False

        def look() -> None:
            nonlocal many
            features, target = (torch.cat(both) for both in zip(*waiting, strict=True))
            waiting.clear()
            new = class_statistics(features, target, classes=self.classes)
            found[:] = [found[0].merge(new) if found else new]
            many = many or len(parts) == 4
            parts[:] = [] if many or self.head is None else [*parts, features]

        def gather(features: torch.Tensor, target: torch.Tensor) -> None:
            waiting.append(labelled_pair(features, target))
            if sum(part.nbytes for part, _ in waiting) >= PART:
                look()

        self._pass(loader, gather, progress)
        if waiting:
            look()
        if not found:
            raise ValueError("loader must give at least one batch, got none")
        (stats,) = found
        if self.head is None:
            return stats, None
        weight, bias = self._classifier()
        apart: list[float] = []

        def compare(features: torch.Tensor, _target: torch.Tensor | None = None) -> None:
            apart.append(len(features) * nc4(weight, bias, stats, features).item())

        for features in parts:
            compare(features)
        if many:
            self._pass(loader, compare, progress)
        if not apart:
            raise ValueError(
                "loader must give its batches anew each time, it was empty at the second pass: "
                "give a DataLoader or a list"
            )
        return stats, sum(apart) / stats.rows.sum().item()

    def _pass(
        self,
        loader: Iterable[Any],
        each: Callable[[torch.Tensor, torch.Tensor], None],
        progress: bool,
    ) -> None:
        """Call `each` with the features (N, D) and labels of every batch, on the CPU."""
        seen: list[torch.Tensor] = []

        def keep(_module: nn.Module, args: Any, output: Any = None) -> None:
            found = args[0] if self._entering and args else output
            if not isinstance(found, torch.Tensor):
                raise TypeError(
                    f"layer {self.layer!r} must give one tensor, got {type(found).__name__}"
                )
            seen.append(found.detach().cpu())

        module = self._model.get_submodule(self.layer)
        hook = module.register_forward_pre_hook if self._entering else module.register_forward_hook
        device = next(self._model.parameters(), torch.empty(0)).device
        handle = hook(keep)
        try:
            # compiled code may have been made without the hook
            with torch.no_grad(), torch.compiler.set_stance("force_eager"), _unseen(loader):
                for batch in _told(loader) if progress else loader:
                    if not _is_pair(batch):
                        raise ValueError(
                            "loader must give pairs of inputs and labels, two tensors, got "
                            f"{type(batch).__name__}"
                        )
                    self._model(batch[0].to(device))
                    if len(seen) != 1:
                        raise ValueError(
                            f"layer {self.layer!r} must run once a batch, it ran {len(seen)} times"
                        )
                    each(seen.pop(), batch[1].cpu())
        finally:
            handle.remove()

    def _classifier(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert self.head is not None
        head = self._model.get_submodule(self.head)
        assert isinstance(head, nn.Linear)
        bias = None if head.bias is None else head.bias.detach().cpu()
        return head.weight.detach().cpu(), bias

    def _whole(self, stats: ClassStatistics, disagree: float | None) -> dict[str, float]:
        moments = stats.within + (stats.means * stats.rows[:, None]).mT @ stats.means
        found = {
            "nc1": nc1(stats), "nc2": nc2(stats), "cdnv": mean_cdnv(stats),
            "rankme": rankme_of_moments(moments),
        }  # fmt: skip
        if self.head is not None:
            weight, _ = self._classifier()
            found |= {
                "nc2_of_weight": nc2_of_weight(weight),
                "nc3": nc3(weight, stats),
                "nc3_distance": nc3_distance(weight, stats),
            }
        values = {name: value.item() for name, value in found.items()}
        return values if disagree is None else {**values, "nc4": disagree}

    def _rows(self, stats: ClassStatistics) -> dict[str, torch.Tensor]:
        weight = None if self.head is None else self._classifier()[0]
        found = class_rows(stats, weight)._asdict()
        return {name: values for name, values in found.items() if values is not None}


@contextmanager
def watch(
    model: nn.Module,
    layer: str | None = None,
    *,
    head: str | None = None,
    classes: int | None = None,
) -> Iterator[Watch]:
    """Follow what a layer of `model` gives, as a context manager.

    Without `layer` it is the input of `head`, and without `head` that of the last `nn.Linear` of
    the model in the order of its modules. A named `layer` is read at its output, and the numbers
    that need a classifier are left out unless `head` names one. `classes` is by default the number
    of outputs of the head.

    Between passes the model has no hook, so that training runs as without. Compiled models are read
    without their compiled code; of `DataParallel` and `DistributedDataParallel` the module inside
    is read, on one device, and each process sees the rows of its own loader.

    Raises TypeError for what is no module, or a scripted one, which takes no hooks; ValueError for
    names that are not there, a head that is no `nn.Linear`, and `classes` that are missing.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    plain = _unwrapped(model)
    if isinstance(plain, torch.jit.ScriptModule):
        raise TypeError("model is scripted and takes no hooks: give the module it was made of")
    modules = dict(plain.named_modules())
    if layer is None and head is None:
        linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError("model has no nn.Linear: name a layer, and give classes")
        head = linear[-1]
    for what, name in (("layer", layer), ("head", head)):
        if name is not None and name not in modules:
            raise ValueError(f"{what} must be one of {list(modules)}, got {name!r}")
    if head is not None and not isinstance(modules[head], nn.Linear):
        raise ValueError(f"head must be an nn.Linear, got {type(modules[head]).__name__}")
    if classes is None:
        if head is None:
            raise ValueError("classes must be given where no head is: how many labels there are")
        classes = modules[head].out_features
    read = head if layer is None else layer
    assert read is not None and classes is not None
    seen = Watch(plain, read, head, classes, entering=layer is None)
    try:
        yield seen
    finally:
        seen._open = False


def _told(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches; after `PATIENCE` seconds, and each second from then on, how many there were."""
    start = last = time.monotonic()
    of = f" of {len(loader)}" if isinstance(loader, Sized) else ""
    said = ""
    for count, batch in enumerate(loader, 1):
        yield batch
        now = time.monotonic()
        if now - start >= PATIENCE and (now - last >= 1 or not said):
            last, said = now, f"\rwatch: {count}{of} batches, {now - start:.0f} s"
            print(said, end="", file=sys.stderr, flush=True)
    if said:
        print(f"\r{' ' * len(said)}", end="\r", file=sys.stderr, flush=True)


def _is_pair(batch: Any) -> bool:
    return (
        isinstance(batch, (tuple, list))
        and len(batch) == 2
        and all(isinstance(part, torch.Tensor) for part in batch)
    )


def _unwrapped(model: nn.Module) -> nn.Module:
    """The module inside of what torch wraps around it."""
    while True:
        inside = model.module if isinstance(model, WRAPPERS) else getattr(model, "_orig_mod", None)
        if not isinstance(inside, nn.Module):
            return model
        model = inside


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """The mode of each module and the buffers are restored, whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def _unseen(loader: Iterable[Any]) -> Iterator[None]:
    """What is drawn inside leaves no trace: of torch, numpy, Python and the loader itself."""
    own = (getattr(part, "generator", None) for part in (loader, getattr(loader, "sampler", None)))
    before = [(one, one.get_state()) for one in own if isinstance(one, torch.Generator)]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - not ours to replace
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for one, state in before:
            one.set_state(state)
