"""Equalization: the same function, ranges of like size, and ceilings that stay where they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.analysis import measure, measure_impact
from ectoolkit.analysis.rerunning import output_after
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.corrections import equalize, level
from ectoolkit.quantization.corrections.equalization import ROOM
from ectoolkit.quantization.corrections.groups import find_groups
from ectoolkit.quantization.corrections.levelling import RARE
from ectoolkit.quantization.statistics import Statistics

IMAGES = np.random.default_rng(0).standard_normal((6, 3, 12, 12)).astype(np.float32)


class Chain(nn.Module):
    """Convolution, depthwise, residual, grouped, pools, flatten: all that a factor can pass."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3), activation()
        self.depthwise, self.act2 = nn.Conv2d(8, 8, 3, padding=1, groups=8), activation()
        self.project, self.pool = nn.Conv2d(8, 8, 1), nn.MaxPool2d(2)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.last, self.head = nn.Conv2d(8, 4, 1, bias=False), nn.Linear(4 * 25, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.project(self.act2(self.depthwise(self.act(self.stem(x))))))
        x = self.grouped(x) + x
        return self.head(torch.relu(self.last(torch.relu(x))).flatten(1))


def uneven(net: nn.Module) -> nn.Module:
    """Some channels' weights a hundred times as large as others', and what reads them as much smaller."""
    draw = np.random.default_rng(1)
    with torch.no_grad():
        for first, second in ((net.stem, net.depthwise), (net.depthwise, net.project)):
            factors = torch.from_numpy(np.exp(draw.uniform(-2.3, 2.3, 8)).astype(np.float32))
            first.weight *= factors[:, None, None, None]
            first.bias *= factors
            second.weight /= factors[:, None, None, None] if second.groups > 1 else factors[None, :, None, None]
    return net.eval()


def prepared(net: nn.Module, images: np.ndarray = IMAGES) -> tuple[FloatNetwork, Statistics]:
    network = capture(net, [(1, *images.shape[1:])])
    return network, Collector(network).run(images)


def outputs(network: FloatNetwork, images: np.ndarray = IMAGES) -> np.ndarray:
    return run_network(network, [torch.from_numpy(images)])[0].numpy()


@pytest.fixture
def chain() -> nn.Module:
    torch.manual_seed(0)
    return uneven(Chain())


def test_groups_are_those_that_factors_can_pass(chain: nn.Module) -> None:
    groups = find_groups(capture(chain, [(1, 3, 12, 12)]))
    ends = [([x.name for x in group.producers], [x.name for x in group.consumers]) for group in groups]
    assert ends == [
        (["stem"], ["depthwise"]),
        (["depthwise"], ["project"]),
        (["project", "grouped"], ["grouped", "last"]),  # a residual sum has one scale
        (["last"], ["head"]),  # through the flatten
    ]


def test_the_function_stays_and_ranges_come_together(chain: nn.Module) -> None:
    network, statistics = prepared(chain)
    equal = equalize(network, statistics)
    np.testing.assert_allclose(outputs(equal), outputs(network), rtol=1e-3, atol=1e-4)
    assert equal.sha256 != network.sha256
    assert [layer.name for layer in equal.layers] == [layer.name for layer in network.layers]
    for before, after in zip(network.layers, equal.layers, strict=True):
        if before.name in ("stem", "depthwise"):
            assert _spread(after.weight) < _spread(before.weight) / 2, before.name


def _spread(weight: np.ndarray | None) -> float:
    assert weight is not None
    rows = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    return float(rows.max() / rows.min())


def test_weights_of_one_scale_lose_less(chain: nn.Module) -> None:
    calibrated = calibrate(chain, IMAGES)
    reference = outputs(calibrated.network)
    found = {}
    for corrections in ((), ("equalization",)):
        config = ect.QuantConfig(method="minmax", weights="per_tensor", corrections=corrections)
        found[corrections] = sqnr_db(reference, ect.interpret(calibrated.quantize(config).graph, IMAGES)[0])
    assert found["equalization",] > found[()] + 10


def test_a_channel_at_the_ceiling_keeps_its_scale() -> None:
    torch.manual_seed(0)
    net = uneven(Chain(nn.ReLU6))
    images = 3 * IMAGES
    network, statistics = prepared(net, images)
    equal = equalize(network, statistics)
    highest = statistics.tensors["stem"].channel_maximum
    ratio = _first(equal, "stem") / _first(network, "stem")
    held = highest * ROOM >= 6
    assert 0 < held.sum() < len(held)
    np.testing.assert_allclose(ratio[held], 1, rtol=1e-6)
    assert (ratio[~held] > 1.5).any()
    assert (highest[~held] * ratio[~held] <= 6 / ROOM * 1.001)[ratio[~held] > 1].all()
    assert [layer.ceiling for layer in equal.layers] == [layer.ceiling for layer in network.layers]
    np.testing.assert_allclose(outputs(equal, images), outputs(network, images), rtol=1e-3, atol=1e-4)


def _first(network: FloatNetwork, name: str) -> np.ndarray:
    """Size of each channel's rows."""
    weight = next(layer.weight for layer in network.layers if layer.name == name)
    assert weight is not None
    return np.abs(weight).reshape(len(weight), -1).max(axis=1)


