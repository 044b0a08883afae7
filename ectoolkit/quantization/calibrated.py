"""A float network and what calibration left of it: every quantization of the model starts here, in milliseconds."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.frontends.exported.execution import run_network
from ectoolkit.quantization.calibration import first_of, samples
from ectoolkit.quantization.collection import Collector, require_network
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.corrections import correct_bias, correct_expected, equalize, level, round_adaptively
from ectoolkit.quantization.derivation import Deriver
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.network_check import check_weights, warn_of_few_images
from ectoolkit.quantization.one_thread import one_thread
from ectoolkit.quantization.prediction import Predictor
from ectoolkit.quantization.scheme import LayerScheme, Scheme
from ectoolkit.quantization.statistics import Statistics

#: images that corrections look at; more changes little
CORRECTION_IMAGES = 32


class Calibrated:
    """A captured network with the statistics of its calibration images.

    Attributes:
        network: the float network.
        statistics: of the images.
        names: of the model's arguments.
    """

    def __init__(
        self,
        network: FloatNetwork,
        statistics: Statistics,
        calibration: Iterable[Any] | None = None,
        *,
        names: Sequence[str] = ("x",),
    ) -> None:
        """`calibration` is what the statistics are of, for corrections, which look at images again.

        Raises:
            QuantizationError: the statistics are of another network, or of none.
        """
        require_network(statistics, network)
        self.network = network
        self.statistics = statistics
        self.names = tuple(names)
        self._calibration = calibration
        self._deriver = Deriver(network, statistics)
        self._predictor = Predictor(network, statistics)
        self._user_network: FloatNetwork | None = None
        self._equalized: dict[str, Calibrated] = {}
        self._expected: dict[int, tuple[LayerScheme, LayerScheme]] = {}
        self._corrected: tuple[Scheme, tuple[str, ...], Scheme] | None = None

    def quantize(self, config: QuantConfig | None = None, *, progress: Progress | None = None) -> ExportedModel:
        """The integer model for these settings.

        Args:
            config: settings, `QuantConfig()` by default.
            progress: of corrections, which take seconds to minutes; without them nothing is slow.

        Raises:
            QuantizationError: the settings do not fit the network, or a layer's numbers cannot be quantized.
        """
        config = config or QuantConfig()
        if "equalization" in config.all_corrections:
            return self._equal(config.weights, progress)._quantize(config, progress)
        return self._quantize(config, progress)

    def _quantize(self, config: QuantConfig, progress: Progress | None) -> ExportedModel:
        derived = self._deriver.derive(config)
        scheme = self._correct(derived, config.all_corrections, progress)
        return ExportedModel(
            self.network, self.statistics, config, scheme, self._predictor, self._user_network, self.names
        )

    def _equal(self, weights: str, progress: Progress | None) -> Calibrated:
        """The same model equalized for such scales of weights; its activations need statistics of their own."""
        if weights not in self._equalized:
            require_correctable(self.network, "equalization")
            network = (equalize if weights == "per_tensor" else level)(self.network, self.statistics)
            statistics = Collector(network).run(self._again("equalization"), progress, names=self.names)
            self._equalized[weights] = Calibrated(network, statistics, self._calibration, names=self.names)
            self._equalized[weights]._user_network = self.network
        return self._equalized[weights]

    def _correct(self, scheme: Scheme, corrections: Sequence[str], progress: Progress | None) -> Scheme:
        wanted = tuple(name for name in corrections if name != "equalization")
        if not wanted:
            return scheme
        if self._corrected is None or not (_same(self._corrected[0], scheme) and self._corrected[1] == wanted):
            self._corrected = scheme, wanted, self._corrected_by(wanted[0], scheme, progress)
        return self._corrected[2]

    def _corrected_by(self, correction: str, scheme: Scheme, progress: Progress | None) -> Scheme:
        if correction == "expected_bias":
            return correct_expected(self.network, self.statistics, scheme, self._expected)
        self._again(correction)
        require_correctable(self.network, correction)
        images = list(self.images(CORRECTION_IMAGES))
        correct = correct_bias if correction == "bias" else round_adaptively
        with one_thread():
            return correct(self.network, scheme, images, progress)

    def images(self, count: int) -> Iterable[tuple[np.ndarray, ...]]:
        """The first images once more: the inputs of one run each, float32 ``(1, ...)``.

        Raises:
            QuantizationError: there are only statistics.
        """
        return itertools.islice(samples(self._again("a look"), self.names), count)

    def _again(self, correction: str) -> Iterable[Any]:
        if self._calibration is None:
            raise QuantizationError(
                f"{correction} looks at calibration images again, and there are only statistics; give the images too"
            )
        return self._calibration


def _same(first: Scheme, second: Scheme) -> bool:
    """True where each layer's scheme is the very same object."""
    return first.hardware == second.hardware and all(
        second.layers.get(name) is layer for name, layer in first.layers.items()
    )


