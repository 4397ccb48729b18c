# mypy: disallow-untyped-defs=False
# (Triton types parameters itself, and reads annotations as they stand: no postponed ones.)
"""The bodies of the Triton kernels: logits that live and die in registers.

Three building blocks say the mathematics once. `logits_of` makes a tile of logits, `fold` adds it
to the running sums of `lossviz.kernels.statistics`, and `spread` turns it into the gradient with
respect to it. Two pairs of kernels are made of them: `sums_kernel` and `gradient_kernel` here make
the logits themselves, those of `triton_row_kernels` read what a library's product left in memory.

Each program owns what it writes: no locks, no atomics, the same bits every time. Whatever is
loaded becomes float32 before arithmetic, offsets in memory are 64 bits wide, and an optional
pointer that is None takes its whole branch with it when Triton compiles.
"""

import triton
import triton.language as tl


@triton.jit
def tanh(x, EXACT: tl.constexpr):
    """tanh to a few ulp, or to 1e-7 of 1 in a third of the instructions.

    The quick form 1 - 2 / (1 + exp(2 x)) cancels near 0. The exact one takes Lambert's continued
    fraction there, cut after its fifth level: off by x^10 / (945^2 11) < 1e-10 where |x| < 1/2.
    """
    if EXACT:
        size = tl.abs(x)
        near = size < 0.5
        square = x * x
        decay = tl.exp(-2.0 * size)
        over = tl.where(near, size * (945.0 + square * (105.0 + square)), 1.0 - decay)
        under = tl.where(near, 945.0 + square * (420.0 + square * 15.0), 1.0 + decay)
        value = over / under
        value = tl.where(x < 0, -value, value)
    else:
        value = 1.0 - 2.0 / (1.0 + tl.exp(2.0 * x))
    return value


@triton.jit
def transformed(
    raw, bias_ptr, columns, inside, bias_step, inner, outer,
    CAPPED: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """z = outer tanh(u), u = inner (raw + b), or u without a cap, and u; b is 0 out of range."""
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + columns * bias_step, mask=inside, other=0.0)
        raw += bias.to(tl.float32)[None, :]
    u = raw * inner
    z = u
    if CAPPED:
        z = outer * tanh(u, EXACT)
    return z, u


@triton.jit
def logits_of(
    x_ptr, weight_ptr, bias_ptr, rows, columns, inside, depth,
    x_row, x_depth, weight_row, weight_depth, bias_step, inner, outer,
    CAPPED: tl.constexpr, FACTOR: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """`transformed` logits (ROWS, COLUMNS) of `rows` and `columns`, int64, clamped to `inside`.

    Forward and backward both come here with the same tiles, so p = exp(z - lse) sees in both the
    same rounding of z. (Both select from z before they take anything from it: the compiler would
    contract a product and a difference to one rounding.)
    """
    steps = tl.arange(0, DEPTH)
    far = steps.to(tl.int64)
    x_tile = x_ptr + rows[:, None] * x_row + far[None, :] * x_depth
    weight_tile = weight_ptr + columns[None, :] * weight_row + far[:, None] * weight_depth
    raw = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, depth, DEPTH):
        there = steps < depth - start
        x = tl.load(x_tile, mask=there[None, :], other=0.0).to(FACTOR)
        weight = tl.load(weight_tile, mask=there[:, None], other=0.0).to(FACTOR)
        raw = tl.dot(x, weight, raw, input_precision=PRECISION)
        x_tile += DEPTH * x_depth
        weight_tile += DEPTH * weight_depth
    # half precision has rounded x and w by more than the quick cap loses
    return transformed(
        raw, bias_ptr, columns, inside, bias_step, inner, outer, CAPPED, FACTOR == tl.float32
    )


@triton.jit
def mean_weights_of(
    mean_ptr, rows, columns, inside, mean_row, mean_column, DENSE: tl.constexpr
):  # fmt: skip
    """Weights of the mean logit in a tile, (ROWS, COLUMNS) or (1, COLUMNS).

    0 out of range, and for a pointer that is None.
    """
    if mean_ptr is None:
        weights = tl.zeros_like(inside).to(tl.float32)[None, :]
    elif DENSE:
        place = rows[:, None] * mean_row + columns[None, :] * mean_column
        weights = tl.load(mean_ptr + place, mask=inside[None, :], other=0.0)
    else:
        weights = tl.load(mean_ptr + columns * mean_column, mask=inside, other=0.0)[None, :]
    return weights.to(tl.float32)


