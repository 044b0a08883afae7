"""What a user may decide about quantization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.settings import RangeSettings, WeightSettings

METHODS = ("typical", "mse", "minmax", "percentile", "entropy", "moving_average", "median")
WEIGHTS = ("per_channel", "per_tensor")
ACTIVATION_BITS = (8, 7, 6, 5, 4)
WEIGHT_BITS = (8, 7, 6, 5, 4, 3, 2)
HARDWARE = ("", "dna")
CORRECTIONS = ("equalization", "expected_bias", "bias", "adaround")
#: what is corrected where nobody chose
DEFAULT_CORRECTIONS = ("expected_bias",)


@dataclass(frozen=True)
class LayerConfig:
    """What one layer has of its own; None leaves it to the network's `QuantConfig`.

    Attributes:
        method, percentile, activation_bits, symmetric: of the layer's output, as in `QuantConfig`.
        weights, weight_bits: of its weights, as in `QuantConfig`.
        clip: the output's range by hand, (smallest, largest) in real units; 0 must lie in it.
        keep_float: run the layer in float.
    """

    method: str | None = None
    percentile: float | None = None
    weights: str | None = None
    weight_bits: int | None = None
    activation_bits: int | None = None
    symmetric: bool | None = None
    clip: tuple[float, float] | None = None
    keep_float: bool = False

    def __post_init__(self) -> None:
        _check(self)
        if self.clip is not None:
            clip = _numbers(self.clip)
            if (
                len(clip) != 2
                or not clip[0] <= 0 <= clip[1]
                or clip[0] == clip[1]
                or max(map(abs, clip)) == float("inf")
            ):
                raise QuantizationError(
                    f"clip is {self.clip!r}, expected (smallest, largest) around 0, in real units: zero padding and "
                    "ReLU need a code for 0"
                )
            object.__setattr__(self, "clip", clip)

    def __repr__(self) -> str:
        given = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"LayerConfig({', '.join(given)})"


@dataclass(frozen=True)
class QuantConfig:
    """Settings of a quantization.

    Attributes:
        method: how an activation's range is chosen from the calibration images: ``"mse"`` takes the range with the
            least squared error over a histogram, ``"typical"`` the same but hardly wider than most images need,
            ``"minmax"`` the smallest and largest value seen, ``"percentile"`` cuts the same share at both ends,
            ``"entropy"`` minimises KL divergence, ``"moving_average"`` averages each image's smallest and largest
            value, ``"median"`` takes their medians.  ``"typical"`` and ``"median"`` cut no vector of features.  What
            the network takes and returns is never cut unless its layer says so.
        percentile: for ``method="percentile"``, in percent.
        weights: ``"per_channel"`` (one scale for each output channel) or ``"per_tensor"``.
        weight_bits: 2 to 8, sign included.
        activation_bits: 4 to 8.  With ``hardware="dna"``, and for a module with QuantStubs (8 or 7 there), fewer bits
            are torch's ``reduce_range``: the range spreads over fewer codes, and values beyond it still use the others.
        symmetric: real 0 in the middle of an activation's codes, which are then int8 codes plus 128.
        hardware: ``"dna"`` keeps to what EdgeCortix's accelerator computes: zero points up to 127 (their simulator is
            wrong above), its truncating average pool, its residual add; ``""`` computes these as precisely as integers
            allow.
        corrections: of ``"equalization"`` (of weights between layers), ``"expected_bias"`` (of what rounded weights do
            to each layer's mean, from statistics alone and at once), ``"bias"`` (of the mean error in whole runs, for
            ranges that cut next to nothing) and ``"adaround"`` (learned rounding); one of the last three.  None is
            `DEFAULT_CORRECTIONS`, ``("expected_bias",)``.
        layers: what single layers have of their own, by name; a `LayerConfig` or a dict of its fields.
        fuse: lists of module names to fuse (convolution, batch norm, ReLU), for modules with QuantStubs and without
            ``fuse_model`` whose layers do not follow each other in an ``nn.Sequential``.

    On the U50 guide's way (``door="eager"``) torch's own observers choose ranges, a histogram's where `method` is
    ``"typical"`` or ``"mse"``, and nothing is corrected.
    """

    method: str = "typical"
    percentile: float = 99.99
    weights: str = "per_channel"
    weight_bits: int = 8
    activation_bits: int = 8
    symmetric: bool = False
    hardware: str = ""
    corrections: tuple[str, ...] | None = None
    layers: Mapping[str, LayerConfig] = field(default_factory=dict)
    fuse: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        if not isinstance(self.layers, Mapping):
            raise QuantizationError(
                f"layers is {self.layers!r}, expected a dict of layers' names and their settings, like "
                "{'conv1': {'weight_bits': 7}}"
            )
        if isinstance(self.fuse, str) or not all(_is_names(group) for group in _items(self.fuse)):
            raise QuantizationError(
                f"fuse is {self.fuse!r}, expected lists of module names, like [['conv', 'norm', 'relu']]"
            )
        object.__setattr__(self, "layers", {name: _layer_config(name, own) for name, own in self.layers.items()})
        object.__setattr__(self, "fuse", tuple(tuple(group) for group in self.fuse))
        if self.corrections is not None:
            object.__setattr__(self, "corrections", _checked_corrections(self.corrections))

    @property
    def all_corrections(self) -> tuple[str, ...]:
        """`corrections`, and where nobody chose any the default ones."""
        return DEFAULT_CORRECTIONS if self.corrections is None else self.corrections

    @classmethod
    def guide(cls) -> QuantConfig:
        """The U50 guide's setting: ``torch.ao.quantization.get_default_qconfig('fbgemm')``, nothing corrected."""
        return cls(method="mse", weights="per_channel", activation_bits=7, corrections=())

    @classmethod
    def accurate(cls) -> QuantConfig:
        """What did best on each network of ``benchmarks/accuracy.py``; sees calibration images twice."""
        return cls(corrections=("equalization", "expected_bias"))

    def tuned(self, layer: str | None = None, **changes: Any) -> QuantConfig:
        """A copy with some settings changed, of the network or of one layer.

        Raises:
            QuantizationError: there is no such setting, or the value is none of those allowed.
        """
        kind = QuantConfig if layer is None else LayerConfig
        known = [f.name for f in fields(kind)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise QuantizationError(f"there is no setting {unknown[0]!r}; there are {', '.join(known)}")
        if layer is None:
            return replace(self, **changes)
        own = replace(self.layers.get(layer, LayerConfig()), **changes)
        layers = {**self.layers, layer: own}
        if own == LayerConfig():
            del layers[layer]
        return replace(self, layers=layers)

    def range_settings(self, layer: str, *, end: bool = False) -> RangeSettings:
        """What decides the grid of a layer; `end`: the network takes or returns it, and it is cut only on request."""
        own = self.layers.get(layer, LayerConfig())
        method = own.method or ("minmax" if end else self.method)
        return RangeSettings(
            method,
            (self.percentile if own.percentile is None else own.percentile) if method == "percentile" else 100.0,
            own.activation_bits or self.activation_bits,
            self.symmetric if own.symmetric is None else own.symmetric,
            own.clip,
            127 if self.hardware == "dna" else 255,
            self.hardware == "dna",
        )

    def weight_settings(self, layer: str) -> WeightSettings:
        """What decides the scales of a layer's weights."""
        own = self.layers.get(layer, LayerConfig())
        return WeightSettings(own.weights or self.weights, own.weight_bits or self.weight_bits)

    def keeps_float(self, layer: str) -> bool:
        """True where the layer is to run in float."""
        return layer in self.layers and self.layers[layer].keep_float

    def __repr__(self) -> str:
        defaults = QuantConfig()
        given = (f.name for f in fields(self) if getattr(self, f.name) != getattr(defaults, f.name))
        return f"QuantConfig({', '.join(f'{name}={getattr(self, name)!r}' for name in given)})"


_ALLOWED: Mapping[str, tuple[Any, ...]] = {
    "method": METHODS,
    "weights": WEIGHTS,
    "weight_bits": WEIGHT_BITS,
    "activation_bits": ACTIVATION_BITS,
    "symmetric": (True, False),
    "hardware": HARDWARE,
    "keep_float": (True, False),
}


def _numbers(pair: Any) -> tuple[float, ...]:
    """Of a pair; nothing where it is none."""
    try:
        return tuple(float(end) for end in pair)
    except (TypeError, ValueError):
        return ()


def _items(given: Any) -> tuple[Any, ...]:
    """Of a list or tuple, or one that is no list of names where it is neither."""
    return tuple(given) if isinstance(given, list | tuple) else (None,)


def _is_names(group: Any) -> bool:
    return isinstance(group, list | tuple) and all(isinstance(name, str) for name in group)


def require_config(given: Any, call: str) -> QuantConfig:
    """The settings that were given all in one, the default ones for None.

    Args:
        given: what should be a `QuantConfig`.
        call: how to give settings one by one, for the error.

    Raises:
        QuantizationError: it is something else.
    """
    if given is None:
        return QuantConfig()
    if not isinstance(given, QuantConfig):
        raise QuantizationError(f"config is {given!r}, expected an ect.QuantConfig. Single settings: {call}")
    return given


def _layer_config(name: str, given: Any) -> LayerConfig:
    """Settings of a layer that may be written as a plain dict."""
    if isinstance(given, LayerConfig):
        return given
    known = [f.name for f in fields(LayerConfig)]
    if not isinstance(given, Mapping):
        raise QuantizationError(
            f"the settings of layer {name} are {given!r}, expected a LayerConfig or a dict of its fields: "
            f"{', '.join(known)}"
        )
    unknown = [key for key in given if key not in known]
    if unknown:
        raise QuantizationError(f"there is no setting {unknown[0]!r}; there are {', '.join(known)}")
    return LayerConfig(**given)


def _check(config: QuantConfig | LayerConfig) -> None:
    optional = isinstance(config, LayerConfig)
    for name, allowed in _ALLOWED.items():
        value = getattr(config, name, allowed[0])
        if value not in allowed and not (optional and value is None):
            raise QuantizationError(f"{name} is {value!r}, expected {_listed(allowed)}")
    percentile = config.percentile
    if percentile is not None and not (isinstance(percentile, Real) and 50 < percentile <= 100):
        raise QuantizationError(f"percentile is {percentile!r}, expected percent above 50 and up to 100, like 99.99")


def _checked_corrections(given: str | Iterable[str]) -> tuple[str, ...]:
    """In the order they are made in."""
    if not isinstance(given, Iterable):
        raise QuantizationError(f"corrections is {given!r}, expected names of {_listed(CORRECTIONS)}")
    given = (given,) if isinstance(given, str) else tuple(given)
    unknown = [name for name in given if name not in CORRECTIONS]
    if unknown:
        raise QuantizationError(f"corrections holds {unknown[0]!r}, expected of {_listed(CORRECTIONS)}")
    last = [name for name in CORRECTIONS[1:] if name in given]
    if len(last) > 1:
        raise QuantizationError(
            f"corrections holds {last[0]!r} and {last[1]!r}, which undo each other; choose one of them"
        )
    return tuple(name for name in CORRECTIONS if name in given)


def _listed(values: tuple[Any, ...]) -> str:
    *most, last = (repr(value) for value in values)
    return f"{', '.join(most)} or {last}"
