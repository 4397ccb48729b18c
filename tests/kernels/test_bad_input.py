"""Bad input is refused before anything is computed; the message names the argument."""

from __future__ import annotations

import math

import pytest
import torch

from lossviz.kernels import (
    LinearCrossEntropyLoss,
    linear_cross_entropy,
    plan,
    planning,
    row_statistics,
)

from .cases import refuses

X, W, T = torch.randn(4, 3), torch.randn(5, 3), torch.tensor([0, 4, -100, 2])
B = torch.randn(5)


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    def product(*arguments, **options):
        raise AssertionError("a matrix product was made")

    for name in ("mm", "addmm", "matmul"):
        monkeypatch.setattr(torch, name, product)
    monkeypatch.setattr(torch.nn.functional, "linear", product)


def door(x=X, w=W, t=T, **options):
    return linear_cross_entropy(x, w, t, **options)


def statistics(x=X, w=W, t=T, **options):
    return row_statistics(x, w, t, **options)


each_door = pytest.mark.parametrize("call", [door, statistics])


def test_the_guard_of_these_tests_works():
    for impl in ("chunked", "reference"):
        with pytest.raises(AssertionError, match="a matrix product was made"):
            door(impl=impl)


@each_door
def test_input_and_weight_are_floating_tensors_with_features(call):
    with refuses(TypeError, "input", "list"):
        call(x=X.tolist())
    with refuses(TypeError, "linear_weight", "NoneType"):
        call(w=None)
    for dtype in (torch.int64, torch.complex64, torch.bool, torch.float8_e4m3fn):
        with refuses(TypeError, "input", dtype):
            call(x=X.to(dtype))
        with refuses(TypeError, "linear_weight", dtype):
            call(w=W.to(dtype))
    with refuses(ValueError, "input", "(..., D)"):
        call(x=torch.tensor(1.0))
    with refuses(ValueError, "linear_weight", "(V, D)", "(3,)"):
        call(w=W[0])
    with refuses(ValueError, "linear_weight", "at least one class", "(0, 3)"):
        call(w=W[:0])
    with refuses(ValueError, "input", "linear_weight", "last axis", "(4, 3)", "(5, 2)"):
        call(w=W[:, :2])


@each_door
def test_dtypes_and_devices_must_agree(call):
    with refuses(TypeError, "linear_weight", "torch.float32", "torch.float64", "autocast"):
        call(w=W.double())
    with refuses(TypeError, "linear_bias", "torch.float32", "torch.bfloat16"):
        call(linear_bias=B.bfloat16())
    meta = torch.device("meta")
    with refuses(ValueError, "linear_weight", "meta", "cpu"):
        call(w=W.to(meta))
    with refuses(ValueError, "target", "meta", "cpu"):
        call(t=T.to(meta))
    with refuses(ValueError, "linear_bias", "meta", "cpu"):
        call(linear_bias=B.to(meta))


@each_door
def test_the_bias_has_a_number_a_class(call):
    with refuses(TypeError, "linear_bias", "float"):
        call(linear_bias=0.0)
    for bias in (B[:4], B[:, None], torch.tensor(0.0)):
        with refuses(ValueError, "linear_bias", "(5,)", tuple(bias.shape)):
            call(linear_bias=bias)
    with refuses(TypeError, "linear_bias", "torch.int64"):
        call(linear_bias=B.long())


def test_class_weights_are_a_number_a_class():
    with refuses(TypeError, "weight", "list"):
        door(weight=[1.0] * 5)
    with refuses(ValueError, "weight", "(5,)", "(4,)"):
        door(weight=B[:4])
    with refuses(TypeError, "weight", "torch.int64"):
        door(weight=torch.ones(5, dtype=torch.int64))
    with refuses(ValueError, "weight", "meta"):
        door(weight=B.to("meta"))