def test_a_dead_channel_is_left_alone(chain: nn.Module) -> None:
    with torch.no_grad():
        chain.stem.weight[2] = 0
        chain.stem.bias[2] = -1
        chain.depthwise.weight[5] = 0
    network, statistics = prepared(chain)
    equal = equalize(network, statistics)
    for layer in equal.layers:
        assert layer.weight is None or np.isfinite(layer.weight).all()
    np.testing.assert_allclose(outputs(equal), outputs(network), rtol=1e-3, atol=1e-4)


class Blocked(nn.Module):
    """Nothing here can be rescaled: a sigmoid, a concatenation, and what the module returns."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.sigmoid(self.a(x))
        y = self.b(x)
        return y, self.c(torch.cat([x, y], 1))


def test_what_cannot_be_rescaled_is_not() -> None:
    network, statistics = prepared(Blocked().eval())
    assert find_groups(network) == []
    assert equalize(network, statistics).sha256 == network.sha256


class Gated(nn.Module):
    """Squeeze and excitation: the gate has its own scale, what it multiplies passes on its factor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.gate, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.b(nn.functional.leaky_relu(self.a(x) * gate))


def test_a_factor_passes_a_gate() -> None:
    torch.manual_seed(0)
    network, statistics = prepared(Gated().eval())
    assert [[x.name for x in group.producers] for group in find_groups(network)] == [["a"]]
    equal = equalize(network, statistics)
    assert equal.sha256 != network.sha256
    np.testing.assert_allclose(outputs(equal), outputs(network), rtol=1e-4, atol=1e-5)


def test_statistics_are_left_as_they_were(chain: nn.Module) -> None:
    network, statistics = prepared(chain)
    weights = [None if layer.weight is None else layer.weight.copy() for layer in network.layers]
    equalize(network, statistics)
    for before, layer in zip(weights, network.layers, strict=True):
        assert before is None or np.array_equal(before, layer.weight)
    assert statistics.network_sha256 == replace(network).sha256


def test_the_reference_stays_the_users_own() -> None:
    torch.manual_seed(0)
    calibrated = calibrate(uneven(Chain(nn.ReLU6)), IMAGES)
    plain = calibrated.quantize()
    equalized = calibrated.quantize(ect.QuantConfig(corrections=("equalization",)))
    far = 9 * IMAGES  # where ceilings of the equalized network have no more room
    assert not np.array_equal(outputs(plain.network, far), outputs(equalized.network, far))
    for images in (IMAGES, far):
        np.testing.assert_array_equal(equalized.float_outputs(images)[0], plain.float_outputs(images)[0])
    measurement = measure(equalized, far, limit=None)
    reference = plain.float_outputs(far)[0]
    np.testing.assert_allclose(measurement.float_scores, reference, rtol=1e-5, atol=1e-5)
    expected = sqnr_db(reference, measurement.simulated_scores)
    assert measurement.output_sqnr_db == pytest.approx(expected, rel=1e-4)
    config = ect.QuantConfig(corrections=("equalization",)).tuned("head", weight_bits=4)
    changed = calibrated.quantize(config)
    assert output_after(measurement, changed) == pytest.approx(measurement.update(changed).output_sqnr_db, rel=1e-9)
    assert len(measure_impact(equalized, measurement.floats.one(3)).floats) == 1


def test_a_scale_a_channel_is_levelled_otherwise(chain: nn.Module) -> None:
    network, statistics = prepared(chain)
    levelled = level(network, statistics)
    np.testing.assert_allclose(outputs(levelled), outputs(network), rtol=1e-3, atol=1e-4)
    after = Collector(levelled).run(IMAGES)
    sizes = [one.tensors["depthwise"].channel_typical for one in (statistics, after)]
    assert sizes[1].max() / sizes[1].min() < sizes[0].max() / sizes[0].min() / 2
    calibrated = calibrate(chain, IMAGES)
    found = []
    for corrections in ((), ("equalization",)):
        config = ect.QuantConfig(method="minmax", corrections=corrections)
        found.append(sqnr_db(outputs(network), ect.interpret(calibrated.quantize(config).graph, IMAGES)[0]))
    assert found[1] > found[0] + 3


def test_levelling_keeps_to_ceilings_and_leaves_rare_channels_alone() -> None:
    torch.manual_seed(0)
    net = uneven(Chain(nn.ReLU6))
    images = IMAGES.copy()
    images[1:] /= 3
    network, statistics = prepared(net, images)
    levelled = level(network, statistics)
    ratio = _first(levelled, "stem") / _first(network, "stem")
    highest = statistics.tensors["stem"].channel_maximum
    held = highest * ROOM >= 6
    assert 0 < held.sum() < len(held)
    np.testing.assert_allclose(ratio[held], 1, rtol=1e-6)
    assert (ratio[~held] > 1.5).all()
    assert (highest * ratio)[~held].max() * ROOM <= 6 * 1.001
    np.testing.assert_allclose(outputs(levelled, images), outputs(network, images), rtol=1e-3, atol=1e-3)
    images[1:] /= 10  # now the first reaches further than `RARE` times the others
    network, statistics = prepared(net, images)
    seen = statistics.tensors["stem"]
    assert (seen.channel_maximum > RARE * seen.channel_typical).all()
    assert (_first(level(network, statistics), "stem") == _first(network, "stem")).all()
