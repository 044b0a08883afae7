"""ectoolkit's rows of ``accuracy.py``: one calibration, many settings; the interpreter runs the integer graph."""

from __future__ import annotations

import functools
from functools import partial

from accuracy_entry import Entry, Logits
from contenders import Task

import ectoolkit as ect
from ectoolkit.quantization.calibrated import Calibrated, calibrate

SETTINGS: dict[str, ect.QuantConfig] = {
    "default (mse)": ect.QuantConfig(),
    "min-max": ect.QuantConfig(method="minmax"),
    "moving average": ect.QuantConfig(method="moving_average"),
    "median": ect.QuantConfig(method="median"),
    "mse, expected bias": ect.QuantConfig(corrections=("expected_bias",)),
    "moving average, expected bias": ect.QuantConfig(method="moving_average", corrections=("expected_bias",)),
    "moving average, bias": ect.QuantConfig(method="moving_average", corrections=("bias",)),
    "median, expected bias": ect.QuantConfig(method="median", corrections=("expected_bias",)),
    "QuantConfig.accurate()": ect.QuantConfig.accurate(),
    "per tensor: min-max": ect.QuantConfig(method="minmax", weights="per_tensor"),
    "per tensor: min-max, equalization, bias": ect.QuantConfig(
        method="minmax", weights="per_tensor", corrections=("equalization", "bias")
    ),
}


def entries() -> list[Entry]:
    """One row for each setting."""
    return [Entry(f"ectoolkit, {name}", partial(_run, name)) for name in SETTINGS]


@functools.lru_cache(maxsize=1)
def _calibrated(task: Task) -> Calibrated:
    return calibrate(task.module, task.images)


def _run(name: str, task: Task) -> Logits:
    graph = _calibrated(task).quantize(SETTINGS[name]).graph
    return lambda images: ect.interpret(graph, images)[0]
