"""Applies suggestions until the result is as good as asked, or nothing helps any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.impact import Impact, measure_impact
from ectoolkit.analysis.measurement import Measurement, measure
from ectoolkit.analysis.suggestions import LEAST_GAIN_DB, Suggestion, best, grid_owner, tried, without_corrections
from ectoolkit.analysis.values import DEFAULT_IMAGES
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import LayerConfig, QuantConfig
from ectoolkit.quantization.exported import ExportedModel

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "layer", "setting", "value", "before_db", "after_db", "gain_db", "suggestion")


@dataclass(frozen=True)
class Budget:
    """What is wanted, and what it may cost.

    Attributes:
        sqnr_db: of the network's result against float, decibels, everything quantized.
        max_layers: how many layers may be given settings of their own; None for any number.
        max_float_layers: how many layers may run in float, those that do already among them.
    """

    sqnr_db: float
    max_layers: int | None = None
    max_float_layers: int = 0

    def __post_init__(self) -> None:
        for name in ("max_layers", "max_float_layers"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise QuantizationError(f"{name} is {value!r}, expected 0 or more layers")


@dataclass(frozen=True, eq=False)
class AutoResult:
    """What `auto` found.

    Attributes:
        steps: what was applied, in order; ``before_db`` and ``after_db`` without corrections of bias and rounding.
        config: the best settings found.
        model: quantized with them.
        budget: what was asked for.
        sqnr_db: of the model's result, decibels, corrections included.
        reason: why it ended where the target was not reached; empty where it was.
    """

    steps: Sequence[Suggestion]
    config: QuantConfig
    model: ExportedModel
    budget: Budget
    sqnr_db: float
    reason: str

    @property
    def reached(self) -> bool:
        """True where the target was met."""
        return self.sqnr_db >= self.budget.sqnr_db

    def to_frame(self) -> pd.DataFrame:
        """One row a step.

        Columns: ``step`` from 1; ``layer``; ``setting`` and ``value`` as in `LayerConfig`, as text; ``before_db``,
        ``after_db``, ``gain_db`` SQNR of the network's result, decibels; ``suggestion`` in words.
        """
        rows = [
            {
                "step": index + 1,
                "layer": one.layer,
                "setting": one.setting,
                "value": str(one.value),
                "before_db": one.before_db,
                "after_db": one.after_db,
                "gain_db": one.gain_db,
                "suggestion": one.text,
            }
            for index, one in enumerate(self.steps)
        ]
        return frame(rows, COLUMNS)

    def __str__(self) -> str:
        steps = "".join(f"\n{index + 1}. {one.text}" for index, one in enumerate(self.steps))
        end = "reached" if self.reached else f"not reached: {self.reason}"
        return f"{self.sqnr_db:.1f} dB after {len(self.steps)} steps, {self.budget.sqnr_db:g} dB {end}{steps}"


class _Search:
    """The state of one search."""

    def __init__(self, calibrated: Calibrated, config: QuantConfig, budget: Budget, measurement: Measurement) -> None:
        self.calibrated = calibrated
        self.start = self.config = config
        self.budget = budget
        self.measurement = measurement
        self.steps: list[Suggestion] = []

    def changed(self) -> set[str]:
        """Layers with other settings than at the start."""
        none = LayerConfig()
        return {name for name, own in self.config.layers.items() if own != self.start.layers.get(name, none)}

    def allowed(self, layer: str) -> bool:
        """True where the budget lets this layer be changed."""
        limit, changed = self.budget.max_layers, self.changed()
        return limit is None or layer in changed or len(changed) < limit

    def step(self, impact: Impact, top: int, progress: Progress | None) -> Suggestion | None:
        """The best change for the worst layers that have any; None where none has."""
        in_float = sum(own.keep_float for own in self.config.layers.values())
        floats = in_float < self.budget.max_float_layers
        found: list[Suggestion] = []
        owners = dict.fromkeys(grid_owner(impact.model.network, name) for name in impact.ranking)
        for index, name in enumerate(filter(self.allowed, owners)):
            if index >= top and best(found) is not None:
                break
            found += tried(self.calibrated, self.config, self.measurement, name, floats=floats)
            if progress is not None:
                done = len(self.steps)
                progress(done, done + 1, f"step {done + 1}, trying {name}")
        return best(found)

    def apply(self, step: Suggestion) -> None:
        """Take a change over."""
        self.config = step.applied(self.config)
        self.measurement = self.measurement.update(self.calibrated.quantize(self.config))
        self.steps.append(step)

    def reason(self) -> str:
        """Why no change was found."""
        limit = self.budget.max_layers
        if limit is not None and len(self.changed()) >= limit:
            return f"max_layers={limit} are changed; allow more"
        return (
            f"no setting of any layer that max_float_layers={self.budget.max_float_layers} allows gains "
            f"{LEAST_GAIN_DB:g} dB; allow more layers in float, or try corrections"
        )


def auto(
    calibrated: Calibrated,
    config: QuantConfig,
    budget: Budget,
    images: Iterable[Any],
    progress: Progress | None = None,
    *,
    top: int = 3,
    limit: int | None = DEFAULT_IMAGES,
) -> AutoResult:
    """Change one layer after another, always what helps most among the worst, until the target is met.

    Args:
        calibrated: the model.
        config: settings to start from.
        budget: what is wanted, and what it may cost.
        images: preprocessed, as for calibration.
        progress: called after each layer that is tried; it may raise to cancel.
        top: how many layers, the worst first, are tried for each step; more where nothing helps these.
        limit: how many of the images to look at; None for all.

    Returns:
        The best that was found, whether the target is met or not.

    Raises:
        QuantizationError: the settings do not fit the network.
        InputError: an item is no input for this network, or there is none.
    """
    corrected = measure(calibrated.quantize(config, progress=progress), images, limit=limit)
    if corrected.output_sqnr_db >= budget.sqnr_db:
        return AutoResult((), config, corrected.model, budget, corrected.output_sqnr_db, "")
    plain = without_corrections(config)
    first = corrected if plain == config else corrected.update(calibrated.quantize(plain))
    search = _Search(calibrated, plain, budget, first)
    reason = _run(search, top, progress)
    if plain == config:
        return AutoResult(tuple(search.steps), search.config, *_ends(search.measurement, budget), reason)
    final = search.config.tuned(corrections=config.corrections)
    found = search.measurement.update(calibrated.quantize(final, progress=progress))
    if not reason and found.output_sqnr_db < budget.sqnr_db:
        reason = (
            f"corrections {', '.join(config.all_corrections)} take from what was reached without them; leave them out"
        )
    return AutoResult(tuple(search.steps), final, *_ends(found, budget), reason)


def _ends(found: Measurement, budget: Budget) -> tuple[ExportedModel, Budget, float]:
    return found.model, budget, found.output_sqnr_db


def _run(search: _Search, top: int, progress: Progress | None) -> str:
    """Take steps until the target is met; otherwise gives the reason why there are no more."""
    impact = None
    while search.measurement.output_sqnr_db < search.budget.sqnr_db:
        model = search.measurement.model
        impact = measure_impact(model, search.measurement) if impact is None else impact.update(model)
        step = search.step(impact, top, progress)
        if step is None:
            return search.reason()
        search.apply(step)
    return ""
