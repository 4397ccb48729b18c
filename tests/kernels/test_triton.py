"""The Triton kernels against float64 and against plain torch.

Without a GPU they run in Triton's interpreter. It emulates bfloat16 products wrongly, so there the
kernels widen half precision as they load it; on a GPU the same tests run the products themselves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
import triton
import triton.language as tl

from lossviz.kernels import chunked, linear_cross_entropy, triton_path, triton_tiling
from lossviz.kernels.filtered import skippable
from lossviz.kernels.head import Head, Needs, Tiling
from lossviz.kernels.statistics import Primitives, Sums, Want, finish
from lossviz.kernels.tiles import Saved, Transform, Upstream, accumulate_, row_factors, spread_
from lossviz.kernels.triton_kernels import tanh
from lossviz.kernels.triton_rows import Rows, RowTile, narrow, spread_rows, sums_of_rows
from lossviz.kernels.triton_tiling import Tiles

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
EVERYTHING = Want(argmax=True, tilt=True, square=True, mean=True)
ALL = Needs(True, True, True)
SMALL = Tiles(32, 64, 32, 4, 2)
PLAIN = Transform()
NARROW = Tiles(32, 32, 512 if DEVICE.type == "cpu" else 32, 4, 2)
HALVES = (torch.float16, torch.bfloat16)


class Case(NamedTuple):
    """A head and labels."""

    head: Head
    labels: torch.Tensor

    @property
    def kept(self) -> torch.Tensor:
        return self.labels >= 0

    def sums(self, want: Want = EVERYTHING, **how: Any) -> Sums:
        tiling = Tiling(len(self.labels), len(self.head.weight))
        return triton_path.accumulate(self.head, self.labels, want, tiling, **how)

    def saved(self) -> Saved:
        """What backward knows, from plain torch."""
        tiling = Tiling(max(len(self.labels), 1), len(self.head.weight))
        sums = chunked.accumulate(self.head, self.labels, EVERYTHING, tiling)
        row = finish(sums, self.kept)
        return Saved(sums.shift, sums.total, row.centre, row.square, sums.argmax)

    def gradients(
        self, upstream: Upstream, needs: Needs = ALL, tiling: Tiling | None = None, **how: Any
    ) -> tuple[torch.Tensor | None, ...]:
        tiling = tiling or Tiling(len(self.labels), len(self.head.weight))
        return triton_path.gradients(
            self.head, self.labels, self.saved(), upstream, needs, tiling, **how
        )


def draw(
    rows: int,
    classes: int,
    depth: int,
    dtype: torch.dtype = torch.float32,
    *,
    bias: bool = True,
    transform: Transform = PLAIN,
    mean_weight: str = "row",
    seed: int = 0,
) -> Case:
    """A random head; every fifth row has no target."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(DEVICE, dtype)

    weights = {
        "none": None,
        "row": torch.rand(classes, generator=generator),
        "dense": torch.rand(rows, classes, generator=generator),
    }[mean_weight]
    labels = torch.randint(classes, (rows,), generator=generator)
    labels[4::5] = -1
    head = Head(
        normal(rows, depth),
        normal(classes, depth) * (2 / math.sqrt(depth)),
        normal(classes) if bias else None,
        transform,
        None if weights is None else weights.to(DEVICE),
    )
    return Case(head, labels.to(DEVICE))


