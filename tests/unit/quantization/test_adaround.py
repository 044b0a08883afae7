"""AdaRound: codes beside their weights, better than nearest, the same each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.data import ImageSet
from ectoolkit.errors import Cancelled
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork, capture
from ectoolkit.frontends.exported.execution import run_layer
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.corrections import round_adaptively
from ectoolkit.quantization.corrections.patches import drawn, inputs_at, outputs_at
from ectoolkit.quantization.derivation import Deriver
from ectoolkit.quantization.scheme import Scheme

DRAW = np.random.default_rng(0)


def pictures(count: int) -> np.ndarray:
    """Smooth, as photos are: neighbouring pixels go together."""
    coarse = torch.from_numpy(DRAW.standard_normal((count, 3, 4, 4)).astype(np.float32))
    return nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear").numpy()


IMAGES, OTHERS = pictures(8), pictures(8)
EACH = [(image[None],) for image in IMAGES]


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.ReLU6(), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(),
        nn.Conv2d(16, 24, 1), nn.Conv2d(24, 24, 3, groups=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(24, 10), nn.Linear(10, 40), nn.Linear(40, 6),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def network() -> FloatNetwork:
    return capture(module(), [(1, 3, 16, 16)])


@pytest.fixture(scope="module")
def nearest(network: FloatNetwork) -> Scheme:
    return Deriver(network, Collector(network).run(IMAGES)).derive(QuantConfig(method="minmax", weight_bits=4))


@pytest.fixture(scope="module")
def learned(network: FloatNetwork, nearest: Scheme) -> Scheme:
    return round_adaptively(network, nearest, EACH, steps=100)


def test_codes_are_beside_their_weights(network: FloatNetwork, nearest: Scheme, learned: Scheme) -> None:
    changed = 0
    for layer in network.layers:
        if layer.weight is None:
            assert learned[layer.name] is nearest[layer.name]
            continue
        before, after = nearest[layer.name].weight, learned[layer.name].weight
        assert before is not None
        assert after is not None
        assert after.scales is before.scales
        assert after.codes.dtype == np.int8
        assert np.abs(after.codes).max() <= 7
        assert (before.scales * 1.001 >= np.abs(after.real - layer.weight).T).all()
        changed += int((after.codes != before.codes).sum())
    assert changed > 0


def test_better_than_nearest_with_corrected_biases_on_other_images() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16, bias=False), nn.ReLU(),
        nn.Conv2d(16, 32, 1, bias=False), nn.ReLU(), nn.Conv2d(32, 8, 1, bias=False),
    ).eval()  # fmt: skip
    calibrated = calibrate(net, IMAGES)
    found = {}
    for correction in ("bias", "adaround"):
        model = calibrated.quantize(ect.QuantConfig(method="minmax", weight_bits=3, corrections=(correction,)))
        found[correction] = sqnr_db(model.float_outputs(OTHERS)[0], ect.interpret(model.graph, OTHERS)[0])
    assert found["adaround"] > found["bias"] + 1.5


def test_equal_seeds_give_equal_codes(network: FloatNetwork, nearest: Scheme, learned: Scheme) -> None:
    again = round_adaptively(network, nearest, EACH, steps=100)
    other = round_adaptively(network, nearest, EACH, steps=100, seed=7)
    assert _codes(again) == _codes(learned)
    assert _codes(other) != _codes(learned)
    for name, layer in learned.layers.items():
        assert layer.bias is None or np.array_equal(layer.bias, again[name].bias)


def _codes(scheme: Scheme) -> list[bytes]:
    return [layer.weight.codes.tobytes() for layer in scheme.layers.values() if layer.weight is not None]


def test_a_layer_with_too_few_positions_keeps_its_codes(
    network: FloatNetwork, nearest: Scheme, learned: Scheme
) -> None:
    assert learned["11"].weight is nearest["11"].weight  # 40 weights a channel, 8 images
    assert learned["11"].bias is not nearest["11"].bias


def test_weights_that_are_all_zero(nearest: Scheme) -> None:
    net = module()
    with torch.no_grad():
        net[4].weight.zero_()
    network = capture(net, [(1, 3, 16, 16)])
    scheme = Deriver(network, Collector(network).run(IMAGES)).derive(QuantConfig(weight_bits=2))
    found = round_adaptively(network, scheme, EACH, steps=5)["4"].weight
    assert found is not None
    assert not found.codes.any()


def test_progress_is_frequent_and_cancel_changes_nothing(network: FloatNetwork, nearest: Scheme) -> None:
    seen: list[tuple[int, int, str]] = []
    round_adaptively(network, nearest, EACH, lambda *report: seen.append(report), steps=50)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][0] == seen[-1][1] == len(EACH) + len(network.layers)
    assert sum(text == "0" for _, _, text in seen) >= 6  # while it learns, not only behind it

    def stop(done: int, total: int, text: str) -> None:
        if text == "2":
            raise Cancelled("stopped")

    before = dict(nearest.layers)
    with pytest.raises(Cancelled):
        round_adaptively(network, nearest, EACH, stop, steps=50)
    assert all(nearest[name] is layer for name, layer in before.items())


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [((1, 1), (0, 0), (1, 1), 1), ((2, 1), (1, 2), (1, 1), 2), ((1, 2), (2, 0), (2, 1), 6)],
)
def test_patches_are_what_a_convolution_reads(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int
) -> None:
    weight = DRAW.standard_normal((12, 6 // groups, 3, 2)).astype(np.float32)
    attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "relu": False}
    layer = FloatLayer("conv", "conv2d", ("x",), "conv", attributes, weight)
    x = torch.from_numpy(DRAW.standard_normal((1, 6, 9, 8)).astype(np.float32))
    expected = run_layer(layer, [x])
    positions = drawn(expected.shape, 20, 0)
    assert len(set(positions)) == 20
    patches = inputs_at(layer, x, expected.shape[-1], positions)
    rows = torch.from_numpy(weight).reshape(groups, 12 // groups, -1)
    found = torch.einsum("gpi,goi->pgo", patches, rows).reshape(20, 12)
    np.testing.assert_allclose(found, outputs_at(expected, positions), atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_corrections_of_efficientnet_lite0(lite0: Calibrated, lite0_photos: ImageSet) -> None:
    images = lite0_photos[:10].batch()
    reference = lite0.quantize().float_outputs(images)[0]
    found = {}
    for corrections in ((), ("bias",), ("equalization", "bias")):
        config = ect.QuantConfig(method="minmax", weights="per_tensor", corrections=corrections)
        found[corrections] = sqnr_db(reference, ect.interpret(lite0.quantize(config).graph, images)[0])
    assert found["bias",] > max(found[()] + 4, 11)
    assert found["equalization", "bias"] > 12
