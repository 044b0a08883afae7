"""Convolutions and linear layers of the integer graph against brute force in Python integers."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from op_oracles import FEW, SCALES, SEEDS, ZERO_POINTS, clip, codes, move, run, scale_of, uint8

from ectoolkit.core.types import QuantParams


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