def arriving(rows: int, names: tuple[str, ...] = Upstream._fields, seed: int = 1) -> Upstream:
    """Random parts of a gradient; 0 at the other classes unless they are named."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(rows, generator=generator).to(DEVICE) for name in Upstream._fields}
    given = {name: drawn[name] for name in names}
    return Upstream(**{"others": torch.zeros(rows, device=DEVICE), **given})


def dense(case: Case) -> tuple[Primitives, tuple[torch.Tensor, ...]]:
    """The statistics from all logits at once in float64, for autograd, and what they depend on."""
    head = case.head
    leaves = [head.input, head.weight]
    leaves += [] if head.bias is None else [head.bias]
    leaves = [leaf.detach().double().requires_grad_() for leaf in leaves]
    raw = leaves[0] @ leaves[1].T
    z = head.transform.apply(raw if head.bias is None else raw + leaves[2])
    kept = case.kept
    place = case.labels.clamp(min=0)[:, None]
    own = torch.zeros_like(z, dtype=torch.bool).scatter_(1, place, kept[:, None])
    others = torch.where(own, -torch.inf, z)
    shift, argmax = others.max(1)
    offset = torch.where(shift == -torch.inf, 0.0, shift).detach()
    target = torch.where(kept, z.gather(1, place)[:, 0] - offset, 0.0)
    lse = torch.logsumexp(others, 1)
    finite = torch.where(others == -torch.inf, 0.0, others)
    q = torch.exp(others - lse[:, None])
    centre = (q * finite).sum(1) - offset
    square = torch.logsumexp(2 * others, 1) - 2 * lse
    mean = None
    if head.mean_weight is not None:
        mean = ((z - offset[:, None]) * head.mean_weight.double()).sum(1)
    row = Primitives(
        shift=shift,
        target=target,
        gap=lse - offset - target,
        rest=lse - offset,
        centre=centre,
        square=square,
        mean=mean,
        argmax=argmax,
    )
    return row, tuple(leaves)


def assert_row_close(row: Primitives, truth: Primitives, tolerance: float) -> None:
    for name, value, true in zip(Primitives._fields, row, truth, strict=True):
        if true is None:
            assert value is None
        elif name == "argmax":
            assert torch.equal(value, true)
        else:
            torch.testing.assert_close(
                value.double(), true.detach(), rtol=tolerance, atol=tolerance, msg=name
            )


def relative_error(value: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest error over largest value."""
    return float((value.double() - truth).abs().max() / truth.abs().max().clamp(min=1e-30))


def autograd(case: Case, upstream: Upstream) -> tuple[torch.Tensor, ...]:
    row, leaves = dense(case)
    loss = torch.zeros((), dtype=torch.float64, device=DEVICE)
    moved = row._asdict() | {
        "others": row.gap if upstream.own is None else row.rest,
        "own": row.target,
        "centre": row.centre - row.rest,  # what is left of its gradient after that of `others`
    }
    for name, gradient in upstream._asdict().items():
        value = moved[name]
        if gradient is not None and value is not None:
            loss = loss + (gradient.double() * value).sum()
    return torch.autograd.grad(loss, leaves)


SHAPES = [(1, 2, 3), (1, 257, 3), (7, 5, 48), (70, 257, 48), (33, 300, 300)]


