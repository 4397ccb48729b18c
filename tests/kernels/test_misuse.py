"""What goes wrong in use is said, or goes right: groups, modules, masks, budgets, ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree

from lossviz import losses
from lossviz.kernels import (
    LinearCrossEntropyLoss,
    RowStatistics,
    VocabularyShard,
    chunked,
    linear_cross_entropy,
    plan,
    row_losses,
    row_statistics,
    triton_rows,
    triton_tiling,
)
from lossviz.kernels.chunked import Head, Needs, Tiling
from lossviz.kernels.statistics import Want, finish
from lossviz.kernels.tiles import Saved, Transform, Upstream

from .cases import PATHS, make, refuses


class Learned(torch.nn.Module):
    """A loss with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(0.3))

    def forward(self, row: RowStatistics) -> torch.Tensor:
        return row.nll + self.a * row.entropy


def test_a_loss_that_is_a_module_is_trained_saved_and_moved():
    module = LinearCrossEntropyLoss(4, 6, loss=Learned())
    assert [name for name, _ in module.named_parameters()] == ["linear.weight", "loss.a"]
    assert "loss.a" in module.state_dict()
    assert module.double().loss.a.dtype == torch.float64
    head = make(9, 6, 4)
    loss = module(head.input.detach(), head.target)
    loss.backward()
    entropy = torch.distributions.Categorical(logits=module.linear(head.input)).entropy()
    torch.testing.assert_close(module.loss.a.grad, entropy.mean())
    assert "Learned" in repr(module) and "loss='focal'" in repr(
        LinearCrossEntropyLoss(4, 6, loss="focal")
    )


def test_logits_of_the_module_are_those_of_its_loss():
    options = {"logit_scale": 2.0, "softcap": 3.0, "temperature": 0.5}
    module = LinearCrossEntropyLoss(4, 6, bias=True, dtype=torch.float64, **options)
    head = make(9, 6, 4)
    loss = F.cross_entropy(module.logits(head.input), head.target)
    torch.testing.assert_close(module(head.input, head.target), loss)


def test_a_layer_that_is_more_than_its_weight_is_refused():
    module = LinearCrossEntropyLoss(4, 6)
    module.linear = torch.nn.Sequential(module.linear)
    with refuses(TypeError, "linear", "Sequential"):
        module(torch.zeros(2, 4), torch.zeros(2, dtype=torch.long))


def test_statistics_are_a_container_of_tensors():
    head = make(5, 7, 3)
    row = row_statistics(*head[:2], head.target)
    assert tuple(row.as_dict()) == row.names and row.as_dict()["lse"] is row.lse
    leaves, form = pytree.tree_flatten(row)
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    again = pytree.tree_unflatten(leaves, form)
    assert again.lse is row.lse and again.kept is row.kept and again.names == row.names
    few = row_statistics(*head[:2], statistics=("entropy",))
    with refuses(AttributeError, "lse"):
        _ = pytree.tree_map(lambda leaf: leaf, few).lse


def test_statistics_can_be_mapped():
    head = make(6, 7, 3)
    both = head.input.detach().view(2, 3, 3)
    mapped = torch.func.vmap(lambda x: row_statistics(x, head.weight, statistics=("lse",)))(both)
    torch.testing.assert_close(mapped.lse.flatten(), (head.input @ head.weight.T).logsumexp(1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": 0.5}, "start"),
        ({"start": True}, "start"),
        ({"num_classes": 20.0}, "num_classes"),
        ({"group": "all"}, "group"),
    ],
)
def test_a_shard_of_wrong_types_is_refused(options, said):
    with refuses(TypeError, said):
        VocabularyShard(**{"group": None, "start": 0, "num_classes": 20, **options})


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (row_losses.Brier, ("loss", "Brier()")),
        (row_losses.ROW_LOSSES["brier"], ("loss", "Brier()")),
        (losses.CompSum(tau=1.5), ("loss", "logits")),
    ],
)
def test_a_loss_of_another_kind_is_refused_by_name(loss, said):
    head = make(5, 7, 3)
    with refuses(TypeError, *said):
        linear_cross_entropy(*head[:2], head.target, loss=loss)


@pytest.mark.parametrize("impl", PATHS)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_class_weights_that_sum_to_0_are_smoothed_as_in_torch(impl, reduction):
    head = make(9, 6, 4)
    weight = torch.tensor([1.0, -1.0, 0.0, 0.5, -0.5, 0.0], dtype=torch.float64)
    options = {"weight": weight, "label_smoothing": 0.5, "reduction": reduction}
    ours = linear_cross_entropy(*head[:2], head.target, impl=impl, **options)
    theirs = F.cross_entropy(F.linear(*head[:2]), head.target, **options)
    torch.testing.assert_close(ours, theirs)


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


def test_the_sum_over_half_a_tile_is_in_full_precision():
    head = Head(torch.ones(3000, 2), torch.ones(4, 2), None, Transform())
    grown = chunked.Gradients(head, Needs(False, False, True))
    tile = torch.full((3000, 4), 40.0, dtype=torch.float16)  # 120000 in all, beyond float16
    grown.add(slice(0, 3000), slice(0, 4), head.input, head.weight, tile, None)
    assert grown.bias.tolist() == [120_000.0] * 4


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_float16_gradients_of_products_in_float16_keep_small_classes(monkeypatch, scale):
    """As on a GPU, whose products take half precision: here float16 is rounded to, not used."""
    monkeypatch.setattr(chunked.Head, "factor_dtype", property(lambda head: head.input.dtype))

    def product_(out, a, b, *, add=False):
        torch.addmm(out, a.to(out.dtype), b.to(out.dtype), beta=int(add), out=out)

    monkeypatch.setattr(chunked, "product_", product_)
    case = make(64, 3000, 8, torch.float16)
    leaves = [leaf.detach() for leaf in case.leaves]
    head, tiling = Head(*leaves, Transform(scale)), Tiling(64, 3000)
    sums = chunked.accumulate(head, case.target, Want(), tiling)
    gap = finish(sums, case.target >= 0).gap.sigmoid() / 8192  # as in a mean over so many rows
    arguments = case.target, Saved(sums.shift, sums.total), Upstream(gap), Needs(False, True, False)
    found = chunked.gradients(head, *arguments, tiling)[1].double()
    exact = Head(*(leaf.double() for leaf in leaves), Transform(scale))
    true = chunked.gradients(exact, *arguments, tiling)[1]
    others = torch.ones(3000, dtype=torch.bool)
    others[case.target] = False
    handed_back = true.half().double()  # the result itself is float16
    error = (found - handed_back)[others].norm() / handed_back[others].norm()
    assert error < 0.01


@pytest.mark.parametrize("classes", [2, 16, 100, 1000, 8192, 128_256])
def test_a_program_of_the_row_kernels_has_about_as_much_to_do_for_any_vocabulary(classes):
    tile = triton_rows.row_tile(torch.device("cuda"), classes)
    assert tile.columns & (tile.columns - 1) == 0 and tile.rows & (tile.rows - 1) == 0
    assert tile.columns >= min(classes, 8192) and tile.rows * tile.columns <= 8192
    assert classes > 256 or tile.rows > 1


def test_odd_rows_and_dense_weights_take_the_smaller_tiles(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    cuda = torch.device("cuda")
    assert triton_tiling.tile_sizes(torch.bfloat16, cuda) == triton_tiling.HOPPER
    assert triton_tiling.tile_sizes(torch.bfloat16, cuda, plain=False) == triton_tiling.AMPERE
