"""pad, slice, transpose, lookup, multiply: against oracles in Python integers, and compiled."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.errors import VerificationError

SHAPE = (2, 6, 5, 7)
GRID = QuantParams.uint8(0.03, 100)


def one_layer(op: str, attributes: dict, quant: QuantParams = GRID, shape: tuple[int, ...] = SHAPE) -> ect.Graph:
    builder = GraphBuilder(op)
    x = builder.node("quantize", "quant", [builder.input(shape)], GRID)
    y = builder.node(op, op, [x], quant, attributes)
    return builder.finish([builder.node("dequantize", "dequant", [y], None, dtype="float32")])


@pytest.fixture
def x() -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(SHAPE) * 3).astype(np.float32)


@pytest.mark.parametrize(
    ("op", "attributes", "oracle"),
    [
        ("pad", {"amounts": (1, 0, 2, 3)}, lambda q: np.pad(q, ((0, 0), (0, 0), (1, 0), (2, 3)), constant_values=100)),
        ("slice", {"axis": 1, "begin": 2, "end": 5}, lambda q: q[:, 2:5]),
        ("slice", {"axis": 3, "begin": 0, "end": 1}, lambda q: q[..., :1]),
        ("transpose", {"order": (0, 2, 3, 1)}, lambda q: q.transpose(0, 2, 3, 1)),
        ("reshape", {"shape": (2, 2, 3, 5, 7)}, lambda q: q.reshape(2, 2, 3, 5, 7)),
    ],
)
@pytest.mark.parametrize("isa", ["avx2", "generic"])
def test_moved_codes(op: str, attributes: dict, oracle, isa: str, x: np.ndarray, tmp_path: Path) -> None:
    graph = one_layer(op, attributes)
    trace = ect.interpret(graph, x, trace=True)
    np.testing.assert_array_equal(trace[op], oracle(trace["quant"]))
    deployment = ect.build(graph, tmp_path / "deploy", reference_input=x, isa=isa)
    with ect.open_device("cpu") as device:
        np.testing.assert_array_equal(device.run(deployment).outputs[0], trace.outputs[0])


def products(each: bool) -> ect.Graph:
    builder = GraphBuilder("product")
    x = builder.node("quantize", "quant", [builder.input(SHAPE)], GRID)
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    name = builder.constant("table", table, Layout.C, QuantParams.uint8(0.05, 10))
    looked = builder.node("lookup", "lookup", [x, name], QuantParams.uint8(0.05, 10), {"function": "mirror"})
    other = looked if each else builder.node("global_avg_pool", "pool", [looked], QuantParams.uint8(0.05, 10))
    y = builder.node("multiply", "product", [x, other], QuantParams.uint8(0.11, 77))
    return builder.finish([builder.node("dequantize", "dequant", [y], None, dtype="float32")])


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_multiply_rounds_half_up(each: bool, layout: str, x: np.ndarray, tmp_path: Path) -> None:
    graph = products(each)
    trace = ect.interpret(graph, x, trace=True)
    np.testing.assert_array_equal(trace["lookup"], 255 - trace["quant"])
    left = trace["quant"].astype(int) - 100
    right = np.broadcast_to(trace["lookup" if each else "pool"].astype(int) - 10, SHAPE)
    scales = [Fraction(float(np.float32(s))) for s in (0.03, 0.05, 0.11)]
    ratio = scales[0] * scales[1] / scales[2]
    for index in np.ndindex(2, 6, 2, 3):
        exact = int(left[index]) * int(right[index]) * ratio
        # each float32 step is within 2**-24 of exact, so only a near-tie may differ from exact rounding
        nearest = (exact + Fraction(1, 2)).__floor__()
        if abs(exact + Fraction(1, 2) - nearest) > Fraction(1, 1000):
            assert trace["product"][index] == min(max(nearest + 77, 0), 255)
    deployment = ect.build(graph, tmp_path / "deploy", reference_input=x, layout=layout)
    with ect.open_device("cpu") as device:
        np.testing.assert_array_equal(device.run(deployment).outputs[0], trace.outputs[0])


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("pad", {"amounts": (1, -1, 0, 0)}, "layer pad (pad): amounts is (1, -1, 0, 0), expected four numbers from 0"),
        (
            "slice",
            {"axis": 1, "begin": 2, "end": 9},
            "layer slice (slice): 2:9 along axis 1 does not lie inside (2, 6, 5, 7)",
        ),
        (
            "transpose",
            {"order": (0, 1, 1, 2)},
            "layer transpose (transpose): order (0, 1, 1, 2) does not permute the axes of (2, 6, 5, 7)",
        ),
    ],
)
def test_refused(op: str, attributes: dict, message: str) -> None:
    with pytest.raises(VerificationError) as error:
        one_layer(op, attributes)
    assert str(error.value) == message


def test_grid_must_stay() -> None:
    with pytest.raises(VerificationError, match="must share scale and zero point"):
        one_layer("slice", {"axis": 1, "begin": 0, "end": 1}, QuantParams.uint8(0.5, 0))