def test_the_kernels_run_here() -> None:
    assert triton_tiling.available(DEVICE)
    assert not triton_tiling.available(torch.device("meta")) or DEVICE.type == "cpu"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_statistics_agree_with_float64(shape: tuple[int, ...], softcap: float | None) -> None:
    case = draw(*shape, transform=Transform(1.3, softcap, 0.7))
    truth, _ = dense(case)
    assert_row_close(finish(case.sums(), case.kept), truth, 2e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_gradients_agree_with_autograd_in_float64(
    shape: tuple[int, ...], softcap: float | None
) -> None:
    case = draw(*shape, transform=Transform(1.3, softcap, 0.7))
    upstream = arriving(shape[0])
    for value, truth in zip(case.gradients(upstream), autograd(case, upstream), strict=True):
        assert relative_error(value, truth) < 1e-5


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_half_precision_is_widened_and_rounded_once(
    dtype: torch.dtype, softcap: float | None
) -> None:
    case = draw(70, 257, 48, dtype, transform=Transform(softcap=softcap))
    truth, _ = dense(case)
    assert_row_close(finish(case.sums(), case.kept), truth, 2e-5)
    upstream = arriving(70)
    # a GPU rounds the logit gradients to `dtype` as well
    allowed = torch.finfo(dtype).eps * (0.51 if DEVICE.type == "cpu" else 2)
    for value, true in zip(case.gradients(upstream), autograd(case, upstream), strict=True):
        assert value.dtype == dtype
        assert relative_error(value, true) < allowed


@pytest.mark.parametrize("mean_weight", ["none", "row", "dense"])
def test_weights_of_the_mean_may_be_absent_shared_or_per_row(mean_weight: str) -> None:
    case = draw(40, 130, 16, mean_weight=mean_weight)
    sums = case.sums(tiles=SMALL)
    expected = chunked.accumulate(case.head, case.labels, EVERYTHING, Tiling(40, 130))
    assert (sums.mass is None) == (mean_weight == "none")
    for value, true in zip(sums, expected, strict=True):
        torch.testing.assert_close(value, true, rtol=1e-5, atol=1e-4)
    upstream = arriving(40)
    expected_gradients = chunked.gradients(
        case.head, case.labels, case.saved(), upstream, ALL, Tiling(40, 130)
    )
    for value, true in zip(case.gradients(upstream, tiles=SMALL), expected_gradients, strict=True):
        assert relative_error(value, true.double()) < 1e-5


@pytest.mark.parametrize("name", Want._fields)
def test_a_sum_is_carried_alone_as_with_the_others(name: str) -> None:
    case = draw(9, 70, 8)
    everything = case.sums()
    alone = case.sums(Want(**{name: True}))
    carried = {"target", "shift", "total", name} | ({"mass"} if name == "mean" else set())
    for field in Sums._fields:
        value = getattr(alone, field)
        if field in carried:
            assert torch.equal(value, getattr(everything, field)), field
        else:
            assert value is None, field


@pytest.mark.parametrize("name", Upstream._fields)
def test_each_statistic_has_its_own_gradient(name: str) -> None:
    case = draw(12, 70, 8, transform=Transform(0.8, 4.0, 1.1))
    upstream = arriving(12, (name,))
    for value, truth in zip(case.gradients(upstream), autograd(case, upstream), strict=True):
        assert truth.abs().max() > 0.01
        assert relative_error(value, truth) < 1e-5


def test_one_class_has_probability_one_and_no_gradient() -> None:
    case = draw(3, 1, 4)
    row = finish(case.sums(), case.kept)
    assert torch.equal(row.gap, torch.full((3,), -torch.inf, device=DEVICE))
    assert torch.equal(case.saved().total, torch.zeros(3, device=DEVICE))
    for gradient in case.gradients(arriving(3, ("centre", "square"))):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_no_rows_give_no_statistics_and_zero_gradients() -> None:
    case = draw(0, 5, 3)
    assert case.sums().shift.shape == (0,)
    of_input, of_weight, of_bias = case.gradients(arriving(0, ("others",)))
    assert of_input.shape == (0, 3)
    assert torch.equal(of_weight, torch.zeros_like(of_weight))
    assert torch.equal(of_bias, torch.zeros_like(of_bias))


def test_the_target_is_found_in_every_column() -> None:
    classes = 150  # three tiles, the last one ragged
    case = draw(classes, classes, 8)._replace(labels=torch.arange(classes, device=DEVICE))
    row = finish(case.sums(tiles=SMALL), case.kept)
    truth, _ = dense(case)
    assert_row_close(row, truth, 2e-5)
    upstream = arriving(classes)
    for value, true in zip(
        case.gradients(upstream, tiles=SMALL), autograd(case, upstream), strict=True
    ):
        assert relative_error(value, true) < 1e-5


def by_bias(logits: list[float], label: int, transform: Transform = PLAIN) -> Case:
    """One row with these logits, exactly."""
    zeros = torch.zeros(len(logits), 1, device=DEVICE)
    bias = torch.tensor(logits, device=DEVICE)
    return Case(Head(zeros[:1], zeros, bias, transform), torch.tensor([label], device=DEVICE))


@pytest.mark.parametrize("margin", [0.0, 16.0, 17.0, 30.0, 60.0, 100.0])
def test_loss_and_gradients_keep_their_digits_at_any_margin(margin: float) -> None:
    """Two other classes, each `margin` behind the target."""
    case = by_bias([0.0, margin, 0.0], 1)
    row = finish(case.sums(), case.kept)
    loss = math.log1p(2 * math.exp(-margin))
    value = float(torch.nn.functional.softplus(row.gap.double(), threshold=1e9))
    assert value == pytest.approx(loss, rel=1e-5)
    against = row.gap.sigmoid()
    of_bias = case.gradients(Upstream(against))[2].double()
    # below 1e-38 float32 has fewer digits
    assert float(of_bias[1]) == pytest.approx(math.expm1(-loss), rel=1e-5, abs=1e-38)
    assert abs(float(of_bias.sum())) <= max(1e-6 * float(of_bias.abs().sum()), 1e-38)


def test_a_common_offset_changes_no_digit() -> None:
    plain, moved = by_bias([2.0, -1.0], 0), by_bias([10002.0, 9999.0], 0)
    row, expected = finish(moved.sums(), moved.kept), finish(plain.sums(), plain.kept)
    for name in ("target", "gap", "rest", "centre", "square"):
        assert torch.equal(getattr(row, name), getattr(expected, name)), name


@pytest.mark.parametrize("classes", [20, 257])
def test_a_small_cap_does_not_let_padding_in(classes: int) -> None:
    """A tile's padding, masked before the cap, would come back from it as -softcap."""
    case = draw(6, classes, 3, transform=Transform(0.1, 0.5))
    truth, _ = dense(case)
    assert_row_close(finish(case.sums(), case.kept), truth, 1e-5)


def test_classes_of_probability_zero_take_no_part() -> None:
    case = draw(10, 100, 8, mean_weight="none")
    forbidden = torch.arange(100, device=DEVICE) % 3 == 0
    case.head.bias[forbidden] = -torch.inf
    case = case._replace(labels=torch.arange(10, device=DEVICE) * 3 + 1)
    allowed = Head(
        case.head.input,
        case.head.weight[~forbidden],
        case.head.bias[~forbidden],
        case.head.transform,
    )
    fewer = Case(allowed, torch.arange(10, device=DEVICE) * 2)
    row, expected = finish(case.sums(), case.kept), finish(fewer.sums(), fewer.kept)
    for name in ("shift", "target", "gap", "rest", "centre", "square"):
        torch.testing.assert_close(getattr(row, name), getattr(expected, name))
    upstream = arriving(10, ("others", "own", "centre", "square"))
    of_bias = case.gradients(upstream)[2]
    assert torch.equal(of_bias[forbidden], torch.zeros_like(of_bias[forbidden]))
    torch.testing.assert_close(of_bias[~forbidden], fewer.gradients(upstream)[2])


@pytest.mark.parametrize("name", ["others", "centre", "square"])
def test_where_every_other_class_is_impossible_gradients_are_zero(name: str) -> None:
    case = by_bias([-math.inf, 1.0, -math.inf], 1)
    saved = Saved(*(torch.tensor([value], device=DEVICE) for value in (-math.inf, 0.0, 0.0, 0.0)))
    ones = torch.ones(1, device=DEVICE)
    upstream = Upstream(**{"others": torch.zeros(1, device=DEVICE), name: ones})
    of_bias = triton_path.gradients(case.head, case.labels, saved, upstream, ALL, Tiling(1, 3))[2]
    assert float(of_bias[0]) == float(of_bias[2]) == 0.0


def test_nan_stays_in_its_row() -> None:
    case = draw(8, 100, 16)
    clean = case.sums()
    case.head.input[3, 5] = torch.nan
    dirty = case.sums()
    others = torch.arange(8, device=DEVICE) != 3
    for name in ("shift", "total", "tilt", "square", "mean"):
        assert torch.isnan(getattr(dirty, name)[3]), name
        assert torch.equal(getattr(dirty, name)[others], getattr(clean, name)[others]), name
    of_input = case.gradients(arriving(8))[0]
    assert torch.isnan(of_input[3]).all()
    assert torch.isfinite(of_input[others]).all()


def test_one_nan_logit_makes_its_row_nan() -> None:
    case = draw(2, 100, 4)
    case.head.bias[77] = torch.nan
    sums = case.sums(tiles=SMALL)
    assert torch.isnan(sums.total).all() and torch.isnan(sums.shift).all()


def test_any_layout_gives_the_same_bits() -> None:
    case = draw(20, 70, 24, mean_weight="dense")
    head = case.head
    spread_out = Head(
        head.input.T.contiguous().T,
        head.weight.T.contiguous().T,
        head.bias.repeat_interleave(2)[::2],
        head.transform,
        head.mean_weight.T.contiguous().T,
    )
    other = case._replace(head=spread_out)
    for value, expected in zip(other.sums(), case.sums(), strict=True):
        assert torch.equal(value, expected)
    upstream = arriving(20)
    for value, expected in zip(other.gradients(upstream), case.gradients(upstream), strict=True):
        assert torch.equal(value, expected)


def test_an_upstream_gradient_may_be_one_number_for_all_rows() -> None:
    case = draw(20, 70, 24)
    number = torch.full((1,), 0.3, device=DEVICE)
    for value, expected in zip(
        case.gradients(Upstream(number.expand(20))),
        case.gradients(Upstream(number.repeat(20))),
        strict=True,
    ):
        assert torch.equal(value, expected)


def test_the_first_of_equal_logits_is_the_largest() -> None:
    case = by_bias([0.0] * 200, 0)
    for splits in (1, 3):
        assert case.sums(tiles=SMALL, splits=splits).argmax.tolist() == [1]


def test_offsets_in_memory_are_64_bits_wide() -> None:
    """Rows 2^30 elements apart: the last begins at element 2^31."""
    memory = torch.empty(2**31 + 16, dtype=torch.float16, device=DEVICE)
    case = draw(3, 3, 16, torch.float16, mean_weight="none")
    far = memory.as_strided((3, 16), (2**30, 1))
    far.copy_(case.head.weight)
    distant = case._replace(head=case.head._replace(weight=far))
    assert torch.equal(distant.sums(Want()).total, case.sums(Want()).total)
    far.copy_(case.head.input)
    distant = case._replace(head=case.head._replace(input=far))
    assert torch.equal(distant.sums(Want()).total, case.sums(Want()).total)
    transposed = memory.as_strided((3, 3), (1, 2**30))
    transposed.copy_(case.head.weight[:, :3])
    narrowed = case.head._replace(input=case.head.input[:, :3])
    sums = [
        case._replace(head=narrowed._replace(weight=weight)).sums(Want())
        for weight in (transposed, case.head.weight[:, :3])
    ]
    assert torch.equal(sums[0].total, sums[1].total)


def test_the_same_bits_every_time() -> None:
    case = draw(70, 300, 48)
    for value, again in zip(case.sums(splits=2), case.sums(splits=2), strict=True):
        assert torch.equal(value, again)
    upstream, tiling = arriving(70), Tiling(40, 128)
    for value, again in zip(
        case.gradients(upstream, tiling=tiling, tiles=SMALL),
        case.gradients(upstream, tiling=tiling, tiles=SMALL),
        strict=True,
    ):
        assert torch.equal(value, again)


@pytest.mark.parametrize("splits", [1, 2, 5, 99])
@pytest.mark.parametrize("tiles", [SMALL, Tiles(64, 32, 16, 4, 2)], ids=str)
def test_statistics_do_not_depend_on_splits_and_tiles(splits: int, tiles: Tiles) -> None:
    case = draw(40, 160, 24)
    truth, _ = dense(case)
    assert_row_close(finish(case.sums(splits=splits, tiles=tiles), case.kept), truth, 2e-5)


@pytest.mark.parametrize("rows", [1, 32, 70])
@pytest.mark.parametrize("columns", [1, 100, 260])
def test_gradients_do_not_depend_on_the_chunk(rows: int, columns: int) -> None:
    case = draw(70, 260, 24, mean_weight="dense")
    upstream = arriving(70)
    chunks = case.gradients(upstream, tiling=Tiling(rows, columns), tiles=SMALL)
    for value, truth in zip(chunks, autograd(case, upstream), strict=True):
        assert relative_error(value, truth) < 1e-5


@pytest.mark.parametrize("wanted", range(3))
def test_only_what_is_needed_is_computed(wanted: int) -> None:
    case = draw(20, 70, 24)
    upstream = arriving(20)
    alone = case.gradients(upstream, Needs(*(index == wanted for index in range(3))))
    everything = case.gradients(upstream)
    assert torch.equal(alone[wanted], everything[wanted])
    assert [value is None for value in alone] == [index != wanted for index in range(3)]


def test_float16_keeps_gradients_that_its_range_would_lose() -> None:
    """Logit gradients near 1e-8, below the smallest float16, that add up to more."""
    case = draw(64, 50, 8, torch.float16, mean_weight="none")
    upstream = Upstream(torch.full((64,), 3e-7, device=DEVICE))
    truth = autograd(case, upstream)
    ours = case.gradients(upstream)
    assert relative_error(ours[1], truth[1]) < 0.1
    scaled = Upstream(upstream.others * 2.0**12)
    for value, larger in zip(ours, case.gradients(scaled), strict=True):
        # the step of subnormal float16
        torch.testing.assert_close(value.float() * 2.0**12, larger.float(), atol=2.0**-13, rtol=0)


def peaked(rows: int = 40, classes: int = 320) -> Case:
    """Rows whose probability lies in a few tiles."""
    case = draw(rows, classes, 8, mean_weight="none")
    case.head.bias.copy_(-0.16 * torch.arange(classes, device=DEVICE))
    return case


def test_without_a_threshold_no_tile_is_skipped() -> None:
    case = peaked()
    sums, seen = triton_path.accumulate_with_tiles(case.head, case.labels, EVERYTHING, tiles=NARROW)
    skip, lost = skippable(seen, case.labels, case.saved(), 0.0)
    assert not skip.any() and torch.equal(lost, torch.zeros_like(lost))
    for value, expected in zip(sums, case.sums(tiles=NARROW), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3])
