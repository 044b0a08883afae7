"""What each layer's quantization does to the network's result: the layer alone is quantized, all others are float."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from ectoolkit._optional import require
from ectoolkit.analysis.measurement import Measurement, changes, floats_of, isolated
from ectoolkit.analysis.rerunning import output_sums, rerun, worst
from ectoolkit.analysis.values import DEFAULT_IMAGES, FloatValues
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.frontends.exported.execution import run_layer
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.simulation import Simulator

#: for each image, the sums of each output
Outputs = list[tuple[ErrorSums, ...]]


class Impact:
    """The error at the network's outputs that each layer alone makes.

    Attributes:
        model: what was quantized.
        floats: the float model's values.
        outputs: for each layer, each image's sums of each output.
    """

    def __init__(self, model: ExportedModel, floats: FloatValues, outputs: dict[str, Outputs]) -> None:
        self.model = model
        self.floats = floats
        self.outputs = outputs

    @cached_property
    def sqnr_db(self) -> dict[str, float]:
        """By layer, decibels, lower is worse; of several outputs the worst; inf where the layer rounds nothing."""
        return {name: worst(images) for name, images in self.outputs.items()}

    def image_sqnr_db(self, image: int) -> dict[str, float]:
        """`sqnr_db` of one image."""
        return {name: worst([images[image]]) for name, images in self.outputs.items()}

    @property
    def ranking(self) -> list[str]:
        """Layers, the worst first; those that round nothing are left out."""
        known = self.sqnr_db
        return sorted((name for name in known if known[name] != float("inf")), key=known.__getitem__)

    def update(self, model: ExportedModel, progress: Progress | None = None) -> Impact:
        """The impact of the same layers in another quantization; runs only layers whose scheme is another object.

        Args:
            model: a quantization of the same network; of another one all layers are measured anew.
            progress: called after each layer that runs; it may raise to cancel.
        """
        if model.network is not self.model.network:
            known = {layer.name for layer in model.network.layers}
            return measure_impact(
                model, self.floats.items(), [name for name in self.outputs if name in known], progress, limit=None
            )
        changed = changes(self.model.scheme, model.scheme)
        again = [name for name in self.outputs if name in changed]
        return Impact(model, self.floats, self.outputs | _measured(model, self.floats, again, progress))

    def __repr__(self) -> str:
        return f"Impact({self.model.network.name!r}, {len(self.outputs)} layers, {len(self.floats)} images)"


def measure_impact(
    model: ExportedModel,
    images: Iterable[Any] | FloatValues | Measurement,
    layers: Iterable[str] | None = None,
    progress: Progress | None = None,
    *,
    limit: int | None = DEFAULT_IMAGES,
) -> Impact:
    """Quantize each layer alone and look at the network's outputs.

    Each layer runs only what lies downstream of it, from kept float values: on average half a float run, for each
    layer and image.

    Args:
        model: what calibration and settings gave.
        images: preprocessed, as for calibration; or what an earlier measurement of the same network kept.
        layers: names, all by default.
        progress: called after each layer; it may raise to cancel.
        limit: how many of the images to look at; None for all.

    Raises:
        GraphError: the network has no such layer.
        InputError: an item is no input for this network, or there is none.
    """
    if isinstance(images, Measurement):
        images = images.floats
    floats = images if isinstance(images, FloatValues) else floats_of(model, images, limit)
    names = [layer.name for layer in model.network.layers] if layers is None else list(layers)
    return Impact(model, floats, _measured(model, floats, names, progress))


def _measured(
    model: ExportedModel, floats: FloatValues, names: Sequence[str], progress: Progress | None
) -> dict[str, Outputs]:
    torch = require("torch", feature="Measuring layers")
    simulator = Simulator(model.network, model.scheme)
    found: dict[str, Outputs] = {}
    chosen = [floats.layer(name) for name in names]
    with torch.inference_mode():
        for index, layer in enumerate(chosen):
            found[layer.name] = _of_layer(simulator, floats, layer)
            if progress is not None:
                progress(index + 1, len(chosen), layer.name)
    return found


def _of_layer(simulator: Simulator, floats: FloatValues, layer: FloatLayer) -> Outputs:
    found: Outputs = []
    for batch, values in enumerate(floats.batches):
        alone = isolated(simulator, layer, values)
        replaced = {} if alone is values[layer.name] else {layer.name: alone}
        outputs = rerun(floats.network, values, replaced, run_layer)
        found += output_sums(floats, batch, outputs)
    return found