def calibrate(
    module: Any,
    calibration: Iterable[Any],
    *,
    name: str | None = None,
    progress: Progress | None = None,
    collector: Collector | None = None,
    statistics: Statistics | None = None,
    keep: Callable[[Collector], None] | None = None,
) -> Calibrated:
    """Capture a module and see its calibration images once.

    Args:
        module: any ``nn.Module`` that ``torch.export`` captures; not changed.
        calibration: preprocessed images, or for a model with several inputs tuples or dicts of them; see
            `ectoolkit.quantization.calibration.samples`.
        name: of the graph, the module's class by default.
        progress: called after each image; it may raise to cancel.
        collector: of an earlier run of the same module that was cancelled: goes on from there.
        statistics: of an earlier session, complete or not: what they saw is not run again.
        keep: is given the collector before it begins, to go on with after a cancel.

    Raises:
        UnsupportedOpError: an operation has no definition; names it, its layer and the remedy.
        GraphError: torch cannot export the module.
        InputError: the calibration data are not images for this module.
        QuantizationError: the statistics are of another network, or of other images.
    """
    names = argument_names(module)
    first, calibration = first_of(calibration, names)
    if iter(calibration) is calibration:
        calibration = list(calibration)  # corrections look again
    network = collector.network if collector else capture(module, [array.shape for array in first], name=name)
    check_weights(network)
    collector = collector or Collector(network, statistics)
    if keep is not None:
        keep(collector)
    found = collector.run(calibration, progress, names=names)
    warn_of_few_images(network.name, found.images)
    return Calibrated(network, found, calibration, names=names)


def require_correctable(network: FloatNetwork, correction: str) -> None:
    """Corrections go channel by channel along axis 1, and AdaRound over the windows of convolutions.

    Raises:
        QuantizationError: a layer with weights has its channels elsewhere, or is one that AdaRound does not know.
    """
    ranks = ranks_of(network)
    for layer in network.layers:
        if layer.weight is None:
            continue
        last = layer.op == "linear" and ranks[layer.name] != 2
        if last or (correction == "adaround" and layer.op == "conv_transpose2d"):
            why = "has its channels along the last axis" if last else f"is a {layer.op}"
            raise QuantizationError(
                f"{correction} is not defined for layer {layer.name}, which {why}; quantize {network.name} without "
                f"corrections={correction!r}"
            )


def ranks_of(network: FloatNetwork) -> dict[str, int]:
    """Number of axes of each input and layer, from one run on zeros."""
    torch = require("torch", feature="Correcting a quantized network")
    ranks: dict[str, int] = {}
    zeros = [torch.zeros(shape) for shape in network.inputs.values()]
    run_network(network, zeros, lambda name, value: ranks.update({name: value.ndim}))
    return ranks


def argument_names(module: Any) -> tuple[str, ...]:
    """The arguments of a module's ``forward`` that must be given."""
    parameters = inspect.signature(module.forward).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p.name for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
    return tuple(needed) or ("x",)
