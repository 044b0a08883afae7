"""Bias correction: takes each channel's mean error out of its bias.

Layer by layer, with the layers before quantized and corrected already: so what a truncating pool or a coarse grid
upstream does to the mean is taken out as well.  The mean is matched behind the layer's activation, where the next layer
sees it; there a ReLU or a ReLU6 passes on only part of a shift, hence a few steps.

For ranges that hold nearly every value.  What narrower ones cut lies in few images (on MobileNetV2 with moving
averages, three quarters of it in 4 of 32), and a bias that makes up for its mean shifts all the others: there this
correction costs 2 to 4 dB, and nothing once the residual sums are no longer cut, while taking out the errors of
weights alone gains 2 dB (`correct_expected`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.interpreter import Progress
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import run_layer, run_network
from ectoolkit.quantization.corrections.layerwise import Inputs, after, check_images, run_layerwise
from ectoolkit.quantization.scheme import LayerScheme, Scheme
from ectoolkit.quantization.simulation import Simulator

#: of the search for the shift behind a ReLU; more gain nothing
STEPS = 3
#: where nearly everything is cut, a shift changes the mean by little; none is made larger for it than by this
LEAST_PASSED = 0.2


def correct_bias(
    network: FloatNetwork,
    scheme: Scheme,
    images: Sequence[tuple[np.ndarray, ...]],
    progress: Progress | None = None,
) -> Scheme:
    """A scheme whose biases give each channel the float network's mean.

    Args:
        network: float.
        scheme: of it; not changed.
        images: float32, one array for each input of the network, ``(1, C, H, W)``.
        progress: called after each image and each layer; it may raise to cancel, and nothing is changed.

    Raises:
        QuantizationError: there is no image.
        InputError: an image has another shape than the network was captured with.

    Source:
        Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2 and
        appendix D (empirical).
    """
    torch = require("torch", feature="Bias correction")
    check_images(network, images, "bias correction")
    targets = float_means(network, images, progress)
    simulator = Simulator(network, scheme)
    corrected = dict(scheme.layers)

    def step(layer: FloatLayer, inputs: Sequence[Inputs]) -> Iterable[Any]:
        corrected[layer.name], results = matched(simulator, layer, scheme[layer.name], inputs, targets[layer.name])
        return results

    with torch.inference_mode():
        run_layerwise(simulator, images, step, after(progress, len(images)))
    return replace(scheme, layers=corrected)


def float_means(
    network: FloatNetwork, images: Sequence[tuple[np.ndarray, ...]], progress: Progress | None = None
) -> Mapping[str, np.ndarray]:
    """The mean of each output channel of each layer with weights: float64 ``(channels,)``, real units."""
    torch = require("torch", feature="Bias correction")
    totals = {layer.name: np.zeros(len(layer.weight)) for layer in network.layers if layer.weight is not None}

    def visit(name: str, value: Any) -> None:
        if name in totals:
            totals[name] += channel_means(value).numpy()

    for index, arrays in enumerate(images):
        run_network(network, [torch.from_numpy(array) for array in arrays], visit)
        if progress is not None:
            progress(index + 1, len(images) + len(network.layers), f"image {index + 1}")
    return {name: total / len(images) for name, total in totals.items()}


def matched(
    simulator: Simulator, layer: FloatLayer, chosen: LayerScheme, inputs: Sequence[Inputs], target: np.ndarray
) -> tuple[LayerScheme, Iterable[Any]]:
    """A layer whose channels have these means, and its results.

    Args:
        simulator: of the network.
        layer: with weights.
        chosen: the layer's scheme, which may have other weights than the simulator's.
        inputs: of each image, quantized.
        target: float64 ``(channels,)``.
    """
    torch = require("torch", feature="Bias correction")
    bare = without_activation(layer)
    assert chosen.weight is not None  # only layers with weights get here
    weight = torch.from_numpy(chosen.weight.real)
    bias = torch.zeros(len(target)) if chosen.bias is None else torch.from_numpy(chosen.bias)
    sums = [run_layer(bare, list(own), weight, bias) for own in inputs]
    shift = matching_shift(layer, sums, torch.from_numpy(target))
    results = (simulator.rounded(layer, activated(layer, value + along_channels(shift, value))) for value in sums)
    return replace(chosen, bias=(bias + shift).numpy()), results


def matching_shift(layer: FloatLayer, sums: Sequence[Any], target: Any) -> Any:
    """What to add to each channel so that its mean behind the activation is the target.

    Args:
        layer: whose activation it is.
        sums: torch float32 ``(1, channels, ...)`` or ``(rows, channels)``, before the activation.
        target: torch float64 ``(channels,)``.

    Returns:
        torch float32 ``(channels,)``.
    """
    shift = 0 * target
    for _ in range(STEPS if layer.attributes.get("relu") else 1):
        mean, passed = 0 * target, 0 * target
        for value in sums:
            before = value + along_channels(shift.float(), value)
            after = activated(layer, before)
            mean += channel_means(after) / len(sums)
            passed += channel_means((after == before).float()) / len(sums)
        shift = shift + (target - mean) / passed.clamp(min=LEAST_PASSED)
    return shift.float()


def without_activation(layer: FloatLayer) -> FloatLayer:
    """The layer up to its sums."""
    return replace(layer, attributes={**layer.attributes, "relu": False}, ceiling=None)


def activated(layer: FloatLayer, sums: Any) -> Any:
    """The layer's fused activation of its sums."""
    return sums.clamp(0, layer.ceiling) if layer.attributes.get("relu") else sums


def along_channels(vector: Any, like: Any) -> Any:
    """``(channels,)`` as ``(1, channels, 1, ...)``, to be added to the other."""
    return vector.reshape(1, -1, *[1] * (like.ndim - 2))


def channel_means(value: Any) -> Any:
    """torch float64 ``(channels,)``: the mean over all axes but the second."""
    return value.transpose(0, 1).reshape(value.shape[1], -1).mean(1).double()
