"""Operations that EdgeCortix's arithmetic does not have, against brute force in Python integers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from op_oracles import FEW, SCALES, SEEDS, ZERO_POINTS, clip, codes, move, nearest_float32, run, scale_of, uint8

from ectoolkit.core.ops.conv_transpose import as_convolution
from ectoolkit.core.types import QuantParams

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