@triton.jit
def fold(
    z, first, columns, inside, labels, weights,
    target, shift, total, best, tilt, square, mean, mass,
    BEST: tl.constexpr, TILT: tl.constexpr, SQUARE: tl.constexpr, MEAN: tl.constexpr,
):  # fmt: skip
    """The running sums of rows after one more tile of logits: online log-sum-exp and relatives.

    When the largest logit grows from m to m', sums of exp(z - m) shrink by exp(m - m'), those of
    exp(2 (z - m)) by its square, and the tilt, which holds z - m as well, moves by m - m' times the
    total before it shrinks. Nothing is masked before the cap: a masked -inf would come back from it
    as -softcap. NaN takes no part in the maximum and comes through in the total.
    """
    is_target = columns[None, :] == labels[:, None]
    target += tl.sum(tl.where(is_target, z, 0.0), 1)
    others = tl.where(inside[None, :] & (columns[None, :] != labels[:, None]), z, float("-inf"))
    if BEST:
        ranked = tl.where(others == others, others, float("inf"))
        top, place = tl.max(ranked, 1, return_indices=True)
        best = tl.where(top > shift, first + place, best)
    else:
        top = tl.max(others, 1)
    largest = tl.maximum(shift, top)
    offset = tl.where(largest == float("-inf"), 0.0, largest)
    behind = tl.where(shift == float("-inf"), 0.0, shift - offset)
    factor = tl.where(shift == float("-inf"), 0.0, tl.exp(behind))
    below = others - offset[:, None]
    exponentials = tl.exp(below)
    if TILT:
        # exp(-inf) (-inf) is 0, its limit
        tilted = exponentials * tl.where(exponentials == 0.0, 0.0, below)
        # so far behind that the factor is 0; -3e38 times the total may be -inf, and NaN then
        tilt = (tilt + tl.maximum(behind, -1e4) * total) * factor + tl.sum(tilted, 1)
    if SQUARE:
        square = square * factor * factor + tl.sum(exponentials * exponentials, 1)
    if MEAN:
        moved = tl.where(shift == float("-inf"), 0.0, shift) - offset
        weighted = tl.where(weights == 0.0, 0.0, weights * (z - offset[:, None]))
        mean += mass * moved + tl.sum(weighted, 1)
        mass += tl.sum(weights, 1)
    total = total * factor + tl.sum(exponentials, 1)
    return target, largest, total, best, tilt, square, mean, mass


@triton.jit
def store_sums(
    place, kept, target, shift, total, best, tilt, square, mean, mass,
    target_ptr, shift_ptr, total_ptr, best_ptr, tilt_ptr, square_ptr, mean_ptr, mass_ptr,
):  # fmt: skip
    """Write the sums of rows; where a pointer is None, nobody asked."""
    tl.store(target_ptr + place, target, mask=kept)
    tl.store(shift_ptr + place, tl.where(total == total, shift, total), mask=kept)
    tl.store(total_ptr + place, total, mask=kept)
    if best_ptr is not None:
        tl.store(best_ptr + place, best.to(tl.int64), mask=kept)
    if tilt_ptr is not None:
        tl.store(tilt_ptr + place, tilt, mask=kept)
    if square_ptr is not None:
        tl.store(square_ptr + place, square, mask=kept)
    if mean_ptr is not None:
        tl.store(mean_ptr + place, mean, mask=kept)
        tl.store(mass_ptr + place, mass, mask=kept)


