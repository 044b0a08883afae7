"""Two ways into the integer graph, and which one a module takes.

A module with a QuantStub and a DeQuantStub can go the U50 guide's way (`eager`), which also gives the guide's traced
TorchScript file; every module can be captured by ``torch.export`` (`calibrated`), which knows every setting.
"""

from __future__ import annotations

from typing import Any

from ectoolkit._optional import require
from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.eager import missing_stubs, unknown_to_eager

DOORS = ("auto", "eager", "export")


def choose_door(module: Any, config: QuantConfig, door: str = "auto") -> str:
    """``"eager"`` or ``"export"``.

    Args:
        module: to be quantized.
        config: the settings.
        door: ``"auto"`` takes the guide's way where the module has stubs and torch's flow knows the settings.

    Raises:
        QuantizationError: `module` is no ``nn.Module``, or the door is unknown.
    """
    if not isinstance(module, require("torch", feature="Quantizing a module").nn.Module):
        raise QuantizationError(f"expected an nn.Module to quantize, got {type(module).__name__}")
    if door not in DOORS:
        raise QuantizationError(f"door is {door!r}, expected {' or '.join(map(repr, DOORS))}")
    if door != "auto":
        return door
    return "eager" if not (missing_stubs(module) or unknown_to_eager(config)) else "export"
