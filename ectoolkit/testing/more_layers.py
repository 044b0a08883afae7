"""Random layers of ectoolkit's own operations."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import Layout
from ectoolkit.testing.draws import Draw, scale_of


def add(source: Draw, builder: GraphBuilder, kind: str, name: str, x: str) -> str:
    """Add a layer on the codes of `x`; returns its name."""
    kinds = {
        "enlarging": _enlarging,
        "gather": _gather,
        "island": _island,
        "lookup": _lookup,
        "mean": _mean,
        "multiply": _multiply,
        "transpose": _transpose,
    }
    return kinds[kind](source, builder, name, x)


def _enlarging(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    """A transposed convolution."""
    channels, rows, columns = builder.values[x].spec.shape[1:]
    stride = (source.integer(1, 2), source.integer(1, 3)) if rows * columns < 100 else (1, 1)
    kernel = (source.integer(1, 3), source.integer(1, 3))
    padding = tuple(source.integer(0, (k - 1) // 2) for k in kernel)
    more = tuple(source.integer(0, s - 1) for s in stride)
    settings = {"stride": stride, "padding": padding, "output_padding": more, "dilation": (1, 1), "groups": 1}
    weight = source.numbers.integers(-128, 128, (source.integer(1, 5), channels, *kernel)).astype(np.int8)
    scale = source.numbers.uniform(0.005, 0.02, len(weight)).astype(np.float32)
    quant = source.grid(scale_of(builder, x) * 100)
    attributes = {**settings, "relu": source.chance()}
    return builder.weighted("conv_transpose2d", name, x, weight, scale, None, quant, attributes)


def _gather(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    axis = source.integer(1, 3)
    places = source.draw(st.lists(st.integers(0, builder.values[x].spec.shape[axis] - 1), min_size=1, max_size=6))
    settings = {"axes": (axis,), "sizes": (len(places),), "indices": tuple(places)}
    return builder.node("gather", name, [x], builder.values[x].quant, settings)


def _lookup(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    quant = source.grid(scale_of(builder, x))
    table = source.numbers.integers(0, quant.quant_max + 1, 256).astype(np.uint8)
    inputs = [x, builder.constant(f"{name}.table", table, Layout.C, quant)]
    return builder.node("lookup", name, inputs, quant, {"function": "random", "parameters": ()})


def _mean(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    return builder.node("mean", name, [x], source.grid(scale_of(builder, x) / 2))


def _multiply(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    """By itself, by a value a channel, or by a row of its own."""
    other = x
    if source.chance():
        other = builder.node("mean", f"{name}.mean", [x], source.grid(scale_of(builder, x)))
    elif source.chance():
        settings = {"axis": 2, "begin": 0, "end": 1}
        other = builder.node("slice", f"{name}.row", [x], builder.values[x].quant, settings)
    operands = [x, other] if source.chance() else [other, x]
    return builder.node("multiply", name, operands, source.grid(scale_of(builder, x) ** 2 * 100))


def _transpose(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    order = tuple(source.draw(st.permutations((1, 2, 3))))
    return builder.node("transpose", name, [x], builder.values[x].quant, {"order": (0, *order)})


def _island(source: Draw, builder: GraphBuilder, name: str, x: str) -> str:
    """Real numbers between dequantize and quantize: a normalization, a move, a function."""
    scale, channels = scale_of(builder, x), builder.values[x].spec.shape[1]
    real = builder.node("dequantize", f"{name}:real", [x], None, dtype="float32")
    factors = [
        builder.constant(f"{name}.{part}", source.numbers.uniform(0.5, 2, channels).astype(np.float32), Layout.C, None)
        for part in ("weight", "bias")
    ]
    settings = {"groups": 1, "epsilon": 0.01}
    real = builder.node("float_group_norm", f"{name}.norm", [real, *factors], None, settings, dtype="float32")
    if source.chance():
        real = builder.node("transpose", f"{name}.moved", [real], None, {"order": (0, 1, 3, 2)}, dtype="float32")
    function = {"function": source.draw(st.sampled_from(("gelu", "tanh", "relu"))), "parameters": ()}
    real = builder.node("float_function", f"{name}.function", [real], None, function, dtype="float32")
    return builder.node("quantize", name, [real], source.grid(max(scale, 0.02)))
