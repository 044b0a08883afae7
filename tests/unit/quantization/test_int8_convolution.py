"""int8 kernels give the sums of float64; and a simulation with them measures what one without them does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ectoolkit.analysis.measurement import measure
from ectoolkit.core.types import QuantParams
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization import int8_convolution
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.int8_convolution import Int8Convolution, available
from ectoolkit.quantization.scheme import WeightScheme

DRAW = np.random.default_rng(5)
needs_vnni = pytest.mark.skipif(not available(), reason="this processor's int8 kernels saturate")
#: kernel, padding, stride, zero point
CASES = [(1, 0, 1, 0), (1, 0, 2, 128), (3, 1, 1, 77), (7, 3, 2, 255)]


def convolution(kernel: int, padding: int, stride: int) -> tuple[Int8Convolution, torch.Tensor, torch.Tensor]:
    """One layer, its weights as float64, and its bias."""
    codes = DRAW.integers(-127, 128, (24, 19, kernel, kernel)).astype(np.int8)
    weight = WeightScheme(codes, (DRAW.random(24) * 0.01 + 0.001).astype(np.float32))
    attributes = {"stride": (stride, stride), "padding": (padding, padding), "dilation": (1, 1), "groups": 1}
    layer = FloatLayer("conv", "conv2d", ("x",), "conv", attributes, weight.real)
    bias = torch.from_numpy(DRAW.standard_normal(24).astype(np.float32))
    return Int8Convolution(layer, weight), torch.from_numpy(weight.real).double(), bias


@needs_vnni
@pytest.mark.parametrize(("kernel", "padding", "stride", "zero_point"), CASES)
def test_sums_of_codes_are_exact(kernel: int, padding: int, stride: int, zero_point: int) -> None:
    layer, weight, bias = convolution(kernel, padding, stride)
    grid = QuantParams.uint8(0.03, zero_point)
    codes = torch.from_numpy(DRAW.integers(0, 256, (3, 19, 17, 15)))
    x = (codes - zero_point).float() * float(grid.scale)
    expected = torch.conv2d(x.double(), weight, bias.double(), stride, padding)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        found = layer.of_codes(given, grid, bias)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7 * float(expected.abs().max()))


@needs_vnni
@pytest.mark.parametrize(("kernel", "padding", "stride", "zero_point"), CASES)
@pytest.mark.parametrize("shift", [-2.0, 0.0, 9.0])
def test_any_values_are_taken_with_16_bits(
    kernel: int, padding: int, stride: int, zero_point: int, shift: float
) -> None:
    layer, weight, bias = convolution(kernel, padding, stride)
    x = torch.from_numpy(DRAW.standard_normal((2, 19, 17, 15)).astype(np.float32)) + shift
    found = layer.of_reals(x, bias)
    expected = torch.conv2d(x.double(), weight, bias.double(), stride, padding)
    assert (found - expected).norm() / expected.norm() < 1e-4
    zeros = torch.zeros(1, 19, 8, 8)
    torch.testing.assert_close(layer.of_reals(zeros, bias), torch.conv2d(zeros, weight.float(), bias, stride, padding))


@needs_vnni
def test_a_network_is_measured_as_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 24, 1), nn.ReLU(), nn.Conv2d(24, 8, 3, stride=2))
    images = DRAW.standard_normal((4, 3, 32, 32)).astype(np.float32)
    model = calibrate(net.eval(), images).quantize(QuantConfig(weights="per_tensor"))
    found = {}
    for least in (0, 1 << 60):  # all, none
        monkeypatch.setattr(int8_convolution, "LEAST_PRODUCTS", least)
        found[least] = measure(model, images)
    for kind in ("cumulative", "isolated"):
        fast, plain = (getattr(measurement, kind) for measurement in found.values())
        for name, sums in plain.items():
            assert fast[name].sqnr_db == pytest.approx(sums.sqnr_db, abs=0.01), (kind, name)
            assert fast[name].cosine == pytest.approx(sums.cosine, abs=1e-5)


@needs_vnni
@pytest.mark.parametrize(
    ("size", "padding", "dilation", "fits"), [(64, 1, 1, True), (64, 3, 1, False), (2, 2, 3, False)]
)
def test_windows_of_padding_only_are_not_given_to_them(
    monkeypatch: pytest.MonkeyPatch, size: int, padding: int, dilation: int, fits: bool
) -> None:
    monkeypatch.setattr(int8_convolution, "LEAST_PRODUCTS", 0)
    two = {"stride": (1, 1), "padding": (padding, padding), "dilation": (dilation, dilation), "groups": 1}
    layer = FloatLayer("conv", "conv2d", ("x",), "conv", two, np.ones((16, 16, 2, 2), np.float32))
    assert Int8Convolution.fits(layer, torch.zeros(1, 16, size, size)) == fits
