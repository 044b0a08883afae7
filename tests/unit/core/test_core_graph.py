"""Graph, GraphBuilder and the values that describe tensors."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from ectoolkit.core.arithmetic import bias_scale, quantize_bias
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops import OPS
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.testing.networks import residual_builder, residual_graph

GRID = QuantParams.uint8(np.float32(0.5), 3)


def test_layout_of_activations() -> None:
    assert [Layout.of_activation(rank) for rank in (4, 2, 3, 1)] == [Layout.NCHW, Layout.NC, Layout.ANY, Layout.ANY]


def test_tensor_spec() -> None:
    spec = TensorSpec((1, 3, 224, 224), "uint8", Layout.NCHW)
    assert (str(spec), spec.size) == ("uint8 1×3×224×224 NCHW", 150528)
    with pytest.raises(FrozenInstanceError):
        spec.dtype = "int8"  # type: ignore[misc]


def test_quant_params() -> None:
    weights = QuantParams.int8_weight(np.array([0.5, 0.25]))
    assert (weights.bit_width, weights.per_channel, weights.scale.dtype) == (8, True, np.float32)
    assert (GRID.bit_width, GRID.per_channel) == (8, False)
    assert QuantParams(np.float32(1), 0, 0, 127).bit_width == 7
    assert repr(GRID) == "QuantParams(scale=0.5, zero_point=3, 0..255)"
    assert repr(weights) == "QuantParams(scale=<2 along axis 0>, zero_point=0, -128..127)"
    with pytest.raises(ValueError, match="read-only"):
        weights.scale[0] = 1


def test_quant_params_are_equal_by_content() -> None:
    same = QuantParams.uint8(np.float32(0.5), 3)
    assert (same == GRID, hash(GRID) == hash(same)) == (True, True)
    for other in (QuantParams.uint8(np.float32(0.25), 3), QuantParams.uint8(np.float32(0.5), 4), "no grid"):
        assert other != GRID


def test_nodes_and_constants_cannot_be_changed() -> None:
    graph = residual_graph()
    with pytest.raises(TypeError):
        graph.node("stem").attributes["relu"] = False  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        graph.constants["stem.bias"][0] = 1


def test_graph_tells_who_uses_what() -> None:
    graph = residual_graph()
    assert graph.users["stem"] == ("block", "add")
    assert graph.users["dequant"] == ("<output>",)
    assert graph.users["block.weight"] == ("block",)
    assert graph.producer("stem") is graph.node("stem")
    assert graph.producer("input0") is None
    assert graph.producer("stem.weight") is None
    assert graph.activations(graph.node("block")) == ["stem"]
    assert len(graph) == len(list(graph)) == 8
    assert repr(graph) == "Graph('residual', 8 nodes, 6 constants)"


def test_hash_is_of_what_decides_the_result() -> None:
    graph = residual_graph()
    assert graph.sha256 == residual_graph().sha256
    assert graph.replace(name="other", origin={"frontend": "none"}).sha256 == graph.sha256
    constants = {**graph.constants, "stem.bias": graph.constants["stem.bias"] + 1}
    assert graph.replace(constants=constants).sha256 != graph.sha256
    assert graph.replace(constants=constants).quantization_sha256 == graph.quantization_sha256
    nodes = tuple(Node(n.name, n.op, n.inputs, {**n.attributes, "relu": True}) if n.op == "add" else n for n in graph)
    assert graph.replace(nodes=nodes).sha256 != graph.sha256


def test_builder_keeps_names_unique() -> None:
    builder = GraphBuilder("m")
    x = builder.node("quantize", "q", [builder.input((1, 2))], GRID)
    assert [builder.node("relu", "act", [x], GRID) for _ in range(3)] == ["act", "act_2", "act_3"]
    weight = np.ones((2, 2), np.int8)
    for expected in ("fc", "fc_2"):
        assert builder.weighted("linear", "fc", x, weight, np.float32(1), None, GRID, {"relu": False}) == expected
        assert {f"{expected}.weight", f"{expected}.bias"} <= set(builder.values)


def test_builder_names_inputs() -> None:
    builder = GraphBuilder("m")
    assert [builder.input((1, 2)), builder.input((1, 2), "image"), builder.input((1, 2))] == [
        "input0",
        "image",
        "input2",
    ]


def test_builder_quantizes_the_bias() -> None:
    builder = GraphBuilder("m")
    x = builder.node("quantize", "q", [builder.input((1, 2))], GRID)
    weight, scale = np.array([[1, -1], [2, 3], [0, 0]], np.int8), np.array([0.1, 0.2, 0.3], np.float32)
    bias = np.array([1.7, -1.7, 0], np.float32)
    name = builder.weighted("linear", "fc", x, weight, scale, bias, GRID, {"relu": False})
    graph = builder.finish([builder.node("dequantize", "d", [name], None, dtype="float32")], {"frontend": "test"})
    steps = bias_scale(np.float32(0.5), scale)
    assert graph.constants["fc.bias"].tolist() == quantize_bias(bias, steps).tolist() == [34, -17, 0]
    assert graph.values["fc.bias"].quant == QuantParams.int32(steps, axis=0)
    assert graph.values["fc.weight"].quant == QuantParams.int8_weight(scale)
    assert graph.values["fc"].spec == TensorSpec((1, 3), "uint8", Layout.NC)
    assert graph.origin == {"frontend": "test"}


def test_builder_expands_one_weight_scale() -> None:
    builder = GraphBuilder("m")
    x = builder.node("quantize", "q", [builder.input((1, 2))], GRID)
    builder.weighted("linear", "fc", x, np.ones((3, 2), np.int8), np.float32(0.1), None, GRID, {"relu": False})
    assert builder.values["fc.weight"].quant == QuantParams.int8_weight(np.full(3, 0.1, np.float32))


def test_macs() -> None:
    graph = residual_graph(2)

    def macs(name: str) -> int:
        node = graph.node(name)
        return OPS[node.op].macs(node, [graph.values[i] for i in node.inputs], graph.values[name])

    assert macs("stem") == 2 * 6 * 6 * 5 * 3 * 9
    assert macs("fc") == 2 * 4 * 6
    assert macs("add") == 0


def test_finish_verifies_and_copies() -> None:
    builder, output = residual_builder()
    graph = builder.finish([output])
    builder.node("relu", "late", ["stem"], builder.values["stem"].quant)
    assert isinstance(graph, Graph)
    assert "late" not in graph.values
