"""A vocabulary spread over processes gives the numbers of one process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from lossviz.kernels import VocabularyShard, linear_cross_entropy, row_statistics

WORLD = 2
ROWS, CLASSES, FEATURES = 9, 13, 6
OPTIONS = [
    {},
    {"reduction": "sum", "loss": "focal"},
    {"reduction": "none", "loss": "brier"},
    {"label_smoothing": 0.1, "z_loss": 1e-2, "softcap": 3.0},
    {"loss": "entropy_bonus", "temperature": 0.7},
    {"reduction": "none", "compact": False},
]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def in_a_group(rank: int, port: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call `function` as one of the processes; whoever fails leaves, and the others fail too."""
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(WORLD)
    )
    dist.init_process_group("gloo")
    try:
        function(rank, *arguments)
    finally:
        dist.destroy_process_group()


Together = Callable[..., None]


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    """Calls a function of the rank in all processes, which are started once."""
    with ProcessPoolExecutor(WORLD, get_context("spawn")) as processes:

        def call(function: Callable[..., None], *arguments: Any) -> None:
            port = free_port()
            ranks = [
                processes.submit(in_a_group, rank, port, function, *arguments)
                for rank in range(WORLD)
            ]
            for rank in ranks:
                rank.result()

        yield call


def case() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    target = torch.randint(0, CLASSES, (ROWS,), generator=generator)
    target[3] = -100
    target[:2] = torch.tensor([0, CLASSES - 1])
    return {
        "input": normal(ROWS, FEATURES),
        "weight": normal(CLASSES, FEATURES),
        "bias": normal(CLASSES),
        "classes": normal(CLASSES).abs(),
        "target": target,
    }


def one_process(options: dict) -> list[torch.Tensor]:
    c = case()
    x, w, b = (c[name].requires_grad_() for name in ("input", "weight", "bias"))
    loss = linear_cross_entropy(x, w, c["target"], linear_bias=b, weight=c["classes"], **options)
    return [loss.detach(), *torch.autograd.grad(loss.sum(), (x, w, b))]


def spread(rank: int, cut: int) -> None:
    group = dist.group.WORLD
    part = slice(0, cut) if rank == 0 else slice(cut, CLASSES)
    for options in OPTIONS:
        c = case()
        c["input"][c["target"] == -100] = torch.nan
        x = c["input"].requires_grad_()
        w, b = (c[name][part].clone().requires_grad_() for name in ("weight", "bias"))
        shard = VocabularyShard.of(w, group)
        assert (shard.start, shard.num_classes) == (part.start, CLASSES)
        loss = linear_cross_entropy(
            x, w, c["target"], linear_bias=b, weight=c["classes"], shard=shard, **options
        )
        found = [loss.detach(), *torch.autograd.grad(loss.sum(), (x, w, b))]
        expected = one_process(options)
        expected[2:] = [whole[part] for whole in expected[2:]]
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-13)
    x = case()["input"]
    every = row_statistics(x, w, c["target"], linear_bias=b, shard=shard)
    whole = row_statistics(x, c["weight"], c["target"], linear_bias=c["bias"])
    for name in whole.names:
        torch.testing.assert_close(
            getattr(every, name), getattr(whole, name), rtol=1e-12, atol=1e-13
        )


