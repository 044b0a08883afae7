"""precise_add: one rounding, half up, of the exact sum to within the few bits kept below a code."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ectoolkit as ect
from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops.precise_add import FRACTION, LIMIT, PreciseAdd
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.passes.precise_add import PreciseAdds
from ectoolkit.testing.networks import convolution

SHAPE = (2, 3, 2, 4)


def multiplier(ratio: Fraction) -> Fraction:
    """A ratio as the arithmetic has it: 26 bits of it."""
    mantissa, exponent = math.frexp(float(ratio))
    return Fraction(round(Fraction(mantissa) * 2**26)) / Fraction(2) ** (26 - exponent)


def oracle(terms: list[tuple[int, float]], out_scale: float, zero_point: int, low: int, high: int) -> int:
    """`terms`: integers with their zero points taken off, and their scales."""
    total = 0
    for number, scale in terms:
        exact = number * multiplier(Fraction(scale / out_scale) * 2**FRACTION)
        total += min(max(math.floor(exact + Fraction(1, 2)), -LIMIT), LIMIT)
    return min(max(math.floor(Fraction(total, 2**FRACTION) + Fraction(1, 2)) + zero_point, low), high)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("raw", [(False, False), (True, False), (True, True)])
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    out_scale=st.sampled_from([0.01, 0.3, 2.0**-5]),
    zero_point=st.sampled_from([0, 3, 128, 255]),
    bits=st.sampled_from([8, 4]),
)
def test_against_fractions(
    raw: tuple[bool, bool], relu: bool, seed: int, out_scale: float, zero_point: int, bits: int
) -> None:
    numbers = np.random.default_rng(seed)
    out = QuantParams(np.float32(out_scale), min(zero_point, 2**bits - 1), 0, 2**bits - 1)
    arrays, values = [], []
    for place, accumulator in enumerate(raw):
        if accumulator:
            array = np.clip(numbers.normal(0, 10.0 ** numbers.integers(2, 9), SHAPE), -(2**31), 2**31 - 1)
            array = array.astype(np.int32)
            quant = QuantParams.int32(numbers.uniform(1e-6, 1e-3, SHAPE[1]).astype(np.float32), axis=1)
        else:
            array = numbers.integers(0, 256, SHAPE).astype(np.uint8)
            quant = QuantParams.uint8(numbers.uniform(1e-3, 1), int(numbers.integers(0, 256)))
        arrays.append(array)
        values.append(Value(f"v{place}", TensorSpec(SHAPE, array.dtype.name, Layout.NCHW), quant))
    node = Node("add", "precise_add", ("v0", "v1"), {"relu": relu})
    output = Value("add", TensorSpec(SHAPE, "uint8", Layout.NCHW), out)
    found = PreciseAdd().evaluate(node, values, output, arrays)
    low = out.zero_point if relu else 0
    for index in itertools.product(*map(range, SHAPE)):
        terms = []
        for value, array in zip(values, arrays, strict=True):
            assert value.quant is not None
            scale = value.quant.scale if value.quant.axis is None else value.quant.scale[index[1]]
            terms.append((int(array[index]) - value.quant.zero_point, float(scale)))
        assert found[index] == oracle(terms, float(out.scale), out.zero_point, low, out.quant_max)


def added(left_relu: bool) -> Graph:
    builder = GraphBuilder("net")
    grid = QuantParams.uint8(np.float32(0.02), 128)
    x = builder.node("quantize", "quant", [builder.input((1, 3, 5, 5))], grid)
    left = convolution(builder, "left", x, 5, relu=left_relu)
    right = convolution(builder, "right", x, 5, relu=False)
    total = builder.node("add", "add", [left, right], QuantParams.uint8(np.float32(0.03), 90), {"relu": True})
    return builder.finish([builder.node("dequantize", "dequant", [total], None, dtype="float32")])


@pytest.mark.parametrize("relu", [False, True])
def test_raw_sums_are_taken_and_no_relu_is_lost(relu: bool, tmp_path: Path) -> None:
    graph = PreciseAdds()(added(relu))
    assert graph.node("add").op == "precise_add"
    assert graph.values["right"].spec.dtype == "int32"
    assert graph.values["left"].spec.dtype == ("uint8" if relu else "int32")
    assert graph.node("left").attributes["relu"] == relu
    x = np.random.default_rng(0).standard_normal((3, 3, 5, 5)).astype(np.float32)
    deployment = ect.build(graph, tmp_path / "deploy", reference_input=x[:1])
    with ect.open_device("cpu") as device:
        assert ect.compare(device.run(deployment, x).outputs, ect.interpret(graph, x))
