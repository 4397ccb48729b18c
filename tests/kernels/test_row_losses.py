"""Losses as functions of row statistics, against the package's own losses and plain formulas."""

from __future__ import annotations

import pickle

import pytest
import torch

import lossviz.losses
from lossviz.kernels import ROW_LOSSES, linear_cross_entropy, row_losses

from .cases import Head, each_path, logits_of, make, refuses

SHARED = sorted(set(ROW_LOSSES) & set(lossviz.losses.LOSSES))


def on_probabilities(formula):
    """A loss of softmax probabilities (N, V), one-hot targets (N, V) and p_y (N,)."""

    def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        p = logits.softmax(1)
        p_y = p.gather(1, target[:, None])[:, 0]
        return formula(p, torch.nn.functional.one_hot(target, p.shape[1]), p_y)

    return loss


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(p * p.log()).sum(1)


FORMULAS = {
    "unlikelihood": lambda p, hot, p_y: -torch.log(1 - p_y),
    "brier": lambda p, hot, p_y: (p - hot).square().sum(1),
    "spherical_score": lambda p, hot, p_y: 1 - p_y / p.norm(dim=1),
    "entropy_bonus": lambda p, hot, p_y: -p_y.log() - 0.01 * entropy(p),
    "renyi_2_bonus": lambda p, hot, p_y: -p_y.log() + 0.01 * p.square().sum(1).log(),
}
PARAMETERS = {
    "comp_sum": [
        (row_losses.CompSum(tau=tau), {"tau": tau}) for tau in (0.0, 0.5, 1.0, 1.3, 2.0, 3.0)
    ],
    "generalized_cross_entropy": [
        (row_losses.GeneralizedCrossEntropy(q=q), {"q": q}) for q in (0.0, 0.4, 1.0)
    ],
    "focal": [(row_losses.Focal(gamma=gamma), {"gamma": gamma}) for gamma in (0.0, 0.5, 2.0, 5.0)],
    "poly_1": [(row_losses.Poly1(epsilon=e), {"epsilon": e}) for e in (-1.0, 0.0, 3.0)],
    "symmetric_cross_entropy": [
        (row_losses.SymmetricCrossEntropy(alpha=a, beta=b, log_zero=z),
         {"alpha": a, "beta": b, "log_zero": z})
        for a, b, z in ((0.0, 1.0, -4.0), (1.0, 0.0, -4.0), (0.3, 2.0, -7.0))
    ],
}  # fmt: skip


def ours(head: Head, **options) -> torch.Tensor:
    return linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, **options)


def assert_equal_with_gradients(mine: torch.Tensor, theirs: torch.Tensor, head: Head) -> None:
    torch.testing.assert_close(mine, theirs)
    upstream = torch.linspace(-1, 2, mine.numel(), dtype=mine.dtype).reshape(mine.shape)
    found = torch.autograd.grad(mine, head.leaves, upstream)
    torch.testing.assert_close(found, torch.autograd.grad(theirs, head.leaves, upstream))


def test_every_row_loss_is_judged_here():
    assert set(SHARED) | set(FORMULAS) == set(ROW_LOSSES)


@each_path
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("key", SHARED)
def test_a_loss_that_the_package_declares_is_the_same_here(key, reduction, impl):
    head = make(19, 12, 5)
    head.target[4] = -100
    theirs = lossviz.losses.get(key).function(
        logits_of(head), head.target, reduction=reduction, ignore_index=-100
    )
    assert_equal_with_gradients(ours(head, loss=key, reduction=reduction, impl=impl), theirs, head)


@each_path
@pytest.mark.parametrize("key", PARAMETERS)
def test_parameters_mean_what_they_mean_in_the_package(key, impl):
    head = make(19, 12, 5)
    for loss, parameters in PARAMETERS[key]:
        for reduction in ("none", "mean"):
            theirs = lossviz.losses.get(key).function(
                logits_of(head), head.target, reduction=reduction, **parameters
            )
            mine = ours(head, loss=loss, reduction=reduction, impl=impl)
            assert_equal_with_gradients(mine, theirs, head)