@each_door
def test_the_target_holds_class_indices_of_the_shape_of_the_rows(call):
    with refuses(TypeError, "target", "list"):
        call(t=T.tolist())
    with refuses(TypeError, "target", "torch.bool"):
        call(t=T.bool())
    with refuses(TypeError, "target", "torch.complex64"):
        call(t=T.to(torch.complex64))
    with refuses(ValueError, "target", "(4,)", "(3,)"):
        call(t=T[:3])
    with refuses(ValueError, "target", "(4,)", "(4, 1)"):
        call(t=T[:, None])
    with refuses(ValueError, "target", "probabilities", "(4, 5)", "(4,)", "integers"):
        call(t=T.float())
    with refuses(ValueError, "target", "probabilities", "floating", "(4, 5) of torch.int64"):
        call(t=torch.ones(4, 5, dtype=torch.int64))
    for wrong in (5, -1, -101):
        with refuses(ValueError, "target", "[0, 5)", "ignore_index=-100", wrong):
            call(t=torch.tensor([0, 1, wrong, 2]))
    with refuses(ValueError, "target", "ignore_index=7", "-100"):
        call(ignore_index=7)


@each_door
def test_ignore_index_is_an_int(call):
    for wrong in (1.0, "1", True):
        with refuses(TypeError, "ignore_index", repr(wrong)):
            call(ignore_index=wrong)


def test_probability_targets_go_with_cross_entropy_alone():
    soft = torch.rand(4, 5)
    with refuses(ValueError, "target", "(4, 5)", "(4, 4)"):
        door(t=soft[:, :4])
    with refuses(ValueError, "ignore_index", "probabilities"):
        door(t=soft, ignore_index=1)
    with refuses(ValueError, "probabilities", "loss", "'focal'"):
        door(t=soft, loss="focal")
    with refuses(ValueError, "label_smoothing", "loss", "'focal'"):
        door(loss="focal", label_smoothing=0.1)
    with refuses(TypeError, "target", "class indices", "torch.float32"):
        statistics(t=soft)


def test_several_predictions_a_row_need_rows():
    weight = torch.randn(5, 2, 3)
    with refuses(ValueError, "linear_weight", "(N, 3)", "(2, 4, 3)"):
        door(x=torch.randn(2, 4, 3), w=weight, t=torch.zeros(2, 4, 2, dtype=torch.long))
    with refuses(ValueError, "target", "(4, 2)", "(4,)"):
        door(w=weight)
    with refuses(ValueError, "linear_bias", "(5, 2)", "(5,)"):
        door(w=weight, t=torch.zeros(4, 2, dtype=torch.long), linear_bias=B)
    with refuses(ValueError, "linear_weight", "(5, 0, 3)"):
        door(w=weight[:, :0], t=torch.zeros(4, 0, dtype=torch.long))
    with refuses(ValueError, "linear_weight", "(V, D)", "(5, 2, 3)"):
        statistics(w=weight, t=torch.zeros(4, 2, dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("label_smoothing", -0.1),
        ("label_smoothing", 1.1),
        ("z_loss", -1e-9),
        ("z_loss", math.inf),
        ("softcap", 0.0),
        ("softcap", -1.0),
        ("softcap", math.inf),
        ("temperature", 0.0),
        ("temperature", -2.0),
        ("logit_scale", math.inf),
        *((name, math.nan) for name in ("label_smoothing", "z_loss", "softcap", "temperature")),
    ],
)
def test_numbers_out_of_range_are_refused(name, wrong):
    with refuses(ValueError, name, repr(wrong)):
        door(**{name: wrong})
    if name in ("softcap", "temperature", "logit_scale"):
        with refuses(ValueError, name, repr(wrong)):
            statistics(**{name: wrong})


@pytest.mark.parametrize(
    "name", ["label_smoothing", "z_loss", "softcap", "temperature", "logit_scale"]
)
@pytest.mark.parametrize("wrong", ["1", True, [1.0], torch.tensor(1.0), 1j])
def test_what_is_not_a_number_is_refused(name, wrong):
    with refuses(TypeError, name, type(wrong).__name__):
        door(**{name: wrong})


