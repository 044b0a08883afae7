"""How far each layer is from the float model, measured: with everything before it quantized, and alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.analysis.sums import error_sums
from ectoolkit.analysis.values import (
    DEFAULT_IMAGES,
    FloatValues,
    Sums,
    Values,
    by_image,
    downstream,
    float_values,
    merged,
)
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.scheme import LayerScheme, Scheme
from ectoolkit.quantization.simulation import Simulator


class Measurement:
    """Errors of every layer over a few images.

    ``cumulative``: everything up to the layer is quantized.  ``isolated``: this layer alone, its weights and its own
    grid, fed with the float model's input.  Both are measured at the layer, in simulation.  Layers without a grid of
    their own (max pools, reshapes, those in float) round nothing and have no isolated error.  The float
    values are the network's own; only what it returns is compared, cumulatively, with what the user's own network
    returns, which after equalization is another.

    Memory: 8 bytes for each element of each layer and image, so that `update` needs to run only what a change touches;
    ResNet-50 at 224×224: 136 MB an image.

    Attributes:
        model: what was measured.
        floats: the float model's values.
        batches: the simulated values, in the same batches.
        cumulative_by_image, isolated_by_image: for each image, sums by name of layer or input.
    """

    def __init__(
        self,
        model: ExportedModel,
        floats: FloatValues,
        batches: list[Values],
        cumulative: list[Sums],
        isolated: list[Sums],
    ) -> None:
        self.model = model
        self.floats = floats
        self.batches = batches
        self.cumulative_by_image = cumulative
        self.isolated_by_image = isolated

    @property
    def images(self) -> int:
        """How many."""
        return len(self.floats)

    @cached_property
    def cumulative(self) -> Sums:
        """Over all images, by name of layer or input."""
        return merged(self.cumulative_by_image)

    @cached_property
    def isolated(self) -> Sums:
        """Over all images, by name of layer or input."""
        return merged(self.isolated_by_image)

    @property
    def output_sqnr_db(self) -> float:
        """SQNR of what the network returns, decibels; of several outputs the worst."""
        return min(self.cumulative[name].sqnr_db for name in self.model.network.outputs)

    def image_sqnr_db(self, image: int) -> float:
        """`output_sqnr_db` of one image."""
        return min(self.cumulative_by_image[image][name].sqnr_db for name in self.model.network.outputs)

    @property
    def float_scores(self) -> np.ndarray:
        """The float model's first output: float32, one row an image."""
        return _rows(self.floats.outputs, self.model.network.outputs[0])

    @property
    def simulated_scores(self) -> np.ndarray:
        """The simulated first output: float32, one row an image."""
        return _rows(self.batches, self.model.network.outputs[0])

    def update(self, model: ExportedModel, progress: Progress | None = None) -> Measurement:
        """The measurement of another quantization of the same network, for the same images.

        Runs only layers whose `LayerScheme` is another object, and what lies downstream of them.  This measurement
        stays as it is; both share what did not change.

        Args:
            model: of another network (after equalization, for example) everything is measured anew.
            progress: called after each layer that runs; it may raise to cancel.
        """
        old = self.model
        if model.network is not old.network:
            return measure(model, self.floats.items(), progress, limit=None)
        fresh = Measurement(
            model,
            self.floats,
            [dict(values) for values in self.batches],
            [dict(sums) for sums in self.cumulative_by_image],
            [dict(sums) for sums in self.isolated_by_image],
        )
        fresh._measure(changes(old.scheme, model.scheme), progress)
        return fresh

    def _measure(self, changed: set[str], progress: Progress | None) -> None:
        """Measure changed inputs and layers and what they reach."""
        torch = require("torch", feature="Measuring layers")
        simulator = Simulator(self.model.network, self.model.scheme)
        stale = downstream(self.model.network, changed)
        layers = [layer for layer in self.model.network.layers if layer.name in stale]
        with torch.inference_mode():
            for name in changed.intersection(self.model.network.inputs):
                self._measure_input(simulator, name)
            for index, layer in enumerate(layers):
                for batch in range(len(self.batches)):
                    self._measure_layer(simulator, layer, batch, layer.name in changed)
                if progress is not None:
                    progress(index + 1, len(layers), layer.name)

    def _measure_input(self, simulator: Simulator, name: str) -> None:
        for batch, values in enumerate(self.batches):
            values[name] = simulator.input(name, self.floats.batches[batch][name])
            self._note(self.cumulative_by_image, name, batch, values[name], simulator.grid(name))
            for image in self.floats.rows(batch):
                self.isolated_by_image[image][name] = self.cumulative_by_image[image][name]

    def _measure_layer(self, simulator: Simulator, layer: FloatLayer, batch: int, changed: bool) -> None:
        values, floats, name = self.batches[batch], self.floats.batches[batch], layer.name
        values[name] = simulator.run(layer, [values[source] for source in layer.inputs])
        self._note(self.cumulative_by_image, name, batch, values[name], simulator.grid(name))
        if changed:
            self._note(self.isolated_by_image, name, batch, isolated(simulator, layer, floats), None)

    def _note(self, sums: list[Sums], name: str, batch: int, value: Any, grid: QuantParams | None) -> None:
        images, floats = self.floats.rows(batch), self.floats
        values, references = floats.batches, floats.references
        if sums is self.cumulative_by_image and name in self.model.network.outputs:
            values, references = floats.outputs, floats.output_references
        known = [references[image][name] for image in images]
        reference = by_image(values[batch][name], len(images))
        found = error_sums(known, reference, by_image(value, len(images)), grid)
        for image, one in zip(images, found, strict=True):
            sums[image][name] = one

    def __repr__(self) -> str:
        return (
            f"Measurement({self.model.network.name!r}, {self.images} images, outputs at {self.output_sqnr_db:.1f} dB)"
        )


