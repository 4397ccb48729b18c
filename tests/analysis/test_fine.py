"""Numbers of fine cells are those of all rows, up to the bound that is given with them."""

from __future__ import annotations

import pytest
import torch

from lossviz.analysis import (
    area_under_risk_coverage,
    auroc,
    ece_equal_mass,
    error_bound,
    fine_aurc,
    fine_auroc,
    fine_ece_equal_mass,
    fine_kde_ece,
    fine_smooth_ece,
    kde_ece,
    smooth_ece,
)
from lossviz.analysis.fine import fine_sums

TWINS = {
    "auroc": (fine_auroc, auroc),
    "aurc": (fine_aurc, area_under_risk_coverage),
    "equal mass": (fine_ece_equal_mass, ece_equal_mass),
    "smooth": (fine_smooth_ece, smooth_ece),
    "kernel": (fine_kde_ece, kde_ece),
}
each_twin = pytest.mark.parametrize("name", TWINS)


def data(shape, count=4000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u, v = torch.rand(2, count, generator=generator, dtype=torch.float64)
    c = {
        "even": u,
        "single": u.float(),
        "sure": 1 - 0.8 * u**6,
        "saturated": torch.where(v < 0.5, 1.0, 1 - 1e-5 * u),
        "one cell": 0.5 + 1e-5 * u,
        "unsure": 1e-5 * u,
    }[shape]
    return c, torch.rand(count, generator=generator) < c.double() ** 1.5


@each_twin
@pytest.mark.parametrize("shape", ["even", "single", "sure", "saturated", "one cell", "unsure"])
def test_the_streamed_number_is_that_of_all_rows_within_its_bound(name, shape):
    fine, exact = TWINS[name]
    c, a = data(shape, 300 if name in ("kernel", "smooth") else 4000)  # the exact ones are slow
    stream = fine.stream()
    for part in torch.arange(len(c)).split(170):
        stream.update(c[part], a[part])
    off, bound = (stream.compute() - exact(c, a)).abs(), error_bound(stream)
    if bound.isnan():  # no wrong row, no rank
        assert off.isnan()
    else:
        assert off <= bound + 1e-12


@pytest.mark.parametrize("turn", [1, -1], ids=["best order", "worst order"])
@pytest.mark.parametrize("name", ["auroc", "aurc", "equal mass"])
def test_the_bound_holds_for_the_worst_and_the_best_order_within_every_cell(name, turn):
    fine, exact = TWINS[name]
    cell = torch.arange(2000) // 50  # fifty rows in each of forty cells
    inside = turn * (torch.arange(2000) % 50 - 24.5) + 24.5
    c = 0.599 + (cell * 3 + inside / 100 + 0.1) / 65536
    a = torch.arange(2000) % 50 >= 20
    stream = fine.stream().update(c.double(), a)
    off = (stream.compute() - exact(c.double(), a)).abs()
    assert 0 < off <= error_bound(stream) + 1e-12
    if name == "auroc":  # nothing smaller would do
        torch.testing.assert_close(off, error_bound(stream))


def test_what_is_nearly_certain_keeps_its_order():
    c = torch.cat([1 - 2.0 ** -torch.arange(17, 50).double(), 2.0 ** -torch.arange(17.0, 50)])
    a = torch.rand(len(c), generator=torch.Generator().manual_seed(2)) < 0.5
    assert (fine_sums(c, a).rows <= 1).all()
    torch.testing.assert_close(fine_auroc(c, a), auroc(c, a), rtol=0, atol=0)


@each_twin
def test_streams_merge_in_any_order_and_do_not_grow(name):
    fine, _ = TWINS[name]
    c, a = data("sure")
    whole = fine.stream().update(c, a)
    parts = [fine.stream().update(c[i::3], a[i::3]) for i in (2, 0, 1)]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    torch.testing.assert_close(merged.compute(), whole.compute(), rtol=1e-12, atol=1e-15)
    assert whole.sums.rows.shape == merged.sums.rows.shape == (65536 + 2 * 64 * 36 + 2,)


@each_twin
def test_a_confidence_of_nan_stays_nan(name):
    c, a = data("even", count=50)
    assert TWINS[name][0](c.index_fill(0, torch.tensor([7]), torch.nan), a).isnan()


@pytest.mark.parametrize("given", [None, 0.5, "fine_auroc"])
def test_what_is_no_stream_has_no_bound(given):
    with pytest.raises(TypeError, match="stream must be that of"):
        error_bound(given)


def test_a_bound_is_only_known_for_fine_cells():
    from lossviz.analysis import ece

    assert error_bound(fine_auroc.stream()).isnan()
    with pytest.raises(TypeError, match="fine_auroc"):
        error_bound(ece.stream())
