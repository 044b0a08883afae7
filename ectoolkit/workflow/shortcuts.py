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
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.doors import quantize_module


def quantize(
    module: Any, calibration: Iterable[Any], config: QuantConfig | None = None, *, progress: Progress | None = None
) -> Graph:
    """Quantize a float model.

    Args:
        module: from `load_model`, or any ``nn.Module``; one with QuantStubs goes the U50 guide's way, every other
            is captured by ``torch.export``.
        calibration: images from `sample_photos` or `image_folder`, or preprocessed float32 arrays.
        config: settings; `QuantConfig()` by default.
        progress: called as ``progress(done, total, label)``; may raise to cancel.

    Returns:
        The integer graph.

    Raises:
        QuantizationError: the module cannot be quantized; says why.
        InputError: the calibration data do not fit.
    """
    name = getattr(module, "name", None)
    if isinstance(calibration, ImageSet) and not calibration.is_ready and hasattr(module, "preprocess"):
        calibration = calibration.with_preprocess(module.preprocess)
    module = getattr(module, "module", module)
    return quantize_module(module, calibration, config, name=name, progress=progress).graph


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
