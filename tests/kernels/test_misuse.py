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
    linear_cross_entropy,
    plan,
    row_losses,
    row_statistics,
)

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


def test_logits_of_a_wrong_shape_are_refused_by_name():
    with refuses(ValueError, "input", "linear_weight"):
        LinearCrossEntropyLoss(4, 6).logits(torch.zeros(2, 3))


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
