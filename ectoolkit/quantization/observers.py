"""torch observers for the settings of `QuantConfig`, and the one that keeps a ReLU6's ceiling."""

from __future__ import annotations

from typing import Any

from ectoolkit._optional import require
from ectoolkit.quantization.config import QuantConfig


def qconfig(config: QuantConfig, ceiling: float | None = None) -> Any:
    """A ``torch.ao.quantization.QConfig``.

    Args:
        config: the settings.
        ceiling: where activations are cut before they are observed: 6 for a layer that ends in ReLU6.
    """
    quantization = require("torch.ao.quantization", feature="Quantizing a module")
    kinds = {"mse": quantization.HistogramObserver, "minmax": quantization.MinMaxObserver}
    weights = {
        "per_channel": quantization.default_per_channel_weight_observer,
        "per_tensor": quantization.default_weight_observer,
    }
    kind = kinds[config.method] if ceiling is None else _with_ceiling(kinds[config.method])
    arguments: dict[str, Any] = {"reduce_range": config.activation_bits == 7}
    if ceiling is not None:
        arguments["ceiling"] = ceiling
    return quantization.QConfig(activation=kind.with_args(**arguments), weight=weights[config.weights])


def _with_ceiling(base: Any) -> Any:
    class CeilingObserver(base):
        """Cuts what it sees, and passes it on cut: the float model is then the ReLU6 model that was trained.

        On codes the cut costs nothing: a range that ends at the ceiling saturates there by itself.
        """

        def __init__(self, ceiling: float, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.ceiling = ceiling

        def forward(self, x: Any) -> Any:
            return super().forward(x.clamp(max=self.ceiling))

    return CeilingObserver
