"""The full text of what the verifier says of operations that are ectoolkit's own, on codes and on real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.errors import VerificationError

SHAPE = (1, 6, 4, 5)
GRID = QuantParams.uint8(0.1, 10)
CONVOLUTION = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
UP = {**CONVOLUTION, "output_padding": (0, 0), "relu": False}


def build(op: str, shapes: list[tuple[int, ...]], settings: dict[str, Any], real: bool) -> None:
    """One operation on an input and on constants of these shapes."""
    builder = GraphBuilder("net")
    x = builder.input(shapes[0])
    x = x if real else builder.node("quantize", "quant", [x], GRID)
    names = [builder.constant(f"c{i}", np.ones(s, np.float32), Layout.ANY, None) for i, s in enumerate(shapes[1:])]
    if not real:
        names = [builder.constant(f"q{i}", np.ones(s, np.uint8), Layout.ANY, GRID) for i, s in enumerate(shapes[1:])]
    quant, dtype = (None, "float32") if real else (GRID, "uint8")
    y = builder.node(op, "layer", [x, *names], quant, settings, dtype=dtype)
    builder.finish([y if real else builder.node("dequantize", "out", [y], None, dtype="float32")])


REAL = [
    ("float_add", [SHAPE, (7,)], {}, "operands of (1, 6, 4, 5) and (7,) do not fit: axes must be equal or 1"),
    ("float_function", [SHAPE], {"function": "sinh", "parameters": ()}, "there is no function 'sinh'; known: abs, "),
    ("float_function", [SHAPE], {"function": "plus", "parameters": ()}, "parameters is (), expected 1 finite numbers"),
    ("float_function", [SHAPE], {"function": "plus", "parameters": (np.inf,)},
     "parameters is (inf,), expected 1 finite numbers"),
    ("float_prelu", [SHAPE, (5,)], {}, "slopes (5,) do not fit (1, 6, 4, 5), one a channel"),
    ("float_layer_norm", [SHAPE, (4,), (4,)], {"epsilon": 0.1},
     "weight (4,) and bias (4,) do not fit the last axes of (1, 6, 4, 5)"),
    ("float_layer_norm", [SHAPE, (5,), (5,)], {"epsilon": "small"}, "epsilon is 'small', expected a number"),
    ("float_group_norm", [SHAPE, (6,), (6,)], {"groups": 4, "epsilon": 0.1},
     "weight (6,), bias (6,) and 4 groups do not fit the channels of (1, 6, 4, 5)"),
    ("float_softmax", [SHAPE], {"axis": 4, "log": False}, "axis is 4, expected 0..3"),
    ("float_matmul", [SHAPE, (4, 5)], {}, "matrices of (1, 6, 4, 5) and (4, 5) cannot be multiplied"),
    ("float_linear", [SHAPE, (3, 4), (3,)], {}, "weight (3, 4) and bias (3,) do not fit input (1, 6, 4, 5)"),
    ("float_attention", [SHAPE, (1, 6, 3, 4), (1, 6, 3, 5)], {"scale": 1.0},
     "query (1, 6, 4, 5), key (1, 6, 3, 4) and value (1, 6, 3, 5) do not fit"),
    ("float_mean", [SHAPE], {"axes": (2, 2), "keep": True}, "axes are (2, 2), expected some of 0..3, each once"),
    ("float_mean", [SHAPE], {"axes": (0, 1, 2, 3), "keep": False}, "would leave no axis; keep them, or leave one out"),
    ("float_resample", [SHAPE, (8, 4), (8, 4)], {},
     "weights (8, 4) of rows and (8, 4) of columns do not fit (1, 6, 4, 5)"),
    ("float_conv2d", [SHAPE, (3, 6, 1, 1), (2,)], CONVOLUTION, "bias (2,) does not fit 3 output channels"),
]  # fmt: skip

CODES = [
    ("multiply", [SHAPE, (1, 5, 1, 1)], {},
     "operands of (1, 6, 4, 5) and (1, 5, 1, 1) do not fit: axes must be equal, or 1 in one of them"),
    ("mean", [(1, 1, 3000, 3000)], {}, "the sum over 3000×3000 codes can leave int32; pool the image before"),
    ("gather", [SHAPE], {"axes": (4,), "sizes": (1,), "indices": (0,)},
     "axes (4,) with sizes (1,) do not fit (1, 6, 4, 5)"),
    ("gather", [SHAPE], {"axes": (1,), "sizes": (2,), "indices": (0,)}, "sizes (2,) do not divide 1 indices"),
    ("gather", [SHAPE], {"axes": (1,), "sizes": (1,), "indices": (6,)}, "indices 6..6 leave axis 1, 0..5"),
    ("conv_transpose2d", [SHAPE, (3, 5, 1, 1), (3,)], UP,
     "weight (3, 5, 1, 1) with 1 groups does not fit 6 input channels"),
    ("conv_transpose2d", [SHAPE, (3, 6, 1, 1), (3,)], {**UP, "padding": (1, 0)},
     "padding (1, 0) is more than its kernel (1, 1) reaches; expected at most (0, 0)"),
    ("conv_transpose2d", [SHAPE, (3, 6, 1, 1), (3,)], {**UP, "output_padding": (0, -1)},
     "output_padding is (0, -1), expected two numbers from 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "shapes", "settings", "expected", "real"),
    [(*case, real) for real, cases in ((True, REAL), (False, CODES)) for case in cases],
)
def test_refused(op: str, shapes: list[tuple[int, ...]], settings: dict[str, Any], expected: str, real: bool) -> None:
    with pytest.raises(VerificationError) as caught:
        build(op, shapes, settings, real)
    found = str(caught.value)
    if expected.endswith("known: abs, "):
        found = found[: len(f"layer layer ({op}): {expected}")]
    assert found == f"layer layer ({op}): {expected}"


def test_a_table_beyond_its_grid() -> None:
    builder = GraphBuilder("net")
    few = QuantParams(np.asarray(0.1, np.float32), 3, 0, 15)
    x = builder.node("quantize", "quant", [builder.input(SHAPE)], GRID)
    table = builder.constant("table", np.arange(256, dtype=np.uint8), Layout.C, QuantParams.uint8(0.1, 3))
    y = builder.node("lookup", "layer", [x, table], few, {"function": "odd"})
    with pytest.raises(VerificationError) as caught:
        builder.finish([builder.node("dequantize", "out", [y], None, dtype="float32")])
    assert str(caught.value) == "layer layer (lookup): its table holds 0..255, expected 0..15"


def test_two_dtypes() -> None:
    builder = GraphBuilder("net")
    source = builder.input(SHAPE)
    x = builder.node("quantize", "quant", [source], GRID)
    y = builder.node("concat", "layer", [x, source], GRID, {"axis": 1})
    with pytest.raises(VerificationError) as caught:
        builder.finish([builder.node("dequantize", "out", [y], None, dtype="float32")])
    assert str(caught.value) == "layer layer (concat): joins tensors of one dtype, got float32, uint8"
    builder = GraphBuilder("net")
    y = builder.node("reshape", "layer", [builder.input(SHAPE)], GRID, {"shape": (1, 120)})
    with pytest.raises(VerificationError) as caught:
        builder.finish([builder.node("dequantize", "out", [y], None, dtype="float32")])
    assert str(caught.value) == "layer layer (reshape): input0 and layer must have one dtype, got float32 and uint8"


def test_weights_of_resampling_are_constants() -> None:
    builder = GraphBuilder("net")
    rows = builder.input((8, 4))
    columns = builder.constant("columns", np.ones((9, 5), np.float32), Layout.ANY, None)
    y = builder.node("float_resample", "layer", [builder.input(SHAPE), rows, columns], None, dtype="float32")
    with pytest.raises(VerificationError) as caught:
        builder.finish([y])
    assert str(caught.value) == (
        "layer layer (float_resample): the weights of rows and columns must be constants of the graph"
    )
