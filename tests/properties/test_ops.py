"""Every operation of the integer graph against brute force in Python integers.

Each case runs through a verified graph, so that what an oracle cannot hold the verifier must have refused.  The fast
interpreter's form of the operation must give the same as its definition.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops import OPS
from ectoolkit.core.ops.conv_transpose import as_convolution
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.interpreters.fast.layer import Layer
from ectoolkit.interpreters.fast.layouts import to_torch
from ectoolkit.interpreters.fast.program import FORMS

FEW = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
ZERO_POINTS = st.sampled_from([0, 1, 64, 127, 128, 254, 255])
SCALES = st.sampled_from([2.0**-6, 2.0**-5, 0.01, 0.0173, 0.3, 1.0, 1e-4, 40.0])
LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int32": (-(2**31), 2**31 - 1)}


def run(
    op: str,
    arrays: list[np.ndarray],
    grids: list[QuantParams | None],
    out: QuantParams | None,
    attributes: dict[str, object] | None = None,
    constants: int = 0,
    dtype: str = "uint8",
) -> np.ndarray:
    """One operation, its laws checked; the last `constants` arrays are the graph's own."""
    values = [
        Value(f"v{i}", TensorSpec(a.shape, a.dtype.name, Layout.of_activation(a.ndim)), grid)
        for i, (a, grid) in enumerate(zip(arrays, grids, strict=True))
    ]
    node = Node("node", op, tuple(v.name for v in values), attributes or {})
    spec = OPS[op].output_spec(node, values, dtype)
    output = Value("node", spec, out)
    known = [None] * (len(arrays) - constants) + (arrays[-constants:] if constants else [])
    OPS[op].check(node, values, output, known)
    found = OPS[op].evaluate(node, values, output, arrays)
    assert (found.shape, found.dtype) == (spec.shape, spec.dtype)
    check_fast(
        Layer(node, values, output, known, [2**31 if a.dtype == np.int32 else 255 for a in arrays]), arrays, found
    )
    return found


def check_fast(layer: Layer, arrays: list[np.ndarray], expected: np.ndarray) -> None:
    form = FORMS[layer.node.op](layer)
    if form is None:  # a max pool of real numbers
        return
    fast = form.run(*(to_torch(arrays[position]) for position in form.reads)).numpy()
    assert (fast.shape, fast.dtype) == (expected.shape, expected.dtype)
    assert_array_equal(fast, expected)


