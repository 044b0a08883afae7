"""All that is known of a session, to compare two of them in everything but the time that they took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import ectoolkit as ect
from ectoolkit.workflow import Stage


def state_of(flow: ect.Flow) -> dict[str, Any]:
    """By name: states, results, tables, answers and the log."""
    known: dict[str, Any] = {stage.attribute: _stage(stage) for stage in flow.stages}
    known["log"] = [(step.stage, step.method, step.arguments, step.settings) for step in flow.log]
    if flow.quantize.ready:
        quantize = flow.quantize
        known["graph"], known["tuning"] = quantize.graph.sha256, quantize.log
        known["configs"] = [state.config for state in quantize.states]
        known["steps"] = (quantize.can_undo, quantize.can_redo)
    if flow.interpret.ready:
        reference = flow.interpret.result
        known["codes"], known["floats"] = dict(reference.trace.arrays), reference.float_layers
        known["inputs"] = reference.inputs
    if flow.importer.ready:
        known["module"] = flow.importer.module.script()
    if flow.build.ready:
        known["manifest"] = flow.build.deployment.manifest  # with the hash of every file
    if flow.device.ready:
        known["outputs"] = flow.device.result.run.outputs
    known["found"] = {name: _answer(name, found) for name, found in flow.device.found.items()}
    return known


def _stage(stage: Stage[Any]) -> tuple[Any, ...]:
    error = None if stage.error is None else (type(stage.error), str(stage.error))
    told = stage.summary() if stage.ready and stage.attribute != "device" else ""  # the device's tells times
    return str(stage.state), error, stage.notices, stage.generation, told, stage.table if stage.ready else None


def _answer(name: str, found: Any) -> Any:
    if name == "benchmark":
        return found.device, found.deployment, [(load.in_flight, len(load.latency.seconds)) for load in found.loads]
    if name == "judge":
        return found.to_frame(), str(found.location)
    if name == "localize":
        return found.device, str(found.location)
    if name == "error_map":
        return found.title, found.unit, found.differences
    return found


def assert_same(mine: Any, theirs: Any, where: str = "") -> None:
    """Equal in every element."""
    if isinstance(mine, pd.DataFrame):
        pd.testing.assert_frame_equal(mine, theirs, obj=where)
    elif isinstance(mine, pd.Series):
        pd.testing.assert_series_equal(mine, theirs, obj=where)
    elif isinstance(mine, np.ndarray):
        np.testing.assert_array_equal(mine, theirs, err_msg=where)
        assert mine.dtype == theirs.dtype, where
    elif isinstance(mine, Mapping):
        assert set(mine) == set(theirs), where
        for name, value in mine.items():
            assert_same(value, theirs[name], f"{where}.{name}")
    elif isinstance(mine, list | tuple):
        assert len(mine) == len(theirs), where
        for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(one, other, f"{where}[{place}]")
    else:
        assert mine == theirs, where
