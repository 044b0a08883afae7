"""Runs what lies downstream of a change, from values that were kept, and keeps nothing but the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ectoolkit._optional import require
from ectoolkit.analysis.measurement import Measurement, changes
from ectoolkit.analysis.sums import error_sums
from ectoolkit.analysis.values import FloatValues, Values, by_image
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import last_uses
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.simulation import Simulator

#: a layer and its inputs to its result
Run = Callable[[FloatLayer, Sequence[Any]], Any]


def rerun(network: FloatNetwork, values: Values, replaced: Values, run: Run, changed: Iterable[str] = ()) -> Values:
    """The outputs after a change.

    Args:
        network: whose layers.
        values: of every layer before the change; not changed.
        replaced: values of changed inputs and layers, which are not run.
        run: runs one layer.
        changed: layers to run although their inputs are as before.

    Returns:
        The outputs that the change reaches, by name.
    """
    fresh, again, last = dict(replaced), set(changed), last_uses(network)
    for layer in network.layers:
        if layer.name not in replaced and (layer.name in again or any(name in fresh for name in layer.inputs)):
            fresh[layer.name] = run(layer, [fresh[name] if name in fresh else values[name] for name in layer.inputs])
        for name in last[layer.name]:
            fresh.pop(name, None)
    return {name: fresh[name] for name in network.outputs if name in fresh}


def output_sums(
    floats: FloatValues, batch: int, outputs: Values, *, to_users: bool = False
) -> list[tuple[ErrorSums, ...]]:
    """For each image of a batch, the sums of each output; those that are missing are as the float model has them.

    `to_users`: compared with the user's own network, also where it was equalized.
    """
    columns = []
    values, references = floats.batches, floats.references
    if to_users:
        values, references = floats.outputs, floats.output_references
    for name in floats.network.outputs:
        known = [references[image][name] for image in floats.rows(batch)]
        if name in outputs:
            reference, images = values[batch][name], len(known)
            known = error_sums(known, by_image(reference, images), by_image(outputs[name], images))
        columns.append(known)
    return list(zip(*columns, strict=True))


def worst(images: Iterable[Sequence[ErrorSums]]) -> float:
    """SQNR of the worst output over images, decibels."""
    return min(sum(parts, ErrorSums()).sqnr_db for parts in zip(*images, strict=True))


def output_after(measurement: Measurement, model: ExportedModel) -> float:
    """What `Measurement.output_sqnr_db` would be for another quantization of the same network.

    Runs only changed layers and what lies downstream of them, and measures nothing on the way.
    """
    torch = require("torch", feature="Measuring layers")
    network, floats = model.network, measurement.floats
    if network is not measurement.model.network:
        return measurement.update(model).output_sqnr_db
    simulator = Simulator(network, model.scheme)
    changed = changes(measurement.model.scheme, model.scheme)
    found: list[Sequence[ErrorSums]] = []
    with torch.inference_mode():
        for batch, values in enumerate(measurement.batches):
            replaced = {name: simulator.input(name, floats.batches[batch][name]) for name in network.inputs}
            replaced = {name: value for name, value in replaced.items() if name in changed}
            outputs = rerun(network, values, replaced, simulator.run, changed)
            outputs = {name: values[name] for name in network.outputs} | outputs
            found += output_sums(floats, batch, outputs, to_users=True)
    return worst(found)