def codes(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random codes with many ends among them."""
    numbers = np.random.default_rng(seed)
    x = numbers.integers(0, 256, shape)
    ends = numbers.choice([0, 255, 128], shape)
    return np.where(numbers.random(shape) < 0.3, ends, x).astype(np.uint8)


def uint8(scale: float, zero_point: int) -> QuantParams:
    return QuantParams.uint8(np.float32(scale), zero_point)


def scale_of(grid: QuantParams) -> float:
    return float(grid.scale)


def clip(x: int, low: int, high: int) -> int:
    return low if x < low else min(x, high)


def move(x: int, ratio: float) -> int:
    """R(x, m): 26-bit multiplier, one rounding, half up."""
    mantissa, exponent = math.frexp(ratio)
    multiplier = round(Fraction(mantissa) * 2**26)
    return math.floor(Fraction(x * multiplier) / Fraction(2) ** (26 - exponent) + Fraction(1, 2))


# --- add, concat ---------------------------------------------------------------------------------------------------


def add_oracle(main: int, other: int, to_other: float, to_output: float, zero_point: int, relu: bool) -> int:
    """`main` and `other` with their zero points taken off."""
    p = clip(move(main, to_other), -256, 255)
    if relu:
        ceiling = min(255, math.floor((255 - zero_point) / to_output + 0.5))
        total = min(max(p + other, -256), ceiling)
        return clip(move(total, to_output) + zero_point, zero_point, 255)
    left = clip(move(p, to_output) + zero_point, -256, 255)
    return clip(left + clip(move(other, to_output), -256, 255), 0, 255)


@pytest.mark.parametrize("relu", [False, True])
@FEW
@given(seed=SEEDS, scales=st.tuples(SCALES, SCALES, SCALES), zeros=st.tuples(ZERO_POINTS, ZERO_POINTS, ZERO_POINTS))
def test_add_of_codes(relu: bool, seed: int, scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> None:
    grids = [uint8(s, z) for s, z in zip(scales, zeros, strict=True)]
    main, other = codes(seed, (2, 3, 4, 5)), codes(seed + 1, (2, 3, 4, 5))
    found = run("add", [main, other], grids[:2], grids[2], {"relu": relu})
    main_scale, other_scale, out_scale = map(scale_of, grids)
    expected = [
        add_oracle(a - zeros[0], b - zeros[1], main_scale / other_scale, other_scale / out_scale, zeros[2], relu)
        for a, b in zip(main.ravel().tolist(), other.ravel().tolist(), strict=True)
    ]
    assert found.ravel().tolist() == expected


@pytest.mark.parametrize("relu", [False, True])
@FEW
@given(seed=SEEDS, scales=st.tuples(SCALES, SCALES), zeros=st.tuples(ZERO_POINTS, ZERO_POINTS))
def test_add_of_accumulators(relu: bool, seed: int, scales: tuple[float, float], zeros: tuple[int, int]) -> None:
    """The main operand is raw int32 with a scale a channel: all of int32 may come."""
    numbers = np.random.default_rng(seed)
    shape, width = (2, 3, 2, 5), 10.0 ** numbers.integers(0, 10)
    main = np.clip(numbers.normal(0, width, shape), -(2**31), 2**31 - 1).astype(np.int32)
    main.flat[:2] = LIMITS["int32"]
    other = codes(seed, shape)
    accumulators = QuantParams.int32(numbers.uniform(1e-5, 1e-3, 3).astype(np.float32), axis=1)
    y, out = (uint8(s, z) for s, z in zip(scales, zeros, strict=True))
    found = run("add", [main, other], [accumulators, y], out, {"relu": relu})
    for index in itertools.product(*map(range, shape)):
        to_other = float(accumulators.scale[index[1]]) / scale_of(y)
        expected = add_oracle(
            int(main[index]), int(other[index]) - zeros[0], to_other, scale_of(y) / scale_of(out), zeros[1], relu
        )
        assert found[index] == expected


def test_add_relu_can_top_out_below_255() -> None:
    """Where the adder's own ceiling comes first: 255 · m < 255 - z."""
    grid, out = uint8(0.1, 0), uint8(0.1, 0)
    full = np.full((1, 1, 1, 1), 255, np.uint8)
    assert run("add", [full, full], [grid, grid], out, {"relu": True}).item() == 255
    narrow = uint8(float(np.float32(0.1) * np.float32(1.005)), 0)
    assert run("add", [full, full], [grid, grid], narrow, {"relu": True}).item() == 254


@FEW
@given(
    seed=SEEDS,
    axis=st.integers(0, 3),
    extents=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    grids=st.lists(st.tuples(SCALES, ZERO_POINTS), min_size=5, max_size=5),
)
def test_concat(seed: int, axis: int, extents: list[int], grids: list[tuple[float, int]]) -> None:
    inputs = [uint8(*grid) for grid in grids[: len(extents)]]
    out = uint8(*grids[-1])
    shape = [2, 3, 2, 3]
    arrays = [codes(seed + i, (*shape[:axis], e, *shape[axis + 1 :])) for i, e in enumerate(extents)]
    found = run("concat", arrays, list(inputs), out, {"axis": axis})
    parts = []
    for array, grid in zip(arrays, inputs, strict=True):
        ratio = scale_of(grid) / scale_of(out)
        moved = [clip(move(q - grid.zero_point, ratio) + out.zero_point, 0, 255) for q in array.ravel().tolist()]
        parts.append(np.array(moved).reshape(array.shape))
    assert_array_equal(found, np.concatenate(parts, axis))


# --- codes stay on their grid --------------------------------------------------------------------------------------


@FEW
@given(seed=SEEDS, zero_point=ZERO_POINTS)
def test_relu(seed: int, zero_point: int) -> None:
    x, grid = codes(seed, (2, 3, 4, 4)), uint8(0.1, zero_point)
    assert run("relu", [x], [grid], grid).ravel().tolist() == [max(q, zero_point) for q in x.ravel().tolist()]


@settings(max_examples=150, deadline=None)
@given(
    seed=SEEDS,
    extents=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil_mode=st.booleans(),
    data=st.data(),
)
def test_max_pool(
    seed: int,
    extents: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    ceil_mode: bool,
    data: st.DataObject,
) -> None:
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    spans = [e + 2 * p - d * (k - 1) - 1 for e, p, d, k in zip(extents, padding, dilation, kernel, strict=True)]
    if min(spans) < 0:
        return
    sizes = []
    for extent, pad, step, span in zip(extents, padding, stride, spans, strict=True):
        size = -(-span // step) + 1 if ceil_mode else span // step + 1
        # torch: a window that would begin in the padding behind the input is left out
        sizes.append(size - 1 if ceil_mode and (size - 1) * step >= extent + pad else size)
    x, grid = codes(seed, (2, 2, *extents)), uint8(0.1, 7)
    attributes = {
        "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode
    }  # fmt: skip
    found = run("max_pool2d", [x], [grid], grid, attributes)
    assert found.shape == (2, 2, *sizes)
    for n, c, row, column in itertools.product(range(2), range(2), range(sizes[0]), range(sizes[1])):
        rows = [row * stride[0] - padding[0] + i * dilation[0] for i in range(kernel[0])]
        columns = [column * stride[1] - padding[1] + j * dilation[1] for j in range(kernel[1])]
        window = [int(x[n, c, r, s]) for r in rows for s in columns if 0 <= r < extents[0] and 0 <= s < extents[1]]
        assert found[n, c, row, column] == max(window, default=0)


@FEW
@given(
    seed=SEEDS,
    extent=st.integers(2, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    ceil_mode=st.booleans(),
    dilation=st.integers(1, 2),
)
def test_max_pool_as_torch(seed: int, extent: int, kernel: int, stride: int, ceil_mode: bool, dilation: int) -> None:
    import torch

    padding = kernel // 2
    if extent + 2 * padding < dilation * (kernel - 1) + 1:
        return
    x, grid = codes(seed, (1, 2, extent, extent + 1)), uint8(0.1, 0)
    expected = torch.nn.functional.max_pool2d(
        torch.from_numpy(x.astype(np.float32)), kernel, stride, padding, dilation, ceil_mode
    )
    if torch.isinf(expected).any():  # a window of padding only: torch gives -inf, a code cannot
        return
    attributes: dict[str, object] = {"ceil_mode": ceil_mode}
    for name, value in (("kernel", kernel), ("stride", stride), ("padding", padding), ("dilation", dilation)):
        attributes[name] = (value, value)
    assert_array_equal(run("max_pool2d", [x], [grid], grid, attributes), expected.numpy())


@FEW
@given(seed=SEEDS, extents=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_global_avg_pool(seed: int, extents: tuple[int, int]) -> None:
    x, grid = codes(seed, (2, 3, *extents)), uint8(0.1, 9)
    found = run("global_avg_pool", [x], [grid], grid)
    count = extents[0] * extents[1]
    share = Fraction(float(np.float32(1) / np.float32(count)))
    for n, c in itertools.product(range(2), range(3)):
        total = sum(x[n, c].ravel().tolist())
        assert found[n, c, 0, 0] == max(math.floor((total - count // 2) * share + Fraction(1, 2)), 0)
        if count % 2 or total % count:
            assert found[n, c, 0, 0] == total // count


@pytest.mark.parametrize(("extents", "low"), [((7, 7), 0), ((8, 8), 0), ((14, 14), 1), ((28, 28), 1), ((20, 20), 1)])
def test_global_avg_pool_of_even_sizes(extents: tuple[int, int], low: int) -> None:
    """As measured on MERA 1.6.0: planes of one code come out a code less where float32 1/n is small."""
    x = np.broadcast_to(np.arange(1, 256, dtype=np.uint8)[None, :, None, None], (1, 255, *extents)).copy()
    grid = uint8(0.1, 0)
    found = run("global_avg_pool", [x], [grid], grid)
    assert_array_equal(found[0, :, 0, 0], np.arange(1, 256) - low)


@FEW
@given(
    seed=SEEDS,
    extents=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    count_frame=st.booleans(),
    zero_point=ZERO_POINTS,
    data=st.data(),
)
def test_avg_pool2d(
    seed: int,
    extents: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    count_frame: bool,
    zero_point: int,
    data: st.DataObject,
) -> None:
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    if any(e + 2 * p < k for e, p, k in zip(extents, padding, kernel, strict=True)):
        return
    x, grid = codes(seed, (2, 2, *extents)), uint8(0.1, zero_point)
    attributes = {"kernel": kernel, "stride": stride, "padding": padding, "count_frame": count_frame}
    found = run("avg_pool2d", [x], [grid], grid, attributes)
    for n, c, i, j in np.ndindex(found.shape):
        rows = range(i * stride[0] - padding[0], i * stride[0] - padding[0] + kernel[0])
        columns = range(j * stride[1] - padding[1], j * stride[1] - padding[1] + kernel[1])
        places = [(r, k) for r in rows for k in columns]
        inside = [int(x[n, c, r, k]) for r, k in places if 0 <= r < extents[0] and 0 <= k < extents[1]]
        frame = (len(places) - len(inside)) if count_frame else 0
        assert found[n, c, i, j] == (sum(inside) + frame * zero_point) // (len(inside) + frame)


def nearest_float32(exact: Fraction) -> Fraction:
    """Correctly rounded: the float64 nearest to `exact` is only a first guess."""
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    best = min(around, key=lambda value: (abs(Fraction(float(value)) - exact), int(value.view(np.uint32)) & 1))
    return Fraction(float(best))


@FEW
@given(seed=SEEDS, extents=st.tuples(st.integers(1, 5), st.integers(1, 5)), scale=SCALES, zero_point=ZERO_POINTS)
def test_host_mean(seed: int, extents: tuple[int, int], scale: float, zero_point: int) -> None:
    x, grid = codes(seed, (2, 2, *extents)), uint8(scale, zero_point)
    found = run("host_mean", [x], [grid], grid)
    step, share = Fraction(scale_of(grid)), nearest_float32(Fraction(1, extents[0] * extents[1]))
    for n, c in itertools.product(range(2), range(2)):
        total = Fraction(0)
        for code in x[n, c].ravel().tolist():
            total = nearest_float32((code - zero_point) * step + total)
        place = nearest_float32(nearest_float32(total * share) / step)
        away = math.floor(abs(place) + Fraction(1, 2)) * (1 if place >= 0 else -1)
        assert found[n, c, 0, 0] == clip(away + zero_point, 0, 255)


@FEW
@given(seed=SEEDS, extents=st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_upsample_bilinear(seed: int, extents: tuple[int, int]) -> None:
    """Half-pixel centres: sample i lies at (i + 1/2) / 2 - 1/2; columns first, then rows, each rounded half up."""
    height, width = extents
    x, grid = codes(seed, (2, 2, *extents)), uint8(0.1, 0)
    found = run("upsample_bilinear", [x], [grid], grid)

    def sample(line: list[int], i: int) -> int:
        place = Fraction(2 * i + 1, 4) - Fraction(1, 2)
        left = math.floor(place)
        share = place - left
        ends = [line[min(max(k, 0), len(line) - 1)] for k in (left, left + 1)]
        return math.floor(ends[0] * (1 - share) + ends[1] * share + Fraction(1, 2))

    for n, c in itertools.product(range(2), range(2)):
        wide = [[sample(row, j) for j in range(2 * width)] for row in x[n, c].tolist()]
        columns = [[sample([row[j] for row in wide], i) for i in range(2 * height)] for j in range(2 * width)]
        assert found[n, c].T.tolist() == columns


@FEW
@given(seed=SEEDS, extents=st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_upsample_nearest(seed: int, extents: tuple[int, int]) -> None:
    x, grid = codes(seed, (2, 2, *extents)), uint8(0.1, 0)
    found = run("upsample_nearest", [x], [grid], grid)
    for index in np.ndindex(found.shape):
        n, c, row, column = index
        assert found[index] == x[n, c, row // 2, column // 2]


@FEW
@given(seed=SEEDS, order=st.permutations([2, 3, 5]))
def test_reshape_counts_in_nchw_order(seed: int, order: list[int]) -> None:
    x, grid = codes(seed, (1, *order)), uint8(0.1, 0)
    found = run("reshape", [x], [grid], grid, {"shape": (1, 30)})
    assert found.ravel().tolist() == x.ravel().tolist()


# --- convolution, linear -------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    seed=SEEDS,
    extents=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    zero_point=ZERO_POINTS,
    relu=st.booleans(),
    scale=SCALES,
)
def test_conv2d(
    seed: int,
    extents: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    per_group: tuple[int, int],
    zero_point: int,
    relu: bool,
    scale: float,
) -> None:
    spans = [e + 2 * p - d * (k - 1) - 1 for e, p, d, k in zip(extents, padding, dilation, kernel, strict=True)]
    if min(spans) < 0:
        return
    sizes = [span // step + 1 for span, step in zip(spans, stride, strict=True)]
    numbers = np.random.default_rng(seed)
    takes, makes = per_group
    x = codes(seed, (2, groups * takes, *extents))
    weight = numbers.choice([-128, 127, *range(-9, 10)], (groups * makes, takes, *kernel)).astype(np.int8)
    bias = numbers.integers(-(2**20), 2**20, groups * makes).astype(np.int32)
    weight_scale = numbers.uniform(0.001, 0.1, groups * makes).astype(np.float32)
    x_grid = uint8(0.05, zero_point)
    steps = x_grid.scale * weight_scale
    grids = [x_grid, QuantParams.int8_weight(weight_scale), QuantParams.int32(steps, axis=0)]
    attributes: dict[str, object] = {
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups
    }  # fmt: skip
    arrays = [x, weight, bias]
    accumulators = run(
        "conv2d", arrays, list(grids), QuantParams.int32(steps, axis=1), {**attributes, "relu": False}, 2, "int32"
    )
    out = uint8(scale * 10, zero_point)
    found = run("conv2d", arrays, list(grids), out, {**attributes, "relu": relu}, 2)
    assert found.shape == (2, groups * makes, *sizes)
    for n, o, row, column in np.ndindex(found.shape):
        total = int(bias[o])
        for k, i, j in itertools.product(range(takes), range(kernel[0]), range(kernel[1])):
            r = row * stride[0] - padding[0] + i * dilation[0]
            s = column * stride[1] - padding[1] + j * dilation[1]
            if 0 <= r < extents[0] and 0 <= s < extents[1]:
                total += int(weight[o, k, i, j]) * (int(x[n, o // makes * takes + k, r, s]) - zero_point)
        assert accumulators[n, o, row, column] == total
        code = move(total, float(steps[o]) / scale_of(out)) + zero_point
        assert found[n, o, row, column] == clip(code, zero_point if relu else 0, 255)


@FEW
@given(
    seed=SEEDS,
    features=st.integers(1, 40),
    zeros=st.tuples(ZERO_POINTS, ZERO_POINTS),
    relu=st.booleans(),
    scale=st.sampled_from([0.5, 2.0**-4, 1e-3, 30.0, 1e-7]),
)
def test_linear(seed: int, features: int, zeros: tuple[int, int], relu: bool, scale: float) -> None:
    """On the host: float32 product, float32 plus one half, floor."""
    numbers = np.random.default_rng(seed)
    x = codes(seed, (3, features))
    weight = numbers.integers(-128, 128, (4, features)).astype(np.int8)
    bias = numbers.integers(-(2**24), 2**24, 4).astype(np.int32)
    weight_scale = numbers.uniform(0.001, 0.1, 4).astype(np.float32)
    x_grid, out = uint8(2.0**-5, zeros[0]), uint8(scale, zeros[1])
    steps = x_grid.scale * weight_scale
    grids = [x_grid, QuantParams.int8_weight(weight_scale), QuantParams.int32(steps, axis=0)]
    found = run("linear", [x, weight, bias], list(grids), out, {"relu": relu}, 2)
    for n, o in np.ndindex(found.shape):
        acc = int(bias[o]) + sum(
            int(w) * (int(q) - zeros[0]) for w, q in zip(weight[o].tolist(), x[n].tolist(), strict=True)
        )
        ratio = np.float32(float(steps[o]) / scale_of(out))
        rounded = math.floor(np.float32(acc) * ratio + np.float32(0.5))
        assert found[n, o] == clip(rounded + zeros[1], zeros[1] if relu else 0, 255)


# --- what is ectoolkit's own ---------------------------------------------------------------------------------------

BITS = st.integers(4, 8)


def narrow(scale: float, zero_point: int, bits: int) -> QuantParams:
    """A grid of fewer bits."""
    return QuantParams(np.asarray(scale, np.float32), min(zero_point, 2**bits - 1), 0, 2**bits - 1)


@FEW
@given(seed=SEEDS, extents=st.tuples(st.integers(1, 9), st.integers(1, 9)), grids=st.tuples(SCALES, SCALES), bits=BITS)
def test_mean(seed: int, extents: tuple[int, int], grids: tuple[float, float], bits: int) -> None:
    x_grid, out = uint8(grids[0], 77), narrow(grids[1], 9, bits)
    x = codes(seed, (2, 3, *extents))
    found = run("mean", [x], [x_grid], out)
    assert found.shape == (2, 3, 1, 1)
    count = extents[0] * extents[1]
    for n, c in itertools.product(range(2), range(3)):
        total = sum(q - 77 for q in x[n, c].ravel().tolist())
        ratio = scale_of(x_grid) / (count * scale_of(out))
        assert found[n, c, 0, 0] == clip(move(total, ratio) + out.zero_point, 0, out.quant_max)


@FEW
@given(
    seed=SEEDS,
    shapes=st.sampled_from(
        [
            ((2, 3, 4, 5), (2, 3, 4, 5)),
            ((2, 3, 4, 5), (2, 3, 1, 1)),
            ((2, 3, 1, 1), (2, 3, 4, 5)),
            ((2, 1, 4, 5), (2, 3, 1, 5)),
            ((2, 6), (1, 6)),
        ]
    ),
    grids=st.tuples(st.tuples(SCALES, ZERO_POINTS), st.tuples(SCALES, ZERO_POINTS), st.tuples(SCALES, ZERO_POINTS)),
    bits=BITS,
)
def test_multiply(seed: int, shapes: tuple, grids: tuple, bits: int) -> None:
    a, b = codes(seed, shapes[0]), codes(seed + 1, shapes[1])
    a_grid, b_grid, out = uint8(*grids[0]), uint8(*grids[1]), narrow(*grids[2], bits)
    found = run("multiply", [a, b], [a_grid, b_grid], out)
    ratio = nearest_float32(
        nearest_float32(Fraction(scale_of(a_grid)) * Fraction(scale_of(b_grid))) / Fraction(scale_of(out))
    )
    left, right = np.broadcast_arrays(a, b)
    expected = []
    for p, q in zip(left.ravel().tolist(), right.ravel().tolist(), strict=True):
        total = nearest_float32((p - a_grid.zero_point) * (q - b_grid.zero_point) * ratio + out.zero_point)
        code = math.floor(nearest_float32(total + Fraction(1, 2)))
        expected.append(clip(code, 0, out.quant_max))
    assert found.ravel().tolist() == expected


@FEW
@given(
    seed=SEEDS,
    extents=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.integers(1, 2),
    per_group=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    zero_point=ZERO_POINTS,
    relu=st.booleans(),
    data=st.data(),
)
def test_conv_transpose2d(
    seed: int,
    extents: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    per_group: tuple[int, int],
    zero_point: int,
    relu: bool,
    data: st.DataObject,
) -> None:
    """Every input element adds its weights to the outputs it reaches: torch's own definition."""
    padding = tuple(data.draw(st.integers(0, d * (k - 1))) for d, k in zip(dilation, kernel, strict=True))
    more = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    sizes = [
        (e - 1) * s - 2 * p + d * (k - 1) + m + 1
        for e, s, p, d, k, m in zip(extents, stride, padding, dilation, kernel, more, strict=True)
    ]
    if min(sizes) < 1:
        return
    numbers, (takes, makes) = np.random.default_rng(seed), per_group
    weight = numbers.integers(-128, 128, (groups * takes, makes, *kernel)).astype(np.int8)
    x = codes(seed, (2, groups * takes, *extents))
    bias = numbers.integers(-(2**16), 2**16, groups * makes).astype(np.int32)
    weight_scale = numbers.uniform(0.001, 0.1, groups * makes).astype(np.float32)
    x_grid, out = uint8(0.05, zero_point), uint8(3.0, zero_point)
    steps = x_grid.scale * weight_scale
    grids = [x_grid, QuantParams.int8_weight(weight_scale), QuantParams.int32(steps, axis=0)]
    settings: dict[str, object] = {
        "stride": stride, "padding": padding, "output_padding": more, "dilation": dilation, "groups": groups,
        "relu": relu,
    }  # fmt: skip
    found = run("conv_transpose2d", [x, as_convolution(weight, groups), bias], list(grids), out, settings, 2)
    assert found.shape == (2, groups * makes, *sizes)
    sums = np.broadcast_to(bias.astype(object)[None, :, None, None], found.shape).copy()
    for n, k, r, s in np.ndindex(x.shape):
        for o, i, j in itertools.product(range(makes), range(kernel[0]), range(kernel[1])):
            row = r * stride[0] - padding[0] + i * dilation[0]
            column = s * stride[1] - padding[1] + j * dilation[1]
            if 0 <= row < sizes[0] and 0 <= column < sizes[1]:
                value = int(weight[k, o, i, j]) * (int(x[n, k, r, s]) - zero_point)
                sums[n, k // takes * makes + o, row, column] += value
    for index in np.ndindex(found.shape):
        code = move(int(sums[index]), float(steps[index[1]]) / scale_of(out)) + zero_point
        assert found[index] == clip(code, zero_point if relu else 0, 255)


@FEW
@given(seed=SEEDS, data=st.data())
def test_gather(seed: int, data: st.DataObject) -> None:
    shape, grid = (2, 3, 4, 5), uint8(0.1, 3)
    x = codes(seed, shape)
    axes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True))
    places = [data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=6)) for axis in axes]
    settings: dict[str, object] = {
        "axes": tuple(axes), "sizes": tuple(map(len, places)), "indices": tuple(i for along in places for i in along)
    }  # fmt: skip
    found = run("gather", [x], [grid], grid, settings)
    for index in np.ndindex(found.shape):
        source = list(index)
        for axis, along in zip(axes, places, strict=True):
            source[axis] = along[index[axis]]
        assert found[index] == x[tuple(source)]


@FEW
@given(seed=SEEDS, bits=BITS, zero_point=st.integers(0, 15), relu=st.booleans())
def test_fewer_bits_are_cut_at_their_end(seed: int, bits: int, zero_point: int, relu: bool) -> None:
    """The same sums on a grid of 8 bits, cut: whatever an operation makes stays within its own codes."""
    wide, few = uint8(0.02, zero_point), narrow(0.02, zero_point, bits)
    x, y = codes(seed, (1, 4, 3, 3)), codes(seed + 1, (1, 4, 3, 3))
    given_grids = [uint8(0.05, 100), uint8(0.03, 30)]
    last = 2**bits - 1
    for op, attributes in (("add", {"relu": relu}), ("concat", {"axis": 1}), ("multiply", {})):
        expected = np.minimum(run(op, [x, y], list(given_grids), wide, dict(attributes)), last)
        assert_array_equal(run(op, [x, y], list(given_grids), few, dict(attributes)), expected)
    numbers = np.random.default_rng(seed)
    weight = numbers.integers(-128, 128, (3, 4)).astype(np.int8)
    steps = given_grids[0].scale * np.full(3, 0.01, np.float32)
    grids = [given_grids[0], QuantParams.int8_weight(np.full(3, 0.01)), QuantParams.int32(steps, axis=0)]
    bias = np.zeros(3, np.int32)
    image = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": relu}
    for op, array, kernel, attributes in (
        ("linear", x[0, :, 0].T.copy(), weight, {"relu": relu}),
        ("conv2d", x, weight[:, :, None, None], image),
    ):
        found, reference = (run(op, [array, kernel, bias], list(grids), g, dict(attributes), 2) for g in (few, wide))
        assert_array_equal(found, np.minimum(reference, last))


@FEW
@given(seed=SEEDS, rank=st.integers(2, 4))
def test_linear_of_any_rank(seed: int, rank: int) -> None:
    shape = (2, 3, 4)[: rank - 1]
    x = codes(seed, (*shape, 5))
    weight = np.random.default_rng(seed).integers(-128, 128, (3, 5)).astype(np.int8)
    x_grid, out = uint8(0.05, 100), uint8(0.5, 99)
    steps = x_grid.scale * np.full(3, 0.01, np.float32)
    grids = [x_grid, QuantParams.int8_weight(np.full(3, 0.01)), QuantParams.int32(steps, axis=0)]
    arrays = [weight, np.array([5, -70, 900], np.int32)]
    found = run("linear", [x, *arrays], list(grids), out, {"relu": False}, 2)
    rows = run("linear", [x.reshape(-1, 5), *arrays], list(grids), out, {"relu": False}, 2)
    assert_array_equal(found, rows.reshape(*shape, 3))
