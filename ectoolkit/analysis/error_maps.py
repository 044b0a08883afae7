"""Where errors are: by layer and image, and within a layer's value by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ectoolkit._optional import require
from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.measurement import Measurement, isolated
from ectoolkit.errors import GraphError, InputError
from ectoolkit.quantization.simulation import Simulator

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("cumulative", "isolated")


def image_errors(measurement: Measurement, kind: str = "cumulative") -> pd.DataFrame:
    """The SQNR of every layer for every image.

    Args:
        measurement: of a few images.
        kind: ``"cumulative"`` (everything up to the layer quantized) or ``"isolated"`` (this layer alone).

    Columns: ``layer``, inputs of the network first, then in order of execution; and ``image_0_sqnr_db``,
    ``image_1_sqnr_db`` ... decibels.  Layers that have no such error are left out.
    """
    _require_kind(kind)
    sums = measurement.cumulative_by_image if kind == "cumulative" else measurement.isolated_by_image
    network = measurement.model.network
    names = [name for name in (*network.inputs, *(layer.name for layer in network.layers)) if name in sums[0]]
    columns = [f"image_{image}_sqnr_db" for image in range(len(sums))]
    rows = (
        {"layer": name} | {column: one[name].sqnr_db for column, one in zip(columns, sums, strict=True)}
        for name in names
    )
    return frame(rows, {"layer": "str"} | dict.fromkeys(columns, "float64"))


def error_map(measurement: Measurement, layer: str, image: int, kind: str = "cumulative") -> np.ndarray:
    """Where in a layer's value the error of one image lies.

    Args:
        measurement: of a few images.
        layer: name of a layer or input.
        image: index among the measured ones.
        kind: as for `image_errors`.

    Returns:
        float32 ``(rows, columns)``: root mean square of the error over the channels at each position, real units; of a
        vector one row with its elements' absolute errors.

    Raises:
        GraphError: there is no such layer.
        InputError: there is no such image.
    """
    torch = require("torch", feature="Measuring layers")
    _require_kind(kind)
    if layer not in measurement.floats.batches[0]:
        raise GraphError(
            f"{measurement.model.network.name} has no layer {layer!r}; names are those in the first column of the "
            "layer table"
        )
    if not 0 <= image < measurement.images:
        raise InputError(f"there is no image {image}; {measurement.images} were measured, counted from 0")
    floats = measurement.floats.one(image)
    reference = floats.values(layer)[0]
    with torch.inference_mode():
        if kind == "isolated" and layer not in measurement.model.network.inputs:
            simulator = Simulator(measurement.model.network, measurement.model.scheme)
            found = isolated(simulator, floats.layer(layer), floats.batches[0])
        else:
            found = _simulated(measurement, layer, image)
        error = (found - reference)[0]
        if error.ndim < 2:
            return np.abs(error.reshape(1, -1).numpy())
        power = error.square().mean(0) if error.ndim > 2 else error.square()
    return np.sqrt(power.reshape(power.shape[0], -1).numpy())


def _simulated(measurement: Measurement, layer: str, image: int) -> object:
    for batch, values in enumerate(measurement.batches):
        rows = measurement.floats.rows(batch)
        if image in rows:
            return values[layer] if len(rows) == 1 else values[layer][image - rows[0]][None]
    raise AssertionError(image)


def _require_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}, expected 'cumulative' or 'isolated'")
