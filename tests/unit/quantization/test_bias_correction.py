"""Bias correction: each channel's mean is the float network's, whatever the layers before did to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.errors import Cancelled
from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.frontends.exported.execution import last_uses
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import LayerConfig, QuantConfig
from ectoolkit.quantization.corrections import correct_bias
from ectoolkit.quantization.corrections.bias import float_means
from ectoolkit.quantization.derivation import Deriver
from ectoolkit.quantization.scheme import Scheme
from ectoolkit.quantization.simulation import Simulator

IMAGES = np.random.default_rng(0).uniform(0, 2, (8, 3, 12, 12)).astype(np.float32)
EACH = [(image[None],) for image in IMAGES]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3, bias=False), nn.ReLU6()
        self.depthwise, self.project = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(x))
        x = self.project(torch.relu(self.depthwise(x))) + x[:, :, 1:-1, 1:-1]
        return self.head(self.pool(x).flatten(1))


@pytest.fixture(scope="module")
def network() -> FloatNetwork:
    torch.manual_seed(0)
    return capture(Net().eval(), [(1, 3, 12, 12)])


def scheme_of(network: FloatNetwork, **settings: object) -> Scheme:
    config = QuantConfig(method="minmax").tuned(**settings)
    return Deriver(network, Collector(network).run(IMAGES)).derive(config)


def simulated_means(network: FloatNetwork, scheme: Scheme) -> dict[str, np.ndarray]:
    """Mean of each channel of each layer over IMAGES, quantized up to its grid."""
    simulator, freed = Simulator(network, scheme), last_uses(network)
    values = {name: simulator.input(name, torch.from_numpy(IMAGES)) for name in network.inputs}
    means = {}
    for layer in network.layers:
        values[layer.name] = simulator.run(layer, [values[name] for name in layer.inputs])
        if layer.weight is not None:
            means[layer.name] = values[layer.name].transpose(0, 1).flatten(1).double().mean(1).numpy()
        for name in freed[layer.name]:
            del values[name]
    return means


@pytest.mark.parametrize("hardware", ["", "dna"])
def test_means_are_the_float_networks(network: FloatNetwork, hardware: str) -> None:
    scheme = scheme_of(network, weight_bits=4, hardware=hardware)
    corrected = correct_bias(network, scheme, EACH)
    target = float_means(network, EACH)
    before, after = simulated_means(network, scheme), simulated_means(network, corrected)
    for name, mean in target.items():
        grid = scheme[name].grid
        assert grid is not None
        assert np.abs(after[name] - mean).max() < max(0.25 * np.abs(before[name] - mean).max(), float(grid.scale)), name


def test_outputs_come_closer(network: FloatNetwork) -> None:
    torch.manual_seed(0)
    calibrated = calibrate(Net().eval(), IMAGES)
    found = {}
    for corrections in ((), ("bias",)):
        model = calibrated.quantize(ect.QuantConfig(method="minmax", weight_bits=4, corrections=corrections))
        found[corrections] = sqnr_db(model.float_outputs(IMAGES)[0], ect.interpret(model.graph, IMAGES)[0])
    assert found["bias",] > found[()] + 3


def test_only_biases_change(network: FloatNetwork) -> None:
    scheme = scheme_of(network, weight_bits=4)
    corrected = correct_bias(network, scheme, EACH)
    for name, layer in scheme.layers.items():
        found = corrected[name]
        assert (found.grid, found.weight, found.keep_float) == (layer.grid, layer.weight, layer.keep_float)
        if layer.weight is None:
            assert found is layer
        else:
            assert found.bias is not None
            assert found.bias.dtype == np.float32
    assert scheme["stem"].bias is None  # the given scheme stays as it was


def test_a_float_layer_keeps_its_bias(network: FloatNetwork) -> None:
    config = QuantConfig(method="minmax", layers={"project": LayerConfig(keep_float=True)})
    scheme = Deriver(network, Collector(network).run(IMAGES)).derive(config)
    assert correct_bias(network, scheme, EACH)["project"] is scheme["project"]


def test_progress_and_cancel(network: FloatNetwork) -> None:
    scheme, seen = scheme_of(network), []
    correct_bias(network, scheme, EACH, lambda done, total, text: seen.append((done, total, text)))
    assert [done for done, _, _ in seen] == list(range(1, len(EACH) + len(network.layers) + 1))
    assert {total for _, total, _ in seen} == {len(EACH) + len(network.layers)}
    assert (seen[0][2], seen[-1][2]) == ("image 1", "head")

    def stop(done: int, total: int, text: str) -> None:
        if text == "depthwise":
            raise Cancelled("stopped")

    before = dict(scheme.layers)
    with pytest.raises(Cancelled):
        correct_bias(network, scheme, EACH, stop)
    assert all(scheme[name] is layer for name, layer in before.items())


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(2, 4, 1)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.b(y)

    draw = np.random.default_rng(1)
    pairs = [tuple(draw.standard_normal((1, c, 4, 4)).astype(np.float32) for c in (3, 2)) for _ in range(4)]
    calibrated = calibrate(Two().eval(), pairs)
    plain = calibrated.quantize(ect.QuantConfig(weight_bits=4)).scheme
    found = calibrated.quantize(ect.QuantConfig(weight_bits=4, corrections=("bias",))).scheme
    assert not np.array_equal(found["b"].bias, plain["b"].bias)
    assert replace(found["b"], bias=None).grid == plain["b"].grid
