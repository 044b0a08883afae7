"""One row an image: what quantization does to its result, and which layer has most to do with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.impact import measure_impact
from ectoolkit.analysis.measurement import Measurement, measure, require_same
from ectoolkit.analysis.values import BATCH
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import InputError
from ectoolkit.quantization.calibration import samples
from ectoolkit.quantization.exported import ExportedModel

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "image": "str",
    "label": "str",
    "float_class": "str",
    "quantized_class": "str",
    "float_top1": "int64",
    "quantized_top1": "int64",
    "flipped": "bool",
    "float_margin": "float64",
    "quantized_margin": "float64",
    "sqnr_db": "float64",
    "worst_layer": "str",
    "worst_layer_sqnr_db": "float64",
}


def image_table(
    model: ExportedModel,
    images: Iterable[Any],
    names: Sequence[str] | None = None,
    labels: Sequence[object] | None = None,
    measurement: Measurement | None = None,
    progress: Progress | None = None,
    *,
    class_names: Sequence[str] = (),
    explain_all: bool = False,
) -> pd.DataFrame:
    """A classifier's images, in simulation; scores are the network's first output.

    Args:
        model: what calibration and settings gave.
        images: preprocessed, as for calibration; a few at a time are held in memory.
        names: of the images; ``0``, ``1``, ... where None.
        labels: true classes, indices or names, None where unknown.
        measurement: of these very images and this quantization, to save the run.
        progress: called after each few images; it may raise to cancel.
        class_names: of the scores, where they are known; labels that are indices then show as names too.
        explain_all: look for the worst layer of images that do not flip, too.

    Columns: ``image``; ``label``, empty where unknown; ``float_class`` and ``quantized_class``, the names of the top
    classes, left out where names are not known; ``float_top1`` and ``quantized_top1``, their indices; ``flipped``
    whether they differ; ``float_margin`` the float model's best score less its second, and ``quantized_margin`` the
    quantized score of the float model's class less the best other one, below 0 where flipped, both in the scores'
    unit; ``sqnr_db`` of this image's result; ``worst_layer`` the layer with the largest impact: quantized alone, it
    makes the largest error in this image's result (a stand-in for trying each layer in float, which costs as many
    quantized runs again), ``worst_layer_sqnr_db`` the SQNR of that; empty and NaN where nobody looked.

    Raises:
        QuantizationError: the measurement is of another quantization.
        InputError: an item is no input for this network, names or labels are not one an image, or there are not as
            many class names as scores.
    """
    if measurement is not None:
        require_same(model, measurement.model, "measurement")
    rows: list[dict[str, object]] = []
    for part in [measurement] if measurement is not None else _measured(model, images):
        scores = part.float_scores.shape[1]
        if class_names and scores != len(class_names):
            raise InputError(f"got {len(class_names)} class names for {scores} scores, expected one for each")
        rows += _rows(part, explain_all)
        if progress is not None:
            progress(len(rows), len(rows), f"image {len(rows)}")
    for what, given in (("names", names), ("labels", labels)):
        if given is not None and len(given) != len(rows):
            raise InputError(f"got {len(given)} {what} for {len(rows)} images, expected one for each")
    for index, row in enumerate(rows):
        row["image"] = str(index) if names is None else str(names[index])
        row["label"] = "" if labels is None else _named(labels[index], class_names)
        row["float_class"] = _named(row["float_top1"], class_names)
        row["quantized_class"] = _named(row["quantized_top1"], class_names)
    known = COLUMNS if class_names else {name: kind for name, kind in COLUMNS.items() if not name.endswith("_class")}
    return frame(rows, known)


def _named(label: object, class_names: Sequence[str]) -> str:
    """A class by its name; a label that is no index of a class is a name already."""
    if isinstance(label, int | np.integer) and 0 <= label < len(class_names):
        return class_names[int(label)]
    return "" if label is None else str(label)


def _measured(model: ExportedModel, images: Iterable[Any]) -> Iterable[Measurement]:
    waiting: list[Any] = []
    for arrays in samples(images, model.argument_names):
        waiting.append(arrays[0] if len(arrays) == 1 else arrays)
        if len(waiting) == BATCH:
            yield measure(model, waiting)
            waiting = []
    if waiting:
        yield measure(model, waiting)


def _rows(measurement: Measurement, explain_all: bool) -> list[dict[str, object]]:
    rows = []
    pairs = zip(measurement.float_scores, measurement.simulated_scores, strict=True)
    for image, (reference, found) in enumerate(pairs):
        best, chosen = int(reference.argmax()), int(found.argmax())
        row: dict[str, object] = {
            "float_top1": best,
            "quantized_top1": chosen,
            "flipped": best != chosen,
            "float_margin": _margin(reference, best),
            "quantized_margin": _margin(found, best),
            "sqnr_db": measurement.image_sqnr_db(image),
        }
        if explain_all or best != chosen:
            impact = measure_impact(measurement.model, measurement.floats.one(image))
            known = impact.sqnr_db
            row["worst_layer"] = next(iter(impact.ranking), "")
            row["worst_layer_sqnr_db"] = min(known.values())
        rows.append(row)
    return rows


def _margin(scores: np.ndarray, best: int) -> float:
    """The score of a class less the best other one; NaN where there is no other."""
    others = np.delete(scores, best)
    return float(scores[best] - others.max()) if len(others) else float("nan")