@triton.jit
def spread(
    z, u, columns, labels, weights, shift, total, centre, square, best,
    to_others, to_own, to_centre, to_square, to_mean, to_shift,
    OWN: tl.constexpr, CENTRE: tl.constexpr, SQUARE: tl.constexpr, MEAN: tl.constexpr,
    SHIFT: tl.constexpr, CAPPED: tl.constexpr,
):  # fmt: skip
    """The gradient with respect to a tile of logits before the cap, from those of the statistics.

    Off the target dz_j = q_j (g_others + g_centre (z_j - m - centre) + 2 g_square (q_j / sum q^2 -
    1)), with q the softmax of the other classes; at the target g_own; to both come g_mean times the
    weight of the column and, in the column of the largest, g_shift; the slope of the cap multiplies
    the whole.
    """
    total = tl.where(total == 0.0, 1.0, total)  # no other class: exp(-inf) / 1 is 0
    below = z - tl.where(shift == float("-inf"), 0.0, shift)[:, None]
    if CENTRE or SQUARE:
        q = tl.exp(below) / total[:, None]
        rate = to_others[:, None]
        if CENTRE:
            off_centre = tl.where(q == 0.0, 0.0, below - centre[:, None])  # 0 log 0 is 0
            rate = rate + to_centre[:, None] * off_centre
        if SQUARE:
            rate = rate + 2.0 * to_square[:, None] * (q * tl.exp(-square)[:, None] - 1.0)
        gradient = q * rate
    else:
        gradient = tl.exp(below) * (to_others / total)[:, None]
    at_target = -to_others
    if OWN:
        at_target = to_own
    is_target = columns[None, :] == labels[:, None]
    gradient = tl.where(is_target, at_target[:, None], gradient)
    if MEAN:
        gradient += to_mean[:, None] * weights
    if SHIFT:
        gradient += tl.where(columns[None, :] == best[:, None], to_shift[:, None], 0.0)
    if CAPPED:
        decay = tl.exp(-2.0 * tl.abs(u))  # 1 - tanh(u)^2 has no digits where tanh is near 1
        gradient *= 4.0 * decay / ((1.0 + decay) * (1.0 + decay))
    return gradient


@triton.jit
def load_row(pointer, rows):
    """A value of every row, or 0 for a pointer that is None."""
    return tl.zeros_like(rows).to(tl.float32) if pointer is None else tl.load(pointer + rows)


