"""The fast interpreter's parts against Python integers, and the whole against the definition on random graphs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit import interpreters
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import trace
from ectoolkit.core.ops.convolution import convolve, has_empty_windows
from ectoolkit.interpreters.fast.layouts import to_torch
from ectoolkit.interpreters.fast.rescale import Rescale
from ectoolkit.interpreters.fast.self_test import METHODS, exact_method, is_exact
from ectoolkit.interpreters.fast.sums import EXACT, Convolution, make_sums, parts_of
from ectoolkit.testing.strategies import graphs, inputs_of

SLOW = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**32 - 1)
EXACT_HERE = [method for method in METHODS if method == "float64" or is_exact(method)]


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
@settings(SLOW, max_examples=150)
@given(graph=graphs(max_layers=8, own=True, max_channels=33), seed=st.integers(0, 1000), batch=st.integers(1, 3))
def test_random_graphs_equal_the_definition_in_every_layer(graph: Graph, seed: int, batch: int) -> None:
    x = inputs_of(graph, seed, batch)
    expected, found = trace(graph, x), interpreters.trace(graph, x, engine="fast")
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert_array_equal(found[name], array, err_msg=name)
    for output, wanted in zip(interpreters.interpret(graph, x, engine="fast"), expected.outputs, strict=True):
        assert_array_equal(output, wanted)


@given(
    channels=st.lists(
        st.tuples(
            st.integers(2**25, 2**26) | st.sampled_from([2**25, 2**26]),
            st.integers(1, 62) | st.integers(30, 45),
            st.integers(1, 2**31 - 1) | st.sampled_from([1, 255, 2**20, 2**31 - 1]),
            st.integers(-(2**20), 2**20) | st.sampled_from([0, 2**31 - 1, -(2**31)]),
        ),
        min_size=1,
        max_size=4,
    ),
    zero_point=st.integers(0, 255),
    seed=SEEDS,
)
@example(channels=[(2**25, 62, 2**31 - 1, 0)], zero_point=255, seed=0)
@example(channels=[(2**26, 37, 2**27 - 2**20, 0), (2**26 - 1, 1, 2, 1)], zero_point=255, seed=0)
def test_rescale_against_python_integers(channels: list[tuple[int, int, int, int]], zero_point: int, seed: int) -> None:
    multiplier, shift, bound, offset = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    rescale = Rescale(multiplier, shift, bound=bound, offset=offset, zero_point=zero_point)
    numbers = np.random.default_rng(seed)
    acc = np.concatenate([-bound[None], bound[None], numbers.integers(-bound, bound + 1, (40, len(bound)))])
    # around the steps of the code, where a wrong form would show
    steps = ((numbers.integers(-260, 260, (40, len(bound))) * 2 - 1) * 2.0 ** (shift - 1) / multiplier).clip(
        -bound, bound
    )
    near = np.concatenate([np.ceil(steps), np.floor(steps)]).astype(np.int64)
    acc = np.concatenate([acc, near])
    whole = [
        [(int(a) * m + 2 ** (s - 1) >> s) + zero_point for a, (m, s, _, _) in zip(row, channels, strict=True)]
        for row in acc
    ]
    x = torch.from_numpy(acc - offset)
    for low, high in ((0, 255), (zero_point, 255), (0, 15)):
        found = rescale.codes(x, low, high).numpy()
        assert found.dtype == np.uint8
        assert_array_equal(found, np.array([[min(max(v, low), high) for v in row] for row in whole]))
    found = rescale.cut(x, -256, 255).numpy()
    assert_array_equal(found, np.array([[min(max(v, -256), 255) for v in row] for row in whole]))


@pytest.mark.parametrize(
    ("ratio", "bound", "form"),
    [
        (0.01, 2**24, "float64"),
        (1e-4, 2**26, "float64"),
        (1e-12, 2**26, "float64"),  # rounds to 0 whatever comes
        (2.0**-20, 2**31 - 1, "int64"),
        (300.0, 2**31 - 1, "int64"),
    ],
)
def test_forms_of_rescale(ratio: float, bound: int, form: str) -> None:
    assert Rescale(*arithmetic.requantize_multiplier(ratio), bound=bound, zero_point=100).form == form


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 1, 1, 2, 5, 10]),
    per_group=st.integers(1, 4),
    zero_point=st.sampled_from([0, 1, 128, 255]),
    wide=st.booleans(),
)
def test_sums_of_every_method(
    seed: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    per_group: int,
    zero_point: int,
    wide: bool,
) -> None:
    """The largest codes against the largest weights, so that sums come close to what is allowed, or beyond."""
    numbers = np.random.default_rng(seed)
    inputs = groups * (numbers.integers(1, 5) if not wide else 40000 // (kernel * kernel * groups * 10))
    weight = numbers.choice(
        [-128, 127, 1, 0], (groups * per_group, inputs // groups, kernel, kernel), p=[0.2, 0.6, 0.1, 0.1]
    )
    weight = weight.astype(np.int8)
    x = numbers.choice([0, 255, 254, 7], (2, inputs, 5, 6), p=[0.1, 0.7, 0.1, 0.1]).astype(np.uint8)
    two = ((stride, stride), (padding, padding), (dilation, dilation))
    convolution = Convolution(weight, zero_point, x.shape, *two, groups)
    expected = convolve(x.astype(np.float64) - zero_point, weight.astype(np.float64), *two, groups)
    assert (np.abs(expected).max(axis=(0, 2, 3)) <= convolution.bound).all()
    for method in EXACT_HERE:
        found = make_sums(convolution, method)[0](to_torch(x)).numpy()
        assert found.dtype in (np.float32, np.int32)
        assert_array_equal(found, expected, err_msg=method)


@given(seed=SEEDS, channels=st.integers(1, 900), kernel=st.integers(1, 3), zero_point=st.sampled_from([0, 128, 255]))
def test_parts_hold_their_sums_and_no_fewer_would(seed: int, channels: int, kernel: int, zero_point: int) -> None:
    weight = np.random.default_rng(seed).integers(-128, 128, (3, channels, kernel, kernel)).astype(np.int8)
    convolution = Convolution(weight, zero_point, (1, channels, 4, 4))
    parts = parts_of(convolution)
    assert parts is not None
    assert [c for part in parts for c in range(channels)[part]] == list(range(channels))
    bounds = [Convolution(weight[:, part], zero_point, (1, 1, 4, 4)).bound.max() for part in parts]
    assert max(bounds) <= EXACT
    for part, after in pairwise(parts):
        more = slice(part.start, after.start + 1)
        assert Convolution(weight[:, more], zero_point, (1, 1, 4, 4)).bound.max() > EXACT


@pytest.mark.parametrize("outputs", [25, 32])
def test_shapes_that_onednn_gets_wrong_are_noticed(outputs: int) -> None:
    """One input channel, a kernel as wide as the input and its stride: only the first row of results was right."""
    numbers = np.random.default_rng(1)
    weight = numbers.integers(-128, 128, (outputs, 1, 1, 3)).astype(np.int8)
    x = numbers.integers(0, 256, (2, 1, 4, 3)).astype(np.uint8)
    two = ((1, 3), (0, 0), (1, 1))
    convolution = Convolution(weight, 0, x.shape, *two)
    expected = convolve(x.astype(np.float64), weight.astype(np.float64), *two, 1)
    for method in EXACT_HERE:
        assert_array_equal(make_sums(convolution, method)[0](to_torch(x)).numpy(), expected, err_msg=method)


@pytest.mark.parametrize("zero_point", [0, 128])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("size", "kernel", "padding", "dilation"),
    [
        ((5, 6), (1, 1), (1, 2), (1, 1)),
        ((5, 6), (2, 2), (2, 2), (1, 1)),
        ((5, 6), (3, 1), (1, 1), (1, 1)),
        ((7, 2), (2, 2), (1, 1), (3, 3)),
        ((1, 5), (2, 1), (1, 0), (2, 1)),
    ],
)
def test_windows_of_padding_only(
    size: tuple[int, int],
    kernel: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    zero_point: int,
) -> None:
    """Beside the input, or with dilation on both sides of it."""
    assert has_empty_windows(size, kernel, (1, 1), padding, dilation)
    numbers = np.random.default_rng(0)
    weight = numbers.integers(-128, 128, (8, 16 // groups, *kernel)).astype(np.int8)
    x = numbers.integers(0, 256, (2, 16, *size)).astype(np.uint8)
    two = ((1, 1), padding, dilation)
    convolution = Convolution(weight, zero_point, x.shape, *two, groups)
    expected = convolve(x - np.float64(zero_point), weight.astype(np.float64), *two, groups)
    for method in EXACT_HERE:
        assert_array_equal(make_sums(convolution, method)[0](to_torch(x)).numpy(), expected, err_msg=method)


@given(
    extent=st.integers(1, 6),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 5),
)
def test_empty_windows(extent: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    """As a convolution of ones counts what each window sees."""
    assume(extent + 2 * padding > dilation * (kernel - 1))
    settings_of_rows = ((stride, 1), (padding, 0), (dilation, 1))
    seen = convolve(np.ones((1, 1, extent, 1)), np.ones((1, 1, kernel, 1)), *settings_of_rows, 1)
    assert has_empty_windows((extent, 1), (kernel, 1), *settings_of_rows) == (seen == 0).any()


def test_what_float32_cannot_hold_in_parts_is_summed_in_float64() -> None:
    large = Convolution(np.full((1, 1, 30, 30), 127, np.int8), 0, (1, 1, 30, 30))
    grouped = Convolution(np.full((2, 600, 1, 1), 127, np.int8), 0, (1, 1200, 2, 2), groups=2)
    for convolution in (large, grouped):
        sums, form = make_sums(convolution, exact_method())
        assert form == "float64"
        found = sums(torch.full(convolution.shape, 255, dtype=torch.uint8))
        assert found.dtype == torch.int32
        assert (found == 255 * 127 * int(np.prod(convolution.weight.shape[1:]))).all()
