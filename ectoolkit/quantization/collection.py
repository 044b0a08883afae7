"""One pass over the calibration images, which may be broken off and taken up again."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import InputError, QuantizationError
from ectoolkit.frontends.exported import FloatNetwork
from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.calibration import image_sha256, samples, size_of
from ectoolkit.quantization.one_thread import one_thread
from ectoolkit.quantization.statistics import Statistics, TensorStatistics


class Collector:
    """Collects statistics image by image; holds one image's tensors at a time.

    Attributes:
        network: whose layers are watched.
        preprocessing: of the images seen, in words, where the calibration data say; else empty.
    """

    def __init__(self, network: FloatNetwork, begun: Statistics | None = None) -> None:
        """`begun`: statistics of the first images of the same data, to go on from.

        Raises:
            QuantizationError: they are of another network.
        """
        self.network = network
        self.preprocessing = ""
        self._tensors: dict[str, TensorStatistics] = {}
        self._images: list[str] = []
        self._begun = begun
        self._begin()
        if begun is not None:
            require_network(begun, network)
            self._tensors.update(copy.deepcopy(dict(begun.tensors)))  # whoever gave them keeps theirs as they are
            self._images = list(begun.image_sha256)

    def _begin(self) -> None:
        self._tensors = {name: TensorStatistics() for name in watched(self.network)}
        self._images = []

    @property
    def statistics(self) -> Statistics:
        """What was collected so far."""
        return Statistics(dict(self._tensors), tuple(self._images), self.network.sha256, self.preprocessing)

    def run(
        self, calibration: Iterable[Any], progress: Progress | None = None, *, names: Sequence[str] = ("x",)
    ) -> Statistics:
        """See all images that were not seen yet.

        Args:
            calibration: as for `ectoolkit.quantization.calibration.samples`.  Images that were seen before a cancel
                are recognised and skipped; where they are others, everything begins anew, unless the collector was
                given their statistics.
            progress: called after each image; it may raise to cancel, and the next `run` goes on from there.
            names: of the model's arguments.

        Raises:
            InputError: an item is no input for this network.
            QuantizationError: a layer gives NaN or an infinity; or the images are not those of the statistics that
                the collector was given.
        """
        total, seen = size_of(calibration), list(self._images)
        self.preprocessing = str(getattr(calibration, "preprocess", "") or "")
        for index, arrays in enumerate(samples(calibration, names)):
            if index < len(seen):
                found = image_sha256(*arrays)
                if found != seen[index]:
                    self._refuse(f"of other images: their image {index} is {seen[index][:12]}, this one {found[:12]}")
                    self._begin()
                    return self.run(calibration, progress, names=names)
                continue
            self._see(arrays)
            if progress is not None:
                progress(index + 1, max(total, index + 1), f"image {index + 1}")
        if len(seen) > index + 1:  # fewer images than before: begin anew
            self._refuse(f"of {len(seen)} images, and {index + 1} are given")
            self._begin()
            return self.run(calibration, progress, names=names)
        return self.statistics

    def _refuse(self, why: str) -> None:
        """Raise where statistics were given that are not of these images: nobody asked to collect others."""
        if self._begun is None:
            return
        theirs, ours = self._begun.preprocessing, self.preprocessing
        how = f" They were preprocessed by {theirs}, these by {ours}." if theirs and ours and theirs != ours else ""
        raise QuantizationError(
            f"the statistics for {self.network.name} are {why}.{how} Give the images that they were collected from, in "
            "the same order, or leave statistics out to collect them from these"
        )

    def _see(self, arrays: tuple[np.ndarray, ...]) -> None:
        check_shapes(self.network, arrays)
        torch = require("torch", feature="Collecting statistics")

        def visit(name: str, value: Any) -> None:
            if name in self._tensors:
                self._tensors[name].add(value, name)

        whole = False
        try:
            with one_thread():
                run_network(self.network, [torch.from_numpy(array) for array in arrays], visit)
            self._images.append(image_sha256(*arrays))
            whole = True
        finally:
            if not whole:  # some layers have seen this image and some have not
                self._begin()


def require_network(statistics: Statistics, network: FloatNetwork) -> None:
    """Statistics are of the network that they name.

    Raises:
        QuantizationError: they name another one; says both.
    """
    if statistics.network_sha256 != network.sha256:
        raise QuantizationError(
            f"the statistics are of another network than {network.name}, or of other weights: they name "
            f"{statistics.network_sha256[:12]}, the network is {network.sha256[:12]}. Collect them again"
        )


def watched(network: FloatNetwork) -> set[str]:
    """The inputs, the layers with a grid of their own, and whatever a layer with weights reads."""
    own = {layer.name for layer in network.layers if not layer.keeps_grid}
    read = {layer.inputs[0] for layer in network.layers if layer.weight is not None}
    return {*network.inputs, *own, *read}


def check_shapes(network: FloatNetwork, arrays: Sequence[np.ndarray]) -> None:
    """Require the shapes that the network was captured with, whatever the batch.

    Raises:
        InputError: another shape.
    """
    for (name, shape), array in zip(network.inputs.items(), arrays, strict=True):
        if array.shape[1:] != shape[1:]:
            what = "images" if len(network.inputs) == 1 else name
            raise InputError(
                f"{network.name} was captured for {what} of shape {shape[1:]}, got {array.shape[1:]}; resize them"
            )