@triton.jit
def sums_kernel(
    x_ptr, weight_ptr, bias_ptr, label_ptr, mean_weight_ptr,
    target_ptr, shift_ptr, total_ptr, best_ptr, tilt_ptr, square_ptr, mean_ptr, mass_ptr,
    trace_shift_ptr, trace_total_ptr,
    count, classes, depth, splits,
    x_row, x_depth, weight_row, weight_depth, bias_step, mean_row, mean_column, inner, outer,
    CAPPED: tl.constexpr, DENSE: tl.constexpr, FACTOR: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Sums of ROWS rows over one split of the vocabulary, walked tile by tile.

    Outputs are (splits, count). Programs next to each other share a split, hence the tiles of the
    weight in the cache. The trace, where wanted, is (tiles, count): m and the total so far.
    """
    split = tl.program_id(1)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    kept = rows < count
    # a row or column out of range reads the last one instead, and is not written or counted
    safe_rows = tl.minimum(rows, count - 1).to(tl.int64)
    labels = tl.load(label_ptr + safe_rows).to(tl.int32)
    tiles = tl.cdiv(classes, COLUMNS)
    begin = (split.to(tl.int64) * tiles // splits).to(tl.int32)
    end = ((split.to(tl.int64) + 1) * tiles // splits).to(tl.int32)
    moment = begin.to(tl.int64) * count + safe_rows

    target = tl.zeros((ROWS,), tl.float32)
    shift = target + float("-inf")
    total = target
    best = tl.zeros((ROWS,), tl.int32) + begin * COLUMNS
    tilt = target
    square = target
    mean = target
    mass = target
    for tile in range(begin, end):
        first = tile * COLUMNS
        columns = first + tl.arange(0, COLUMNS)
        inside = columns < classes
        far_columns = columns.to(tl.int64)
        safe_columns = tl.minimum(far_columns, classes - 1)
        z, _ = logits_of(
            x_ptr, weight_ptr, bias_ptr, safe_rows, safe_columns, inside, depth,
            x_row, x_depth, weight_row, weight_depth, bias_step, inner, outer,
            CAPPED, FACTOR, PRECISION, ROWS, COLUMNS, DEPTH,
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
        if trace_shift_ptr is not None:
            tl.store(trace_shift_ptr + moment, shift, mask=kept)
            tl.store(trace_total_ptr + moment, total, mask=kept)
            moment += count
    store_sums(
        split.to(tl.int64) * count + rows, kept,
        target, shift, total, best, tilt, square, mean, mass,
        target_ptr, shift_ptr, total_ptr, best_ptr, tilt_ptr, square_ptr, mean_ptr, mass_ptr,
    )  # fmt: skip


@triton.jit
def gradient_kernel(
    x_ptr, weight_ptr, bias_ptr, label_ptr, mean_weight_ptr,
    shift_ptr, total_ptr, centre_ptr, square_ptr, best_ptr,
    to_others_ptr, to_own_ptr, to_centre_ptr, to_square_ptr, to_mean_ptr, to_shift_ptr,
    skip_ptr, out_ptr, out_bias_ptr,
    count, first, last, classes, depth,
    x_row, x_depth, weight_row, weight_depth, bias_step, mean_row, mean_column, out_row,
    inner, outer,
    CAPPED: tl.constexpr, DENSE: tl.constexpr, FACTOR: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Gradient with respect to raw logits of one tile of the classes first..last.

    `out` is (count, last - first). `out_bias`, where wanted, gets the column sums of the unrounded
    gradient, one row for each block of rows. Where `skip` (blocks of rows, tiles of the chunk) says
    so, the tile is 0 and its logits are not made.
    """
    block = tl.program_id(0)
    tile = tl.program_id(1)
    rows = block * ROWS + tl.arange(0, ROWS)
    kept = rows < count
    safe_rows = tl.minimum(rows, count - 1).to(tl.int64)
    local = tile * COLUMNS + tl.arange(0, COLUMNS)
    columns = first + local
    inside = columns < last
    gradient = tl.zeros((ROWS, COLUMNS), tl.float32)
    skipped = 0
    if skip_ptr is not None:
        skipped = tl.load(skip_ptr + block * tl.num_programs(1) + tile).to(tl.int32)
    if skipped == 0:
        far_columns = columns.to(tl.int64)
        safe_columns = tl.minimum(far_columns, classes - 1)
        z, u = logits_of(
            x_ptr, weight_ptr, bias_ptr, safe_rows, safe_columns, inside, depth,
            x_row, x_depth, weight_row, weight_depth, bias_step, inner, outer,
            CAPPED, FACTOR, PRECISION, ROWS, COLUMNS, DEPTH,
        )  # fmt: skip
        weights = mean_weights_of(
            mean_weight_ptr, safe_rows, far_columns, inside, mean_row, mean_column, DENSE
        )
        gradient = spread(
            tl.where(inside[None, :], z, 0.0), u, columns,
            tl.load(label_ptr + safe_rows), weights,
            load_row(shift_ptr, safe_rows), load_row(total_ptr, safe_rows),
            load_row(centre_ptr, safe_rows), load_row(square_ptr, safe_rows),
            load_row(best_ptr, safe_rows), load_row(to_others_ptr, safe_rows),
            load_row(to_own_ptr, safe_rows), load_row(to_centre_ptr, safe_rows),
            load_row(to_square_ptr, safe_rows), load_row(to_mean_ptr, safe_rows),
            load_row(to_shift_ptr, safe_rows),
            to_own_ptr is not None, to_centre_ptr is not None, to_square_ptr is not None,
            to_mean_ptr is not None, to_shift_ptr is not None, CAPPED,
        )  # fmt: skip
    written = kept[:, None] & inside[None, :]
    place = safe_rows[:, None] * out_row + local[None, :]
    tl.store(out_ptr + place, gradient.to(out_ptr.dtype.element_ty), mask=written)
    if out_bias_ptr is not None:
        column_sums = tl.sum(tl.where(kept[:, None], gradient, 0.0), 0)
        base = block.to(tl.int64) * (last - first)
        tl.store(out_bias_ptr + base + local, column_sums, mask=inside)
