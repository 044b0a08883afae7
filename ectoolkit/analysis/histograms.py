"""The distribution of a layer's values or weights, as calibration left it, beside the grid that it is rounded to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ectoolkit.analysis.plots import own_axes
from ectoolkit.analysis.suggestions import grid_owner
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import GraphError
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.distribution import Distribution
from ectoolkit.quantization.exported import ExportedModel

#: a picture has no room for more
BINS = 256


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of values by size.

    Attributes:
        layer: or input of the network.
        of: ``"activation"`` or ``"weight"``.
        begin: where the first bin begins, real units.
        width: of every bin, real units.
        shares: float64 ``(bins,)``, summing to 1.
        grid: that values are rounded to; None for real numbers.  Of weights the grid with the widest range.
        clip: the range that the grid was made from where a user gave it by hand, real units.
        method: that chose the range, ``"by hand"`` where a user did, empty where the layer has no range of its own.
        adjustable: whether the layer has a range of its own that may be clipped by hand.
        channel_minimum, channel_maximum, channel_mean: float64 ``(channels,)``, real units; empty where nobody looked.
    """

    layer: str
    of: str
    begin: float
    width: float
    shares: np.ndarray
    grid: QuantParams | None
    clip: tuple[float, float] | None
    method: str
    adjustable: bool
    channel_minimum: np.ndarray
    channel_maximum: np.ndarray
    channel_mean: np.ndarray

    @property
    def range(self) -> tuple[float, float]:
        """The clip range: by hand, else of the grid's smallest and largest code, else of the values; real units."""
        if self.clip is not None:
            return self.clip
        if self.grid is not None:
            return grid_range(self.grid)
        return self.begin, self.begin + self.width * len(self.shares)

    def plot(self, axes: Any = None) -> Any:
        """Shares on a logarithmic scale, with the range that has codes shaded; returns matplotlib's axes.

        Args:
            axes: to draw on; on a figure of its own where None.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        axes = own_axes(axes, (6.0, 3.0))
        edges = self.begin + self.width * np.arange(len(self.shares) + 1)
        axes.stairs(np.maximum(self.shares, 1e-12), edges, fill=True, color="0.45")
        axes.set_yscale("log")
        axes.set_ylim(max(float(self.shares[self.shares > 0].min(initial=1.0)) / 2, 1e-9), 1.0)
        low, high = self.range
        axes.axvspan(low, high, color="tab:blue", alpha=0.15, label="range with codes")
        for end in (low, high):
            axes.axvline(end, color="tab:blue", linewidth=1)
        axes.set(xlabel=f"{self.of}, real units", ylabel="share", title=self.layer)
        return axes

    def __repr__(self) -> str:
        return f"Histogram({self.layer!r}, {self.of}, {len(self.shares)} bins)"


def grid_range(grid: QuantParams) -> tuple[float, float]:
    """The real values of the smallest and the largest code of a grid with one scale."""
    scale = float(grid.scalar)
    return scale * (grid.quant_min - grid.zero_point), scale * (grid.quant_max - grid.zero_point)


def find_layer(model: ExportedModel, layer: str) -> FloatLayer | None:
    """A layer by name; None for an input of the network.

    Raises:
        GraphError: there is neither.
    """
    known = next((one for one in model.network.layers if one.name == layer), None)
    if known is None and layer not in model.network.inputs:
        raise GraphError(
            f"{model.network.name} has no layer {layer!r}; names are those in the first column of the layer table"
        )
    return known


def has_own_grid(model: ExportedModel, layer: str) -> bool:
    """True where settings of this very layer or input decide the grid of its values."""
    known = find_layer(model, layer)
    if layer in model.in_float or model.scheme[layer].grid is None:
        return False
    return known is None or not (known.keeps_grid or (known.op == "mean" and model.config.hardware == "dna"))


def histogram(model: ExportedModel, layer: str, of: str = "activation", bins: int = BINS) -> Histogram:
    """The distribution of a layer's output over the calibration images, or of its weights.

    Args:
        model: what calibration and settings gave.
        layer: name of a layer or an input of the network.
        of: ``"activation"`` or ``"weight"``.
        bins: at most so many; neighbours are joined.

    Raises:
        GraphError: there is no such layer, it has no weights, or calibration did not look at it.
    """
    known = find_layer(model, layer)
    if of not in ("activation", "weight"):
        raise GraphError(f"of is {of!r}, expected 'activation' or 'weight'")
    if of == "weight":
        return _of_weights(model, layer, known, bins)
    return _of_activation(model, layer, known, bins)


def _of_activation(model: ExportedModel, layer: str, known: FloatLayer | None, bins: int) -> Histogram:
    statistics = model.statistics.tensors.get(layer)
    if statistics is None or not statistics.count:
        owner = grid_owner(model.network, layer)
        raise GraphError(
            f"calibration did not look at layer {layer}, whose values lie on the grid of {owner}; look there"
        )
    distribution = Distribution.of(statistics)
    together = -(-len(distribution.shares) // bins)
    own = has_own_grid(model, layer)
    settings = model.config.range_settings(layer, end=known is None or layer in model.network.outputs)
    return Histogram(
        layer,
        "activation",
        distribution.begin,
        distribution.width * together,
        _joined(distribution.shares, together),
        model.scheme[layer].grid,
        settings.clip if own else None,
        "" if not own else settings.method if settings.clip is None else "by hand",
        own,
        statistics.channel_minimum.astype(np.float64),
        statistics.channel_maximum.astype(np.float64),
        statistics.channel_total / statistics.channel_count,
    )


def _joined(shares: np.ndarray, together: int) -> np.ndarray:
    padded = np.pad(shares, (0, -len(shares) % together))
    return padded.reshape(-1, together).sum(axis=1)


def _of_weights(model: ExportedModel, layer: str, known: FloatLayer | None, bins: int) -> Histogram:
    if known is None or known.weight is None:
        raise GraphError(f"layer {layer} has no weights; ask for of='activation'")
    counts, edges = np.histogram(known.weight, bins)
    rows = known.weight.reshape(len(known.weight), -1)
    scheme, grid = model.scheme[layer].weight, None
    if scheme is not None:
        largest = model.config.weight_settings(layer).largest
        grid = QuantParams(np.asarray(scheme.scales.max(), np.float32), 0, -largest, largest)
    return Histogram(
        layer,
        "weight",
        float(edges[0]),
        float(edges[1] - edges[0]),
        counts / counts.sum(),
        grid,
        None,
        "",
        False,
        *(np.asarray(found, np.float64) for found in (rows.min(axis=1), rows.max(axis=1), rows.mean(axis=1))),
    )
