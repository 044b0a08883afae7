"""Runs all images through a quantized network layer by layer, so that a layer can be corrected before the next runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import last_uses
from ectoolkit.quantization.collection import check_shapes
from ectoolkit.quantization.simulation import Simulator, on_grid

#: gives a layer's results, one for each image, from its inputs of each image
Step = Callable[[FloatLayer, Sequence["Inputs"]], Iterable[Any]]


class Kept:
    """A tensor that somebody needs later: as codes of its grid, a quarter of the memory, where it has one."""

    def __init__(self, value: Any, grid: QuantParams | None) -> None:
        torch = require("torch", feature="Correcting a quantized network")
        self._grid = grid
        self._value = value
        if grid is not None:
            self._value = (value / float(grid.scale)).round_().add_(grid.zero_point).to(torch.uint8)

    @property
    def real(self) -> Any:
        """torch float32, real units."""
        if self._grid is None:
            return self._value
        return self._value.float().sub_(self._grid.zero_point).mul_(float(self._grid.scale))


class Inputs:
    """One image's inputs of a layer, unpacked when asked for."""

    def __init__(self, kept: Sequence[Kept], roundings: Sequence[QuantParams | None]) -> None:
        """`roundings`: grids that real numbers are rounded to for this layer, None where nothing is to do."""
        self._kept = kept
        self._roundings = roundings

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self._kept)))

    def __getitem__(self, index: int) -> Any:
        return on_grid(self._kept[index].real, self._roundings[index])


def run_layerwise(
    simulator: Simulator,
    images: Sequence[tuple[np.ndarray, ...]],
    step: Step,
    progress: Progress | None,
) -> None:
    """Run each layer for all images before the next.

    Args:
        simulator: of the network and its scheme.
        images: float32 arrays, one for each input of the network, ``(1, C, H, W)``.
        step: runs the layers with weights, and may do to them what it likes; others are simulated.
        progress: called after each layer; it may raise to cancel.
    """
    torch = require("torch", feature="Correcting a quantized network")
    network, scheme = simulator.network, simulator.scheme
    freed, grids = last_uses(network), grids_of(simulator)
    values: dict[str, list[Kept]] = {}
    for position, name in enumerate(network.inputs):
        tensors = [simulator.input(name, torch.from_numpy(image[position])) for image in images]
        values[name] = [Kept(tensor, grids[name]) for tensor in tensors]
    needed = {name for layer in network.layers for name in layer.inputs}
    for index, layer in enumerate(network.layers):
        roundings = simulator.roundings(layer)
        inputs = [Inputs([values[name][image] for name in layer.inputs], roundings) for image in range(len(images))]
        if scheme[layer.name].weight is not None:
            results = step(layer, inputs)
        else:
            results = (simulator.run(layer, list(own)) for own in inputs)
        if layer.name in needed:
            values[layer.name] = [Kept(result, grids[layer.name]) for result in results]
        for name in freed[layer.name]:
            values.pop(name, None)
        if progress is not None:
            progress(index + 1, len(network.layers), layer.name)


def grids_of(simulator: Simulator) -> Mapping[str, QuantParams | None]:
    """The grid that each value lies on: its own, or its layer's first input's; None for real numbers."""
    network = simulator.network
    grids = {name: simulator.grid(name) for name in network.inputs}
    for layer in network.layers:
        own = simulator.grid(layer.name)
        grids[layer.name] = grids[layer.inputs[0]] if own is None and layer.keeps_grid else own
    return grids


def check_images(network: FloatNetwork, images: Sequence[tuple[np.ndarray, ...]], what: str) -> None:
    """Require at least one image, and the shapes that the network was captured with.

    Raises:
        QuantizationError: there is none.
        InputError: one has another shape.
    """
    if not images:
        raise QuantizationError(f"{what} got no image, expected at least one; give calibration images, best 16 or more")
    for arrays in images:
        check_shapes(network, arrays)


def after(progress: Progress | None, done: int) -> Progress | None:
    """A report that goes on where another ended that was `done` long."""
    if progress is None:
        return None
    return lambda index, total, text: progress(done + index, done + total, text)
