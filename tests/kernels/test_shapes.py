"""Empty, lone, masked, strided and oddly typed: every edge has a defined answer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lossviz.kernels import ROW_LOSSES, STATISTICS, linear_cross_entropy, row_statistics

from .cases import HALF, PATHS, Head, each_path, logits_of, make, naive, with_gradients

each_budget = pytest.mark.parametrize("budget", [None, 16])
REAL = tuple(name for name in STATISTICS if name not in ("argmax", "correct"))


def ours(head: Head, **options) -> torch.Tensor:
    return linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, **options)


@each_path
@each_budget
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_rows(dtype, budget, impl):
    head = make(0, 5, 3, dtype)
    for reduction, right in (("none", []), ("sum", 0.0), ("mean", float("nan"))):
        for options in ({}, {"label_smoothing": 0.1}, {"loss": "brier"}):
            loss = ours(head, reduction=reduction, impl=impl, memory_budget=budget, **options)
            torch.testing.assert_close(loss, torch.tensor(right), equal_nan=True)
            gradients = torch.autograd.grad(loss.sum(), head.leaves)
            for gradient, tensor in zip(gradients, head.leaves, strict=True):
                assert gradient.shape == tensor.shape and (gradient == 0).all()
    row = row_statistics(*head[:2], head.target, linear_bias=head.bias, impl=impl)
    for name in REAL:
        value = getattr(row, name)
        assert value.shape == (0,)
        (gradient,) = torch.autograd.grad(value.sum(), head.weight, retain_graph=True)
        assert (gradient == 0).all()


@each_path
def test_no_rows_of_probabilities(impl):
    head = make(0, 5, 3)
    loss = linear_cross_entropy(*head[:2], torch.zeros(0, 5, dtype=torch.float64), impl=impl)
    assert loss.isnan()
    (gradient,) = torch.autograd.grad(loss, head.weight)
    assert (gradient == 0).all()


@each_path
@each_budget
@pytest.mark.parametrize("key", ROW_LOSSES)
def test_one_class_is_certain(key, budget, impl):
    head = make(4, 1, 3, torch.float32)
    loss = ours(head, loss=key, impl=impl, memory_budget=budget, reduction="none")
    if key == "unlikelihood":
        assert (loss == torch.inf).all()
        return
    assert (loss == 0).all()
    for gradient in torch.autograd.grad(loss.sum(), head.leaves):
        assert (gradient == 0).all()


@each_path
@each_budget
def test_the_statistics_of_one_class(budget, impl):
    head = make(4, 1, 3)
    row = row_statistics(
        *head[:2], head.target, linear_bias=head.bias, impl=impl, memory_budget=budget
    )
    (z,) = logits_of(head).T
    for name in ("target_logit", "lse", "max", "mean_logit"):
        torch.testing.assert_close(getattr(row, name), z)
    for name in ("nll", "entropy", "uniform_nll", "log_sum_square"):
        torch.testing.assert_close(getattr(row, name), torch.zeros_like(z))
    assert (row.lse_others == -torch.inf).all() and (row.log_odds == torch.inf).all()
    assert (row.log_sum_square_others == -torch.inf).all()
    assert row.correct.all() and (row.argmax == 0).all()


@each_path
@each_budget
@pytest.mark.parametrize("dtype", [torch.float64, *HALF])
def test_without_features_the_bias_alone_speaks(dtype, budget, impl):
    head = make(6, 5, 0, dtype)
    for reduction in ("mean", "none"):
        loss = ours(head, reduction=reduction, impl=impl, memory_budget=budget)
        judge = head.to(torch.float64)
        true = with_gradients(naive(judge, reduction=reduction), judge)
        found = with_gradients(loss, head)
        for mine, right in zip(found, true, strict=True):
            torch.testing.assert_close(mine, right, rtol=1e-2, atol=1e-6)


@each_path
@each_budget
def test_masked_classes_get_no_probability_and_no_gradient(budget, impl):
    head = make(6, 5, 3)
    head = head._replace(target=torch.tensor([0, 1, 4, 0, 1, 4]))
    head.bias.data[2:4] = -torch.inf
    some = torch.tensor([0, 1, 4])
    few = Head(head.input, head.weight[some], head.bias[some],
               torch.tensor([0, 1, 2, 0, 1, 2]))  # fmt: skip
    for reduction, loss in (("mean", "cross_entropy"), ("none", "brier"), ("sum", "entropy_bonus"),
                            ("mean", "renyi_2_bonus")):  # fmt: skip
        options = {"reduction": reduction, "loss": loss, "impl": impl, "memory_budget": budget}
        value, other = ours(head, **options), ours(few, **options)
        torch.testing.assert_close(value, other)
        # 1000: no inf may hide in an intermediate result
        found = torch.autograd.grad(1000 * value.sum(), head.leaves)
        torch.testing.assert_close(
            found, torch.autograd.grad(1000 * other.sum(), head.leaves, retain_graph=True)
        )
        assert (found[1][2:4] == 0).all() and (found[2][2:4] == 0).all()


@each_path
@each_budget
def test_probabilities_of_0_on_masked_classes_give_no_nan(budget, impl):
    head = make(6, 5, 3)
    head.bias.data[2] = -torch.inf
    soft = F.one_hot(torch.tensor([0, 1, 3, 4, 0, 1]), 5).double()
    loss = linear_cross_entropy(
        *head[:2], soft, linear_bias=head.bias, impl=impl, memory_budget=budget
    )
    labels = linear_cross_entropy(*head[:2], soft.argmax(1), linear_bias=head.bias)
    torch.testing.assert_close(loss, labels)
    found = torch.autograd.grad(loss, head.leaves)
    torch.testing.assert_close(found, torch.autograd.grad(labels, head.leaves))


@each_path
@each_budget
def test_when_only_the_target_is_possible_it_is_certain(budget, impl):
    head = make(3, 4, 2)
    head = head._replace(target=torch.full((3,), 1))
    head.bias.data[[0, 2, 3]] = -torch.inf
    row = row_statistics(
        *head[:2], head.target, linear_bias=head.bias, impl=impl, memory_budget=budget
    )
    zero = torch.zeros(3, dtype=torch.float64)
    for name in ("nll", "entropy", "log_sum_square"):
        torch.testing.assert_close(getattr(row, name), zero)
        for gradient in torch.autograd.grad(
            100 * getattr(row, name).sum(), head.leaves, retain_graph=True
        ):
            assert (gradient == 0).all()
    torch.testing.assert_close(row.lse, row.target_logit)


@each_path
@each_budget
def test_an_impossible_target_costs_infinity_and_the_rest_stays_finite(budget, impl):
    head = make(3, 4, 2)
    head = head._replace(target=torch.full((3,), 1))
    head.bias.data[1] = -torch.inf
    row = row_statistics(
        *head[:2], head.target, linear_bias=head.bias, impl=impl, memory_budget=budget
    )
    log_p = logits_of(head)[:, [0, 2, 3]].log_softmax(1)
    assert (row.nll == torch.inf).all() and (row.uniform_nll == torch.inf).all()
    torch.testing.assert_close(row.entropy, -(log_p.exp() * log_p).sum(1))
    torch.testing.assert_close(row.lse, logits_of(head).logsumexp(1))
    torch.testing.assert_close(row.lse_others, row.lse)
    torch.testing.assert_close(row.log_sum_square, (2 * log_p).logsumexp(1))
    assert ours(head, impl=impl, memory_budget=budget) == torch.inf


@each_path
@each_budget
def test_rows_without_any_possible_class_are_nan(budget, impl):
    bias = torch.full((4,), -torch.inf)
    loss = linear_cross_entropy(
        torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0, 3]),
        linear_bias=bias, reduction="none", impl=impl, memory_budget=budget,
    )  # fmt: skip
    assert loss.isnan().all()


@each_path
@each_budget
@pytest.mark.parametrize("key", ROW_LOSSES)
def test_nan_comes_out_where_nan_went_in(key, budget, impl):
    head = make(5, 4, 3)
    head.input.data[2, 1] = torch.nan
    options = {"loss": key, "impl": impl, "memory_budget": budget}
    rows = ours(head, reduction="none", **options)
    assert rows.isnan().tolist() == [False, False, True, False, False]
    assert ours(head, **options).isnan()
    (gradient,) = torch.autograd.grad(rows.sum(), head.input)
    assert gradient.isnan().any(1).tolist() == [False, False, True, False, False]


@each_path
@each_budget
def test_nan_in_an_ignored_row_stays_there(budget, impl):
    head = make(5, 4, 3)
    head.input.data[2] = torch.nan
    head.target[2] = -100
    for reduction in ("mean", "none"):
        loss = ours(head, reduction=reduction, impl=impl, memory_budget=budget)
        assert loss.isfinite().all()


@pytest.mark.parametrize("impl", [*PATHS, "triton"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.1, "z_loss": 0.1}, {"loss": "brier"}, {"softcap": 2.0}],
    ids=str,
)
def test_an_ignored_row_takes_no_part_whatever_it_holds(options, wrong, reduction, impl):
    head = make(5, 4, 3, torch.float32)
    head.target[2] = -100
    clean = with_gradients(ours(head, reduction=reduction, impl=impl, **options), head)
    head.input.data[2] = wrong
    found = with_gradients(ours(head, reduction=reduction, impl=impl, **options), head)
    for mine, right in zip(found, clean, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("impl", [*PATHS, "triton"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_of_one_class_only_the_z_loss_has_a_gradient(smoothing, soft, reduction, impl):
    head = make(4, 1, 3, torch.float32)
    if soft:
        head = head._replace(target=torch.ones(4, 1))
    options = {"z_loss": 1e-6, "reduction": reduction, "label_smoothing": smoothing}
    found = with_gradients(ours(head, impl=impl, **options), head)
    judge = head.to(torch.float64)
    squares = 1e-6 * logits_of(judge)[:, 0].square()
    true = with_gradients(squares.mean() if reduction == "mean" else squares, judge)
    for mine, right in zip(found, true, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-5, atol=0)


@each_path
@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16]
)
def test_labels_may_be_integers_of_any_kind(dtype, impl):
    head = make(9, 6, 3)
    if dtype.is_signed:
        head.target[::3] = -100
    narrow = head._replace(target=head.target.to(dtype))
    torch.testing.assert_close(ours(narrow, impl=impl), ours(head, impl=impl))
    row = row_statistics(*narrow[:2], narrow.target, impl=impl)
    torch.testing.assert_close(row.nll, row_statistics(*head[:2], head.target, impl=impl).nll)


@each_path
@pytest.mark.parametrize("ignored", [None, -100, 2, -1, 10**6])
def test_any_index_can_be_the_ignored_one(ignored, impl):
    head = make(9, 6, 3)
    if ignored != 2:
        head.target[4] = -100 if ignored is None else ignored
    index = -100 if ignored is None else ignored
    true = F.cross_entropy(logits_of(head), head.target, ignore_index=index)
    torch.testing.assert_close(ours(head, ignore_index=ignored, impl=impl), true)


@each_path
@each_budget
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_probability_targets_are_torchs(weighted, reduction, budget, impl):
    head = make(9, 6, 3)
    generator = torch.Generator().manual_seed(0)
    soft = torch.rand(9, 6, generator=generator, dtype=torch.float64)  # sums to what it likes
    weight = torch.rand(6, generator=generator, dtype=torch.float64) if weighted else None
    for smoothing in (0.0, 0.2):
        options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
        true = F.cross_entropy(logits_of(head), soft, **options)
        found = linear_cross_entropy(
            *head[:2], soft, linear_bias=head.bias, impl=impl, memory_budget=budget, **options
        )
        torch.testing.assert_close(with_gradients(found, head), with_gradients(true, head))


@each_path
@pytest.mark.parametrize("dtype", HALF)
def test_probability_targets_may_be_half_precision(dtype, impl):
    head = make(9, 6, 3, dtype)
    soft = torch.rand(9, 6, generator=torch.Generator().manual_seed(0)).softmax(1).to(dtype)
    found = linear_cross_entropy(*head[:2], soft, impl=impl)
    true = F.cross_entropy(F.linear(head.input.double(), head.weight.double()), soft.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), true, rtol=1e-6, atol=1e-6)


@each_path
@pytest.mark.parametrize("shift", [1, 2, True, 6])
def test_a_shift_pairs_each_position_with_a_later_target(shift, impl):
    x, w = torch.randn(3, 6, 4, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    target = torch.randint(0, 7, (3, 6))
    target[1, 4] = -100
    k = int(shift)
    shifted = linear_cross_entropy(x, w, target, shift=shift, impl=impl, reduction="none")
    by_hand = linear_cross_entropy(x[:, :-k], w, target[:, k:], impl=impl, reduction="none")
    assert shifted.shape == (3, 6 - k)
    torch.testing.assert_close(shifted, by_hand)


@each_path
def test_batch_axes_of_any_number(impl):
    head = make(24, 6, 3)
    flat = ours(head, impl=impl, reduction="none")
    for shape in ((24,), (4, 6), (2, 3, 4), (1, 24, 1)):
        other = head._replace(input=head.input.reshape(*shape, 3),
                              target=head.target.reshape(shape))  # fmt: skip
        rows = ours(other, impl=impl, reduction="none")
        assert rows.shape == shape
        torch.testing.assert_close(rows.flatten(), flat)
        torch.testing.assert_close(ours(other, impl=impl), flat.mean())
    lone = head._replace(input=head.input[3], target=head.target[3])
    torch.testing.assert_close(ours(lone, impl=impl, reduction="none"), flat[3])


@each_path
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_class_weights_are_torchs(reduction, impl):
    head = make(19, 6, 3)
    head.target[::5] = -100
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(6, generator=generator, dtype=torch.float64)
    weight[2] = 0
    for smoothing in (0.0, 0.3):
        options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
        found = with_gradients(ours(head, impl=impl, **options), head)
        torch.testing.assert_close(found, with_gradients(naive(head, **options), head))


@each_path
def test_class_weights_of_0_everywhere(impl):
    head = make(9, 6, 3)
    weight = torch.zeros(6, dtype=torch.float64)
    for smoothing in (0.0, 0.3):
        options = {"weight": weight, "label_smoothing": smoothing, "impl": impl}
        assert ours(head, reduction="sum", **options) == 0
        assert ours(head, **options).isnan()
        for gradient in torch.autograd.grad(ours(head, reduction="sum", **options), head.leaves):
            assert (gradient == 0).all()


@each_path
@pytest.mark.parametrize(
    "options",
    [{}, {"reduction": "none"}, {"label_smoothing": 0.2}, {"loss": "entropy_bonus"},
     {"loss": "brier"}],
)  # fmt: skip
def test_autocast_rounds_what_it_is_given_and_nothing_after(options, impl):
    head = make(9, 60, 3, torch.float32)
    rounded = head.to(torch.bfloat16)
    by_hand = ours(rounded, impl=impl, **options)
    expected = torch.autograd.grad(by_hand.sum(), rounded.leaves)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ours(head, impl=impl, **options)
        mixed = ours(head._replace(input=head.input.bfloat16()), impl=impl, **options)
        gradients = torch.autograd.grad(loss.sum(), head.leaves)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(mixed, by_hand)
    for found, right in zip(gradients, expected, strict=True):
        assert found.dtype == torch.float32
        if impl == "chunked":  # the reference leaves its backward pass to autograd and autocast
            torch.testing.assert_close(found, right.float())


@each_path
def test_without_gradients_none_are_formed(impl):
    head = make(9, 6, 3)
    true = naive(head)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            for reduction in ("mean", "none"):
                loss = ours(head, impl=impl, reduction=reduction)
                assert not loss.requires_grad
            torch.testing.assert_close(ours(head, impl=impl), true)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
@each_path
def test_losses_and_gradients_have_their_dtypes(dtype, impl):
    head = make(9, 6, 3, dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for options in ({}, {"reduction": "none"}, {"loss": "focal"}, {"label_smoothing": 0.1}):
        loss = ours(head, impl=impl, **options)
        assert loss.dtype == wide
        for gradient in torch.autograd.grad(loss.sum(), head.leaves):
            assert gradient.dtype == dtype
