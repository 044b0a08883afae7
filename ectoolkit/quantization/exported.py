"""Any exportable module: capture, one pass for statistics, grids, integer graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import InputError
from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.quantization.assembly import assemble
from ectoolkit.quantization.calibration import Hasher, batches, first_of, size_of
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.derivation import derive
from ectoolkit.quantization.observers import warn_of_lost_ceilings
from ectoolkit.quantization.statistics import Statistics, TensorStatistics


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """What quantizing gave.

    Attributes:
        graph: the integer graph, in hardware form.
        network: the captured float network.
        statistics: of the calibration images.
        config: the settings.
    """

    graph: Graph
    network: FloatNetwork
    statistics: Statistics
    config: QuantConfig

    @property
    def calibration_sha256(self) -> str:
        """Hash of the images."""
        return self.statistics.calibration_sha256

    @property
    def calibration_images(self) -> int:
        """How many."""
        return self.statistics.images

    def float_outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """The float model's results for float32 ``(N, C, H, W)``."""
        return self.float_layers(x, ())[0]

    def float_layers(self, x: np.ndarray, names: Iterable[str]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """The float model's outputs, and what it has where the named layers end.

        Args:
            x: float32 ``(N, C, H, W)``; run image by image, as the captured network takes them.
            names: layers of the graph; those the float network does not have are left out.
        """
        wanted = {layer.name for layer in self.network.layers} & set(names)
        runs: list[dict[str, np.ndarray]] = []
        outputs = []
        for part in _parts(self.network, x):
            kept: dict[str, np.ndarray] = {}

            def keep(name: str, value: Any, kept: dict[str, np.ndarray] = kept) -> None:
                kept[name] = value.detach().numpy().copy()

            outputs.append(run_float(self.network, part, wanted, keep))
            runs.append(kept)
        layers = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)], layers

    def __repr__(self) -> str:
        return f"ExportedModel({self.graph.name!r}, {self.calibration_images} images, {self.config})"


def quantize_exported(
    module: Any,
    calibration: Iterable[Any],
    config: QuantConfig | None = None,
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> ExportedModel:
    """Quantize any module that ``torch.export`` can capture.

    Args:
        module: ``nn.Module`` with one image input; not changed.
        calibration: preprocessed images; see `ectoolkit.quantization.calibration.batches`.
        config: settings, `QuantConfig()` by default.
        name: of the graph, the module's class by default.
        progress: called after each calibration item; it may raise to cancel.

    Raises:
        UnsupportedOpError: an operation has no integer definition; names it, its layer and the remedy.
        GraphError: torch cannot export the module.
        InputError: the calibration data are not images for this module.
        QuantizationError: a layer's numbers cannot be quantized.
    """
    config = config or QuantConfig()
    size = size_of(calibration)
    first, calibration = first_of(calibration)
    network = capture(module, [(1, *first.shape[1:])], name=name)
    warn_of_lost_ceilings(network.name, [layer.name for layer in network.layers if layer.ceiling is not None], config)
    statistics = collect(network, calibration, progress, total=size)
    return ExportedModel(to_graph(network, statistics, config), network, statistics, config)


def collect(
    network: FloatNetwork, calibration: Iterable[Any], progress: Progress | None = None, *, total: int = 0
) -> Statistics:
    """One pass over the calibration images; memory holds one image at a time.  `total` is for the progress."""
    wanted = {layer.name for layer in network.layers if not layer.keeps_grid}
    found = {name: TensorStatistics() for name in (*network.inputs, *wanted)}
    torch = require("torch", feature="Collecting statistics")
    hasher, images = Hasher(), 0
    for done, batch in enumerate(batches(calibration), 1):
        for part in _parts(network, batch):
            found[next(iter(network.inputs))].add(torch.from_numpy(part), "input")
            run_float(network, part, wanted, lambda name, value: found[name].add(value, name))
        hasher.add(batch)
        images += len(batch)
        if progress is not None:
            progress(done, max(total, done), f"image {images}")
    return Statistics(found, images, hasher.sha256)


def _parts(network: FloatNetwork, x: np.ndarray) -> list[np.ndarray]:
    """Images one by one, as the captured network takes them."""
    (shape,) = network.inputs.values()
    if x.ndim != len(shape) or x.shape[1:] != shape[1:]:
        raise InputError(f"{network.name} was captured for images of shape {shape[1:]}, got {x.shape[1:]}; resize them")
    return [np.ascontiguousarray(x[index : index + 1]) for index in range(len(x))]


def run_float(
    network: FloatNetwork, x: np.ndarray, wanted: set[str], visit: Callable[[str, Any], None]
) -> list[np.ndarray]:
    """Run the captured network on one image and show the values where the wanted layers end.

    Args:
        network: captured.
        x: float32, of the captured shape.
        wanted: names of layers.
        visit: called with the layer's name and its torch tensor, before anything changes it in place.

    Returns:
        The network's outputs.
    """
    torch = require("torch", feature="Running the float model")
    ends: dict[str, list[str]] = {}
    for layer in network.layers:
        if layer.name in wanted:
            ends.setdefault(layer.node, []).append(layer.name)

    class Visitor(torch.fx.Interpreter):  # type: ignore[name-defined]
        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            for name in ends.get(node.name, ()):
                visit(name, value)
            return value

    with torch.no_grad():
        result = Visitor(network.module).run(torch.from_numpy(np.ascontiguousarray(x)))
    return [output.numpy() for output in _tensors(result)]


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else [value]


def to_graph(network: FloatNetwork, statistics: Statistics, config: QuantConfig) -> Graph:
    """The integer graph of a captured network, for these statistics and settings.

    Raises:
        QuantizationError: a layer's numbers cannot be represented.
    """
    return assemble(network, derive(network, statistics, config))