def test_the_filter_reports_the_gradient_it_loses(epsilon: float) -> None:
    case = peaked()
    saved = case.saved()
    _, seen = triton_path.accumulate_with_tiles(case.head, case.labels, Want(), tiles=NARROW)
    skip, lost = skippable(seen, case.labels, saved, epsilon)
    assert skip.shape == (2, 10) and skip.any() and not skip.all()
    # with the identity for a weight, the input gradient is the logit gradient
    full = Head(
        torch.randn(40, 320, device=DEVICE), torch.eye(320, device=DEVICE), None, Transform()
    )
    logits = case.head.input @ case.head.weight.T + case.head.bias
    probe = Case(full._replace(input=logits), case.labels)
    upstream = arriving(40, ("others",))
    exact, filtered = (
        probe.gradients(upstream, tiles=NARROW, skip=which)[0] for which in (None, skip)
    )
    missing = (exact - filtered).abs().sum(1) / upstream.others.abs()
    torch.testing.assert_close(missing, lost, rtol=1e-3, atol=1e-9)
    assert float((exact - filtered).abs().max()) < epsilon * float(upstream.others.abs().max())
    left = torch.where(skip.repeat_interleave(32, 0)[:40].repeat_interleave(32, 1), filtered, 0.0)
    assert torch.equal(left, torch.zeros_like(left))


