"""The whole networks of tests/models, by name; apart from the tests, so that other processes can import it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import small_nets
import torch
import torchvision

import ectoolkit as ect
from ectoolkit.data.random_weights import random_module
from ectoolkit.testing.captured import Verdict, judge

SHAPE = (1, 3, 64, 64)
IMAGES = 4


def torchvision_model(name: str, **settings: Any) -> Callable[[], torch.nn.Module]:
    return lambda: getattr(torchvision.models, name)(num_classes=100, **settings)


RANDOM: dict[str, Callable[[], torch.nn.Module]] = {
    "resnet18": torchvision_model("resnet18"),
    "resnet50": torchvision_model("resnet50"),
    "mobilenet_v3_large": torchvision_model("mobilenet_v3_large"),
    "regnet_y_400mf": torchvision_model("regnet_y_400mf"),
    "shufflenet_v2_x1_0": torchvision_model("shufflenet_v2_x1_0"),
    "densenet121": torchvision_model("densenet121"),
    "googlenet": torchvision_model("googlenet", aux_logits=False, init_weights=False),
    "squeezenet1_1": torchvision_model("squeezenet1_1"),
    "vgg11_bn": torchvision_model("vgg11_bn"),
    "efficientnet_b0": torchvision_model("efficientnet_b0"),
    "convnext_tiny": torchvision_model("convnext_tiny"),
    "yolo_like": small_nets.YoloLike,
    "unet": small_nets.UNet,
}
TRAINED = ("efficientnet_lite0", "mobilenet_v2")
TWO_ENDS = "two_ends"
NAMES = (*RANDOM, TWO_ENDS, *TRAINED)


def verdict_of(name: str) -> Verdict:
    """Take one of `NAMES` through every stage."""
    module, inputs = network_of(name)
    verdict = judge(name, module, inputs)
    return replace(verdict, model=f"{name} (trained)") if name in TRAINED else verdict


def network_of(name: str) -> tuple[torch.nn.Module, list[np.ndarray]]:
    """One of `NAMES`, and what it is calibrated and judged with: float32, one array an input."""
    torch.set_num_threads(1)
    if name in TRAINED:
        model = ect.load_model(name)
        return model.module, [ect.sample_photos(6).with_preprocess(model.preprocess).batch()]
    if name == TWO_ENDS:
        torch.manual_seed(0)
        vector = np.random.default_rng(0).standard_normal((IMAGES, 5)).astype(np.float32)
        return small_nets.TwoEnds().eval(), [images((1, 3, 20, 24)), vector]
    module, _ = random_module(lambda: calm(RANDOM[name]()), SHAPE)
    return module, [images(SHAPE)]


def calm(module: torch.nn.Module) -> torch.nn.Module:
    """Shift what batch norms give by one deviation.

    Random convolutions with batch norm and ReLU amplify whatever small error they are given, layer after layer, as no
    trained network does; where most activations pass the ReLU they hardly do, and a network's SQNR tells something.
    """
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.bias)
    return module


def images(shape: tuple[int, ...]) -> np.ndarray:
    """Coarse noise, enlarged: neighbouring pixels resemble each other, as in photos."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        coarse = torch.randn(IMAGES, shape[1], 7, 7)
        return torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic").numpy()
