"""Changes of one layer's settings, tried out: what the network's result is before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ectoolkit.analysis.measurement import Measurement, changes
from ectoolkit.analysis.rerunning import output_after
from ectoolkit.frontends.exported import FloatNetwork
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import METHODS, QuantConfig
from ectoolkit.quantization.scheme import Scheme

#: a change that gains less, in decibels, is not worth a setting of its own
LEAST_GAIN_DB = 0.1
#: what running a layer in float must gain, in decibels, over the best integer setting: half the noise power
FLOAT_MARGIN_DB = 3.0

Value = str | int | bool


@dataclass(frozen=True)
class Suggestion:
    """One setting of one layer, and what it gave when it was tried.

    Attributes:
        layer: name.
        setting, value: as in `LayerConfig`.
        before_db, after_db: SQNR of the network's result, everything quantized, decibels.
    """

    layer: str
    setting: str
    value: Value
    before_db: float
    after_db: float

    @property
    def gain_db(self) -> float:
        """Decibels; 0 where both are infinite."""
        return 0.0 if self.after_db == self.before_db else self.after_db - self.before_db

    @property
    def text(self) -> str:
        """For people: "make `x` per-channel: 6.2 → 9.4 dB"."""
        return f"{self._what()}: {self.before_db:.1f} → {self.after_db:.1f} dB"

    def _what(self) -> str:
        name = f"`{self.layer}`"
        if self.setting == "keep_float":
            return f"keep {name} in float"
        if self.setting == "weights":
            return f"make {name} {str(self.value).replace('_', '-')}"
        if self.setting == "method":
            return f"choose the range of {name} by {self.value}"
        return f"give {name} {self.value}-bit {'weights' if self.setting == 'weight_bits' else 'activations'}"

    def applied(self, config: QuantConfig) -> QuantConfig:
        """The settings with this change."""
        return config.tuned(self.layer, **{self.setting: self.value})


def grid_owner(network: FloatNetwork, name: str) -> str:
    """The layer or input whose grid a layer's values lie on: itself, or of those that keep grids the first before."""
    layers = {layer.name: layer for layer in network.layers}
    while name in layers and layers[name].keeps_grid:
        name = layers[name].inputs[0]
    return name


def alternatives(network: FloatNetwork, name: str, config: QuantConfig) -> Iterator[tuple[str, Value]]:
    """Settings that may help a layer or input with a grid of its own, as (setting, value)."""
    layer = next((layer for layer in network.layers if layer.name == name), None)
    if config.keeps_float(name):
        return
    activation = config.range_settings(name, end=layer is None or name in network.outputs)
    if layer is not None and layer.weight is not None:
        weight = config.weight_settings(name)
        if weight.granularity != "per_channel":
            yield "weights", "per_channel"
        if weight.bits < 8:
            yield "weight_bits", 8
    if activation.bits < 8:
        yield "activation_bits", 8
    if activation.clip is None:
        yield from (("method", method) for method in METHODS if method != activation.method)
    if layer is not None:
        yield "keep_float", True


def tried(
    calibrated: Calibrated, config: QuantConfig, measurement: Measurement, layer: str, *, floats: bool = True
) -> list[Suggestion]:
    """Try each alternative for one layer; runs only what it changes and what lies downstream.

    Args:
        calibrated: that the measurement's model came from.
        config: its settings.
        measurement: of the model as it is.
        layer: name; where it keeps its input's grid, whatever decides that grid is changed.
        floats: try to keep it in float as well.
    """
    found, before = [], measurement.output_sqnr_db
    network = measurement.model.network
    layer = grid_owner(network, layer)
    for setting, value in alternatives(network, layer, config):
        if setting == "keep_float" and not floats:
            continue
        model = calibrated.quantize(config.tuned(layer, **{setting: value}))
        if not _equal(measurement.model.scheme, model.scheme):
            found.append(Suggestion(layer, setting, value, before, output_after(measurement, model)))
    return found


def _equal(old: Scheme, new: Scheme) -> bool:
    """True where a change of settings changed no number, as where two methods choose one range."""
    return not any(
        old[name].weight is not new[name].weight
        or old[name].grid != new[name].grid
        or old[name].keep_float != new[name].keep_float
        for name in changes(old, new)
    )


def best(suggestions: Iterable[Suggestion]) -> Suggestion | None:
    """The one to take: what gains most; float only where no integer setting comes near.  None where nothing helps."""
    worth = sorted((one for one in suggestions if one.gain_db >= LEAST_GAIN_DB), key=lambda one: -one.gain_db)
    integer = next((one for one in worth if one.setting != "keep_float"), None)
    if integer is None or worth[0].gain_db < integer.gain_db + FLOAT_MARGIN_DB:
        return integer or next(iter(worth), None)
    return worth[0]


def without_corrections(config: QuantConfig) -> QuantConfig:
    """Settings to try changes with: bias correction and AdaRound would take minutes with each."""
    at_once = tuple(name for name in config.all_corrections if name not in ("bias", "adaround"))
    return config if at_once == config.all_corrections else replace(config, corrections=at_once)
