"""AdaRound: learns for each weight whether it is rounded up or down.

Nearest rounding makes each weight's error small; what matters is the layer's result, where errors of weights whose
inputs go together add up or cancel.  So each layer learns, from what it is fed in the quantized network, the rounding
that gives the float network's result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.interpreter import Progress
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.corrections.bias import channel_means, matched
from ectoolkit.quantization.corrections.layerwise import Inputs, after, check_images, run_layerwise
from ectoolkit.quantization.corrections.patches import drawn, inputs_at, outputs_at
from ectoolkit.quantization.corrections.rounding import Samples, learned_weight
from ectoolkit.quantization.scheme import Scheme
from ectoolkit.quantization.simulation import Simulator

#: output positions that a layer learns from, of all images together: at least, at most, and for each weight of a
#: channel; a depthwise layer needs few, and each holds all channels' inputs
POSITIONS = (512, 2048, 32)


def round_adaptively(
    network: FloatNetwork,
    scheme: Scheme,
    images: Sequence[tuple[np.ndarray, ...]],
    progress: Progress | None = None,
    *,
    steps: int = 200,
    seed: int = 0,
) -> Scheme:
    """A scheme whose weights are rounded so that each layer's result is the float network's as nearly as can be.

    Each code is one of the two beside its weight.  Each layer's bias is corrected as well, for its new weights.  A
    layer with far fewer output positions than weights a channel (a classifier, with few images) keeps its codes.

    Args:
        network: float.
        scheme: of it; not changed.
        images: float32, one array for each input of the network, ``(1, C, H, W)``.
        progress: called after each image and many times a layer; it may raise to cancel, and nothing is changed.
        steps: of learning, for each layer.
        seed: equal seeds give equal codes on the same machine.

    Raises:
        QuantizationError: there is no image.
        InputError: an image has another shape than the network was captured with.

    Source:
        Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, 2020, equations 21 to 25.
    """
    torch = require("torch", feature="AdaRound")
    check_images(network, images, "AdaRound")
    targets = Targets(network, images, seed, progress)
    simulator = Simulator(network, scheme)
    learned = dict(scheme.layers)
    report = after(progress, len(images))
    position = {layer.name: index for index, layer in enumerate(network.layers)}

    def step(layer: FloatLayer, inputs: Sequence[Inputs]) -> Iterable[Any]:
        def tick() -> None:
            if report is not None:
                report(position[layer.name], len(network.layers), layer.name)

        samples = targets.samples(layer, inputs, tick)
        with torch.enable_grad():
            weight = learned_weight(layer, scheme[layer.name], samples, steps, seed)
        chosen = replace(scheme[layer.name], weight=weight)
        learned[layer.name], results = matched(simulator, layer, chosen, inputs, targets.means[layer.name])
        return results

    with torch.no_grad():
        run_layerwise(simulator, images, step, report)
    return replace(scheme, layers=learned)


class Targets:
    """What the float network has at some positions of each layer with weights, from one run over the images.

    Attributes:
        means: of each channel over all positions, float64 ``(channels,)`` a layer.
    """

    def __init__(
        self, network: FloatNetwork, images: Sequence[tuple[np.ndarray, ...]], seed: int, progress: Progress | None
    ) -> None:
        torch = require("torch", feature="AdaRound")
        self._seed = seed
        self._counts: dict[str, int] = {}
        self._rows: dict[str, list[np.ndarray]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        totals: dict[str, np.ndarray] = {}
        for layer in network.layers:
            if layer.weight is not None:
                totals[layer.name] = np.zeros(len(layer.weight))
                self._counts[layer.name] = -(-_positions(layer.weight[0].size) // len(images))
        for index, arrays in enumerate(images):

            def visit(name: str, value: Any, index: int = index) -> None:
                if name in totals:
                    self._shapes[name] = tuple(value.shape)
                    rows = outputs_at(value, self._positions(name, index))
                    self._rows.setdefault(name, []).append(rows.numpy())
                    totals[name] += channel_means(value).numpy()

            run_network(network, [torch.from_numpy(array) for array in arrays], visit)
            if progress is not None:
                progress(index + 1, len(images) + len(network.layers), f"image {index + 1}")
        self.means: Mapping[str, np.ndarray] = {name: total / len(images) for name, total in totals.items()}

    def _positions(self, name: str, image: int) -> np.ndarray:
        return drawn(self._shapes[name], self._counts[name], self._seed + image)

    def samples(self, layer: FloatLayer, inputs: Sequence[Inputs], tick: Any) -> Samples:
        """A layer's samples; its targets are forgotten here, each layer being asked for once."""
        torch = require("torch", feature="AdaRound")
        width = self._shapes[layer.name][-1] if layer.op == "conv2d" else 1
        parts = [
            inputs_at(layer, own[0], width, self._positions(layer.name, image)) for image, own in enumerate(inputs)
        ]
        rows = np.concatenate(self._rows.pop(layer.name))
        return Samples(torch.cat(parts, 1), torch.from_numpy(rows), tick)


def _positions(fan_in: int) -> int:
    """How many positions a layer learns from that has so many weights a channel."""
    least, most, each = POSITIONS
    return min(max(each * fan_in, least), most)