def test_the_filter_keeps_every_target() -> None:
    case = peaked()
    _, seen = triton_path.accumulate_with_tiles(case.head, case.labels, Want(), tiles=NARROW)
    skip, _ = skippable(seen, case.labels, case.saved(), 2.0)
    rows = torch.nonzero(case.kept)[:, 0]
    assert not skip[rows // 32, case.labels[rows] // 32].any()


def test_the_filter_refuses_gradients_that_it_cannot_bound() -> None:
    case = peaked()
    skip = torch.zeros(2, 10, dtype=torch.bool, device=DEVICE)
    with pytest.raises(ValueError, match="skip"):
        case.gradients(arriving(40, ("others", "mean")), tiles=NARROW, skip=skip)


def test_the_trace_is_the_online_log_sum_exp() -> None:
    case = draw(20, 300, 8)
    shift, total = triton_path.trace(case.head, case.labels, tiles=SMALL)
    assert shift.shape == (5, 20)
    assert (shift.diff(dim=0) >= 0).all()
    sums = case.sums(tiles=SMALL, splits=1)
    assert torch.equal(shift[-1], sums.shift) and torch.equal(total[-1], sums.total)
    assert ((shift + total.log()).diff(dim=0) > 0).all()


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("mean_weight", ["none", "row", "dense"])
def test_row_kernels_do_what_plain_torch_does(softcap: float | None, mean_weight: str) -> None:
    case = draw(21, 700, 8, transform=Transform(1.3, softcap, 0.7), mean_weight=mean_weight)
    head = case.head
    raw = head.input @ head.weight.T
    rows = Rows(raw, case.labels, head.bias, head.transform, head.mean_weight)
    tile = RowTile(16, 256, 4)
    sums = sums_of_rows(rows, EVERYTHING, tile=tile)
    biased = raw + head.bias
    logits = head.transform.apply(biased)
    slope = None if softcap is None else head.transform.cap_slope_(biased, torch.empty_like(raw))
    expected = accumulate_(logits.clone(), case.labels, 0, EVERYTHING, head.mean_weight)
    for value, true in zip(sums, expected, strict=True):
        torch.testing.assert_close(value, true, rtol=1e-5, atol=1e-3)
    upstream = arriving(21)
    gradient = torch.empty_like(raw)
    spread_rows(rows, case.saved(), upstream, gradient, tile=tile)
    spread_(logits, case.labels, 0, case.saved(), upstream, head.mean_weight, slope)
    torch.testing.assert_close(gradient, logits, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_row_kernels_write_over_what_they_read(dtype: torch.dtype) -> None:
    case = draw(21, 700, 8)
    raw = case.head.input @ case.head.weight.T
    rows = Rows(raw, case.labels, case.head.bias)
    upstream = Upstream(arriving(21).others)
    apart = torch.empty_like(raw)
    spread_rows(rows, case.saved(), upstream, apart)
    room = narrow(raw, dtype)
    assert room.data_ptr() == raw.data_ptr()
    spread_rows(rows, case.saved(), upstream, room)
    assert torch.equal(room, apart.to(dtype))


def test_row_kernels_finish_the_factors_that_plain_torch_leaves() -> None:
    case = draw(6, 90, 8, bias=False)
    logits = case.head.input @ case.head.weight.T
    upstream = Upstream(arriving(6).others)
    gradient = torch.empty_like(logits)
    spread_rows(Rows(logits, case.labels), case.saved(), upstream, gradient)
    spread_(logits, case.labels, 0, case.saved(), upstream, None, None, scaled_later=True)
    torch.testing.assert_close(gradient, logits * row_factors(case.saved(), upstream))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reduction": "none", "softcap": 3.0},
        {"label_smoothing": 0.1, "z_loss": 1e-3},
        {"loss": "brier", "temperature": 0.7},
        {"loss": "entropy_bonus"},
    ],
    ids=str,
)
def test_the_door_opens_to_the_kernels(options: dict[str, Any]) -> None:
    case = draw(30, 257, 40)
    target = torch.where(case.kept, case.labels, -100)
    leaves = [leaf.requires_grad_() for leaf in case.head[:3]]
    results = []
    for impl in ("triton", "reference"):
        loss = linear_cross_entropy(
            *leaves[:2], target, linear_bias=leaves[2], impl=impl, **options
        )
        results.append((loss, *torch.autograd.grad(loss.sum(), leaves)))
    for value, truth in zip(*results, strict=True):
        torch.testing.assert_close(value, truth, rtol=1e-5, atol=1e-5)


