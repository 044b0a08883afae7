"""What the TorchScript frontend makes of a traced model: names, grids, shapes, settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.ao import quantization as tq
from torch.ao.nn.quantized import FloatFunctional

from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.errors import InputError, QuantizationError
from ectoolkit.frontends.torchscript import import_torchscript
from ectoolkit.quantization.eager import quantize_eager

Trace = Callable[..., Any]


class Net(nn.Module):
    """Stem, residual block, pool, flatten, linear; one module used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.block = nn.ModuleDict({"conv": nn.Conv2d(8, 8, 3, padding=1, groups=8), "skip": FloatFunctional()})
        self.act, self.drop = nn.ReLU(), nn.Dropout()
        self.pool, self.gap, self.fc = nn.MaxPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(self.quant(x))
        x = self.act(self.block["skip"].add(self.block["conv"](x), x))
        x = self.act(self.pool(x))
        return self.dequant(self.fc(torch.flatten(self.drop(self.gap(x)), 1)))


SHAPE = (1, 3, 13, 15)


@pytest.fixture
def traced(trace: Trace) -> Any:
    return trace(Net(), torch.randn(SHAPE), fuse=[["stem.0", "stem.1"]])


def ops(graph: Graph) -> dict[str, str]:
    return {node.name: node.op for node in graph}


def test_layers_keep_their_names(traced: Any) -> None:
    assert ops(import_torchscript(traced, SHAPE)) == {
        "quant": "quantize",
        "stem.0": "conv2d",
        "block.conv": "conv2d",
        "block.skip": "add",
        "act": "relu",
        "pool": "max_pool2d",
        "act_2": "relu",
        "gap": "global_avg_pool",
        "flatten": "reshape",
        "fc": "linear",
        "dequant": "dequantize",
    }


def test_file_and_module_are_the_same(traced: Any, tmp_path: Path) -> None:
    path = tmp_path / "my_net.pt"
    traced.save(path)
    for given in (path, str(path)):
        graph = import_torchscript(given, SHAPE)
        assert graph.name == "my_net"
        assert graph.sha256 == import_torchscript(traced, SHAPE).sha256
    assert import_torchscript(traced, SHAPE).name == "Net"
    assert import_torchscript(traced, SHAPE, name="other").name == "other"


