"""Random weights that behave like a network: seeded, with BatchNorm statistics that match them.

With fresh BatchNorm statistics activations grow or vanish from layer to layer, and quantization
would be measured on numbers that no network has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ectoolkit._optional import require

SEED = 0
PASSES = 4
#: images in each pass; one would leave BatchNorm nothing to average where a map is 1x1
IMAGES = 4


def random_module(build: Callable[[], Any], input_shape: tuple[int, int, int, int]) -> tuple[Any, str]:
    """Build a module with random weights, the same every time; torch's own random state is left as it was.

    Args:
        build: makes the module.
        input_shape: ``(1, 3, H, W)``.

    Returns:
        The module in eval mode, and what its weights are, in words.
    """
    torch = require("torch", feature="Building a model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = build().eval()
        normalizations = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
        if normalizations:
            _settle(module, normalizations, input_shape)
    settled = f", BatchNorm statistics from {PASSES} train-mode passes" if normalizations else ""
    return module, f"random (seed {SEED}){settled}"


def _settle(module: Any, normalizations: list[Any], input_shape: tuple[int, int, int, int]) -> None:
    torch = require("torch", feature="Building a model")
    momenta = [part.momentum for part in normalizations]
    for part in normalizations:
        part.reset_running_stats()
        part.momentum = None  # the plain average over the passes, without the initial 0 and 1 mixed in
        part.train()
    with torch.no_grad():
        for _ in range(PASSES):
            module(_smooth_noise(input_shape))
    for part, momentum in zip(normalizations, momenta, strict=True):
        part.momentum = momentum
        part.eval()


def _smooth_noise(input_shape: tuple[int, int, int, int]) -> Any:
    # Coarse noise, enlarged: neighbouring pixels resemble each other, as they do in photos.
    torch = require("torch", feature="Building a model")
    _, channels, height, width = input_shape
    coarse = torch.randn(IMAGES, channels, 7, 7)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
