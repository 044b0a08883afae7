"""Any exportable module to an integer graph: close to float, equal when compiled, layers named as in the module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.data import ImageSet
from ectoolkit.errors import Cancelled, InputError, UnsupportedOpError
from ectoolkit.frontends.exported import known_operations
from ectoolkit.quantization.calibrated import Calibrated, calibrate

IMAGES = np.random.default_rng(1).standard_normal((6, 3, 16, 16)).astype(np.float32)


class Squeeze(nn.Module):
    """Squeeze and excitation, as in MobileNetV3 and EfficientNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(gate))))


class Everything(nn.Module):
    """One of each: batch norm folded and unfused, ReLU6, pad, depthwise, residual, shuffle, pools, activations."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Hardswish())
        self.project = nn.Conv2d(16, 16, 1)
        self.norm = nn.BatchNorm2d(16)
        self.squeeze = Squeeze(16)
        self.pool, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.act = nn.SiLU()
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(self.pad(x))
        x = self.project(self.depthwise(x)) + x
        x = self.squeeze(torch.relu(self.norm(x)))
        left, right = x.chunk(2, 1)
        shuffled = torch.cat([right, left], 1).view(1, 2, 8, 8, 8).transpose(1, 2).reshape(1, 16, 8, 8)
        both = torch.cat([self.pool(shuffled), self.act(self.mean(x))], 1)
        return self.head(both.mean((2, 3))), nn.functional.interpolate(both, scale_factor=2)


@pytest.fixture(scope="module")
def everything() -> nn.Module:
    torch.manual_seed(0)
    net = Everything()
    with torch.no_grad():
        for _ in range(3):
            net.stem(net.pad(torch.randn(8, 3, 16, 16)))
        net.norm.running_mean += 0.1
    return net.eval()


def test_close_to_float_and_equal_when_compiled(everything: nn.Module, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in everything.state_dict().items()}
    model = calibrate(everything, IMAGES).quantize(ect.QuantConfig(method="minmax"))
    assert all(torch.equal(before[name], value) for name, value in everything.state_dict().items())
    with torch.no_grad():
        expected = [
            np.concatenate(parts)
            for parts in zip(*([y.numpy() for y in everything(torch.from_numpy(x[None]))] for x in IMAGES), strict=True)
        ]
    for found, reference in zip(model.float_outputs(IMAGES), expected, strict=True):
        np.testing.assert_allclose(found, reference, atol=1e-4)
    outputs = ect.interpret(model.graph, IMAGES)
    assert all(sqnr_db(reference, found) > 20 for reference, found in zip(expected, outputs, strict=True))
    deployment = ect.build(model.graph, tmp_path / "deploy", reference_input=IMAGES[:1])
    with ect.open_device("cpu") as device:
        assert ect.compare(device.run(deployment, IMAGES).outputs, outputs)


def test_layers_keep_their_names_and_batch_norm_is_gone(everything: nn.Module) -> None:
    graph = calibrate(everything, IMAGES).quantize().graph
    ops = {node.name: node.op for node in graph}
    assert ops["stem.0"] == "conv2d"
    assert "stem.1" not in ops
    assert "stem.2" not in ops  # ReLU6 is the end of stem.0's range
    assert (ops["depthwise.1"], ops["norm"], ops["head"]) == ("lookup", "conv2d", "linear")
    assert ops["squeeze.mul"] == "multiply"
    assert graph.node("stem.0").attributes["relu"]
    quant = graph.values["stem.0"].quant
    assert quant is not None
    assert float(quant.scale) * 255 <= 6.001


def test_float_layers_match_the_graph(everything: nn.Module) -> None:
    model = calibrate(everything, IMAGES).quantize(ect.QuantConfig(method="minmax"))
    _, layers = model.float_layers(IMAGES[:2], [node.name for node in model.graph])
    trace = ect.interpret(model.graph, IMAGES[:2], trace=True)
    assert {"stem.0", "depthwise.1", "head"} <= set(layers)
    for name, reference in layers.items():
        assert sqnr_db(reference, trace.real(name).reshape(reference.shape)) > 15, name


def test_quantize_takes_this_door_without_stubs(everything: nn.Module) -> None:
    graph = ect.quantize(everything, IMAGES)
    assert graph.origin["frontend"] == "torch.export"
    assert graph.sha256 == ect.quantize(everything, IMAGES).sha256


def test_unknown_operation_names_layer_and_remedy() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.cumsum(1)

    with pytest.raises(UnsupportedOpError) as error:
        calibrate(Odd(), IMAGES)
    known = known_operations()
    assert {"conv2d", "sum"} <= set(known)
    assert str(error.value) == (
        "layer cumsum: cumsum has no integer definition here. What to do: replace the layer by one of those known, "
        f"or split the model there and keep this part in float. Near by name: sum. All {len(known)} that are known: "
        "ectoolkit.frontends.exported.known_operations()"
    )


def test_wrong_images_and_cancel(everything: nn.Module) -> None:
    with pytest.raises(InputError, match=r"Everything does not run on inputs of shape \[\(1, 4, 16, 16\)\]"):
        calibrate(everything, np.zeros((2, 4, 16, 16), np.float32))
    with pytest.raises(InputError, match=r"was captured for images of shape \(3, 16, 16\), got \(3, 16, 20\)"):
        calibrate(everything, [IMAGES[:1], np.zeros((1, 3, 16, 20), np.float32)])

    def stop(done: int, total: int, label: str) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        calibrate(everything, IMAGES, progress=stop)


@pytest.mark.slow
def test_efficientnet_lite0_with_real_weights(lite0: Calibrated, lite0_photos: ImageSet) -> None:
    quantized = lite0.quantize(ect.QuantConfig(method="minmax"))
    images = lite0_photos[:8].batch()
    reference, found = quantized.float_outputs(images)[0], ect.interpret(quantized.graph, images)[0]
    assert sqnr_db(reference, found) > 15
    assert (reference.argmax(axis=1) == found.argmax(axis=1)).mean() >= 7 / 8


@pytest.mark.slow
def test_corrections_bring_efficientnet_lite0_nearer(lite0: Calibrated, lite0_photos: ImageSet) -> None:
    images = lite0_photos[:8].batch()
    settings = (ect.QuantConfig(corrections=()), ect.QuantConfig(), ect.QuantConfig.accurate())
    models = [lite0.quantize(config) for config in settings]
    reference = models[0].float_outputs(images)[0]
    plain, default, accurate = (sqnr_db(reference, ect.interpret(model.graph, images)[0]) for model in models)
    assert default > plain + 2
    assert accurate > default - 0.2
    assert accurate > 21
