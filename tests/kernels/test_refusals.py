"""What cannot be meant is refused by name: shards, losses, budgets, ranges, layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lossviz import losses
from lossviz.kernels import (
    VocabularyShard,
    linear_cross_entropy,
    plan,
    row_losses,
    row_statistics,
)
from lossviz.kernels.row_losses import EntropyBonus, Renyi2Bonus

from .cases import make, refuses


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 0.5}, "start"),
        ({"start": True}, "start"),
        ({"num_classes": 20.0}, "num_classes"),
        ({"group": "all"}, "group"),
    ],
)
def test_a_shard_of_wrong_types_is_refused(options, words):
    with refuses(TypeError, words):
        VocabularyShard(**{"group": None, "start": 0, "num_classes": 20, **options})


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (row_losses.Brier, ("loss", "Brier()")),
        (row_losses.ROW_LOSSES["brier"], ("loss", "Brier()")),
        (losses.CompSum(tau=1.5), ("loss", "logits")),
    ],
)
def test_a_loss_of_another_kind_is_refused_by_name(loss, words):
    head = make(5, 7, 3)
    with refuses(TypeError, *words):
        linear_cross_entropy(*head[:2], head.target, loss=loss)


def test_a_budget_that_cannot_be_meant_is_refused():
    with refuses(ValueError, "memory_budget", "bytes", "512"):
        plan(8192, 128_256, 4096, memory_budget=512)
    assert plan(8192, 128_256, 4096, memory_budget=np.int64(2**28)).tiling.rows > 0


@pytest.mark.parametrize(
    "options", [{"softcap": 1e39}, {"temperature": 1e-45}, {"logit_scale": 1e300}], ids=str
)
def test_a_transform_beyond_float32_is_refused(options):
    head = make(5, 7, 3)
    with refuses(ValueError, *options):
        linear_cross_entropy(*head[:2], head.target, **options)


def test_numbers_that_no_tensor_holds_and_sparse_tensors_are_refused():
    head = make(5, 7, 3)
    with refuses(ValueError, "ignore_index"):
        linear_cross_entropy(*head[:2], head.target, ignore_index=10**30)
    with refuses(TypeError, "linear_weight", "dense"):
        linear_cross_entropy(head.input, head.weight.detach().to_sparse(), head.target)


def test_a_shard_lies_within_its_vocabulary():
    with refuses(ValueError, "start", "num_classes=11", "-4"):
        VocabularyShard(None, -4, 11)
    head = make(8, 11, 3)
    with refuses(ValueError, "linear_weight", "num_classes=11", "11 rows", "start=3"):
        linear_cross_entropy(*head[:2], head.target, shard=VocabularyShard(None, 3, 11))
    with refuses(ValueError, "group"):
        linear_cross_entropy(*head[:2], head.target, shard=VocabularyShard(None, 0, 11))
    with refuses(ValueError, "group"):
        VocabularyShard.of(head.weight)


def test_what_is_not_a_number_or_a_name_is_refused():
    head = make(8, 11, 3)
    for bonus in (EntropyBonus, Renyi2Bonus):
        with refuses(TypeError, "beta", "None"):
            bonus(None)
        with refuses(ValueError, "beta", "nan"):
            bonus(float("nan"))
    with refuses(ValueError, "temperature"):
        linear_cross_entropy(*head[:2], head.target, temperature=10**400)
    with refuses(TypeError, "loss", "torch.bool"):
        linear_cross_entropy(*head[:2], head.target, loss=lambda row: row.nll > 1)
    names = (name for name in ("nll", "lse"))
    assert row_statistics(*head[:2], head.target, statistics=names).names == ("nll", "lse")
    with torch.autocast("cpu", torch.bfloat16), refuses(TypeError, "linear_weight", "float64"):
        linear_cross_entropy(head.input.float(), head.weight, head.target)
