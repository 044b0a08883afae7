"""Adds and concatenations of the integer graph against brute force in Python integers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from op_oracles import FEW, LIMITS, SCALES, SEEDS, ZERO_POINTS, clip, codes, move, run, scale_of, uint8

from ectoolkit.core.types import QuantParams


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