@each_path
@pytest.mark.parametrize("key", FORMULAS)
def test_a_loss_that_is_ours_alone_follows_its_formula(key, impl):
    head = make(19, 12, 5)
    formula = on_probabilities(FORMULAS[key])
    rows = ours(head, loss=key, reduction="none", impl=impl)
    assert_equal_with_gradients(rows, formula(logits_of(head), head.target), head)
    mean = ours(head, loss=key, impl=impl)
    assert_equal_with_gradients(mean, formula(logits_of(head), head.target).mean(), head)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.7, 2.0])
@pytest.mark.parametrize(
    "options", [{}, {"softcap": 2.0}, {"z_loss": 0.1}, {"reduction": "sum", "temperature": 0.5}]
)
def test_one_pass_over_whole_rows_equals_the_way_over_statistics(options, tau):
    head = make(19, 12, 5)
    head.target[::5] = -100
    weight = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = row_losses.CompSum(tau)
    one = ours(head, loss=loss, weight=weight, **options)
    other = ours(head, loss=lambda row: loss(row), weight=weight, **options)
    assert "reduced_loss" in repr(graph(one)) and "row_sums" in repr(graph(other))
    assert_equal_with_gradients(one, other, head)


def graph(loss: torch.Tensor) -> list[str]:
    """Names of the nodes behind a loss."""
    names, waiting = [], [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        names.append(node.name())
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return names


@each_path
def test_a_parameter_of_a_loss_is_learned(impl):
    head = make(19, 12, 5)
    temper = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def tempered(row):
        return row.nll.pow(temper) + temper * row.entropy

    mine = ours(head, loss=tempered, impl=impl)
    log_p = logits_of(head).log_softmax(1)
    nll = -log_p.gather(1, head.target[:, None])[:, 0]
    theirs = (nll.pow(temper) + temper * entropy(log_p.exp())).mean()
    torch.testing.assert_close(mine, theirs)
    every = (*head.leaves, temper)
    torch.testing.assert_close(torch.autograd.grad(mine, every), torch.autograd.grad(theirs, every))


@each_path
@pytest.mark.parametrize("key", ROW_LOSSES)
def test_far_out_rows_have_losses_and_gradients(key, impl):
    # both tails: the target leads or trails by 25 nats
    bias = torch.tensor([25.0, 0.0, 0.5], requires_grad=True)
    for target in (0, 1):
        loss = linear_cross_entropy(
            torch.zeros(1, 1), torch.zeros(3, 1), torch.tensor([target]),
            linear_bias=bias, loss=key, impl=impl,
        )  # fmt: skip
        (gradient,) = torch.autograd.grad(loss, bias)
        assert loss.isfinite() and loss != 0
        assert gradient.isfinite().all()


@each_path
@pytest.mark.parametrize("margin", [2.0, 10.0, 20.0, 35.0])
@pytest.mark.parametrize("key", ["generalized_cross_entropy", "mae", "symmetric_cross_entropy"])
def test_the_small_gradient_of_a_hopeless_row_keeps_its_digits(key, margin, impl):
    found = []
    for dtype in (torch.float32, torch.float64):
        bias = torch.tensor([margin, 0.0, 0.5], dtype=dtype, requires_grad=True)
        for reduction in ("mean", "none"):
            loss = linear_cross_entropy(
                torch.zeros(1, 1, dtype=dtype), torch.zeros(3, 1, dtype=dtype), torch.tensor([1]),
                linear_bias=bias, loss=key, reduction=reduction, impl=impl,
            )  # fmt: skip
            found += torch.autograd.grad(loss.sum(), bias)
    assert found[2][1] < 0
    for single in found[:2]:
        torch.testing.assert_close(single.double(), found[2], rtol=1e-5, atol=0)


FAR = [*(made() for made in ROW_LOSSES.values()), row_losses.Poly1(-1.0), row_losses.CompSum(0.5)]


@each_path
@pytest.mark.parametrize("margin", [-60.0, -35.0, -12.0, -3.0, 3.0, 12.0, 35.0, 60.0])
@pytest.mark.parametrize("loss", FAR, ids=repr)
def test_in_float32_every_row_loss_is_right_at_margins_of_60_nats(loss, margin, impl):
    """Value and gradient to 1e-6 on both sides: on logits, on a head whole, on a head by row."""
    public, parameters, label = loss.declaration, loss.parameters, torch.tensor([0])
    judge = torch.tensor([margin, 0.0, 0.5], dtype=torch.float64, requires_grad=True)
    true = public(judge[None], label, **parameters)
    right = torch.stack([true, *torch.autograd.grad(true, judge)[0]])
    bias = judge.detach().float().requires_grad_()

    def of_head(reduction):
        return linear_cross_entropy(
            torch.zeros(1, 1), torch.zeros(3, 1), label,
            linear_bias=bias, loss=loss, reduction=reduction, impl=impl,
        ).sum()  # fmt: skip

    for found in (public(bias[None], label, **parameters), of_head("mean"), of_head("none")):
        assert found.dtype == torch.float32
        got = torch.stack([found, *torch.autograd.grad(found, bias)[0]])
        torch.testing.assert_close(got.double(), right, rtol=1e-6, atol=1e-44)


def test_a_row_loss_is_a_frozen_dataclass_of_its_parameters():
    one, other = row_losses.Focal(gamma=3.0), row_losses.Focal(3)
    assert one == other and hash(one) == hash(other) and one != row_losses.Focal()
    assert repr(one) == "Focal(gamma=3.0)"
    assert pickle.loads(pickle.dumps(one)) == one
    assert (row_losses.Brier() == row_losses.Unlikelihood()) is False
    with pytest.raises(AttributeError):
        one.gamma = 2.0
    with pytest.raises(AttributeError, match="no attribute 'Foccal'"):
        _ = row_losses.Foccal


def test_what_a_loss_needs_follows_from_what_its_formula_reads():
    assert row_losses.Focal().needs == ("log_odds", "nll")
    assert row_losses.SphericalScore().needs == ("log_sum_square_others", "nll")
    powers = {key: made().reading.power for key, made in ROW_LOSSES.items()}
    assert powers["cross_entropy"] == powers["comp_sum"] == powers["logistic"] == 0.0
    assert (powers["sum_exponential"], powers["mae"]) == (-1.0, 1.0)
    assert powers["focal"] is None and powers["poly_1"] is None


@each_path
@pytest.mark.parametrize("key", ["brier", "spherical_score"])
def test_scores_of_sure_rows_keep_their_digits(key, impl):
    for margin in (3.0, 8.0, 15.0):
        bias = torch.tensor([margin, 0.0, 0.5], requires_grad=True)
        judge = bias.detach().double().requires_grad_()
        q = torch.exp(judge[1:] - judge[0])
        p = q / (1 + q.sum())
        if key == "brier":
            true = p.sum().square() + p.square().sum()
        else:
            r = q.square().sum()
            true = -torch.expm1(-torch.log1p(r) / 2)
        loss = linear_cross_entropy(
            torch.zeros(1, 1), torch.zeros(3, 1), torch.tensor([0]),
            linear_bias=bias, loss=key, impl=impl,
        )  # fmt: skip
        torch.testing.assert_close(loss.double(), true, rtol=1e-5, atol=0)
        found, right = torch.autograd.grad(loss, bias)[0], torch.autograd.grad(true, judge)[0]
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=0)


@each_path
def test_a_loss_sees_the_statistics_that_it_needs_and_no_other(impl):
    head = make(5, 7, 3)

    class Curious:
        needs = ("nll",)

        def __call__(self, row):
            return row.nll + row.entropy

    with pytest.raises(AttributeError, match="'entropy' was not asked for"):
        ours(head, loss=Curious(), impl=impl)
    with refuses(ValueError, "loss must return", "(5,)", "()"):
        ours(head, loss=lambda row: row.nll.sum(), impl=impl)
    with refuses(ValueError, "loss must return", "float"):
        ours(head, loss=lambda row: 1.0, impl=impl)


def test_parameters_out_of_range_are_refused_when_a_loss_is_made():
    with refuses(ValueError, "gamma", "-1"):
        row_losses.Focal(gamma=-1)
    with refuses(ValueError, "tau", "-0.1"):
        row_losses.CompSum(tau=-0.1)
    with refuses(ValueError, "q", "1.5"):
        row_losses.GeneralizedCrossEntropy(q=1.5)
    with refuses(TypeError, "epsilon", "1"):
        row_losses.Poly1(epsilon="1")
