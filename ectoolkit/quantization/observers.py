"""torch observers for the settings of `QuantConfig`, and the one that keeps a ReLU6's ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ectoolkit._notices import warn
from ectoolkit._optional import require
from ectoolkit.errors import PrecisionWarning
from ectoolkit.quantization.config import QuantConfig


def qconfig(config: QuantConfig, ceiling: float | None = None) -> Any:
    """A ``torch.ao.quantization.QConfig``.

    Args:
        config: the settings.
        ceiling: where activations are cut before they are observed: 6 for a layer that ends in ReLU6.
    """
    quantization = require("torch.ao.quantization", feature="Quantizing a module")
    histogram = quantization.HistogramObserver  # whose ranges have the least squared error
    kinds = {"typical": histogram, "mse": histogram, "minmax": quantization.MinMaxObserver}
    weights = {
        "per_channel": quantization.default_per_channel_weight_observer,
        "per_tensor": quantization.default_weight_observer,
    }
    kind = kinds[config.method] if ceiling is None else _with_ceiling(kinds[config.method])
    arguments: dict[str, Any] = {"reduce_range": config.activation_bits == 7}
    if ceiling is not None:
        arguments["ceiling"] = ceiling
    return quantization.QConfig(activation=kind.with_args(**arguments), weight=weights[config.weights])


def warn_of_lost_ceilings(name: str, layers: Sequence[str], config: QuantConfig, stacklevel: int = 2) -> None:
    """Say once which layers' ReLU6 has no effect with these settings.

    Args:
        name: of the model.
        layers: those that end in ReLU6.
        config: the settings.
        stacklevel: of the caller, as `warnings.warn` counts.

    Warns:
        PrecisionWarning: a range on 7 of 8 bits ends at the ceiling, but the codes go on to twice that.
    """
    if config.activation_bits == 8 or not layers:
        return
    warn(
        f"{name}: with activation_bits={config.activation_bits} the ceiling of ReLU6 is lost in layers "
        f"{', '.join(layers)}: their ranges end at code 127, and values up to twice the ceiling use the codes to 255. "
        "Use activation_bits=8, where the last code is the ceiling",
        PrecisionWarning,
        stacklevel=stacklevel + 1,
    )


def _with_ceiling(base: Any) -> Any:
    class CeilingObserver(base):
        """Cuts what it sees, and passes it on cut: the float model is then the ReLU6 model that was trained.

        With 8 bits the cut costs nothing on codes: a range that ends at the ceiling saturates there by itself.  With 7
        it is lost on codes, which go on to twice the ceiling; see `warn_of_lost_ceilings`.
        """

        def __init__(self, ceiling: float, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.ceiling = ceiling

        def forward(self, x: Any) -> Any:
            return super().forward(x.clamp(max=self.ceiling))

    return CeilingObserver
