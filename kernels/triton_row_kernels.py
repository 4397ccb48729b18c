# mypy: disallow-untyped-defs=False
# (Triton types parameters itself, and reads annotations as they stand: no postponed ones.)
"""The bodies of the Triton kernels for whole rows of raw logits that lie in memory.

They are made of the building blocks of `triton_kernels`, and keep its rules.
"""

import triton
import triton.language as tl

from .triton_kernels import fold, load_row, mean_weights_of, spread, store_sums, transformed


@triton.jit
def row_sums_kernel(
    raw_ptr, bias_ptr, label_ptr, mean_weight_ptr,
    target_ptr, shift_ptr, total_ptr, best_ptr, tilt_ptr, square_ptr, mean_ptr, mass_ptr,
    count, classes, raw_row, bias_step, mean_row, mean_column, inner, outer,
    CAPPED: tl.constexpr, DENSE: tl.constexpr, EXACT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums of whole rows of raw logits that lie in memory: one read."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    kept = rows < count
    safe_rows = tl.minimum(rows, count - 1).to(tl.int64)
    labels = tl.load(label_ptr + safe_rows).to(tl.int32)
    target = tl.zeros((ROWS,), tl.float32)
    shift = target + float("-inf")
    total = target
    best = tl.zeros((ROWS,), tl.int32)
    tilt = target
    square = target
    mean = target
    mass = target
    for first in range(0, classes, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        inside = columns < classes
        far_columns = columns.to(tl.int64)
        place = safe_rows[:, None] * raw_row + far_columns[None, :]
        raw = tl.load(raw_ptr + place, mask=inside[None, :], other=0.0).to(tl.float32)
        z, _ = transformed(
            raw, bias_ptr, far_columns, inside, bias_step, inner, outer, CAPPED, EXACT
        )  # fmt: skip
        weights = mean_weights_of(
            mean_weight_ptr, safe_rows, far_columns, inside, mean_row, mean_column, DENSE
        )
        target, shift, total, best, tilt, square, mean, mass = fold(
            z, first, columns, inside, labels, weights,
            target, shift, total, best, tilt, square, mean, mass,
            best_ptr is not None, tilt_ptr is not None, square_ptr is not None,
            mean_weight_ptr is not None,
        )  # fmt: skip
    store_sums(
        rows, kept, target, shift, total, best, tilt, square, mean, mass,
        target_ptr, shift_ptr, total_ptr, best_ptr, tilt_ptr, square_ptr, mean_ptr, mass_ptr,
    )  # fmt: skip


@triton.jit
def row_gradient_kernel(
    raw_ptr, bias_ptr, label_ptr, mean_weight_ptr,
    shift_ptr, total_ptr, centre_ptr, square_ptr, best_ptr,
    to_others_ptr, to_own_ptr, to_centre_ptr, to_square_ptr, to_mean_ptr, to_shift_ptr, out_ptr,
    count, classes, raw_row, bias_step, mean_row, mean_column, out_row, inner, outer,
    CAPPED: tl.constexpr, DENSE: tl.constexpr, EXACT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Gradient with respect to whole rows of raw logits: one read, one write.

    `out` may be the raw logits themselves, also seen in a narrower type: a row is walked from left
    to right, so what is written lies where everything has been read. That holds inside the first
    tile as well, because no thread writes before all have read.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    kept = rows < count
    safe_rows = tl.minimum(rows, count - 1).to(tl.int64)
    labels = tl.load(label_ptr + safe_rows)
    shift = load_row(shift_ptr, safe_rows)
    total = load_row(total_ptr, safe_rows)
    centre = load_row(centre_ptr, safe_rows)
    square = load_row(square_ptr, safe_rows)
    best = load_row(best_ptr, safe_rows)
    to_others = load_row(to_others_ptr, safe_rows)
    to_own = load_row(to_own_ptr, safe_rows)
    to_centre = load_row(to_centre_ptr, safe_rows)
    to_square = load_row(to_square_ptr, safe_rows)
    to_mean = load_row(to_mean_ptr, safe_rows)
    to_shift = load_row(to_shift_ptr, safe_rows)
    for first in range(0, classes, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        inside = columns < classes
        read = kept[:, None] & inside[None, :]
        far_columns = columns.to(tl.int64)
        place = safe_rows[:, None] * raw_row + far_columns[None, :]
        raw = tl.load(raw_ptr + place, mask=read, other=0.0).to(tl.float32)
        z, u = transformed(
            raw, bias_ptr, far_columns, inside, bias_step, inner, outer, CAPPED, EXACT
        )  # fmt: skip
        weights = mean_weights_of(
            mean_weight_ptr, safe_rows, far_columns, inside, mean_row, mean_column, DENSE
        )
        gradient = spread(
            z, u, columns, labels, weights, shift, total, centre, square, best,
            to_others, to_own, to_centre, to_square, to_mean, to_shift,
            to_own_ptr is not None, to_centre_ptr is not None, to_square_ptr is not None,
            to_mean_ptr is not None, to_shift_ptr is not None, CAPPED,
        )  # fmt: skip
        tl.debug_barrier()
        place = safe_rows[:, None] * out_row + far_columns[None, :]
        tl.store(out_ptr + place, gradient.to(out_ptr.dtype.element_ty), mask=read)
