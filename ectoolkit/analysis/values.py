"""The float model's value of every layer for a few images, kept to measure against and to start again from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.analysis.sums import reference_sums
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.errors import GraphError
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import run_layer, run_network
from ectoolkit.quantization.calibration import samples
from ectoolkit.quantization.collection import check_shapes

#: how many images a measurement looks at where nobody says
DEFAULT_IMAGES = 4
#: images that run at once: weights are read once for all of them, and temporary tensors stay small
BATCH = 4

#: by name of input or layer, torch float32 ``(images of the batch, ...)``; 4-D tensors lie channels last in memory
Values = dict[str, Any]
#: by name of input or layer
Sums = dict[str, ErrorSums]


class FloatValues:
    """Inputs and results of every layer.

    Memory: 4 bytes for each element of each layer and image; ResNet-50 at 224×224: 68 MB an image.

    Attributes:
        network: that was run.
        batches: up to `BATCH` images' values each, in order.
        references: for each image, sums that depend on the float values alone.
        outputs, output_references: the same of the outputs of the user's own network, where `network` is an equalized
            one; else they are `batches` and `references`.
    """

    def __init__(
        self,
        network: FloatNetwork,
        batches: list[Values],
        references: list[Sums],
        outputs: tuple[list[Values], list[Sums]] | None = None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.references = references
        self.outputs, self.output_references = outputs or (batches, references)
        first = next(iter(network.inputs))
        self._sizes = [len(values[first]) for values in batches]
        self._layers = {layer.name: layer for layer in network.layers}

    def __len__(self) -> int:
        return len(self.references)

    def rows(self, batch: int) -> range:
        """The images in a batch."""
        begin = sum(self._sizes[:batch])
        return range(begin, begin + self._sizes[batch])

    def values(self, name: str) -> list[Any]:
        """Each image's value, torch float32 ``(1, ...)``, sharing memory."""
        return [row for values in self.batches for row in values[name].split(1)]

    def one(self, image: int) -> FloatValues:
        """One image's values, sharing memory."""
        batch = next(batch for batch in range(len(self.batches)) if image in self.rows(batch))
        values, outputs = self.batches[batch], self.outputs[batch]
        if self._sizes[batch] > 1:
            row = image - self.rows(batch)[0]
            values, outputs = (
                {name: value[row : row + 1] for name, value in all_.items()} for all_ in (values, outputs)
            )
        known = [outputs], [self.output_references[image]]
        return FloatValues(self.network, [values], [self.references[image]], known)

    def layer(self, name: str) -> FloatLayer:
        """A layer by name.

        Raises:
            GraphError: there is none.
        """
        if name not in self._layers:
            raise GraphError(
                f"{self.network.name} has no layer {name!r}; names are those in the first column of the layer table"
            )
        return self._layers[name]

    def items(self) -> list[Any]:
        """`inputs` as images of a model are given: arrays where there is one input, tuples where there are several."""
        return [arrays[0] if len(arrays) == 1 else arrays for arrays in self.inputs()]

    def inputs(self) -> list[tuple[np.ndarray, ...]]:
        """Each image as it was given, float32 ``(1, ...)`` for each input."""
        columns = [self.values(name) for name in self.network.inputs]
        return [tuple(value.contiguous().numpy() for value in row) for row in zip(*columns, strict=True)]


def float_values(
    network: FloatNetwork,
    images: Iterable[Any],
    limit: int | None = DEFAULT_IMAGES,
    progress: Progress | None = None,
    *,
    names: Sequence[str] = (),
    user_network: FloatNetwork | None = None,
) -> FloatValues:
    """Run the float model once for each image.

    Args:
        network: what to run.
        images: as for `ectoolkit.quantization.calibration.samples`.
        limit: how many images to look at; None for all.
        progress: called after each layer; it may raise to cancel.
        names: of the model's arguments, which images given as dicts are looked up by.
        user_network: whose outputs are wanted too, where `network` is its equalized form.

    Raises:
        InputError: an item is no input for this network, or there is none.
    """
    torch = require("torch", feature="Measuring layers")
    rows = list(itertools.islice(samples(images, names or tuple(network.inputs)), limit))
    for arrays in rows:
        check_shapes(network, arrays)
    batches: list[Values] = []
    size = BATCH if keeps_images_apart(network) else 1
    counts = [len(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
    for begin in range(0, len(rows), size):
        columns = zip(*rows[begin : begin + size], strict=True)
        tensors = (channels_last(torch.from_numpy(np.concatenate(column))) for column in columns)
        batches.append(dict(zip(network.inputs, tensors, strict=True)))
    references: list[Sums] = [{} for _ in rows]
    with torch.inference_mode():
        for name in network.inputs:
            _note(references, name, [values[name] for values in batches], counts)
        for index, layer in enumerate(network.layers):
            for values in batches:
                values[layer.name] = run_layer(layer, [values[name] for name in layer.inputs])
            _note(references, layer.name, [values[layer.name] for values in batches], counts)
            if progress is not None:
                progress(index + 1, len(network.layers), layer.name)
        outputs = None if user_network is None else _outputs_of(user_network, batches, counts)
    return FloatValues(network, batches, references, outputs)


def _outputs_of(
    network: FloatNetwork, batches: Sequence[Values], counts: Sequence[int]
) -> tuple[list[Values], list[Sums]]:
    """The outputs of a network of the same inputs, and what depends on them alone."""
    found = [
        dict(zip(network.outputs, run_network(network, [values[name] for name in network.inputs]), strict=True))
        for values in batches
    ]
    references: list[Sums] = [{} for _ in range(sum(counts))]
    for name in network.outputs:
        _note(references, name, [values[name] for values in found], counts)
    return found, references


def keeps_images_apart(network: FloatNetwork) -> bool:
    """True where axis 0 is the images' in every layer, so that several can run as one batch."""
    for layer in network.layers:
        a: Any = layer.attributes
        moved = layer.op == "transpose" and a["order"][0] != 0
        merged = layer.op == "reshape" and a["shape"][0] != 1
        along = layer.op in ("slice", "concat") and a["axis"] == 0
        if moved or merged or along or (layer.op == "gather" and 0 in a["axes"]):
            return False
    return True


def by_image(value: Any, images: int) -> Any:
    """A layer's value with one row an image: where its axis 0 is something else, there is one image."""
    return value if len(value) == images else value.reshape(images, -1)


def _note(references: list[Sums], name: str, values: Sequence[Any], counts: Sequence[int]) -> None:
    """Right after the values were computed, while the processor still has them at hand; `counts`: images in each."""
    found = (
        sums for value, images in zip(values, counts, strict=True) for sums in reference_sums(by_image(value, images))
    )
    for known, sums in zip(references, found, strict=True):
        known[name] = sums


def channels_last(x: Any) -> Any:
    """A 4-D tensor with its channels last in memory, in which convolutions run fastest; others as they are."""
    if x.ndim != 4:
        return x
    torch = require("torch", feature="Measuring layers")
    return x.contiguous(memory_format=torch.channels_last)


def downstream(network: FloatNetwork, changed: Iterable[str]) -> set[str]:
    """The changed layers or inputs and all layers that their values reach."""
    reached = set(changed)
    for layer in network.layers:
        if reached.intersection(layer.inputs):
            reached.add(layer.name)
    return reached


def merged(images: Sequence[Mapping[str, ErrorSums]]) -> Sums:
    """Several images' sums as one."""
    total: Sums = {}
    for image in images:
        for name, sums in image.items():
            total[name] = total.get(name, ErrorSums()) + sums
    return total
