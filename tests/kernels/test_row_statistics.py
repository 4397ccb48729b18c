"""Row statistics against their definitions on materialised logits."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.utils._pytree as pytree

from lossviz.kernels import STATISTICS, row_statistics
from lossviz.kernels.statistics import Want, finish, merge
from lossviz.kernels.tiles import accumulate_

from .cases import HALF, Head, each_path, logits_of, make, refuses

REAL = tuple(name for name in STATISTICS if name not in ("argmax", "correct"))
NO_TARGET = ("lse", "max", "argmax", "entropy", "mean_logit", "uniform_nll", "log_sum_square")
TRANSFORMS = [{}, {"softcap": 2.0}, {"logit_scale": -1.5, "softcap": 4.0, "temperature": 0.6}]
each_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=["plain", "cap", "all"])
each_statistic = pytest.mark.parametrize("name", STATISTICS)


def definitions(logits: torch.Tensor, target: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Every statistic, from logits (N, V) and labels (N,), -100 where ignored."""
    if target is None:
        target = torch.full((len(logits),), -100)
    kept = target != -100
    place = target.clamp(min=0)[:, None]
    target_logit = logits.gather(1, place)[:, 0]
    others = logits.scatter(1, place, -torch.inf).logsumexp(1)
    log_p = logits.log_softmax(1)
    others_log_p = log_p.scatter(1, place, -torch.inf)
    lse = logits.logsumexp(1)
    square = (2 * log_p).logsumexp(1)
    of_the_others = (2 * others_log_p).logsumexp(1)
    argmax = logits.argmax(1)
    zero = torch.zeros_like(target_logit)
    return {
        "target_logit": torch.where(kept, target_logit, zero),
        "lse": lse,
        "lse_others": torch.where(kept, others, lse),
        "log_odds": torch.where(kept, target_logit - others, zero),
        "nll": torch.where(kept, -log_p.gather(1, place)[:, 0], zero),
        "max": logits.max(1).values,
        "argmax": argmax,
        "correct": kept & (argmax == target),
        "entropy": -(log_p.exp() * log_p).sum(1),
        "mean_logit": logits.mean(1),
        "uniform_nll": -log_p.mean(1),
        "log_sum_square": square,
        "log_sum_square_others": torch.where(kept, of_the_others, square),
    }


def found(head: Head, **options):
    options = {"target": head.target, **options}
    return row_statistics(head.input, head.weight, linear_bias=head.bias, **options)


def test_the_definitions_here_name_every_statistic():
    assert set(definitions(torch.zeros(1, 2), torch.tensor([0]))) == set(STATISTICS)


@each_path
@each_transform
@pytest.mark.parametrize("budget", [None, 8 * 40])
@pytest.mark.parametrize("shape", [(1, 2, 1), (17, 29, 5), (6, 300, 4)])
def test_every_statistic_and_its_gradient_follow_the_definition(shape, budget, transform, impl):
    head = make(*shape)
    head.target[::4] = -100
    true = definitions(logits_of(head, **transform), head.target)
    row = found(head, impl=impl, memory_budget=budget, **transform)
    assert row.names == STATISTICS
    for name in STATISTICS:
        ours = getattr(row, name)
        torch.testing.assert_close(ours, true[name], msg=lambda text, name=name: f"{name}: {text}")
        if name not in REAL:
            assert not ours.requires_grad
            continue
        upstream = torch.linspace(-3, 5, len(ours), dtype=torch.float64)
        gradients = torch.autograd.grad(ours, head.leaves, upstream, retain_graph=True)
        right = torch.autograd.grad(true[name], head.leaves, upstream, retain_graph=True)
        for mine, theirs in zip(gradients, right, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-10)


@each_path
@each_statistic
def test_one_statistic_alone_is_what_it_is_among_all(name, impl):
    head = make(7, 13, 4)
    row = found(head, statistics=(name,), impl=impl)
    assert torch.equal(getattr(row, name), getattr(found(head, impl=impl), name))
    assert repr(row) == f"RowStatistics({name}; shape (7,))"
    for other in set(STATISTICS) - {name}:
        with pytest.raises(AttributeError, match=f"'{other}' was not asked for"):
            getattr(row, other)
    with pytest.raises(AttributeError, match="no attribute 'logits'"):
        row.logits  # noqa: B018


