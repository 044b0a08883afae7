"""Whole networks: calibrated, quantized, interpreted, compiled; the last two must agree.

The printed table is the state of the art here: which layers run in float, and how close to float the outputs are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

import ectoolkit as ect
from ectoolkit.data.random_weights import random_module
from ectoolkit.testing.captured import Verdict, judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHAPE = (1, 3, 64, 64)
IMAGES = 4


def _nets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nets", Path(__file__).with_name("nets.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NETS = _nets()


def torchvision_model(name: str, **settings: Any) -> Callable[[], torch.nn.Module]:
    return lambda: getattr(torchvision.models, name)(num_classes=100, **settings)


#: how each is built, whether it has layers without an integer form, and the least SQNR of its outputs in dB
MODELS: dict[str, tuple[Callable[[], torch.nn.Module], bool, float]] = {
    "resnet18": (torchvision_model("resnet18"), False, 20),
    "resnet50": (torchvision_model("resnet50"), False, 15),
    "mobilenet_v3_large": (torchvision_model("mobilenet_v3_large"), False, 5),
    "regnet_y_400mf": (torchvision_model("regnet_y_400mf"), False, 15),
    "shufflenet_v2_x1_0": (torchvision_model("shufflenet_v2_x1_0"), False, 15),
    "densenet121": (torchvision_model("densenet121"), False, 15),
    "googlenet": (torchvision_model("googlenet", aux_logits=False, init_weights=False), False, 15),
    "squeezenet1_1": (torchvision_model("squeezenet1_1"), False, 15),
    "vgg11_bn": (torchvision_model("vgg11_bn"), True, 15),
    "efficientnet_b0": (torchvision_model("efficientnet_b0"), False, 5),
    "convnext_tiny": (torchvision_model("convnext_tiny"), True, 15),
    "yolo_like": (NETS.YoloLike, True, 15),
    "unet": (NETS.UNet, True, 20),
}


def images(count: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Coarse noise, enlarged: neighbouring pixels resemble each other, as in photos."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        coarse = torch.randn(count, shape[1], 7, 7)
        return torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic").numpy()


def check(verdict: Verdict, verdicts: list[Verdict], in_float: bool, least: float) -> None:
    verdicts.append(verdict)
    assert bool(verdict.float_layers) == in_float
    assert min(verdict.sqnr_db) > least
    if in_float:
        assert verdict.equal >= 0.999
        assert verdict.apart <= 1
    else:
        assert verdict.equal == 1


@pytest.mark.parametrize("name", MODELS)
def test_random_weights(name: str, verdicts: list[Verdict]) -> None:
    build, in_float, least = MODELS[name]
    module, _ = random_module(build, SHAPE)
    check(judge(name, module, [images(IMAGES)]), verdicts, in_float, least)


def test_two_inputs_two_outputs(verdicts: list[Verdict]) -> None:
    torch.manual_seed(0)
    vector = np.random.default_rng(0).standard_normal((IMAGES, 5)).astype(np.float32)
    inputs = [images(IMAGES, (1, 3, 20, 24)), vector]
    module = NETS.TwoEnds().eval()
    check(judge("two_ends", module, inputs), verdicts, True, 25)


@pytest.mark.parametrize(("name", "least"), [("efficientnet_lite0", 15), ("mobilenet_v2", 8)])
def test_real_weights(name: str, least: float, verdicts: list[Verdict]) -> None:
    model = ect.load_model(name)
    photos = ect.sample_photos(6).with_preprocess(model.preprocess).batch()
    check(judge(f"{name} (trained)", model.module, [photos]), verdicts, False, least)
