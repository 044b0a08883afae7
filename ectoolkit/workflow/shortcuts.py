"""The stages as plain functions, for scripts that want no session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, overload

import numpy as np

from ectoolkit import interpreters
from ectoolkit.analysis.collapse import warn_of_collapse
from ectoolkit.analysis.measurement import measure
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress, Trace
from ectoolkit.data import ImageSet
from ectoolkit.quantization import calibrated
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig, require_config
from ectoolkit.quantization.doors import choose_door
from ectoolkit.quantization.eager import quantize_eager
from ectoolkit.quantization.statistics import Statistics
from ectoolkit.workflow.collapse_check import LOOKED_AT, warn_of_collapsed_eager
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

    Warns:
        PrecisionWarning: the quantized model gives next to nothing of what the float model does; names the worst
            layers and a remedy.  Or the images do not look like the model's.
    """
    module, calibration, name = _plain(module, calibration)
    config = require_config(config, "ect.quantize(module, images, ect.QuantConfig(method='minmax'))")
    if choose_door(module, config, door) == "eager":
        calibration = calibration if not isinstance(calibration, Iterator) else list(calibration)
        eager = quantize_eager(module, calibration, config, name=name, progress=progress)
        warn_of_collapsed_eager(eager, calibration, stacklevel=2)
        return eager.graph
    prepared = calibrated.calibrate(module, calibration, name=name, progress=progress)
    model = prepared.quantize(config, progress=progress)
    warn_of_collapse(model, measure(model, prepared.images(LOOKED_AT)), stacklevel=3)
    return model.graph


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
        QuantizationError: the statistics are of another network, or of other images.
    """
    module, calibration, name = _plain(module, calibration)
    return calibrated.calibrate(module, calibration, name=name, statistics=statistics, progress=progress)


def _plain(module: Any, calibration: Iterable[Any]) -> tuple[Any, Iterable[Any], str | None]:
    """The ``nn.Module`` of a loaded model, images through its preprocessing, and its name."""
    name = getattr(module, "name", None)
    if isinstance(calibration, ImageSet) and not calibration.is_ready and hasattr(module, "preprocess"):
        calibration = calibration.with_preprocess(module.preprocess)
    warn_of_odd_images(name or type(module).__name__, getattr(module, "preprocess", None), calibration, stacklevel=3)
    return getattr(module, "module", module), calibration, name


@overload
def interpret(
    graph: Graph, x: Inputs, *, trace: Literal[False] = False, engine: str = "auto", progress: Progress | None = None
) -> list[np.ndarray]: ...
@overload
def interpret(
    graph: Graph, x: Inputs, *, trace: Literal[True], engine: str = "auto", progress: Progress | None = None
) -> Trace: ...
def interpret(
    graph: Graph, x: Inputs, *, trace: bool = False, engine: str = "auto", progress: Progress | None = None
) -> list[np.ndarray] | Trace:
    """Run a graph exactly.

    Args:
        graph: what to run.
        x: float32 in the model's layout (NCHW where 4-D), any multiple of its batch.
        trace: keep every layer's codes.
        engine: ``"definition"`` is the arithmetic's definition in numpy; ``"fast"`` gives the same in every element
            many times sooner, on torch and its threads; ``"auto"`` is fast where torch is installed.
        progress: called after each layer; may raise to cancel.

    Returns:
        The outputs, float32, NCHW where 4-D; or with `trace` a mapping from layer name to its array.

    Raises:
        InputError: the input does not fit, or there is no such engine.
        MissingDependencyError: the fast engine was asked for, and torch is not installed.
    """
    run = interpreters.trace if trace else interpreters.interpret
    return run(graph, x, engine=engine, progress=progress)
