"""Says so where quantization broke the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ectoolkit._notices import in_terms, warn
from ectoolkit.analysis.grades import AGREEMENT_IMAGES, LEAST_AGREEMENT, LEAST_SQNR_DB
from ectoolkit.analysis.measurement import Measurement, measure
from ectoolkit.core import metrics
from ectoolkit.core.metrics import agreement
from ectoolkit.core.words import counted
from ectoolkit.errors import PrecisionWarning
from ectoolkit.quantization.exported import ExportedModel

#: how many layers are named
NAMED = 3


def warn_of_collapse(
    model: ExportedModel,
    images: Iterable[Any] | Measurement,
    *,
    least_sqnr_db: float = LEAST_SQNR_DB,
    least_agreement: float = LEAST_AGREEMENT,
    stacklevel: int = 2,
) -> bool:
    """Warn where the quantized model gives next to nothing of what the float model does.

    Args:
        model: what calibration and settings gave.
        images: a few of the calibration images; or a measurement of this model.
        least_sqnr_db: of the network's result, decibels.
        least_agreement: share of images whose top-1 must be the float model's; looked at for classifiers (one row of
            scores an image) and from 4 images on.
        stacklevel: of the warning.

    Returns:
        True where it warned.

    Warns:
        PrecisionWarning: names the worst layers and a remedy.
    """
    measurement = images if isinstance(images, Measurement) else measure(model, images)
    found = _found(measurement, least_sqnr_db, least_agreement)
    if not found:
        return False
    layers = {name: sums.sqnr_db for name, sums in measurement.isolated.items() if name not in model.network.inputs}
    names = sorted(layers, key=layers.__getitem__)[:NAMED]
    worst = ", ".join(f"{name} ({layers[name]:.1f} dB)" for name in names)
    warn(
        f"{model.network.name} does not survive this quantization: {found} on {counted(measurement.images, 'image')}. "
        f"Worst layers, each quantized alone: {worst}. {_remedy(measurement, names)}",
        PrecisionWarning,
        stacklevel=stacklevel,
    )
    return True


def warn_of_collapsed_outputs(
    name: str, reference: np.ndarray, found: np.ndarray, *, least_sqnr_db: float = LEAST_SQNR_DB, stacklevel: int = 2
) -> bool:
    """`warn_of_collapse` for a model of which only the results are known: float32 of the float and the other model.

    Warns:
        PrecisionWarning: says how far off the results are, and how to find out why.
    """
    sqnr_db = metrics.sqnr_db(reference, found)
    what = ""
    if not sqnr_db >= least_sqnr_db:  # NaN is no result, too
        what = f"its result is at {sqnr_db:.1f} dB, expected {least_sqnr_db:g} dB or more"
    elif reference.ndim == 2 and reference.shape[1] > 1 and len(reference) >= AGREEMENT_IMAGES:
        what = _flipped(agreement(reference, found), LEAST_AGREEMENT)
    if not what:
        return False
    advice = in_terms(
        "Quantize with door='export' to see what each layer costs",
        "Deploy with --accurate, or with --door export, whose warning names the worst layers",
    )
    warn(
        f"{name} does not survive this quantization: {what} on {counted(len(reference), 'image')}. {advice}",
        PrecisionWarning,
        stacklevel=stacklevel,
    )
    return True


def _found(measurement: Measurement, least_sqnr_db: float, least_agreement: float) -> str:
    sqnr_db = measurement.output_sqnr_db
    if not sqnr_db >= least_sqnr_db:
        return f"its result is at {sqnr_db:.1f} dB, expected {least_sqnr_db:g} dB or more"
    output = measurement.model.network.outputs[0]
    scores = measurement.floats.batches[0][output]
    if scores.ndim == 2 and scores.shape[1] > 1 and measurement.images >= AGREEMENT_IMAGES:
        return _flipped(agreement(measurement.float_scores, measurement.simulated_scores), least_agreement)
    return ""


def _flipped(share: float, least_agreement: float) -> str:
    if share >= least_agreement:
        return ""
    return f"the top class stays for {share:.0%}, expected {least_agreement:.0%} or more,"


def _remedy(measurement: Measurement, worst: list[str]) -> str:
    config = measurement.model.config
    if any(config.weight_settings(name).granularity == "per_tensor" for name in worst):
        return in_terms("Quantize with weights='per_channel'", "Deploy with --weights-scheme per_channel")
    settings = [config.weight_settings(name).bits for name in worst]
    settings += [config.range_settings(name).bits for name in worst]
    if min(settings, default=8) < 8:
        return in_terms("Give these layers 8 bits, or all of them", "Deploy with --activation-bits 8")
    if any(config.range_settings(name).method == "percentile" for name in worst):
        less = "which cuts less than a percentile"
        return in_terms(f"Quantize with method='mse', {less}", f"Deploy with --method mse, {less}")
    return in_terms(
        "Calibrate with images that look like yours and went through the model's preprocessing; if they did, keep "
        "these layers in float (keep_float=True), or let ectoolkit.analysis.sensitivity try what helps",
        "Calibrate with images that look like yours (--calibration); if they did, deploy with --accurate, or find out "
        "in a notebook which layers to keep in float: ectoolkit lab",
    )
