"""The stages as plain functions, for scripts that want no session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, overload

import numpy as np

from ectoolkit.core import interpreter
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress, Trace
from ectoolkit.data import ImageSet
from ectoolkit.quantization import calibrated
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.doors import quantize_module
from ectoolkit.quantization.statistics import Statistics
from ectoolkit.workflow.image_check import warn_of_odd_images


def quantize(
    module: Any,
    calibration: Iterable[Any],
    config: QuantConfig | None = None,
    *,
    door: str = "auto",
    progress: Progress | None = None,
) -> Graph:
    """Quantize a float model.

    Args:
        module: from `load_model`, or any ``nn.Module``.
        calibration: images from `sample_photos` or `image_folder`, or preprocessed float32 arrays; for a module with
            several inputs, tuples or dicts of arrays.
        config: settings; `QuantConfig()` by default.
        door: ``"eager"`` is the U50 guide's way, for modules with QuantStubs; ``"export"`` captures any module with
            ``torch.export``; ``"auto"`` takes the guide's where the module has stubs and torch's flow knows the
            settings.
        progress: called as ``progress(done, total, label)``; may raise to cancel.

    Returns:
        The integer graph.

    Raises:
        QuantizationError: the module cannot be quantized; says why.
        InputError: the calibration data do not fit.
    """
    module, calibration, name = _plain(module, calibration)
    return quantize_module(module, calibration, config, name=name, door=door, progress=progress).graph


def calibrate(
    module: Any,
    calibration: Iterable[Any],
    *,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """See the calibration images once; then ``.quantize(config)`` takes milliseconds, as often as wanted.

    Args:
        module, calibration: as for `quantize`.
        statistics: from `load_statistics`: images that they saw are not run again.
        progress: called after each image; may raise to cancel.

    Raises:
        UnsupportedOpError: an operation has no definition; names it, its layer and the remedy.
        InputError: the calibration data do not fit.
    """
    module, calibration, name = _plain(module, calibration)
    return calibrated.calibrate(module, calibration, name=name, statistics=statistics, progress=progress)


def _plain(module: Any, calibration: Iterable[Any]) -> tuple[Any, Iterable[Any], str | None]:
    """The ``nn.Module`` of a loaded model, images through its preprocessing, and its name."""
    name = getattr(module, "name", None)
    if isinstance(calibration, ImageSet) and not calibration.is_ready and hasattr(module, "preprocess"):
        calibration = calibration.with_preprocess(module.preprocess)
    warn_of_odd_images(str(name), getattr(module, "preprocess", None), calibration, stacklevel=3)
    return getattr(module, "module", module), calibration, name


@overload
def interpret(
    graph: Graph, x: Inputs, *, trace: Literal[False] = False, progress: Progress | None = None
) -> list[np.ndarray]: ...
@overload
def interpret(graph: Graph, x: Inputs, *, trace: Literal[True], progress: Progress | None = None) -> Trace: ...
def interpret(
    graph: Graph, x: Inputs, *, trace: bool = False, progress: Progress | None = None
) -> list[np.ndarray] | Trace:
    """Run a graph exactly.

    Args:
        graph: what to run.
        x: float32 in the model's layout (NCHW where 4-D), any multiple of its batch.
        trace: keep every layer's codes.
        progress: called after each layer.

    Returns:
        The outputs, float32, NCHW where 4-D; or with `trace` a mapping from layer name to its array.
    """
    if trace:
        return interpreter.trace(graph, x, progress=progress)
    return interpreter.interpret(graph, x, progress=progress)
