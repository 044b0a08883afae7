"""What quantizing a captured module gives: its scheme, its integer graph, and the float model beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.graph import Graph
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatNetwork
from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.assembly import assemble
from ectoolkit.quantization.collection import check_shapes
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.placement import float_layers
from ectoolkit.quantization.prediction import Prediction, Predictor
from ectoolkit.quantization.scheme import Scheme
from ectoolkit.quantization.statistics import Statistics


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """What quantizing gave.

    Attributes:
        network: the float network, after equalization where that was asked for.
        statistics: of the calibration images.
        config: the settings.
        scheme: every grid and every weight's codes, after corrections.
        predictor: that keeps predictions of layers which a change did not touch; None for a fresh one.
        user_network: the network as the user's module has it; None where `network` is that.
        names: of the arguments of the user's ``forward``, for images given as dicts; those of `network.inputs` by
            default.
    """

    network: FloatNetwork
    statistics: Statistics
    config: QuantConfig
    scheme: Scheme
    predictor: Predictor | None = field(default=None, repr=False)
    user_network: FloatNetwork | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()

    @cached_property
    def graph(self) -> Graph:
        """The integer graph, in hardware form; made when first asked for.

        Raises:
            QuantizationError: a layer's numbers cannot be represented.
        """
        return assemble(self.network, self.scheme)

    @cached_property
    def predictions(self) -> Mapping[str, Prediction]:
        """The isolated error of each input and each layer with a grid of its own, from statistics alone."""
        return (self.predictor or Predictor(self.network, self.statistics)).predict(self.scheme)

    @cached_property
    def in_float(self) -> frozenset[str]:
        """Names of the layers that run in float: kept there, without an integer form, or moving what such ones give."""
        return frozenset(float_layers(self.network, self.scheme))

    @property
    def traced(self) -> Any:
        """There is none on this way.

        Raises:
            QuantizationError: says what there is in its place.
        """
        raise QuantizationError(
            f"{self.network.name} was captured by torch.export, which traces no TorchScript: `traced` is the U50 "
            "guide's file, made from a module with QuantStubs by door='eager'. Keep the integer graph with "
            "ect.save_graph(result.graph, 'model.ectgraph'); or, for EdgeCortix's compiler, quantize with "
            "hardware='dna' and write ect.save_torchscript(result.graph, 'model.pt')"
        )

    @property
    def calibration_sha256(self) -> str:
        """Hash of the images."""
        return self.statistics.calibration_sha256

    @property
    def calibration_images(self) -> int:
        """How many."""
        return self.statistics.images

    def float_outputs(self, x: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
        """The user's float model's results for float32 ``(N, C, H, W)``, or for one array an input."""
        return self.float_layers(x, ())[0]

    @property
    def argument_names(self) -> tuple[str, ...]:
        """What images given as dicts are looked up by."""
        return self.names or tuple(self.network.inputs)

    def float_layers(
        self, x: np.ndarray | Sequence[np.ndarray], names: Iterable[str]
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """The user's float model's outputs, and what the float network has where the named layers end.

        Args:
            x: float32 ``(N, C, H, W)``, or one array an input; run image by image.
            names: layers of the graph; those the float network does not have are left out.  After equalization they
                are the equalized network's: the graph's layers have its scales, not the user's.
        """
        torch = require("torch", feature="Running the float model")
        arrays = [x] if isinstance(x, np.ndarray) else list(x)
        check_shapes(self.network, arrays)
        wanted = {layer.name for layer in self.network.layers} & set(names)
        outputs, runs = [], []
        for index in range(len(arrays[0])):
            kept: dict[str, np.ndarray] = {}

            def keep(name: str, value: Any, kept: dict[str, np.ndarray] = kept) -> None:
                if name in wanted:
                    kept[name] = value.numpy().copy()

            inputs = [torch.from_numpy(np.ascontiguousarray(array[index : index + 1])) for array in arrays]
            found = run_network(self.network, inputs, keep) if wanted or self.user_network is None else None
            if self.user_network is not None:
                found = run_network(self.user_network, inputs)
            assert found is not None
            outputs.append([output.numpy() for output in found])
            runs.append(kept)
        layers = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)], layers

    def __repr__(self) -> str:
        return f"ExportedModel({self.network.name!r}, {self.calibration_images} images, {self.config})"