def test_names_are_checked():
    for wrong in ("average", None, 1):
        with refuses(ValueError, "reduction", wrong):
            door(reduction=wrong)
    with refuses(ValueError, "loss", "'focall'", "did you mean 'focal'"):
        door(loss="focall")
    with refuses(TypeError, "loss", "3"):
        door(loss=3)

    class Wrong:
        needs = ("nll", "perplexity")

        def __call__(self, row):
            return row.nll

    with refuses(ValueError, "needs", "['perplexity']"):
        door(loss=Wrong())
    with refuses(ValueError, "statistics", "'perplexity'"):
        statistics(statistics=("nll", "perplexity"))
    with refuses(ValueError, "'nll'", "needs a target"):
        row_statistics(X, W, statistics="nll")


@each_door
def test_the_path_must_exist_here(call):
    for wrong in ("cuda", None, 1):
        with refuses(ValueError, "impl", wrong):
            call(impl=wrong)


@each_door
def test_triton_where_it_cannot_run_is_refused(call, monkeypatch):
    with refuses(ValueError, "impl='triton'", "float32 or half precision", "torch.float64"):
        call(x=X.double(), w=W.double(), impl="triton")
    monkeypatch.setattr(planning, "triton_runs", lambda device, dtype: False)
    with refuses(ValueError, "impl='triton'", "GPU", "'cpu'"):
        call(impl="triton")


@each_door
def test_a_shard_is_a_shard(call):
    with refuses(TypeError, "shard", "VocabularyShard", "int"):
        call(shard=3)


@each_door
@pytest.mark.parametrize("impl", ["chunked", "reference"])
def test_the_memory_budget_is_a_positive_number_of_bytes(call, impl):
    for wrong in ("1GB", 1e6, True):
        with refuses(TypeError, "memory_budget", repr(wrong)):
            call(memory_budget=wrong, impl=impl)
    for wrong in (0, -1):
        with refuses(ValueError, "memory_budget", wrong):
            call(memory_budget=wrong, impl=impl)


def test_a_shift_needs_positions_to_shift():
    for wrong in (1.0, "1", None):
        with refuses(TypeError, "shift", repr(wrong)):
            door(shift=wrong)
    for wrong in (-1, 5):
        with refuses(ValueError, "shift", wrong):
            door(shift=wrong)
    with refuses(ValueError, "shift=1", "target", "()"):
        door(x=X[0], t=T[0], shift=1)
    with refuses(ValueError, "shift=1", "(4,)", "(4, 5)"):
        door(t=torch.rand(4, 5), shift=1)
    with refuses(ValueError, "shift=1", "(2, 4)", "(2, 3)"):
        door(x=torch.randn(2, 4, 3), t=torch.zeros(2, 3, dtype=torch.long), shift=1)


def test_a_plan_is_made_for_sizes_that_exist():
    for place, name in enumerate(("num_rows", "num_classes", "num_features")):
        sizes = [8, 8, 8]
        sizes[place] = -1
        with refuses(ValueError, name, "-1"):
            plan(*sizes)
        sizes[place] = 8.0
        with refuses(TypeError, name, "8.0"):
            plan(*sizes)
    with refuses(ValueError, "num_classes", "at least 1", "0"):
        plan(8, 0, 8)
    with refuses(TypeError, "dtype", "torch.int64"):
        plan(8, 8, 8, torch.int64)
    with refuses(ValueError, "device", "'gpu'"):
        plan(8, 8, 8, device="gpu")
    with refuses(TypeError, "device", "0"):
        plan(8, 8, 8, device=0)
    with refuses(ValueError, "impl", "'fast'"):
        plan(8, 8, 8, impl="fast")
    with refuses(ValueError, "memory_budget", "0"):
        plan(8, 8, 8, memory_budget=0)


def test_a_module_passes_bad_input_on():
    with refuses(ValueError, "label_smoothing", "2"):
        LinearCrossEntropyLoss(3, 5, label_smoothing=2.0)(X, T)
    with refuses(ValueError, "weight", "(5,)", "(4,)"):
        LinearCrossEntropyLoss(3, 5, weight=B[:4])(X, T)
