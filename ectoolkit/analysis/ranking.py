"""Which layers cost the result most, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.impact import Impact, measure_impact
from ectoolkit.analysis.measurement import Measurement, measure
from ectoolkit.analysis.plots import draw_sensitivity
from ectoolkit.analysis.suggestions import Suggestion, best, grid_owner, tried, without_corrections
from ectoolkit.analysis.values import DEFAULT_IMAGES
from ectoolkit.core.interpreter import Progress
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "layer",
    "op",
    "impact_sqnr_db",
    "setting",
    "value",
    "before_db",
    "after_db",
    "gain_db",
    "suggestion",
)


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Layers by impact, with what was tried for the worst.

    Attributes:
        measurement: of the model with the settings given, corrections of bias and rounding left out.
        impact: of all layers.
        trials: everything that was tried, in order.
    """

    measurement: Measurement
    impact: Impact
    trials: Sequence[Suggestion]

    @property
    def suggestions(self) -> list[Suggestion]:
        """The best for each layer where anything helps; what gains most comes first."""
        layers = dict.fromkeys(one.layer for one in self.trials)
        chosen = (best(one for one in self.trials if one.layer == layer) for layer in layers)
        return sorted((one for one in chosen if one is not None), key=lambda one: -one.gain_db)

    def plot(self, top: int = 20, axes: Any = None) -> Any:
        """A matplotlib picture of the worst layers; returns its axes."""
        return draw_sensitivity(self.to_frame(), top, axes)

    def to_frame(self) -> pd.DataFrame:
        """One row a layer that rounds anything, the worst first.

        Columns: ``layer``; ``op``; ``impact_sqnr_db`` SQNR of the network's result where this layer alone is
        quantized; ``setting`` and ``value`` of the suggestion as in `LayerConfig`, as text, empty where nothing was
        tried or nothing helps, and of the layer whose grid it is where this one has none of its own; ``before_db`` and
        ``after_db`` SQNR of the network's result with everything quantized, ``gain_db`` their difference, NaN where
        there is no suggestion; ``suggestion`` in words.  All decibels.
        """
        suggestions = {one.layer: one for one in self.suggestions}
        rows = []
        for name in self.impact.ranking:
            one = suggestions.get(grid_owner(self.impact.model.network, name))
            rows.append(
                {
                    "layer": name,
                    "op": self.impact.floats.layer(name).op,
                    "impact_sqnr_db": self.impact.sqnr_db[name],
                    "setting": "" if one is None else one.setting,
                    "value": "" if one is None else str(one.value),
                    "before_db": float("nan") if one is None else one.before_db,
                    "after_db": float("nan") if one is None else one.after_db,
                    "gain_db": float("nan") if one is None else one.gain_db,
                    "suggestion": "" if one is None else one.text,
                }
            )
        return frame(rows, COLUMNS)

    def __repr__(self) -> str:
        first = next((one.text for one in self.suggestions), "nothing that was tried helps")
        return f"Sensitivity({self.measurement.model.network.name!r}, {first})"


def sensitivity(
    calibrated: Calibrated,
    config: QuantConfig,
    images: Iterable[Any],
    progress: Progress | None = None,
    *,
    top: int = 3,
    limit: int | None = DEFAULT_IMAGES,
) -> Sensitivity:
    """Rank the layers, and try out for the worst what might help.

    Every suggestion was simulated: its numbers are of the whole network with this one change.  Corrections of bias and
    rounding are left out, since they would run anew with each trial.

    Args:
        calibrated: the model.
        config: settings to start from.
        images: preprocessed, as for calibration.
        progress: called after each layer that is measured or tried; it may raise to cancel.
        top: for how many layers, the worst first, something is tried.
        limit: how many of the images to look at; None for all.

    Raises:
        QuantizationError: the settings do not fit the network.
        InputError: an item is no input for this network, or there is none.
    """
    plain = without_corrections(config)
    measurement = measure(calibrated.quantize(plain, progress=progress), images, limit=limit)
    layers = len(measurement.model.network.layers)
    steps = None if progress is None else lambda done, _, name: progress(done, layers + top, name)
    impact = measure_impact(measurement.model, measurement, progress=steps)
    trials: list[Suggestion] = []
    owners = dict.fromkeys(grid_owner(measurement.model.network, name) for name in impact.ranking)
    for index, name in enumerate(list(owners)[:top]):
        trials += tried(calibrated, plain, measurement, name)
        if progress is not None:
            progress(layers + index + 1, layers + top, f"trying {name}")
    return Sensitivity(measurement, impact, tuple(trials))
