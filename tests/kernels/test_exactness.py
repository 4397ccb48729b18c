"""Against float64 on the same numbers, ours is never worse than plain torch in the same dtype."""

from __future__ import annotations

import mpmath
import pytest
import torch
import torch.nn.functional as F

from lossviz.kernels import linear_cross_entropy, row_statistics

from .cases import HALF, PATHS, Head, complement, each_path, make, naive, with_gradients

SHAPES = [(1, 1, 1), (1, 7, 3), (5, 2, 4), (33, 65, 17), (19, 257, 300), (300, 40, 8), (9, 700, 5)]
OPTIONS = {
    "plain": {},
    "none": {"reduction": "none"},
    "sum": {"reduction": "sum"},
    "smoothing": {"label_smoothing": 0.1},
    "z-loss": {"z_loss": 0.01},
    "z-loss-none": {"z_loss": 0.01, "reduction": "none"},
    "softcap": {"softcap": 3.0},
    "temperature": {"temperature": 0.3, "logit_scale": 0.5},
    "everything": {"label_smoothing": 0.2, "z_loss": 0.1, "softcap": 5.0, "temperature": 0.7},
}
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, *HALF])


def error(found: torch.Tensor, true: torch.Tensor) -> float:
    """Relative to the size of the whole tensor."""
    return ((found - true).norm() / true.norm().clamp(min=1e-30)).item()


def ours(head: Head, impl: str, budget: int | None, **options) -> list[torch.Tensor]:
    loss = linear_cross_entropy(
        head.input,
        head.weight,
        head.target,
        linear_bias=head.bias,
        impl=impl,
        memory_budget=budget,
        **options,
    )
    return with_gradients(loss, head)


def assert_accepted(found, plain, true, dtype: torch.dtype, ulps: float = 8.0) -> None:
    """The rule: error(ours) <= max(error(plain torch), a few ulp), value and every gradient."""
    for place, (mine, theirs, judge) in enumerate(zip(found, plain, true, strict=True)):
        # the loss is float32 whatever the input; gradients are rounded to the dtype of the input
        ulp = torch.finfo(torch.float32 if place == 0 else dtype).eps
        assert error(mine, judge) <= max(error(theirs, judge), ulps * ulp), place


@each_dtype
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_errors_are_at_most_those_of_plain_torch(options, dtype):
    for shape in SHAPES:
        head = make(*shape, dtype)
        judge = head.to(torch.float64)
        true = with_gradients(naive(judge, **options), judge)
        plain = with_gradients(naive(head, **options), head)
        for impl, budget in (("chunked", None), ("chunked", 4096), ("reference", None)):
            assert_accepted(ours(head, impl, budget, **options), plain, true, dtype)


def confident(margin: float, dtype: torch.dtype) -> Head:
    """Three rows whose targets lead two others by `margin` nats and a bit; inputs are exact."""
    lead = torch.tensor([margin, margin + 1, margin + 2], dtype=dtype)
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.25], [0.0, -0.25]])
    rows = torch.stack([lead, torch.tensor([0.0, 1.0, 2.0], dtype=dtype)], 1)
    return Head(rows, weight, torch.zeros(3), torch.zeros(3, dtype=torch.long)).to(dtype)


@each_dtype
@each_path
@pytest.mark.parametrize("budget", [None, 8])
@pytest.mark.parametrize("margin", [17.0, 24.0, 40.0, 80.0])
def test_confident_rows_keep_every_digit(margin, budget, impl, dtype):
    head = confident(margin, dtype)
    judge = head.to(torch.float64)
    true = with_gradients(complement(judge), judge)
    for scale in (1.0, 2.0**20):  # float16 gradients need the loss scaled up to be seen at all
        if dtype == torch.float16 and (scale == 1 or margin > 24):
            continue
        found = with_gradients(
            linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, impl=impl,
                                 memory_budget=budget) * scale, head)  # fmt: skip
        for place, (mine, right) in enumerate(zip(found, true, strict=True)):
            eps = torch.finfo(torch.float32 if place == 0 else dtype).eps
            rounded = margin * torch.finfo(torch.float32).eps  # the log odds, to one ulp
            assert error(mine / scale, right) <= 4 * eps + rounded, place


@each_path
def test_a_margin_of_100_nats_is_a_subnormal_number_and_not_0(impl):
    head = confident(100.0, torch.float32)
    loss = linear_cross_entropy(*head[:2], head.target, reduction="none", impl=impl)
    with mpmath.workdps(50):
        true = [float(mpmath.log1p(sum(mpmath.exp(side * 0.25 * i - 100 - i) for side in (1, -1))))
                for i in range(3)]  # fmt: skip
    smallest = 2.0**-149
    for found, right in zip(loss.tolist(), true, strict=True):
        assert found > 0
        assert abs(found - right) <= 4 * smallest


