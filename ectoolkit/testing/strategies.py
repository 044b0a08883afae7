"""Random graphs that keep every law, for property tests: ``@given(graphs())``.

Needs hypothesis.  Weights and grids are drawn from a seed rather than element by element, so that shrinking works on
the structure of the network.
"""

from __future__ import annotations

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.errors import QuantizationError
from ectoolkit.passes.precise_add import PreciseAdds
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.testing import more_layers
from ectoolkit.testing.draws import Draw, scale_of

#: operations that `graphs` draws from, by how often
BODY = (
    "conv",
    "conv",
    "depthwise",
    "grouped",
    "add",
    "add",
    "add",
    "concat",
    "relu",
    "max_pool",
    "bilinear",
    "nearest",
)
#: operations of ectoolkit's own, beyond the accelerator's
MORE = ("enlarging", "gather", "island", "lookup", "mean", "multiply", "transpose")


@st.composite
def graphs(draw: st.DrawFn, max_layers: int = 5, max_channels: int = 19, own: bool = False) -> Graph:
    """Graphs in hardware form: a quantized input, up to `max_layers` random layers, sometimes a linear head.

    Args:
        draw: hypothesis.
        max_layers: in the body.
        max_channels: of any tensor that a convolution makes.
        own: whether ectoolkit's own operations take part, islands in float and the precise form of adds.
    """
    source = Draw(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    builder = GraphBuilder("random")
    shape = (source.integer(1, 3), source.integer(1, 5), source.integer(1, 9), source.integer(1, 9))
    x = builder.node("quantize", "quantize", [builder.input(shape)], source.grid(0.02))
    made = [x]
    for number in range(source.integer(1, max_layers)):
        kind = draw(st.sampled_from((*BODY, *MORE) if own else BODY))
        made.append(_layer(source, builder, kind, f"{kind}{number}", draw(st.sampled_from(made)), made, max_channels))
    ends = [made[-1]]
    if source.chance():
        ends = [_head(source, builder, made[-1])]
    if len(made) > 2 and source.chance():
        ends.append(made[len(made) // 2])
    outputs = [builder.node("dequantize", f"out{i}", [end], None, dtype="float32") for i, end in enumerate(ends)]
    try:
        graph = builder.finish(outputs)
        precise = own and draw(st.sampled_from((True, True, False)))
        return PreciseAdds()(graph) if precise else FuseResidualAdd()(graph)
    except QuantizationError:  # scales so far apart that no multiplier stands for their ratio
        reject()


def inputs_of(graph: Graph, seed: int, batch: int = 1) -> np.ndarray:
    """An input that reaches all codes, ties between two codes and both saturations included.

    Args:
        graph: with one input.
        seed: of the numbers.
        batch: how many runs' worth.
    """
    numbers = np.random.default_rng(seed)
    shape = graph.values[graph.inputs[0]].spec.shape
    first = next(node for node in graph.nodes if node.op == "quantize")
    quant = graph.values[first.name].quant
    assert quant is not None
    # half steps are ties wherever the scale's reciprocal is exact, and near-ties elsewhere
    steps = numbers.integers(-600, 600, (batch * shape[0], *shape[1:])).astype(np.float32) / np.float32(2)
    return (steps * quant.scale).astype(np.float32)


def _layer(
    source: Draw, builder: GraphBuilder, kind: str, name: str, x: str, made: list[str], max_channels: int
) -> str:
    if kind in ("conv", "depthwise", "grouped"):
        return _convolution(source, builder, kind, name, x, max_channels)
    if kind in ("add", "concat"):
        return _joined(source, builder, kind, name, x, made)
    if kind in MORE:
        return more_layers.add(source, builder, kind, name, x)
    quant = builder.values[x].quant
    if kind == "max_pool":
        return builder.node("max_pool2d", name, [x], quant, _pool_settings(source, builder, x))
    large = builder.values[x].spec.size > 4000
    op = "relu" if kind == "relu" or large else f"upsample_{kind}"
    return builder.node(op, name, [x], quant)


def _kernel(source: Draw, extent: int) -> tuple[int, int, int, int]:
    """Kernel, stride, padding, dilation along one axis, such that the result has at least one element."""
    kernel, stride = source.integer(1, 4), source.integer(1, 3)
    padding = source.integer(0, kernel // 2)
    dilation = source.integer(1, 2)
    if dilation * (kernel - 1) + 1 > extent + 2 * padding:
        return 1, stride, 0, 1
    return kernel, stride, padding, dilation


def _settings(source: Draw, builder: GraphBuilder, x: str) -> dict[str, tuple[int, int]]:
    _, _, height, width = builder.values[x].spec.shape
    rows, columns = _kernel(source, height), _kernel(source, width)
    names = ("kernel", "stride", "padding", "dilation")
    return {name: (rows[i], columns[i]) for i, name in enumerate(names)}


def _pool_settings(source: Draw, builder: GraphBuilder, x: str) -> dict[str, object]:
    return {**_settings(source, builder, x), "ceil_mode": source.chance()}


def _convolution(
    source: Draw, builder: GraphBuilder, kind: str, name: str, x: str, max_channels: int, relu: bool | None = None
) -> str:
    channels = builder.values[x].spec.shape[1]
    groups = channels if kind == "depthwise" else 1
    if kind == "grouped":
        groups = next(g for g in (2, 3, 5, 1) if channels % g == 0)
    factor = source.integer(1, 3) if kind == "grouped" else 1
    out = channels if kind == "depthwise" else groups * factor if kind == "grouped" else source.integer(1, max_channels)
    settings = _settings(source, builder, x)
    kernel = settings.pop("kernel")
    relu = source.chance() if relu is None else relu
    attributes = {**settings, "groups": groups, "relu": relu}
    return _weighted(source, builder, "conv2d", name, x, (out, channels // groups, *kernel), attributes)


def _weighted(
    source: Draw,
    builder: GraphBuilder,
    op: str,
    name: str,
    x: str,
    shape: tuple[int, ...],
    attributes: dict[str, object],
) -> str:
    """Random weights, all int8 codes or the largest; scales from fitting to far off: outputs saturate or vanish."""
    numbers = source.numbers
    codes = numbers.choice([-128, 127], shape) if source.draw(st.sampled_from((False, False, True))) else None
    weight = (numbers.integers(-128, 128, shape) if codes is None else codes).astype(np.int8)
    fan_in = int(np.prod(shape[1:]))
    weight_scale = (numbers.uniform(0.5, 2, shape[0]) * 0.01).astype(np.float32)
    # sums have about 128 · 74 · sqrt(fan in) steps of input scale × weight scale; 100 codes should hold them
    fitting = scale_of(builder, x) * 0.01 * 128 * 74 * fan_in**0.5 / 100
    off = source.draw(st.sampled_from((1.0, 1.0, 1.0, 1.0, 1e-3, 300.0, 1e-5, 1e4)))
    bias = numbers.normal(0, 20 * fitting, shape[0]).astype(np.float32) if source.chance() else None
    return builder.weighted(op, name, x, weight, weight_scale, bias, source.grid(fitting * off), attributes)


def _joined(source: Draw, builder: GraphBuilder, kind: str, name: str, x: str, made: list[str]) -> str:
    """An add or concat of `x` with a convolution of `x` or with any tensor of its shape."""
    shape = builder.values[x].spec.shape
    same = [other for other in made if builder.values[other].spec.shape == shape]
    other = source.draw(st.sampled_from(same)) if source.chance() else None
    if other is None:
        attributes = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": False}
        weight = (shape[1], shape[1], 1, 1)
        other = _weighted(source, builder, "conv2d", f"{name}.conv", x, weight, attributes)
    operands = [x, other] if source.chance() else [other, x]
    quant = source.grid(scale_of(builder, x) * 2)
    if kind == "add":
        return builder.node("add", name, operands, quant, {"relu": source.chance()})
    if source.chance():
        operands.append(x)
    return builder.node("concat", name, operands, quant, {"axis": source.draw(st.sampled_from((1, 1, 2, 3)))})


def _head(source: Draw, builder: GraphBuilder, x: str) -> str:
    """Pool, flatten, linear."""
    quant = builder.values[x].quant
    if source.chance():
        x = builder.node("global_avg_pool", "pool", [x], quant)
    n, *rest = builder.values[x].spec.shape
    features = int(np.prod(rest))
    x = builder.node("reshape", "flatten", [x], quant, {"shape": (n, features)})
    shape = (source.integer(1, 20), features)
    return _weighted(source, builder, "linear", "fc", x, shape, {"relu": source.chance()})