@triton.jit
def tanh_kernel(x_ptr, y_ptr, SIZE: tl.constexpr, EXACT: tl.constexpr):
    place = tl.arange(0, SIZE)
    tl.store(y_ptr + place, tanh(tl.load(x_ptr + place), EXACT))


@pytest.mark.parametrize("exact", [True, False])
def test_tanh(exact: bool) -> None:
    size = 4096
    x = torch.cat([torch.linspace(-12, 12, size - 1022), torch.logspace(-20, 0, 1022)]).to(DEVICE)
    x[0], x[1] = -torch.inf, torch.inf
    y = torch.empty_like(x)
    triton_path.launch(tanh_kernel, (1,), x, y, SIZE=size, EXACT=exact, enable_fp_fusion=True)
    error = (y.double() - x.double().tanh()).abs()
    allowed = 4e-7 * x.double().tanh().abs() if exact else torch.full_like(error, 3e-7)
    assert (error <= allowed).all()


def test_float64_is_refused_by_name() -> None:
    case = draw(2, 3, 4, torch.float64, mean_weight="none")
    with pytest.raises(TypeError, match="float64"):
        case.sums()


@pytest.mark.parametrize("row_blocks", [1, 7, 64, 200])
@pytest.mark.parametrize("processors", [1, 108, 132])
def test_splits_keep_processors_busy(row_blocks: int, processors: int) -> None:
    splits = triton_tiling.split_count(row_blocks, 1000, processors)
    waves = -(-row_blocks * splits // processors)
    assert 1 <= splits <= triton_tiling.MAX_SPLITS
    enough = row_blocks * triton_tiling.MAX_SPLITS >= 4 * processors
    assert not enough or row_blocks * splits / (waves * processors) >= 0.9


@pytest.mark.parametrize("rows", [1, 1000, 8192, 10**6])
@pytest.mark.parametrize("classes", [2, 1000, 256_000])
def test_a_chunk_keeps_to_its_budget(rows: int, classes: int) -> None:
    budget = 256 * 2**20
    tiling = triton_tiling.plan_tiling(rows, classes, torch.bfloat16, budget)
    height, width = min(tiling.rows, rows), min(tiling.columns, classes)
    assert height * width * 2 <= budget
    assert tiling.rows == rows or height * width * 2 > budget / 2
    bare = triton_tiling.workspace_bytes(
        rows, classes, 64, torch.bfloat16, Needs(False, False, False), tiling
    )
    assert bare == height * width * 2


def test_workspace_of_a_large_head_is_small() -> None:
    rows, classes, depth = 8192, 256_000, 2304
    tiling = triton_tiling.plan_tiling(rows, classes, torch.bfloat16, 128 * 2**20)
    spent = triton_tiling.workspace_bytes(rows, classes, depth, torch.bfloat16, ALL, tiling)
    assert spent < 300e6
