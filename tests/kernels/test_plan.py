"""What a plan foresees is what a call spends."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lossviz.kernels import linear_cross_entropy, plan

from .cases import HALF, make
from .measure import measure

SHAPE = (700, 1500, 24)
CALLS = {
    "mean": {},
    "budget": {"memory_budget": 1500 * 4 * 200},
    "small budget": {"memory_budget": 1500 * 4 * 50},
    "per row": {"reduction": "none"},
    "per row, budget": {"reduction": "none", "memory_budget": 2**20},
    "focal": {"loss": "focal"},
    "softcap": {"softcap": 5.0},
    "softcap, per row": {"softcap": 5.0, "reduction": "none", "memory_budget": 2**21},
    "smoothing": {"label_smoothing": 0.1},
    "reference": {"impl": "reference"},
}


def foreseen(dtype: torch.dtype, **options):
    named = {name: options[name] for name in ("impl", "memory_budget") if name in options}
    per_row = options.get("reduction") == "none" or options.get("loss") == "focal"
    return plan(*SHAPE, dtype, per_row=per_row, softcap="softcap" in options, **named)


def spend(dtype: torch.dtype, **options):
    head = make(*SHAPE, dtype)

    def step() -> None:
        loss = linear_cross_entropy(*head[:2], head.target, **options)
        loss.backward(torch.ones_like(loss))

    spent = measure(step)
    handed_back = sum(tensor.grad.nbytes for tensor in head[:2])
    return spent, spent.bytes - handed_back


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float32) for name in CALLS),
        *((name, HALF[0]) for name in ("mean", "per row, budget", "softcap")),
        ("mean", torch.float64),
        ("mean", HALF[1]),
    ],
    ids=str,
)
def test_bytes_and_flops_are_as_foreseen(name, dtype):
    options = CALLS[name]
    told = foreseen(dtype, **options)
    spent, beyond = spend(dtype, **options)
    assert spent.flops == told.flops
    assert 0.75 * told.bytes <= beyond <= 1.15 * told.bytes


@pytest.mark.parametrize(
    ("options", "operator"),
    [
        ({}, "lossviz::reduced_loss"),
        ({"loss": "mae"}, "lossviz::reduced_loss"),
        ({"reduction": "none"}, "lossviz::row_sums"),
        ({"loss": "focal"}, "lossviz::row_sums"),
        ({"memory_budget": 1500 * 4 * 50}, "lossviz::row_sums"),
    ],
)
def test_the_path_is_the_one_foreseen(options, operator):
    spent, _ = spend(torch.float32, **options)
    assert {name for name in spent.operators if name.startswith("lossviz::")} >= {operator}
    told = foreseen(torch.float32, **options)
    assert told.impl == "chunked"
    assert told.products == (3 if operator.endswith("reduced_loss") else 4)


def test_the_reference_path_uses_no_operator_of_ours():
    spent, _ = spend(torch.float32, impl="reference")
    assert not any(name.startswith("lossviz::") for name in spent.operators)


BUDGETS = (3 * 10**6, 10**6, 5 * 10**5)


def test_a_smaller_budget_means_less_memory():
    sizes = [foreseen(torch.float32, memory_budget=budget).bytes for budget in BUDGETS]
    spent = [spend(torch.float32, memory_budget=budget)[1] for budget in BUDGETS]
    assert sizes == sorted(sizes, reverse=True) and spent == sorted(spent, reverse=True)


@pytest.mark.parametrize("rows", [0, 1, 200, 10**6])
@pytest.mark.parametrize("classes", [1, 256_000])
@pytest.mark.parametrize("per_row", [False, True])
def test_plans_of_any_size_have_tiles_within_the_matrix(rows, classes, per_row):
    for budget in (None, 2**20, 2**28):
        told = plan(rows, classes, 16, torch.bfloat16, per_row=per_row, memory_budget=budget)
        assert 1 <= told.tiling.rows <= max(1, rows)
        assert 1 <= told.tiling.columns
        assert told.floor_flops <= told.flops
        assert str(told).startswith("chunked: tiles of")


@pytest.mark.parametrize("rows", [1, 8, 224])
def test_few_rows_of_half_precision_widen_few_weights_at_a_time(rows):
    told = plan(rows, 256_000, 2304, torch.bfloat16)
    gradients = 4 * (256_000 + rows) * 2304  # in float32 until they are handed back
    assert told.bytes - gradients < rows * 256_000 * 4 + 40 * 2**20


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"loss": "focal"}], ids=str)
@pytest.mark.parametrize("impl", ["chunked", "reference"])
def test_a_counter_of_flops_counts_the_products_of_the_head(impl, options):
    head = make(40, 60, 8, torch.float32)
    with FlopCounterMode(display=False) as counter:
        loss = linear_cross_entropy(*head[:2], head.target, impl=impl, **options)
        loss.sum().backward()
    told = plan(40, 60, 8, impl=impl, per_row=bool(options))
    assert counter.get_total_flops() == told.flops


def test_a_large_head_in_half_precision_takes_little_beyond_its_gradients_on_a_gpu():
    told = plan(8192, 256_000, 2304, torch.bfloat16, "cuda")  # Gemma 2
    assert told.bytes < 300e6 and told.products == 4
    assert told.logits_bytes == 8192 * 256_000 * 2  # of eager, in its own dtype
    assert f"{told.bytes / told.logits_bytes:.1%} of eager's logits" in str(told)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("rows", [300, 1500])
def test_by_pieces_of_all_rows_a_weight_gradient_never_lies_there_in_float32(rows, dtype):
    classes, features = 6000, 256
    budget = 4 * rows * 256
    head = make(rows, classes, features, dtype)

    def step() -> None:
        linear_cross_entropy(*head[:2], head.target, memory_budget=budget).backward()

    told = plan(rows, classes, features, dtype, memory_budget=budget)
    assert told.products == 4 and told.tiling.rows == rows
    beyond = measure(step).bytes - sum(tensor.grad.nbytes for tensor in head[:2])
    assert 0.75 * told.bytes <= beyond <= 1.15 * told.bytes
    assert told.bytes < classes * features * 4 + rows * features * 4


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float32, HALF[0]])
def test_chunks_are_no_larger_than_gains_anything(device, dtype):
    told = plan(2**17, 128_256, 4096, dtype, device)
    enough = 1024 if told.on_units or device == "cuda" else 512
    assert told.tiling.rows <= enough or told.tiling.columns == 256


def test_a_budget_for_a_handful_of_logits_is_refused_by_name():
    with pytest.raises(ValueError, match=r"memory_budget is in bytes: 1 .* 35,000 tiles of 1 x 1"):
        plan(50, 700, 8, memory_budget=1)
    head = make(50, 700, 8, torch.float32)
    with pytest.raises(ValueError, match="memory_budget is in bytes"):
        linear_cross_entropy(*head[:2], head.target, memory_budget=1)
    enough = 4 * 2**14
    assert plan(10**5, 10**6, 8, memory_budget=enough).tiling.rows >= 1


def test_the_promised_share_of_the_logits_is_kept():
    # at most 10 % of the logits at N = 4096 and 25 % at N = 1024
    for rows, share in ((4096, 0.10), (1024, 0.25)):
        for classes in (32_000, 128_000):
            for features in (512, 1024):
                told = plan(rows, classes, features)
                assert told.bytes <= share * told.logits_bytes


@pytest.mark.parametrize("budget", [None, 2**20])
def test_a_further_batch_costs_what_the_first_did_beside_the_sum_of_gradients(budget):
    head = make(700, 1500, 24, torch.float32)
    inputs = [head.input.detach().clone().requires_grad_() for _ in range(2)]

    def step(x: torch.Tensor) -> None:
        linear_cross_entropy(
            x, head.weight, head.target, reduction="sum", memory_budget=budget
        ).backward()

    first, second = (measure(lambda x=x: step(x)).bytes for x in inputs)
    assert second == pytest.approx(first, rel=0.02)
    assert first >= head.weight.grad.nbytes