def test_origin(traced: Any, tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "net.pt"
    traced.save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert import_torchscript(path, SHAPE).origin == {"frontend": "torchscript", "model_sha256": digest}


def test_settings_and_grids(traced: Any) -> None:
    graph = import_torchscript(traced, SHAPE)
    stem = graph.node("stem.0")
    expected = {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "relu": True}
    assert dict(stem.attributes) == expected
    assert graph.node("block.conv").attributes["groups"] == 8
    assert dict(graph.node("pool").attributes) == {
        "kernel": (2, 2),
        "stride": (2, 2),
        "padding": (0, 0),
        "dilation": (1, 1),
        "ceil_mode": True,
    }
    layer = getattr(traced.stem, "0")
    weight, bias = torch.ops.quantized.conv2d_unpack(layer._packed_params)
    assert_array_equal(graph.constants["stem.0.weight"], weight.int_repr().numpy())
    grid = graph.values["stem.0.weight"].quant
    assert grid is not None
    assert_array_equal(grid.scale, weight.q_per_channel_scales().numpy().astype(np.float32))
    quant = graph.values["quant"].quant
    assert quant is not None
    steps = quant.scale * grid.scale
    quotient = bias.detach().numpy() / steps
    rounded = np.copysign(np.floor(np.abs(quotient) + np.float32(0.5)), quotient)
    assert_array_equal(graph.constants["stem.0.bias"], rounded.astype(np.int32))


def test_close_to_torch(traced: Any) -> None:
    """The rules differ by design (fused add, truncated average), by a few codes."""
    x = torch.randn(SHAPE)
    graph = import_torchscript(traced, SHAPE)
    scale = graph.values["fc"].quant
    assert scale is not None
    distance = np.abs(interpret(graph, x.numpy())[0] - traced(x).numpy()) / float(scale.scale)
    assert distance.max() <= 4


def test_other_batch_and_size(traced: Any) -> None:
    """The shape is the caller's, not the trace's."""
    graph = import_torchscript(traced, (2, 3, 20, 20))
    assert graph.values["stem.0"].spec.shape == (2, 8, 10, 10)
    assert interpret(graph, np.zeros((2, 3, 20, 20), np.float32))[0].shape == (2, 5)


@pytest.mark.parametrize("given", [np.array(SHAPE), torch.Size(SHAPE), list(SHAPE), [SHAPE]])
def test_ways_to_give_a_shape(traced: Any, given: Any) -> None:
    assert import_torchscript(traced, given).values["input0"].spec.shape == SHAPE


class One(nn.Module):
    """One layer, whatever it is, between the stubs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.quant, self.layer, self.dequant = tq.QuantStub(), layer, tq.DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.layer(self.quant(x)))


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 7, 1), nn.Sequential(nn.Flatten(), nn.Linear(48, 7))])
def test_per_tensor_weights_are_expanded(trace: Trace, layer: nn.Module) -> None:
    """qnnpack's default: EdgeCortix's compiler aborts on it."""
    config = tq.QConfig(activation=tq.default_observer, weight=tq.default_weight_observer)
    example = torch.randn(1, 3, 4, 4)
    graph = import_torchscript(trace(One(layer), example, config=config), example.shape)
    name = next(node.name for node in graph if node.op in ("conv2d", "linear"))
    grid = graph.values[f"{name}.weight"].quant
    assert grid is not None
    assert (grid.axis, grid.scale.shape, len(set(grid.scale.tolist()))) == (0, (7,), 1)
    bias = graph.values[f"{name}.bias"].quant
    assert bias is not None
    assert bias.scale.shape == (7,)


def test_a_convolution_without_bias(trace: Trace) -> None:
    example = torch.randn(1, 3, 4, 4)
    graph = import_torchscript(trace(One(nn.Conv2d(3, 7, 1, bias=False)), example), example.shape)
    assert graph.constants["layer.bias"].tolist() == [0] * 7


def test_unequal_settings(trace: Trace) -> None:
    layer = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    example = torch.randn(1, 4, 9, 8)
    graph = import_torchscript(trace(One(layer), example), example.shape)
    assert dict(graph.node("layer").attributes) == {
        "stride": (2, 1),
        "padding": (1, 0),
        "dilation": (1, 2),
        "groups": 2,
        "relu": False,
    }
    assert graph.values["layer"].spec.shape == (1, 6, 5, 6)


@pytest.mark.parametrize(
    ("mode", "given"),
    [("nearest", {"scale_factor": 2}), ("bilinear", {"scale_factor": 2.0}), ("bilinear", {"size": (8, 10)})],
)
def test_upsample(trace: Trace, mode: str, given: dict[str, Any]) -> None:
    settings = {} if mode == "nearest" else {"align_corners": False}
    example = torch.randn(1, 3, 4, 5)
    graph = import_torchscript(trace(One(nn.Upsample(mode=mode, **given, **settings)), example), example.shape)
    assert ops(graph)["layer"] == f"upsample_{mode}"
    assert graph.values["layer"].spec.shape == (1, 3, 8, 10)


class Joined(nn.Module):
    """Two inputs, a concatenation, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.dequant, self.join = (
            tq.QuantStub(),
            tq.QuantStub(),
            tq.DeQuantStub(),
            FloatFunctional(),
        )
        self.conv = nn.Conv2d(5, 2, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = self.join.cat([self.left(x), self.right(y)], -3)
        return self.dequant(self.conv(z)), self.dequant(z)


def test_several_inputs_and_outputs(trace: Trace) -> None:
    left, right = torch.randn(1, 3, 4, 4), torch.randn(1, 2, 4, 4)
    traced = trace(Joined(), (left, right))
    graph = import_torchscript(traced, [left.shape, right.shape])
    assert graph.inputs == ("input0", "input1")
    assert [graph.values[name].spec.shape for name in graph.outputs] == [(1, 2, 4, 4), (1, 5, 4, 4)]
    assert graph.node("join").attributes["axis"] == 1
    conv, joined = interpret(graph, [left.numpy(), right.numpy()])
    torch_conv, torch_joined = traced(left, right)
    assert np.abs(joined - torch_joined.numpy()).max() < 0.1
    assert np.abs(conv - torch_conv.numpy()).max() < 0.2
    with pytest.raises(InputError) as caught:
        import_torchscript(traced, left.shape)
    assert str(caught.value) == "Joined takes 2 input(s), got 1 input shape(s)"


class Reshaped(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(self.shape)


@pytest.mark.parametrize(("shape", "made"), [((1, -1), (1, 48)), ((2, 24), (2, 24)), ((1, 6, 2, -1), (1, 6, 2, 4))])
def test_reshape(trace: Trace, shape: tuple[int, ...], made: tuple[int, ...]) -> None:
    example = torch.randn(1, 3, 4, 4)
    graph = import_torchscript(trace(One(Reshaped(shape)), example), example.shape)
    assert graph.values[graph.outputs[0]].spec.shape == made
    assert_array_equal(
        interpret(graph, example.numpy())[0].ravel(), trace(One(Reshaped(shape)), example)(example).ravel()
    )


def test_weights_with_zero_points_are_refused(trace: Trace) -> None:
    weight = tq.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_affine)
    layer = nn.Conv2d(3, 2, 1)
    nn.init.uniform_(layer.weight, 1, 2)
    example = torch.randn(1, 3, 4, 4)
    traced = trace(One(layer), example, config=tq.QConfig(activation=tq.default_observer, weight=weight))
    with pytest.raises(QuantizationError) as caught:
        import_torchscript(traced, example.shape)
    assert str(caught.value) == "layer layer: its weights have zero points; use a symmetric weight observer"


class Head(nn.Module):
    """A convolution and a linear layer, with the reshape between them that is given."""

    def __init__(self, flat: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.quant, self.dequant, self.flat = tq.QuantStub(), tq.DeQuantStub(), flat
        self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.fc(self.flat(self.conv(self.quant(x)))))


@pytest.mark.parametrize(
    "flat",
    [
        lambda x: x.reshape(x.size(0), -1),
        lambda x: x.contiguous().view(x.shape[0], -1),
        lambda x: x.reshape(x.size(0), x.size(1) * x.size(2) * x.size(-1)),
        lambda x: x.reshape(-1, 4 * x.size(2) * x.size(3)),
    ],
    ids=["reshape", "view", "product", "number"],
)
def test_sizes_in_a_reshape(flat: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """The graph is torch.flatten's, whatever the batch."""
    images = np.random.default_rng(0).normal(size=(4, 3, 4, 4)).astype(np.float32)

    def quantized(flat: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        torch.manual_seed(0)
        return quantize_eager(Head(flat), images)

    found, expected = quantized(flat), quantized(lambda x: torch.flatten(x, 1))
    kinds = [(node.op, dict(node.attributes)) for node in expected.graph]
    assert [(node.op, dict(node.attributes)) for node in found.graph] == kinds
    assert_array_equal(interpret(found.graph, images)[0], interpret(expected.graph, images)[0])
    graph = import_torchscript(found.traced, images.shape)
    assert graph.values["fc"].spec.shape == (4, 5)


def test_adaptive_pool_to_its_own_size_is_the_identity(trace: Trace) -> None:
    example = torch.randn(1, 3, 7, 7)
    layer = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(7), nn.AdaptiveAvgPool2d((None, 7)))  # type: ignore[arg-type]
    graph = import_torchscript(trace(One(layer), example), example.shape)
    assert ops(graph) == {"quant": "quantize", "layer.0": "relu", "dequant": "dequantize"}
