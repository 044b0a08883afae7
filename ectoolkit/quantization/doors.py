"""Two ways into the integer graph, and which one a module takes.

Modules with a QuantStub and a DeQuantStub go the U50 guide's way (`eager`), which also gives the traced TorchScript
file that the guide and EdgeCortix's compiler want; every other module is captured by ``torch.export`` (`exported`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.eager import QuantizedModel, quantize_eager
from ectoolkit.quantization.exported import ExportedModel


def has_stubs(module: Any) -> bool:
    """True where a module says itself where its integer part begins and ends."""
    kinds = {type(child).__name__ for child in module.modules()}
    return {"QuantStub", "DeQuantStub"} <= kinds


def quantize_module(
    module: Any,
    calibration: Iterable[Any],
    config: QuantConfig | None = None,
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> QuantizedModel | ExportedModel:
    """Quantize a float module; arguments and errors as for `quantize_eager` and `calibrate`.

    Raises:
        QuantizationError: `module` is no ``nn.Module``.
    """
    if not isinstance(module, require("torch", feature="Quantizing a module").nn.Module):
        raise QuantizationError(f"expected an nn.Module to quantize, got {type(module).__name__}")
    if has_stubs(module):
        return quantize_eager(module, calibration, config, name=name, progress=progress)
    return calibrate(module, calibration, name=name, progress=progress).quantize(config, progress=progress)
