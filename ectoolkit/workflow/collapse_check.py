"""Was anything left of the model?  Asked after every quantization, of a few calibration images, whichever the door."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.analysis.collapse import warn_of_collapsed_outputs
from ectoolkit.quantization.calibration import batches
from ectoolkit.quantization.eager import QuantizedModel

#: images looked at
LOOKED_AT = 4


def warn_of_collapsed_eager(model: QuantizedModel, images: Iterable[Any], stacklevel: int = 2) -> None:
    """Compare torch's quantized module with the float one.

    Warns:
        PrecisionWarning: next to nothing is left.
    """
    torch = require("torch", feature="Running the quantized module")
    first = [batch[:LOOKED_AT] for batch in islice(batches(images), LOOKED_AT)]
    x = np.concatenate([batch for batch in first if batch.shape[1:] == first[0].shape[1:]])[:LOOKED_AT]
    with torch.no_grad():
        runs = [model.traced(torch.from_numpy(x[i : i + 1])) for i in range(len(x))]
    first_outputs = [run[0] if isinstance(run, tuple | list) else run for run in runs]
    found = np.concatenate([output.numpy() for output in first_outputs])
    warn_of_collapsed_outputs(model.graph.name, model.float_outputs(x)[0], found, stacklevel=stacklevel + 1)
