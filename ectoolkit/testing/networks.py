"""Small fixed graphs."""

from __future__ import annotations

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.passes.residual_add import FuseResidualAdd

#: a convolution that keeps rows and columns, by the size of its kernel
_SAME = {1: (0, 0), 3: (1, 1)}


def convolution(
    builder: GraphBuilder, name: str, x: str, channels: int, kernel: int = 3, *, relu: bool = False, seed: int = 0
) -> str:
    """Add a convolution with random weights that keeps rows and columns; returns its name."""
    numbers = np.random.default_rng([seed, len(builder.values)])
    weight = numbers.integers(-128, 128, (channels, builder.values[x].spec.shape[1], kernel, kernel)).astype(np.int8)
    scale = numbers.uniform(0.002, 0.004, channels).astype(np.float32)
    bias = numbers.normal(0, 0.3, channels).astype(np.float32)
    attributes = {"stride": (1, 1), "padding": _SAME[kernel], "dilation": (1, 1), "groups": 1, "relu": relu}
    quant = QuantParams.uint8(0.02, 0 if relu else 120)
    return builder.weighted("conv2d", name, x, weight, scale, bias, quant, attributes)


def residual_builder(batch: int = 1) -> tuple[GraphBuilder, str]:
    """Stem, a residual block whose left operand is a convolution, pool, linear; not yet finished."""
    builder = GraphBuilder("residual")
    x = builder.node("quantize", "quant", [builder.input((batch, 3, 6, 5))], QuantParams.uint8(0.02, 128))
    stem = convolution(builder, "stem", x, 6, relu=True)
    block = convolution(builder, "block", stem, 6)
    added = builder.node("add", "add", [block, stem], QuantParams.uint8(0.03, 100), {"relu": False})
    quant = builder.values[added].quant
    pooled = builder.node("global_avg_pool", "pool", [added], quant)
    flat = builder.node("reshape", "flatten", [pooled], quant, {"shape": (batch, 6)})
    weight = np.random.default_rng(1).integers(-128, 128, (4, 6)).astype(np.int8)
    real = np.array([0.1, -0.2, 0, 0.3], np.float32)
    scores = QuantParams.uint8(0.02, 128)
    fc = builder.weighted("linear", "fc", flat, weight, np.full(4, 0.004, np.float32), real, scores, {"relu": False})
    return builder, builder.node("dequantize", "dequant", [fc], None, dtype="float32")


def residual_graph(batch: int = 1) -> Graph:
    """The network of `residual_builder` in hardware form: input ``(batch, 3, 6, 5)``, output ``(batch, 4)``."""
    builder, output = residual_builder(batch)
    return FuseResidualAdd()(builder.finish([output]))


def two_ended_graph() -> Graph:
    """Two inputs of different shapes, two outputs, one of them 4-D."""
    builder = GraphBuilder("two_ended")
    grid = QuantParams.uint8(0.02, 128)
    left = builder.node("quantize", "quant_left", [builder.input((1, 3, 4, 5), "left")], grid)
    right = builder.node("quantize", "quant_right", [builder.input((1, 2, 4, 5), "right")], grid)
    joined = builder.node("concat", "join", [left, right], QuantParams.uint8(0.03, 120), {"axis": 1})
    image = convolution(builder, "conv", joined, 3, relu=True)
    pooled = builder.node("global_avg_pool", "pool", [image], builder.values[image].quant)
    flat = builder.node("reshape", "flatten", [pooled], builder.values[image].quant, {"shape": (1, 3)})
    outputs = [
        builder.node("dequantize", name, [value], None, dtype="float32")
        for name, value in (("image", image), ("scores", flat))
    ]
    return builder.finish(outputs)


def island_graph() -> Graph:
    """Codes, an island in float, codes again, and a float output; a 4-D and a 2-D input, outputs likewise."""
    builder = GraphBuilder("island")
    image = builder.node("quantize", "quant", [builder.input((1, 3, 4, 5), "image")], QuantParams.uint8(0.02, 128))
    block = convolution(builder, "conv", image, 6)
    real = builder.node("dequantize", "conv:real", [block], None, dtype="float32")
    ones = np.ones(6, np.float32)
    factors = [builder.constant(name, ones * i, Layout.C, None) for i, name in ((2, "norm.weight"), (0.5, "norm.bias"))]
    settings = {"groups": 2, "epsilon": 1e-5}
    norm = builder.node("float_group_norm", "norm", [real, *factors], None, settings, dtype="float32")
    scores = builder.node("float_softmax", "scores", [norm], None, {"axis": 1, "log": False}, dtype="float32")
    codes = builder.node("quantize", "norm:codes", [norm], QuantParams.uint8(0.03, 110))
    gate = builder.node("quantize", "gate", [builder.input((1, 6), "vector")], QuantParams.uint8(0.02, 100))
    gate = builder.node("reshape", "gate:rank", [gate], builder.values[gate].quant, {"shape": (1, 6, 1, 1)})
    product = builder.node("multiply", "gated", [codes, gate], QuantParams(np.asarray(0.1, np.float32), 30, 0, 63))
    pooled = builder.node("mean", "mean", [product], QuantParams.uint8(0.05, 100))
    flat = builder.node("reshape", "flatten", [pooled], builder.values[pooled].quant, {"shape": (1, 6)})
    return builder.finish([scores, builder.node("dequantize", "dequant", [flat], None, dtype="float32")])


def example_input(graph: Graph, seed: int = 0, batch: int = 1) -> dict[str, np.ndarray]:
    """Normal numbers for each input, `batch` runs' worth."""
    numbers = np.random.default_rng(seed)
    shapes = {name: graph.values[name].spec.shape for name in graph.inputs}
    return {name: numbers.normal(size=(batch * n, *rest)).astype(np.float32) for name, (n, *rest) in shapes.items()}
