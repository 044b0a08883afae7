"""Pools, resizing and moves, whose codes stay on their grid, against brute force in Python integers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from op_oracles import FEW, SCALES, SEEDS, ZERO_POINTS, clip, codes, nearest_float32, run, scale_of, uint8


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
