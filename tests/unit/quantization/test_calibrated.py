"""Images are seen once: whatever follows, a cancel or another session, gives the same statistics and graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_numpy import small
from torch import nn

import ectoolkit as ect
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.errors import Cancelled, InputError
from ectoolkit.frontends.exported import FloatNetwork
from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.calibrated import Calibrated, argument_names, calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.prediction import Predictor
from ectoolkit.quantization.simulation import Simulator
from ectoolkit.quantization.statistics import Statistics, TensorStatistics

IMAGES = np.random.default_rng(1).standard_normal((6, 3, 16, 16)).astype(np.float32)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.body = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pool, self.act, self.head = nn.MaxPool2d(2), nn.Hardswish(), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.act(self.body(self.pool(x)) + self.pool(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(3)
    return Residual().eval()


@pytest.fixture(scope="module")
def calibrated(net: nn.Module) -> Calibrated:
    return calibrate(net, IMAGES)


def same(first: Statistics, second: Statistics) -> bool:
    """Equal in every number."""
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        other = second.tensors[name]
        for key, value in vars(tensor).items():
            np.testing.assert_array_equal(value, getattr(other, key), err_msg=f"{name} {key}")
    return (first.image_sha256, first.network_sha256) == (second.image_sha256, second.network_sha256)


def test_the_plan_computes_what_the_module_does(net: nn.Module, calibrated: Calibrated) -> None:
    for batch in (IMAGES[:1], IMAGES):
        with torch.no_grad():
            expected = net(torch.from_numpy(batch)).numpy()
        found = run_network(calibrated.network, [torch.from_numpy(batch)])[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_runs_give_equal_graphs(net: nn.Module, calibrated: Calibrated) -> None:
    again = calibrate(net, IMAGES)
    assert same(again.statistics, calibrated.statistics)
    assert again.quantize().graph.sha256 == calibrated.quantize().graph.sha256


def test_a_cancelled_pass_goes_on_where_it_stopped(net: nn.Module, calibrated: Calibrated) -> None:
    kept: list[Collector] = []

    def stop(done: int, total: int, label: str) -> None:
        if done == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        calibrate(net, IMAGES, progress=stop, keep=kept.append)
    assert kept[0].statistics.images == 3
    seen: list[int] = []
    resumed = calibrate(net, IMAGES, collector=kept[0], progress=lambda done, total, label: seen.append(done))
    assert seen == [4, 5, 6]
    assert same(resumed.statistics, calibrated.statistics)


@pytest.mark.parametrize("others", [IMAGES[::-1].copy(), IMAGES[:2]])
def test_other_images_after_a_cancel_begin_anew(net: nn.Module, calibrated: Calibrated, others: np.ndarray) -> None:
    collector = Collector(calibrated.network)
    collector.run(IMAGES[:4])
    assert same(collector.run(others), Collector(calibrated.network).run(others))


def test_an_image_that_breaks_off_in_the_middle_leaves_nothing_half_seen(
    calibrated: Calibrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector(calibrated.network)
    collector.run(IMAGES[:2])
    with pytest.raises(InputError):
        collector.run([IMAGES[0], IMAGES[1], np.full((3, 16, 16), np.nan, np.float32)])
    add = TensorStatistics.add

    def fail(self: TensorStatistics, x: torch.Tensor, name: str) -> None:
        if name == "body":
            raise KeyboardInterrupt
        add(self, x, name)

    with monkeypatch.context() as patch:
        patch.setattr(TensorStatistics, "add", fail)
        with pytest.raises(KeyboardInterrupt):
            collector.run(IMAGES)
    assert same(collector.run(IMAGES), calibrated.statistics)


def test_statistics_from_a_file(net: nn.Module, calibrated: Calibrated, tmp_path: Path) -> None:
    path = ect.save_statistics(calibrated.statistics, tmp_path / "s.ectstats")
    first = path.read_bytes()
    loaded = ect.load_statistics(path)
    assert same(loaded, calibrated.statistics)
    seen: list[int] = []
    resumed = ect.calibrate(net, IMAGES, statistics=loaded, progress=lambda *step: seen.append(step[0]))
    assert not seen
    assert resumed.quantize().graph.sha256 == calibrated.quantize().graph.sha256
    ect.save_statistics(loaded, path)
    assert path.read_bytes() == first


def test_a_generator_is_enough(net: nn.Module, calibrated: Calibrated) -> None:
    def images() -> Iterator[np.ndarray]:
        yield from IMAGES

    assert same(calibrate(net, images()).statistics, calibrated.statistics)


def test_a_change_touches_only_its_layer_and_what_reads_it(calibrated: Calibrated) -> None:
    config = ect.QuantConfig()
    before = calibrated.quantize(config).scheme
    after = calibrated.quantize(config.tuned("stem.0", clip=(0.0, 2.0))).scheme
    changed = {name for name in before.layers if before[name] is not after[name]}
    assert "stem.0" in changed
    assert not changed & {"input0", "head", "act", "body"}


@pytest.mark.parametrize(
    "config",
    [
        ect.QuantConfig(method="minmax"),
        ect.QuantConfig(weights="per_tensor"),
        ect.QuantConfig(method="percentile", percentile=99.9),
        ect.QuantConfig(activation_bits=5, weight_bits=5),
    ],
    ids=str,
)
def test_predictions_are_near_what_is_measured(calibrated: Calibrated, config: ect.QuantConfig) -> None:
    model = calibrated.quantize(config)
    predicted = Predictor(model.network, model.statistics).predict(model.scheme)
    measured = isolated(model.network, Simulator(model.network, model.scheme))
    off = [abs(predicted[name].sqnr_db - measured[name]) for name in measured]
    assert np.median(off) < 1
    assert max(off) < 6


def isolated(network: FloatNetwork, simulator: Simulator) -> dict[str, float]:
    """SQNR of each layer alone, by its definition."""
    values: dict[str, torch.Tensor] = {}
    run_network(network, [torch.from_numpy(IMAGES)], lambda name, value: values.update({name: value.clone()}))
    return {
        layer.name: sqnr_db(
            values[layer.name].numpy(), simulator.run_alone(layer, [values[name] for name in layer.inputs]).numpy()
        )
        for layer in network.layers
        if not layer.keeps_grid
    }


def test_forward_decides_how_many_inputs_there_are() -> None:
    class Two(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
            return left + right * scale

    assert argument_names(Two()) == ("left", "right")


def test_a_graph_closes_its_own_arrays_only() -> None:
    """torch warns of arrays that nobody may write to."""
    model = small().quantize(QuantConfig().tuned("second", keep_float=True))
    constants = model.graph.constants
    assert not any(array.flags.writeable for array in constants.values())
    layer = next(layer for layer in model.network.layers if layer.name == "second")
    assert layer.weight is not None
    assert layer.bias is not None
    assert any(np.shares_memory(array, layer.weight) for array in constants.values())
    assert layer.weight.flags.writeable
    assert layer.bias.flags.writeable