def isolated(simulator: Simulator, layer: FloatLayer, floats: Values) -> Any:
    """The layer's simulated result for the float model's inputs; the float value itself where nothing is rounded."""
    if simulator.scheme[layer.name].weight is None:  # computes as the float layer does
        return simulator.rounded(layer, floats[layer.name])
    return simulator.run_alone(layer, [floats[name] for name in layer.inputs])


def changes(old: Scheme, new: Scheme) -> set[str]:
    """Inputs and layers that are quantized otherwise."""
    if old.hardware != new.hardware:
        return set(new.layers)
    return {name for name, chosen in new.layers.items() if not _same(old.layers.get(name), chosen)}


def _same(old: LayerScheme | None, new: LayerScheme) -> bool:
    """By identity of the object, or of its parts."""
    if old is None or old is new:
        return old is new
    parts = (old.weight is new.weight, old.bias is new.bias, old.keep_float == new.keep_float)
    return all(parts) and old.grid == new.grid


def require_same(model: ExportedModel | Graph, measured: ExportedModel, what: str) -> None:
    """Require that what was measured is this very quantization; `what`: measurement or impact, for the error.

    Raises:
        QuantizationError: it is another one, or nobody can tell.
    """
    if isinstance(model, Graph):
        raise QuantizationError(f"a graph alone has no {what} to show; give layer_table the model that the graph is of")
    if measured.network is model.network and not changes(measured.scheme, model.scheme):
        return
    raise QuantizationError(
        f"the {what} is of another quantization of {measured.network.name} ({measured.config}) than the model "
        f"({model.config}); take {what}.update(model)"
    )


def measure(
    model: ExportedModel,
    images: Iterable[Any] | FloatValues,
    progress: Progress | None = None,
    *,
    limit: int | None = DEFAULT_IMAGES,
) -> Measurement:
    """Measure every layer's error; about as long as three float runs of each image.

    Args:
        model: what calibration and settings gave.
        images: preprocessed, as for calibration; or values that were kept of the same network.
        progress: called after each layer of the float and then of the simulated run; it may raise to cancel.
        limit: how many of the images to look at; None for all.

    Raises:
        InputError: an item is no input for this network, or there is none.
    """
    layers = len(model.network.layers)
    steps = None if progress is None else lambda done, _, name: progress(done, 2 * layers, name)
    floats = images if isinstance(images, FloatValues) else floats_of(model, images, limit, steps)
    sums: list[list[Sums]] = [[{} for _ in range(len(floats))] for _ in range(2)]
    measurement = Measurement(model, floats, [{} for _ in floats.batches], *sums)
    later = None if progress is None else lambda done, _, name: progress(layers + done, 2 * layers, name)
    measurement._measure(set(model.scheme.layers), later)
    return measurement


def floats_of(
    model: ExportedModel, images: Iterable[Any], limit: int | None, progress: Progress | None = None
) -> FloatValues:
    """What a model is measured against: its network's float values, and the outputs of the user's own."""
    return float_values(
        model.network, images, limit, progress, names=model.argument_names, user_network=model.user_network
    )


def _rows(batches: Sequence[Values], name: str) -> np.ndarray:
    return np.concatenate([values[name].reshape(len(values[name]), -1).numpy() for values in batches])