@each_path
@pytest.mark.parametrize("budget", [None, 8 * 5])
def test_without_a_target_there_are_the_statistics_that_need_none(budget, impl):
    head = make(7, 13, 4)
    true = definitions(logits_of(head), None)
    row = found(head, target=None, impl=impl, memory_budget=budget)
    assert row.names == NO_TARGET
    for name in NO_TARGET:
        torch.testing.assert_close(getattr(row, name), true[name])
    assert not row.kept.any()
    for name in set(STATISTICS) - set(NO_TARGET):
        with refuses(ValueError, name, "needs a target"):
            found(head, target=None, statistics=(name,))


@each_path
def test_statistics_have_the_shape_of_the_batch(impl):
    head = make(24, 13, 4)
    flat = found(head, impl=impl)
    shaped = row_statistics(
        head.input.reshape(2, 3, 4, 4), head.weight, head.target.reshape(2, 3, 4),
        linear_bias=head.bias, impl=impl,
    )  # fmt: skip
    single = row_statistics(
        head.input[0], head.weight, head.target[0], linear_bias=head.bias, impl=impl
    )
    for name in STATISTICS:
        value = getattr(flat, name)
        torch.testing.assert_close(getattr(shaped, name), value.reshape(2, 3, 4))
        torch.testing.assert_close(getattr(single, name), value[0])


@each_path
@pytest.mark.parametrize("budget", [None, 8])
@pytest.mark.parametrize("target", [0, 1, 2, 3, -100])
def test_of_equal_logits_the_first_is_the_argmax(target, budget, impl):
    bias = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.5])
    row = row_statistics(
        torch.zeros(1, 1), torch.zeros(5, 1), torch.tensor([target]),
        linear_bias=bias, impl=impl, memory_budget=budget,
    )  # fmt: skip
    assert row.argmax.tolist() == [1]
    assert row.correct.tolist() == [target == 1]
    assert row.max.tolist() == [1.0]


@each_path
def test_nll_is_lse_less_the_target_logit_and_log_odds_are_its_logit(impl):
    row = found(make(40, 13, 4), impl=impl)
    torch.testing.assert_close(row.nll, row.lse - row.target_logit)
    torch.testing.assert_close(row.log_odds, row.target_logit - row.lse_others)
    torch.testing.assert_close(torch.sigmoid(row.log_odds), torch.exp(-row.nll))


def test_sums_over_parts_merge_to_those_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn(9, 40, generator=generator, dtype=torch.float64)
    logits[0] = logits[0, 0]  # all equal
    logits[1, 10:20] = -torch.inf  # a part in which no class is possible
    labels = torch.tensor([0, 3, 12, 20, 39, -1, 19, 20, -1])
    weights = torch.rand(40, generator=generator, dtype=torch.float64)
    weights[10:20] = 0
    want = Want(argmax=True, tilt=True, square=True, mean=True)

    def part(first: int, last: int):
        return accumulate_(logits[:, first:last].clone(), labels, first, want, weights[first:last])

    whole = finish(part(0, 40), labels >= 0)
    for cuts in ([0, 10, 20, 40], [0, 1, 39, 40], list(range(41))):
        parts = [part(*ends) for ends in itertools.pairwise(cuts)]
        torch.testing.assert_close(tuple(finish(merge(parts), labels >= 0)), tuple(whole))
        nested = merge([merge(parts[:2]), merge(parts[2:])])
        torch.testing.assert_close(tuple(finish(nested, labels >= 0)), tuple(whole))


@each_path
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_statistics_are_exact_and_float32_for_half_precision(dtype, impl):
    head = make(30, 50, 8, dtype)
    true = definitions(logits_of(head.to(torch.float64)), head.target)
    row = found(head, impl=impl)
    for name in REAL:
        value = getattr(row, name)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), true[name], rtol=2e-6, atol=2e-6)


@each_path
def test_temperature_scaling_needs_no_logits(impl):
    # d nll / d beta at beta = 1/T is E_p[z] - z_y, and E_p[z] = lse - entropy at T = 1
    head = make(40, 13, 4)
    row = found(head, impl=impl)
    beta = torch.ones((), dtype=torch.float64, requires_grad=True)
    scaled = beta * logits_of(head).detach()
    mean = torch.nn.functional.cross_entropy(scaled, head.target)
    (true,) = torch.autograd.grad(mean, beta)
    torch.testing.assert_close((row.lse - row.entropy - row.target_logit).mean(), true)


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
