"""Bias correction from statistics: the mean error of rounded weights is gone, and no image is run again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.quantization.config import DEFAULT_CORRECTIONS, QuantConfig
from ectoolkit.quantization.scheme import Scheme
from ectoolkit.quantization.simulation import Simulator

IMAGES = np.random.default_rng(0).uniform(0, 2, (8, 6, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_the_mean_error_of_a_layer_alone_is_gone(groups: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(6, 12, 3, groups=groups), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)
    )
    made = calibrate(net.eval(), IMAGES)
    plain = QuantConfig(method="minmax", weight_bits=3)
    alone = Calibrated(made.network, made.statistics)  # no images
    schemes = [alone.quantize(plain.tuned(corrections=given)).scheme for given in ((), ("expected_bias",))]
    floats: dict[str, torch.Tensor] = {}
    run_network(made.network, [torch.from_numpy(IMAGES)], lambda name, x: floats.update({name: x.clone()}))
    layer = next(layer for layer in made.network.layers if layer.op == "linear")
    means = []
    for scheme in schemes:
        grid = scheme[layer.name].grid
        assert grid is not None
        found = Simulator(made.network, scheme).run_alone(layer, [floats[layer.inputs[0]]])
        means.append(float((found - floats[layer.name]).mean(0).abs().max()) / float(grid.scale))
    assert means[0] > 1  # codes
    assert means[1] < 0.3  # what rounding of the few results leaves
    conv = made.network.layers[0]
    shift = schemes[1]["0"].bias - schemes[0]["0"].bias
    error = torch.from_numpy(conv.weight - schemes[0]["0"].weight.real)
    expected = torch.conv2d(torch.from_numpy(IMAGES), error, None, groups=groups).mean((0, 2, 3))
    assert np.abs(shift - expected.numpy()).max() < 0.1 * np.abs(shift).max()  # borders are seen less often


def test_layers_that_did_not_change_stay_the_same_objects() -> None:
    torch.manual_seed(0)
    made = calibrate(nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval(), IMAGES)
    config = QuantConfig()
    assert config.corrections is None
    assert config.all_corrections == DEFAULT_CORRECTIONS == ("expected_bias",)
    before = made.quantize(config).scheme
    after = made.quantize(config.tuned("2", weight_bits=4)).scheme
    assert after["0"] is before["0"]
    assert after["2"] is not before["2"]


def test_what_the_network_takes_and_returns_is_not_cut_unless_asked() -> None:
    torch.manual_seed(0)
    images = IMAGES.copy()
    images[0] *= 10
    made = calibrate(nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval(), images)
    (taken,), (returned,) = made.network.inputs, made.network.outputs
    config = QuantConfig(method="median")
    found, full = made.quantize(config).scheme, made.quantize(QuantConfig(method="minmax")).scheme
    asked = made.quantize(config.tuned(taken, method="median")).scheme

    def step(scheme: Scheme, name: str) -> float:
        grid = scheme[name].grid
        assert grid is not None
        return float(grid.scale)

    assert step(found, taken) == step(full, taken)
    assert step(found, returned) == step(full, returned)
    assert step(found, "0") < 0.5 * step(full, "0")
    assert step(asked, taken) < 0.5 * step(full, taken)
