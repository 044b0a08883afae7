"""The full text of every error of ectoolkit.quantization, so that each one is known to render."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from messages import message_of
from torch import nn
from torch.ao import quantization as tq

from ectoolkit.errors import InputError, QuantizationError
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.eager import quantize_eager

IMAGES = np.zeros((2, 3, 4, 4), np.float32)


def good() -> nn.Module:
    return nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 2, 1), tq.DeQuantStub())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"method": "kl"},
            "method is 'kl', expected 'typical', 'mse', 'minmax', 'percentile', 'entropy', 'moving_average' or "
            "'median'",
        ),
        ({"weights": "per_layer"}, "weights is 'per_layer', expected 'per_channel' or 'per_tensor'"),
        ({"activation_bits": 3}, "activation_bits is 3, expected 8, 7, 6, 5 or 4"),
    ],
)
def test_config(changes: dict[str, Any], expected: str) -> None:
    assert message_of(lambda: QuantConfig(**changes), QuantizationError) == expected


class Plain(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize(
    ("layers", "missing"),
    [
        ([], "no QuantStub and no DeQuantStub"),
        ([tq.QuantStub()], "no DeQuantStub"),
        ([tq.DeQuantStub()], "no QuantStub"),
    ],
)
def test_no_stubs(layers: list[nn.Module], missing: str) -> None:
    assert message_of(lambda: quantize_eager(Plain(*layers), IMAGES), QuantizationError) == (
        f"Plain has {missing}, so torch does not know where its integer part begins and ends. Use "
        "torchvision.models.quantization, or put torch.ao.quantization.QuantStub() at the input and DeQuantStub() at "
        "the output of forward"
    )


def test_not_a_module() -> None:
    assert message_of(lambda: quantize_eager("resnet50", IMAGES), QuantizationError) == (
        "expected an nn.Module to quantize, got str"
    )


@pytest.mark.parametrize(
    ("calibration", "expected"),
    [
        (
            [],
            "there are no calibration images; give at least one, better 32 or more that look like yours",
        ),
        (
            IMAGES.astype(np.float64),
            "calibration item 0 is float64 (1, 3, 4, 4), expected float32 images (C, H, W) or batches (N, C, H, W) "
            "that went through the model's preprocessing",
        ),
        (
            [IMAGES, IMAGES[0, 0]],
            "calibration item 1 is float32 (4, 4), expected float32 images (C, H, W) or batches (N, C, H, W) that went "
            "through the model's preprocessing",
        ),
        (
            [IMAGES, np.full_like(IMAGES, np.nan)],
            "calibration item 1 holds NaN in image 0 of its 2; check the preprocessing",
        ),
    ],
    ids=["none", "dtype", "shape", "NaN"],
)
def test_calibration(calibration: Any, expected: str) -> None:
    assert message_of(lambda: quantize_eager(good(), calibration), InputError) == expected


class FloatAdd(nn.Module):
    """Adds quantized tensors with +, which torch has no integer form of."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.conv, self.dequant = tq.QuantStub(), nn.Conv2d(3, 3, 1), tq.DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.quant(x)
        return self.dequant(self.conv(x) + x)


def test_an_operation_without_quantized_form() -> None:
    text = message_of(lambda: quantize_eager(FloatAdd(), IMAGES), QuantizationError)
    assert text.startswith("torch cannot run the converted module: ")
    assert "\n" not in text
    assert text.endswith(
        "An operation between QuantStub and DeQuantStub has no quantized form: write additions as "
        "FloatFunctional().add and concatenations as FloatFunctional().cat, fuse batch norm into its convolution, or "
        "put a DeQuantStub before the operation"
    )


def test_images_of_another_size() -> None:
    """torch's own words while calibrating, as an error of ours."""
    assert message_of(lambda: quantize_eager(good(), IMAGES[:, :2]), InputError) == (
        "Sequential cannot run calibration item 0, float32 (1, 2, 4, 4): Given groups=1, weight of size [2, 3, 1, 1], "
        "expected input[1, 2, 4, 4] to have 3 channels, but got 2 channels instead. Give images with the channels and "
        "the size that the module takes"
    )