def as_dtensor(rank: int, classes: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (WORLD,))
    c = case()
    target = c["target"].clamp(max=classes - 1)
    x = c["input"].requires_grad_()
    whole = c["weight"][:classes].clone().requires_grad_()
    w = distribute_tensor(whole.detach(), mesh, [Shard(0)]).requires_grad_()
    loss = linear_cross_entropy(x, w, target)
    loss.backward()
    expected = linear_cross_entropy(x.detach(), whole, target)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(w.grad.full_tensor(), whole.grad)
    with pytest.raises(ValueError, match="Shard"):
        linear_cross_entropy(x, distribute_tensor(whole.detach(), mesh, [Shard(1)]), target)
    for shape, places in (
        ((WORLD,), (Replicate(),)),
        ((1, WORLD), (Replicate(), Shard(0))),
        ((WORLD, 1), (Replicate(), Shard(0))),
        ((WORLD, 1), (Shard(0), Replicate())),
    ):
        mesh = init_device_mesh("cpu", shape)
        bias = c["bias"][:classes].clone()
        w, b = (
            distribute_tensor(tensor.detach(), mesh, places).requires_grad_()
            for tensor in (whole, bias)
        )
        x.grad = whole.grad = None
        loss = linear_cross_entropy(x, w, target, linear_bias=b)
        loss.backward()
        other = x.detach().requires_grad_()
        expected = linear_cross_entropy(other, whole, target, linear_bias=bias)
        expected.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(x.grad, other.grad)
        torch.testing.assert_close(w.grad.full_tensor(), whole.grad)
        assert tuple(w.grad.placements) == places
    mesh = init_device_mesh("cpu", (1, WORLD))
    with pytest.raises(ValueError, match="linear_bias"):
        linear_cross_entropy(x, w, target, linear_bias=bias)
    twice = distribute_tensor(whole.detach(), mesh, (Shard(0), Shard(0)))
    with pytest.raises(ValueError, match="one at most"):
        linear_cross_entropy(x, twice, target)


def in_half_precision(rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = classes = 64
    x = torch.randn(rows, 32, generator=generator)
    # what all classes have in common cancels over processes, and is all that their parts show
    w = 4 * torch.randn(32, generator=generator) + 0.1 * torch.randn(
        classes, 32, generator=generator
    )
    target = torch.randint(classes, (rows,), generator=generator)
    part = slice(rank * classes // 2, (rank + 1) * classes // 2)
    for dtype in (torch.bfloat16, torch.float16):
        narrow = x.to(dtype).requires_grad_(), w.to(dtype)
        exact = narrow[0].detach().double().requires_grad_()
        F.cross_entropy(exact @ narrow[1].double().T, target).backward()
        shard = VocabularyShard(None, part.start, classes)
        linear_cross_entropy(narrow[0], narrow[1][part], target, shard=shard).backward()
        found = narrow[0].grad
        assert found.dtype == dtype
        error = (found.double() - exact.grad).norm() / exact.grad.norm()
        assert error <= torch.finfo(dtype).eps / 2  # of one rounding


def test_parts_of_an_input_gradient_are_added_before_they_are_rounded(together):
    together(in_half_precision)


def disagree(rank: int) -> None:
    c = case()

    def loss(part: slice, target: torch.Tensor, rows: int = ROWS) -> torch.Tensor:
        shard = VocabularyShard(None, part.start, CLASSES)
        return linear_cross_entropy(
            c["input"][:rows], c["weight"][part], target[:rows], shard=shard
        )

    true = linear_cross_entropy(c["input"], c["weight"], c["target"])
    backwards = (slice(7, CLASSES), slice(0, 7))
    torch.testing.assert_close(loss(backwards[rank], c["target"]), true)
    for stop, start in ((5, 7), (7, 5)):  # a gap, an overlap
        with pytest.raises(ValueError, match="make up the vocabulary"):
            loss((slice(0, stop), slice(start, CLASSES))[rank], c["target"])
    part = (slice(0, 7), slice(7, CLASSES))[rank]
    with pytest.raises(ValueError, match="the same on all processes"):
        loss(part, (c["target"].clamp(min=0) + rank) % CLASSES)
    with pytest.raises(ValueError, match="the same on all processes"):
        loss(part, c["target"], ROWS - rank)


def test_shards_that_are_not_a_partition_and_batches_that_differ_are_refused(together):
    together(disagree)


@pytest.mark.parametrize("cut", [7, 1, CLASSES], ids=["even", "one class", "an empty shard"])
def test_two_processes_agree_with_one_in_loss_gradients_and_statistics(cut, together):
    together(spread, cut)


@pytest.mark.parametrize("classes", [CLASSES, 1], ids=["ragged", "an empty shard"])
def test_a_weight_that_is_a_dtensor_is_taken_as_it_is(classes, together):
    together(as_dtensor, classes)


def test_a_sharded_vocabulary_has_no_reference_path():
    c = case()
    shard = VocabularyShard(None, 0, CLASSES)
    with pytest.raises(ValueError, match="reference"):
        linear_cross_entropy(c["input"], c["weight"], c["target"], impl="reference", shard=shard)