@each_path
@pytest.mark.parametrize("budget", [None, 12])
@pytest.mark.parametrize("offset", [1e4, 2.0**20])
def test_a_common_offset_costs_no_digit(offset, budget, impl):
    # all products and sums are exact in float32: only the softmax can err
    weight = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]])
    head = Head(torch.ones(2, 1), weight, torch.full((4,), offset), torch.tensor([0, 3]))
    head = head.to(torch.float32)
    plain = head._replace(bias=torch.zeros(4, requires_grad=True))
    for options in ({}, {"label_smoothing": 0.1}, {"loss": "entropy_bonus"}, {"loss": "brier"}):
        near = with_gradients(
            linear_cross_entropy(*plain[:2], head.target, linear_bias=plain.bias, impl=impl,
                                 memory_budget=budget, **options), plain)  # fmt: skip
        far = with_gradients(
            linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, impl=impl,
                                 memory_budget=budget, **options), head)  # fmt: skip
        torch.testing.assert_close(far, near, rtol=1e-6, atol=1e-7)


@each_dtype
def test_the_gradient_of_a_rare_token_is_as_exact_as_any(dtype):
    # classes that are never the target, with probabilities of about 1e-5
    head = make(200, 30, 6, torch.float64, seed=3)
    head.bias.data[20:] = -9.0
    head = head._replace(target=head.target % 20).to(dtype)
    judge = head.to(torch.float64)
    true = with_gradients(naive(judge), judge)[2]
    plain = with_gradients(naive(head), head)[2]
    found = ours(head, "chunked", None)[2]
    for token in range(20, 30):
        floor = (
            2 * torch.finfo(dtype).eps if dtype != torch.float16 else 2.0**-24 / true.abs().max()
        )
        limit = max(error(plain[token], true[token]), 8 * torch.finfo(dtype).eps, floor)
        assert error(found[token], true[token]) <= limit


def test_lse_keeps_its_digits_when_the_target_is_far_below():
    head = make(50, 9, 4, torch.float32)
    head.bias.data[2] = -300.0
    head = head._replace(target=torch.full((50,), 2))
    judge = head.to(torch.float64)
    for z_loss in (1e-4, 1.0):
        true = with_gradients(naive(judge, z_loss=z_loss) - naive(judge), judge)
        for impl in PATHS:
            from_lse = ours(head, impl, None, z_loss=z_loss, label_smoothing=0.0)
            without = ours(head, impl, None)
            assert from_lse[0] - without[0] == pytest.approx(true[0].item(), abs=1e-4)
    lse = F.linear(judge.input, judge.weight, judge.bias).logsumexp(1)
    for impl in PATHS:
        found = row_statistics(
            head.input, head.weight, head.target, linear_bias=head.bias,
            statistics=("lse", "lse_others", "uniform_nll"), impl=impl,
        )  # fmt: skip
        torch.testing.assert_close(found.lse.double(), lse, rtol=4e-7, atol=4e-7)
        torch.testing.assert_close(found.lse_others.double(), lse, rtol=4e-7, atol=4e-7)


@each_path
def test_float16_gradients_survive_until_a_loss_scaler_has_spoken(impl):
    # 4096 rows, each sure of itself by 8 nats: dX is some 1e-7 before it is scaled
    rows, scale = 4096, 2.0**13
    weight = torch.tensor([[4.0, 0.0], [-4.0, 0.5]])
    head = Head(torch.ones(rows, 2), weight, torch.zeros(2), torch.zeros(rows, dtype=torch.long))
    head = head.to(torch.float16)
    judge = head.to(torch.float64)
    true = with_gradients(naive(judge) * scale, judge)
    loss = linear_cross_entropy(*head[:2], head.target, linear_bias=head.bias, impl=impl)
    for place, found in enumerate(with_gradients(loss * scale, head)):
        assert error(found, true[place]) <= 2 * torch.finfo(torch.float16).eps


@pytest.mark.parametrize("dtype", HALF)
@each_path
@pytest.mark.parametrize("heads", [1, 8, 100])
def test_gradients_of_many_heads_are_added_before_they_are_rounded(heads, impl, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 16, generator=generator).to(dtype).requires_grad_()
    w = torch.randn(50, heads, 16, generator=generator).to(dtype).requires_grad_()
    target = torch.randint(50, (32, heads), generator=generator)
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, w)]
    F.cross_entropy(torch.einsum("nd,vkd->nvk", *exact), target, reduction="sum").backward()
    linear_cross_entropy(x, w, target, impl=impl, reduction="sum").backward()
    for found, judge in zip((x, w), exact, strict=True):
        assert found.grad.dtype == dtype
        assert error(found.grad.double(), judge.grad) <= torch.finfo(dtype).eps / 2


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_rounded_once_at_the_end(dtype):
    # beyond the inputs' own rounding, gradients differ from float64's by one rounding
    head = make(70, 90, 30, dtype)
    judge = head.to(torch.float64)
    true = with_gradients(naive(judge), judge)
    for found, right in zip(ours(head, "chunked", 6000)[1:], true[1:], strict=True):
        limit = right.abs() * torch.finfo(dtype).eps + 1e-7
        assert ((found - right).abs() <= limit).all()
