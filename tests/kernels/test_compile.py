"""One graph under torch.compile, with the numbers of eager mode."""

from __future__ import annotations

import pytest
import torch

from lossviz.kernels import LinearCrossEntropyLoss, linear_cross_entropy, row_statistics

from .cases import HALF, Head, each_path, make, naive, with_gradients

pytestmark = pytest.mark.filterwarnings("ignore")  # the compiler's own

OPTIONS = {
    "plain": {},
    "reference": {"impl": "reference"},
    "none": {"reduction": "none", "softcap": 2.0},
    "smoothing": {"label_smoothing": 0.1, "z_loss": 0.1},
    "statistics": {"loss": "brier"},
    "budget": {"memory_budget": 2000},
}


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function, **options):
    return torch.compile(function, fullgraph=True, backend="aot_eager", **options)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_full_graph_gives_the_numbers_of_eager_mode(options):
    def loss(x, w, b, target):
        return linear_cross_entropy(x, w, target, linear_bias=b, **options)

    head = make(30, 12, 5)
    head.target[::4] = -100
    graph = compiled(loss)
    for _ in range(2):  # the second time nothing is traced
        found = with_gradients(graph(*head), head)
        torch.testing.assert_close(found, with_gradients(loss(*head), head))


def test_one_graph_serves_every_number_of_rows():
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    graph = torch.compile(linear_cross_entropy, fullgraph=True, dynamic=True, backend=counter)
    for rows in (250, 300, 700):
        head = make(rows, 12, 5)
        found = with_gradients(graph(*head[:2], head.target, linear_bias=head.bias), head)
        torch.testing.assert_close(found, with_gradients(naive(head), head))
    assert counter.frame_count <= 2


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_compiles(dtype):
    head = make(30, 12, 5, dtype)
    graph = compiled(linear_cross_entropy)
    found = with_gradients(graph(*head[:2], head.target, linear_bias=head.bias), head)
    eager = linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias)
    torch.testing.assert_close(found, with_gradients(eager, head))


def test_statistics_and_a_learned_loss_compile():
    head = make(30, 12, 5)
    scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def total(x, w, b, target):
        row = row_statistics(x, w, target, linear_bias=b)
        real = (getattr(row, name).sum() for name in row.names if name not in ("argmax", "correct"))
        learned = linear_cross_entropy(
            x, w, target, linear_bias=b, loss=lambda row: row.nll + scale * row.entropy
        )
        return sum(real) + learned

    every = (*head.leaves, scale)
    found = torch.autograd.grad(compiled(total)(*head), every)
    torch.testing.assert_close(found, torch.autograd.grad(total(*head), every))


@pytest.mark.parametrize("reduction", ["mean", "none"])
@each_path
def test_a_target_out_of_range_is_refused_in_a_graph_too(impl, reduction):
    head = make(8, 12, 5)
    head.target[3] = 12
    graph = compiled(linear_cross_entropy)
    with pytest.raises((RuntimeError, IndexError)):
        graph(*head[:2], head.target, impl=impl, reduction=reduction)


def test_transforms_inside_a_graph_take_the_reference():
    head = make(8, 12, 5)
    x, w, b = (tensor.detach() for tensor in head.leaves)

    def ours(x):
        return linear_cross_entropy(x, w, head.target, linear_bias=b)

    def plain(x):
        return naive(Head(x, w, b, head.target))

    for transform in (
        lambda f: lambda x: torch.func.jvp(f, (x,), (x,))[1],
        lambda f: torch.func.grad(f),
    ):
        graph = torch.compile(transform(ours), backend="aot_eager")
        torch.testing.assert_close(graph(x), transform(plain)(x))
        torch.testing.assert_close(
            transform(torch.compile(ours, backend="aot_eager"))(x), transform(plain)(x)
        )


def test_a_module_compiles_and_trains():
    torch.manual_seed(0)
    module = LinearCrossEntropyLoss(5, 12, bias=True, label_smoothing=0.1)
    graph = compiled(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    x, target = torch.randn(40, 5), torch.randint(0, 12, (40,))
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = graph(x, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.1
