"""ectoolkit's rows of ``accuracy.py``: one calibration, many settings; the interpreter runs the integer graph."""

from __future__ import annotations

import functools
from functools import partial

from accuracy_entry import Entry, Logits
from contenders import Task

import ectoolkit as ect
from ectoolkit.quantization.calibrated import Calibrated, calibrate

PLAIN = ect.QuantConfig(corrections=())
EXPECTED = ect.QuantConfig(corrections=("expected_bias",))

SETTINGS: dict[str, ect.QuantConfig] = {
    "default": ect.QuantConfig(),
    "QuantConfig.accurate()": ect.QuantConfig.accurate(),
    "typical": PLAIN,
    "mse": PLAIN.tuned(method="mse"),
    "min-max": PLAIN.tuned(method="minmax"),
    "median": PLAIN.tuned(method="median"),
    "mse, expected bias": EXPECTED.tuned(method="mse"),
    "min-max, expected bias": EXPECTED.tuned(method="minmax"),
    "median, expected bias": EXPECTED.tuned(method="median"),
    "moving average, expected bias": EXPECTED.tuned(method="moving_average"),
    "moving average, bias": ect.QuantConfig(method="moving_average", corrections=("bias",)),
    "mse, equalization, expected bias": ect.QuantConfig.accurate().tuned(method="mse"),
    "equalization": ect.QuantConfig(corrections=("equalization",)),
    "per tensor: min-max": PLAIN.tuned(method="minmax", weights="per_tensor"),
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
